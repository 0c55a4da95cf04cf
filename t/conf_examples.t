# The files in conf-examples: each is complete, nginx accepts it, and the ones that need no
# provider do what they say.

use strict;
use warnings;
use LLM::Test;
use LLM::TLS;

my %keys = map { $_ => 'test-key' } qw(OPENAI_API_KEY OPENAI_API_KEY_2 ANTHROPIC_API_KEY);
my $t = LLM::Test->new(env => \%keys);
my $dir = $t->dir;
my $pair = LLM::TLS->new(dir => $dir)->server('llm.example.com');
my $secret = $t->write_file('secret', "test-key\n");
my $users = $t->write_file('users', "name:{PLAIN}password\n");
my $pem = do {
    my $file = "$dir/account.pem";
    system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $file 2>/dev/null");
    $t->slurp($file);
};
my $account = $t->write_file('gateway.json', JSON::PP->new->encode({ type => 'service_account',
    client_email => 'gateway@my-project.example', private_key => $pem,
    token_uri => 'https://oauth2.googleapis.com/token' }));

my %file = map { m{([^/]+)\.conf\z} ? ($1 => $t->slurp($_)) : () }
    glob $t->repo . '/conf-examples/*.conf';

# Splits a file into what the test writes itself (modules, user, events) and its http block, with
# ports and paths of this machine.
sub parts {
    my ($name) = @_;
    my ($main, $http) = $file{$name} =~ /\A(.*?)^http \{\n(.*)^\}\s*\z/ms or return;

    $http =~ s{listen (?:[\d.]+:)?(\d+)}{listen 127.0.0.1:%%PORT:$name-$1%%}g;
    $http =~ s{/etc/ssl/certs/llm\.example\.com\.pem}{$pair->{cert}}g;
    $http =~ s{/etc/ssl/private/llm\.example\.com\.key}{$pair->{key}}g;
    $http =~ s{/run/secrets/\w+}{$secret}g;
    $http =~ s{/etc/nginx/llm\.htpasswd}{$users}g;
    $http =~ s{/etc/nginx/llm-prices\.json}{$t->repo . '/conf-examples/prices.json'}ge;
    $http =~ s{/etc/nginx/gateway\.json}{$account}g;
    $http =~ s{/var/log/nginx/}{$dir/}g;
    return ($main, $http);
}

for my $name (sort keys %file) {
    my ($main, $http) = parts($name);
    ok(defined $http, "$name: has an http block") or next;
    $main =~ s/#.*//g;
    like($main, qr{^load_module modules/ngx_http_llm_module\.so;$}m, "$name: loads the module");
    like($main, qr/^events \{/m, "$name: has an events block");
    my ($status, $output) = $t->config_test($http);
    is($status, 0, "$name: nginx -t") or diag($output);
    # The harness asks for more connections than an ordinary user may open files.
    unlike($output, qr/\[warn\](?!.*open file resource limit)/, "$name: without a warning");
}

sub use_example {
    my ($name) = @_;
    my (undef, $http) = parts($name);

    $t->http_conf($http);
    return "$name-4000";
}

my $question = { model => 'mock', messages => [{ role => 'user', content => 'Hello' }] };

my $port = use_example('quickstart');
$t->start;
subtest 'quickstart answers' => sub {
    my $r = $t->post('/v1/chat/completions', $question, port => $port);
    is($r->{status}, 200, 'chat completions') or diag($r->{body});
    like($r->{json}{choices}[0]{message}{content}, qr/\w/, 'with a text');
    $r = $t->post('/v1/messages', { %$question, max_tokens => 10 }, port => $port);
    is($r->{json}{content}[0]{type}, 'text', 'messages');
};
$t->stop;

$port = use_example('cors');
$t->start;
subtest 'cors' => sub {
    my @page = (port => $port, headers => { Origin => 'https://app.example.com',
        'Access-Control-Request-Headers' => 'authorization,content-type' });
    my $r = $t->request('OPTIONS', '/v1/chat/completions', @page);
    is($r->{status}, 204, 'the preflight is answered');
    is($r->{headers}{'access-control-allow-origin'}, 'https://app.example.com', 'its origin may');
    is($r->{headers}{'access-control-allow-headers'}, 'authorization,content-type', 'its headers');
    $r = $t->post('/v1/chat/completions', $question, @page);
    is($r->{status}, 200, 'the request');
    is($r->{headers}{'access-control-allow-origin'}, 'https://app.example.com', 'may be read');
    $r = $t->post('/v1/chat/completions', { model => 'other', messages => [] }, @page);
    is($r->{headers}{'access-control-allow-origin'}, 'https://app.example.com', 'a refusal too');
    $r = $t->post('/v1/chat/completions', $question, port => $port,
        headers => { Origin => 'https://evil.example' });
    is($r->{headers}{'access-control-allow-origin'}, undef, 'not by other pages');
};
$t->stop;

$port = use_example('access-limits');
$t->start;
subtest 'access-limits' => sub {
    my $r = $t->post('/external/v1/messages', $question, port => $port);
    is($r->{status}, 401, 'a password is needed');
    is($r->{json}{type}, 'error', 'said in the dialect of the client');
    $r = $t->post('/external/v1/chat/completions', $question, port => $port,
        headers => { Authorization => 'Basic bmFtZTpwYXNzd29yZA==' });
    is($r->{status}, 200, 'with the password');
    my $limited;
    for (1 .. 40) {
        $limited = $t->post('/v1/chat/completions', $question, port => $port);
        last if $limited->{status} != 200;
    }
    is($limited->{status}, 429, 'limit_req refuses');
    like($limited->{json}{error}{message}, qr/\w/, 'said in the dialect of the client');
};
$t->stop;

$port = use_example('json-log');
$t->start;
subtest 'json-log' => sub {
    $t->post('/v1/chat/completions', $question, port => $port);
    $t->post('/v1/chat/completions', { %$question, model => 'other' }, port => $port);
    my @lines;
    $t->wait_for(sub { (@lines = split /\n/, $t->slurp('llm.log')) == 2 }, 5, 'two lines');
    my @logged = map { decode_json($_) } @lines;
    is($logged[0]{outcome}, 'ok', 'a good one');
    cmp_ok($logged[0]{out}, '>', 0, 'with its tokens');
    is($logged[1]{outcome}, 'refused', 'a refused one');
    is($t->slurp('llm-failures.log'), "$lines[1]\n", 'only that one among the failures');
};
$t->stop;

$port = use_example('rehearse-failures');
$t->start;
subtest 'rehearse-failures' => sub {
    my %expected = (fine => 200, 'rate-limit' => 429, overloaded => 503, failover => 200,
        'time-out' => 200);
    for my $model (sort keys %expected) {
        my $r = $t->post('/v1/chat/completions', { %$question, model => $model }, port => $port);
        is($r->{status}, $expected{$model}, $model) or diag($r->{body});
    }
    my $cut = $t->post('/v1/chat/completions',
        { %$question, model => 'cut', stream => \1 }, port => $port);
    is($cut->{status}, 200, 'a stream that is cut has begun well');
    like($cut->{body}, qr/"error"/, 'ends with an error event');
    unlike($cut->{body}, qr/\[DONE\]/, 'and not cleanly');
};

$t->done;
