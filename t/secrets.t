# Where a provider's key comes from, and that the client's own credentials stay here.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

$ENV{LLM_T_KEY} = 'sk-from-env';
my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $dir = $t->dir;
$t->write_file('key', "sk-from-file\r\n\n");
$t->write_file('conf-key', 'sk-beside-the-configuration');

my $conf = <<"END";
    llm_provider literal { dialect openai; base_url $url/v1; api_key sk-literal; }
    llm_provider env { dialect openai; base_url $url/v1; api_key env:LLM_T_KEY; }
    llm_provider file { dialect openai; base_url $url/v1; api_key file:$dir/key; }
    llm_provider beside { dialect openai; base_url $url/v1; api_key file:conf-key; }
    llm_provider own { dialect openai; base_url $url/v1; api_key \$http_x_provider_key; }
    llm_provider mixed { dialect openai; base_url $url/v1; api_key "team-\$http_x_team"; }
    llm_provider none { dialect openai; base_url $url/v1; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key sk-claude; }
    llm_provider oauth {
        dialect anthropic; base_url $url/v1; api_key sk-unused;
        header Authorization "Bearer token-of-header";
    }
    llm_provider keys {
        dialect openai; base_url $url/v1; api_key sk-one; api_key file:$dir/key;
        api_key env:LLM_T_KEY;
    }
    llm_provider first { dialect openai; base_url $url/first; api_key sk-first; }
    llm_provider second { dialect anthropic; base_url $url/second; api_key sk-second; }
    llm_model over {
        cooldown_time 0;
        deployment first/a order=1;
        deployment second/b order=2;
    }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /claude/ { llm_pass claude; }
        location /literal/ { llm_pass literal; }
        location /none/ { llm_pass none; }
    }
END
$t->http_conf($conf);
$t->start;
$p->on(qr{^POST /v1/messages} => json(200, messages_answer()));
$p->on('/second/messages' => json(200, messages_answer()));
$p->on('/first/chat/completions' => json(503, chat_error('busy')));
$p->script(json(200, chat_answer()));

sub ask {
    my ($model, @headers) = @_;
    my $r = $t->post('/v1/chat/completions', { model => $model, messages => [
        { role => 'user', content => 'hi' }] }, headers => [@headers]);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, 200, "$model answers") or diag($r->{body});
    return $p->last_request->{headers};
}

subtest 'sources of a key' => sub {
    is(ask('literal/m')->{authorization}, 'Bearer sk-literal', 'the text itself');
    is(ask('env/m')->{authorization}, 'Bearer sk-from-env', 'the environment');
    is(ask('file/m')->{authorization}, 'Bearer sk-from-file', 'a file, without its line ends');
    is(ask('beside/m')->{authorization}, 'Bearer sk-beside-the-configuration',
        'a file beside the configuration');
    is(ask('own/m', 'X-Provider-Key' => 'sk-mine')->{authorization}, 'Bearer sk-mine',
        'a variable');
    is(ask('mixed/m', 'X-Team' => 'a')->{authorization}, 'Bearer team-a', 'text with a variable');
    ok(!exists ask('own/m')->{authorization}, 'an empty variable sends no key');
    ok(!exists ask('none/m')->{authorization}, 'no key, no header');
    my $h = ask('claude/m');
    is($h->{'x-api-key'}, 'sk-claude', 'in the header of the dialect');
    ok(!exists $h->{authorization}, 'and in no other');
    $h = ask('oauth/m');
    is($h->{authorization}, 'Bearer token-of-header', 'a header of the provider wins');
    ok(!exists $h->{'x-api-key'}, 'and the key is not sent beside it');
};

subtest 'a key cannot add a header' => sub {
    my $h = ask('own/m', 'X-Provider-Key' => "sk-a\x01b");
    ok(!exists $h->{authorization}, 'one with a control character is not sent');
};

subtest 'several keys take turns' => sub {
    my %seen;
    $seen{ask('keys/m')->{authorization}}++ for 1 .. 60;
    is(join(' ', sort keys %seen), 'Bearer sk-from-env Bearer sk-from-file Bearer sk-one',
        'all of them are used');
    cmp_ok((sort { $a <=> $b } values %seen)[0], '>=', 5, 'about as often as each other');
};

