# Gotcha 110: some of Google's client libraries ask for numbers instead of names. What clients
# write behind the path of a call is not the provider's business, and they get names.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider google { dialect gemini; base_url $url/v1beta; api_key k; }
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_model on-google { deployment google/gemini-2.5-flash; }
    llm_model on-chat { deployment chat/gpt-4o; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
    }
END
$t->start;

my $ask = { contents => [{ role => 'user', parts => [{ text => 'hi' }] }] };
my $words = '{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},'
    . '"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,'
    . '"candidatesTokenCount":1,"totalTokenCount":6},"modelVersion":"gemini-2.5-flash"}';
my $numbers = '$alt=json;enum-encoding=int';

sub is_answered {
    my ($r, $path, $what) = @_;

    is($r->{status}, 200, "$what: status") or diag $r->{body};
    like($r->{body}, qr/"finishReason": ?"STOP"/, "$what: names");
    is($p->last_request->{path}, $path, "$what: nothing of the client's query");
}

subtest 'gotcha 110: whole answers' => sub {
    $p->script(json(200, $words));
    is_answered($t->post("/v1beta/models/on-google:generateContent?$numbers", $ask),
        '/v1beta/models/gemini-2.5-flash:generateContent', 'passed');
    $p->script(json(200, chat_answer(text => 'Hello')));
    is_answered($t->post("/v1beta/models/on-chat:generateContent?$numbers", $ask),
        '/v1/chat/completions', 'translated');
};

subtest 'gotcha 110: streams' => sub {
    $p->script(answer(body => "data: $words\r\n\r\n",
        headers => { 'Content-Type' => 'text/event-stream' }));
    is_answered($t->post("/v1beta/models/on-google:streamGenerateContent?alt=sse&$numbers", $ask),
        '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', 'passed');
    $p->script(sse(chat_stream(text => ['Hello'])));
    is_answered($t->post("/v1beta/models/on-chat:streamGenerateContent?alt=sse&$numbers", $ask),
        '/v1/chat/completions', 'translated');
};

$t->done;
