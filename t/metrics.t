# llm_metrics: what requests did and what they cost, of all workers in one page, as Prometheus and
# its promtool want it; log lines, metrics and the provider's own count are equal to the unit.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use LLM::Metrics;

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p,
    http => 'log_format line "$llm_outcome|$llm_input_tokens|$llm_output_tokens|$llm_cost|'
        . '$llm_cached_tokens|$status";',
    models => 'llm_model any/* { deployment chat/* input_cost=0.000001 output_cost=3e-6; }
        llm_model slow { deployment chat/gpt-4o id=slow; }',
    server => 'location = /metrics { llm_metrics; }
        location /denied/ { deny all; llm_pass models; access_log logs/line.log line; }
        location /limited/ { llm_pass models; access_log logs/line.log line; }',
    location => 'access_log logs/line.log line; llm_first_token_timeout 200ms;
        llm_idle_timeout 200ms;'));
$t->start;

my $usage = { prompt_tokens => 1000, completion_tokens => 100,
    prompt_tokens_details => { cached_tokens => 600 },
    completion_tokens_details => { reasoning_tokens => 60 } };

sub metrics { return LLM::Metrics->get($t) }
my $sent = 0;

sub ask {
    my ($model, %o) = @_;

    $sent++;
    return $t->post(($o{path} // '') . '/v1/chat/completions',
        { model => $model, messages => [{ role => 'user', content => 'hi' }], %{ $o{more} || {} } });
}

# All that was sent is booked.
sub settled {
    my $m;

    $t->wait_for(sub { $m = metrics(); $m->sum('llm_requests_total') == $sent }, 10,
        "$sent requests on the page") or diag($m->text);
    return $m;
}

subtest 'an empty page' => sub {
    my $r = $t->get('/metrics');
    is($r->{status}, 200, 'status');
    is($r->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'type');
    is(metrics()->value('llm_requests_in_flight'), 0, 'nothing in flight');
    is($t->post('/metrics', {})->{status}, 405, 'POST');
    is($t->request('HEAD', '/metrics')->{status}, 200, 'HEAD');
};

subtest 'one request' => sub {
    $p->script(json(200, chat_answer(usage => $usage)));
    is(ask('any/m')->{status}, 200, 'answered');
    my $m = settled();
    my %at = (gen_ai_request_model => 'any/m', gen_ai_provider_name => 'chat',
        deployment => 'chat/*');
    is($m->value('llm_requests_total', %at, outcome => 'ok'), 1, 'outcome');
    is($m->value('llm_tokens_total', %at, gen_ai_token_type => 'input'), 1000, 'input');
    is($m->value('llm_tokens_total', %at, gen_ai_token_type => 'output'), 100, 'output');
    is($m->value('llm_token_parts_total', %at, part => 'cache_read'), 600, 'cached');
    is($m->value('llm_token_parts_total', %at, part => 'reasoning'), 60, 'reasoning');
    is($m->value('llm_cost_dollars_total', %at), '0.0013', 'cost');
    is($m->value('llm_attempts_total', %at), 1, 'attempts');
    for my $name (qw(gen_ai_server_time_to_first_token_seconds llm_overhead_seconds
        gen_ai_server_request_duration_seconds llm_upstream_seconds)) {
        is($m->value("${name}_count", %at), 1, $name);
        is($m->value("${name}_bucket", %at, le => '+Inf'), 1, "$name: all of it");
    }
};

subtest 'case 60: names of models that clients think of stay bounded' => sub {
    $p->script(json(200, chat_answer(usage => $usage)));
    # The default zone has room for about 800 rows.
    my $n = 1500;
    ask("any/random-$_") for 1 .. $n;
    ask("nobody-knows-$_") for 1 .. 20;
    my $m = settled();
    my @models = $m->labels('llm_requests_total', 'gen_ai_request_model');
    cmp_ok(scalar @models, '<', 1000, 'bounded');
    cmp_ok($m->sum('llm_requests_total', gen_ai_request_model => 'other'), '>', 300, 'the others');
    is($m->sum('llm_tokens_total', gen_ai_token_type => 'input'), 1000 * ($n + 1), 'none is lost');
    is($m->sum('llm_requests_total', gen_ai_request_model => '', outcome => 'refused'), 20,
        'a model that does not exist is no label');
};

subtest 'labels of any bytes' => sub {
    ask("any/q\"uo\\te\n\x{e9}{}");
    my $m = settled();
    like($m->text, qr/^llm_requests_total\{.*outcome="ok"\} \d+$/m, 'the page is whole');
};

subtest 'what nginx refuses is counted, too' => sub {
    my $before = metrics()->sum('llm_requests_total', outcome => 'refused');
    is(ask('any/m', path => '/denied')->{status}, 403, 'denied');
    my $m = settled();
    is($m->sum('llm_requests_total', outcome => 'refused'), $before + 1, 'refused');
};

subtest 'what waits for a slow client' => sub {
    my @events = chat_stream(text => ['begin ', 'Z' x 20_000]);
    $p->script(sse(@events[0, 1], flood($events[2], 2000), @events[3 .. $#events]));
    $sent++;
    my $s = $t->stream('/v1/chat/completions', { model => 'any/m', stream => JSON::PP::true(),
        messages => [{ role => 'user', content => 'hi' }] });
    $s->status;
    $t->wait_for(sub { metrics()->value('llm_stream_buffer_bytes') > 0 }, 10, 'is on the page');
    is(metrics()->value('llm_requests_in_flight'), 1, 'in flight');
    $s->reset;
    $t->wait_for(sub { metrics()->value('llm_stream_buffer_bytes') == 0 }, 10, 'and gone');
    is(settled()->value('llm_requests_in_flight'), 0, 'nothing is in flight');
};

subtest 'promtool accepts the page' => sub {
    my ($status, $output) = LLM::Metrics->check(metrics()->text);
    is($status, 0, 'promtool check metrics');
    is($output, '', 'without a word');
};

subtest 'a reload keeps what was counted' => sub {
    my $before = settled();
    $t->reload;
    is(metrics()->sum('llm_requests_total'), $before->sum('llm_requests_total'), 'requests');
    is(metrics()->sum('llm_cost_dollars_total'), $before->sum('llm_cost_dollars_total'), 'cost');
    ask('any/m');
    settled();
};

$t->done;
