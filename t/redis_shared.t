# Several machines on one Redis: a limit holds for all of them together, and what a machine held that
# was killed is free after one lease time. Each nginx here is such a machine.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;
use LLM::Redis;
use Time::HiRes qw(time);

my $redis = LLM::Redis->new;
my @t = map { LLM::Test->new(workers => 2) } 1 .. 2;
my $p = LLM::Provider->new(dir => $t[0]->dir);
my $lease = LLM::Port::slow(2);

for my $t (@t) {
    $t->http_conf("llm_redis ${\$redis->url} timeout=5s on_outage=deny lease=${lease}s;
        llm_key sk-test-of-budgets-0123456789 { max_budget 1; }" . LLM::Pair::conf($p,
        provider => 'keepalive 0;',
        models => 'llm_model dear { deployment messages/claude-x input_cost=0 output_cost=0.0001; }',
        server => 'location /par/ { llm_auth off; llm_limit $arg_key max_parallel_requests=5;
                llm_pass models; }
            location /many/ { llm_auth off; llm_limit $arg_key max_parallel_requests=50;
                llm_pass models; }
            location /rate/ { llm_auth off; llm_limit $arg_key rpm=45; llm_pass models; }
            location /tokens/ { llm_auth off; llm_limit $arg_key tpm=10000; llm_pass models; }',
        location => 'llm_idle_timeout 30s;'));
    $t->start;
}
my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;

sub held { return join ' ', $redis->held }
sub is_free { my ($name) = @_; return ok($t[0]->wait_for(sub { held() eq '' }, 5, 'Redis'), $name) }

subtest 'cases 18 and 27: parallel requests' => sub {
    $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
    my @streams = map { $t[$_ % @t]->stream('/par' . $pair->path(1) . '?key=a',
        $pair->question(stream => 1)) } 1 .. 200;
    my @on = grep { $_->status == 200 } @streams;
    is(scalar @on, 5, 'of 200 at two machines five are let in');
    is($p->request_count, 5, 'the provider sees no more');
    is(held(), 5, 'as does who asks Redis');
    $p->release;
    $_->all_events for @on;
    is_free('nothing is held afterwards');
};

subtest 'case 19: tokens' => sub {
    $p->clear;
    $p->script(json(200, $pair->answer(text => 'hi', usage => { input_tokens => 100,
        output_tokens => 900 }), wait_for_release => 'head'));
    my @streams = map { $t[$_ % @t]->stream('/tokens' . $pair->path(0) . '?key=a',
        $pair->question(max_tokens => 960)) } 1 .. 100;
    ok($p->wait_held(9), 'nine are with the provider');
    $p->release;
    my $passed = grep { $_->status == 200 } @streams;
    cmp_ok($passed, '<=', 10, 'of 100 requests of 1000 tokens at most ten pass');
    cmp_ok($passed, '>=', 9, 'and not many fewer');
    $_->close for @streams;
    is_free('nothing is held afterwards');
};

subtest 'case 23: a budget' => sub {
    $p->clear;
    $p->script(json(200, $pair->answer(text => 'hi', usage => { input_tokens => 5,
        output_tokens => 1000 }), wait_for_release => 'head'));
    my @streams = map { $t[$_ % @t]->stream($pair->path(0), $pair->question(model => 'dear',
        max_tokens => 1000), headers => { Authorization => 'Bearer sk-test-of-budgets-0123456789' })
        } 1 .. 50;
    ok($p->wait_held(10), 'ten requests of ten cents are with the provider');
    $p->release;
    my $spent = 0;
    $_->status == 200 and $spent += $_->header('x-llm-cost') for map { $_->read_body; $_ } @streams;
    cmp_ok($spent, '<=', 1.1 + 1e-9, 'a dollar and one request, at most');
    cmp_ok($spent, '>=', 1 - 1e-9, 'and all of it could be spent');
    is_free('nothing is held afterwards');
    my $counters = $redis->counters;
    my ($name) = grep { /budget/ } keys %$counters;
    is($counters->{$name}{counted}, sprintf('%.0f', $spent * 1e9), 'Redis has what was spent');
};

