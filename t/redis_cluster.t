# Limits in a Redis Cluster and behind a sentinel: they hold as in one server, also when slots move
# to another node or another master takes over.

use strict;
use warnings;
use LLM::Test;
use LLM::Redis;

my %question = (model => 'm', max_tokens => 10, messages => [{ role => 'user', content => 'hi' }]);

sub gateway {
    my ($line) = @_;
    my $t = LLM::Test->new(workers => 2);

    $t->http_conf("llm_redis $line timeout=1s lease=2s on_outage=deny;
        llm_provider mock { } llm_model m { deployment mock/x reply=hi rpm=1000; }
        server { listen 127.0.0.1:%%PORT%% reuseport; add_header x-worker \$pid always;
            location / { llm_limit \$arg_key rpm=3 tpm=10000 max_parallel_requests=2;
                llm_pass models; } }");
    $t->start;
    return $t;
}

sub statuses {
    my ($t, $key, $n) = @_;

    return join ' ', map { $t->post("/v1/messages?key=$key", \%question)->{status} } 1 .. $n;
}

# Each worker finds by itself where Redis is.
sub is_ready {
    my ($t, $name) = @_;

    ok($t->wait_for_workers('/health/readiness', sub { $_[0]{json}{store}{state} eq 'ready' }, 10,
        $name), $name);
    return;
}

# The node that has the slot of all counters.
sub owner {
    my (@redis) = @_;

    my ($found) = grep { $_->keys('llm:{limits}*') } @redis;
    return $found;
}

subtest 'cluster' => sub {
    my @redis = LLM::Redis->cluster(3);
    my $slot = $redis[0]->cmd('CLUSTER', 'KEYSLOT', 'llm:{limits}');
    my $t = gateway(join ' ', map { $_->url } @redis[0, 1]);

    is(statuses($t, 'a', 4), '200 200 200 429', 'the limit holds, whichever node is asked');
    is(statuses($t, 'b', 3), '200 200 200', 'another key');
    is(scalar(grep { $_->keys('llm:{limits}*') } @redis), 1, 'all counters are at one node');
    my $owner = owner(@redis);
    is(join(' ', $owner->held), '', 'nothing is held');

    my ($next) = grep { $_ != $owner } @redis;
    my $id = $next->cmd('CLUSTER', 'MYID');
    $owner->cmd('FLUSHALL');
    $_->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $id) for $next, grep { $_ != $next } @redis;
    is(statuses($t, 'c', 4), '200 200 200 429', 'the slot has moved, nobody notices');
    is(owner(@redis), $next, 'it is another node indeed');
    $next->pause;
    is(statuses($t, 'd', 1), '529', 'that node is silent');
    $next->resume;
    is_ready($t, 'and back');
    is(statuses($t, 'e', 4), '200 200 200 429', 'the limit holds');
    $t->stop;
    $t->cleanup;
};

subtest 'sentinel' => sub {
    my @redis = map { LLM::Redis->new } 1 .. 2;
    $redis[1]->cmd('REPLICAOF', '127.0.0.1', $redis[0]->port);
    my $sentinel = LLM::Redis->sentinel($redis[0], 'limits');
    my $t = gateway($sentinel->url . ' sentinel=limits');

    is(statuses($t, 'a', 4), '200 200 200 429', 'the limit holds');
    $t->wait_for(sub { @{$sentinel->cmd('SENTINEL', 'replicas', 'limits')} }, 15, 'a replica');
    $t->wait_for(sub {
        my ($from, $to) = map { $_->info('replication') } @redis;
        return ($to->{slave_repl_offset} // -1) == $from->{master_repl_offset};
    }, 15, 'the replica to know it');
    $redis[0]->kill;
    $t->wait_for(sub { $redis[1]->info('replication')->{role} eq 'master' }, 20, 'the fail-over');
    is_ready($t, 'it is followed');
    is(statuses($t, 'a', 1), '429', 'what was counted at the old one counts');
    $t->stop;
    $t->cleanup;
};

done_testing();
