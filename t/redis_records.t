# Keys of several machines: what the admin API of one says holds at the others, whatever becomes of
# Redis and of workers. Each nginx here is such a machine.

use strict;
use warnings;
use LLM::Test;
use LLM::Redis;
use Digest::SHA qw(sha256_hex);

my $redis = LLM::Redis->new;
my $master = 'sk-master-of-several-machines';

sub machine {
    my (%o) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $state = '';

    if ($o{state}) {
        mkdir $t->dir . '/state' or die $!;
        chmod 0777, $t->dir . '/state';
        $state = 'state=' . $t->dir . '/state/llm.state';
    }
    $t->http_conf(<<"END");
    llm_zone 8m $state;
    llm_redis ${\$redis->url} timeout=1s on_outage=local;
    llm_master_key $master;
    llm_provider mock {}
    llm_model m { deployment mock/m input_cost=1e-9 output_cost=1e-9; }
    llm_model other { deployment mock/other; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
    $t->start;
    return $t;
}

sub admin {
    my ($t, $path, $body) = @_;
    return $t->post("/admin$path", $body, headers => [Authorization => "Bearer $master"]);
}

sub status {
    my ($t, $key, $model) = @_;
    return $t->post('/v1/chat/completions', { model => $model // 'm',
        messages => [{ role => 'user', content => 'hi' }] },
        headers => [Authorization => "Bearer $key"])->{status};
}

sub becomes {
    my ($t, $key, $wanted, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok($t->wait_for(sub { status($t, $key) == $wanted }, 5, $name), $name);
}

my ($one, $two) = (machine(state => 1), machine());

subtest 'case 55: changes hold at every machine' => sub {
    my $key = admin($one, '/key/generate', { models => ['m'] })->{json}{key};
    is(status($one, $key), 200, 'a new key, here');
    becomes($two, $key, 200, 'and there');
    is(admin($two, '/key/block', { key => $key })->{status}, 200, 'blocked there');
    is(status($two, $key), 401, 'where it holds at once');
    becomes($one, $key, 401, 'and here');
    admin($one, '/key/unblock', { key => $key });
    becomes($two, $key, 200, 'unblocked');
    admin($one, '/key/update', { key => $key, models => ['other'] });
    becomes($two, $key, 403, 'its list of models');
    my $budget = { m => { budget_limit => 0, time_period => '1d' } };
    admin($one, '/key/update', { key => $key, models => ['m'], model_max_budget => $budget });
    becomes($two, $key, 429, 'its budget of a model');
    is_deeply($two->get("/admin/key/info?key=$key", headers => [Authorization => "Bearer $master"])
        ->{json}{info}{model_max_budget}, $budget, 'which is told there, too');
    admin($two, '/key/update', { key => $key, model_max_budget => undef });
    becomes($one, $key, 200, 'taken away');
    admin($two, '/key/delete', { keys => [$key] });
    becomes($one, $key, 401, 'deleted');
    my $team = admin($one, '/team/new', { team_id => 'crew', models => ['m'] });
    is($team->{status}, 200, 'a team');
    my $member = admin($one, '/key/generate', { team_id => 'crew' })->{json}{key};
    becomes($two, $member, 200, 'and its key');
    admin($two, '/team/block', { team_id => 'crew' });
    becomes($one, $member, 401, 'the team is blocked');
};

subtest 'an alias is one key\'s at all machines' => sub {
    my $made = decode_json(admin($one, '/key/generate', { key_alias => 'shared' })->{body});
    becomes($two, $made->{key}, 200, 'the other one knows the key');
    my $r = admin($two, '/key/generate', { key_alias => 'shared' });
    is($r->{status}, 400, 'and refuses a second one of its alias');
    is(decode_json($r->{body})->{error}{param}, 'key_alias', 'by name');
    is(admin($two, '/key/delete', { key_aliases => ['shared'] })->{status}, 200, 'deleted there');
    becomes($one, $made->{key}, 401, 'it is gone everywhere');
    is(admin($one, '/key/generate', { key_alias => 'shared' })->{status}, 200, 'and the alias is free');
};

# A machine learns what others have made within a second: meanwhile Redis knows.
subtest 'an alias, before the other machine can know' => sub {
    my $keys = sub { return scalar grep { !$_->{replaced_by} } @{$_[0]->get(
        "/admin/key/list?return_full_object=true&key_alias=$_[1]",
        headers => [Authorization => "Bearer $master"])->{json}{keys}} };
    for my $i (1 .. 5) {
        my @both = $i % 2 ? ($one, $two) : ($two, $one);
        my $first = admin($both[0], '/key/generate', { key_alias => "race-$i" });
        is($first->{status}, 200, 'the first one');
        my $r = admin($both[1], '/key/generate', { key_alias => "race-$i", key => "sk-second-$i" });
        is($r->{status}, 400, 'a second one at once');
        is(decode_json($r->{body})->{error}{message}, 'key_alias already exists: another key has it',
            'is refused by name');
        is(status($both[1], "sk-second-$i"), 401, 'and not made');
        my $key = admin($both[1], '/key/generate', {})->{json}{key};
        is(admin($both[1], '/key/update', { key => $key, key_alias => "race-$i" })->{status}, 400,
            'nor does an update give it');
        is(admin($both[1], '/user/new', { user_id => "racer-$i", key_alias => "race-$i" })->{status},
            400, 'nor a new user');
        is($both[1]->get("/admin/user/info?user_id=racer-$i", headers =>
            [Authorization => "Bearer $master"])->{status}, 404, 'who is not made either');
        # What has the alias may be changed, and give it away.
        my $next = admin($both[0], "/key/$first->{json}{key}/regenerate", { grace_period => '1h' });
        is($next->{status}, 200, 'regenerated, with the former one beside it');
        $next = admin($both[0], "/key/$next->{json}{key}/regenerate", {});
        is($next->{status}, 200, 'and again');
        is(admin($both[0], '/key/block', { key => $next->{json}{key} })->{status}, 200, 'blocked');
        is(admin($both[0], '/key/update', { key => $next->{json}{key}, key_alias => "other-$i" })
            ->{status}, 200, 'renamed');
        # Unless the other machine has just learnt who had it.
        my $again = sub { ($r = admin($_[0], '/key/generate', { key_alias => "race-$i" }))->{status} == 200 };
        ok($both[1]->wait_for(sub { $again->($both[1]) }, 5, 'the alias'), 'is free');
        is(admin($both[1], '/key/delete', { keys => [$r->{json}{key}] })->{status}, 200, 'deleted');
        ok($both[0]->wait_for(sub { $again->($both[0]) }, 5, 'the alias'), 'is free again');
        $both[1]->wait_for(sub { $keys->($both[1], "race-$i") == 1 }, 5, 'both know');
        is($keys->($both[0], "race-$i"), 1, 'one key');
        becomes($both[1], $r->{json}{key}, 200, 'which is good');
    }
    is_deeply([sort grep { /race/ } @{$redis->cmd('HKEYS', 'llm:{records}:aliases')}],
        [map { "race-$_" } 1 .. 5], 'who has which');
};

# Both are made, and nobody hears of it: nothing that was acknowledged is lost, nowhere.
subtest 'two machines change one record' => sub {
    my $shown = sub {
        my ($t, $key) = @_;
        my $r = $t->get("/admin/key/info?key=$key", headers => [Authorization => "Bearer $master"]);
        my $info = $r->{json}{info};
        return join ' ', map { $_ // 'none' } ($info->{blocked} ? 'blocked' : 'open'),
            @$info{qw(rpm_limit tpm_limit)};
    };
    for my $round (1 .. 6) {
        my ($first, $second) = $round % 2 ? ($one, $two) : ($two, $one);
        my $key = admin($first, '/key/generate', { models => ['m'] })->{json}{key};
        becomes($second, $key, 200, 'known to both');
        is(admin($first, '/key/block', { key => $key })->{status}, 200, 'blocked here');
        is(admin($second, '/key/update', { key => $key, tpm_limit => 70_000 })->{status}, 200, 'updated there');
        # At once: streams are asked together.
        my @calls = ([$first, { key => $key, rpm_limit => 7 }], [$second, { key => $key, tpm_limit => 80_000 }]);
        my @asked = map { my ($t, $body) = @$_; $t->stream('/admin/key/update', $body,
            headers => [Authorization => "Bearer $master"]) } @calls;
        for my $i (0, 1) {
            $asked[$i]->read_body(5);
            is($asked[$i]->answer->{status}, 200, 'both are taken');
            $asked[$i]->close;
        }
        for my $t ($one, $two) {
            ok($t->wait_for(sub { $shown->($t, $key) eq 'blocked 7 80000' }, 5, 'all of it'),
                'all of it holds') or diag $shown->($t, $key);
        }
        is(status($_, $key), 401, 'blocked') for $one, $two;
    }
};

# What one machine does within the second in which it has not heard of the other.
subtest 'two machines change one record in other ways' => sub {
    my $made = sub {
        my (%more) = @_;
        my $key = admin($one, '/key/generate', { models => ['m'], %more })->{json}{key};
        becomes($two, $key, 200, 'known to both');
        return $key;
    };
    my $key = $made->(key_alias => 'twice changed');
    admin($one, '/key/update', { key => $key, rpm_limit => 7 });
    my $new = admin($two, '/key/regenerate', { key => $key, tpm_limit => 70_000 })->{json};
    is_deeply([@$new{qw(rpm_limit tpm_limit key_alias)}], [7, 70_000, 'twice changed'],
        'regenerated from what the other one made of it');
    becomes($one, $new->{key}, 200, 'the new one');
    becomes($one, $key, 401, 'in place of the old one');
    admin($one, '/key/block', { key => $new->{key} });
    $new = admin($two, '/key/regenerate', { key => $new->{key}, grace_period => '1h' })->{json};
    ok($new->{blocked}, 'a block goes on to the new key');
    is(admin($two, '/key/update', { key => $new->{key}, blocked => \0 })->{status}, 200, 'unblocked');
    becomes($one, $new->{key}, 200, 'by who knew of it');

    $key = $made->();
    admin($one, '/key/regenerate', { key => $key });
    is(admin($two, '/key/update', { key => $key, rpm_limit => 7 })->{status}, 404, 'replaced meanwhile');
    is(status($two, $key), 401, 'which is known now');
    $key = $made->();
    admin($one, '/key/delete', { keys => [$key] });
    is(admin($two, '/key/block', { key => $key })->{status}, 404, 'deleted meanwhile');
    $key = $made->();
    admin($one, '/key/block', { key => $key });
    is(admin($two, '/key/delete', { keys => [$key] })->{status}, 200, 'blocked meanwhile, and deleted');
    becomes($one, $key, 401, 'everywhere');
    is(admin($one, '/key/generate', { key => 'sk-made-by-both' })->{status}, 200, 'a value that is chosen');
    my $r = admin($two, '/key/generate', { key => 'sk-made-by-both', rpm_limit => 7 });
    is($r->{status}, 409, 'is not made again');
    like($r->{json}{error}{message}, qr/already exists/, 'and says why');

    # A block is not undone by who did not know of it: he is told, and knows it now. Once more where the
    # other machine has just heard of it.
    my $refused = sub {
        my ($block, $undo, $what) = @_;
        my $status;
        for my $try (1 .. 5) {
            is($block->()->{status}, 200, 'blocked at one machine');
            $status = $undo->()->{status};
            last if $status != 200;
        }
        return is($status, 409, $what);
    };
    for my $body ({ rpm_limit => 8, blocked => \0 }, undef) {
        $key = $made->();
        my @call = $body ? ('/key/update', { %$body, key => $key }) : ('/key/unblock', { key => $key });
        $refused->(sub { admin($one, '/key/block', { key => $key }) }, sub { admin($two, @call) },
            "$call[0] would undo a block");
        is(status($_, $key), 401, 'it stays') for $two, $one;
        is(admin($two, @call)->{status}, 200, 'whoever means it says so again');
        becomes($_, $key, 200, 'it is open') for $two, $one;
    }
    my $walker = sub { my ($t, $path, %more) = @_;
        return admin($t, "/customer/$path", { %more ? (user_id => 'walker', %more) : (user_ids => ['walker']) }) };
    my $block = sub { $walker->($one, 'block') };
    $refused->($block, sub { $walker->($two, 'unblock') }, 'a customer, whom the other one does not unblock');
    $walker->($one, 'unblock');
    is($walker->($two, 'update', rpm_limit => 5)->{status}, 200, 'but may change');
    $refused->($block, sub {
        my $r = $walker->($two, 'delete');
        $walker->($two, 'new', rpm_limit => 5) if $r->{status} == 200;
        return $r;
    }, 'nor delete');
    $r = $two->get('/admin/customer/info?end_user_id=walker', headers => [Authorization => "Bearer $master"]);
    is_deeply([@{$r->{json}}{qw(blocked rpm_limit)}], [JSON::PP::true, 5], 'both machines say so');
};

subtest 'no key stands in Redis' => sub {
    my $key = admin($one, '/key/generate', {})->{json}{key};
    my $all = join ' ', @{$redis->cmd('HGETALL', 'llm:{records}:data')};
    like($all, qr/key:[0-9a-f]{64}/, 'its hash does');
    unlike($all, qr/\Q$key\E/, 'the key does not');
};

subtest 'a machine that begins later' => sub {
    my @keys = map { admin($one, '/key/generate', {})->{json}{key} } 1 .. 130;
    my $late = machine();
    becomes($late, $_, 200, 'knows the keys') for @keys[0, 99, 100, 129];
    $late->stop;
};

# Written by a later version of this module: what stands in Redis, and a member more.
sub write_later {
    my ($id, $members, $kind) = @_;
    my $name = $kind ? "$kind:$id" : 'key:' . sha256_hex($id);
    my ($version, $json) = $redis->cmd('HGET', 'llm:{records}:data', $name) =~ /^(\d+):(\{.*)\}\z/s;
    $json .= ',' unless $json =~ /\{\z/;
    $redis->cmd('HSET', 'llm:{records}:data', $name, $version + 1 . ":$json$members}");
    $redis->cmd('ZADD', 'llm:{records}:log', $redis->cmd('INCR', 'llm:{records}:count'), $name);
    return;
}

subtest 'records of a later version' => sub {
    my @keys = map { admin($one, '/key/generate', { models => ['m'], key_alias => "later $_" })->{json}{key} }
        1 .. 4;
    becomes($two, $_, 200, 'a key') for @keys;
    write_later($keys[0], '"color":"blue","blocked":true');
    becomes($_, $keys[0], 401, 'a new member beside one that is known: the known one holds') for $one, $two;
    write_later($keys[1], '"color":{"hue":[1,2]},"expires":"2000-01-01T00:00:00Z"');
    becomes($_, $keys[1], 401, 'another one') for $one, $two;
    write_later($keys[2], '"color":"blue","needs":["expires"]');
    admin($one, '/customer/new', { user_id => 'night' });
    my $customer = sub { $_[0]->post('/v1/chat/completions', { model => 'm', user => 'night', messages =>
        [{ role => 'user', content => 'hi' }] }, headers => [Authorization => "Bearer $keys[2]"])->{status} };
    is($customer->($one), 200, 'a customer');
    write_later('night', '"only_at_night":true,"needs":["only_at_night"]', 'customer');
    ok($_->wait_for(sub { $customer->($_) >= 400 }, 5, 'it'), 'that must be understood') for $one, $two;
    write_later($keys[3], '"only_at_night":true,"needs":["only_at_night"]');
    becomes($_, $keys[3], 401, 'one that must be understood: the key is blocked') for $one, $two;
    is(status($_, $keys[2]), 200, 'one that need not is ignored') for $one, $two;
    is(status($two, $keys[2], 'other'), 403, 'the rest of the record holds');
    for my $t ($one, $two) {
        my @lines = $t->log_text =~ /(\[warn\] .* members of a later version)/g;
        cmp_ok(scalar @lines, '>=', 1, 'it is said');
        cmp_ok(scalar @lines, '<=', 2, 'once in each worker');
        unlike($t->log_text, qr/color|only_at_night/, 'without what they are');
        status($t, $keys[3]) for 1 .. 4;
        @lines = $t->log_text =~ /(a record of the zone cannot be understood)/g;
        cmp_ok(scalar @lines, '<=', 4, 'and so is what cannot be understood');
        $t->expect_log(qr/a record of the zone cannot be understood/);
    }
    admin($one, '/key/update', { key => $keys[2], models => ['other'] });
    becomes($_, $keys[2], 403, 'it can be changed') for $one, $two;
};

subtest 'Redis loses everything' => sub {
    my $key = admin($one, '/key/generate', {})->{json}{key};
    becomes($two, $key, 200, 'a key');
    $redis->cmd('FLUSHALL');
    is(status($_, $key), 200, 'is still good') for $one, $two;
    ok($one->wait_for(sub { my $n = $redis->cmd('HLEN', 'llm:{records}:data'); $n && $n > 100 }, 10,
        'back in Redis'), 'and Redis gets it again');
    admin($two, '/key/block', { key => $key });
    becomes($one, $key, 401, 'changes go on');
};

subtest 'Redis is away' => sub {
    my $known = admin($one, '/key/generate', {})->{json}{key};
    becomes($two, $known, 200, 'a key that both know');
    $redis->kill;
    ok($one->wait_for(sub { admin($two, '/key/generate', {})->{status} == 500 }, 5, 'refused'),
        'what would live nowhere else is refused');
    my $made = admin($one, '/key/generate', {});
    is($made->{status}, 200, 'what is on the disk is not');
    is(status($one, $made->{json}{key}), 200, 'and holds');
    is(status($two, $known), 200, 'known keys are good without Redis');
    $redis->start;
    becomes($two, $made->{json}{key}, 200, 'it arrives when Redis is back');
};

subtest 'Redis is full' => sub {
    my $before = admin($one, '/key/generate', {})->{json}{key};
    becomes($two, $before, 200, 'a key that both know');
    my %count;
    my $calls = sub {
        # What was asked since the last look, by the name of the script.
        my $slow = $redis->cmd('SLOWLOG', 'GET', -1);
        $redis->cmd('SLOWLOG', 'RESET');
        for my $words (map { $_->[3] } @$slow) {
            next unless uc $words->[0] eq 'EVALSHA' && $words->[3] eq 'llm:{records}';
            $count{@$words == 8 && $words->[6] eq 100 ? 'looks' : 'puts'}++;
        }
        return \%count;
    };
    $redis->cmd('CONFIG', 'SET', 'slowlog-max-len', 10_000);
    $redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
    $calls->();
    %count = ();
    my $hash = sha256_hex($before);
    my $version = sub { ($redis->cmd('HGET', 'llm:{records}:data', "key:$hash") =~ /^(\d+):/)[0] };
    my $old = $version->();
    for my $t ($one, $two) {
        my $r = admin($t, '/key/block', { key => $before });
        is($r->{status}, 500, 'a change that Redis refuses is refused, with a file and without');
        like($r->{json}{error}{message}, qr/could not be stored and was not made/, 'and says so');
        is(status($t, $before), 200, 'it was taken back');
        is(admin($t, '/key/generate', { key => 'sk-nowhere-at-all' })->{status}, 500, 'a new one, too');
        is(status($t, 'sk-nowhere-at-all'), 401, 'is nowhere');
        like($t->log_text, qr/llm: redis refuses a record: OOM /, 'what Redis says is in the log');
    }
    unlike($one->log_text, qr/\Q$before\E|sk-nowhere/, 'no key is');
    $one->wait_for(sub { ($calls->()->{looks} // 0) >= 10 }, 15, 'both to look for news five times');
    cmp_ok($count{puts}, '>=', 4, 'both told Redis of their changes');
    # Four changes, each told and taken back, and what each machine still hands in now and then.
    cmp_ok($count{puts}, '<=', 12, 'and did not tell it again with every look')
        or diag(explain(\%count));
    $one->stop;
    $one->start;
    is(status($one, $before), 200, 'nor does the file say what was refused');
    is(status($one, 'sk-nowhere-at-all'), 401, 'of neither');
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    ok($one->wait_for(sub { $version->() > $old }, 30, 'it'),
        'what holds is handed in when there is room again');
    is(status($_, $before), 200, 'as it was') for $one, $two;
    # Also where the other machine has handed in its own, which this one has not heard of yet.
    is(admin($one, '/key/block', { key => $before })->{status}, 200, 'changes are taken again');
    becomes($two, $before, 401, 'and hold everywhere');
    $redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', -1);
};

subtest 'something else has the name in Redis' => sub {
    my $key = admin($one, '/key/generate', {})->{json}{key};
    becomes($two, $key, 200, 'a key that both know');
    $redis->cmd('RENAME', 'llm:{records}:data', 'kept');
    $redis->cmd('SET', 'llm:{records}:data', 'x');
    is(admin($one, '/key/block', { key => $key })->{status}, 500, 'refused');
    is(status($one, $key), 200, 'and taken back');
    like($one->log_text, qr/llm: redis refuses a record: WRONGTYPE /, 'what Redis says');
    $redis->cmd('RENAME', 'kept', 'llm:{records}:data');
    is(admin($one, '/key/block', { key => $key })->{status}, 200, 'taken when the name is free');
    becomes($two, $key, 401, 'and holds everywhere');
};

subtest 'the worker that follows Redis is killed' => sub {
    for my $pid ($two->worker_pids) {
        $two->kill_worker('KILL', $pid);
        $two->expect_log(qr/worker process $pid exited on signal 9/);
        my $key = admin($one, '/key/generate', {})->{json}{key};
        becomes($two, $key, 200, 'another one goes on');
    }
};

$one->stop;
$two->done;
