# The metrics of deployments: attempts by how they ended, retries, fallbacks, cool-downs, and which
# of them are up.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, cooldown => '60s', models => <<'END',
    llm_model outage { deployment chat/primary id=one; fallbacks other; }
    llm_model other { deployment chat/second id=two; cooldown_time 0; }
    llm_model again { deployment chat/third id=three; num_retries 1; cooldown_time 0; }
END
    server => 'location = /metrics { llm_metrics; }'));
$t->start;
$p->on({ body => qr/"model":"(?:primary|third)"/ }, json(503, {}));
$p->on({ body => qr/"model":"second"/ }, json(200, chat_answer()));

my ($chat) = grep { $_->is_same } LLM::Pair->all;
my $sent = 0;

sub ask { $sent++; return $chat->post($t, model => $_[0]) }

sub metrics {
    my $m;

    $t->wait_for(sub { $m = LLM::Metrics->get($t); $m->sum('llm_requests_total') == $sent }, 10,
        'all requests are on the page');
    return $m;
}

subtest 'before anything' => sub {
    is(metrics()->value('llm_deployment_state', deployment => $_), 1, "$_ is up")
        for qw(one two three);
};

subtest 'a fallback and a cool-down' => sub {
    is(ask('outage')->{status}, 200, 'answered') for 1 .. 6;
    my $m = metrics();
    is($m->value('llm_deployment_state', deployment => 'one'), 0, 'the one that failed is aside');
    is($m->value('llm_deployment_state', deployment => 'two'), 1, 'the other is up');
    is($m->sum('llm_cooldowns_total', deployment => 'one'), 1, 'one cool-down');
    is($m->sum('llm_deployment_attempts_total', deployment => 'two', error_type => ''), 6,
        'good attempts');
    my $failed = $m->sum('llm_deployment_attempts_total', deployment => 'one');
    cmp_ok($failed, '>=', 1, 'failed ones');
    is($failed, scalar(grep { $_->{json}{model} eq 'primary' } $p->requests),
        'as many as the provider saw');
    is($m->sum('llm_fallbacks_total', gen_ai_request_model => 'outage', to => 'other'), $failed,
        'a fallback for each') if $failed == 6;
    is($m->sum('llm_requests_total', outcome => 'ok', deployment => 'two'), 6, 'who served');
};

subtest 'retries' => sub {
    is(ask('again')->{status}, 503, 'fails');
    my $m = metrics();
    is($m->value('llm_retries_total', deployment => 'three'), 1, 'one retry');
    is($m->sum('llm_deployment_attempts_total', deployment => 'three'), 2, 'two attempts');
    is($m->sum('llm_attempts_total', deployment => 'three'), 2, 'of one request');
};

$t->done;
