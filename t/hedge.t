# hedge: a second attempt beside one that is late. The first content wins, whichever it is; the other
# attempt is closed at once, and one line of the log says what both of them were and cost.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = qw(chat messages responses);

# Models by the dialects of their two deployments.
my $models = '';
for my $d (@kinds) {
    for my $e (@kinds) {
        $models .= <<"END";
    llm_model $d-$e {
        hedge after=40ms max=100%;
        deployment $d/first id=$d-$e-1 input_cost=1e-3 output_cost=0;
        deployment $e/second id=$d-$e-2 order=2 input_cost=1e-6 output_cost=0;
    }
END
    }
}
$models .= <<'END';
    llm_model three { hedge after=60ms max=100%; deployment chat/first id=t1;
        deployment chat/second id=t2 order=2; deployment chat/third id=t3 order=3; }
    llm_model calm { hedge after=5s max=100%; deployment chat/first id=c1;
        deployment chat/second id=c2 order=2; }
    llm_model one { hedge after=20ms max=100%; deployment chat/first id=o1; }
    llm_model plain { deployment chat/first id=p1; deployment chat/second id=p2 order=2; }
END
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => $models,
    server => 'location = /metrics { llm_metrics; }',
    location => 'llm_timeout 20s; llm_num_retries 0;'));
$t->start;

my $lines = 0;
my $late = [wait_for_release => 'head'];

