# Case 53 over a new binary (USR2): what both binaries book, in whatever order they end, is spent
# once, as are budgets; what the admin API changes meanwhile is there afterwards. With the state file,
# with Redis, and with both.

use strict;
use warnings;
use LLM::Test;
use LLM::Guardian;
use LLM::Port;
use LLM::Provider;
use LLM::Redis;

my $p = LLM::Provider->new;
my $redis = LLM::Redis->new;
my $master = 'sk-master-of-upgrades';
my @auth = (headers => { 'x-api-key' => $master });
my $usage = { prompt_tokens => 1000, completion_tokens => 100 };     # 0.0013 dollars
my $turn = 0;

# A gateway, as a machine of its own in Redis; %o: state, redis, size, workers
sub machine {
    my (%o) = @_;
    my $t = LLM::Test->new(daemon => 1, workers => $o{workers} // 2);
    my $dir = $t->dir . '/state';

    mkdir $dir or die "$dir: $!";
    chmod 0777, $dir;
    @$t{qw(asked prefix state_file)} = (0, 'm' . ++$turn . ':', "$dir/llm.state");
    @$t{qw(others restarted is_shared)} = (0, 0, $o{redis});
    configure($t, %o);
    $t->start;
    return $t;
}

sub configure {
    my ($t, %o) = @_;
    my $state = $o{state} ? "state=$t->{state_file}" : '';
    my $shared = $o{redis} ? 'llm_redis ' . ($o{url} // $redis->url) . " prefix=$t->{prefix} timeout=1s on_outage=local;" : '';

    $t->http_conf(<<"END");
    llm_zone ${\($o{size} // '8m')} $state;
    $shared
    llm_master_key $master;
    llm_key sk-ada { alias ada; user ada; max_budget 100; }
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; }
    llm_model a { deployment chat/gpt-a input_cost=0.000001 output_cost=3e-6; }
    log_format spent '\$llm_cost';
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; access_log logs/spent.log spent; }
        location = /count { default_type text/plain; return 200 \$llm_in_flight; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; allow 127.0.0.1; deny all; }
    }
END
    return;
}

sub question { return { model => 'a', messages => [{ role => 'user', content => 'hi' }], @_ } }

sub ask {
    my ($t, $times, %o) = @_;
    my $key = $o{key} // 'sk-ada';

    $p->on('/v1/chat/completions' => json(200, chat_answer(usage => $usage)));
    for (1 .. $times // 1) {
        my $r = $t->post('/v1/chat/completions', question(), headers => { 'x-api-key' => $key });
        $t->{others}++ if $key ne 'sk-ada';
        $r->{status} == 200 ? $t->{asked}++ : fail("$r->{status} $r->{body}");
    }
    return;
}

# Begun, and held before its end.
sub open_stream {
    my ($t) = @_;

    $p->on('/v1/chat/completions' => sse(chat_stream(text => 'one two three', usage => $usage),
        wait_for_release => [2]));
    my $s = $t->stream('/v1/chat/completions', question(stream => JSON::PP::true(),
        stream_options => { include_usage => JSON::PP::true() }),
        headers => { 'x-api-key' => 'sk-ada' });
    $s->next_event or die 'no stream: ' . $s->body;
    return $s;
}

sub end_streams {
    my ($t, @streams) = @_;

    $p->wait_held(scalar @streams);
    $p->release;
    for my $s (@streams) {
        my @events = $s->all_events;
        is($events[-1]{data}, '[DONE]', 'a stream ends whole');
        $s->close;
        $t->{asked}++;
    }
    return;
}

sub admin {
    my ($t, $path, $body) = @_;

    return $body ? $t->post("/admin$path", $body, @auth) : $t->get("/admin$path", @auth);
}

sub make_key { my ($t, $key) = @_; return admin($t, '/key/generate', { key => $key })->{status} }

sub dollars { my $text = sprintf '%.4f', $_[0] * 0.0013; $text =~ s/\.?0+\z//; return $text }

# What was spent, what is left of a budget, and what the metrics say.
sub told {
    my ($t, $is_in_flight) = @_;
    my $activity = eval { admin($t, '/global/activity')->{json} } // {};
    my ($all) = eval { admin($t, '/global/spend')->{json}{spend} };
    my $page = eval { $t->get('/metrics')->{body} } // '';
    my ($ada) = $page =~ /^llm_budget_remaining_dollars\{[^}]*"ada"[^}]*\} (\S+)$/m;
    my ($cost) = $page =~ /^llm_cost_dollars_total\{[^}]*\} (\S+)$/m;

    return join ' ', $activity->{sum_api_requests} // 'none', $all // 'none',
        $t->{is_shared} || $is_in_flight ? () : ('left', $ada // 'none'), 'cost', $cost // 'none';
}

