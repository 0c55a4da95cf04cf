# A client that has begun to read is kept alive while its broken stream is looked for elsewhere: in the
# pause before a retry, while nobody answers, and while the new answer repeats what the client has.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = qw(chat messages responses);
my $models = join '', map { <<"END" } @kinds;
    llm_model again-$_ { recover restart; deployment $_/first idle_timeout=300ms;
        deployment $_/second order=2; }
    llm_model goes-on-$_ { recover continue; deployment $_/first;
        deployment messages/claude-sonnet-4-5 order=2; }
    llm_model alone-$_ { recover restart; num_retries 2; deployment $_/first; }
END
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => $models,
    location => 'llm_ping 40ms; llm_idle_timeout 20s;'));
$t->start;

my $text = 'One two three four five six seven eight nine ten eleven twelve.';

sub is_ping { return defined $_[0]{comment} || ($_[0]{event} // '') eq 'ping' }

# Reads until $n pings came one after the other; adds all to @$seen.
sub pings {
    my ($s, $seen, $n) = @_;
    my $found = 0;

    while ($found < $n) {
        my $event = $s->next_event or last;
        push @$seen, $event;
        $found = is_ping($event) ? $found + 1 : 0;
    }
    return $found;
}

for my $client (@kinds) {
    for my $d (@kinds) {
        my $pair = LLM::Pair->new($client, $d);
        my $head = { chat => 1, messages => 3, responses => 4 }->{$d};
        my @events = $pair->events(text => $text);
        my @own = $client eq 'responses' ? (store => JSON::PP::false()) : ();
        my %ways = ('cut' => sse(@events[0 .. $head + 3], drop()),
            'an error event' => $pair->failing($head + 4, 'overloaded', 'Too busy',
                text => $text, sse => [gap => 0.003]),
            'silence' => sse(@events[0 .. $head + 3], stall()));

        subtest "elsewhere, $pair->{name}" => sub {
            for my $way (sort keys %ways) {
                $p->clear->kick;
                $p->on({ body => qr/"model":"first"/ }, $ways{$way});
                $p->on({ body => qr/"model":"second"/ }, sse(@events[0 .. $head], hold(),
                    @events[$head + 1 .. $#events], wait_for_release => 'head'));
                my $s = $pair->stream($t, model => "again-$d", @own);
                my @seen;
                ok($p->wait_requests(2), "$way: asked elsewhere");
                is(pings($s, \@seen, 3), 3, "$way: before it answers");
                $p->release;
                ok($p->wait_held(1), "$way: it has begun");
                is(pings($s, \@seen, 3), 3, "$way: while it repeats what was sent");
                $p->release;
                push @seen, $s->all_events;
                is_deeply([$pair->check(\@seen)], [], "$way: grammar");
                is($pair->assemble(\@seen)->{text}, $text, "$way: the whole text, once");
            }
        };

        subtest "in the pause before a retry, $pair->{name}" => sub {
            $p->clear->kick;
            $p->on({ body => qr/"model":"first"/ }, $ways{cut}, json(503, {}), sse(@events));
            my $s = $pair->stream($t, model => "alone-$d", @own);
            my @seen;
            cmp_ok(pings($s, \@seen, 2), '>=', 2, 'they come');
            push @seen, $s->all_events;
            is($p->request_count, 3, 'asked three times');
            is($pair->assemble(\@seen)->{text}, $text, 'the whole text, once');
        };
    }
}

# What is asked to go on, and does not.
for my $client (@kinds) {
    my $pair = LLM::Pair->new($client, 'chat');
    my $second = LLM::Pair->new($client, 'messages');
    my @events = $pair->events(text => $text);
    my $sent = 'One two three four';
    my @own = $client eq 'responses' ? (store => JSON::PP::false()) : ();

    subtest "continue, $client" => sub {
        for my $row (
            ['goes on', [' five six', substr $text, length("$sent five six")], $text, 1],
            ['goes on with a word that was there', [' One', ' two.'], "$sent One two."],
            ['one piece that is shorter', [' One'], "$sent One"],
            ['begins anew', [map { "$_ " } split / /, $text], "$text "],
            ['begins anew, with a blank', [map { " $_" } split / /, $text], $text],
            ['begins anew in one piece', [$text], $text],
            ['begins anew, and differs later', ['One two three four, or so'], undef]) {
            my ($what, $pieces, $want) = @$row;
            my $begins = $what =~ /anew/;
            # The text that was sent is as long as what is compared, where it is to be found.
            my $n = $begins ? 8 : 4;
            $p->clear->kick;
            $p->on({ body => qr/"model":"first"/ }, sse(@events[0 .. $n], drop()));
            $p->on({ body => qr/"model":"claude-sonnet-4-5"/ },
                sse($second->events(text => $pieces), gap => 0.002));
            my $s = $pair->stream($t, model => 'goes-on-chat', @own);
            my @seen = $s->all_events;
            my $all = $pair->assemble(\@seen);
            is_deeply([$pair->check(\@seen)], [], "$what: grammar");
            if (defined $want) {
                is($all->{text}, $want, "$what: every word once");
                ok(!$pair->error_event(\@seen), "$what: no error");
            } else {
                ok($pair->error_event(\@seen), "$what: an error event");
                unlike($all->{text}, qr/One.*One/, "$what: nothing twice");
            }
        }
    };
}

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
