# A deployment that one machine leaves alone is left alone by all that share a Redis. Each nginx here
# is such a machine.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;
use LLM::Redis;

my $redis = LLM::Redis->new;
my @t = map { LLM::Test->new(workers => 2) } 1 .. 2;
my $p = LLM::Provider->new(dir => $t[0]->dir);
my $chat = LLM::Pair->new('chat', 'chat');

for my $t (@t) {
    $t->http_conf("llm_redis ${\$redis->url} timeout=1s;\n" . LLM::Pair::conf($p, cooldown => '4s',
        server => 'location = /metrics { llm_metrics; }', models => <<'END'));
    llm_model two { deployment chat/primary id=t1 order=1; deployment chat/second id=t2 order=2; }
    llm_model more { deployment chat/first id=m1 order=1; deployment chat/second id=m2 order=2; }
END
    $t->start;
}

my $good = json(200, $chat->answer(text => 'fine'));
my $down = json(503, {});

sub answers_of {
    my (%answer) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"$_"/ }, $answer{$_}) for keys %answer;
    return;
}

sub ask {
    my ($t, $model) = @_;
    my $r = $chat->post($t, model => $model);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, 200, 'answered');
    return $r->{headers}{'x-llm-deployment'};
}
sub state_of {
    my ($t, $id) = @_;
    return $t->get('/metrics')->{body} =~ /^llm_deployment_state\{[^}]*deployment="\Q$id\E"[^}]*\} (\d)/m
        ? $1 : '';
}
sub count_of { my ($model) = @_; return scalar grep { $_->{json}{model} eq $model } $p->requests }

subtest 'judged point 2, case 33: one machine fails, the other does not try' => sub {
    answers_of(primary => $down, second => $good);
    is(ask($t[0], 'two'), 't2', 'the second deployment answers');
    is(count_of('primary'), 1, 'after the first one failed');
    ok($t[1]->wait_for(sub { $redis->cmd('ZCARD', 'llm:{health}:cooled') }, 5, 'Redis'), 'told');
    my $before = count_of('primary');
    # It looks twice a second, and shows what it knows.
    ok($t[1]->wait_for(sub { state_of($t[1], 't1') eq '0' }, 5, 'it knows'), 'it knows');
    is(ask($t[1], 'two'), 't2', 'the other machine goes to the second at once') for 1 .. 3;
    is(count_of('primary'), $before, 'and does not ask the first');
};

subtest 'when its time is over it is asked again, by both' => sub {
    answers_of(primary => $good, second => $good);
    for my $t (@t) {
        ok($t->wait_for(sub { ask($t, 'two') eq 't1' }, 10, 'the first'), 'back');
    }
};

subtest 'without Redis each machine sees for itself' => sub {
    answers_of(first => $down, second => $good);
    $redis->kill;
    is(ask($_, 'more'), 'm2', 'answered') for @t;
    is(count_of('first'), 2, 'each has tried');
};

$t[0]->stop;
$t[1]->done;
