# Case 57: Redis lets us in and does nothing that is asked of it, again and again. Of what was sent
# before that was noticed nobody knows whether it was counted. That is two calls of a hundred requests
# at most, however long it goes on: what ends later waits until Redis has said what became of them.
# Memory stays as it is, and what Redis counts in the end and what the log says is lost are what was
# used.

use strict;
use warnings;
use LLM::Test;
use LLM::Crowd;
use LLM::Http qw(build_request);
use LLM::Json qw(encode_json_o);
use LLM::Metrics;
use LLM::Port qw(is_sanitized);
use LLM::Provider;
use LLM::Redis;
use List::Util qw(sum0);
use Time::HiRes qw(time);

my $most_unknown = 200;
my $most_kept = 20_000;
my $redis = LLM::Redis->new;
# Beats come while a call is waited for.
my $t = LLM::Test->new(log_level => 'error', workers => 1);
my $p = LLM::Provider->new(dir => $t->dir);
$t->http_conf("llm_redis ${\$redis->url} timeout=1s lease=1s on_outage=allow;
    llm_provider mock { }
    llm_model m { deployment mock/x reply=hi input_cost=0 output_cost=1e-3; }
    llm_provider held { dialect anthropic; base_url ${\$p->url}/v1; }
    llm_model late { deployment held/x input_cost=0 output_cost=1e-3; }
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:%%PORT%%;
        llm_limit \$arg_key max_budget=1000000;
        location / { llm_pass models; }
        location = /health/readiness { llm_health; }
        location = /metrics { llm_metrics; }
    }");
$t->start;
my ($worker) = $t->worker_pids;
my $request = build_request(method => 'POST', path => '/v1/messages?key=k',
    headers => ['Content-Type' => 'application/json'], body => encode_json_o({ model => 'm',
        max_tokens => 10, messages => [{ role => 'user', content => 'hi' }] }));
my ($asked, $cost) = (0, 1);

sub ask {
    my ($n, $what) = @_;

    $asked += $n;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(LLM::Crowd::pour($t, $request, $n), $n, $what);
}

# Requests whose cost Redis has.
sub counted {
    my $counters = $redis->counters;
    my ($name) = keys %$counters;

    return $name ? $counters->{$name}{counted} / $cost : 0;
}

# What the log says: in how many lines, and of how many requests.
sub lost {
    my ($words) = @_;
    my $why = 'was away for too long|is away at the end of this worker';
    my @all = $t->log_text =~ /redis (?:$why), \Q$words\E the use of (\d+) requests/g;

    return (scalar @all, sum0(@all));
}
sub uncounted { return lost('it will not count') }
sub unknown   { return lost('nobody knows whether it has counted') }

# So many times it was open and did not answer.
sub silences { return LLM::Metrics->get($t, '/metrics')->sum('llm_redis_errors_total', kind => 'timeout') }

# Scripts wait; what opens a connection does not.
sub fall_silent { $redis->cmd('CLIENT', 'PAUSE', 3_600_000, 'WRITE'); return }
sub speak       { $redis->cmd('CLIENT', 'UNPAUSE'); return }

sub is_state {
    my ($state) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok($t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq $state }, 10, $state),
        $state);
}

ask(1, 'one');
$cost = $t->wait_for(sub { counted() }, 5, 'its cost');
ask(500, 'some more');
ok($t->wait_for(sub { counted() == $asked }, 5, 'their cost'), 'are counted');

subtest 'a series of silences' => sub {
    my ($began, $before) = (time, silences());
    fall_silent();
    ask($most_kept, 'as many as are kept: all are served');
    my $rss = $t->worker_rss($worker);
    # Until it has been silent some more times, which nobody waits for but those that were sent.
    $t->wait_for(sub { silences() >= $before + 3 }, 20, 'three silences');
    ask(3000, 'and many more');
    $t->wait_for(sub { silences() >= $before + 5 }, 20, 'five silences');
    SKIP: {
        skip 'a sanitizer keeps freed memory', 1 if is_sanitized();
        cmp_ok($t->worker_rss($worker) - $rss, '<', 1000, 'memory stays as it is (kB)');
    }
    speak();
    is_state('ready');
    ok($t->wait_for(sub { counted() == $asked - (uncounted())[1] }, 10, 'what was kept'),
        'what was kept is counted') or diag join ' ', $asked, counted(), uncounted();
    my ($lines, $lost) = uncounted();
    cmp_ok($lost, '>', 0, 'the log says what is not');
    cmp_ok($lines, '<=', time - $began + 2, 'a line a second at most');
    is((unknown())[0], 0, 'and nothing is unknown: it was asked again');
    ask(10, 'the next ones');
    $t->wait_for(sub { counted() >= $asked - $lost && !$redis->held }, 10, 'their cost');
    my $calls = $redis->commands->{evalsha};
    $t->wait_for(sub { $redis->commands->{evalsha} >= $calls + 5 }, 10, 'some beats');
    is(counted(), $asked - $lost, 'are counted, and nothing was counted twice');
    is(join(' ', $redis->held), '', 'nothing is held');
};

subtest 'it never speaks again' => sub {
    my ($lost, $before) = ((uncounted())[1], silences());
    # These end before anybody can have noticed. Each costs what the others do.
    $p->script(json(200, messages_answer(text => 'hi', usage => { input_tokens => 1,
        output_tokens => $cost / 1e6 }), wait_for_release => 'head'));
    my @late = map { $t->stream('/v1/messages?key=k', { model => 'late', max_tokens => 10,
        messages => [{ role => 'user', content => 'hi' }] }) } 1 .. 20;
    $p->wait_held(20);
    fall_silent();
    $p->release(always => 1);
    is(scalar(grep { $_->status == 200 } @late), 20, 'those that are running end');
    $asked += 20;
    ask(3000, 'all are served');
    $t->wait_for(sub { silences() >= $before + 3 }, 20, 'three silences');
    $redis->pause;
    is_state('degraded');
    $t->stop;
    $lost = (uncounted())[1];
    my $unknown = (unknown())[1];
    cmp_ok($unknown, '>', 0, 'the log says of how many nobody knows');
    cmp_ok($unknown, '<=', $most_unknown, 'they are what two calls hold, at most');
    $redis->resume;
    speak();
    my $counted = counted();
    cmp_ok($counted, '>=', $asked - $lost - $unknown, 'all others are counted, or said to be lost');
    cmp_ok($counted, '<=', $asked - $lost, 'once');
};

$t->cleanup;
$redis->stop;
done_testing();
