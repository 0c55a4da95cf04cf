# What requests cost: $llm_cost and x-llm-cost against sums done by hand, in every dialect pair, for
# whole answers, streams, cut streams, and clients that leave; prices of the operator's own, read
# again at reload; models without a price.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Metrics;
use LLM::Pair;
use LLM::Json qw(try_json);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $prices = $t->write_file('prices.json', encode_json_c({ models => {
    'chat/house' => { input => 100, output => 200, cache_read => 10, per => { request => 0.5 } } } }));

$t->http_conf(LLM::Pair::conf($p,
    http => "llm_prices $prices;
        log_format cost escape=json '{\"cost\":\$llm_cost,\"status\":\"\$llm_cost_status\","
        . "\"list\":\"\$llm_list_cost\",\"in\":\$llm_input_tokens,\"out\":\$llm_output_tokens,\"outcome\":\"\$llm_outcome\"}';",
    models => 'llm_provider mock {}
        llm_provider less { dialect openai; base_url ' . $p->url . '/v1; cost_factor 0.9; }
        llm_provider more { dialect openai; base_url ' . $p->url . '/v1; cost_factor 1.25; }
        llm_model discount { deployment less/gpt-4o; }
        llm_model margin { deployment more/gpt-4o; }
        llm_model own { deployment chat/whatever input_cost=0.000001 output_cost=3e-6; }
        llm_model house { deployment chat/house; }
        llm_model secret { deployment chat/nobody-knows; }
        llm_model azure-like { deployment chat/my-deployment; }
        llm_model mixed { deployment chat/nobody-knows order=1; deployment chat/gpt-4o order=2 id=priced; }
        llm_model played { deployment mock/x "reply=one two"; }',
    server => 'location = /metrics { llm_metrics; }
        location /strict/ { llm_pass models; llm_unknown_price refuse;
        access_log logs/cost.log cost; }
        location /own/ { llm_pass chat; access_log logs/cost.log cost; }',
    location => 'access_log logs/cost.log cost; llm_idle_timeout 300ms;'));
$t->start;

my $seen = 0;

sub logged {
    my @lines;

    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/cost.log'); @lines > $seen }, 5,
        'a line of the log') or return {};
    my $text = $lines[$seen++];
    unlike($text, qr/"cost":[^,]*e/i, 'plain notation');
    # As it is written: floating point would hide digits.
    my ($cost) = $text =~ /"cost":([0-9.]+)/;
    return { %{ try_json($text) || {} }, cost => $cost };
}

sub costs {
    my ($name, $cost, $status) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $line = logged();
    is("$line->{cost} $line->{status}", "$cost $status", $name) or diag(explain($line));
    return $line;
}