sub agrees {
    my ($t, $name) = @_;
    my ($told, $n) = ('', $t->{asked});
    # Streams hold a part of their budget, and a worker knows what Redis counts a while after it was
    # asked.
    my $is_in_flight = $t->get('/count')->{body} ne '0';
    my $wanted = join ' ', $n, dollars($n),
        $t->{is_shared} || $is_in_flight ? () : ('left', 100 - dollars($n - $t->{others})),
        'cost', $n == $t->{restarted} ? 'none' : dollars($n - $t->{restarted});

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    # A number that is too high for a moment is as wrong as one that stays so.
    $t->wait_for(sub { ($told = told($t, $is_in_flight)) eq $wanted }, 8, $name);
    is($told, $wanted, $name);
    return;
}

# What Redis has in all, under the name of one machine.
sub in_redis {
    my ($t, $name) = @_;
    my $base = "$t->{prefix}\{spend}";
    my @sums;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $t->wait_for(sub { @sums = split / /, $redis->cmd('HGET', "$base:sum:0", "0\t0\t") // '';
        ($sums[0] // 0) == $t->{asked} }, 8, $name);
    is("$sums[0] $sums[-1]", "$t->{asked} " . $t->{asked} * 1_300_000, $name);
    return;
}

sub all_of { my ($pid) = @_; return ($pid, LLM::Guardian::children($pid)) }

sub gone {
    my ($t, @pids) = @_;

    return ok($t->wait_for(sub { !grep { LLM::Port::alive($_) } @pids }, 10, 'the end'), 'it ends');
}

# Ends in grace, and only the worker with the stream is left.
sub drains {
    my ($t, $master) = @_;

    kill 'QUIT', $master;
    $t->wait_for(sub { my @left = LLM::Guardian::children($master); @left == 1 }, 10,
        'one worker to be left');
    return;
}

# Back to the old binary: the new one is told to end, the old one to have workers again.
sub take_back {
    my ($t, $old, $signal) = @_;
    my @new = all_of($t->{pid});

    kill $signal, $signal eq 'KILL' ? @new : $new[0];
    gone($t, @new);
    $t->{pid} = $old;
    kill 'HUP', $old;
    $t->wait_for(sub { $t->worker_pids == 2 }, 10, 'workers of the old binary');
    return;
}

sub restarts {
    my ($t, %o) = @_;

    $t->stop;
    $t->start;
    $t->{restarted} = $t->{asked};
    agrees($t, 'after a restart') if $o{state};
    return;
}

# Without a state file it hears of keys after its start.
sub knows {
    my ($t, @keys) = @_;

    for my $key (@keys) {
        $t->wait_for(sub { admin($t, "/key/info?key=$key")->{status} == 200 }, 5, "the key $key");
        ask($t, 1, key => $key);
    }
    return;
}

# Around the start of a process that gives up (t/tools/asan_nginx.sh).
sub giving_up {
    my ($t, $start) = @_;

    $t->write_file('gives-up', '');
    my $result = $start->();
    unlink "$t->{dir}/gives-up";
    return $result;
}

sub ends { my ($t) = @_; $t->stop; $t->cleanup; return }

for my $kind (['the state file', state => 1], ['Redis', redis => 1],
    ['the state file and Redis', state => 1, redis => 1])
{
    my ($name, %o) = @$kind;

    subtest "case 53: a new binary, $name" => sub {
        my $t = machine(%o);
        ask($t, 2);
        is(make_key($t, 'sk-before'), 200, 'a key of the old one');
        my @streams = map { open_stream($t) } 1 .. 4;
        my @old = all_of($t->{pid});
        ask($t, 1);    # maybe nowhere but in memory
        is($t->upgrade_binary(streams => 1), '', 'it takes over');
        agrees($t, 'it knows all that was spent');
        is($t->get('/count')->{body}, 4, 'and what is in flight');
        ask($t, 3);
        is(make_key($t, 'sk-after'), 200, 'a key of the new one');
        agrees($t, 'both have spent');
        end_streams($t, @streams);
        gone($t, @old);
        agrees($t, 'streams of the old one are spent as well');
        is($t->get('/count')->{body}, 0, 'and nothing in flight');
        $t->reload;
        ask($t, 1);
        agrees($t, 'a reload');
        in_redis($t, 'Redis has it once') if $o{redis};
        restarts($t, %o);
        knows($t, qw(sk-before sk-after));
        in_redis($t, 'Redis goes on') if $o{redis};
        ends($t);
    };

    subtest "case 53: a new binary that is taken back, $name" => sub {
        my $t = machine(%o);
        ask($t, 2);
        my $old = $t->{pid};
        my $stream = open_stream($t);
        is($t->upgrade_binary(keep_old => 1), '', 'it serves');
        ask($t, 3);
        is(make_key($t, 'sk-of-the-new'), 200, 'a key of the new one');
        take_back($t, $old, 'QUIT');
        agrees($t, 'the old one knows it');
        ask($t, 1);
        ask($t, 1, key => 'sk-of-the-new');
        end_streams($t, $stream);
        agrees($t, 'all is spent');
        in_redis($t, 'Redis has it once') if $o{redis};
        $t->stop;
        $t->start;
        knows($t, 'sk-of-the-new');
        ends($t);
    };

    subtest "case 53: two new binaries and kill -9, $name" => sub {
        my $t = machine(%o);
        ask($t, 1);
        my $old = $t->{pid};
        my @old = all_of($old);
        my $stream = open_stream($t);
        is($t->upgrade_binary(streams => 1), '', 'the second takes over');
        ask($t, 2);
        end_streams($t, $stream);
        gone($t, @old);
        ask($t, 1);
        my $second = $t->{pid};
        $stream = open_stream($t);
        is($t->upgrade_binary(keep_old => 1), '', 'so does the third');
        ask($t, 2);
        agrees($t, 'it knows all');
        take_back($t, $second, 'KILL');
        agrees($t, 'it is killed with its workers');
        ask($t, 1);
        end_streams($t, $stream);
        agrees($t, 'the second goes on');
        my @second = all_of($second);
        is($t->upgrade_binary(keep_old => 1), '', 'a fourth');
        ask($t, 2);
        kill 'KILL', @second;
        gone($t, @second);
        ask($t, 1);
        agrees($t, 'the second is killed');
        in_redis($t, 'Redis has it once') if $o{redis};
        if ($o{state}) {
            my $nano = 1_300_000 * $t->{asked};
            $t->wait_for(sub { $t->slurp('state/llm.state.spend') =~ /^0\t0\t$t->{asked}\t/m
                && ($o{redis} || $t->slurp('state/llm.state.budgets') =~ / $nano$/m) }, 5, 'the files');
            $t->crash_nginx;
            $t->start;
            $t->{restarted} = $t->{asked};
            agrees($t, 'all crash, and it begins anew');
            ask($t, 1);
            in_redis($t, 'Redis goes on') if $o{redis};
        }
        $t->expect_log(qr/signal 9|locked by/) if $t->log_text =~ /signal 9|locked by/;
        ends($t);
    };
}

# What Redis has been told is not taken back by a machine that knows less after a crash.
subtest 'case 53: a crash between the file and Redis' => sub {
    my $t = machine(state => 1, redis => 1);
    my $in_its_way = "$t->{state_file}.spend.new";
    ask($t, 2);
    in_redis($t, 'before');
    mkdir $in_its_way or die "$in_its_way: $!";
    ask($t, 1);
    $t->wait_for(sub { (() = $t->log_text =~ /the state in .* could not be written/g) > 2 }, 8,
        'the disk to take nothing');
    my ($told) = split / /, $redis->cmd('HGET', "$t->{prefix}\{spend}:sum:0", "0\t0\t");
    is($told, 2, 'Redis does not know more than the disk');
    rmdir $in_its_way or die "$in_its_way: $!";
    in_redis($t, 'it does when the file can be written');
    $t->crash_nginx;
    $t->start;
    $t->{restarted} = $t->{asked};
    agrees($t, 'all that Redis knew is there after a crash');
    ask($t, 1);
    in_redis($t, 'and more is added to it');
    $t->expect_log(qr/the state in .* could not be written/);
    ends($t);
};

subtest 'the last worker is killed while it drains' => sub {
    my $t = machine(state => 1, workers => 1);
    my $stream = open_stream($t);
    # It does not end by itself.
    my $half = $t->stream(undef, undef, raw => "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        . "x-api-key: sk-ada\r\nContent-Length: 100\r\n\r\n{");
    my @old = all_of($t->{pid});
    is($t->get('/count')->{body}, 1, 'which the only worker has read by now');
    drains($t, $old[0]);
    $t->expect_log(qr/worker process $old[1] exited on signal 9/);
    end_streams($t, $stream);
    # The client hears of the end a moment before it is booked.
    $t->wait_for(sub { $t->slurp('logs/spent.log') =~ /^0\.0013$/m }, 5, 'its line in the log');
    $t->kill_worker('KILL', $old[1]);
    gone($t, @old);
    $t->stop_nginx;
    $t->start;
    $t->{restarted} = $t->{asked};
    agrees($t, 'the request was booked');
    ends($t);
};

subtest 'a binary dies with the lock of the zone' => sub {
    my $t = machine(state => 1);
    ask($t, 1);
    my @gone = all_of($t->{pid});
    is($t->upgrade_binary, '', 'a new binary');
    gone($t, @gone);
    my ($memory) = grep { (readlink($_) // '') =~ /memfd:llm_zone/ } glob "/proc/$t->{pid}/fd/*";
    ok($memory, 'it has the memory of the old one');
    open my $zone, '+<:raw', $memory or die "$memory: $!";
    # The lock is the first word, and says who holds it.
    syswrite $zone, pack 'Q', $gone[1];
    close $zone;
    ask($t, 1);
    agrees($t, 'nobody waits for ever');
    $t->log_like(qr/the zone was locked by $gone[1], which is gone/, 'and it is said');
    ends($t);
};

subtest 'Redis is away at the end' => sub {
    for my $case ([redis => 1], [redis => 1, state => 1]) {
        my ($t, %o) = (machine(@$case), @$case);
        ask($t, 1);
        in_redis($t, 'before');
        my $mine = LLM::Redis->new;
        configure($t, %o, url => $mine->url);
        $t->reload;
        $mine->kill;
        $t->wait_for(sub { ask($t, 1); $t->log_text =~ /redis .* is away/ }, 8, 'to be noticed');
        $t->expect_log(qr/redis .* is away/);
        $t->stop;
        my $is_said = $t->log_text =~ /\[error\].*what was spent .* is lost/ ? 1 : 0;
        is($is_said, $o{state} ? 0 : 1, $o{state} ? 'the file has it' : 'it is said that it is lost');
        configure($t, %o);
        $t->start;
        in_redis($t, 'Redis is told later') if $o{state};
        ends($t);
        $mine->stop;
    }
};

subtest 'a zone of another size' => sub {
    my $t = machine(state => 1);
    my $old = $t->{pid};
    my $stream = open_stream($t);
    ask($t, 1);
    configure($t, state => 1, size => '12m');
    ok(!$t->reload(may_fail => 1), 'no reload');
    $t->expect_log(qr/\[emerg\].*the size of llm_zone with state=.*restart/);
    # The new binary reads the configuration, and gives up.
    giving_up($t, sub {
        kill 'USR2', $old;
        $t->wait_for(sub { $t->log_text =~ /new binary process \d+ exited/ }, 10, 'its end');
    });
    $t->expect_log(qr/\[(?:emerg|alert)\].*(?:new binary|llm_zone)/);
    ok(LLM::Port::alive($old), 'the old one goes on');
    ask($t, 1);
    end_streams($t, $stream);
    agrees($t, 'nothing is lost');
    configure($t, state => 1);
    $t->reload;
    is($t->upgrade_binary, '', 'with the old size it is taken over');
    agrees($t, 'with all that was spent');
    configure($t, state => 1, size => '12m');
    restarts($t, state => 1);
    ends($t);

    $t = machine(redis => 1);
    $stream = open_stream($t);
    ask($t, 2);
    my @workers = $t->worker_pids;
    configure($t, redis => 1, size => '12m');
    ok($t->reload, 'without a state file a reload makes a new zone');
    ask($t, 2);
    end_streams($t, $stream);
    gone($t, @workers);
    in_redis($t, 'Redis has what both spent');
    configure($t, redis => 1, size => '16m');
    $stream = open_stream($t);
    ask($t, 1);
    my @old = all_of($t->{pid});
    is($t->upgrade_binary(streams => 1), '', 'as does a new binary');
    $t->log_like(qr/\[warn\].*zone "llm" of the old binary has another size/, 'which says so');
    ask($t, 2);
    end_streams($t, $stream);
    gone($t, @old);
    in_redis($t, 'Redis has what both spent');
    ends($t);
};

subtest 'a state file has one owner' => sub {
    my $t = machine(state => 1);
    my $other = LLM::Test->new(daemon => 1);
    my $stream = open_stream($t);
    my @old = all_of($t->{pid});
    ask($t, 1);
    $other->{state_file} = $t->{state_file};
    $other->{prefix} = '';
    configure($other, state => 1);
    my ($code, $text) = $other->config_test($other->{http});
    is($code, 0, 'nginx -t looks at it only') or diag($text);
    my $start = sub { giving_up($other, sub { eval { $other->start; 1 } }) };
    ok(!$start->(), 'a second nginx does not start');
    $other->expect_log(qr/\[emerg\].*\Q$t->{state_file}\E.*is in use/);
    # One that still drains is no other: whoever comes too early hears of it.
    drains($t, $old[0]);
    ok(!$start->(), 'nor while the first one drains');
    end_streams($t, $stream);
    gone($t, @old);
    $t->stop_nginx;
    @$other{qw(asked restarted others)} = ($t->{asked}, $t->{asked}, 0);
    $other->start;
    agrees($other, 'then it has everything');
    ends($other);
    ends($t);
};

done_testing();
