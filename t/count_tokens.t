# Counting tokens: a provider that can is asked in its own way, whatever the client speaks; where
# there is none, or it refuses, the count is an estimate and says so.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(ordered try_json);
use LLM::Pair;
use LLM::Provider;
use MIME::Base64 qw(decode_base64);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()],
    provider => 'param temperature 0.5;', models => <<'END'));
    llm_provider mock { }
    llm_model mocked { deployment mock/m; }
    llm_model first-cannot { deployment chat/gpt-4o order=1; deployment messages/c order=2; }
END
$t->start;

my $lines = 0;
my $words = 'Some words that are to be counted, ' x 20;
my $schema = ordered(type => 'object', properties => { x => { type => 'integer' } });
my %ask = (
    messages => sub { ordered(model => $_[0], system => "Be brief. $words",
        messages => [ordered(role => 'user', content => 'Count this.')],
        tools => [ordered(name => 'get_it', input_schema => $schema)]) },
    gemini => sub { ordered(generateContentRequest => ordered(model => "models/$_[0]",
        systemInstruction => { parts => [{ text => "Be brief. $words" }] },
        contents => [ordered(role => 'user', parts => [{ text => 'Count this.' }])],
        tools => [{ functionDeclarations => [ordered(name => 'get_it',
            parameters => $schema)] }])) },
);
my %number = (messages => 'input_tokens', gemini => 'totalTokens');
my @pairs = grep { $ask{ $_->{client} } } LLM::Pair->every;

sub count {
    my ($client, $model, @query) = @_;
    my $path = $client eq 'messages' ? '/v1/messages/count_tokens'
        : "/v1beta/models/$model:countTokens";
    my $r = $t->post($path . join('', @query), $ask{$client}->($model));

    $r->{log} = LLM::Pair::next_log($t, \$lines);
    return $r;
}

sub is_estimate {
    my ($r, $client, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, 200, "$name: status") or diag($r->{body});
    is($r->{headers}{'x-llm-token-count'}, 'estimated', "$name: says so");
    # The system text alone is 700 bytes.
    cmp_ok($r->{json}{ $number{$client} } // 0, '>', 200, "$name: with the system text");
    cmp_ok($r->{json}{ $number{$client} } // 0, '<', 400, "$name: about right");
    is($r->{log}{outcome}, 'ok', "$name: log");
    return;
}

subtest 'the counter of the provider' => sub {
    for my $pair (grep { $_->{to}{count} } @pairs) {
        my ($path, $member) = @{$pair->{to}{count}};
        my $name = $pair->{name};
        $p->script(json(200, { $member => 1234 }));
        my $r = count($pair->{client}, $pair->{model});
        is($r->{status}, 200, "$name: status") or diag($r->{body});
        is($r->{json}{ $number{ $pair->{client} } }, 1234, "$name: its number");
        ok(!defined $r->{headers}{'x-llm-token-count'}, "$name: no estimate");
        my $q = $p->last_request;
        is($q->{path}, $path, "$name: path");
        ok(!exists $q->{json}{stream}, "$name: no stream");
        unlike($q->{body}, qr/temperature/, "$name: no parameters of answers");
        my $sent = $q->{body};
        $sent = decode_base64($q->{json}{input}{invokeModel}{body})
            if $pair->{provider} eq 'bedrock-invoke';
        like($sent, qr/Count this\./, "$name: the messages");
        like($sent, qr/Be brief\. Some words/, "$name: the system text");
        like($sent, qr/get_it/, "$name: the tools");
        is($r->{log}{outcome}, 'ok', "$name: log");
    }
    $p->script(json(200, { totalTokens => 8, promptTokensDetails => [] }));
    is_deeply(count('gemini', 'on-gemini')->{json}, { totalTokens => 8, promptTokensDetails => [] },
        "a provider's own answer");
    is($p->last_request->{json}{generateContentRequest}{model}, 'models/gemini-2.5-flash',
        "with the provider's name of the model");
    $p->script(json(200, { inputTokens => 7 }));
    count($_, 'on-bedrock-invoke') for qw(messages gemini);
    for my $q (($p->requests)[-2, -1]) {
        is_deeply([keys %{$q->{json}}], ['input'], 'Bedrock is asked for the count of a call');
        my $call = try_json(decode_base64($q->{json}{input}{invokeModel}{body}));
        is("$call->{anthropic_version} $call->{max_tokens}", 'bedrock-2023-05-31 1', 'as it is');
        ok(!exists $call->{model}, 'without a model');
    }
    $p->script(json(200, { input_tokens => 7 }));
    my $r = count('messages', 'on-messages', '?beta=true');
    is($r->{json}{input_tokens}, 7, 'with ?beta=true');
};

subtest 'an estimate where there is no counter' => sub {
    my $before = $p->request_count;
    for my $pair (grep { !$_->{to}{count} } @pairs) {
        is_estimate(count($pair->{client}, $pair->{model}), $pair->{client}, $pair->{name});
    }
    is_estimate(count($_, 'mocked'), $_, "$_ of the mock") for sort keys %ask;
    is($p->request_count, $before, 'nobody was asked');
    $p->script(json(200, { input_tokens => 9 }));
    is(count('messages', 'first-cannot')->{json}{input_tokens}, 9,
        'another deployment of the model may have one');
};

subtest 'an estimate where the provider refuses' => sub {
    for my $pair (grep { $_->{to}{count} } @pairs) {
        for my $status (400, 404) {
            my ($body, $headers) = @{$pair->{to}{error}->('invalid_request', 'The provided model '
                . 'does not support counting tokens.')}[1, 2];
            $p->script(json($status, $body, $headers ? (headers => $headers) : ()));
            is_estimate(count($pair->{client}, $pair->{model}), $pair->{client},
                "$pair->{name}, $status");
        }
        $p->script($pair->error('rate_limit', 'Slow down'));
        my $r = count($pair->{client}, $pair->{model});
        is($r->{status}, 429, "$pair->{name}: other failures are told");
        ok($pair->is_error($r->{json}), "$pair->{name}: in the client's dialect");
        $p->script(json(200, { something => 'else' }));
        $r = count($pair->{client}, $pair->{model});
        is($r->{status}, 502, "$pair->{name}: no number") or diag($r->{body});
    }
};

subtest 'what is wrong with the request' => sub {
    my $r = $t->post('/v1/messages/count_tokens', '{');
    is("$r->{status} $r->{json}{error}{type}", '400 invalid_request_error', 'no JSON');
    $r = $t->post('/v1/messages/count_tokens', $ask{messages}->('nosuch'));
    is($r->{status}, 404, 'no such model');
    $r = $t->post('/v1beta/models/nosuch:countTokens',
        $ask{gemini}->('nosuch'));
    is("$r->{status} $r->{json}{error}{status}", '404 NOT_FOUND', 'no such model, Gemini');
    $r = $t->get('/v1/messages/count_tokens');
    is($r->{status}, 405, 'GET');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