sub ask {
    my ($model, %o) = @_;

    return $t->post(($o{path} // '') . '/v1/chat/completions',
        { model => $model, messages => [{ role => 'user', content => 'hi' }] });
}

my %usage = (
    # 140 x 2.5 + 1280 x 1.25 + 100 x 10 dollars for a million
    chat => [{ prompt_tokens => 1420, completion_tokens => 100,
        prompt_tokens_details => { cached_tokens => 1280 },
        completion_tokens_details => { reasoning_tokens => 64 } }, '0.00295'],
    # 14 x 3 + 1000 x 0.3 + 28 x 6 + 100 x 15
    messages => [{ input_tokens => 14, cache_read_input_tokens => 1000,
        cache_creation_input_tokens => 28, output_tokens => 100,
        cache_creation => { ephemeral_5m_input_tokens => 0, ephemeral_1h_input_tokens => 28 } },
        '0.00201'],
);

for my $pair (LLM::Pair->all) {
    my ($usage, $cost) = @{ $usage{ $pair->{provider} } };

    subtest $pair->{name} => sub {
        $p->script(json(200, $pair->answer(usage => $usage)));
        my $r = $pair->post($t);
        is($r->{headers}{'x-llm-cost'}, $cost, 'header of a whole answer');
        costs('a whole answer', $cost, 'known');

        $p->script(sse($pair->events(usage => $usage)));
        $r = $pair->post($t, stream => JSON::PP::true());
        is($r->{headers}{'x-llm-cost'}, undef, 'no header of a stream');
        costs('a stream', $cost, 'known');

        $p->script(json(500, $pair->error_body('server_error', 'no')));
        is($pair->post($t)->{headers}{'x-llm-cost'}, '0', 'a failure costs nothing');
        costs('a failure', '0', '');

        # What the provider told at the begin stands, the rest is an estimate.
        my @events = $pair->events(text => ['x' x 40, 'y' x 40, 'z'], usage => $usage);
        $p->script(sse(@events, cut_after => $pair->{provider} eq 'chat' ? 3 : 5));
        $pair->stream($t)->all_events;
        my $line = logged();
        is("$line->{status} $line->{outcome}", 'estimated cut', 'a cut stream');
        is($line->{out}, 20, 'tokens of what was delivered');
        is($line->{in}, 1042, 'input as it was told') if $pair->{provider} eq 'messages';
        my $in = $pair->{provider} eq 'chat' ? $line->{in} * 2500 + 20 * 10000
            : 14 * 3000 + 1000 * 300 + 28 * 6000 + 20 * 15000;
        is(sprintf('%.9f', $line->{cost}), sprintf('%.9f', $in / 1e9), 'and their cost');

        $p->script(sse(@events, wait_for_release => $pair->{provider} eq 'chat' ? 3 : 5));
        my $s = $pair->stream($t);
        $s->next_event for 1 .. 3;
        $s->reset;
        $line = logged();
        is("$line->{status} $line->{outcome}", 'estimated client_closed', 'the client left');
        cmp_ok($line->{out}, '>=', 10, 'what was delivered counts');
    };
}

subtest 'service tiers that the provider billed' => sub {
    my $usage = { prompt_tokens => 1000, completion_tokens => 100 };
    for my $way (['priority', '0.00595'], ['default', '0.0035'], ['flex', '0.0035']) {
        my ($tier, $cost) = @$way;
        my $answer = { %{ chat_answer(usage => $usage) }, service_tier => $tier };
        $p->script(json(200, $answer));
        is(ask('on-chat')->{headers}{'x-llm-cost'}, $cost, "$tier: header");
        costs("$tier: log", $cost, 'known');
        my @events = map { ref $_ ? { %$_, service_tier => $tier } : $_ }
            chat_stream(usage => $usage);
        $p->script(sse(@events));
        $t->post('/v1/chat/completions', { model => 'on-chat', stream => JSON::PP::true(),
            messages => [{ role => 'user', content => 'hi' }] });
        costs("$tier: stream", $cost, 'known');
    }
};

subtest 'case 54: prices of the operator' => sub {
    my %answer = (usage => { prompt_tokens => 10, completion_tokens => 2,
        prompt_tokens_details => { cached_tokens => 4 } });
    $p->script(json(200, chat_answer(%answer)));
    ask('own');
    costs('of the deployment: 10 x 1 + 2 x 3', '0.000016', 'known');
    ask('house');
    costs('of the file: 6 x 100 + 4 x 10 + 2 x 200, and for the request', '0.50104', 'known');

    $t->write_file('prices.json', '{"models": {"chat/house": {"input": 1, "output": 1}}}');
    ok($t->reload, 'reload');
    ask('house');
    costs('read again', '0.000012', 'known');

    $t->write_file('prices.json', qq({"models": {"chat/house":\n{"input": "1"}}}));
    $t->expect_log(qr/prices in "[^"]+", line 2: model "chat\/house": "input" is not a number/);
    ok(!$t->reload(may_fail => 1), 'a reload with a broken file fails');
    ask('house');
    costs('the old prices stay', '0.000012', 'known');
    is(LLM::Metrics->get($t)->value('llm_price_file_errors_total'), 1, 'and the metric tells');
    $t->write_file('prices.json', '{"models": {"chat/house": {"input": 2, "output": 2}}}');
    ok($t->reload, 'reload');
    ask('house');
    costs('a good file again', '0.000024', 'known');
};

# 1000 x 2.5 + 100 x 10 dollars for a million
subtest 'discounts and margins of a provider' => sub {
    $p->script(json(200, chat_answer(usage => { prompt_tokens => 1000,
        completion_tokens => 100 })));
    for my $case (['discount', '0.00315'], ['margin', '0.004375']) {
        my ($model, $cost) = @$case;
        is(ask($model)->{headers}{'x-llm-cost'}, $cost, "$model in the header");
        my $line = costs($model, $cost, 'known');
        is($line->{list}, '0.0035', 'and what it was before');
    }
};

subtest 'prices that are not known' => sub {
    $p->script(json(200, chat_answer(model => 'nobody-knows')));
    is(ask('secret')->{headers}{'x-llm-cost'}, '0', 'counted as 0') for 1 .. 2;
    costs('and marked', '0', 'unpriced') for 1 .. 2;
    my $told = () = $t->log_text =~ /price of chat\/nobody-knows is not known/g;
    is($told, 1, 'one line in the log');

    my $before = $p->request_count;
    my $r = ask('secret', path => '/strict');
    is($r->{status}, 403, 'refused');
    like($r->{json}{error}{message}, qr/price of the model is not known/, 'with the reason');
    costs('refused', '0', 'unpriced');
    is($p->request_count, $before, 'the provider was not asked');
    $r = ask('mixed', path => '/strict');
    is("$r->{status} $r->{headers}{'x-llm-deployment'}", '200 priced', 'one with a price');
    logged();

    $p->script(json(200, chat_answer(model => 'gpt-4o-2024-08-06',
        usage => { prompt_tokens => 1000, completion_tokens => 100 })));
    ask('azure-like');
    costs('the answer tells the model', '0.0035', 'known');
    is(ask('played')->{headers}{'x-llm-cost'}, '0', 'what is free');
    costs('is known', '0', 'known');
    $t->post('/own/v1/embeddings', '{}');
    costs('forwarded unread, with usage', '0.0035', 'known');
};

subtest 'what nginx -t refuses' => sub {
    my $dir = $t->dir;
    my $server = 'server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }';
    $t->write_file('half.json', '{"models": {"a": {"input": 1}');
    $t->write_file('empty.json', '');
    $t->write_file('good.json', '{"models": {"a": {"input": 1}}}');
    my $mock = 'llm_provider mock {} llm_model m { deployment mock/x';
    for my $case (
        ["llm_prices $dir/half.json;", qr/prices in "[^"]+half.json", line \d+: not JSON: .* in \S+:\d+/],
        ["llm_prices $dir/empty.json;", qr/not JSON/],
        ["llm_prices $dir/none.json;", qr/cannot read the prices in "[^"]+none.json"/],
        ["$mock input_cost=2.5; }", qr/cost "2.5" is too large: it is in dollars for one token/],
        ["$mock output_cost=-1; }", qr/invalid cost "-1"/],
        ["$mock input_cost=; }", qr/invalid cost ""/],
        ['llm_unknown_price maybe;', qr/invalid value "maybe", expected count or refuse/],
    ) {
        my ($code, $output) = $t->config_test("$case->[0]\n$server");
        is($code, 1, "refused: $case->[0]");
        like($output, $case->[1], 'with a message');
    }
    my ($code, $output) = $t->config_test("llm_prices good.json; llm_prices $dir/good.json;
        llm_unknown_price refuse;\n$mock input_cost=2.5e-06 output_cost=0; }\n$server");
    is($code, 0, 'good ones pass') or diag($output);
};

$t->done;
