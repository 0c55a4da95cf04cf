# llm_pass PROVIDER: the location is that provider. Its own dialect is forwarded as it is, the
# other one is translated, every other path is forwarded unread, both ways.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    map \$http_x_target \$target { default \$http_x_target; '' models; }
    llm_provider chat { dialect openai; base_url $url/v1; api_key sk-chat; }
    llm_provider bare { dialect openai; base_url $url; api_key sk-bare; }
    llm_provider claude { dialect anthropic; base_url $url/v1/; api_key sk-claude; }
    llm_provider mock { }
    llm_model m { deployment chat/gpt-4o; }
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT:h2%% http2;
        llm_max_body 1m;
        location /nginx/ { proxy_http_version 1.1; proxy_pass $url/v1/; }
        location /openai/ { llm_pass chat; }
        location /bare/ { llm_pass bare; }
        location /anthropic/ { llm_pass claude; }
        location /mock/ { llm_pass mock; }
        location / { llm_pass \$target; }
        location /conf/ { set \$llm_where chat; llm_pass \$llm_where; }
    }
END
$t->start;
$p->on('/v1/chat/completions' => json(200, chat_answer(text => 'as chat')));
$p->on('/v1/messages' => json(200, messages_answer(text => 'as messages')));
$p->on('/chat/completions' => json(200, chat_answer()));

my $question = '{ "model" :"gpt-4o-mini",  "messages":[{"role":"user","content":"h\u0069 \/"}],'
    . "\n\"max_tokens\":7,\"unknown\":{\"a\":[1.0,1e2,-0]} }";

subtest 'its own dialect' => sub {
    my $r = $t->post('/openai/v1/chat/completions', $question);
    is("$r->{status} $r->{json}{choices}[0]{message}{content}", '200 as chat', 'answered');
    my $q = $p->last_request;
    is("$q->{method} $q->{path}", 'POST /v1/chat/completions', 'native path');
    is($q->{body}, $question, 'byte for byte');
    is($q->{headers}{authorization}, 'Bearer sk-chat', 'with the key of the provider');
    $r = $t->post('/anthropic/v1/messages', $question, headers => ['x-api-key' => 'client',
        'anthropic-version' => '2023-01-01', 'anthropic-beta' => 'a-1,b-2']);
    is("$r->{status} $r->{json}{content}[0]{text}", '200 as messages', 'the other provider');
    $q = $p->last_request;
    is("$q->{path} $q->{headers}{'x-api-key'}", '/v1/messages sk-claude', 'path and key');
    is("$q->{headers}{'anthropic-version'} $q->{headers}{'anthropic-beta'}", '2023-01-01 a-1,b-2',
        'versions and flags');
    is($q->{body}, $question, 'byte for byte');
    $t->post('/bare/chat/completions', $question);
    is($p->last_request->{path}, '/chat/completions', 'a base URL without a path');
    $t->post('/bare/v1/chat/completions', $question);
    is($p->last_request->{path}, '/chat/completions', 'which decides about /v1');
    $t->post('/openai/chat/completions', $question);
    is($p->last_request->{path}, '/v1/chat/completions', 'the client may leave it out');
    $t->post('/anthropic/v1/messages?beta=true&key=client', $question);
    is($p->last_request->{path}, '/v1/messages?beta=true', 'the query, but for a key');
    $t->post('/anthropic/v1/messages?beta=true&access_token=of-its-own', $question);
    is($p->last_request->{path}, '/v1/messages?beta=true&access_token=of-its-own',
        'what only the log has to hide is passed');
};

subtest 'the other dialect is translated' => sub {
    my $r = $t->post('/anthropic/v1/chat/completions', { model => 'claude-x', messages =>
        [{ role => 'user', content => 'hi' }] });
    is("$r->{status} $r->{json}{choices}[0]{message}{content}", '200 as messages', 'to Anthropic');
    is("$_->{path} $_->{json}{model}", '/v1/messages claude-x', 'as messages') for $p->last_request;
    $r = $t->post('/openai/v1/messages', { model => 'gpt-x', max_tokens => 5, messages =>
        [{ role => 'user', content => 'hi' }] });
    is("$r->{status} $r->{json}{content}[0]{text}", '200 as chat', 'to OpenAI');
    is("$_->{path} $_->{json}{model}", '/v1/chat/completions gpt-x', 'as chat')
        for $p->last_request;
};

