# The gauges of budgets: what is left of them, wherever the key, team, user or customer was made, and
# never more of them than a page can bear.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Provider;
use LLM::Redis;
use List::Util qw(sum0);

my $redis = LLM::Redis->new;
my ($t, $p);

sub gateway {
    my ($store) = @_;

    $t = LLM::Test->new(workers => 2);
    $p = LLM::Provider->new(dir => $t->dir);
    $t->http_conf(<<"END");
    llm_zone 16m;
    $store
    llm_master_key sk-master;
    llm_team fixed { max_budget 7/30d; }
    llm_key sk-fixed { alias fixed; team fixed; max_budget 1/1d; max_budget 5; max_budget 6/12h;
        model_max_budget a 2/1d; }
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; }
    llm_model a { deployment chat/gpt-a input_cost=0.000001 output_cost=3e-6; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; }
    }
END
    $t->start;
    $p->script(json(200, chat_answer(usage => { prompt_tokens => 1000, completion_tokens => 100 })));
    return;
}

sub admin {
    my ($path, $body) = @_;
    my $r = $t->post("/admin$path", $body, headers => [Authorization => 'Bearer sk-master']);

    is($r->{status}, 200, $path) or diag($r->{body}) unless $r->{status} == 200;
    return $r->{json};
}

sub ask {
    my ($key, %more) = @_;
    my $r = $t->post('/v1/chat/completions', { model => 'a', %more,
        messages => [{ role => 'user', content => 'hi' }] }, headers => [Authorization => "Bearer $key"]);

    is($r->{status}, 200, 'asked') unless $r->{status} == 200;
    return;
}

# {"scope name period", and " model" of one => "left of limit"}
sub budgets {
    my $m = LLM::Metrics->get($t);
    my %found;

    for my $line ($m->_lines('llm_budget_limit_dollars')) {
        my $at = $line->{labels};
        my $name = join ' ', @$at{qw(scope name period)}, $at->{model} // ();
        my $left = $m->value('llm_budget_remaining_dollars', model => '', %$at);
        fail("$name is there twice") if $found{$name};
        $found{$name} = "$left of $line->{value}";
    }
    return \%found;
}

sub becomes {
    my ($wanted, $name) = @_;
    my $found;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $t->wait_for(sub { $found = budgets(); "@{[map { qq($_ $found->{$_}) } sort keys %$found]}"
        eq "@{[map { qq($_ $wanted->{$_}) } sort keys %$wanted]}" }, 20, $name);
    return is_deeply($found, $wanted, $name);
}

# Redis is asked between the pages: what it counts is on one of the next.
for my $store (['zone', ''], ['redis', "llm_redis ${\$redis->url} timeout=2s;"]) {
    subtest "in the $store->[0]" => sub {
        gateway($store->[1]);
        of_store($store->[0]);
        $t->stop;
        $t->cleanup;
    };
}

sub of_store {
    my ($store) = @_;
    my %fixed = ('key fixed 1d' => '1 of 1', 'key fixed ' => '5 of 5', 'key fixed 12h' => '6 of 6', 'team fixed 30d' => '7 of 7',
        'key model fixed 1d a' => '2 of 2');
    my %made;

    subtest 'of the configuration' => sub {
        becomes(\%fixed, 'at first');
        ask('sk-fixed');
        %fixed = ('key fixed 1d' => '0.9987 of 1', 'key fixed ' => '4.9987 of 5', 'key fixed 12h' => '5.9987 of 6',
            'team fixed 30d' => '6.9987 of 7', 'key model fixed 1d a' => '1.9987 of 2');
        becomes(\%fixed, 'after a request');
    };

    subtest 'made at run time' => sub {
        admin('/team/new', { team_id => 'crew', max_budget => 2 });
        admin('/user/new', { user_id => 'ada', max_budget => 3, budget_duration => '1d',
            auto_create_key => JSON::PP::false() });
        admin('/customer/new', { user_id => 'shop', max_budget => 4 });
        my $key = admin('/key/generate', { key_alias => 'made', team_id => 'crew', user_id => 'ada',
            max_budget => 0.5, budget_duration => '7d' })->{key};
        admin('/key/generate', { key_alias => 'without' });
        ask($key, user => 'shop') for 1 .. 2;
        my $only = admin('/key/generate', { key_alias => 'only',
            model_max_budget => { a => { budget_limit => '8', time_period => '7d' } } })->{key};
        ask($only);
        %made = ('key made 7d' => '0.4974 of 0.5', 'team crew ' => '1.9974 of 2',
            'user ada 1d' => '2.9974 of 3', 'customer shop ' => '3.9974 of 4',
            'key model only 7d a' => '7.9987 of 8');
        becomes({ %fixed, %made }, 'are there');
        admin('/key/update', { key => $key, max_budget => 0.001 });
        $made{'key made 7d'} = '0 of 0.001';
        becomes({ %fixed, %made }, 'another amount; nothing is left below zero');
        admin('/customer/delete', { user_ids => ['shop'] });
        delete $made{'customer shop '};
        becomes({ %fixed, %made }, 'deleted');
        $t->reload;
        becomes({ %fixed, %made }, 'a reload');
    };

    subtest 'case 60: bounded' => sub {
        admin('/key/generate', { max_budget => 1 }) for 1 .. 1100;
        my $all = keys(%fixed) + keys(%made) + 1100;
        my $found = {};
        $t->wait_for(sub { $found = budgets(); ($found->{'key other '} // '') eq
            ($all - 1000) . ' of ' . ($all - 1000) }, 20, 'all of them');
        is(scalar keys %$found, 1001, 'a thousand, and the others');
        is($found->{'key other '}, ($all - 1000) . ' of ' . ($all - 1000), 'in one sum');
        is($found->{$_}, $fixed{$_}, "$_: what is used stays") for sort keys %fixed;
        is($found->{$_}, $made{$_}, "$_: too") for sort keys %made;
        my ($status, $output) = LLM::Metrics->check(LLM::Metrics->get($t)->text);
        is("$status $output", '0 ', 'promtool accepts the page');
    };

    subtest 'Redis is away' => sub {
        $redis->kill;
        $t->wait_for(sub { LLM::Metrics->get($t)->value('llm_redis_up') == 0 }, 5, 'it');
        my $found = budgets();
        is($found->{'key fixed 1d'}, $fixed{'key fixed 1d'}, 'what it said last is shown for a while');
    } if $store eq 'redis';
    return;
}

done_testing();
