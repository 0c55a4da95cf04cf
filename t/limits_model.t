# What a key, team or user may do with one model: budgets and parallel requests of it, beside those
# that hold for all. They are those of the model that is really asked: a fallback has its own.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Metrics;
use LLM::Pair;
use LLM::Provider;

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 1);    # what one request used is known to the next
    my $p = LLM::Provider->new(dir => $t->dir);
    my %key = map { $_ => "sk-test-of-$_-0123456789" } qw(ada race two team1 team2 over asked free pair
        moves both first second);

    $t->http_conf($store->conf . "
        llm_key $key{ada} { alias ada; model_max_budget dear 0.15/1d; }
        llm_key $key{race} { model_max_budget dear 1; }
        llm_key $key{two} { model_max_budget dear 10; model_max_budget precious 0.15/7d; max_budget 5; }
        llm_team crew { model_max_budget dear 0.15; }
        llm_key $key{team1} { team crew; }
        llm_key $key{team2} { team crew; }
        llm_key $key{over} { model_max_budget b 0.15; }
        llm_key $key{asked} { model_max_budget a 0.1; model_tpm a 1000; }
        llm_key $key{free} { max_budget 0.15; }
        llm_key $key{pair} { alias pair; model_max_parallel_requests dear 2; }
        llm_key $key{moves} { model_max_parallel_requests a 1; model_max_parallel_requests b 1; }
        llm_key $key{both} { model_max_parallel_requests w/* 1; }
        llm_key $key{first} { model_max_parallel_requests late 1; model_max_budget late 0.05; }
        llm_key $key{second} { model_max_parallel_requests late 1; model_max_budget late 0.05; }
        " . LLM::Pair::conf($p, server => 'location = /metrics { llm_metrics; }', models => '
        llm_model dear { deployment chat/dear input_cost=0 output_cost=0.0001; alias precious; }
        llm_model other { deployment chat/other input_cost=0 output_cost=0.0001; }
        llm_model a { deployment chat/of-a id=a input_cost=0 output_cost=0.0001; fallbacks b c; }
        llm_model b { deployment chat/of-b id=b input_cost=0 output_cost=0.0001; }
        llm_model c { deployment chat/of-c id=c input_cost=0 output_cost=0; }
        llm_model gratis { deployment chat/of-g input_cost=0 output_cost=0; fallbacks b; }
        llm_model w/a { deployment chat/of-a; fallbacks w/b; }
        llm_model w/b { deployment chat/of-b id=wb; }
        llm_model late { hedge after=40ms max=100%; deployment chat/first id=first input_cost=0
            output_cost=0.0001; deployment chat/second id=second order=2 input_cost=0 output_cost=0.0001; }
        llm_num_retries 0; llm_allowed_fails 1000;'));
    $t->start;
    my $pair = LLM::Pair->new('chat', 'chat');
    my $http = sub { return headers => { Authorization => "Bearer $key{$_[0]}" } };
    my $ask = sub {
        my ($key, $model, $tokens) = @_;
        return $pair->post($t, model => $model, max_tokens => $tokens // 1000,
            http => { $http->($key) });
    };
    my $open = sub {
        my ($key, $model) = @_;
        return $t->stream($pair->path(1), $pair->question(model => $model, stream => 1,
            max_tokens => 10), $http->($key));
    };
    # As soon as there is room.
    my $open_soon = sub {
        my @what = @_;
        return LLM::Limits::wait_room(sub { my $s = $open->(@what); $s->status == 200 && $s });
    };
    my $idle = sub { return $t->wait_for(sub {
        LLM::Metrics->get($t)->value('llm_requests_in_flight') == 0 }, 2, 'nothing is in flight') };
    my $statuses = sub {
        my ($key, $model, $times) = @_;
        return join ' ', map { $ask->($key, $model)->{status} } 1 .. $times;
    };
    my $costs = json(200, $pair->answer(text => 'hi',
        usage => { prompt_tokens => 5, completion_tokens => 1000 }));
    # By the provider's model; the others answer at once.
    my $answers = sub {
        my (%of) = @_;
        $p->clear->kick;
        $p->script($costs);
        $p->on({ body => qr/"model":"$_"/ }, $of{$_} // $costs)
            for qw(dear other of-a of-b of-c of-g first second);
        return;
    };

    subtest 'a budget' => sub {
        $answers->();
        is($statuses->('ada', 'dear', 3), '200 200 429', 'of one model is used up');
        my $r = $ask->('ada', 'dear');
        is($r->{json}{error}{code}, 'budget_exceeded', 'code');
        like($r->{json}{error}{message}, qr/limit of key ada for model dear is reached: \$0\.15 per day/,
            'whose it is, of which model, how much');
        cmp_ok($r->{headers}{'retry-after'}, '<=', 25 * 3600, 'it begins anew at midnight');
        is($ask->('ada', 'precious')->{status}, 429, 'another name of it');
        my $anthropic = LLM::Pair->new('messages', 'chat');
        $r = $anthropic->post($t, model => 'dear', max_tokens => 10, http => { $http->('ada') });
        is($r->{status}, 429, 'in another dialect');
        ok($anthropic->is_error($r->{json}), 'as the caller knows it');
        like($r->{json}{error}{message}, qr/for model dear/, 'with the name');
        is($ask->('ada', 'other')->{status}, 200, 'other models of the key go on') for 1 .. 3;
        is($ask->('over', 'dear')->{status}, 200, 'and other keys');
        is($statuses->('two', 'dear', 3), '200 200 429', 'the smaller one of two');
        like($ask->('two', 'precious')->{json}{error}{message}, qr/\$0\.15 per week/, 'is that of the week');
        is($ask->('two', 'other')->{status}, 200, 'the key has more');
        is($ask->($_, 'dear')->{status}, 200, "$_ has a part of the team's") for qw(team1 team2);
        like($ask->('team1', 'dear')->{json}{error}{message}, qr/limit of team crew for model dear/,
            'which is all');
        is(LLM::Metrics->get($t)->value('llm_limit_refusals_total', scope => 'key model',
            limit => 'max_budget'), 6, 'refusals are counted');
    };

    subtest 'a fallback' => sub {
        $answers->('of-a' => json(503, {}));
        my @by = map { $ask->('over', 'a')->{headers}{'x-llm-deployment'} } 1 .. 4;
        is("@by", 'b b c c', 'is passed over when its budget is used up');
        is($ask->('over', 'b')->{status}, 429, 'by who asks for it as well');

        is($statuses->('asked', 'a', 3), '200 200 200', 'what b cost');
        $answers->('of-b' => json(503, {}));
        my $r = $ask->('asked', 'a');
        is("$r->{status} " . $r->{headers}{'x-llm-deployment'}, '200 a', 'is not paid by a, in no way');
        is($ask->('asked', 'a')->{status}, 429, 'until a has served');

        $answers->('of-g' => json(503, {}));
        is($statuses->('free', 'gratis', 3), '200 200 429', 'of a model without cost: it is paid for');
    };

    subtest 'parallel requests' => sub {
        my @whole = $pair->events(text => 'one two');
        my $on = sse(@whole[0, 1], hold(), @whole[2 .. $#whole]);
        $answers->(dear => $on, other => $on);
        my @on = map { $open->('pair', 'dear') } 1 .. 2;
        is($_->status, 200, 'one is on') for @on;
        my $r = $ask->('pair', 'dear', 10);
        is($r->{status}, 429, 'a third is too many');
        like($r->{json}{error}{message},
            qr/limit of key pair for model dear is reached: 2 parallel requests/, 'and why');
        my $other = $open->('pair', 'other');
        is($other->status, 200, 'another model is not meant');
        $on[0]->reset;
        my $next = $open_soon->('pair', 'dear');
        ok($next, 'the place of a client that left is free');
        is($ask->('pair', 'dear', 10)->{status}, 429, 'that one place');
        $p->release;
        $_->all_events for $on[1], $next, $other;
        $answers->();
        ok($idle->(), 'nothing is in flight');
        ok($open_soon->('pair', 'dear'), 'there is room');
    };

    subtest 'a place is held of the model that is asked' => sub {
        my @whole = $pair->events(text => 'one two');
        my $held = sub {
            my $on = sse(@whole[0, 1], hold(), @whole[2 .. $#whole]);
            $answers->('of-a' => json(503, {}), 'of-b' => $on, 'of-c' => $on);
        };
        $held->();
        my $first = $open->('moves', 'a');
        is($first->header('x-llm-deployment'), 'b', 'a has failed, b serves');
        my $second = $open->('moves', 'a');
        is($second->header('x-llm-deployment'), 'c', 'a is free, b is full, c serves');
        is($ask->('moves', 'b', 10)->{status}, 429, 'also for who asks for b');
        $first->reset;
        my $third = $open_soon->('moves', 'b');
        ok($third, 'until its client has left');
        $_->reset for $second, $third;
        ok($idle->(), 'nothing is in flight');

        for my $round (1 .. 3) {
            $held->();
            my $s = $open_soon->('both', 'w/a');
            is($s->header('x-llm-deployment'), 'wb', "round $round: its own place goes with it");
            is($open->('both', $_)->status, 429, "which is the only one, $_") for 'w/a', 'w/b';
            $s->reset;
            ok($idle->(), 'nothing is in flight');
        }
    };

    subtest 'two attempts of one request' => sub {
        my @whole = $pair->events(text => 'one two', usage => { prompt_tokens => 5,
            completion_tokens => 1000 });
        for my $winner ('second', 'first') {
            my $on = sse(hold(), @whole[0, 1], hold(), @whole[2 .. $#whole]);
            $answers->(first => $on, second => $on);
            my $s = $open->($winner, 'late');
            ok($p->wait_held(2), "$winner: both are asked, the place is the request's");
            my ($conn) = map { $_->{conn} } grep { $_->{json}{model} eq $winner } $p->requests;
            $p->release(conn => $conn);
            is($s->header('x-llm-deployment'), $winner, 'it serves');
            my $r = $ask->($winner, 'late', 10);
            like($r->{json}{error}{message}, qr/1 parallel requests/, 'the place is held');
            $p->release(conn => $conn);
            $s->all_events;
            ok($s->clean_end, 'to the end');
            ok($idle->(), 'nothing is in flight');
            $r = $ask->($winner, 'late', 10);
            like($r->{json}{error}{message}, qr/\$0\.05/, 'and was paid for');
        }
    };

    subtest 'a reload' => sub {
        $t->reload;
        is($ask->('ada', 'dear', 10)->{status}, 429, 'forgets nothing');
    };

    subtest 'case 23: a race for the last dollar of a model' => sub {
        $answers->(dear => json(200, $pair->answer(text => 'hi', usage => { prompt_tokens => 5,
            completion_tokens => 1000 }), wait_for_release => 'head'));
        LLM::Limits::race_for_dollar($p, sub { $t->stream($pair->path(0),
            $pair->question(model => 'dear', max_tokens => 1000), $http->('race')) });
    };
    $t->done;
});
done_testing();
