# What nginx itself refuses in a gateway location reaches the client as JSON of its dialect, with
# nginx's own status; a page that the operator chose with error_page wins.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use Compress::Zlib ();

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $dead = LLM::Provider->dead_port;
$t->write_file('html/page.html', "a page of the operator\n");
$t->write_file('html/page.json', "{\"page\":\"of the operator\"}\n");

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider dead { dialect openai; base_url http://127.0.0.1:$dead; }
    llm_model m { deployment chat/m; }
    llm_model gone { deployment dead/m; }
    llm_first_token_timeout 100ms;
    limit_req_zone \$http_x_limit zone=by_header:1m rate=1r/m;
    limit_conn_zone \$http_x_limit zone=conn:1m;
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        root %%DIR%%/html;
        location / { llm_pass models; }
        location /small/ { client_max_body_size 1k; llm_pass models; }
        location /denied/ { deny all; llm_pass models; }
        location /auth/ { auth_request /refuse; llm_pass models; }
        location = /refuse { internal; return 401; }
        location /basic/ { auth_basic realm; auth_basic_user_file nobody; llm_pass models; }
        location /limited/ {
            limit_req zone=by_header; limit_req_status 429; llm_pass models;
        }
        location /limited-503/ { limit_req zone=by_header; llm_pass models; }
        location /conn/ { limit_conn conn 1; limit_conn_status 429; llm_pass models; }
        location /return/ { if (\$http_x_return) { return 418; } llm_pass models; }
        location /provider/ { llm_pass chat; }
        location /except/ { limit_except GET { deny all; } llm_pass models; }
        location /gzip/ { gzip on; gzip_types *; gzip_min_length 1; deny all; llm_pass models; }
        location /plain/ { deny all; }
    }
    server {
        listen 127.0.0.1:%%PORT:page%%;
        root %%DIR%%/html;
        error_page 403 404 413 502 504 /page.html;
        error_page 400 =200 /page.json;
        error_page 429 \@named;
        location = /page.html { internal; }
        location = /page.json { internal; default_type application/json; }
        location \@named { default_type text/plain; return 503 "later"; }
        location / { llm_pass models; }
        location /denied/ { deny all; llm_pass models; }
        location /small/ { client_max_body_size 1k; llm_pass models; }
        location /limited/ { limit_req zone=by_header; limit_req_status 429; llm_pass models; }
    }
END
$t->write_file('nobody', '');
$t->start;
$p->on('/v1/chat/completions' => json(200, chat_answer()));

my $ask = { model => 'm', max_tokens => 9, messages => [{ role => 'user', content => 'hi' }] };
my %path = (chat => '/v1/chat/completions', messages => '/v1/messages');

# The answer is an error of the client's dialect with this status.
sub in_dialect {
    my ($r, $client, $status, $name, $type) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, $status, "$name, $client: $status");
    is($r->{headers}{'content-type'}, 'application/json', 'as JSON');
    my $json = $r->{json} || {};
    my $error = ref $json->{error} ? $json->{error} : {};
    is(join(' ', sort keys %$error), $client eq 'chat' ? 'code message param type' : 'message type',
        'of its dialect') or diag($r->{body});
    is($json->{type}, $client eq 'chat' ? undef : 'error', 'in its form');
    is($error->{type}, $type, "type $type") if $type;
    my $id = $r->{headers}{'x-llm-request-id'} // '';
    like($id, qr/\Areq_[0-9a-f]{24}\z/, 'with an id');
    is($json->{request_id}, $client eq 'chat' ? undef : $id, 'where Anthropic has it');
    unlike($r->{body}, qr/<html|nginx/i, 'nothing of nginx\'s page');
    return;
}

my %type = (
    chat => { 401 => 'invalid_request_error', 403 => 'invalid_request_error',
        413 => 'invalid_request_error', 429 => 'rate_limit_error', 502 => 'server_error',
        503 => 'server_error', 504 => 'server_error', 400 => 'invalid_request_error' },
    messages => { 401 => 'authentication_error', 403 => 'permission_error',
        413 => 'request_too_large', 429 => 'rate_limit_error', 502 => 'api_error',
        503 => 'overloaded_error', 504 => 'timeout_error', 400 => 'invalid_request_error' },
);

