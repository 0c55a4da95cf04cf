# A budget is compared with what was spent, also with what was spent before it was set, before it got
# another duration, or under a configuration that knew no budget.

use strict;
use warnings;
use LLM::Test;
use LLM::Clock;
use LLM::Limits;
use LLM::Metrics;
use LLM::Provider;
use LLM::Redis;
use File::Temp ();
use Time::Local qw(timegm);

my $day = 86_400;
my $master = 'sk-master-of-budgets';
my $dir = File::Temp::tempdir('llm-clock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($t, $p, $store);    # who is asked; each answer costs ten cents

sub gateway {
    my ($at, %o) = @_;

    $at->http_conf(<<"END");
    llm_zone 8m @{[$o{zone} // '']}; llm_timezone UTC; @{[$o{store} // $store->conf]}
    llm_master_key $master;
    llm_key sk-of-conf { alias conf; @{[$o{key} // '']} }
    llm_team fixed { @{[$o{team} // '']} }
    llm_key sk-of-fixed { team fixed; }
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; }
    llm_model m { deployment chat/m input_cost=0 output_cost=0.0001; }
    llm_model other { deployment chat/other input_cost=0 output_cost=0.0001; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; add_header X-Worker \$pid; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; }
    }
END
    return $at;
}

sub admin {
    my ($path, $body, %o) = @_;
    my @key = (headers => { Authorization => "Bearer $master" });
    my $at = $o{at} // $t;
    my $r = $body ? $at->post("/admin$path", $body, @key) : $at->get("/admin$path", @key);

    is($r->{status}, 200, $path) or diag($r->{body}) unless $r->{status} == 200;
    return $r->{json};
}

sub ask {
    my ($key, %o) = @_;
    my $at = delete $o{at} // $t;
    my $r = $at->post('/v1/chat/completions', { model => 'm', max_tokens => 10,
        messages => [{ role => 'user', content => 'hi' }], %o },
        headers => { Authorization => "Bearer $key" });

    $store->wait_settled if $store;
    return $r;
}

# An answer is there a moment before it is booked.
sub spends {
    my ($key, $times, $sum, %o) = @_;
    my $spent = '';

    is(ask($key, %o)->{status}, 200, 'asked') for 1 .. $times;
    $t->wait_for(sub { $spent = admin("/key/info?key=$key", undef, at => $o{at})->{info}{spend};
        abs($spent - $sum) < 1e-9 }, 5, "$sum booked") or diag("spent: $spent");
    return;
}

sub new_key {
    my ($times, %o) = @_;
    my $key = admin('/key/generate', { %o })->{key};

    spends($key, $times, $times / 10);
    return $key;
}

sub is_refused {
    my ($key, $what, $name) = @_;
    my $r = ask($key);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, 429, $name) or diag($r->{body});
    is($r->{json}{error}{code}, 'budget_exceeded', 'code');
    like($r->{json}{error}{message}, $what, 'whose and how high');
    return;
}

# What the gauges say, "period left".
sub left_is {
    my ($scope, $name, $wanted, $why) = @_;
    my $found = '';

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $t->wait_for(sub {
        my $m = LLM::Metrics->get($t);
        $found = join ', ', sort map { my $at = $_->{labels};
            ($at->{period} || 'ever') . ' ' . $m->value('llm_budget_remaining_dollars', model => '', %$at) }
            grep { $_->{labels}{scope} eq $scope && $_->{labels}{name} eq $name }
            $m->_lines('llm_budget_limit_dollars');
        $found eq $wanted;
    }, 20, $why);
    return is($found, $wanted, $why);
}

sub new_provider {
    my $new = LLM::Provider->new(dir => $t->dir);
    my %usage = (usage => { prompt_tokens => 1, completion_tokens => 1000 });

    $new->on({ body => qr/"stream":true/ }, sse(chat_stream(text => 'one two', %usage),
        wait_for_release => 2));
    $new->on({ path => '/v1/chat/completions' }, json(200, chat_answer(%usage)));
    return $new;
}

LLM::Limits->each_store(sub {
    ($store) = @_;
    $t = LLM::Test->new(workers => 2);
    $p = new_provider();
    gateway($t)->start;

    subtest 'a key is cut off by a budget below what it has spent' => sub {
        my $key = new_key(2);
        my $shown = admin('/key/update', { key => $key, max_budget => 0.15 });
        is_refused($key, qr/limit of key.* is reached: \$0\.15\b/, 'the next request');
        my $r = $t->post('/v1/messages', { model => 'm', max_tokens => 10,
            messages => [{ role => 'user', content => 'hi' }] }, headers => { 'x-api-key' => $key });
        is("$r->{status} $r->{json}{type}", '429 error', 'in the dialect of the caller');
        admin('/key/update', { key => $key, max_budget => undef });
        is(ask($key)->{status}, 200, 'without a budget it goes on');
        spends($key, 0, 0.3);
        admin('/key/update', { key => $key, max_budget => 0.25 });
        is_refused($key, qr/\$0\.25\b/, 'what it spent meanwhile counts as well');
    };

    subtest 'of one above it the rest is left' => sub {
        my $key = new_key(2, key_alias => 'rest');
        admin('/key/update', { key => $key, max_budget => 0.35 }) for 1 .. 3;
        left_is('key', 'rest', 'ever 0.15', 'however often it is set');
        is(ask($key)->{status}, 200, 'one') for 1, 2;
        is_refused($key, qr/\$0\.35\b/, 'and no more');
    };

    subtest 'what was counted already, and what runs, counts once' => sub {
        my $key = new_key(1, key_alias => 'runs', max_budget => 1);
        my $s = $t->stream('/v1/chat/completions', { model => 'm', max_tokens => 1000,
            stream => JSON::PP::true(), messages => [{ role => 'user', content => 'hi' }] },
            headers => { Authorization => "Bearer $key" });
        is($s->status, 200, 'a stream');
        admin('/key/update', { key => $key, max_budget => 1.5 });
        left_is('key', 'runs', 'ever 1.3', 'what it holds is held');
        $p->release;
        $s->read_body;
        spends($key, 0, 0.2);
        admin('/key/update', { key => $key, max_budget => 2 });
        left_is('key', 'runs', 'ever 1.8', 'afterwards');
    };

    subtest 'budgets of a period' => sub {
        my $key = new_key(2, key_alias => 'month');
        admin('/key/update', { key => $key, max_budget => 0.15, budget_duration => '30d' });
        is_refused($key, qr/\$0\.15 per month/, 'this month');
        admin('/key/update', { key => $key, max_budget => 1, budget_duration => '48h', budget_limits =>
            [{ max_budget => 2, budget_duration => '30d' }, { max_budget => 3, budget_duration => undef },
            { max_budget => 4, budget_duration => '10s' }] });
        left_is('key', 'month', '10s 4, 2d/rolling 0.8, 30d 1.8, ever 2.8', 'several');
        is(ask($key)->{status}, 200, 'one more');
        left_is('key', 'month', '10s 3.9, 2d/rolling 0.7, 30d 1.7, ever 2.7', 'is counted by all of them');
    };

    subtest 'another duration forgets nothing' => sub {
        my $key = new_key(2, key_alias => 'longer', max_budget => 0.25, budget_duration => '1d');
        admin('/key/update', { key => $key, budget_duration => '30d' });
        left_is('key', 'longer', '30d 0.05', 'the rest');
        is(ask($key)->{status}, 200, 'one');
        is_refused($key, qr/\$0\.25 per month/, 'and no more');
    };

    subtest 'teams, users and customers' => sub {
        my %id = (team_id => 'crew', user_id => 'ada');
        admin('/team/new', { team_id => 'crew' });
        admin('/user/new', { user_id => 'ada', auto_create_key => JSON::PP::false() });
        my $key = admin('/key/generate', { %id })->{key};
        spends($key, 2, 0.2, user => 'shop');
        my $refuses = sub {
            my ($path, $body, $what) = @_;
            admin($path, { %$body, max_budget => 0.15 });
            my $r = ask($key, user => 'shop');
            is($r->{status}, 429, $path);
            like($r->{json}{error}{message}, $what, 'whose');
            admin($path =~ s/new/update/r, { %$body, max_budget => 5 });
            return;
        };
        $refuses->('/team/update', { team_id => 'crew' }, qr/limit of team crew/);
        $refuses->('/user/update', { user_id => 'ada' }, qr/limit of user ada/);
        $refuses->('/customer/new', { user_id => 'shop' }, qr/limit of customer shop/);
        left_is($_->[0], $_->[1], 'ever 4.8', "$_->[0]: the rest")
            for ['team', 'crew'], ['user', 'ada'], ['customer', 'shop'];
        is(ask($key, user => 'shop')->{status}, 200, 'all of them have room again');
    };

    subtest 'less than a nano-dollar' => sub {
        my $key = new_key(0, max_budget => 1e-12);
        is(admin("/key/info?key=$key")->{info}{max_budget}, 1e-9, 'is one, not nothing');
        is(ask($key)->{status}, 200, 'of which something is left');
        is_refused($key, qr/limit of key/, 'until something is spent');
        is(ask(new_key(0, max_budget => 0))->{status}, 429, 'nothing is nothing');
    };

    subtest 'a key that comes again, and one that takes its place' => sub {
        my $key = new_key(2, key => 'sk-again-0123456789');
        admin('/key/delete', { keys => [$key] });
        my $made = admin('/key/generate', { key => $key, max_budget => 0.15 });
        is($made->{spend}, 0.2, 'what was spent under its name is shown');
        is_refused($key, qr/\$0\.15\b/, 'and counts');
        my $new = admin('/key/regenerate', { key => $key, max_budget => 0.45, budget_duration => '30d' });
        is($new->{spend}, 0.2, 'the new one goes on from there');
        is(ask($new->{key})->{status}, 200, 'to its budget') for 1 .. 3;
        is_refused($new->{key}, qr/\$0\.45 per month/, 'and no further');
        admin('/key/delete', { keys => [$new->{key}] });
        is(admin('/key/generate', { key => $new->{key} })->{spend}, 0, 'deleted, its last value begins anew');
        is(admin('/key/generate', { key => $key })->{spend}, 0.5, 'its first one goes on');
    };

    subtest 'soft budgets; one of a model begins at zero' => sub {
        my $key = new_key(2);
        admin('/key/update', { key => $key, soft_budget => 0.15 });
        is(ask($key)->{headers}{'x-llm-soft-budget'}, 'exceeded', 'a soft one alone');
        spends($key, 0, 0.3);
        admin('/key/update', { key => $key, max_budget => 5, budget_duration => '30d' });
        is(ask($key)->{headers}{'x-llm-soft-budget'}, 'exceeded', 'one beside another');
        admin('/key/update', { key => $key, model_max_budget => { m => { budget_limit => 0.05 } } });
        is(ask($key)->{status}, 200, 'of a model');
        is(ask($key)->{status}, 429, 'it counts from then on');
    };

    subtest 'a reload that sets one' => sub {
        spends("sk-of-$_", 2, 0.2) for qw(conf fixed);
        gateway($t, key => 'max_budget 0.15; max_budget 5/30d;', team => 'max_budget 0.15;');
        $t->reload;
        # In Redis it holds a moment later.
        for my $key (qw(conf fixed)) {
            my $r;
            $t->wait_for(sub { ($r = ask("sk-of-$key"))->{status} == 429 }, 5, $key);
            is($r->{status}, 429, "$key: is cut off");
            like($r->{json}{error}{message}, qr/\$0\.15\b/, 'by it');
        }
        my ($spent) = map { 5 - $_->{info}{spend} } admin('/key/info?key=sk-of-conf');
        left_is('key', 'conf', "30d $spent, ever 0", 'what was spent');
        $t->reload;
        left_is('key', 'conf', "30d $spent, ever 0", 'is the same after another one');
    };
    $t->done;
});

# Of the time of day DD 15:00 (UTC) of that month, counted from this one.
sub moment {
    my ($months, $of_month) = @_;
    my (undef, undef, undef, undef, $month, $year) = gmtime;

    $month += $months;
    return timegm(0, 0, 15, $of_month, $month % 12, $year + 1900 + int($month / 12));
}

# Within a period that runs those days count that began in it.
sub days_pass {
    my ($clock) = @_;
    my @periods = qw(12h 1d 1d/rolling 200d/rolling 2d/rolling 30d 30d/rolling);
    my $pass_to = sub { $clock->pass($_[0] - time - $clock->{ahead}) };

    gateway($t)->start;
    $pass_to->(moment(1, 10));
    my $key = new_key(1, key_alias => 'days');
    $pass_to->(moment(2, 14));
    spends($key, 1, 0.2);
    $pass_to->(moment(2, 15));
    spends($key, 2, 0.4);
    admin('/key/update', { key => $key, max_budget => 9, budget_limits =>
        [map { { max_budget => 9, budget_duration => $_ } } @periods] });
    left_is('key', 'days', '12h 9, 1d 8.8, 1d/rolling 8.8, 200d/rolling 8.6, 2d/rolling 8.7, 30d 8.7, '
        . '30d/rolling 8.7, ever 8.6', 'the afternoon of the third day');
    return if $store->name eq 'zone';    # whose windows have a clock that cannot be set
    $clock->pass($day);
    left_is('key', 'days', '12h 9, 1d 9, 1d/rolling 9, 200d/rolling 8.6, 2d/rolling 8.8, 30d 8.7, '
        . '30d/rolling 8.7, ever 8.6', 'a day later each has left its window');
    return;
}

subtest 'days' => sub {
    my $clock = LLM::Clock->new($dir);
    local %ENV = (%ENV, $clock->env);
    LLM::Limits->each_store(sub {
        ($store) = @_;
        $t = LLM::Test->new(env => { $clock->env });
        $p = new_provider();
        days_pass($clock);
        $t->done;
    });
};

subtest 'a start' => sub {
    $store = undef;
    $t = LLM::Test->new;
    $p = new_provider();
    my %conf = (zone => 'state=%%DIR%%/llm.state', store => '');
    gateway($t, %conf)->start;
    spends('sk-of-conf', 2, 0.2);
    $t->stop;
    gateway($t, %conf, key => 'max_budget 0.15;')->start;
    is_refused('sk-of-conf', qr/\$0\.15\b/, 'with a budget');
    $t->done;
};

subtest 'two machines on one Redis' => sub {
    my $redis = LLM::Redis->new;
    my %conf = (store => "llm_redis ${\$redis->url} timeout=1s;");
    my $there = LLM::Test->new;
    $t = LLM::Test->new(workers => 2);
    $p = new_provider();
    mkdir $t->dir . '/state' or die $!;
    chmod 0777, $t->dir . '/state';
    gateway($t, %conf, zone => 'state=%%DIR%%/state/llm.state')->start;
    gateway($there, %conf)->start;

    my $key = new_key(1);
    my $status = 0;
    $t->wait_for(sub { ($status = ask($key, at => $there)->{status}) == 200 }, 5, 'the key');
    is($status, 200, 'asked there');
    spends($key, 0, 0.2);
    admin('/key/update', { key => $key, max_budget => 0.15 });
    is_refused($key, qr/\$0\.15\b/, 'here: what both have spent counts');
    $there->wait_for(sub { ($status = ask($key, at => $there)->{status}) == 429 }, 5, 'the budget');
    is($status, 429, 'there, too');

    spends("sk-of-$_", 1, 0.1) for qw(conf fixed);
    spends('sk-of-conf', 1, 0.2, at => $there);
    gateway($there, %conf, key => 'max_budget 0.15;');
    $there->reload;
    $there->wait_for(sub { ($status = ask('sk-of-conf', at => $there)->{status}) == 429 }, 5, 'it');
    is($status, 429, 'a configuration\'s: what was spent elsewhere counts');

    my $away = new_key(2);
    my $hash = admin("/key/info?key=$away")->{key};
    $redis->pause;
    admin('/key/update', { key => $away, max_budget => 0.15 });
    is_refused($away, qr/\$0\.15\b/, 'set while Redis is silent: it holds here');
    $redis->resume;
    my $counted = 0;
    $t->wait_for(sub {
        my $counters = $redis->counters;
        ($counted) = map { $counters->{$_}{counted} } grep { /^key:budget:ever:.*$hash/ } keys %$counters;
        $counted;
    }, 10, 'Redis is back');
    is($counted, 2e8, 'and in Redis, when that speaks again');
    $t->expect_log(qr/redis/);
    $there->stop;
    $there->cleanup;
    $t->done;
    $redis->stop;
};

# Counted in Redis, nano-dollars: the budget of all time of a key.
sub counted {
    my ($redis, $id) = @_;
    my $counters = $redis->counters;
    my ($name) = grep { /^key:budget:ever:.*\Q$id\E/ } keys %$counters;

    return $name ? $counters->{$name}{counted} : 0;
}

# Redis has what these keys have spent, no more, and they are refused.
sub become_refused {
    my ($redis, $name, %key) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $id (sort keys %key) {
        my ($spent, $counted) = (0, 0);
        $t->wait_for(sub {
            $spent = sprintf '%.9f', admin("/key/info?key=$key{$id}")->{info}{spend};
            $counted = sprintf '%.9f', counted($redis, $id) / 1e9;
            $counted >= $spent;
        }, 20, "$name: all that was spent");
        is($counted, $spent, "$name: Redis has what was spent");
        my $r = ask($key{$id});
        is($r->{status}, 429, 'and the next one is refused') or diag($r->{body});
    }
    return;
}

subtest 'what Redis has lost, or never got' => sub {
    my $redis = LLM::Redis->new;
    my %conf = (store => "llm_redis ${\$redis->url} timeout=1s on_outage=allow;",
        key => 'max_budget 0.95;');
    $store = undef;
    $t = LLM::Test->new(workers => 2);
    $p = new_provider();
    gateway($t, %conf)->start;
    my $key = admin('/key/generate', { max_budget => 0.95 })->{key};
    my %keys = map { admin("/key/info?key=$_")->{key} => $_ } $key, "sk-of-conf";

    spends($_, 10, 1) for values %keys;
    become_refused($redis, 'at first', %keys);

    $redis->kill;
    $redis->start;
    become_refused($redis, 'began empty', %keys);

    my %later = map { admin("/key/info?key=$_")->{key} => $_ }
        map { admin('/key/generate', { max_budget => 0.25 })->{key} } 1, 2;
    my ($reload, $killed) = sort keys %later;
    $redis->pause;
    spends($later{$reload}, 3, 0.3);
    $t->reload;
    $redis->resume;
    become_refused($redis, 'a reload while it was silent', $reload => $later{$reload});
    ok($t->log_text !~ /away for too long/, 'nobody says that it was away for long');
    $t->log_like(qr/redis is away at the end of this worker/, 'but that it was at the end');

    $redis->pause;
    spends($later{$killed}, 3, 0.3);
    for my $pid ($t->worker_pids) {
        $t->kill_worker('KILL', $pid);
        $t->expect_log(qr/worker process $pid exited on signal 9/);
    }
    $redis->resume;
    become_refused($redis, 'workers that were killed then', $killed => $later{$killed});
    become_refused($redis, 'all the same', %keys);

    $redis->cmd('FLUSHALL');
    is(counted($redis, $_), 0, 'flushed') for keys %keys;
    become_refused($redis, 'flushed', %keys);
    $t->expect_log(qr/redis/);
    $t->done;
    $redis->stop;
};

# What it used stands in the table that all workers see before it is counted in Redis.
subtest 'a worker that hands in late' => sub {
    my $redis = LLM::Redis->new;
    $store = undef;
    $t = LLM::Test->new(workers => 2);
    $p = new_provider();
    gateway($t, store => "llm_redis ${\$redis->url} timeout=1s lease=3s on_outage=allow;")->start;
    my $spent = 0;
    my $key = new_key(1, max_budget => 9);
    my $hash = admin("/key/info?key=$key")->{key};
    my $late = (sort { $a <=> $b } $t->worker_pids)[1];    # the other one raises
    my $open = sub { $t->stream('/v1/chat/completions', { model => 'm', max_tokens => 10,
        stream => JSON::PP::true(), messages => [{ role => 'user', content => 'hi' }] },
        headers => { Authorization => "Bearer $key" }) };
    my $calls_pass = sub {
        my ($many) = @_;
        my $calls = $redis->commands->{evalsha} // 0;
        return $t->wait_for(sub { ($redis->commands->{evalsha} // 0) >= $calls + $many }, 30, 'many calls');
    };

    for my $round (['CONT', 'goes on'], ['KILL', 'is killed']) {
        my ($signal, $name) = @$round;
        my @streams = $open->();
        push @streams, $open->() while $streams[-1]->header('X-Worker') != $late && @streams < 100;
        is($streams[-1]->header('X-Worker'), $late, "$name: it has a stream");
        $redis->kill;
        $p->release;
        $_->read_body for @streams;
        spends($key, 0, $spent = sprintf '%.1f', ($spent || 0.1) + 0.1 * @streams);
        kill 'STOP', $late;
        $redis->start;
        $calls_pass->(25);
        my $counted = counted($redis, $hash) / 1e9;
        cmp_ok($counted, '<', $spent - 0.05, 'nothing is raised while it holds something back');
        kill $signal, $late;
        $t->expect_log(qr/worker process $late exited on signal 9/) if $signal eq 'KILL';
        $t->wait_for(sub { counted($redis, $hash) / 1e9 > $spent - 0.05 }, 20, 'the rest');
        $calls_pass->(25);
        is(sprintf('%.1f', counted($redis, $hash) / 1e9), $spent, 'all is counted, once');
    }
    $t->expect_log(qr/redis/);
    $t->done;
    $redis->stop;
};

done_testing();
