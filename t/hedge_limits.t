# A second attempt holds its own part of its deployment's limits, and gives it back once: when it
# lost, when it won and ended, and when the client left.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Metrics;
use LLM::Pair;
use LLM::Provider;

sub ask_at {
    my ($t, $pair, $query) = @_;

    return $t->stream($pair->path(1) . $query, $pair->question(model => 'dear', stream => 1));
}

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf($store->conf . LLM::Pair::conf($p, server => 'location = /metrics { llm_metrics; }',
        location => 'llm_limit $arg_key max_parallel_requests=3; llm_limit $arg_tokens tpm=10;'
            . ' llm_limit $arg_money max_budget=0.001;', models => <<'END'));
    llm_model narrow { hedge after=40ms max=100%; deployment chat/first id=n1 max_parallel_requests=2;
        deployment messages/second id=n2 order=2 max_parallel_requests=1; }
    llm_model counted { hedge after=40ms max=100%; deployment chat/first id=c1;
        deployment messages/second id=c2 order=2 rpm=2; }
    llm_model tight { hedge after=40ms max=100%; deployment chat/first tags=a,b id=l1
        max_parallel_requests=1; deployment messages/second tags=a id=l2 order=2; }
    llm_model dear { hedge after=40ms max=100%; deployment chat/first id=d1 input_cost=1e-3;
        deployment messages/second id=d2 order=2 input_cost=1e-3; }
END
    $t->start;
    my $pair = LLM::Pair->new('chat', 'chat');
    my $other = LLM::Pair->new('chat', 'messages');
    my $answers = sub {
        my (%of) = @_;
        $p->clear->kick;
        $p->on({ body => qr/"model":"$_"/ }, $of{$_}) for sort keys %of;
        return;
    };
    my $ask = sub {
        my ($model, $tag) = @_;
        return $t->stream($pair->path(1) . '?key=k', $pair->question(model => $model, stream => 1),
            headers => { 'x-llm-tags' => $tag // '' });
    };
    my $of = sub {
        my ($id) = @_;
        return LLM::Metrics->get($t)->value('llm_deployment_requests_in_flight',
            deployment => $id) || 0;
    };
    my $held = sub { return $of->('n1') . ' ' . $of->('n2') };

    subtest 'while both run, and after' => sub {
        my @first = $pair->events(text => 'of the first');
        my @second = $other->events(text => 'of the second');
        for my $winner ('first', 'second') {
            $answers->(first => sse(hold(), @first[0 .. 1], hold(), @first[2 .. $#first]),
                second => sse(hold(), @second[0 .. 3], hold(), @second[4 .. $#second]));
            my $s = $ask->('narrow');
            ok($p->wait_held(2), "$winner: both are asked");
            is($held->(), '1 1', "$winner: each holds its own");
            my ($conn) = map { $_->{conn} } grep { $_->{json}{model} eq $winner } $p->requests;
            $p->release(conn => $conn);
            is($s->status, 200, "$winner: it has content");
            $s->next_event;
            is($held->(), $winner eq 'first' ? '1 0' : '0 1', "$winner: the other gave it back");
            $p->release(conn => $conn);
            $s->all_events;
            ok($s->clean_end, "$winner: the answer is whole");
            ok($t->wait_for(sub { $held->() eq '0 0' }, 5, 'nothing is held'), "$winner: nothing");
        }
    };

    subtest 'the place of one that lost is free' => sub {
        my @second = $other->events(text => 'of the second');
        $answers->(first => 'silent',
            second => sse(@second[0 .. 3], hold(), @second[4 .. $#second]));
        my $s = $ask->('tight', 'a');
        is($s->header('x-llm-deployment'), 'l2', 'the second wins');
        $p->on({ body => qr/"model":"first"/ }, sse($pair->events(text => 'of the first')));
        my $more = LLM::Limits::wait_room(sub {
            my $try = $ask->('tight', 'b');
            $try->all_events if $try->status == 200;
            return $try->status == 200 && $try->header('x-llm-deployment');
        }, 5);
        is($more, 'l1', 'another request has it while the answer goes on');
        $p->release;
        $s->all_events;
        ok($s->clean_end, 'which ends well');
    };

    subtest 'no room for a second attempt' => sub {
        $answers->(first => sse($pair->events(text => 'of the first'), wait_for_release => 'head'),
            second => 'silent');
        my @open = map { $ask->('narrow') } 1 .. 2;
        ok($p->wait_requests(3), 'one of two gets it');
        is($held->(), '2 1', 'what is held');
        ok($p->wait_held(2), 'both wait for the first');
        $p->release;
        $_->all_events for @open;
        is(scalar(grep { $_->clean_end } @open), 2, 'both are answered by the first');
        is($p->request_count, 3, 'nobody else was asked');
        ok($t->wait_for(sub { $held->() eq '0 0' }, 5, 'nothing is held'), 'nothing is held');
    };

    subtest 'requests of a minute' => sub {
        my @by;
        for my $more ([wait_for_release => 'head'], [delay => 0.3]) {
            $answers->(first => sse($pair->events(text => 'of the first'), @$more),
                second => sse($other->events(text => 'of the second')));
            push @by, map { my $s = $ask->('counted'); $s->all_events;
                $s->header('x-llm-deployment') } 1 .. 2;
        }
        is("@by", 'c2 c2 c1 c1', 'a second attempt counts where it is made');
    };

    # Its input has a cost, which is booked, so the limits must see it, too.
    subtest 'one that lost counts although another one has failed' => sub {
        my @late = (wait_for_release => 'head');
        my $no = { %{ $pair->error(invalid_request => 'no') }, @late };
        my $never = $other->error(invalid_request => 'no');
        for my $limit ('tokens', 'money') {
            for my $failing ('first', 'second') {
                $answers->(first => $failing eq 'first' ? $no : 'silent',
                    second => $failing eq 'second' ? $never : 'silent');
                my $s = ask_at($t, $pair, "?$limit=$failing");
                ok($p->wait_requests(2), "$limit, $failing: both are asked");
                $p->release if $failing eq 'first' && ok($p->wait_held(1), 'it waits for us');
                is($s->status, 400, "$limit, $failing: the failure is the answer");
                $s->read_body;
                $store->wait_settled;
                my $next = ask_at($t, $pair, "?$limit=$failing");
                is($next->status, 429, "$limit, $failing: the limit is used up");
                like($next->read_body, $limit eq 'money' ? qr/budget/ : qr/tokens/, 'and says so');
            }
        }
    };

    subtest 'clients that leave' => sub {
        for (1 .. 6) {
            $answers->(first => 'silent', second => 'silent');
            my $s = $ask->('narrow');
            ok($p->wait_requests(2), 'both are asked');
            $s->reset;
            ok($p->wait_closed('all'), 'both are closed');
            ok($t->wait_for(sub { $held->() eq '0 0' }, 5, 'nothing is held'), 'nothing is held');
        }
    };

    ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    $t->done;
});
done_testing();
