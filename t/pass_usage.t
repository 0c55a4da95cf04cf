# case 52: what is forwarded unread below llm_pass PROVIDER is counted and paid for like everything
# else, whatever the call, its framing and the host.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use LLM::Json qw(try_json);
use MIME::Base64 qw(encode_base64);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my %price = (input => 1, output => 3, cache_read => 0.1);
my $prices = $t->write_file('prices.json', encode_json_c({ models => { 'p/m' => \%price,
    'p/anthropic.claude' => \%price, 'p/heard' => { per => { input_second => 0.0001 } } } }));

$t->http_conf(<<"END");
    llm_prices $prices;
    log_format entry escape=json '{"outcome":"\$llm_outcome","in":\$llm_input_tokens,'
        '"out":\$llm_output_tokens,"cached":\$llm_cached_tokens,"cost":"\$llm_cost",'
        '"status":"\$llm_cost_status","model":"\$llm_model","stream":"\$llm_stream"}';
    llm_provider p { dialect openai; base_url $url; api_key k; }
    server {
        listen 127.0.0.1:%%PORT%%;
        llm_idle_timeout 200ms;
        location /p/ { llm_pass p; access_log logs/entry.log entry; }
    }
END
$t->start;

my $seen = 0;

sub entry {
    my @lines;

    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/entry.log'); @lines > $seen }, 5,
        'a line of the log') or return {};
    return try_json($lines[$seen++]) || {};
}

sub costs {
    my ($name, $path, $body, $want, $answer) = @_;

    $p->script($answer);
    my $r = $t->request('POST', "/p$path", body => ref $body ? encode_json_c($body) : $body,
        headers => ['Content-Type' => 'application/json']);
    my $e = entry();
    is(join(' ', @$e{qw(in out cached cost status model)}), $want, $name) or diag(explain($e));
    return $r;
}

sub events {
    my (@data) = @_;

    return join '', map { "data: $_\n\n" } @data;
}

sub body { my ($text, %o) = @_; return answer(status => 200, body => $text, %o) }

my @ways = (
    ['whole', content_length => 1], ['byte by byte', chunked => 1, bytewise => 1],
    ['to the end of the connection', close => 1],
);

for my $way (@ways) {
    my ($how, @framing) = @$way;
    subtest "answers, $how" => sub {
        costs('embeddings of OpenAI', '/v1/embeddings', { model => 'm', input => 'x' },
            '1000 0 0 0.001 known m', body('{"object":"list","data":[{"embedding":[' . '0.1,' x 3000
            . '1]}],"model":"m-1","usage":{"prompt_tokens":1000,"total_tokens":1000}}', @framing));
        costs('images', '/v1/images/generations', { model => 'm', prompt => 'a cat' },
            '50 400 0 0.00125 known m', body('{"data":[],"usage":{"total_tokens":450,'
            . '"input_tokens":50,"output_tokens":400,"input_tokens_details":{"text_tokens":50}}}',
            @framing));
        costs('embeddings of Cohere', '/v2/embed', { model => 'm' }, '7 0 0 0.000007 known m',
            body('{"id":"e","meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":7'
            . '}}}', @framing));
        costs('Ollama', '/api/generate', { model => 'm' }, '26 10 0 0.000056 known m',
            body("{\"model\":\"m\",\"response\":\"a \\\"usage\\\":{} b\",\"done\":false}\n"
            . "{\"model\":\"m\",\"done\":true,\"prompt_eval_count\":26,\"eval_count\":10}\n",
            @framing));
        costs('Converse of Bedrock', '/model/anthropic.claude/converse', { messages => [] },
            '1000 100 600 0.00076 known anthropic.claude',
            body('{"output":{},"usage":{"inputTokens":400,"outputTokens":100,"totalTokens":1100,'
            . '"cacheReadInputTokens":600}}', @framing));
        costs('a stream of messages', '/other/messages', { model => 'm', stream => 1 },
            '1000 100 600 0.00076 known m', body(events(
            '{"type":"message_start","message":{"model":"m","usage":{"input_tokens":400,'
            . '"cache_read_input_tokens":600,"output_tokens":1}}}',
            '{"type":"content_block_delta","delta":{"text":"\"usage\":{\"input_tokens\":9}"}}',
            '{"type":"message_delta","usage":{"output_tokens":100}}'), @framing));
        costs('a stream of Responses', '/other/responses', { model => 'm' },
            '1000 100 600 0.00076 known m', body(events(
            '{"type":"response.created","response":{"model":"m","usage":null}}',
            '{"type":"response.completed","response":{"usage":{"input_tokens":1000,'
            . '"input_tokens_details":{"cached_tokens":600},"output_tokens":100,'
            . '"output_tokens_details":{"reasoning_tokens":64},"total_tokens":1100}}}'), @framing));
        costs('a stream of chat', '/other/chat', { model => 'm' },
            '1000 100 600 0.00076 known m', body(events('{"choices":[{"delta":{}}],"usage":null}',
            '{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":'
            . '1100,"prompt_tokens_details":{"cached_tokens":600}}}', '[DONE]'), @framing));
        costs('Gemini', '/v1/x/models/m:streamGenerateContent', {},
            '1000 100 600 0.00076 known m', body(events('{"candidates":[],"usageMetadata":'
            . '{"promptTokenCount":1000,"candidatesTokenCount":10,"totalTokenCount":1010}}',
            '{"candidates":[],"usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":90,'
            . '"thoughtsTokenCount":10,"cachedContentTokenCount":600,"totalTokenCount":1100}}'),
            @framing));
    };
}

