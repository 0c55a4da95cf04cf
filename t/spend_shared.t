# What several machines have spent, through Redis: each of them tells the sum of all, exactly once,
# whatever becomes of workers, of machines and of Redis. Each nginx here is such a machine.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Redis;
use POSIX qw(strftime);

my $redis = LLM::Redis->new;
my $first = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $first->dir);
my $master = 'sk-master-of-several-machines';
my %asked;      # requests by model; each costs 0.0013
my %lines;      # of the log, by port

$p->on({ body => qr/gpt/ }, json(200, chat_answer(usage => { prompt_tokens => 1000,
    completion_tokens => 100 })));

sub machine {
    my ($t, %o) = @_;
    my $state = '';

    if ($o{state}) {
        mkdir $t->dir . '/state' or die $!;
        chmod 0777, $t->dir . '/state';
        $state = 'state=' . $t->dir . '/state/llm.state';
    }
    $t->http_conf(<<"END");
    llm_zone 8m $state;
    llm_redis ${\($o{redis} || $redis->url)} timeout=1s on_outage=local;
    llm_master_key $master;
    llm_team crew { alias crew; }
    llm_key sk-of-ada { alias ada; team crew; user ada; tags blue; }
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; }
    llm_model a { deployment chat/gpt-a input_cost=0.000001 output_cost=3e-6; }
    llm_model b { deployment chat/gpt-b input_cost=0.000001 output_cost=3e-6; }
    log_format line '\$llm_cost';
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; access_log logs/spent.log line; }
        location /admin/ { llm_admin; }
    }
END
    $t->start;
    return $t;
}

sub ask {
    my ($t, $model, $times) = @_;

    for (1 .. $times) {
        my $r = $t->post('/v1/chat/completions', { model => $model, user => "customer-of-$model",
            messages => [{ role => 'user', content => 'hi' }] },
            headers => [Authorization => 'Bearer sk-of-ada']);
        $r->{status} == 200 ? $asked{$model}++ : fail("an answer: $r->{body}");
    }
    # An answer is there a moment before its request has ended.
    $lines{$t->port} += $times;
    $t->wait_for(sub { my @all = split /\n/, $t->slurp('logs/spent.log'); @all == $lines{$t->port} },
        5, 'the end of all requests');
    return;
}

sub admin {
    my ($t, $path) = @_;

    return $t->get("/admin$path", headers => [Authorization => "Bearer $master"]);
}

