# Budgets: what a key, a team may spend. Reserved before the call, corrected by what it cost.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Port;
use LLM::Provider;
use Time::HiRes qw(time);

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);
    my %key = map { $_ => "sk-test-of-$_-0123456789" } qw(race failed free used team1 team2 soft day
        rolls plain);

    $t->http_conf($store->conf . "
        llm_timezone Europe/Berlin;
        llm_key $key{race} { max_budget 1; }
        llm_key $key{failed} { max_budget 1/30d; max_budget 0.5/1d; }
        llm_key $key{free} { max_budget 0; }
        llm_key $key{used} { max_budget 0.05; }
        llm_team both { max_budget 0.15; }
        llm_key $key{team1} { team both; }
        llm_key $key{team2} { team both; }
        llm_key $key{soft} { soft_budget 0.15; alias thrifty; }
        llm_key $key{day} { max_budget 0.1/1d; }
        llm_key $key{rolls} { max_budget 0.1/2s; }
        llm_key $key{plain} { }
        " . LLM::Pair::conf($p,
        models => 'llm_model dear { deployment messages/claude-x input_cost=0 output_cost=0.0001; }
            llm_model gratis { deployment messages/claude-y input_cost=0 output_cost=0; }
            llm_model capped { deployment messages/claude-p input_cost=0 output_cost=0.0001
                    order=1 id=dear_one max_budget=0.15/1d max_budget=100;
                deployment messages/claude-q input_cost=0 output_cost=0 order=2 id=cheap_one; }
            llm_model whatever { deployment messages/nobody-knows; }',
        server => 'location /strict/ { llm_pass models; llm_limit_free_models on; }
            location /each/ { llm_pass models; llm_limit $arg_who max_budget=0.15/1d; }'));
    $t->start;
    my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;
    my $http = sub { return headers => { Authorization => "Bearer $key{$_[0]}" } };
    my $ask = sub {
        my ($key, $tokens, %o) = @_;
        my $r = $t->post(($o{prefix} // '') . $pair->path(0),
            $pair->question(model => $o{model} // 'dear', max_tokens => $tokens), $http->($key));
        $store->wait_settled;
        return $r;
    };
    my $costs = sub { return $pair->answer(text => 'hi', usage => { input_tokens => 5,
        output_tokens => $_[0] }) };

    subtest 'case 23: a race for the last dollar' => sub {
        $p->script(json(200, $costs->(1000), wait_for_release => 'head'));
        LLM::Limits::race_for_dollar($p, sub { $t->stream($pair->path(0),
            $pair->question(model => 'dear', max_tokens => 1000), $http->('race')) });
        my $r = $ask->('race', 1000);
        is($r->{status}, 429, 'nothing is left');
        is($r->{json}{error}{code}, 'budget_exceeded', 'code');
        like($r->{json}{error}{message}, qr/limit of key is reached: \$1\b/, 'the budget');
        ok(!exists $r->{headers}{'retry-after'}, 'waiting does not help');
        is($r->{headers}{'x-should-retry'}, 'false', 'which clients are told');
    };

    subtest 'case 24: what failed has cost nothing' => sub {
        for my $answer ($pair->error('overloaded', 'x'), accept_then_close(), answer(200, 'no json')) {
            $p->script($answer);
            $ask->('failed', 4000) for 1 .. 20;
        }
        $p->script(json(200, $costs->(1000)));
        is($ask->('failed', 4900)->{status}, 200, 'all of the budget is there');
        is($ask->('failed', 4900)->{status}, 200, 'less than the estimate is left: alone it passes');
        is($ask->('failed', 10)->{status}, 200, 'each was counted by what it cost') for 3 .. 5;
        my $r = $ask->('failed', 10);
        is($r->{status}, 429, 'until the smaller budget is used up');
        like($r->{json}{error}{message}, qr/\$0\.5 per day/, 'the day\'s');
        cmp_ok($r->{headers}{'retry-after'}, '<=', 25 * 3600, 'it begins anew at midnight');
    };

    subtest 'case 25: models that cost nothing' => sub {
        is($ask->('free', 10)->{status}, 429, 'a budget of 0');
        is($ask->('free', 10, model => 'gratis')->{status}, 200, 'a model without cost');
        is($ask->('free', 10, model => 'gratis', prefix => '/strict')->{status}, 429,
            'llm_limit_free_models on');
        is($ask->('free', 10, model => 'whatever')->{status}, 429, 'a price that nobody knows');
        is($ask->('used', 10, model => 'whatever')->{status}, 200, 'counts as nothing') for 1, 2;
    };

    subtest 'a team\'s keys share its budget' => sub {
        $p->script(json(200, $costs->(1000)));
        is($ask->('team1', 1000)->{status}, 200, 'ten cents by one');
        is($ask->('team2', 1000)->{status}, 200, 'the rest by the other');
        my $r = $ask->('team1', 1000);
        is($r->{status}, 429, 'is all');
        like($r->{json}{error}{message}, qr/limit of team both/, 'whose it is');
    };

    subtest 'a budget for each value of a variable' => sub {
        my $by = sub {
            my $r = $t->post('/each' . $pair->path(0) . "?who=$_[0]",
                $pair->question(model => 'dear', max_tokens => 1000), $http->('plain'));
            $store->wait_settled;
            return $r;
        };
        is($by->('ann')->{status}, 200, 'ten cents') for 1, 2;
        my $r = $by->('ann');
        is($r->{status}, 429, 'are enough');
        is($r->{json}{error}{code}, 'budget_exceeded', 'code');
        like($r->{json}{error}{message}, qr/limit on \$arg_who is reached: \$0\.15 per day/, 'the budget');
        is($by->('bob')->{status}, 200, 'somebody else has one of his own');
    };

    subtest 'a budget of a deployment' => sub {
        my @by = map { $ask->('plain', 1000, model => 'capped')->{headers}{'x-llm-deployment'} } 1 .. 4;
        is("@by", 'dear_one dear_one cheap_one cheap_one', 'when it is spent another one serves');
    };

    subtest 'a soft budget is spoken of' => sub {
        my @told = map { $ask->('soft', 10)->{headers}{'x-llm-soft-budget'} // 'no' } 1 .. 3;
        is("@told", 'no no exceeded', 'in a header');
        $t->log_like(qr/\[warn\].*llm: soft budget of key "thrifty" is used up/, 'and in the log');
        $t->log_unlike(qr/\Q$key{soft}/, 'without the key');
    };

    subtest 'case 22: when the window has rolled all is there again, at once' => sub {
        my $began = time;
        is($ask->('rolls', 1000)->{status}, 200, 'all of it is spent');
        for my $round (1 .. 3) {
            my ($asked, $refused, $waits) = ($began, 0, '');
            $t->wait_for(sub {
                $asked = time;
                my $r = $ask->('rolls', 10);
                $refused++ if $r->{status} == 429;
                $waits .= ($r->{headers}{'retry-after'} // 'never') . ' ' if $r->{status} == 429;
                $r->{status} == 200;
            }, 4, 'room again');
            ok($refused, "round $round: nothing is left");
            like($waits, qr/^(?:[12] )+$/, 'for two seconds at most');
            cmp_ok(time - $began, '>=', 2, 'nobody is let in before');
            cmp_ok($asked - $began, '<', LLM::Port::slow(2.5), 'and then at once');
            $began = $asked;
        }
    };

    subtest 'a reload forgets nothing' => sub {
        is($ask->('day', 1000)->{status}, 200, 'all of the day\'s budget');
        $t->reload;
        is($ask->('day', 10)->{status}, 429, 'is spent for the new workers, too');
    };
    $t->done;
});
done_testing();
