# llm_redis: what nginx -t accepts, and what it refuses with the file and the line.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new(env => { LLM_T_PASSWORD => 'secret-canary' });
my $dir = $t->dir;
$t->write_file('password', "secret-canary\n");
$t->write_file('junk.pem', "no certificate\n");
my $rest = 'llm_provider mock { } server { listen 127.0.0.1:%%PORT%%; location / { llm_pass mock; } }';

for my $good (
    'redis://127.0.0.1', 'redis://127.0.0.1:7000/15', 'redis://[::1]:7000', 'redis://localhost/',
    'redis://user:p%40ss@127.0.0.1', 'redis://:p@ss@127.0.0.1',
    'redis://127.0.0.1 redis://127.0.0.1:7001 redis://127.0.0.1:7002 prefix=a: timeout=1s',
    'redis://127.0.0.1 on_outage=local', 'redis://127.0.0.1 on_outage=allow prefix=',
    'redis://127.0.0.1 on_outage=deny lease=10s', 'redis://127.0.0.1 sentinel=main',
    'redis://127.0.0.1 user=a password=env:LLM_T_PASSWORD',
    "redis://127.0.0.1 password=file:$dir/password", 'redis://127.0.0.1 password=a=b://c',
    'rediss://127.0.0.1 ssl_verify=off', 'rediss://127.0.0.1 ssl_name=a.test',
    'redis://some.host.invalid:1', 'redis://unix:/run/redis.sock',
    'redis://:pw@unix:/run/redis.sock:/2 lease=10s')
{
    my ($code, $output) = $t->config_test("llm_redis $good;\n$rest");
    is($code, 0, "good: $good") or diag($output);
}

for my $case (
    ['127.0.0.1', qr/unknown parameter "127.0.0.1"/],
    ['http://127.0.0.1', qr/must begin with "redis:\/\/" or "rediss:\/\/"/],
    ['redis://', qr/no host/], ['redis://:p@', qr/no host/], ['redis://a:0', qr/invalid port/],
    ['redis://a:65536', qr/invalid port/], ['redis://a:x', qr/invalid port/],
    ['redis://a:', qr/invalid port/], ['redis://[::1', qr/missing "]"/],
    ['redis://127.0.0.1/x', qr/invalid database number/],
    ['redis://127.0.0.1/-1', qr/invalid database number/],
    ['redis://unix:', qr/no path of a socket/],
    ['redis://unix:/' . 'a' x 107, qr/has a path that is too long for a socket/],
    ['redis://unix:/run/redis.sock:1', qr/invalid database number/],
    ['rediss://unix:/run/redis.sock', qr/has TLS for a socket/],
    ['redis://127.0.0.1?db=1', qr/must not have a query/],
    ['redis://:%zz@127.0.0.1', qr/invalid percent-encoding/],
    ['redis://:%4@127.0.0.1', qr/invalid percent-encoding/],
    ['redis://127.0.0.1 rediss://127.0.0.1', qr/either all addresses have TLS or none/],
    ['redis://127.0.0.1/1 redis://127.0.0.1/2', qr/different databases/],
    ['redis://:a@127.0.0.1 redis://:secret-canary@127.0.0.1', qr/different users or passwords/],
    ['prefix=a', qr/no address/], ['redis://127.0.0.1 "prefix={a}"', qr/invalid prefix/],
    ['redis://127.0.0.1 "prefix=a b"', qr/invalid prefix/],
    ['redis://127.0.0.1 timeout=soon', qr/invalid time "soon"/],
    ['redis://127.0.0.1 timeout=0', qr/too short/], ['redis://127.0.0.1 lease=10ms', qr/too short/],
    ['redis://127.0.0.1 on_outage=hope', qr/invalid on_outage "hope"/],
    ['redis://127.0.0.1 user=a', qr/a user needs a password/],
    ['redis://127.0.0.1 password=env:LLM_T_NOT', qr/"LLM_T_NOT" is not set/],
    ['redis://127.0.0.1 password=file:none', qr/cannot read the secret/],
    ['redis://127.0.0.1 ssl_verify=off', qr/need rediss/],
    ['rediss://127.0.0.1 ssl_verify=maybe', qr/expected on or off/],
    ["rediss://127.0.0.1 ssl_trusted_certificate=$dir/junk.pem", qr/cannot load the certificates/],
    ["rediss://127.0.0.1 ssl_certificate=$dir/junk.pem", qr/belong together/],
    ['redis://127.0.0.1 sentinel=', qr/a parameter is empty/],
    ['redis://127.0.0.1 speed=9', qr/unknown parameter "speed"/],
    ["redis://127.0.0.1;\nllm_redis redis://127.0.0.1", qr/"llm_redis" directive is duplicate/],
    ['', qr/invalid number of arguments/])
{
    my ($line, $message) = @$case;
    my ($code, $output) = $t->config_test("llm_redis $line;\n$rest");
    my $file = "$dir/test$t->{config_tests}.conf";
    my ($before) = $t->slurp($file) =~ /\A(.*llm_redis )/s;
    my $number = 1 + $before =~ tr/\n//;

    my $ok = is($code, 1, "refused: $line");
    $ok &= like($output, $message, 'with a message');
    $ok &= like($output, qr/ in \Q$file\E:$number\b/, 'that names file and line');
    $ok &= unlike($output, qr/secret-canary/, 'and no password');
    diag($output) unless $ok;
}

$t->done;
