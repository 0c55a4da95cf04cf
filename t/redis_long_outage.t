# Case 57: Redis is silent while more requests end than this machine can keep for it. They are
# served, memory stays as it is, the log says about once a second how many will not be counted, and
# when Redis is back it counts all others, each once.

use strict;
use warnings;
use LLM::Test;
use LLM::Crowd;
use LLM::Http qw(build_request);
use LLM::Json qw(encode_json_o);
use LLM::Port qw(is_sanitized);
use LLM::Redis;
use List::Util qw(sum0);
use Time::HiRes qw(time);

my $bound = 20_000;
my $redis = LLM::Redis->new;
my $t = LLM::Test->new(log_level => 'error');
$t->http_conf("llm_redis ${\$redis->url} timeout=1s lease=1s on_outage=allow;
    llm_provider mock { }
    llm_model m { deployment mock/x reply=hi input_cost=0 output_cost=1e-3; }
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:%%PORT%%;
        llm_limit \$arg_key max_budget=1000000;
        location / { llm_pass models; }
        location = /health/readiness { llm_health; }
    }");
$t->start;
my ($worker) = $t->worker_pids;
my $request = build_request(method => 'POST', path => '/v1/messages?key=k',
    headers => ['Content-Type' => 'application/json'], body => encode_json_o({ model => 'm',
        max_tokens => 10, messages => [{ role => 'user', content => 'hi' }] }));

# How many of so many were served.
sub ask { my ($n, $then) = @_; return LLM::Crowd::pour($t, $request, $n, $then) }

# Nano-dollars.
sub counted {
    my $counters = $redis->counters;
    my ($name) = keys %$counters;

    return $name ? $counters->{$name}{counted} : 0;
}

# What the log says: in how many lines, and of how many requests.
sub lost {
    my @all = $t->log_text =~ /redis was away for too long, it will not count the use of (\d+) requests/g;

    return (scalar @all, sum0(@all));
}

sub is_state {
    my ($state) = @_;

    return ok($t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq $state }, 10, $state),
        $state);
}

is(ask(1), 1, 'one');
my $cost = $t->wait_for(sub { counted() }, 5, 'its cost');
is(ask(500), 500, 'some more');
ok($t->wait_for(sub { counted() == 501 * $cost }, 5, 'their cost'), 'are counted');

# It falls silent while some calls are under way: they are made again, and counted once.
my $began = time;
is(ask($bound + 2000, sub { $redis->pause }), $bound + 2000, 'more than are kept: all are served');
is_state('degraded');
cmp_ok((lost())[0], '>', 0, 'and the log says that some will not be counted');
my $held = $t->worker_rss($worker);
is(ask(8000), 8000, 'many more are served');
SKIP: {
    skip 'a sanitizer keeps freed memory', 1 if is_sanitized();
    cmp_ok($t->worker_rss($worker) - $held, '<', 500, 'memory stays as it is (kB)');
}
my $asked = 501 + $bound + 2000 + 8000;

$redis->resume;
is_state('ready');
# The last line comes with the next beat.
ok($t->wait_for(sub { counted() == ($asked - (lost())[1]) * $cost }, 10, 'what was kept'),
    'what was kept is counted') or diag join ' ', counted() / $cost, lost();
my ($lines, $lost) = lost();
cmp_ok($lines, '<=', time - $began + 2, 'a line a second at most');
my $kept = $asked - $lost - 501;
cmp_ok($kept, '>=', $bound, 'as many as are kept');
cmp_ok($kept, '<=', $bound + 1000, 'and those that came before the silence');
is(ask(10), 10, 'the next ones');
$t->wait_for(sub { counted() / $cost >= $asked - $lost + 10 && !$redis->held }, 10, 'their cost');
my $calls = $redis->commands->{evalsha};
$t->wait_for(sub { $redis->commands->{evalsha} >= $calls + 5 }, 10, 'some beats');
is(counted() / $cost, $asked - $lost + 10, 'are counted, and nothing was counted twice');
is(join(' ', $redis->held), '', 'nothing is held');

subtest 'it refuses every call' => sub {
    my $before = counted();
    my $since = time;
    $redis->cmd('ACL', 'SETUSER', 'default', '-evalsha');
    is(ask(3000), 3000, 'all are served');
    $lines = () = $t->log_text =~ /redis says: NOPERM/g;
    cmp_ok($lines, '>', 0, 'the log says it');
    cmp_ok($lines, '<=', time - $since + 2, 'once a second at most');
    $redis->cmd('ACL', 'SETUSER', 'default', '+evalsha');
    ok($t->wait_for(sub { counted() >= $before + 3000 * $cost }, 10, 'their cost'), 'later');
    is(counted(), $before + 3000 * $cost, 'each is counted once');
};

$t->done;
$redis->stop;