sub total { return ($asked{a} // 0) + ($asked{b} // 0) }
sub dollars { my $text = sprintf '%.4f', $_[0] * 0.0013; $text =~ s/\.?0+\z//; return $text }

# All that is said of all days, of today and of each name.
sub told {
    my ($t) = @_;
    my %views;
    my $json = sub {
        my $r = admin($t, $_[0]);
        $views{ $r->{headers}{'x-llm-spend'} } = 1;
        return $r->{json};
    };
    my $counts = sub {
        my ($path, $name) = @_;
        return map { ("$path $_->{$name}" => $_->{log_count}) } @{$json->("/global/spend/$path")};
    };
    my $hash = $json->('/global/spend/keys')->[0]{api_key} // '';
    my $day = $json->('/user/daily/activity')->{results}[0] // {};

    my %told = (all => $json->('/global/spend')->{spend},
        today => $day->{metrics}{spend},
        'today a' => $day->{breakdown}{models}{a}{metrics}{api_requests} // 0,
        activity => $json->('/global/activity')->{sum_api_requests},
        key => $json->("/key/info?key=$hash")->{info}{spend},
        map { $counts->(@$_) } ['models', 'model'], ['teams', 'team_id'], ['users', 'user_id'],
            ['customers', 'end_user'], ['tags', 'individual_request_tag'], ['provider', 'provider']);
    return { %told, of => join ', ', sort keys %views };
}

sub wanted {
    my $n = total();

    return { of => 'all machines', all => dollars($n), today => dollars($n), 'today a' => $asked{a}, activity => $n,
        key => dollars($n), 'models a' => $asked{a}, 'models b' => $asked{b}, 'teams crew' => $n,
        'users ada' => $n, 'tags blue' => $n, 'customers customer-of-a' => $asked{a},
        'customers customer-of-b' => $asked{b}, 'provider chat' => $n };
}

sub text { my ($told) = @_; return join "\n", map { "$_ " . ($told->{$_} // '') } sort keys %$told }

sub all_agree {
    my ($name, @machines) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $t (@machines) {
        my $told;
        my $wanted = text(wanted());
        $t->wait_for(sub { $told = told($t); text($told) eq $wanted }, 8, $name);
        is_deeply($told, wanted(), $name);
    }
    return;
}

my $one = machine($first, state => 1);
my $two = machine(LLM::Test->new(workers => 2));

subtest 'the sum of both' => sub {
    ask($one, 'a', 3);
    ask($two, 'a', 2);
    ask($two, 'b', 4);
    all_agree('at each of them', $one, $two);
};

subtest 'case 53: a worker is killed, a reload' => sub {
    for my $pid ($two->worker_pids) {
        ask($two, 'b', 1);
        $two->expect_log(qr/worker process $pid exited on signal 9/);
        $two->kill_worker('KILL', $pid);
        $two->wait_for(sub { eval { admin($two, '/global/spend')->{status} == 200 } }, 10, 'a worker');
    }
    all_agree('nothing is lost', $one, $two);
    ask($one, 'a', 1);
    $one->reload;
    ask($one, 'a', 1);
    all_agree('a reload', $one, $two);
};

subtest 'case 53: a machine ends and begins' => sub {
    ask($one, 'b', 1);
    $one->stop;
    $one->start;
    all_agree('with state=', $one, $two);
    # What was spent in the last second is told at the end.
    ask($two, 'b', 3);
    $two->stop;
    all_agree('the other one is off', $one);
    $two->start;
    all_agree('it begins with nothing', $one, $two);
    ok($two->wait_for(sub { $redis->cmd('ZCARD', 'llm:{spend}:seen') == 3 }, 5, 'three names'),
        'as a new machine');
    ask($two, 'a', 1);
    all_agree('and goes on', $one, $two);
    my @workers = $two->worker_pids;
    ask($two, 'a', 2);
    kill 'TERM', @workers;
    $two->wait_for(sub { !grep { kill 0, $_ } @workers }, 10, 'the workers to end');
    all_agree('SIGTERM for its workers', $one, $two);
};

subtest 'case 53: Redis is away' => sub {
    my $before = total();
    $redis->pause;
    ask($one, 'a', 2);
    ask($two, 'b', 5);
    for my $case ([$one, 2], [$two, 5]) {
        my ($t, $own) = @$case;
        my $r;
        $t->wait_for(sub { $r = admin($t, '/global/spend');
            $r->{headers}{'x-llm-spend'} eq 'Redis is away' }, 5, 'to be noticed');
        cmp_ok($r->{json}{spend}, '>=', dollars($own), 'own requests are told');
        cmp_ok($r->{json}{spend}, '<=', dollars($before + $own), 'and no more than that');
        $t->expect_log(qr/redis .* is away/);
    }
    $redis->resume;
    all_agree('all is delivered later', $one, $two);
};

subtest 'Redis loses everything' => sub {
    ask($one, 'a', 1);
    all_agree('before', $one, $two);
    $redis->cmd('FLUSHALL');
    # Machines that are gone for good have gone with it: what the living have is there again.
    $one->wait_for(sub { @{$redis->cmd('ZRANGE', 'llm:{spend}:seen', 0, -1)} == 2
        && ($redis->cmd('HGET', 'llm:{spend}:sum:0', "0\t0\t") // '') =~ /^[1-9]/ }, 8, 'again');
    $two->wait_for(sub { text(told($one)) eq text(told($two)) }, 8, 'both');
    is_deeply(told($one), told($two), 'both say the same');
    my $had = (split / /, $redis->cmd('HGET', 'llm:{spend}:sum:0', "0\t0\t"))[0];
    ask($_, 'b', 2) for $one, $two;
    $one->wait_for(sub { told($one)->{activity} == $had + 4 }, 8, 'more');
    is(told($one)->{activity}, $had + 4, 'and they go on');
};

# As if this machine had spent 5 requests on a day that its zone has no room for any more.
subtest 'a day that only Redis has' => sub {
    my $day = int(time / 86400) - 40;
    my $date = strftime('%Y-%m-%d', gmtime(86400 * $day));
    my ($id) = $one->slurp('state/llm.state.spend') =~ /^table\t(\w+)\t/m;
    like($id // '', qr/^\w{32}$/, 'its name is in the state file');
    my @row = ("$day\t0\t", '5 0 50 5 0 0 1000000000');
    $redis->cmd('HSET', "llm:{spend}:of:$id:$day", @row);
    $redis->cmd('HSET', "llm:{spend}:sum:$day", @row);
    $redis->cmd('ZADD', 'llm:{spend}:days', $day, $day);
    $redis->cmd('ZADD', 'llm:{spend}:log', $redis->cmd('INCR', 'llm:{spend}:count'), $row[0]);
    for my $t ($one, $two) {
        my ($told) = @{ admin($t, "/user/daily/activity?end_date=$date")->{json}{results} };
        is("$told->{date} $told->{metrics}{spend} $told->{metrics}{api_requests}", "$date 1 5",
            'is told by both');
    }
};

subtest 'a cluster' => sub {
    my @nodes = LLM::Redis->cluster(3);
    my ($here, $there) = map { machine(LLM::Test->new, redis => $nodes[0]->url) } 1 .. 2;
    %asked = ();
    ask($here, 'a', 2);
    ask($there, 'b', 3);
    all_agree('at each of two machines', $here, $there);
    $here->stop;
    all_agree('one has gone', $there);
    $there->stop;
};

$one->stop;
$two->done;
