# Parallel requests: never more than the limit, whatever worker they come to, and a place is free as
# soon as a request ends, however it ends.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 4);
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf($store->conf . LLM::Pair::conf($p, provider => 'keepalive 0;',
        location => 'llm_limit $arg_key max_parallel_requests=5; llm_idle_timeout 10s;
            llm_timeout 20s;'));
    $t->start;
    my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;
    my ($same) = grep { $_->{name} eq 'messages to messages' } LLM::Pair->all;
    my $ask = sub {
        my ($by, $key) = @_;
        return $t->stream($by->path(1) . "?key=$key", $by->question(stream => 1));
    };

    subtest 'case 18: the limit holds for all workers together' => sub {
        $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
        my ($on, $refused) = LLM::Limits::open_all(200, sub { $ask->($pair, 'a') });
        is(scalar @$on, 5, 'of 200 at once, five are let in');
        is($p->request_count, 5, 'the provider sees no more than those');
        is(scalar(grep { $_->status == 429 } @$refused), 195, 'the others are told so');
        $p->release;
        is(scalar(grep { $_->all_events; $_->clean_end } @$on), 5, 'the five end well');
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    };

    subtest 'what a refused client reads' => sub {
        $p->clear;
        my ($on) = LLM::Limits::open_all(5, sub { $ask->($pair, 'b') });
        is(scalar @$on, 5, 'the limit is reached');
        my $other = $ask->($pair, 'c');
        is($other->status, 200, 'another value of the variable is another count');
        my $none = $ask->($pair, '');
        is($none->status, 200, 'no value is no limit');
        for my $by ($pair, $same) {
            my $s = $ask->($by, 'b');
            is($s->status, 429, "$by->{client}: 429");
            is($s->header('retry-after'), 1, 'come again soon');
            $s->read_body;
            my $json = $s->answer->{json};
            ok($by->is_error($json), 'in the caller\'s dialect') or diag(explain($json));
            like($json->{error}{message}, qr/limit on \$arg_key is reached: 5 parallel/,
                'by name');
        }
        $p->release;
        $_->all_events for @$on, $other, $none;
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    };

    subtest 'case 16: every end of a request frees its place' => sub {
        my @ends = (
            ['an answer', sub { $p->script($pair->whole(text => 'hi')); 200 }],
            ['an error of the provider', sub { $p->script($pair->error('overloaded', 'x')); 529 }],
            ['a cut answer', sub { $p->script(accept_then_close()); 500 }],
            ['no JSON', sub { $p->script(answer(200, 'no json')); 502 }],
        );
        for my $end (@ends) {
            my ($name, $begin) = @$end;
            $begin->();
            my %seen;
            for (1 .. 20) {
                my $r = $t->post($pair->path(0) . '?key=e', $pair->question);
                $seen{$r->{status}}++;
            }
            ok(!$seen{429}, "$name: none of twenty is refused") or diag(explain(\%seen));
        }
        my $malformed = 0;
        for (1 .. 20) {
            $malformed++ if $t->post('/v1/chat/completions?key=g', '{"model":')->{status} == 400;
        }
        is($malformed, 20, 'what cannot be read takes no place');
    };

    subtest 'case 37: so does a client that leaves' => sub {
        $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
        for my $round (1 .. 10) {
            my ($on) = LLM::Limits::open_all(5, sub { $ask->($pair, 'f') });
            is(scalar @$on, 5, "round $round: five are on");
            $_ % 2 ? $on->[$_]->reset : $on->[$_]->close for 0 .. 4;
            ok(LLM::Pair::wait_idle($t, 1), 'and free when the clients have left');
        }
    };
    $p->release(always => 1);
    $t->done;
});
done_testing();
