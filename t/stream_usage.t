# Cases 20 and 51: the gateway always learns what a stream has used; the client is told when it
# asked, or when the operator says so.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, server => <<'END'));
        location /told/ {
            llm_pass models; llm_stream_usage on; access_log logs/llm.log pair;
        }
END
$t->start;

my $lines = 0;
my $is_true = JSON::PP::true();
my $asked = { include_usage => $is_true };

# Asks for a stream; returns its events.
sub events_of {
    my ($pair, $prefix, %question) = @_;
    my $s = $t->stream($prefix . $pair->path, $pair->question(stream => $is_true, %question));
    my @events = $s->all_events;

    is_deeply([$pair->check(\@events)], [], "$pair->{name}: grammar");
    return @events;
}

sub is_logged {
    my ($what, $input, $output) = @_;
    my $log = LLM::Pair::next_log($t, \$lines);

    is("$log->{outcome} $log->{input_tokens} $log->{output_tokens}", "ok $input $output",
        "$what: log");
    return;
}

my @chat = grep { $_->{client} eq 'chat' } LLM::Pair->all;
my @messages = grep { $_->{client} eq 'messages' } LLM::Pair->all;

subtest 'case 20: a client that does not ask' => sub {
    for my $pair (@chat) {
        for my $options (undef, {}, { include_usage => JSON::PP::false() }) {
            my $what = $pair->{name} . ', ' . LLM::Json::encode_json_c($options);
            $p->script(sse($pair->events(text => 'one two')));
            my @events = events_of($pair, '', $options ? (stream_options => $options) : ());
            is(scalar(grep { ref $_->{json} && ref $_->{json}{usage} } @events), 0,
                "$what: sees none");
            is(scalar(grep { ref $_->{json} && !@{$_->{json}{choices}} } @events), 0,
                "$what: and no chunk without choices");
            is_logged($what, 21, 9);
        }
    }
};

subtest 'a client that asks' => sub {
    for my $way ('asks', 'llm_stream_usage on') {
        for my $pair (@chat) {
            my $what = "$pair->{name}, $way";
            $p->script(sse($pair->events(text => 'one two')));
            my @events = events_of($pair, $way eq 'asks' ? ('', stream_options => $asked)
                : '/told');
            my @with = grep { ref $_->{json} && ref $_->{json}{usage} } @events;
            is(scalar @with, 1, "$what: once");
            is("$with[0]{json}{usage}{prompt_tokens} $with[0]{json}{usage}{completion_tokens}"
                . " $with[0]{json}{usage}{total_tokens}", '21 9 30', "$what: the numbers");
            is_deeply($with[0]{json}{choices}, [], "$what: in a chunk of its own");
            is($events[-2]{raw}, $with[0]{raw}, "$what: the last one");
            is(scalar(grep { !exists $_->{json}{usage} } grep { ref $_->{json} } @events), 0,
                "$what: null in the others");
            is_logged($what, 21, 9);
        }
    }
};

subtest 'clients of messages always see it' => sub {
    for my $pair (@messages) {
        $p->script(sse($pair->events(text => 'one two')));
        my @events = events_of($pair, '');
        my $usage = $pair->assemble(\@events)->{usage};
        is("$usage->{input_tokens} $usage->{output_tokens}", '21 9', "$pair->{name}: numbers");
        is_logged($pair->{name}, 21, 9);
    }
};

subtest 'case 51: the provider is asked' => sub {
    for my $pair (LLM::Pair->all) {
        $p->script(sse($pair->events));
        events_of($pair, '');
        my $options = $p->last_request->{json}{stream_options};
        is_deeply($options, $pair->{provider} eq 'chat' ? $asked : undef,
            "$pair->{name}: a stream");
        $p->script(json(200, $pair->answer));
        $pair->post($t);
        is($p->last_request->{json}{stream_options}, undef, "$pair->{name}: no stream");
        LLM::Pair::next_log($t, \$lines) for 1, 2;
    }
};