sub answers {
    my (%of) = @_;

    $p->clear->kick;
    $p->on({ body => qr/"model":"$_"/ }, $of{$_} // ()) for qw(first second third);
    return;
}

# The same question, streamed or not: ask() begins, finish() reads what came.
sub ask {
    my ($pair, $is_stream, $model, %o) = @_;

    return $t->stream($pair->path($is_stream), $pair->question(model => $model,
        $is_stream ? (stream => 1) : (), %{$o{more} || {}}), %{$o{http} || {}});
}

sub in_flight {
    my ($deployment) = @_;
    my ($one) = grep { $_->{id} eq $deployment }
        @{ $t->get('/health/readiness')->{json}{deployments} };

    return $one->{in_flight};
}

# Both are asked; then those of $order (1: the first, 2: the second) may answer in turn: each when
# the gateway is done with the one before.
sub ask_both {
    my ($order, $pair, $is_stream, $model, @more) = @_;
    my $s = ask($pair, $is_stream, $model, @more);
    my @names = ('', 'first', 'second');

    ok($p->wait_requests(2), 'both are asked');
    for my $n (@$order) {
        my ($asked) = grep { $_->{json}{model} eq $names[$n] } $p->requests;
        $p->release(conn => $asked->{conn});
        last if $n == $order->[-1];
        $t->wait_for(sub { in_flight("$model-$n") == 0 }, 5, "the end of the $names[$n]");
    }
    return $s;
}

sub finish {
    my ($pair, $is_stream, $s) = @_;

    if ($is_stream && ($s->status // 0) == 200) {
        my @events = $s->all_events;
        return ($pair->assemble(\@events)->{text}, $pair->check(\@events));
    }
    $s->read_body;
    my $json = $s->answer->{json};
    return $s->status == 200 ? $pair->read_answer($json)->{text} : $pair->is_error($json);
}

sub good {
    my ($pair, $is_stream, $text, @options) = @_;

    return $is_stream ? sse($pair->events(text => $text), @options)
        : json(200, $pair->answer(text => $text), @options);
}

# Connections that asked for this model.
sub connections_of {
    my ($model) = @_;
    my %is = map { $_->{conn} => 1 } grep { ($_->{json}{model} // '') eq $model } $p->requests;

    return grep { $is{$_->{id}} } $p->connections;
}

sub log_is {
    my ($what, $want) = @_;
    my $log = LLM::Pair::next_log($t, \$lines);

    my $got = "$log->{outcome} $log->{deployment} $log->{attempts} $log->{hedge}";
    like($got, ref $want ? $want : qr/\A\Q$want\E\z/, "$what: log");
    return $log;
}

for my $client (@kinds) {
    for my $d (@kinds) {
        my $e = $kinds[(($d eq 'chat' ? 0 : $d eq 'messages' ? 1 : 2) + 1) % 3];
        for my $second ($d, $e) {
            my $pair = LLM::Pair->new($client, $d);
            my $other = LLM::Pair->new($client, $second);
            my $model = "$d-$second";
            for my $is_stream (1, 0) {
                my $how = $is_stream ? 'stream' : 'whole';
                subtest "$client, $d beside $second, $how" => sub {
                    answers(first => good($pair, $is_stream, 'of the first', @$late),
                        second => good($other, $is_stream, 'of the second'));
                    my $s = ask($pair, $is_stream, $model);
                    my ($text, @complaints) = finish($pair, $is_stream, $s);
                    is($text, 'of the second', 'the second wins');
                    is_deeply(\@complaints, [], 'the second wins: grammar');
                    is($s->header('x-llm-deployment'), "$model-2", 'the second wins: header');
                    is($s->header('x-llm-attempts'), 2, 'the second wins: attempts');
                    ok($p->wait_closed($_->{id}), 'the second wins: the first was closed')
                        for connections_of('first');
                    my $log = log_is('the second wins', "ok $model-2 2 won");

                    answers(first => good($pair, $is_stream, 'of the first', @$late),
                        second => 'silent');
                    $s = ask_both([1], $pair, $is_stream, $model);
                    ($text, @complaints) = finish($pair, $is_stream, $s);
                    is($text, 'of the first', 'the first wins');
                    is_deeply(\@complaints, [], 'the first wins: grammar');
                    is($s->header('x-llm-deployment'), "$model-1", 'the first wins: header');
                    ok($p->wait_closed($_->{id}), 'the first wins: the second was closed')
                        for connections_of('second');
                    log_is('the first wins', "ok $model-1 2 lost");

                    answers(first => json(503, {}, @$late),
                        second => good($other, $is_stream, 'of the second', @$late));
                    $s = ask_both([1, 2], $pair, $is_stream, $model);
                    ($text) = finish($pair, $is_stream, $s);
                    is($text, 'of the second', 'the first fails: the second goes on');
                    is($p->request_count, 2, 'the first fails: nobody is asked again');
                    log_is('the first fails', "ok $model-2 2 won");

                    answers(first => good($pair, $is_stream, 'of the first', @$late),
                        second => json(500, {}, @$late));
                    $s = ask_both([2, 1], $pair, $is_stream, $model);
                    ($text) = finish($pair, $is_stream, $s);
                    is($text, 'of the first', 'the second fails: the first goes on');
                    is($p->request_count, 2, 'the second fails: nobody is asked again');
                    log_is('the second fails', "ok $model-1 2 lost");

                    answers(first => json(503, {}, @$late), second => json(500, {}, @$late));
                    $s = ask_both([1, 2], $pair, $is_stream, $model);
                    ok(finish($pair, $is_stream, $s), 'both fail: an error of the dialect');
                    cmp_ok($s->status, '>=', 500, 'both fail: status');
                    log_is('both fail', qr/\Aupstream_error $model-[12] 2 lost\z/);
                };
            }
        }
    }
}

subtest 'in time' => sub {
    for my $is_stream (1, 0) {
        my $pair = LLM::Pair->new('chat', 'chat');
        answers(first => good($pair, $is_stream, 'of the first'));
        my ($text) = finish($pair, $is_stream, ask($pair, $is_stream, 'calm'));
        is($text, 'of the first', 'the first answers');
        is($p->request_count, 1, 'nobody else was asked');
        log_is('in time', 'ok c1 1 ');
    }
};

subtest 'a mistake of the client ends both' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    answers(first => good($pair, 1, 'of the first', @$late), second => json(400,
        chat_error('no such parameter', type => 'invalid_request_error')));
    my $s = ask($pair, 1, 'chat-chat');
    is($s->status, 400, 'the status');
    ok(finish($pair, 1, $s), 'an error of the dialect');
    ok($p->wait_closed($_->{id}), 'the other was closed') for connections_of('first');
    log_is('the mistake', 'upstream_error chat-chat-2 2 lost');
};

subtest 'cost of both' => sub {
    my $pair = LLM::Pair->new('messages', 'messages');
    # The first has told its input and said nothing yet.
    my @events = $pair->events(text => 'of the first', usage => { input_tokens => 70 });
    answers(first => sse($events[0], hold(), @events[1 .. $#events]),
        second => good($pair, 1, 'of the second', @$late));
    my $s = ask($pair, 1, 'messages-messages', more => { max_tokens => 50 });
    ok($p->wait_held(2), 'both are asked');
    my ($second) = map { $_->{conn} } grep { $_->{json}{model} eq 'second' } $p->requests;
    $p->release(conn => $second);
    my ($text) = finish($pair, 1, $s);
    is($text, 'of the second', 'the second wins');
    my $log = log_is('cost', 'ok messages-messages-2 2 won');
    my $m = LLM::Metrics->get($t);
    my $cost = $m->value('llm_cost_dollars_total', deployment => 'messages-messages-2',
        gen_ai_request_model => 'messages-messages');
    cmp_ok($cost, '>=', 0.070, 'the input of the first is paid for, at its own price');
    cmp_ok($log->{input_tokens}, '>', 70, 'and stands in the one entry of the log');
};

subtest 'metrics' => sub {
    my $m = LLM::Metrics->get($t);
    is($m->value('llm_hedges_total', deployment => 'chat-chat-2'), 3 * 2 * 5 + 1, 'hedges');
    is($m->value('llm_hedges_won_total', deployment => 'chat-chat-2'), 3 * 2 * 2, 'that served');
    is($m->value('llm_deployment_attempts_total', deployment => 'chat-chat-1',
        error_type => 'hedged'), 3 * 2 + 1, 'the first was closed');
    is($m->value('llm_deployment_attempts_total', deployment => 'chat-chat-2',
        error_type => 'hedged'), 3 * 2, 'the second was');
    is($m->value('llm_attempts_total', deployment => 'chat-chat-1'), 3 * 2 * 5 + 1,
        'attempts at the first');
    is($m->value('llm_attempts_total', deployment => 'chat-chat-2'), 3 * 2 * 5 + 1,
        'and at the second');
};

subtest 'client leaves' => sub {
    for my $is_stream (1, 0) {
        my $pair = LLM::Pair->new('chat', 'messages');
        answers(first => 'silent', second => 'silent');
        my $s = ask($pair, $is_stream, 'messages-chat');
        ok($p->wait_requests(2), 'both are asked');
        $s->reset;
        ok($p->wait_closed('all'), 'both are closed');
        log_is('left', 'client_closed messages-chat-1 2 lost');
    }
};

subtest 'three deployments: both fail, the third answers' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    answers(first => json(500, {}, @$late), second => json(500, {}, @$late),
        third => good($pair, 1, 'of the third'));
    my $s = ask($pair, 1, 'three');
    ok($p->wait_held(2), 'both are asked');
    $p->release;
    my ($text) = finish($pair, 1, $s);
    is($text, 'of the third', 'the answer');
    log_is('three', 'ok t3 3 lost');
};

subtest 'where there is no second attempt' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    for my $row (['one deployment', 'one', 1], ['no hedge', 'plain', 1],
            ['the client wants none', 'chat-chat', 1,
                http => { headers => { 'x-llm-disable-fallbacks' => 'true' } }]) {
        my ($what, $model, $n, %o) = @$row;
        answers(first => good($pair, 1, 'of the first', delay => 0.3),
            second => good($pair, 1, 'of the second'));
        my ($text) = finish($pair, 1, ask($pair, 1, $model, %o));
        is($text, 'of the first', $what);
        is($p->request_count, $n, "$what: nobody else was asked");
        LLM::Pair::next_log($t, \$lines);
    }
    # An answer that its provider keeps is gone on from there alone.
    my $kept = LLM::Pair->new('responses', 'responses');
    answers(first => good($kept, 0, 'of the first'), second => good($kept, 0, 'of the second'));
    my $r = $kept->post($t, model => 'responses-responses', store => JSON::PP::true());
    answers(first => good($kept, 0, 'goes on', delay => 0.3),
        second => good($kept, 0, 'of the second'));
    my $more = $kept->post($t, model => 'responses-responses',
        previous_response_id => $r->{json}{id});
    is($kept->read_answer($more->{json})->{text}, 'goes on', 'a kept answer');
    is($p->request_count, 1, 'a kept answer: nobody else was asked');
};

subtest 'canaries' => sub {
    my $pair = LLM::Pair->new('messages', 'chat');
    my $other = LLM::Pair->new('messages', 'messages');
    my @open;
    answers();
    for my $i (1 .. 60) {
        my $mine = "canary${i}x";
        my $slow = $i % 3 * 0.07;
        $p->on({ body => qr/\A(?=.*"model":"first")(?=.*ask-$i-)/s },
            good($pair, 1, "first $mine", delay => $slow));
        $p->on({ body => qr/\A(?=.*"model":"second")(?=.*ask-$i-)/s },
            good($other, 1, "second $mine", delay => ($i + 1) % 3 * 0.05));
    }
    for my $i (1 .. 60) {
        push @open, [$i, ask($pair, 1, 'chat-messages', more => { messages => [
            { role => 'user', content => "ask-$i-" }] })];
        (pop @open)->[1]->close if $i % 9 == 0;
    }
    for (@open) {
        my ($i, $s) = @$_;
        my ($text) = finish($pair, 1, $s);
        like($text, qr/\A(?:first|second) canary${i}x\z/, "$i: one answer, its own");
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
