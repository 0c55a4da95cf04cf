# Access tokens of Google: bought with the service account's key, once for all who wait, used until
# shortly before their end, bought anew when refused; a shop that is away stops no worker.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use MIME::Base64 qw(decode_base64);

my $t = LLM::Test->new;
my $api = LLM::Provider->new(dir => $t->dir);
my $shop = LLM::Provider->new(dir => $t->dir);
my $other = LLM::Provider->new(dir => $t->dir);

my $key = $t->dir . '/account.pem';
system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $key 2>/dev/null") == 0
    or die 'openssl';
system("openssl pkey -in $key -pubout -out $key.pub") == 0 or die 'openssl';
my $pem = slurp($key);

sub slurp {
    open my $in, '<', $_[0] or die "$_[0]: $!";
    local $/;
    return scalar <$in>;
}

sub account_file {
    my ($name, %changed) = @_;
    my $file = $t->dir . "/$name.json";

    open my $out, '>', $file or die "$file: $!";
    print $out JSON::PP->new->encode({ type => 'service_account', client_email => 'gate@p.example',
        private_key => $pem, private_key_id => 'key-7', token_uri => $shop->url . '/token',
        %changed });
    close $out;
    return $file;
}

my $file = account_file('account');
$t->http_conf(<<"END");
    llm_provider cloud {
        preset vertex-anthropic;
        base_url "${\$api->url}/v1/projects/{project}/locations/{region}/publishers/anthropic";
        region europe-west1;
        project p-1;
        service_account file:$file;
    }
    llm_provider other { dialect anthropic; base_url ${\$other->url}; api_key k; }
    llm_model claude { deployment cloud/claude-sonnet-4-5; }
    llm_model both { deployment cloud/claude-sonnet-4-5 order=1; deployment other/x order=2; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
    }
END
$t->start;

my $ask = { model => 'claude', max_tokens => 9, messages => [{ role => 'user', content => 'hi' }] };
my $answer = json(200, messages_answer(text => 'from the cloud'));

sub token {
    my ($name, $life, %o) = @_;
    return json(200, { access_token => $name, expires_in => $life }, %o);
}

subtest 'one purchase for all who wait' => sub {
    $api->script($answer);
    $shop->script(token('t-1', 3600, wait_for_release => 'head'));
    my @waiting = map { $t->stream('/v1/messages', { %$ask, stream => JSON::PP::false() }) } 1 .. 5;
    $shop->wait_held(1);
    is($api->request_count, 0, 'the provider is not asked without a token');
    is($t->get('/health/readiness')->{json}{in_flight}, 5, 'all of them are in flight');
    $shop->release;
    is($_->status, 200, 'answered') for @waiting;
    is($shop->request_count, 1, 'one purchase');
    is($_->{headers}{authorization}, 'Bearer t-1', 'its token') for $api->requests;
    is($t->post('/v1/messages', $ask)->{status}, 200, 'the next request');
    is($shop->request_count, 1, 'uses it again');
};

subtest 'what is signed' => sub {
    my $request = $shop->last_request;
    my ($jwt) = $request->{body} =~ /assertion=([\w.-]+)\z/;
    like($request->{body}, qr/\Agrant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&/,
        'the grant');
    my ($head, $claims, $signature) = map { tr{-_}{+/}; decode_base64($_) } split /\./, $jwt;
    is_deeply(JSON::PP->new->decode($head), { alg => 'RS256', typ => 'JWT', kid => 'key-7' }, 'head');
    $claims = JSON::PP->new->decode($claims);
    is($claims->{iss}, 'gate@p.example', 'who');
    is($claims->{aud}, $shop->url . '/token', 'for whom');
    is($claims->{exp} - $claims->{iat}, 3600, 'for an hour');
    like($claims->{scope}, qr/cloud-platform/, 'for what');
    my ($signed) = $jwt =~ /\A(.*)\./;
    for (['sig', $signature], ['txt', $signed]) {
        open my $out, '>:raw', "$key.$_->[0]" or die $!;
        print $out $_->[1];
        close $out;
    }
    is(system("openssl dgst -sha256 -verify $key.pub -signature $key.sig $key.txt >/dev/null"), 0,
        'the signature is good');
};