subtest 'paths that are forwarded unread' => sub {
    my $binary = join '', map { chr } 0 .. 255;
    for my $case (
        ['POST', '/openai/v1/embeddings', '/v1/embeddings', '{"model":"e","input":"x"}'],
        ['POST', '/openai/embeddings', '/v1/embeddings', '{ broken'],
        ['POST', '/openai/v1/files', '/v1/files', $binary],
        ['GET', '/openai/v1/models?limit=2&after=a%20b', '/v1/models?limit=2&after=a%20b'],
        ['GET', '/openai/v1/files/file-1/content', '/v1/files/file-1/content'],
        ['DELETE', '/openai/v1/files/file-1', '/v1/files/file-1'],
        ['PUT', '/openai/v1/x', '/v1/x', 'a body'], ['PATCH', '/bare/v1/x', '/v1/x', 'a body'],
        ['POST', '/bare/v1/embeddings', '/v1/embeddings', '{}'],
        ['POST', '/openai/v1/a%20b/c', '/v1/a%20b/c', ''],
        ['POST', '/anthropic/v1/messages/count_tokens?beta=true',
            '/v1/messages/count_tokens?beta=true', '{}'],
        ['OPTIONS', '/openai/v1/x', '/v1/x'], ['GET', '/openai/v1/responses/r?stream=true',
            '/v1/responses/r?stream=true'],
    ) {
        my ($method, $path, $want, $body) = @$case;
        $p->script(answer(status => 201, body => "$binary\n", headers => {
            'Content-Type' => 'audio/mpeg', 'Retry-After' => '7', 'Location' => '/v1/there',
            'Content-Disposition' => 'attachment', 'Set-Cookie' => 'a=b', 'Server' => 'them',
            'X-Request-Id' => 'r-1' }));
        my $r = $t->request($method, $path, defined $body ? (body => $body) : (),
            headers => ['Content-Type' => 'multipart/form-data; boundary=x',
                Accept => 'audio/*', 'X-Other' => 'no']);
        my $q = $p->last_request;
        is("$q->{method} $q->{path}", "$method $want", "$method $path");
        is($q->{body}, $body // '', 'request body');
        is($q->{headers}{'content-type'}, 'multipart/form-data; boundary=x', 'its type');
        is($q->{headers}{accept}, 'audio/*', 'accept');
        ok(!exists $q->{headers}{'x-other'}, 'no header that we do not know');
        is($r->{status}, 201, 'status');
        ok($r->{body} eq "$binary\n", 'body') or diag($r->{body});
        my $h = $r->{headers};
        is($h->{'content-type'}, 'audio/mpeg', 'type');
        is("$h->{'retry-after'} $h->{location} $h->{'content-disposition'}",
            '7 /v1/there attachment', 'headers that say something of the answer');
        is($h->{'llm-provider-x-request-id'}, 'r-1', 'request id of the provider');
        ok(!exists $h->{'set-cookie'} && $h->{server} !~ /them/, 'and no other header');
    }
};

subtest 'its errors, statuses and framings come through' => sub {
    for my $status (400, 401, 404, 418, 429, 500, 503) {
        $p->script(answer(status => $status, body => "no\n", headers => {
            'Content-Type' => 'text/plain' }));
        my $r = $t->post('/openai/v1/embeddings', '{}');
        is("$r->{status} $r->{body}", "$status no\n", "status $status");
    }
    $p->script(raw_answer("HTTP/1.1 204 No Content\r\n\r\n", 'end'));
    is($t->request('DELETE', '/openai/v1/x')->{status}, 204, '204 without a body');
    for my $how (qw(chunked content_length close http10)) {
        $p->script(answer(body => 'a' x 100_000, $how => 1));
        my $r = $t->get('/openai/v1/x');
        is(length $r->{body}, 100_000, "framed by $how");
        ok($r->{clean}, 'whole');
        $p->script(answer(body => 'a' x 100_000, $how => 1, cut_after => 50_000));
        $r = $t->get('/openai/v1/x');
        ok(!$r->{clean}, "a cut answer is cut for the client, too: $how")
            unless $how eq 'close' || $how eq 'http10';
        # HTTP/1.0 has nothing but the end of the connection.
        $r = $t->get('/openai/v1/x', http10 => 1);
        like($r->{error}, qr/reset/i, "and of HTTP/1.0: $how")
            unless $how eq 'close' || $how eq 'http10' || $how eq 'content_length';
        ok(!$r->{clean}, 'by its length') if $how eq 'content_length';
    }
    $p->script(raw_answer("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nContent-Type: a/b\r\n\r\n",
        'end'));
    my $r = $t->request('HEAD', '/openai/v1/x');
    is("$r->{status} $r->{headers}{'content-length'} $r->{body}", '200 12345 ', 'HEAD');
    is($p->last_request->{method}, 'HEAD', 'as HEAD');
    $p->script('accept_then_close');
    $r = $t->get('/openai/v1/x');
    is("$r->{status} $r->{json}{error}{type}", '502 server_error', 'no answer: 502 in dialect');
    $p->script(json(200, {}));
    is($t->post('/openai/v1/x', 'a' x 1_100_000)->{status}, 413, 'llm_max_body holds there, too');
    is($t->post('/openai/v1/x', "\x1f\x8b zipped", headers => ['Content-Encoding' => 'gzip'])
        ->{status}, 200, 'a compressed body');
    is($p->last_request->{headers}{'content-encoding'}, 'gzip', 'is named as such');
    is($p->last_request->{body}, "\x1f\x8b zipped", 'and not touched');
};

subtest 'parts, and answers that a client has already' => sub {
    my %of_body = ('Content-Range' => 'bytes 2-5/10', 'Accept-Ranges' => 'bytes', ETag => '"v1"',
        'Last-Modified' => 'Wed, 21 Oct 2015 07:28:00 GMT', 'Content-Language' => 'de',
        Expires => 'Wed, 21 Oct 2099 07:28:00 GMT', 'Cache-Control' => 'private');
    my @of_request = (Range => 'bytes=2-5', 'If-Range' => '"v1"', 'If-None-Match' => '"v0"',
        'If-Match' => '"v1"', 'If-Modified-Since' => 'Wed, 21 Oct 2015 07:28:00 GMT',
        'If-Unmodified-Since' => 'Wed, 21 Oct 2015 07:28:00 GMT');
    $p->script(answer(status => 206, body => 'part', headers => { %of_body, Server => 'them',
        'Content-Type' => 'audio/mpeg', 'X-Powered-By' => 'them', 'OpenAI-Organization' => 'o' }));
    my $r = $t->get('/openai/v1/files/f/content', headers => \@of_request);
    is("$r->{status} $r->{body}", '206 part', 'a part');
    is($r->{headers}{lc $_}, $of_body{$_}, $_) for sort keys %of_body;
    is(join(' ', grep { exists $r->{headers}{$_} } qw(x-powered-by openai-organization)), '',
        'and nothing of the provider itself');
    my %asked = @of_request;
    is($p->last_request->{headers}{lc $_}, $asked{$_}, "$_ was asked") for sort keys %asked;

    $p->script(raw_answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: private\r\n\r\n",
        'end'));
    $r = $t->get('/openai/v1/files/f/content', headers => ['If-None-Match' => '"v1"']);
    is("$r->{status} $r->{body} $r->{headers}{etag}", '304  "v1"', 'not modified');
    $p->script(raw_answer("HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n",
        'end'));
    $r = $t->get('/openai/v1/files/f/content', headers => [Range => 'bytes=20-']);
    is("$r->{status} $r->{headers}{'content-range'}", '416 bytes */10', 'no such part');
    $p->script(answer(status => 405, body => 'no', headers => { Allow => 'GET, HEAD' }));
    $r = $t->request('PUT', '/openai/v1/files/f/content', body => 'x');
    is("$r->{status} $r->{headers}{allow}", '405 GET, HEAD', 'what may be asked');
};

