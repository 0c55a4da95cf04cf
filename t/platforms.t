# The clouds that carry other people's dialects: Azure's paths, versions and keys, Vertex AI's paths
# and bodies, for whole answers, streams and counting, whatever the client speaks.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(encode_json_o);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $google = "$url/v1/projects/{project}/locations/{region}/publishers";
my $pem = `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null`;

$t->write_file('account.json', encode_json_c({ type => 'service_account', private_key => $pem,
    client_email => 'gate@p.example', token_uri => "$url/token" }));
my $account = 'region europe-west1; project p-1; service_account file:' . $t->dir . '/account.json';
$t->http_conf(LLM::Pair::conf($p, forms => [], models => <<"END"));
    llm_provider azure-old { preset azure; resource res; api_version 2024-12-01-preview;
        base_url $url; api_key azure-key; }
    llm_provider azure-new { preset azure; resource res; base_url $url; api_key azure-key; }
    llm_provider foundry { preset azure-anthropic; resource res; base_url $url/anthropic/v1;
        api_key azure-key; }
    llm_provider vertex { preset vertex_ai; base_url "$google/google"; $account; }
    llm_provider vertex-claude { preset vertex-anthropic; base_url "$google/anthropic"; $account; }
    llm_model old { deployment "azure-old/my gpt"; }
    llm_model new { deployment azure-new/my-gpt; }
    llm_model foundry { deployment foundry/claude-sonnet-4-5; }
    llm_model vertex { deployment vertex/gemini-2.5-flash; }
    llm_model vertex-claude { deployment vertex-claude/claude-sonnet-4-5\@20250929; }
END
$t->start;
$p->on('/token' => json(200, { access_token => 'ya29.token', expires_in => 3600 }));

my @clients = grep { $_ ne 'completions' } LLM::Forms::clients();
my $vertex = '/v1/projects/p-1/locations/europe-west1/publishers';

# A client of one dialect that asks a model whose provider answers in another.
sub pair {
    my ($client, $form, $model) = @_;
    my $pair = LLM::Pair->new($client, $form);

    $pair->{model} = $model;
    return $pair;
}

# Asks once for a whole answer and once for a stream; returns both requests of the provider.
sub both {
    my ($pair, @ask) = @_;
    my $name = "$pair->{client} to $pair->{model}";

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $p->script($pair->whole(text => 'Well'));
    my $r = $pair->post($t, @ask);
    is($r->{status}, 200, "$name: status") or diag($r->{body});
    is($pair->read_answer($r->{json} || {})->{text}, 'Well', "$name: text");
    my $whole = $p->last_request;
    $p->script($pair->streamed(text => 'Well'));
    my @events = $pair->stream($t, @ask)->all_events;
    is_deeply([$pair->check(\@events)], [], "$name: stream");
    is($pair->assemble(\@events)->{text}, 'Well', "$name: its text");
    return ($whole, $p->last_request);
}

subtest 'Azure' => sub {
    for my $client (@clients) {
        my $at = '/openai/deployments/my%20gpt/chat/completions?api-version=2024-12-01-preview';
        if ($client ne 'responses') {
            for my $q (both(pair($client, 'chat', 'old'))) {
                is($q->{path}, $at, "$client: the deployment is in the path");
                is($q->{headers}{'api-key'}, 'azure-key', 'key');
                ok(!exists $q->{headers}{authorization}, 'and not twice');
            }
            for my $q (both(pair($client, 'chat', 'new'))) {
                is($q->{path}, '/openai/v1/chat/completions', "$client: without a version");
                is($q->{json}{model}, 'my-gpt', 'it is in the body');
                is($q->{headers}{'api-key'}, 'azure-key', 'key');
            }
        }
    }
    for my $model (qw(old new)) {
        for my $q (both(pair('responses', 'responses', $model))) {
            is($q->{path}, '/openai/v1/responses', "responses, $model: path");
            is($q->{json}{model}, $model eq 'old' ? 'my gpt' : 'my-gpt', 'model');
            is($q->{headers}{'api-key'}, 'azure-key', 'key');
        }
    }
    for my $client (@clients) {
        for my $q (both(pair($client, 'messages', 'foundry'))) {
            is($q->{path}, '/anthropic/v1/messages', "$client: models of Anthropic");
            is("$q->{headers}{'api-key'} $q->{headers}{'anthropic-version'} $q->{json}{model}",
                'azure-key 2023-06-01 claude-sonnet-4-5', 'key, version, model');
        }
    }
};