for my $client (qw(chat messages)) {
    my $path = $path{$client};
    my $check = sub { my ($r, $status, $name) = @_; in_dialect($r, $client, $status, $name,
        $type{$client}{$status}) };

    subtest "nginx's own refusals, $client" => sub {
        $check->($t->post("/denied$path", $ask), 403, 'deny');
        $check->($t->get("/denied$path"), 403, 'deny of a GET');
        my $r = $t->request('HEAD', "/denied$path");
        is("$r->{status} $r->{body}", '403 ', 'deny of a HEAD');
        $check->($t->post("/auth$path", $ask), 401, 'auth_request');
        $r = $t->post("/basic$path", $ask);
        $check->($r, 401, 'auth_basic');
        like($r->{headers}{'www-authenticate'} // '', qr/Basic realm/, 'its header stays');
        $check->($t->post("/except$path", $ask), 403, 'limit_except');
        $check->($t->post("/return$path", $ask, headers => ['X-Return' => 1]), 418, 'return');
        $check->($t->post("/gzip$path", $ask), 403, 'below gzip on');
        $r = $t->post("/gzip$path", $ask, headers => ['Accept-Encoding' => 'gzip']);
        is($r->{headers}{'content-encoding'}, 'gzip', 'compressed for those who take it');
        like(Compress::Zlib::memGunzip($r->{body}), qr/\A\{".*"\}\}?\z/, 'as JSON all the same');
        my @key = (headers => ['X-Limit' => "a$client"]);
        is($t->post("/limited$path", $ask, @key)->{status}, 200, 'the first is in the limit');
        $check->($t->post("/limited$path", $ask, @key), 429, 'limit_req');
        $check->($t->post("/limited-503$path", $ask, @key), 503, 'limit_req without a status');
        for my $how ({}, { chunked => 500 }) {
            $r = $t->post("/small$path", { %$ask, metadata => { a => 'x' x 2000 } }, %$how);
            $check->($r, 413, join ' ', 'client_max_body_size', %$how);
        }
        $check->($t->post($path, $ask, headers => ['Expect' => '100-continue',
            'Content-Encoding' => 'br']), 400, 'a refusal of ours beside them');
    };

    subtest "limit_conn, $client" => sub {
        my @key = (headers => ['X-Limit' => "c$client"]);
        $p->on('/v1/chat/completions' => sse(chat_stream(), wait_for_release => 2));
        my $s = $t->stream("/conn$path", { %$ask, stream => JSON::PP::true() }, @key);
        ok($s->next_event, 'one stream is on');
        $check->($t->post("/conn$path", $ask, @key), 429, 'limit_conn');
        $p->release;
        ok(scalar $s->all_events, 'the stream goes on');
        $p->on('/v1/chat/completions' => json(200, chat_answer()));
        $t->wait_for(sub { $t->post("/conn$path", $ask, @key)->{status} == 200 }, 5, 'the slot');
    };

    subtest "no provider, $client" => sub {
        my $r = $t->post($path, { %$ask, model => 'gone' });
        # Anthropic has no 502: an SDK of theirs takes 500 and up as a server's fault.
        ok($r->{status} == 502 || $client eq 'messages' && $r->{status} == 500, 'unreachable')
            or diag($r->{body});
        in_dialect($r, $client, $r->{status}, 'unreachable', $client eq 'chat' ? 'server_error'
            : 'api_error');
        $p->on('/v1/chat/completions' => silent());
        $check->($t->post($path, $ask), 504, 'silent');
        $p->on('/v1/chat/completions' => json(200, chat_answer()));
    };

    subtest "over HTTP/2, $client" => sub {
        my $h2 = $t->h2(port => 'h2c');
        $check->($h2->response($h2->open(path => "/denied$path", body => '{}')), 403, 'deny');
        my $r = $h2->response($h2->open(path => "/small$path", body => 'x' x 2000));
        $check->($r, 413, 'client_max_body_size');
        is_deeply([$h2->errors], [], 'no protocol error');
    };
}

subtest 'other paths and headers decide, too' => sub {
    in_dialect($t->post('/denied/x', {}), 'chat', 403, 'an unknown path');
    in_dialect($t->post('/denied/x', {}, headers => ['anthropic-version' => '2023-06-01']),
        'messages', 403, 'an unknown path of an Anthropic client');
    in_dialect($t->post('/denied/v1/messages/count_tokens', {}), 'messages', 403, 'count_tokens');
    like($t->get('/plain/x')->{body}, qr/<html>/, 'a location without llm_pass keeps its page');
    my $r = $t->get('/' . 'x' x 20_000);
    is($r->{status}, 414, 'a request line that is too long') or diag($r->{body});
};

subtest 'error_page of the operator wins' => sub {
    for my $client (qw(chat messages)) {
        my @at = (port => 'page');
        my $path = $path{$client};
        my $page = "a page of the operator\n";
        my $r = $t->post("/denied$path", $ask, @at);
        is("$r->{status} $r->{body}", "403 $page", "$client: nginx's own 403");
        $r = $t->post("/small$path", { %$ask, metadata => { a => 'x' x 2000 } }, @at);
        is("$r->{status} $r->{body}", "413 $page", "nginx's own 413");
        $r = $t->post($path, { %$ask, model => 'nosuch' }, @at);
        is("$r->{status} $r->{body}", "404 $page", 'a 404 of the gateway');
        $r = $t->post($path, '{broken', @at);
        is("$r->{status} $r->{json}{page}", '200 of the operator', 'with a status of its own');
        $p->on('/v1/chat/completions' => json(429, chat_error('slow down')));
        $r = $t->post($path, $ask, @at);
        # Without "=" the status stays, whatever the page says.
        is("$r->{status} $r->{body}", '429 later', 'a named location, for an error of a provider');
        $p->on('/v1/chat/completions' => json(401, chat_error('no')));
        in_dialect($t->post($path, $ask, @at), $client, 401, 'a status without a page');
        $p->on('/v1/chat/completions' => json(200, chat_answer()));
        is($t->post($path, $ask, @at)->{status}, 200, 'a good answer is left alone');
    }
    is($t->get('/health', port => 'page')->{json}{in_flight}, 0, 'nothing left in flight');
};

$t->done;
