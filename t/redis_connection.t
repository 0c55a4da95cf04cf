# How the gateway finds its Redis: TLS, login, database, replicas, sentinels, a cluster; and that it
# finds it again without help after whatever happened to it. The readiness page shows it.

use strict;
use warnings;
use LLM::Test;
use LLM::Redis;
use LLM::TLS;

my @running;

sub gateway {
    my ($line, %o) = @_;
    my $t = LLM::Test->new(workers => 2, env => { LLM_T_PASSWORD => 'pass word' }, %o);

    $t->http_conf("llm_redis $line;\n" . 'llm_provider mock { } llm_model m { deployment mock/x; }
        server { listen 127.0.0.1:%%PORT%% reuseport; add_header x-worker $pid always;
            location / { llm_pass models; } }');
    $t->start;
    push @running, $t;
    return $t;
}

# Each worker has a connection of its own.
sub is_state {
    my ($t, $state, $name) = @_;
    my $page;

    my $ok = $t->wait_for_workers('/health/readiness', sub {
        ($page) = @_;
        return $page->{json}{store}{state} eq $state;
    }, 10, "$name: $state");
    is($page->{json}{status}, $state eq 'away' ? 'degraded' : 'ready', $name);
    is($page->{status}, 200, "$name: status of the page");
    diag($t->log_tail) unless $ok;
    return;
}

# A store is away before the first try has failed as well: the log knows more later.
sub logs {
    my ($t, $regex, $name) = @_;

    ok($t->wait_for(sub { $t->log_text =~ $regex }, 10, "the log to have $regex"), $name);
    return;
}

subtest 'plain' => sub {
    my $redis = LLM::Redis->new;
    my $t = gateway($redis->url);
    is_state($t, 'ready', 'found');
    is($redis->info('clients')->{connected_clients}, 3, 'one connection for each worker');

    $redis->kill;
    is_state($t, 'away', 'killed');
    is($t->get('/health/liveness')->{status}, 200, 'case 57: alive without it');
    $redis->start;
    is_state($t, 'ready', 'started again');

    $redis->pause;
    $t->reload;
    is_state($t, 'away', 'case 57: silent');
    $redis->resume;
    is_state($t, 'ready', 'not silent any more');

    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
    is_state($t, 'ready', 'hung up on');
    $redis->cmd('REPLICAOF', '127.0.0.1', 1);
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
    is_state($t, 'away', 'a replica');
    $redis->cmd('REPLICAOF', 'NO', 'ONE');
    is_state($t, 'ready', 'a master again');
    $t->reload for 1 .. 3;
    is_state($t, 'ready', 'reloaded');
    $t->wait_for(sub { $redis->info('clients')->{connected_clients} == 3 }, 5,
        'old workers to leave');
};

subtest 'a socket in the file system' => sub {
    my $redis = LLM::Redis->new(password => 'pass word');
    my $path = 'unix:' . $redis->dir . '/redis.sock';
    my $t = gateway("redis://:pass%20word\@$path:/3");
    is_state($t, 'ready', 'found');
    my ($of_gateway) = grep { / db=3 / } $redis->cmd('CLIENT', 'LIST');
    like($of_gateway, qr/ laddr=\Q@{[$redis->dir]}\E\/redis\.sock:0 .* db=3 /, 'this way, this database');

    $redis->kill;
    is_state($t, 'away', 'killed');
    logs($t, qr/llm: redis \Q$path\E is away: (?:connect\(\) failed|its socket is not there)/,
        'the log says which');
    unlink $redis->dir . '/redis.sock';
    $t->reload;
    is_state($t, 'away', 'the socket is gone as well');
    $redis->start;
    is_state($t, 'ready', 'started again');
};

subtest 'login and database' => sub {
    my $redis = LLM::Redis->new(password => 'pass word',
        config => ['user app on >a%b ~* &* +@all', 'user low on >low ~x:* +ping']);
    my $t = gateway($redis->url(password => 'pass%20word', db => 3));
    is_state($t, 'ready', 'password in the URL');
    like(join(' ', map { $_ } $redis->cmd('CLIENT', 'LIST')), qr/ db=3 /, 'database');
    is_state(gateway($redis->url(db => 1) . ' password=env:LLM_T_PASSWORD'), 'ready',
        'password in the environment');
    is_state(gateway($redis->url(user => 'app', password => 'a%25b')), 'ready', 'a user');
    for my $wrong ([$redis->url(password => 'wrong'), qr/says: WRONGPASS/, 'wrong password'],
        [$redis->url(user => 'low', password => 'low'), qr/says: NOPERM/, 'a user without rights'],
        [$redis->url, qr/wants a password/, 'no password'])
    {
        my ($line, $log, $name) = @$wrong;
        my $refused = gateway($line);
        is_state($refused, 'away', $name);
        logs($refused, $log, "$name: the log says why");
        $refused->log_unlike(qr/wrong(?! number| pass)|pass%20|pass word/, "$name: not the password");
    }
};

subtest 'the rights that README.md names are enough' => sub {
    open my $fh, '<', 'README.md' or die "README.md: $!";
    my $text = do { local $/; <$fh> };
    my ($rights) = $text =~ /\*\*Rights\*\* an ACL user needs: `([^`]+)`/ or die 'no rights';
    $rights =~ s/\s+/ /g;
    my $redis = LLM::Redis->new(config => ["user least on >least $rights"]);
    my $t = LLM::Test->new;
    my $line = $redis->url(user => 'least', password => 'least') . ' on_outage=deny timeout=1s';

    $t->http_conf("llm_zone 8m; llm_redis $line; llm_master_key sk-master-0123456789;
        llm_provider mock { } llm_model m { deployment mock/x; }
        server { listen 127.0.0.1:%%PORT%%; location /admin/ { llm_admin; }
            location / { llm_auth off; llm_limit all rpm=2 max_parallel_requests=5; llm_pass models; } }");
    $t->start;
    push @running, $t;
    my $ask = sub { return $t->post('/v1/messages', { model => 'm', max_tokens => 5,
        messages => [{ role => 'user', content => 'hi' }] })->{status} };
    is(join(' ', map { $ask->() } 1 .. 3), '200 200 429', 'limits are counted');
    is($t->post('/admin/key/generate', {}, headers => { 'x-api-key' => 'sk-master-0123456789' })->{status},
        200, 'keys are shared');
    $t->wait_for(sub { $redis->commands->{evalsha} >= 8 }, 10, 'some rounds');
    $t->log_unlike(qr/NOPERM|No permissions/, 'nothing is refused');
    # A stranger to these names would be.
    is(eval { $redis->cmd('ACL', 'DRYRUN', 'least', 'GET', 'other') } // $@, 'This user has no '
        . "permissions to access the 'other' key", 'and no other name is theirs');
};

subtest 'TLS' => sub {
    my $t = LLM::Test->new;
    my $tls = LLM::TLS->new(dir => $t->dir);
    my $pair = $tls->server('redis.test', '127.0.0.1');
    my $redis = LLM::Redis->new(tls => { %$pair, ca => $tls->file, clients => 'yes' });
    my $own = "ssl_certificate=$pair->{cert} ssl_certificate_key=$pair->{key}";
    my $ca = 'ssl_trusted_certificate=' . $tls->file;

    is_state(gateway($redis->url . " $ca $own"), 'ready', 'certificates on both sides');
    is_state(gateway($redis->url . " $ca $own ssl_name=redis.test"), 'ready', 'by name');
    is_state(gateway($redis->url . " ssl_verify=off $own"), 'ready', 'not verified');
    my $other = gateway($redis->url . " $ca $own ssl_name=other.test");
    is_state($other, 'away', 'another name');
    logs($other, qr/certificate of "127.0.0.1" is not for "other.test"/, 'and the log says so');
    my $without = gateway($redis->url . " $ca");
    is_state($without, 'away', 'without the certificate it wants');
    logs($without, qr/certificate required/, 'which the log says');
    $without->expect_log(qr/certificate required/);  # nginx itself finds that critical
    $redis->kill;
    $redis->start;
    is_state($running[-5], 'ready', 'after a restart');
    $t->cleanup;
};

subtest 'master and replica' => sub {
    my @redis = map { LLM::Redis->new } 1 .. 2;
    $redis[0]->cmd('REPLICAOF', '127.0.0.1', $redis[1]->port);
    my $t = gateway(join ' ', map { $_->url } @redis);
    is_state($t, 'ready', 'the master is found');
    is($redis[1]->info('clients')->{connected_clients}, 3, 'and it is the second');
    $redis[1]->kill;
    is_state($t, 'away', 'no master');
    $redis[0]->cmd('REPLICAOF', 'NO', 'ONE');
    is_state($t, 'ready', 'the replica was made the master');
};

subtest 'sentinel' => sub {
    my @redis = map { LLM::Redis->new } 1 .. 2;
    $redis[1]->cmd('REPLICAOF', '127.0.0.1', $redis[0]->port);
    my $sentinel = LLM::Redis->sentinel($redis[0], 'first');
    my $dead = LLM::Port::reserve();
    my $t = gateway("redis://127.0.0.1:$dead " . $sentinel->url . ' sentinel=first');
    is_state($t, 'ready', 'the sentinel knows the master');
    $t->wait_for(sub { @{$sentinel->cmd('SENTINEL', 'replicas', 'first')} }, 15, 'a replica');
    $redis[0]->kill;
    $t->wait_for(sub { $redis[1]->info('replication')->{role} eq 'master' }, 20, 'the fail-over');
    is_state($t, 'ready', 'the new master');
    is_state(gateway($sentinel->url . ' sentinel=nobody'), 'away', 'a name it does not know');
};

subtest 'cluster' => sub {
    my @redis = LLM::Redis->cluster(3);
    my $t = gateway($redis[1]->url);
    is_state($t, 'ready', 'all nodes are found');
    for my $node (@redis) {
        ok($t->wait_for(sub { $node->info('clients')->{connected_clients} >= 3 }, 10, 'connections'),
            'both workers are connected to a node');
    }
    $redis[2]->kill;
    is_state($t, 'away', 'a part of it is gone');
};

subtest 'what is no Redis' => sub {
    my $t = LLM::Test->new;
    $t->http_conf('server { listen 127.0.0.1:%%PORT%%; }');
    $t->start;
    my $wrong = gateway('redis://127.0.0.1:' . $t->port);
    is_state($wrong, 'away', 'an HTTP server');
    is_state(gateway('redis://no.such.host.invalid:1234'), 'away', 'a host that does not exist');
    $t->stop;
    $t->cleanup;
};

for my $t (@running) {
    $t->stop;
    $t->cleanup;
}
done_testing();
