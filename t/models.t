# Which deployment serves a model name: exact names, aliases, patterns, PROVIDER/MODEL; and what a
# client is told about a name that is missing, wrong or unknown.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/chat; api_key k; }
    llm_provider claude { dialect anthropic; base_url $url/claude; api_key k; }
    llm_model gpt { deployment chat/gpt-4o; alias g gpt/latest "caf\xc3\xa9"; }
    llm_model vendor/big { deployment chat/exact; }
    llm_model vendor/* { deployment chat/any; }
    llm_model vendor/b* { deployment claude/family-*; }
    llm_model ft:* { deployment chat/ft:org:*; }
    llm_model chat/known { deployment claude/instead; }
    llm_model lean { deployment chat/first order=2; deployment claude/second order=1; }
    llm_model heavy { deployment chat/never weight=0; deployment claude/always weight=1; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;
$p->on(qr{^POST /chat/} => json(200, chat_answer()));
$p->on(qr{^POST /claude/} => json(200, messages_answer()));

my @paths = ('/v1/chat/completions', '/v1/messages');
my $messages = [{ role => 'user', content => 'hi' }];

sub ask {
    my ($path, $model) = @_;

    return $t->post($path, { model => $model, max_tokens => 9, messages => $messages });
}

# Which provider was asked for which model.
sub served_by {
    my ($path, $model) = @_;
    my $r = ask($path, $model);
    my $q = $p->last_request;

    return $r->{status} if $r->{status} != 200;
    my ($provider) = $q->{path} =~ m{\A/(\w+)/};
    return "$provider $q->{json}{model}";
}

for my $path (@paths) {
    subtest $path => sub {
        is(served_by($path, 'gpt'), 'chat gpt-4o', 'a name');
        is(served_by($path, $_), 'chat gpt-4o', "the alias $_") for 'g', 'gpt/latest';
        is(served_by($path, "caf\x{e9}"), 'chat gpt-4o', 'an alias beyond ASCII');
        is($t->post($path, '{"model":"g\u0070t","max_tokens":9,"messages":[{"role":"user",'
            . '"content":"hi"}]}')->{status}, 200, 'a name with an escape');
        is(served_by($path, 'vendor/big'), 'chat exact', 'an exact name wins over patterns');
        is(served_by($path, 'vendor/bigger'), 'claude family-igger', 'the longest pattern wins');
        is(served_by($path, 'vendor/small'), 'chat any', 'a pattern to one model');
        is(served_by($path, 'ft:abc:1'), 'chat ft:org:abc:1', 'the rest takes the place of *');
        is(served_by($path, 'ft:'), 404, 'the rest must not be empty');
        is(served_by($path, 'chat/gpt-5/x'), 'chat gpt-5/x', 'PROVIDER/MODEL');
        is(served_by($path, 'claude/m*'), 'claude m*', 'with a star');
        is(served_by($path, 'chat/known'), 'claude instead', 'a model of that name wins');
        is(served_by($path, 'lean'), 'claude second', 'the lowest order');
        is(served_by($path, 'heavy'), 'claude always', 'weight 0 is not drawn') for 1 .. 10;
        is(served_by($path, $_), 404, "unknown: $_")
            for 'GPT', 'gpt ', 'nosuch', 'nosuch/m', 'chat/', '/gpt', 'chat', '*', 'vendor', "g\0";
        is(served_by($path, 'x' x 100_000), 404, 'a very long name');
    };
}

subtest 'what the client is told' => sub {
    my $r = ask('/v1/chat/completions', 'nosuch');
    is($r->{status}, 404, 'unknown: 404');
    my $error = $r->{json}{error};
    is("$error->{type} $error->{code} $error->{param}",
        'invalid_request_error model_not_found model', 'as OpenAI says it');
    $r = ask('/v1/messages', 'nosuch');
    is("$r->{status} $r->{json}{type} $r->{json}{error}{type}", '404 error not_found_error',
        'as Anthropic says it');
    like($r->{headers}{'x-llm-request-id'}, qr/\Areq_\w+\z/, 'with an id');

    my %bad = ('no model' => '', 'null' => '"model":null,', 'a number' => '"model":4,',
        'an array' => '"model":["gpt"],', 'an object' => '"model":{"id":"gpt"},',
        'a boolean' => '"model":true,', 'empty' => '"model":"",');
    for my $name (sort keys %bad) {
        for my $path (@paths) {
            $r = $t->post($path, "{$bad{$name}\"max_tokens\":9,\"messages\":[{\"role\":\"user\","
                . '"content":"hi"}]}');
            is($r->{status}, 400, "$name: 400 on $path") or diag($r->{body});
            my $error = $r->{json}{error};
            is($error->{type}, 'invalid_request_error', 'type');
            # Only one of the dialects has a place for the name of the member.
            like($path =~ /chat/ ? $error->{param} : $error->{message}, qr/model/, 'its name');
        }
    }
};

subtest 'headers say who served it' => sub {
    my $r = ask('/v1/chat/completions', 'g');
    is($r->{headers}{'x-llm-model'}, 'g', 'the name that was asked for');
    is("$r->{headers}{'x-llm-provider'} $r->{headers}{'x-llm-deployment'}", 'chat chat/gpt-4o',
        'provider and deployment');
    is($r->{json}{model}, 'gpt-4o-2024-08-06', 'the body has the name that the provider gave');
};

subtest 'weights' => sub {
    my $w = LLM::Test->new;
    $w->http_conf("llm_provider chat { dialect openai; base_url $url/chat; api_key k; }
        llm_model m { deployment chat/a weight=3; deployment chat/b; }
        server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }");
    $w->start;
    my %n = (a => 0, b => 0);
    my $conn;
    for (1 .. 200) {
        my $r = $w->post('/v1/chat/completions', { model => 'm', messages => $messages },
            keep => 1, $conn ? (conn => $conn) : ());
        $conn = $r->{conn};
        $n{$1}++ if $r->{headers}{'x-llm-deployment'} =~ m{\Achat/([ab])\z};
    }
    is($n{a} + $n{b}, 200, 'all served');
    # 150 expected, standard deviation 6.
    cmp_ok($n{a}, '>', 115, "weight 3 of 4: $n{a}");
    cmp_ok($n{a}, '<', 185, 'and no more');
    $w->stop;
    $w->cleanup;
};

$t->done;