# As nginx's own proxy says it.
subtest 'the length of a body, or that there is none' => sub {
    my $said = sub {
        my $h = $p->last_request->{headers};
        return join ' ', map { "$_=" . ($h->{$_} // 'none') } qw(content-length transfer-encoding);
    };
    my %how = (none => {}, zero => { headers => ['Content-Length' => 0] }, body => { body => '{}' },
        chunked => { body => '{}', chunked => 1 }, nothing_chunked => { body => '', chunked => 1 });

    $p->script(json(200, {}));
    for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS)) {
        for my $how (sort keys %how) {
            my @said = map { $t->request($method, $_, %{$how{$how}}); $said->() }
                '/nginx/x', '/openai/v1/x';
            is($said[1], $said[0], "$method, $how");
        }
        my @said = map {
            my $h2 = $t->h2(port => 'h2');
            $h2->response($h2->open(method => $method, path => $_));
            $said->();
        } '/nginx/x', '/openai/v1/x';
        is($said[1], $said[0], "$method, HTTP/2");
    }
};

subtest 'an unread stream comes piece by piece' => sub {
    $p->script(sse('one', 'two', wait_for_release => 1));
    my $s = $t->stream('/openai/v1/x', { stream => JSON::PP::true() });
    is($s->next_event->{data}, 'one', 'the first event, while the provider waits');
    like($s->header('content-type'), qr{\Atext/event-stream}, 'its type');
    $p->release;
    is($s->next_event->{data}, 'two', 'the second');
    ok(!$s->next_event && $s->clean_end, 'the end');
    $p->script(sse('one', 'two', wait_for_release => 1));
    $s = $t->stream('/openai/v1/y', { stream => JSON::PP::true() });
    $s->next_event;
    $s->reset;
    ok($p->wait_closed($p->last_request), 'the provider is left when the client leaves');
};