subtest 'messages within an event stream of AWS' => sub {
    my $chunk = sub { { bytes => encode_base64($_[0], '') } };
    costs('InvokeModel', '/model/anthropic.claude/invoke-with-response-stream', {},
        '1000 100 600 0.00076 known anthropic.claude', eventstream(
        [chunk => $chunk->('{"type":"message_start","message":{"usage":{"input_tokens":400,'
            . '"cache_read_input_tokens":600,"output_tokens":1}}}')],
        [chunk => $chunk->('{"type":"message_delta","usage":{"output_tokens":100}}')]));
};

subtest 'what has no price' => sub {
    my $r = costs('a file', '/v1/files', 'not json', '0 0 0 0 0  ' =~ s/^0 //r, body("\0\1\2"));
    is($r->{body}, "\0\1\2", 'comes through');
    costs('a list', '/v1/batches', {}, '0 0 0 0  ', body('{"data":[]}'));
    costs('a model that nobody knows', '/v1/embeddings', { model => 'unknown' },
        '9 0 0 0 unpriced unknown', body('{"usage":{"prompt_tokens":9,"total_tokens":9}}'));
    costs('the model of a form', '/v1/audio/transcriptions', "--x\r\nContent-Disposition: form-data;"
        . " name=\"model\"\r\n\r\nm\r\n--x--\r\n", '10 5 0 0.000025 known m',
        body('{"text":"hi","usage":{"type":"tokens","input_tokens":10,"output_tokens":5,'
        . '"total_tokens":15}}'));
};

subtest 'speech that is billed by time' => sub {
    costs('12.5 seconds', '/v1/audio/transcriptions', "--x\r\nContent-Disposition: form-data;"
        . " name=\"model\"\r\n\r\nheard\r\n--x--\r\n", '0 0 0 0.00125 known heard',
        body('{"text":"hi","usage":{"type":"duration","seconds":12.5}}'));
};

subtest 'endings' => sub {
    my $usage = '{"data":[],"usage":{"prompt_tokens":10,"total_tokens":10}';
    for my $case (['an error', 'upstream_error', answer(status => 500, body => '{}')],
        ['cut', 'cut', body("$usage      }", cut_after => length $usage)],
        ['silence', 'timeout', body("$usage      }", cut_after => length $usage, stall => 1)]) {
        my ($name, $outcome, $answer) = @$case;
        $p->script($answer);
        $t->request('POST', '/p/v1/embeddings', body => '{"model":"m"}');
        my $e = entry();
        is($e->{outcome}, $outcome, "$name: outcome");
        is($e->{cost}, $name eq 'an error' ? '0' : '0.00001', "$name: cost");
    }
    $p->script(body("$usage      }", cut_after => length $usage, stall => 1));
    my $s = $t->stream('/p/v1/embeddings', '{"model":"m"}');
    $s->status;
    $s->reset;
    is(entry()->{outcome}, 'client_closed', 'the client leaves');
};

$t->done;
