# Endpoints that are not translated, below llm_pass models: routed by the model in a JSON body or in
# a form, with the provider's name of the model in its place, and answered with what the provider
# said.

use strict;
use warnings;
use LLM::Pair;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider openai { base_url $url/v1; api_key sk-openai; }
    llm_provider azure { base_url $url; api_key sk-azure; api_version 2024-10-21; }
    llm_provider cohere { base_url $url/v2; api_key sk-cohere; }
    llm_provider gemini { base_url $url/v1beta; api_key sk-gemini; }
    llm_provider mock { }
    llm_provider anthropic { base_url $url/v1; api_key sk-ant; }
    llm_model embed { deployment openai/text-embedding-3-small; }
    llm_model cloud { deployment azure/my-embeddings; }
    llm_model ranks { deployment anthropic/claude order=1; deployment cohere/rerank-v3.5 order=2; }
    llm_model chats { deployment anthropic/claude; }
    llm_model hears { deployment openai/whisper-1; }
    llm_model gem { deployment gemini/gemini-embedding-001; }
    llm_model fake { deployment mock/any; }
    log_format tokens escape=json
        '{"all":"\$llm_outcome \$llm_input_tokens \$llm_output_tokens"}';
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; access_log logs/llm.log tokens; }
    }
END
$t->start;

my $lines = 0;

# What the next line of the log says.
sub next_log {
    return LLM::Pair::next_log($t, \$lines)->{all} // '';
}

subtest 'JSON' => sub {
    for my $case (
        ['/v1/embeddings', 'embed', '/v1/embeddings', 'text-embedding-3-small'],
        ['/embeddings', 'embed', '/v1/embeddings', 'text-embedding-3-small'],
        ['/v1/embeddings', 'cloud',
            '/openai/deployments/my-embeddings/embeddings?api-version=2024-10-21', 'my-embeddings'],
        ['/v1/moderations', 'embed', '/v1/moderations', 'text-embedding-3-small'],
        ['/v1/images/generations', 'embed', '/v1/images/generations', 'text-embedding-3-small'],
        ['/v1/rerank', 'ranks', '/v1/rerank', 'rerank-v3.5'],
        ['/v2/rerank', 'ranks', '/v2/rerank', 'rerank-v3.5'],
        ['/rerank', 'embed', '/v1/rerank', 'text-embedding-3-small'],
        ['/v1/responses/compact', 'embed', '/v1/responses/compact', 'text-embedding-3-small'],
    ) {
        my ($path, $model, $where, $name) = @$case;
        my $body = qq({"input": ["caf\\u00e9", 1.50],\n "model" :"%s", "x":{"model":"no"}});
        my $answer = qq({ "model":"m-1", "data":[ 1.0 ],"usage":{"prompt_tokens":8,"total_tokens":8}});
        $p->script(answer(body => $answer));
        my $r = $t->post($path, sprintf $body, $model);
        is("$r->{status} $r->{body}", "200 $answer", "$path, $model") or next;
        my $q = $p->last_request;
        is("$q->{path} $q->{body}", "$where " . sprintf($body, $name), 'as it was sent');
        is($r->{headers}{'x-llm-model'}, $model, 'the client\'s name of the model');
        is(next_log(), 'ok 8 0', 'counted');
    }
};

subtest 'forms' => sub {
    my $form = join "\r\n", '--xYz', 'Content-Disposition: form-data; name="file"; filename="a"',
        'Content-Type: audio/wav', '', "RIFF\0\r\n--xY\0model", '--xYz',
        'Content-Disposition: form-data; name="model"', '', '%s', '--xYz--', '';
    my @type = (headers => ['Content-Type' => 'multipart/form-data; boundary="xYz"']);
    for my $path ('/v1/audio/transcriptions', '/v1/audio/translations', '/v1/images/edits') {
        $p->script(answer(body => 'WEBVTT', headers => { 'Content-Type' => 'text/vtt' }));
        my $r = $t->post($path, sprintf($form, 'hears'), @type);
        is("$r->{status} $r->{headers}{'content-type'} $r->{body}", '200 text/vtt WEBVTT', $path);
        my $q = $p->last_request;
        is($q->{path}, $path, 'where');
        is($q->{body}, sprintf($form, 'whisper-1'), 'the model alone is another');
        is($q->{headers}{'content-type'}, 'multipart/form-data; boundary="xYz"', 'still a form');
        is((split ' ', next_log())[0], 'ok', 'outcome');
    }
    my $r = $t->post('/v1/audio/transcriptions', $form =~ s/"model"/"modell"/r, @type);
    is("$r->{status} $r->{json}{error}{param}", '400 model', 'without a model');
    next_log();
    $r = $t->post('/v1/audio/transcriptions', substr(sprintf($form, 'hears'), 0, -12), @type);
    is("$r->{status} $r->{json}{error}{param}", '400 model', 'a form that is cut');
    next_log();
};

subtest 'sound comes back as it is' => sub {
    my $sound = join '', map { chr($_ % 256) } 1 .. 70_000;
    $p->script(answer(body => $sound, headers => { 'Content-Type' => 'audio/mpeg' }));
    my $r = $t->post('/v1/audio/speech', { model => 'embed', input => 'hi', voice => 'v' });
    is("$r->{status} $r->{headers}{'content-type'}", '200 audio/mpeg', 'type');
    ok($r->{body} eq $sound, 'every byte');
    next_log();
};

subtest 'Gemini' => sub {
    my $path = '/v1beta/models/gem';
    $p->script(json(200, { embedding => { values => [1] } }));
    my $r = $t->post("$path:embedContent", { model => 'models/gem', content => { parts => [] } });
    is($r->{status}, 200, 'embedContent') or diag($r->{body});
    my $q = $p->last_request;
    is("$q->{path} $q->{json}{model}", '/v1beta/models/gemini-embedding-001:embedContent '
        . 'models/gemini-embedding-001', 'where');
    like(next_log(), qr/\Aok [1-9]\d* 0\z/, 'estimated: that API counts nothing');
    $r = $t->post("$path:batchEmbedContents",
        { requests => [{ model => 'models/gem' }, { model => 'models/gem' }] });
    is(join(' ', map { $_->{model} } @{$p->last_request->{json}{requests}}),
        'models/gemini-embedding-001 models/gemini-embedding-001', 'each of a batch');
    next_log();
};

subtest 'refusals' => sub {
    my $before = $p->request_count;
    for my $case (
        ['a provider without it', '/v1/embeddings', { model => 'chats', input => 'x' }, 400],
        ['the mock', '/v1/embeddings', { model => 'fake', input => 'x' }, 400],
        ['no model', '/v1/embeddings', { input => 'x' }, 400],
        ['a model of another type', '/v1/embeddings', { model => 7 }, 400],
        ['no such model', '/v1/embeddings', { model => 'nosuch' }, 404],
        ['no JSON', '/v1/embeddings', '{"model":', 400], ['a list', '/v1/moderations', '[]', 400],
    ) {
        my ($name, $path, $body, $status) = @$case;
        my $r = $t->post($path, $body);
        is($r->{status}, $status, $name);
        ok(length $r->{json}{error}{message}, 'says why');
        next_log();
    }
    is($t->get('/v1/embeddings')->{status}, 405, 'GET');
    is($p->request_count, $before, 'nobody was asked');
    $p->script(json(429, { error => { message => 'Slow down', type => 'rate_limit_error' } }));
    my $r = $t->post('/v1/embeddings', { model => 'embed', input => 'x' });
    is("$r->{status} $r->{json}{error}{message}", '429 Slow down', 'an error of the provider');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