# A number that the gateway makes up is the same for the client and in the log.
subtest 'a provider that does not count' => sub {
    my $pair = LLM::Pair->new('messages', 'chat');
    for my $text (map { 'x' x $_ } 1 .. 4) {
        my %question = (messages => [{ role => 'user', content => $text }]);
        $p->script(json(200, { %{$pair->answer(text => "$text!")}, usage => undef }));
        my $usage = $pair->post($t, %question)->{json}{usage};
        is_logged('whole', @$usage{qw(input_tokens output_tokens)});
        $p->script(sse($pair->events(text => "$text!", usage => undef)));
        my @events = events_of($pair, '', %question);
        $usage = $pair->assemble(\@events)->{usage};
        is_logged('stream', @$usage{qw(input_tokens output_tokens)});
    }
    $p->script(sse(map({ ref $_ ? { %$_, choices => [{ index => 0, delta => { role => 'assistant',
        content => '' }, finish_reason => $_->{choices}[0]{finish_reason} }] } : $_ }
        ($pair->events(text => 'x', usage => undef))[0, -2, -1])));
    my @events = events_of($pair, '');
    my $usage = $pair->assemble(\@events)->{usage};
    is_logged('nothing said', @$usage{qw(input_tokens output_tokens)});
    cmp_ok($usage->{input_tokens}, '>', 0, 'but read');
};

# What providers of chat do with usage, and what counts in the end.
subtest 'usage in other places' => sub {
    for my $pair (grep { $_->{provider} eq 'chat' } LLM::Pair->all) {
        my $usage = sub { return { prompt_tokens => 21, completion_tokens => $_[0],
            total_tokens => 21 + $_[0] } };
        my @plain = $pair->events(text => ['one', ' two'], usage => undef);
        my %ways = (
            'none at all' => [0, 0, @plain],
            'in the finish chunk' => [21, 9, @plain[0 .. 2],
                { %{$plain[3]}, usage => $usage->(9) }, '[DONE]'],
            'in every chunk, growing' => [21, 3, (map { my $n = $_;
                +{ %{$plain[$n]}, usage => $usage->($n) } } 0 .. 3), '[DONE]'],
            'in every chunk and at the end' => [21, 9, (map { my $n = $_;
                +{ %{$plain[$n]}, usage => $usage->($n) } } 0 .. 3),
                { %{$plain[0]}, choices => [], usage => $usage->(9) }, '[DONE]'],
            'with a null of its own' => [21, 9, (map { +{ %$_, usage => undef } } @plain[0 .. 3]),
                { %{$plain[0]}, choices => [], usage => $usage->(9) }, '[DONE]'],
        );
        for my $way (sort keys %ways) {
            my ($input, $output, @events) = @{$ways{$way}};
            $p->script(sse(@events));
            my @seen = events_of($pair, '',
                $pair->{client} eq 'chat' ? (stream_options => $asked) : ());
            my $all = $pair->assemble(\@seen);
            is($all->{text}, 'one two', "$pair->{name}, $way: text");
            my $u = $all->{usage};
            if ($pair->{client} eq 'messages') {
                is($u->{input_tokens} . ' ' . $u->{output_tokens}, "$input $output",
                    "$pair->{name}, $way: the client's numbers") if $input;
                ok(defined $u->{output_tokens}, "$pair->{name}, $way: there must be some");
            } elsif ($input) {
                is("$u->{prompt_tokens} $u->{completion_tokens}", "$input $output",
                    "$pair->{name}, $way: the client's numbers");
            } else {
                is($u, undef, "$pair->{name}, $way: none is made up");
            }
            my $log = LLM::Pair::next_log($t, \$lines);
            is("$log->{input_tokens} $log->{output_tokens}", "$input $output",
                "$pair->{name}, $way: log") if $input;
            # Seven bytes.
            is($log->{output_tokens}, 2, "$pair->{name}, $way: an estimate in the log")
                if !$input;
        }
    }
};

# The last event replaces what was said before (case 50).
subtest 'case 50: messages tells usage twice' => sub {
    for my $pair (grep { $_->{provider} eq 'messages' } LLM::Pair->all) {
        my @events = $pair->events(text => 'one two', usage => { input_tokens => 5,
            cache_read_input_tokens => 100, cache_creation_input_tokens => 10 });
        $p->script(sse(@events));
        events_of($pair, '');
        my $log = LLM::Pair::next_log($t, \$lines);
        is("$log->{input_tokens} $log->{cached_tokens} $log->{cache_write_tokens}"
            . " $log->{output_tokens}", '115 100 10 9', "$pair->{name}: each once");
        # An end that speaks of output only.
        my ($end) = grep { $_->[0] eq 'message_delta' } @events;
        $end->[1]{usage} = { output_tokens => 9 };
        $p->script(sse(@events));
        events_of($pair, '');
        $log = LLM::Pair::next_log($t, \$lines);
        is("$log->{input_tokens} $log->{output_tokens}", '115 9', "$pair->{name}: of the start");
    }
};

$t->done;
