# Amazon Bedrock: every request carries a signature that holds (checked here by other means), ids of
# models and ARNs are encoded in the path, and the body says what the path and the headers of the
# messages API say elsewhere.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $arn = 'arn:aws:bedrock:us-east-1:000000000000:inference-profile/global.anthropic.claude-x-v1:0';
my %keys = (id => 'AKIDTEST', secret => 's3cr3t/+', service => 'bedrock');

$t->http_conf(LLM::Pair::conf($p, forms => ['bedrock', 'bedrock-invoke'], http => <<"END",
    llm_provider session {
        preset bedrock; region us-east-1; base_url $url;
        aws_access_key_id AKIDTEST; aws_secret_access_key s3cr3t/+; aws_session_token "tok/en==";
    }
    llm_provider token { preset bedrock; region us-east-1; base_url $url; api_key bedrock-key; }
    llm_provider prefixed { preset bedrock-invoke; region us-east-1; base_url $url/a%20b/c;
        aws_access_key_id AKIDTEST; aws_secret_access_key s3cr3t/+; }
    llm_model session { deployment session/m; }
    llm_model arn { deployment session/$arn; }
    llm_model token { deployment token/m; }
    llm_model prefixed { deployment prefixed/m:0; }
END
    server => 'location /native/ { llm_pass session; }'));
$t->start;

my %form = map { $_ => LLM::Forms::provider($_) } qw(bedrock bedrock-invoke);
my $claude = $form{bedrock}{deployment} =~ s/:/%3A/r;
my @flags = ('interleaved-thinking-2025-05-14', 'oauth-2025-04-20', 'unknown-2099-01-01',
    'context-1m-2025-08-07');

sub is_signed {
    my ($q, $name, %o) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply([check_sigv4($q, %keys, %o)], [], "$name: signature");
}

subtest 'signatures and paths' => sub {
    my %method = (bedrock => ['converse', 'converse-stream'],
        'bedrock-invoke' => ['invoke', 'invoke-with-response-stream']);
    for my $pair (grep { $method{ $_->{provider} } } LLM::Pair->every) {
        my ($whole, $stream) = @{$method{ $pair->{provider} }};
        my $name = $pair->{name};
        $p->script($pair->whole);
        is($pair->post($t)->{status}, 200, "$name: status");
        my $q = $p->last_request;
        is_signed($q, $name, region => 'eu-west-1');
        is("$q->{method} $q->{path}", "POST /model/$claude/$whole", "$name: path");
        ok(!exists $q->{json}{model}, "$name: no model in the body");
        ok(!exists $q->{json}{stream}, "$name: nor stream");
        is($q->{headers}{accept}, 'application/json', "$name: accept");
        $p->script($pair->streamed);
        is($pair->stream($t)->status, 200, "$name, stream: status");
        $q = $p->last_request;
        is_signed($q, "$name, stream", region => 'eu-west-1');
        is($q->{path}, "/model/$claude/$stream", "$name, stream: path");
        is($q->{headers}{accept}, 'application/vnd.amazon.eventstream', "$name, stream: accept");
    }
};

subtest 'ARNs, session tokens, base URLs with a path, keys of Bedrock' => sub {
    my $pair = LLM::Pair->new('chat', 'bedrock');
    my $post = sub { $pair->{model} = $_[0]; return $pair->post($t)->{status} };
    $p->script($pair->whole);
    is($post->('arn'), 200, 'an ARN');
    my $q = $p->last_request;
    my $encoded = $arn =~ s/([:\/])/sprintf '%%%02X', ord $1/ger;
    is($q->{path}, "/model/$encoded/converse", 'is one segment of the path');
    is_signed($q, 'ARN', region => 'us-east-1', token => 'tok/en==');
    is($q->{headers}{host}, $p->addr, 'host');
    $post->('session') for 1 .. 2;
    is_signed($p->last_request, 'session token', region => 'us-east-1', token => 'tok/en==');
    is($post->('token'), 200, 'a key of Bedrock');
    is($p->last_request->{headers}{authorization}, 'Bearer bedrock-key', 'goes as it is');
    ok(!defined $p->last_request->{headers}{'x-amz-date'}, 'without a signature');
    $p->script(json(200, messages_answer()));
    is($post->('prefixed'), 200, 'a base URL with a path');
    is($p->last_request->{path}, '/a%20b/c/model/m%3A0/invoke', 'before the rest');
    is_signed($p->last_request, 'prefixed', region => 'us-east-1');
    $p->script(json(200, { anything => 1 }));
    my $r = $t->post('/native/model/other%3A1/invoke?a=b&c=d%20e', { x => 1 });
    is("$r->{status} $r->{body}", '200 {"anything":1}', 'llm_pass PROVIDER forwards');
    is_signed($p->last_request, 'unread', region => 'us-east-1', token => 'tok/en==');
};

subtest 'a check that finds what is wrong' => sub {
    my $pair = LLM::Pair->new('chat', 'bedrock');
    $p->script($pair->whole);
    $pair->post($t);
    my $q = $p->last_request;
    my @at = (%keys, region => 'eu-west-1');
    is_deeply([check_sigv4($q, @at)], [], 'as it is');
    for my $o ([body => "$q->{body} "], [path => $q->{path} =~ s/%3A/:/r], [method => 'PUT'],
        [path => "$q->{path}?a=b"])
    {
        isnt(scalar(check_sigv4({ %$q, @$o }, @at)), 0, "$o->[0] $o->[1]");
    }
    isnt(scalar(check_sigv4($q, @at, secret => 'other')), 0, 'the secret');
    isnt(scalar(check_sigv4($q, @at, region => 'us-east-1')), 0, 'the region');
};

subtest 'the body of InvokeModel' => sub {
    my $pair = LLM::Pair->new('messages', 'bedrock-invoke');
    my @http = (http => { headers => ['anthropic-version' => '2023-06-01',
        'anthropic-beta' => join(', ', @flags)] });
    for my $how (qw(whole streamed)) {
        $p->script($pair->$how);
        my @ask = (@http, metadata => { user_id => 'u' });
        $how eq 'whole' ? $pair->post($t, @ask) : $pair->stream($t, @ask)->read_body;
        my $q = $p->last_request;
        is($q->{json}{anthropic_version}, 'bedrock-2023-05-31', "$how: version");
        is_deeply($q->{json}{anthropic_beta}, [@flags[0, 3]], "$how: flags that Bedrock knows");
        is_deeply($q->{json}{metadata}, { user_id => 'u' }, "$how: other members stay");
        ok(!exists $q->{headers}{$_}, "$how: no header $_") for 'anthropic-beta',
            'anthropic-version';
    }
    $p->script($pair->whole);
    $pair->post($t);
    ok(!exists $p->last_request->{json}{anthropic_beta}, 'no flags: no member');
    my $odd = '{ "stream" : false,"model":"on-bedrock-invoke", "max_tokens":9 ,"messages":[{"role"'
        . ':"user","content":"caf\u00e9 \/"}],"unknown":[1.0,1e2]}';
    $t->post('/v1/messages', $odd);
    my $sent = $p->last_request->{body};
    like($sent, qr/"messages":\[\{"role":"user","content":"caf\\u00e9 \\\/"\}\]/,
        'bytes that need no change');
    like($sent, qr/"unknown":\[1\.0,1e2\]/, 'numbers as they were');
    ok($p->last_request->{json}, 'and it is JSON');
};

$t->done;
