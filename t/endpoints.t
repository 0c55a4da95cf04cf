# The paths of llm_pass models, wherever its location is: with and without /v1, unknown ones,
# wrong methods, the model list, the root that clients look at, and health.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key k; }
    llm_model gpt { deployment chat/gpt-4o; alias gpt-alias other/name; }
    llm_model sonnet { deployment claude/claude-sonnet-4-5; }
    llm_model wild/* { deployment chat/*; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /prefix { llm_pass models; }
        location /slash/ { llm_pass models; }
        location ^~ /nested/deep/ { llm_pass models; }
        location = /exact/v1/chat/completions { llm_pass models; }
        location ~ ^/v1/chat/completions\$ { llm_pass models; }
        location ~ ^/re(ge)?x/v1/ { rewrite ^/re(ge)?x(/.*)\$ \$2 break; llm_pass models; }
        location /if/ { llm_pass models; if (\$http_x_if) { add_header X-If yes; } }
        location /only-if/ { if (\$http_x_if) { llm_pass models; } }
        location = /status { llm_health; }
        location /probe/ { llm_health; }
    }
END
$t->start;
$p->on('/v1/chat/completions' => json(200, chat_answer(text => 'from chat')));
$p->on('/v1/messages' => json(200, messages_answer(text => 'from messages')));

my $ask = { model => 'gpt', max_tokens => 9, messages => [{ role => 'user', content => 'hi' }] };
my @anthropic = (headers => ['anthropic-version' => '2023-06-01']);

sub is_openai_error {
    my ($r, $status, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, $status, "$name: status");
    is($r->{headers}{'content-type'}, 'application/json', 'type');
    is(join(' ', sort keys %{$r->{json}{error} || {}}), 'code message param type', 'OpenAI error');
    return;
}

sub is_anthropic_error {
    my ($r, $status, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, $status, "$name: status");
    is(join(' ', sort keys %{$r->{json} || {}}), 'error request_id type', 'Anthropic error');
    is(join(' ', sort keys %{$r->{json}{error} || {}}), 'message type', 'with its members');
    return;
}

subtest 'paths of the two dialects' => sub {
    for my $prefix ('', '/prefix', '/slash', '/nested/deep') {
        for my $v1 ('/v1', '') {
            for my $query ('', '?beta=true', '?a=b&c') {
                my $r = $t->post("$prefix$v1/chat/completions$query", $ask);
                is($r->{status}, 200, "POST $prefix$v1/chat/completions$query") or diag($r->{body});
                is($r->{json}{choices}[0]{message}{content}, 'from chat', 'as chat');
                $r = $t->post("$prefix$v1/messages$query", $ask);
                is($r->{status}, 200, "POST $prefix$v1/messages$query") or diag($r->{body});
                is($r->{json}{content}[0]{text}, 'from chat', 'as messages');
            }
        }
    }
    is($t->post('/exact/v1/chat/completions', $ask)->{status}, 200, 'an exact location');
    is($t->post('/regex/v1/chat/completions', $ask)->{status}, 200, 'a regex with a rewrite');
    is($t->post('/rex/v1/messages', $ask)->{json}{type}, 'message', 'and the other dialect');
    for my $if (0, 1) {
        my $r = $t->post('/if/v1/chat/completions', $ask, headers => $if ? ['X-If' => 1] : []);
        is($r->{status}, 200, "a location with an if, taken: $if");
        is($r->{headers}{'x-if'}, $if ? 'yes' : undef, 'its header');
    }
    is($t->post('/only-if/v1/messages', $ask, headers => ['X-If' => 1])->{status}, 200,
        'llm_pass in an if');
    is($t->get('/only-if/v1/models')->{status}, 404, 'which is not taken otherwise');
    is($t->post('/v1/chat/completions/', $ask)->{status}, 200, 'a slash at the end');
    is($t->post('/v1//chat/completions', $ask)->{status}, 200, 'merged slashes');
    is($t->post('/prefix/v1/%63hat/completions', $ask)->{status}, 200, 'an encoded path');
};

subtest 'HTTP/1.0' => sub {
    my $r = $t->post('/v1/chat/completions', $ask, http10 => 1);
    is("$r->{status} $r->{json}{object}", '200 chat.completion', 'answered');
};

subtest 'unknown paths' => sub {
    for my $path ('/v1/nosuch', '/v1', '/v2/chat/completions', '/v1/chat', '/v1/v1/messages',
        '/prefixed/v1/messages', '/v1/messages/x', '/v1/chat/completions/x', '/favicon.ico')
    {
        for my $method (qw(GET POST PUT DELETE)) {
            my @body = $method eq 'GET' ? () : (body => '{}');
            is_openai_error($t->request($method, $path, @body), 404, "$method $path");
        }
        is_anthropic_error($t->post($path, $ask, @anthropic), 404, "POST $path of Anthropic's");
        is_anthropic_error($t->post($path, $ask, headers => ['x-api-key' => 'k']), 404,
            'by the kind of key') if $path eq '/v1/nosuch';
        is($t->get($path)->{json}{error}{code}, 'unknown_url', 'OpenAI\'s word for it');
        my $r = $t->request('HEAD', $path);
        is($r->{status}, 404, "HEAD $path");
        is($r->{body}, '', 'has no body');
    }
    like($t->get('/v1/nosuch')->{json}{error}{message}, qr/path/, 'says what is wrong');
};

subtest 'wrong methods' => sub {
    for my $path ('/v1/chat/completions', '/chat/completions') {
        for my $method (qw(GET PUT DELETE PATCH)) {
            my @body = $method eq 'GET' ? () : (body => '{}');
            my $r = $t->request($method, $path, @body);
            is_openai_error($r, 405, "$method $path");
            is($r->{headers}{allow}, 'POST', 'Allow');
        }
    }
    my $r = $t->get('/v1/messages');
    is_anthropic_error($r, 405, 'GET /v1/messages');
    is($r->{headers}{allow}, 'POST', 'Allow');
    for my $path ('/v1/models', '/v1/models/gpt', '/health/readiness', '/status', '/') {
        $r = $t->post($path, {});
        is_openai_error($r, 405, "POST $path");
        is($r->{headers}{allow}, 'GET, HEAD', 'Allow');
    }
    $r = $t->request('HEAD', '/v1/messages');
    is("$r->{status} $r->{body}", '405 ', 'HEAD of messages');
    my $many = $t->get('/v1/messages', keep => 1);
    is($t->post('/v1/messages', $ask, conn => $many->{conn})->{status}, 200,
        'the connection goes on after a refusal');
};

subtest 'the root' => sub {
    my $before = length $t->log_text;
    for my $path ('/', '/prefix', '/prefix/', '/slash/') {
        my $r = $t->request('HEAD', $path);
        is("$r->{status} $r->{body}", '200 ', "bare HEAD $path");
        $r = $t->get($path);
        is("$r->{status} $r->{json}{status}", '200 ok', "GET $path");
    }
    unlike(substr($t->log_text, $before), qr/\[(?:error|warn)\]/, 'nothing in the log');
};

subtest 'GET /v1/models' => sub {
    for my $path ('/v1/models', '/models', '/prefix/v1/models', '/v1/models?limit=5') {
        my $r = $t->get($path);
        is($r->{status}, 200, $path);
        is($r->{json}{object}, 'list', 'an OpenAI list');
        is(join(' ', map { $_->{id} } @{$r->{json}{data}}), 'gpt gpt-alias other/name sonnet',
            'names and aliases, no patterns, in the order of the configuration');
        is_deeply([sort keys %{$r->{json}{data}[0]}], [qw(created id object owned_by)], 'members');
        is($r->{json}{data}[3]{owned_by}, 'claude', 'owner');
        $r = $t->get($path, @anthropic);
        is(join(' ', map { "$_->{type}:$_->{id}" } @{$r->{json}{data}}),
            'model:gpt model:gpt-alias model:other/name model:sonnet', 'an Anthropic list');
        is_deeply([sort keys %{$r->{json}}], [qw(data first_id has_more last_id)], 'its members');
        is("$r->{json}{first_id} $r->{json}{last_id}", 'gpt sonnet', 'its ends');
        ok(!$r->{json}{has_more}, 'all there');
        like($r->{json}{data}[0]{created_at}, qr/\A\d{4}-\d\d-\d\dT[\d:]+Z\z/, 'a date');
        ok(length $r->{json}{data}[0]{display_name}, 'a name to show');
    }
    is($t->request('HEAD', '/v1/models')->{status}, 200, 'HEAD');
    for my $name ('gpt', 'other/name', 'gpt-alias', 'other%2Fname') {
        my $r = $t->get("/v1/models/$name");
        is("$r->{status} $r->{json}{id} $r->{json}{object}",
            '200 ' . ($name =~ s/%2F/\//r) . ' model', "/v1/models/$name");
        $r = $t->get("/models/$name", @anthropic);
        is("$r->{status} $r->{json}{type}", '200 model', "/models/$name of Anthropic's");
    }
    is_openai_error($t->get('/v1/models/nosuch'), 404, '/v1/models/nosuch');
    is_anthropic_error($t->get('/v1/models/nosuch', @anthropic), 404, "nosuch of Anthropic's");
};

subtest 'health' => sub {
    for my $path ('/health/liveliness', '/health/liveness', '/prefix/health/liveness',
        '/probe/liveness', '/probe/liveliness')
    {
        my $r = $t->get($path);
        is("$r->{status} $r->{json}{status}", '200 alive', $path);
        is($t->request('HEAD', $path)->{status}, 200, 'HEAD');
    }
    for my $path ('/health/readiness', '/health', '/slash/health/readiness', '/status',
        '/probe/x')
    {
        my $r = $t->get($path);
        is("$r->{status} $r->{json}{status}", '200 ready', $path);
        is($r->{json}{in_flight}, 0, 'nothing in flight');
        is(join(' ', map { "$_->{model}=$_->{id}:$_->{in_flight}" } @{$r->{json}{deployments}}),
            'gpt=chat/gpt-4o:0 sonnet=claude/claude-sonnet-4-5:0 wild/*=chat/*:0', 'deployments');
    }
    $p->on('/v1/messages' => sse(messages_stream(), wait_for_release => 4));
    my $s = $t->stream('/v1/messages', { %$ask, model => 'sonnet', stream => JSON::PP::true() });
    $s->next_event;
    my $health = $t->get('/health')->{json};
    is("$health->{in_flight} $health->{deployments}[1]{in_flight}", '1 1', 'a stream is counted');
    $p->release;
    $s->all_events;
    is($t->get('/health')->{json}{in_flight}, 0, 'until it ends');
};

$t->done;
