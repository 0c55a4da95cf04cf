# llm_timeout ends a call whichever deployment it has come to: the time-outs of the first would be
# over before, those of the second are not. The first is passed over because it has no room, because
# it failed, or because another machine was asked whether it may be tried again.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use LLM::Redis;
use Time::HiRes qw(time);

my $redis = LLM::Redis->new;
my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = qw(chat messages responses);
my $hasty = 'connect_timeout=50ms first_token_timeout=50ms';
my ($models, @calls) = ('');

for my $client (@kinds) {
    for my $d (@kinds) {
        my $e = $kinds[$d eq 'chat' ? 1 : 0];
        for my $how (qw(stream whole)) {
            for my $second ($d, $e) {
                my $id = "$client-$d-$second-$how";
                push @calls, { pair => LLM::Pair->new($client, $d), id => $id,
                    is_stream => $how eq 'stream' };
                $models .= "llm_model $id { deployment $d/first id=t-$id $hasty;
                    deployment $second/second id=s-$id order=2 cooldown_time=0; }\n";
            }
        }
        $models .= "llm_model full-$client-$d { deployment $d/first id=f-$client-$d rpm=1 $hasty;
            deployment $e/second id=g-$client-$d order=2; }\n";
    }
}
$t->http_conf("llm_redis ${\$redis->url} timeout=1s;\n" . LLM::Pair::conf($p, forms => \@kinds,
    models => $models, cooldown => '1s', server => 'location = /metrics { llm_metrics; }
        location /short/ { llm_pass models; llm_timeout 300ms; access_log logs/llm.log pair; }'));
$t->start;

my $lines = 0;

sub answers {
    my ($first, $second) = @_;

    $p->clear->kick;
    $p->on({ body => qr/"model":"first"/ }, $first);
    $p->on({ body => qr/"model":"second"/ }, $second);
    return;
}

# The second is silent.
sub ends_in_time {
    my ($call, $model, $asked, $what) = @_;
    my $pair = $call->{pair};
    my $began = time;
    my $r = $t->post('/short' . $pair->path($call->{is_stream}), $pair->question(model => $model,
        $call->{is_stream} ? (stream => JSON::PP::true()) : ()), timeout => 10);
    my $took = time - $began;

    $what = "$call->{id}, $what";
    is($r->{status}, 504, "$what: status") or return;
    ok($pair->is_error($r->{json}), "$what: an error of the dialect");
    cmp_ok($took, '>=', 0.28, "$what: not before llm_timeout");
    cmp_ok($took, '<=', slow(3), "$what: nor long after it");
    ok($p->wait_requests(scalar split / /, $asked), "$what: they were asked");
    is(join(' ', map { $_->{json}{model} } $p->requests), $asked, "$what: who was asked");
    is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'timeout', "$what: log");
    return;
}

subtest 'the first has just failed' => sub {
    for my $call (@calls) {
        answers(json(503, {}), 'silent');
        ends_in_time($call, $call->{id}, 'first second', 'failed');
    }
};

subtest 'the first has cooled down, and who tries it is being asked' => sub {
    ok($t->wait_for(sub {
        my $m = LLM::Metrics->get($t);
        !grep { !$m->value('llm_deployment_state', deployment => "t-$_->{id}") } @calls;
    }, slow(5), 'all cooled down'), 'their time is over');
    for my $call (@calls) {
        answers(json(503, {}), 'silent');
        ends_in_time($call, $call->{id}, 'second', 'on trial');
    }
};

subtest 'the first has no room' => sub {
    for my $call (grep { $_->{id} =~ /-chat-(?:stream|whole)\z/ } @calls) {
        my $pair = $call->{pair};
        my $model = "full-$pair->{client}-$pair->{provider}";
        answers(json(200, $pair->answer(text => 'fine')), json(500, {}));
        if ($call->{is_stream}) {
            is($pair->post($t, model => $model)->{status}, 200, "$model: its one request");
            LLM::Pair::next_log($t, \$lines);
        }
        answers(json(503, {}), 'silent');
        ends_in_time($call, $model, 'second', 'no room');
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
