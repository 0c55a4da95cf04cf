# probe, by several machines that share a Redis (each nginx here is one): one of them sends each
# probe, what it finds out holds for all, and when it goes another one does it.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Port qw(nap slow);
use LLM::Provider;
use LLM::Redis;

my $redis = LLM::Redis->new;
my @t = map { LLM::Test->new(workers => 2) } 1 .. 2;
my $p = LLM::Provider->new(dir => $t[0]->dir);
my $chat = LLM::Pair->new('chat', 'chat');
my $good = json(200, $chat->answer(text => 'fine'));

sub set {
    my ($name, @answers) = @_;
    $p->on({ body => qr/"model":"$name"/ }, @answers);
    return;
}

set($_, $good) for qw(steady outage stated spare);
for my $t (@t) {
    $t->http_conf("llm_redis ${\$redis->url} timeout=1s;\n" . LLM::Pair::conf($p,
        server => 'location = /metrics { llm_metrics; }', models => <<'END'));
    llm_model steady { probe 1s; deployment chat/steady id=steady; }
    llm_model outage { probe 1s; cooldown_time 60s;
        deployment chat/outage id=o1 order=1; deployment chat/spare id=o2 order=2; }
    llm_model stated { probe 1s; cooldown_time 1s;
        deployment chat/stated id=s1 order=1; deployment chat/spare id=s2 order=2; }
END
    $t->start;
}

sub asked_at {
    my ($name) = @_;
    return map { $_->{at} } grep { $_->{json}{model} eq $name } $p->requests;
}

sub state_of {
    my ($t, $id) = @_;
    return LLM::Metrics->get($t)->value('llm_deployment_state', deployment => $id);
}
sub sent {
    my ($t) = @_;
    return LLM::Metrics->get($t)->value('llm_probes_total', deployment => 'steady',
        error_type => '') // 0;
}

# While both begin, neither knows Redis yet.
$t[0]->wait_for(sub { !grep { LLM::Metrics->get($_)->value('llm_redis_up') != 1 } @t }, 5, 'Redis');
nap(1);

sub spaced {
    my ($what, $n) = @_;

    $p->clear;
    $t[0]->wait_for(sub { (() = asked_at('steady')) >= $n }, slow($n * 2), "$what: $n probes")
        or return;
    my @at = asked_at('steady');
    cmp_ok($at[$_] - $at[$_ - 1], '>=', 0.6, "$what: not before its time") for 1 .. $#at;
    return;
}

subtest 'one machine asks' => sub { spaced('both are there', 5) };

subtest 'what one finds out holds for both' => sub {
    set('outage', json(503, {}));
    for my $state (0, 1) {
        ok($t[0]->wait_for(sub { !grep { state_of($_, 'o1') != $state } @t }, slow(5),
            $state ? 'open again' : 'put aside'), $state
                ? 'opened at both, long before the end of its cool-down' : 'put aside at both');
        my @by = map { $chat->post($_, model => 'outage')->{headers}{'x-llm-deployment'} } @t;
        is("@by", $state ? 'o1 o1' : 'o2 o2', 'requests know it');
        set('outage', $good);
    }
    nap(1.2);
    is(join(' ', map { state_of($_, 'o1') } @t), '1 1', 'and it stays open');
};

subtest 'case 29: neither asks before the time that the provider stated to one' => sub {
    set('stated', json(429, {}, headers => { 'Retry-After' => 4 }));
    is($chat->post($t[0], model => 'stated')->{headers}{'x-llm-deployment'}, 's2', 'elsewhere');
    set('stated', $good);
    my ($last) = (asked_at('stated'))[-1];
    my $next;
    ok($t[0]->wait_for(sub { ($next) = grep { $_ > $last } asked_at('stated') }, slow(8), 'asked'),
        'it is asked again');
    cmp_ok($next - $last, '>=', 3.95, 'not before');
};

subtest 'without Redis each machine asks for itself' => sub {
    $redis->pause;
    my @before = map { sent($_) } @t;
    ok($t[$_]->wait_for(sub { sent($t[$_]) >= $before[$_] + 2 }, slow(8), 'asks'),
        "machine $_ asks") for 0, 1;
    $redis->resume;
    $t[0]->wait_for(sub { !grep { LLM::Metrics->get($_)->value('llm_redis_up') != 1 } @t }, 5,
        'Redis is back');
    nap(1);
    spaced('it is back', 3);
};

subtest 'one machine goes' => sub {
    $t[0]->stop;
    $p->clear;
    ok($t[1]->wait_for(sub { (() = asked_at('steady')) >= 3 }, slow(5), 'goes on'), 'the other goes on');
};

$t[1]->done;
