# Who has a key of the gateway is let in, wherever the key stands in the request; everybody else is
# told why in the dialect of their client. The key stays here: no provider and no log sees it.
# Case 67, where it concerns keys of the gateway.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use Digest::SHA qw(sha256_hex);

my $t = LLM::Test->new(access_log => 1, env => { LLM_T_KEY => 'sk-from-environment' });
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $file = $t->write_file('key', "sk-from-file\n");
my %hash = map { $_ => sha256_hex("sk-$_") } qw(hashed expired blocked sleeping);

$t->http_conf(<<"END");
    log_format keys '\$status [\$llm_key_alias] [\$llm_key_hash] [\$llm_team] [\$llm_user]';
    access_log logs/keys.log keys;
    access_log logs/combined.log combined;
    llm_provider chat { dialect openai; base_url $url/v1; api_key PROVIDERKEY; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key PROVIDERKEY; }
    llm_model m { deployment chat/m; }
    llm_model c { deployment claude/c; }
    llm_team crew { }
    llm_team sleepers { blocked on; }
    llm_master_key sk-the-master;
    llm_key sk-literal { alias literal; team crew; user ada; }
    llm_key env:LLM_T_KEY { alias environment; }
    llm_key file:$file { alias from-file; }
    llm_key sha256:\U$hash{hashed}\E { alias hashed; }
    llm_key sha256:$hash{expired} { alias expired; expires 2020-01-31; }
    llm_key sha256:$hash{blocked} { alias blocked; blocked on; }
    llm_key sha256:$hash{sleeping} { alias sleeping; team sleepers; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /chat/ { llm_pass chat; }
        location /open/ { llm_auth off; llm_pass models; }
        location /either/ { llm_auth optional; llm_pass models; }
    }
END
$t->start;
$p->on({ line => qr{/v1/chat/completions} } => json(200, chat_answer(text => 'hi')));
$p->on({ line => qr{/v1/messages} } => json(200, messages_answer(text => 'hi')));
$p->on({ line => qr{/v1/embeddings} } => json(200, { data => [] }));

my $question = { model => 'm', max_tokens => 9, messages => [{ role => 'user', content => 'hi' }] };

sub ask {
    my ($path, @headers) = @_;

    return $t->post($path, { %$question, $path =~ /messages/ ? (model => 'c') : () },
        headers => [@headers]);
}

sub logged {
    my ($regex, $what) = @_;

    $t->wait_for(sub { $t->slurp('logs/keys.log') =~ $regex }, 5, $what) and pass($what);
    return;
}

subtest 'wherever the key stands' => sub {
    my $path = '/v1/chat/completions';
    my $key = 'sk-literal';
    for my $header ([Authorization => "Bearer $key"], [authorization => "bearer  $key"],
        ['x-api-key' => $key], ['api-key' => $key], ['x-goog-api-key' => $key],
        [Authorization => 'Basic abc', 'x-api-key' => $key])
    {
        is(ask($path, @$header)->{status}, 200, "@$header");
    }
    is(ask("$path?key=$key")->{status}, 200, '?key=');
    is(ask("$path?a=b&key=sk%2dliteral&c=d")->{status}, 200, 'escaped, among others');
    is(ask("$path?key=other", Authorization => "Bearer $key")->{status}, 200, 'a header is first');
    is(ask("$path?akey=sk-akey")->{status}, 401, 'another name');
    is(ask($path, Authorization => $key)->{status}, 401, 'not without Bearer');
    logged(qr/200 \[literal\] \[${\sha256_hex($key)}\] \[crew\] \[ada\]/, 'it is named in the log');
};

subtest 'whatever the key is written as' => sub {
    for my $key (qw(sk-from-environment sk-from-file sk-hashed sk-the-master)) {
        is(ask('/v1/messages', 'x-api-key' => $key)->{status}, 200, $key);
    }
    logged(qr/200 \[master\] \[\]/, 'the master key has no hash in the log');
};