subtest 'a reload reads files again' => sub {
    $t->write_file('key', 'sk-new');
    is(ask('file/m')->{authorization}, 'Bearer sk-from-file', 'not before');
    ok($t->reload, 'reload');
    is(ask('file/m')->{authorization}, 'Bearer sk-new', 'the new key');
    is(ask('env/m')->{authorization}, 'Bearer sk-from-env', 'the environment is still known');
    unlink "$dir/key";
    ok(!$t->reload(may_fail => 1), 'without the file the reload is refused');
    $t->expect_log(qr/\[emerg\] .*cannot read the secret in "\Q$dir\E\/key".* in .*nginx.conf:\d+/);
    is(ask('file/m')->{authorization}, 'Bearer sk-new', 'and the old key stays in use');
    $t->write_file('key', 'sk-third');
    ok($t->reload, 'with it again all is well');
    is(ask('file/m')->{authorization}, 'Bearer sk-third', 'a third key');
};

# All the ways in which a client may bring its key to the gateway.
my %ways = (
    authorization => { headers => [Authorization => 'Bearer CANARY'] },
    basic => { headers => [Authorization => 'Basic CANARY'] },
    'x-api-key' => { headers => ['X-Api-Key' => 'CANARY'] },
    'api-key' => { headers => ['api-key' => 'CANARY'] },
    'x-goog-api-key' => { headers => ['x-goog-api-key' => 'CANARY'] },
    'the query' => { query => '?key=CANARY' },
    'the query, among others' => { query => '?a=b&key=CANARY&beta=true' },
    'the query, twice' => { query => '?key=CANARY&key=CANARY' },
    cookie => { headers => [Cookie => 'session=CANARY'] },
    'proxy-authorization' => { headers => ['Proxy-Authorization' => 'Basic CANARY'] },
);

subtest 'case 67: the client\'s key reaches no provider' => sub {
    my %chat = (messages => [{ role => 'user', content => 'hi' }]);
    my @calls = (
        ['/v1/chat/completions', { model => 'literal/m', %chat }, 'chat to chat'],
        ['/v1/chat/completions', { model => 'claude/m', %chat }, 'chat to messages'],
        ['/v1/messages', { model => 'claude/m', max_tokens => 5, %chat }, 'messages to messages'],
        ['/v1/messages', { model => 'literal/m', max_tokens => 5, %chat }, 'messages to chat'],
        ['/v1/chat/completions', { model => 'over', %chat }, 'after a failover'],
        ['/v1/chat/completions', { model => 'none/m', %chat }, 'a provider without a key'],
        ['/claude/v1/messages', { model => 'm', max_tokens => 5, %chat }, 'below a provider'],
        ['/literal/v1/embeddings', { model => 'm', input => 'hi' }, 'forwarded unread'],
        ['/none/v1/embeddings', { model => 'm', input => 'hi' }, 'forwarded unread, no key'],
    );

    for my $call (@calls) {
        my ($path, $body, $name) = @$call;
        for my $way (sort keys %ways) {
            my ($headers, $query) = @{$ways{$way}}{qw(headers query)};
            my $before = $p->request_count;
            my $r = $t->post($path . ($query // ''), $body, headers => $headers // []);
            my @new = ($p->requests)[$before .. $p->request_count - 1];
            is($r->{status}, 200, "$name, $way: answered") or diag($r->{body});
            is(scalar @new, $name eq 'after a failover' ? 2 : 1, 'as often as it should');
            is(scalar(grep { "$_->{raw_head}$_->{body}" =~ /CANARY/ } @new), 0, 'no canary');
        }
    }
    my $before = $p->request_count;
    $t->get('/literal/v1/files?limit=2&key=CANARY&after=x');
    is(($p->requests)[$before]{path}, '/v1/files?limit=2&after=x', 'the rest of the query stays');
};

subtest 'case 67: a provider\'s key goes to no other provider' => sub {
    my $before = $p->request_count;
    ask('over');
    my ($first, $second) = ($p->requests)[$before, $before + 1];
    is($first->{headers}{authorization}, 'Bearer sk-first', 'the first has its own');
    is($second->{headers}{'x-api-key'}, 'sk-second', 'so has the second');
    unlike($second->{raw_head}, qr/sk-first/, 'and nothing of the first');
};

$t->done;