subtest "Azure's first chunk says nothing" => sub {
    my $pair = pair('chat', 'chat', 'old');
    my @events = $pair->events(text => 'Hi');
    $p->script(sse({ choices => [], created => 0, id => '', model => '', object => '',
        prompt_filter_results => [] }, @events));
    my $s = $pair->stream($t);
    my $all = $pair->assemble([$s->all_events]);
    is("$all->{text} $all->{done}", 'Hi 1', 'chat');
    $pair = pair('messages', 'chat', 'old');
    my @seen = $pair->stream($t)->all_events;
    is_deeply([$pair->check(\@seen)], [], 'messages');
};

subtest 'Vertex AI, Gemini' => sub {
    for my $client (@clients) {
        my ($whole, $stream) = both(pair($client, 'gemini', 'vertex'));
        my $at = "$vertex/google/models/gemini-2.5-flash";
        is($whole->{path}, "$at:generateContent", "$client: path");
        is($stream->{path}, "$at:streamGenerateContent?alt=sse", "$client: path of streams");
        for my $q ($whole, $stream) {
            is($q->{headers}{authorization}, 'Bearer ya29.token', 'token');
            ok(!exists $q->{headers}{'x-goog-api-key'} && !exists $q->{json}{model}, 'no more');
        }
    }
    $p->script(json(200, { totalTokens => 12 }));
    my $r = $t->post('/v1beta/models/vertex:countTokens', { generateContentRequest => {
        model => 'models/vertex', contents => [{ role => 'user', parts => [{ text => 'hi' }] }] } });
    is("$r->{status} $r->{json}{totalTokens}", '200 12', 'counting') or diag($r->{body});
    my $q = $p->last_request;
    is($q->{path}, "$vertex/google/models/gemini-2.5-flash:countTokens", 'path of the counter');
    is($q->{json}{contents}[0]{parts}[0]{text}, 'hi', 'which takes the contents as they are');
};

subtest 'Vertex AI, models of Anthropic' => sub {
    my $at = "$vertex/anthropic/models/claude-sonnet-4-5%4020250929";
    for my $client (@clients) {
        my ($whole, $stream) = both(pair($client, 'messages', 'vertex-claude'));
        is($whole->{path} =~ s/\@/%40/r, "$at:rawPredict", "$client: path");
        is($stream->{path} =~ s/\@/%40/r, "$at:streamRawPredict", "$client: path of streams");
        ok($stream->{json}{stream}, "$client: which is also asked for in the body");
        for my $q ($whole, $stream) {
            is($q->{json}{anthropic_version}, 'vertex-2023-10-16', "$client: version");
            ok(!exists $q->{json}{model}, 'no model');
            ok(!exists $q->{headers}{'anthropic-version'}, 'and no header of it');
            is($q->{headers}{authorization}, 'Bearer ya29.token', 'token');
        }
    }
    my ($q) = both(pair('messages', 'messages', 'vertex-claude'), http => { headers => [
        'anthropic-version' => '2023-06-01', 'anthropic-beta' => 'context-1m-2025-08-07'] });
    ok(!exists $q->{headers}{'anthropic-version'}, "the client's version stays here");
    is($q->{headers}{'anthropic-beta'}, 'context-1m-2025-08-07', 'its flags go on');
    $p->script(json(200, { input_tokens => 12 }));
    my $r = $t->post('/v1/messages/count_tokens', { model => 'vertex-claude',
        messages => [{ role => 'user', content => 'hi' }] });
    is("$r->{status} $r->{json}{input_tokens}", '200 12', 'counting') or diag($r->{body});
    $q = $p->last_request;
    is($q->{path}, "$vertex/anthropic/models/count-tokens:rawPredict", 'path of the counter');
    is($q->{json}{model} =~ s/\@/-/r, 'claude-sonnet-4-5-20250929', 'which is told the model');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
