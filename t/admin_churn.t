# Keys that come and go leave nothing behind: what was deleted makes room, and so does what nobody can
# use any more.

use strict;
use warnings;
use LLM::Test;
use LLM::Clock;
use LLM::Metrics;
use LLM::Redis;
use File::Temp ();

my $dir = File::Temp::tempdir('llm-clock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $clock = LLM::Clock->new($dir);
my @master = (headers => { 'x-api-key' => 'sk-master' });
my $names = 0;
my ($t, $conn);

sub gateway {
    my ($zone, $store) = @_;

    $t = LLM::Test->new(workers => 2, env => { $clock->env });
    my $state = $t->dir . '/state';
    mkdir $state or die "$state: $!";
    chmod 0777, $state;
    $zone =~ s/STATE/state=$state\/llm.state/;
    undef $conn;
    $t->http_conf(<<"END")->start;
    llm_zone $zone; $store
    keepalive_requests 1000000;
    llm_master_key sk-master;
    llm_provider mock { }
    llm_model m { deployment mock/m; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; }
    }
END
    return $t;
}

sub admin {
    my ($path, $body) = @_;
    my $r = $t->post("/admin$path", $body, @master, keep => 1, $conn ? (conn => $conn) : ());

    $conn = $r->{conn};
    return $r;
}

sub may { return $t->post('/v1/chat/completions', { model => 'm', messages => [{ role => 'user',
    content => 'x' }] }, headers => { 'x-api-key' => $_[0] })->{status} }
sub room { return LLM::Metrics->get($t)->value('llm_zone_free_bytes') }
sub total { return $t->get('/admin/key/list', @master)->{json}{total_count} }

# How many keys were made and deleted again, all the same if they were.
sub come_and_go {
    my ($n) = @_;
    my %statuses;

    for (1 .. $n) {
        my $r = admin('/key/generate', { key => sprintf('sk-coming-%06d', ++$names) });
        $statuses{$r->{status}}++;
        $statuses{admin('/key/delete', { keys => [$r->{json}{key}] })->{status}}++
            if $r->{status} == 200;
    }
    return \%statuses;
}

subtest 'in a zone that is small' => sub {
    gateway('1792k', '');
    my $before = room();
    is_deeply(come_and_go(2000), { 200 => 4000 }, 'keys are made as long as they are deleted');
    is(admin('/team/delete', { team_ids => [admin('/team/new', {})->{json}{team_id}] })->{status}, 200,
        'a team') for 1 .. 5;
    cmp_ok(room(), '>=', $before - 200_000, 'and the room is not all used');
    $t->done;
};

my $redis = LLM::Redis->new;
for my $store (['a state file', '8m STATE', ''], ['Redis', '8m', 'llm_redis ' . $redis->url . ' timeout=5s;']) {
    subtest "with $store->[0]" => sub {
        gateway(@$store[1, 2]);
        is(admin('/key/generate', { key => 'sk-stays' })->{status}, 200, 'a key');
        my $before = room();
        is_deeply(come_and_go(500), { 200 => 1000 }, 'others come and go');
        cmp_ok(room(), '<', $before - 30_000, 'what was deleted is remembered');
        $clock->pass(120);
        # Each change looks through a part of the table.
        $t->wait_for(sub { admin('/key/update', { key => 'sk-stays', rpm_limit => 9 }) for 1 .. 50;
            room() >= $before - 15_000 }, 20, 'for a minute');
        is(may('sk-stays'), 200, 'the key is there');
        $t->done;
    };
}

for my $store (['', ''], ['Redis', 'llm_redis ' . $redis->url . ' timeout=5s;']) {
    subtest "a key that is replaced again and again $store->[0]" => sub {
        $redis->cmd('FLUSHALL');
        gateway('3m', $store->[1]);
        my $key = admin('/key/generate', { key_alias => 'rolling' })->{json}{key};
        my @former;
        for (1 .. 30) {
            push @former, $key;
            $key = admin('/key/regenerate', { key => $key, grace_period => '10s' })->{json}{key};
        }
        is(may($former[-1]), 200, 'the last value is good for ten seconds more');
        my $known = sub { return scalar @{admin('/v2/key/info', { keys => [@former, $key] })->{json}{info}} };
        is($known->(), 31, 'all of them are known');
        $clock->pass(11);
        is(may($former[-1]), 401, 'and then it is not');
        $clock->pass(120);
        $t->wait_for(sub { $known->() == 1 }, 20, 'what nobody can use any more is gone');
        is(may($key), 200, 'the key is good');
        $t->done;
    };
}
$redis->stop;

subtest 'a key that has expired' => sub {
    gateway('3m', '');
    my ($lost, $found) = map { admin('/key/generate', { duration => '1h', metadata =>
        { expires => '2020-01-01T00:00:00Z' } })->{json}{key} } 1, 2;
    my $lives = admin('/key/generate', { duration => '60d', aliases => { expires => 'm' } })->{json}{key};
    my $info = sub { $t->get("/admin/key/info?key=$_[0]", @master)->{status} };
    $clock->pass(20 * 86400);
    is(may($found), 401, 'has expired');
    is(admin('/key/update', { key => $found, duration => '30d' })->{status}, 200, 'and is given more');
    is($info->($lost), 200, 'the other one is kept as it is');
    $clock->pass(11 * 86400);
    $t->wait_for(sub { $info->($lost) == 404 }, 20, 'for a month');
    is_deeply([may($found), may($lives), total()], [200, 200, 2], 'others are not touched');
    $t->done;
};
done_testing();
