# Keys are looked at in nginx's access phase, behind nginx's own directives: allow and deny, satisfy,
# auth_basic, auth_request, limit_req and error_page work with them as with any other module.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new(access_log => 1);
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
$t->write_file('passwords', "ada:{PLAIN}secret\n");

my %location = (
    plain => '',
    deny => 'deny all;',
    allow => 'allow all;',
    'any-allow' => 'satisfy any; allow all;',
    'any-deny' => 'satisfy any; deny all;',
    'any-optional' => 'satisfy any; deny all; llm_auth optional;',
    'any-basic' => 'satisfy any; auth_basic a; auth_basic_user_file %%DIR%%/passwords;',
    'all-basic' => 'auth_basic a; auth_basic_user_file %%DIR%%/passwords;',
    'request-no' => 'auth_request /no;',
    'request-yes' => 'auth_request /yes;',
    limited => 'limit_req zone=z; limit_req_status 429;',
    page => 'error_page 401 = @login;',
    off => 'llm_auth off;',
    'off-deny' => 'llm_auth off; deny all;',
    real => 'set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; allow 192.0.2.1; '
        . 'deny all;',
    untrusted => 'set_real_ip_from 192.0.2.0/24; real_ip_header X-Forwarded-For; '
        . 'allow 192.0.2.1; deny all;',
    inner => '',
    moved => 'rewrite ^/moved(/.*)$ /inner$1 last;',
);
my $locations = join "\n",
    map { "location /$_/ { $location{$_} llm_pass models; }" } sort keys %location;
$t->http_conf(<<"END");
    log_format keys '\$uri \$status [\$llm_key_alias]';
    access_log logs/keys.log keys;
    limit_req_zone \$http_x_limit zone=z:1m rate=1r/m;
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_model m { deployment chat/m; }
    llm_key sk-good { alias good; }
    server {
        listen 127.0.0.1:%%PORT%%;
        $locations
        location = /no { internal; return 403; }
        location = /yes { internal; return 204; }
        location \@login { return 302 https://login.example/; }
    }
    server {
        listen 127.0.0.1:%%PORT:off%%;
        llm_auth off;
        location / { llm_pass models; }
        location /keyed/ { llm_auth required; llm_pass models; }
    }
END
$t->start;
$p->script(json(200, chat_answer(text => 'hi')));

sub status {
    my ($location, @headers) = @_;
    my $path = $location =~ m{\A/} ? $location : "/$location/v1/chat/completions";
    my ($port) = $path =~ m{\A/(?:keyed/)?v1} ? 'off' : undef;

    return $t->post($path, { model => 'm', messages => [{ role => 'user', content => 'hi' }] },
        headers => [@headers], port => $port)->{status};
}

my @key = (Authorization => 'Bearer sk-good');
my @bad = (Authorization => 'Bearer sk-bad');
my @basic = (Authorization => 'Basic YWRhOnNlY3JldA==');

#   location, without a key, with a wrong one, with a good one
for my $row (['plain', 401, 401, 200], ['deny', 403, 403, 403], ['allow', 401, 401, 200],
    ['any-allow', 200, 200, 200], ['any-deny', 401, 401, 200], ['any-optional', 403, 401, 200],
    ['request-no', 403, 403, 403], ['request-yes', 401, 401, 200], ['page', 302, 302, 200],
    ['off', 200, 200, 200], ['off-deny', 403, 403, 403], ['moved', 401, 401, 200],
    ['/v1/chat/completions', 200, 200, 200], ['/keyed/v1/chat/completions', 401, 401, 200])
{
    my ($location, $none, $bad, $good) = @$row;
    subtest $location => sub {
        is(status($location), $none, 'without a key');
        is(status($location, @bad), $bad, 'with a wrong key');
        is(status($location, @key), $good, 'with a good key');
    };
}

subtest 'passwords' => sub {
    is(status('any-basic', @basic), 200, 'any: a password is enough');
    is(status('any-basic', @key), 200, 'so is a key');
    is(status('any-basic', @bad), 401, 'but not any key');
    is(status('all-basic', @basic), 401, 'all: a password alone is not');
    is(status('all-basic', @basic, 'x-api-key' => 'sk-good'), 200, 'both');
    is(status('all-basic', 'x-api-key' => 'sk-good'), 401, 'nor is a key alone');
};

subtest 'limits of nginx come first' => sub {
    is(status('limited', 'X-Limit' => 'a', @key), 200, 'within');
    is(status('limited', 'X-Limit' => 'a', @key), 429, 'above');
    is(status('limited', 'X-Limit' => 'a'), 429, 'also without a key');
};

subtest 'case 68: addresses that a client claims' => sub {
    my @claim = ('X-Forwarded-For' => '192.0.2.1');
    is(status('real', @claim, @key), 200, 'of a trusted proxy');
    is(status('real', @claim), 401, 'which is no key');
    is(status('untrusted', @claim, @key), 403, 'of anybody else');
};

$t->wait_for(sub { $t->slurp('logs/keys.log') =~ m{/inner/\S+ 200 \[good\]} }, 5,
    'the key of a request that was moved to another location');
$t->wait_for(sub { $t->slurp('logs/keys.log') =~ m{/off/\S+ 200 \[\]} }, 5, 'nobody is nobody');

$t->done;