# They are admitted in a few steps, many alike in each.
subtest 'requests that come together' => sub {
    $p->clear;
    $p->script(json(200, $pair->answer(text => 'hi')));
    $redis->pause;
    my @streams = map { $t[$_ % @t]->stream('/rate' . $pair->path(0) . '?key=a', $pair->question) }
        1 .. 60;
    $redis->resume;
    my @left = map { $_->header('x-ratelimit-remaining-requests') }
        grep { $_->status == 200 } @streams;
    is(join(' ', sort { $a <=> $b } @left), join(' ', 0 .. 44), 'each is told its own place');
    is(scalar(grep { $_->status == 429 } @streams), 15, 'the others are refused');
    is_free('nothing is held afterwards');
};

# To each of the two the other's workers are as far away as another machine's.
subtest 'old workers of one of them are killed' => sub {
    $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
    my $open = sub { $t[$_[0]]->stream('/many' . $pair->path(1) . '?key=old',
        $pair->question(stream => 1)) };
    my @gone = map { $open->(0) } 1 .. 30;
    my @live = map { $open->(1) } 1 .. 20;
    is(scalar(grep { $_->status == 200 } @gone, @live), 50, 'fifty streams at two machines');
    my @old = $t[0]->worker_pids;
    $_->reload for @t;
    is(held(), 50, 'old workers hold theirs');
    for my $pid (@old) {
        $t[0]->expect_log(qr/worker process $pid exited on signal 9/);
        $t[0]->kill_worker('KILL', $pid);
    }
    ok($t[0]->wait_for(sub { held() eq '20' }, 1, 'a second'), 'what they held is free, no more');
    $p->release;
    is(scalar(grep { $_->all_events; $_->clean_end } @live), 20, 'the other ones end well');
    $_->close for @gone;
    is_free('nothing is held afterwards');
};

subtest 'a machine is killed' => sub {
    $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
    my $open = sub { $t[$_[0]]->stream('/many' . $pair->path(1) . '?key=k',
        $pair->question(stream => 1)) };
    my @gone = map { $open->(0) } 1 .. 30;
    my @live = map { $open->(1) } 1 .. 20;
    is(scalar(grep { $_->status == 200 } @gone, @live), 50, 'fifty streams at two machines');
    is($open->(1)->status, 429, 'and no more');
    my @pids = ($t[0]{pid}, $t[0]->worker_pids(all => 1));
    kill 'KILL', @pids;
    my $began = time;
    $t[1]->wait_for(sub { held() eq '20' }, $lease + LLM::Port::slow(2), 'one lease time');
    cmp_ok(time - $began, '>', $lease / 2, 'not before its time');
    my @more = map { $open->(1) } 1 .. 31;
    is(scalar(grep { $_->status == 200 } @more), 30, 'what it held is free, no more');
    $p->release;
    $_->all_events for @live, grep { $_->status == 200 } @more;
    $_->close for @gone;
    $t[0]{pid} = undef;
    $t[0]->{checked} = {};
    is_free('nothing is held afterwards');
};

subtest 'streams that last longer than a lease' => sub {
    $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
    my @on = map { $t[1]->stream('/par' . $pair->path(1) . '?key=long',
        $pair->question(stream => 1)) } 1 .. 5;
    is(scalar(grep { $_->status == 200 } @on), 5, 'five');
    my ($until) = time + $lease * 1.5;
    my $refused = 0;
    $t[1]->wait_for(sub {
        my $r = $t[1]->post('/par' . $pair->path(0) . '?key=long', $pair->question);
        $refused++ if $r->{status} == 429;
        $r->{status} != 429 || time > $until;
    }, $lease * 3, 'more than a lease time');
    cmp_ok(time, '>', $until, 'none of their places was given away');
    $p->release;
    $_->all_events for @on;
    is_free('nothing is held afterwards');
};

$p->release(always => 1);
$_->stop, $_->cleanup for @t;
$redis->stop;
done_testing();