subtest 'llm_pass $variable' => sub {
    my $ask = { model => 'm', max_tokens => 5, messages => [{ role => 'user', content => 'hi' }] };
    my $to = sub { $t->post('/v1/chat/completions', $ask, headers => ['X-Target' => $_[0]]) };
    is($to->('')->{status}, 200, 'models');
    is($p->last_request->{json}{model}, 'gpt-4o', 'routed by the model');
    is($to->('claude')->{status}, 200, 'a provider');
    is("$_->{path} $_->{json}{model}", '/v1/messages m', 'as if it stood there')
        for $p->last_request;
    is($to->('bare')->{status}, 200, 'another');
    is($p->last_request->{headers}{authorization}, 'Bearer sk-bare', 'with its key');
    my $r = $to->('nosuch');
    is("$r->{status} $r->{json}{error}{type}", '404 invalid_request_error', 'an unknown one');
    is($t->post('/v1/messages', $ask, headers => ['X-Target' => 'nosuch'])->{json}{type}, 'error',
        'in the dialect of the client');
    is($t->post('/conf/v1/chat/completions', $ask)->{status}, 200, 'a variable that was set');
    is($p->last_request->{headers}{authorization}, 'Bearer sk-chat', 'its provider');
};

subtest 'the mock as a provider' => sub {
    my $ask = { model => 'm', max_tokens => 5, messages => [{ role => 'user', content => 'hi' }] };
    is($t->post('/mock/v1/chat/completions', $ask)->{json}{object}, 'chat.completion', 'chat');
    is($t->post('/mock/v1/messages', $ask)->{json}{type}, 'message', 'messages');
    my $r = $t->post('/mock/v1/embeddings', $ask);
    is($r->{status}, 400, 'it has no other path');
    like($r->{json}{error}{message}, qr/no such endpoint/, 'and says so');
};

$t->done;