subtest 'a refused token is not used again' => sub {
    $api->script([json(401, { type => 'error', error => { type => 'authentication_error',
        message => 'no' } }), $answer]);
    $shop->script(token('t-2', 3600));
    is($t->post('/v1/messages', $ask)->{status}, 401, 'the refusal is told');
    is($t->post('/v1/messages', $ask)->{status}, 200, 'the next request is served');
    is($api->last_request->{headers}{authorization}, 'Bearer t-2', 'with a new token');
};

subtest 'a token that ends is replaced, and no request is lost' => sub {
    $api->script([json(401, { type => 'error', error => { type => 'authentication_error',
        message => 'no' } }), $answer]);
    $t->post('/v1/messages', $ask);
    $shop->clear;
    $shop->script([token('short-1', 32), token('short-2', 32), token('long', 3600)]);
    my $failed = 0;
    $t->wait_for(sub {
        $failed++ if $t->post('/v1/messages', $ask)->{status} != 200;
        return $shop->request_count >= 3;
    });
    is($failed, 0, 'every request was served');
    $t->wait_for(sub {
        $t->post('/v1/messages', $ask);
        return $api->last_request->{headers}{authorization} eq 'Bearer long';
    });
};

subtest 'no token' => sub {
    for my $no ([json(500, {}), 'an error'], [json(200, { x => 1 }), 'nothing in it'],
        [answer(status => 200, body => '<html>'), 'no JSON'], [drop(), 'hung up'],
        [json(200, { access_token => "a\r\nx: y", expires_in => 9 }), 'a header line in it'])
    {
        my ($script, $what) = @$no;
        $api->script([json(401, { error => {} }), $answer]);
        $t->post('/v1/messages', $ask);
        $shop->clear;
        $other->clear;
        $api->clear;
        $api->script($answer);
        $shop->script($script);
        $other->script(json(200, messages_answer(text => 'from the other')));
        my $r = $t->post('/v1/messages', $ask);
        is($r->{status}, 500, "$what: status");
        is($r->{json}{type}, 'error', "$what: in the caller's dialect");
        $r = $t->post('/v1/messages', { %$ask, model => 'both' });
        is($r->{json}{content}[0]{text}, 'from the other', "$what: another deployment answers");
        is($api->request_count, 0, "$what: the provider is not asked");
        $shop->script(token("after $what" =~ tr/ /-/r, 3600));
        $t->wait_for(sub { $t->post('/v1/messages', $ask)->{status} == 200 });
    }
    $t->expect_log(qr/llm: no access token for provider cloud/);
};

subtest 'clients that leave while they wait' => sub {
    $api->script([json(401, { error => {} }), $answer]);
    $t->post('/v1/messages', $ask);
    $shop->clear;
    $shop->script(token('t-9', 3600, wait_for_release => 'head'));
    my @waiting = map { $t->stream('/v1/messages', $ask) } 1 .. 3;
    $shop->wait_held(1);
    $_->close for @waiting[0, 1];
    $t->wait_for(sub { $t->get("/health/readiness")->{json}{in_flight} == 1 }, 5, "two are gone");
    $shop->release;
    is($waiting[2]->status, 200, 'the third is answered');
    is($api->last_request->{headers}{authorization}, 'Bearer t-9', 'with the token');
};

subtest 'nginx -t' => sub {
    my $broken = account_file('broken', private_key => "-----BEGIN PRIVATE KEY-----\nAAAA\n"
        . "-----END PRIVATE KEY-----\n");
    my ($code, $output) = $t->config_test(<<"END");
    llm_provider cloud {
        preset vertex-anthropic; region r; project p; service_account file:$broken;
    }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass cloud; } }
END
    isnt($code, 0, 'a key that is none');
    like($output, qr/broken\.json.*private_key.*:\d+/s, 'is named with its place');
};

$t->done;