my @refusals = (
    ['', 'invalid_api_key', qr/required/, 'no key'],
    ['sk-nobody', 'invalid_api_key', qr/not known/, 'an unknown key'],
    ['sk-expired', 'expired_key', qr/expired/, 'an expired key'],
    ['sk-blocked', 'key_blocked', qr/blocked/, 'a blocked key'],
    ['sk-sleeping', 'team_blocked', qr/team/, 'a key of a blocked team'],
);
for my $refusal (@refusals) {
    my ($key, $code, $message, $what) = @$refusal;
    subtest $what => sub {
        my @header = length $key ? (Authorization => "Bearer $key") : ();
        my $before = $p->request_count;
        my $r = ask('/v1/chat/completions', @header);
        is($r->{status}, 401, 'refused');
        like($r->{headers}{'www-authenticate'}, qr/\ABearer/, 'with a challenge');
        my $error = decode_json($r->{body})->{error};
        is($error->{code}, $code, 'code of OpenAI');
        like($error->{message}, $message, 'why');
        $r = ask('/v1/messages', @header);
        my $json = decode_json($r->{body});
        is($json->{error}{type}, 'authentication_error', 'of Anthropic');
        like($json->{request_id} // '', qr/\Areq_[0-9a-f]{24}\z/, 'with the id that SDKs show');
        is($json->{request_id}, $r->{headers}{'x-llm-request-id'}, 'as in the header');
        $r = $t->post('/v1beta/models/m:generateContent', {}, headers => [@header]);
        is(decode_json($r->{body})->{error}{status}, 'UNAUTHENTICATED', 'of Gemini');
        $r = $t->get('/v1/models', headers => [@header]);
        is($r->{status}, 401, 'no list of models');
        $r = $t->post('/chat/v1/embeddings', { input => 'x' }, headers => [@header]);
        is($r->{status}, 401, "case 26: nor a provider's own address");
        is($p->request_count, $before, 'no provider was asked');
    };
}
logged(qr/401 \[expired\]/, 'who was refused is in the log');

subtest 'without a key' => sub {
    for my $path (qw(/health/liveliness /health/readiness /)) {
        my $r = $t->get($path);
        is($r->{status}, 200, $path);
        unlike($r->{body}, qr/deployments|in_flight/, 'tells no more than that');
    }
    is(ask('/open/v1/chat/completions')->{status}, 200, 'llm_auth off');
    is(ask('/open/v1/chat/completions', 'x-api-key' => 'no')->{status}, 200, 'looks at no key');
    is(ask('/either/v1/chat/completions')->{status}, 200, 'llm_auth optional');
    is(ask('/either/v1/chat/completions', 'x-api-key' => 'sk-literal')->{status}, 200, 'with one');
    is(ask('/either/v1/chat/completions', 'x-api-key' => 'no')->{status}, 401, 'not with any');
};

subtest 'case 67: the key stays here' => sub {
    is(ask('/chat/v1/chat/completions?key=sk-literal&x=y')->{status}, 200, 'translated');
    my $r = $t->post('/chat/v1/embeddings?key=sk-literal&x=y', { input => 'x' },
        headers => [map { $_ => 'sk-literal' } qw(x-api-key api-key x-goog-api-key)]);
    is($r->{status}, 200, 'forwarded unread');
    is(ask("/chat/v1/embeddings?$_", 'x-api-key' => 'sk-literal')->{status}, 200, "in $_")
        for qw(KEY=sk-literal&a=sk%2dliteral token=sk-literal);
    my $heads = join '', map { $_->{raw_head} } $p->requests;
    like($heads, qr/x=y/, 'requests were forwarded');
    unlike($heads, qr/sk-literal|sk%2dliteral|sk-the-master|sk-hashed/, 'without the key');
    $t->wait_for(sub { $t->slurp('logs/combined.log') =~ /embeddings/ }, 5, 'the log');
    for my $log ($t->log_text, map { $t->slurp("logs/$_.log") } qw(keys combined)) {
        unlike($log, qr/sk-(?:literal|nobody|expired|hashed)|sk%2dliteral/, 'no log has it');
    }
    like($t->slurp('logs/combined.log'), qr/key=\*+&x=y/, 'only stars');
};

$t->done;
