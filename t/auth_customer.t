# For which customer a request is: said by the client in one of several places, believed only of a
# key that has the right to say it. Case 68.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new(access_log => 1);
$t->http_conf(<<"END");
    log_format customers '\$http_x_test [\$llm_customer]';
    access_log logs/customers.log customers;
    llm_provider mock { }
    llm_model m { deployment mock/m; }
    llm_master_key sk-master;
    llm_key sk-may { }
    llm_key sk-not { customers off; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /open/ { llm_auth off; llm_pass models; }
    }
END
$t->start;

my $number = 0;

sub customer {
    my ($key, $body, $headers, $path) = @_;
    my $test = 'test-' . ++$number;

    $path ||= '/v1/chat/completions';
    my $r = $t->post($path, { model => 'm', max_tokens => 5,
        messages => [{ role => 'user', content => 'x' }], %$body },
        headers => { 'x-api-key' => "sk-$key", 'x-test' => $test, %{$headers || {}} });
    is($r->{status}, 200, 'answered') or diag($r->{body});
    my $line = $t->wait_for(sub { $t->slurp('logs/customers.log') =~ /^$test \[(.*)\]$/m
        ? [$1] : undef }, 5, 'the log');
    return $line->[0];
}

subtest 'where it stands' => sub {
    is(customer('may', {}), '', 'nowhere');
    is(customer('may', { user => 'ada' }), 'ada', 'user');
    is(customer('may', { litellm_metadata => { user => 'bob' } }), 'bob', 'litellm_metadata');
    is(customer('may', { metadata => { user_id => 'eve' } }, {}, '/v1/messages'), 'eve',
        'metadata.user_id of Anthropic');
    is(customer('may', { safety_identifier => 'kim' }), 'kim', 'safety_identifier');
    is(customer('may', { user => 'body', safety_identifier => 'x' },
        { 'x-litellm-end-user-id' => 'header' }), 'header', 'a header is first');
    is(customer('may', {}, { 'x-litellm-customer-id' => 'one', 'x-litellm-end-user-id' => 'two' }),
        'one', 'of two headers, too');
    is(customer('master', { user => 'ada' }), 'ada', 'of the master key');
};

subtest 'case 68: a key without that right' => sub {
    is(customer('not', { user => 'ada', metadata => { user_id => 'eve' } },
        { 'x-litellm-customer-id' => 'bob' }), '', 'says nothing');
    is(customer('may', { user => 'ada' }, {}, '/open/v1/chat/completions'), '', 'nor does nobody');
};

subtest 'what is no name' => sub {
    is(customer('may', { user => 'x' x 257 }), '', 'too long');
    is(customer('may', { user => "a\nb" }), '', 'control characters');
    is(customer('may', { user => 'x' x 256 }), 'x' x 256, 'the longest');
};

$t->done;
