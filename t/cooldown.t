# A deployment that failed is left alone for a while, by all workers, and tried again by one request
# at a time.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(nap slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, cooldown => '1s', models => <<'END',
    llm_model outage { deployment chat/primary id=o1; fallbacks other; }
    llm_model other { deployment messages/fallback id=o2; cooldown_time 0; }
    llm_model two { deployment chat/primary id=t1 order=1; deployment chat/second id=t2 order=2; }
    llm_model limited { deployment chat/primary id=l1 order=1; deployment chat/second id=l2 order=2; }
    llm_model alone { deployment chat/primary id=alone; }
    llm_model sporadic { deployment chat/primary id=s1 order=1; deployment chat/second id=s2 order=2; }
    llm_model counted { deployment chat/primary id=c1; deployment chat/second id=c2 order=2;
        allowed_fails 2; cooldown_time 30s; }
    llm_model never { deployment chat/primary id=n1 order=1; deployment chat/second id=n2 order=2;
        cooldown_time 0; }
    llm_model mine { deployment chat/primary id=m1 order=1; deployment chat/second id=m2 order=2; }
    llm_model lasting { deployment chat/primary id=x1 order=1 cooldown_time=30s;
        deployment chat/second id=x2 order=2; }
END
    server => 'location /try/ { llm_pass models; llm_all_cooled try; }'));
$t->start;

my $chat = LLM::Pair->new('chat', 'chat');
my $answers = LLM::Pair->new('chat', 'messages');

sub answers_of {
    my (%answer) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"$_"/ }, $answer{$_}) for keys %answer;
    return;
}

my $good = json(200, $chat->answer(text => 'fine'));
my $down = json(503, {});
sub ask { return $chat->post($t, model => $_[0]) }
sub count_of { return scalar grep { $_->{json}{model} eq $_[0] } $p->requests }

subtest 'case 33: an outage, at most one probe for each period' => sub {
    answers_of(primary => $down, fallback => json(200, $answers->answer(text => 'fallback')));
    my $began = time;
    my $n = 0;
    while (time - $began < 2.6) {
        my $r = ask('outage');
        is($r->{status}, 200, 'answered') or last;
        $n++;
        nap(0.1);
    }
    cmp_ok($n, '>=', 5, "asked often enough ($n)");
    my @probes = grep { $_->{json}{model} eq 'primary' } $p->requests;
    cmp_ok(scalar @probes, '<=', 3, 'the primary is hardly asked');
    cmp_ok(scalar @probes, '>=', 2, 'but it is');
    cmp_ok($probes[$_]{at} - $probes[$_ - 1]{at}, '>=', 0.99, 'one for each period')
        for 1 .. $#probes;

    answers_of(primary => $good);
    my $back = time;
    $t->wait_for(sub { (ask('outage')->{headers}{'x-llm-deployment'} // '') eq 'o1' }, 3,
        'the primary');
    cmp_ok(time - $back, '<=', slow(1.4), 'used again within one period of its recovery');
    is(ask('outage')->{headers}{'x-llm-deployment'}, 'o1', 'and by all') for 1 .. 4;
};

subtest 'many at once: one probe' => sub {
    answers_of(primary => $down, second => $good);
    ask('two');
    nap(1.05);
    answers_of(primary => { %$down, delay => 0.3 }, second => $good);
    my @streams = map { $t->stream($chat->path, $chat->question(model => 'two')) } 1 .. 10;
    for my $s (@streams) {
        $s->read_body;
        is($s->status, 200, 'answered');
    }
    is(count_of('primary'), 1, 'the primary was asked once');
};

subtest 'case 30: all cooled' => sub {
    answers_of(primary => json(429, {}, headers => { 'Retry-After' => 40 }),
        second => json(429, {}, headers => { 'Retry-After' => 20 }));
    is(ask('limited')->{status}, 429, 'both refuse');
    for my $client (qw(chat messages responses)) {
        my $pair = LLM::Pair->new($client, 'chat');
        for my $streams (0, 1) {
            $p->clear;
            my $r = $pair->post($t, model => 'limited',
                $streams ? (stream => JSON::PP::true()) : ());
            is($r->{status}, 429, "$client: refused");
            ok($pair->is_error($r->{json}), "$client: in its dialect") or diag $r->{body};
            cmp_ok($r->{headers}{'retry-after'}, '<=', 20, "$client: the shortest time");
            cmp_ok($r->{headers}{'retry-after'}, '>=', 15, "$client: that is left");
            is($p->request_count, 0, "$client: nobody was asked");
        }
    }
    answers_of(primary => $good, second => $good);
    my $r = $t->post('/try' . $chat->path, $chat->question(model => 'limited'));
    is($r->{status}, 200, 'llm_all_cooled try');
    is($r->{headers}{'x-llm-deployment'}, 'l2', 'the one whose time ends first');
};

subtest 'case 29: one without an alternative' => sub {
    answers_of(primary => $down);
    is(ask('alone')->{status}, 503, 'its own failure') for 1 .. 6;
    is(count_of('primary'), 6, 'it is asked every time');
    answers_of(primary => json(429, {}, headers => { 'Retry-After' => 30 }));
    is(ask('alone')->{status}, 429, 'it names a time');
    my $r = ask('alone');
    is($r->{status}, 429, 'until then');
    cmp_ok($r->{headers}{'retry-after'}, '>=', 25, 'the rest of it is told');
    is(count_of('primary'), 1, 'and it is left alone');
};

subtest 'RT17: more than half of at least five' => sub {
    answers_of(primary => json(500, {}), second => $good);
    is(ask('sporadic')->{headers}{'x-llm-deployment'}, 's2', 'answered elsewhere') for 1 .. 5;
    is(count_of('primary'), 5, 'the first five are asked');
    is(ask('sporadic')->{headers}{'x-llm-attempts'}, 1, 'then it cools');
};

subtest 'RT18: allowed_fails' => sub {
    answers_of(primary => $down, second => $good);
    is(ask('counted')->{headers}{'x-llm-attempts'}, $_, 'attempts') for 2, 2, 2, 1;
};

subtest 'RT16: cooldown_time 0' => sub {
    answers_of(primary => $down, second => $good);
    is(ask('never')->{headers}{'x-llm-attempts'}, 2, 'asked every time') for 1 .. 7;
};

subtest 'case 34: mistakes of callers cool nobody' => sub {
    for my $status (400, 403, 413, 422) {
        answers_of(primary => json($status, $chat->error_body('an_error', 'No.')), second => $good);
        ask('mine') for 1 .. 6;
        is(count_of('primary'), 6, "$status: asked every time");
    }
};

subtest 'case 31: over a reload and a killed worker' => sub {
    answers_of(primary => $down, second => $good);
    is(ask('lasting')->{headers}{'x-llm-attempts'}, 2, 'it cools');
    ok($t->reload, 'reload');
    is(ask('lasting')->{headers}{'x-llm-attempts'}, 1, 'still, after a reload') for 1 .. 4;
    $t->expect_log(qr/exited on signal 9/);
    my $pid = $t->kill_worker('KILL');
    $t->wait_for(sub { !grep { $_ == $pid } $t->worker_pids }, 5, 'another worker');
    is(ask('lasting')->{headers}{'x-llm-attempts'}, 1, 'and when a worker was killed') for 1 .. 4;
    is(count_of('primary'), 1, 'nobody asked it again');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
