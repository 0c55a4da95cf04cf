# llm_recover: a stream that breaks after content was sent goes on with another answer, where that is
# honest; where it is not, the break is what the client sees.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

my $models = '';
for my $d (qw(chat messages)) {
    my $other = $d eq 'chat' ? 'messages' : 'chat';
    $models .= <<"END";
    llm_model off-$d { deployment $d/first; deployment $d/second order=2; }
    llm_model again-$d { recover restart; deployment $d/first idle_timeout=300ms;
        deployment $d/second order=2; }
    llm_model across-$d { recover restart; deployment $d/first; fallbacks plain-$other; }
    llm_model alone-$d { recover restart; num_retries 2; deployment $d/first; }
    llm_model plain-$d { deployment $d/second; }
END
}
$models .= <<'END';
    llm_model continued { recover continue; deployment chat/first;
        deployment messages/claude-sonnet-4-5 order=2; }
    llm_model priced { recover restart;
        deployment chat/first input_cost=1e-6 output_cost=1e-6 id=pr1;
        deployment chat/second order=2 input_cost=1e-3 output_cost=1e-3 id=pr2; }
END
$t->http_conf(LLM::Pair::conf($p, models => $models));
$t->start;

my $text = "One two three \x{e9}t\x{e9} five \"six\" seven eight nine ten.";
my $lines = 0;

# Sets what is answered: by the first, by every other.
sub answers {
    my ($first, $second) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"first"/ }, ref $first eq 'ARRAY' ? @$first : $first);
    $p->on({ body => qr/"model":"(?:second|claude-sonnet-4-5)"/ }, $second) if $second;
    return;
}

# A stream that breaks behind some words.
sub broken {
    my ($pair, $way, %o) = @_;
    my @events = $pair->events(text => $text, %o);

    return sse(@events[0 .. ($pair->{provider} eq 'chat' ? 5 : 7)], $way);
}

sub read_stream {
    my ($pair, %o) = @_;
    my $s = $pair->stream($t, %o);
    my @events = $s->all_events;

    return ($pair->assemble(\@events), [$pair->check(\@events)], \@events, $s);
}

sub is_whole {
    my ($pair, $what, %o) = @_;
    my ($seen, $complaints, $events) = read_stream($pair, %o);

    is_deeply($complaints, [], "$what: grammar");
    is($seen->{text}, $text, "$what: the whole text, once");
    is($seen->{finish}, $pair->finish(0), "$what: finish");
    ok(!$pair->error_event($events), "$what: no error");
    my $log = LLM::Pair::next_log($t, \$lines);
    is("$log->{outcome} $log->{attempts}", 'ok 2', "$what: log");
    return $log;
}

sub is_cut {
    my ($pair, $what, %o) = @_;
    my ($seen, $complaints, $events) = read_stream($pair, %o);

    ok($pair->error_event($events), "$what: ends with an error event") or diag explain $events;
    unlike($seen->{text}, qr/One.*One|other/s, "$what: no second answer");
    is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'cut', "$what: log");
    return $seen;
}

for my $client (qw(chat messages responses)) {
    for my $d (qw(chat messages)) {
        my $pair = LLM::Pair->new($client, $d);
        my $other = LLM::Pair->new($client, $d eq 'chat' ? 'messages' : 'chat');
        my %ways = ('cut' => drop(), 'reset' => rst(), 'silence' => stall());

        subtest "restart, $pair->{name}" => sub {
            for my $way (sort keys %ways) {
                answers(broken($pair, $ways{$way}), sse($pair->events(text => $text)));
                is_whole($pair, $way, model => "again-$d");
                is($p->request_count, 2, "$way: each was asked once");
            }
            answers($pair->failing($d eq 'chat' ? 6 : 8, 'overloaded', 'Too busy', text => $text),
                sse($pair->events(text => $text)));
            is_whole($pair, 'an error event', model => "again-$d");
            answers(broken($pair, drop()), sse($other->events(text => $text)));
            is_whole($pair, 'across dialects', model => "across-$d");
            answers([broken($pair, drop()), sse($pair->events(text => $text))]);
            is_whole($pair, 'the same deployment', model => "alone-$d");
            answers(broken($pair, drop()), json(200, $pair->answer(text => $text)));
            is_whole($pair, 'a whole body', model => "again-$d");
        };

        subtest "where it differs, $pair->{name}" => sub {
            answers(broken($pair, drop()), sse($pair->events(text => 'Some other answer')));
            is_cut($pair, 'another text', model => "again-$d");
            answers(broken($pair, drop()), sse($pair->events(text => 'One')));
            is_cut($pair, 'a shorter text', model => "again-$d");
            answers(broken($pair, drop()), json(503, {}));
            is_cut($pair, 'nobody else answers', model => "again-$d");
            my $tool = { name => 'f', arguments => '{"x": 1}' };
            answers(sse(($pair->events(text => undef, tools => [$tool]))[0 .. 2], drop()),
                sse($pair->events(text => 'other')));
            is_cut($pair, 'half a call', model => "again-$d", $pair->tool('f'));
            is($p->request_count, 1, 'half a call: nobody else was asked');
        };

        subtest "case 9, 10: off by default, $pair->{name}" => sub {
            answers(broken($pair, drop()), sse($pair->events(text => $text)));
            is_cut($pair, 'off', model => "off-$d");
            is($p->request_count, 1, 'nobody else was asked');
        };
    }
}

for my $client (qw(chat messages responses)) {
    my $pair = LLM::Pair->new($client, 'chat');
    my $second = LLM::Pair->new($client, 'messages');

    subtest "continue, $client" => sub {
        my @events = $pair->events(text => $text);
        my $sent = join '', map { ref $_ ? $_->{choices}[0]{delta}{content} // '' : '' }
            @events[0 .. 5];
        my $rest = substr $text, length $sent;
        answers(broken($pair, drop()), sse($second->events(text => $rest)));
        is_whole($pair, 'goes on', model => 'continued');
        my $asked = $p->last_request->{json};
        my $last = $asked->{messages}[-1];
        is($last->{role}, 'assistant', 'asked with the text so far');
        my $content = ref $last->{content} ? $last->{content}[0]{text} : $last->{content};
        is($content, $sent =~ s/\s+\z//r, 'all of it');
        ok(!exists $asked->{system}, 'case 10: no system prompt was added');

        answers(broken($pair, drop()), [json(400, { type => 'error', error => {
            type => 'invalid_request_error', message => 'prefill is not supported' } }),
            sse($second->events(text => $text))]);
        my ($seen) = read_stream($pair, model => 'continued');
        is($seen->{text}, $text, 'refused: restart');
        LLM::Pair::next_log($t, \$lines);

        answers(broken($pair, drop()), sse($second->events(text => 'other')));
        is_cut($pair, 'with tools in play', model => 'continued', $pair->tool('f'));
        is($p->request_count, 1, 'nobody else was asked');
    };
}

subtest 'usage of all attempts is booked' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    answers(broken($pair, drop()), sse($pair->events(text => $text)));
    my $alone = LLM::Pair->new('chat', 'chat');
    my $log = is_whole($pair, 'priced', model => 'priced');
    answers(sse($pair->events(text => $text)));
    read_stream($alone, model => 'priced');
    my $one = LLM::Pair::next_log($t, \$lines);
    cmp_ok($log->{input_tokens}, '>', $one->{input_tokens}, 'input of both');
    cmp_ok($log->{output_tokens}, '>', $one->{output_tokens}, 'output of both');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
