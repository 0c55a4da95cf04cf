# The scripted outage, over two machines that share a Redis: every request is answered by the
# fallback, the primary sees at most one probe for each cool-down period whoever sends it, and it is
# used again within one period of its recovery. A worker is killed in between. One machine alone:
# t/cooldown.t.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(nap slow);
use LLM::Provider;
use LLM::Redis;
use Time::HiRes qw(time);

my $PERIOD = 2;
my $redis = LLM::Redis->new;
my @t = map { LLM::Test->new(workers => 2) } 1 .. 2;
my $p = LLM::Provider->new(dir => $t[0]->dir);
my $chat = LLM::Pair->new('chat', 'chat');

for my $t (@t) {
    $t->http_conf("llm_redis ${\$redis->url} timeout=1s;\n" . LLM::Pair::conf($p,
        cooldown => "${PERIOD}s", models => <<'END'));
    llm_model outage { deployment chat/primary id=o1; fallbacks other; }
    llm_model other { deployment chat/fallback id=o2; }
END
    $t->start;
}

sub answers_of {
    my (%answer) = @_;
    $p->on({ body => qr/"model":"$_"/ }, $answer{$_}) for keys %answer;
    return;
}
sub served { my ($t) = @_; return $chat->post($t, model => 'outage') }

my $good = json(200, $chat->answer(text => 'fine'));

subtest 'judged point 2, case 33: an outage seen by two machines, a worker killed in between' => sub {
    answers_of(primary => json(503, {}), fallback => $good);
    my ($began, $n, $killed) = (time, 0);
    while (time - $began < 5.5 * $PERIOD) {
        my $r = served($t[$n++ % 2]);
        is($r->{status}, 200, 'answered') or last;
        is($r->{headers}{'x-llm-deployment'}, 'o2', 'by the fallback');
        if (!$killed && time - $began > 2.5 * $PERIOD) {
            $t[0]->expect_log(qr/exited on signal 9/);
            $killed = $t[0]->kill_worker('KILL');
            $t[0]->wait_for(sub { !grep { $_ == $killed } $t[0]->worker_pids }, 5, 'another');
        }
        nap(0.1);
    }
    ok($killed, 'a worker was killed');
    my @at = map { $_->{at} } grep { $_->{json}{model} eq 'primary' } $p->requests;
    # At first neither knows of it.
    my @probes = grep { $_ > $at[0] + $PERIOD / 2 } @at;
    cmp_ok(scalar @at - @probes, '<=', 2, 'each finds out once at most');
    cmp_ok(scalar @probes, '>=', 3, 'the primary is asked again and again: ' . @probes);
    for my $i (1 .. $#probes) {
        cmp_ok($probes[$i] - $probes[$i - 1], '>=', $PERIOD - 0.01, 'one probe for each period');
    }
};

subtest 'its recovery is seen within one period, by both' => sub {
    answers_of(primary => $good);
    my ($back, %seen) = (time);
    while (keys %seen < 2 && time - $back < 10 * $PERIOD) {
        for my $i (0 .. 1) {
            my $r = served($t[$i]);
            is($r->{status}, 200, 'answered') or return;
            $seen{$i} //= time - $back if $r->{headers}{'x-llm-deployment'} eq 'o1';
        }
        nap(0.05);
    }
    for my $i (0 .. 1) {
        cmp_ok($seen{$i} // 1e9, '<=', slow($PERIOD + 1), "used again by machine $i");
    }
};

$t[0]->stop;
$t[1]->done;
