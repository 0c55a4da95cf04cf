# Clients that leave while their request waits for Redis: they are noticed at once, no provider hears
# of them, and what Redis grants them later is given back.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;
use LLM::Redis;

my $redis = LLM::Redis->new;
my $t = LLM::Test->new(workers => 1);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf("llm_redis ${\$redis->url} timeout=60s on_outage=deny;\n" . LLM::Pair::conf($p,
    server => 'location = /busy { default_type text/plain; return 200 $connections_writing; }',
    location => 'llm_limit $arg_key max_parallel_requests=100 tpm=1000000;'));
$t->start;
my ($pair) = LLM::Pair->all;
$p->script($pair->whole(text => 'hi'));

sub busy { return $t->get('/busy')->{body} - 1 }
sub held { return join ' ', $redis->held }

for my $round (1 .. 3) {
    my $before = $p->request_count;
    is($t->post($pair->path(0) . '?key=a', $pair->question)->{status}, 200, 'Redis answers');
    $redis->pause;
    my @streams = map { $t->stream($pair->path(0) . '?key=a', $pair->question(max_tokens => 50)) }
        1 .. 50;
    $t->wait_for(sub { busy() == 50 }, 5, 'fifty to wait');
    $_ % 2 ? $streams[$_]->reset : $streams[$_]->close for 0 .. 49;
    ok($t->wait_for(sub { busy() == 0 }, 1, 'none'), "round $round: all are noticed to have left");
    $redis->resume;
    is($t->post($pair->path(0) . '?key=a', $pair->question)->{status}, 200, 'Redis answers again');
    ok($t->wait_for(sub { held() eq '' }, 5, 'Redis'), 'what it granted was given back');
    is($p->request_count, $before + 2, 'the provider saw nothing of it');
}

# The same at the end of a worker.
$redis->pause;
my @streams = map { $t->stream($pair->path(0) . '?key=a', $pair->question) } 1 .. 5;
$t->wait_for(sub { busy() == 5 }, 5, 'five to wait');
my ($pid) = $t->worker_pids;
$t->kill_worker('TERM', $pid);
$redis->resume;
$t->wait_for(sub { my ($now) = $t->worker_pids; $now && $now != $pid }, 5, 'another worker');
ok($t->wait_for(sub { held() eq '' }, 5, 'Redis'), 'a worker that ends while they wait holds nothing');

$t->done;
