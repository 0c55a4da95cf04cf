# Which models a key may use: its list and its team's both hold, aliases count as what they stand
# for, and no way around leads to another model. Case 26 and, for the request itself, case 28.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider other { dialect openai; base_url $url/v1; api_key k; }
    llm_model a { deployment chat/up-a; alias a-alias b-like; }
    llm_model b { deployment chat/up-b; }
    llm_model b2 { deployment chat/up-b2; }
    llm_model wild/* { deployment chat/wild-*; }
    llm_master_key sk-master;
    llm_team ab { models a b; }
    llm_team none { models no-default-models; }
    llm_key sk-all { }
    llm_key sk-a { models a; }
    llm_key sk-alias { models a-alias; }
    llm_key sk-pattern { models b* wild/x-*; }
    llm_key sk-team { team ab; }
    llm_key sk-both { team ab; models b b2; }
    llm_key sk-rest { team ab; models all-team-models; }
    llm_key sk-loner { models all-team-models; }
    llm_key sk-nothing { team none; }
    llm_key sk-own { models b; model_alias mine b; model_alias theirs a; }
    llm_key sk-shadow { model_alias b a; model_alias a-alias b2; model_alias a a; }
    llm_key sk-shut { models b2; model_alias b2 a; }
    llm_key sk-direct { models chat/up-a chat/deep/*; }
    llm_key sk-account { models chat/*; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /chat/ { llm_pass chat; }
        location /other/ { llm_pass other; }
    }
END
$t->start;
$p->script(json(200, chat_answer(text => 'hi')));

sub ask {
    my ($key, $model, $path, %more) = @_;

    return $t->post($path || '/v1/chat/completions',
        { model => $model, max_tokens => 5, messages => [{ role => 'user', content => 'x' }],
            %more }, headers => { Authorization => "Bearer sk-$key" });
}

# What of these each key may ask for.
my @names = qw(a a-alias b-like b b2 wild/x-1 wild/y chat/up-a chat/up-b other/up-a chat/deep/z
    nosuch mine theirs);
my %may = (
    master => [grep { !/nosuch|mine|theirs/ } @names],
    all => [grep { !/nosuch|mine|theirs/ } @names],
    a => [qw(a a-alias b-like)],
    alias => [qw(a a-alias b-like)],
    pattern => [qw(b b2 wild/x-1)],
    team => [qw(a a-alias b-like b)],
    both => [qw(b)],
    rest => [qw(a a-alias b-like b)],
    loner => [],
    nothing => [],
    own => [qw(b mine)],
    direct => [qw(chat/up-a chat/deep/z)],
    account => [qw(chat/up-a chat/up-b chat/deep/z)],
);
for my $key (sort keys %may) {
    subtest $key => sub {
        my %allowed = map { $_ => 1 } @{$may{$key}};
        for my $model (@names) {
            my $r = ask($key, $model);
            my $unlimited = $key =~ /\A(?:all|master)\z/;
            is($r->{status}, $allowed{$model} ? 200 : $unlimited ? 404 : 403, $model);
        }
        my $list = decode_json($t->get('/v1/models',
            headers => { 'x-api-key' => "sk-$key" })->{body});
        is_deeply([sort map { $_->{id} } @{$list->{data}}],
            [grep { $allowed{$_} } sort qw(a a-alias b-like b b2 mine)], 'list of models');
    };
}

# A key may have a name of its own that is a model's or an alias's, too.
subtest 'each name once' => sub {
    my $names = sub {
        my ($key, $path, $list, $id, @headers) = @_;
        my $json = decode_json($t->get($path, headers => ['x-api-key' => $key, @headers])->{body});
        return join ' ', sort map { $_->{$id} } @{$json->{$list}};
    };
    my $all = 'a a-alias b b-like b2';
    is($names->('sk-shadow', '/v1/models', 'data', 'id'), $all, 'OpenAI');
    is($names->('sk-shadow', '/v1/models', 'data', 'id', 'anthropic-version' => 'x'), $all, 'Anthropic');
    is($names->('sk-shadow', '/v1beta/models', 'models', 'name'),
        join(' ', map { "models/$_" } split / /, $all), 'Gemini');
    is(ask('shadow', 'b')->{status}, 200, 'it is asked for under its name');
    is($p->last_request->{json}{model}, 'up-a', 'and is what the key means by it');
    is($names->('sk-shut', '/v1/models', 'data', 'id'), '', 'what may not be asked is not shown');
    is(ask('shut', 'b2')->{status}, 403, 'and is refused');
};

subtest 'the refusal' => sub {
    my $before = $p->request_count;
    my $error = decode_json(ask('a', 'b')->{body})->{error};
    is($error->{code}, 'key_model_access_denied', 'code');
    is($error->{type}, 'key_model_access_denied', 'type, as users of LiteLLM know it');
    my $r = ask('a', 'b', '/v1/messages');
    is($r->{status}, 403, 'Anthropic');
    is(decode_json($r->{body})->{error}{type}, 'permission_error', 'in its words');
    $r = $t->post('/v1beta/models/b:generateContent', { contents => [{ parts => [{ text => 'x' }] }] },
        headers => { 'x-goog-api-key' => 'sk-a' });
    is(decode_json($r->{body})->{error}{status}, 'PERMISSION_DENIED', 'Gemini');
    $r = $t->get('/v1/models/b', headers => { Authorization => 'Bearer sk-a' });
    is($r->{status}, 404, 'a model that is not for this key is not shown');
    is(ask('a', 'b', '/v1/messages/count_tokens')->{status}, 403, 'nor are its tokens counted');
    is($p->request_count, $before, 'no provider was asked');
};

subtest 'own names of a key' => sub {
    is(ask('own', 'mine')->{status}, 200, 'answered');
    is(decode_json($p->last_request->{body})->{model}, 'up-b', 'by the model that it stands for');
    is(ask('own', 'mine')->{headers}{'x-llm-model'}, 'mine', 'shown as asked');
};

subtest "case 26: a provider's own address" => sub {
    my $chat = '/v1/chat/completions';
    is(ask('direct', 'up-a', "/chat$chat")->{status}, 200, 'a model of the list');
    is(ask('direct', 'up-b', "/chat$chat")->{status}, 403, 'another one');
    is(ask('direct', 'up-a', "/other$chat")->{status}, 403, 'of another provider');
    is(ask('a', 'a', "/chat$chat")->{status}, 403, 'a name of llm_model is none of the provider');
    is(ask('account', 'any', "/chat$chat")->{status}, 200, 'the whole provider');
};

subtest 'case 26: what is forwarded unread' => sub {
    my $before = $p->request_count;
    my @auth = (Authorization => 'Bearer sk-direct');
    is(ask('direct', 'up-a', '/chat/v1/embeddings')->{status}, 200, 'a model of the list');
    is(ask('direct', 'up-b', '/chat/v1/embeddings')->{status}, 403, 'another one');
    for my $body ('{"model":"up-a","model":"up-b"}', '{"model":["up-a"]}', '{"input":"x"}', 'x',
        '["model"]', '{"mod\u0065l":"up-a","model":"up-b"}')
    {
        is($t->post('/chat/v1/embeddings', $body, headers => [@auth])->{status}, 403, $body);
    }
    for my $path (qw(/v1/files /v1/batches /v1/audio/transcriptions /deployments/up-b/embeddings
        /models/up-b:embedContent /model/up-b/invoke /v1/embeddings/up-b /v1//embeddings/x))
    {
        is(ask('direct', 'up-a', "/chat$path")->{status}, 403, $path);
    }
    is($t->get('/chat/v1/models', headers => [@auth])->{status}, 403, 'nor a list');
    is($p->request_count, $before + 1, 'no provider was asked');
    is(ask('account', 'x', '/chat/v1/files')->{status}, 200, 'the whole provider is everything');
    is(ask('all', 'x', '/chat/v1/files')->{status}, 200, 'so are all models');
};

subtest 'a second model beside the one that was looked at' => sub {
    my $before = $p->request_count;
    my $form = sub {
        my (@names) = @_;
        my $body = join '', map { qq(--B\r\nContent-Disposition: form-data; $_->[0]\r\n\r\n$_->[1]\r\n) } @names;
        return $t->post('/v1/audio/transcriptions', "$body--B--\r\n", headers => [Authorization =>
            'Bearer sk-a', 'Content-Type' => 'multipart/form-data; boundary=B']);
    };
    my @file = ('name="file"; filename="a.wav"', 'RIFF');
    for my $name ('name="model"', 'name=model', 'NAME="Model"', 'name="model[]"', q(name*=utf-8''model)) {
        my $r = $form->(['name="model"', 'a'], [@file], [$name, 'b']);
        is($r->{status}, 400, "a form: $name");
        is($r->{json}{error}{param}, 'model', 'by name');
    }
    is(ask('a', 'a', undef, models => ['up-b'], route => 'fallback')->{status}, 403, 'a list for the provider');
    is(ask('direct', 'up-a', '/chat/v1/chat/completions', models => ['up-b'])->{status}, 403, 'there, too');
    is($p->request_count, $before, 'no provider was asked');
    is(ask('a', 'a', undef, models => [])->{status}, 200, 'an empty list');
    is(ask('all', 'a', undef, models => ['up-b'])->{status}, 200, 'a key without a list');
    is_deeply(($p->requests)[-1]{json}{models}, ['up-b'], 'leaves the choice to the provider');
    is($form->(['name="model"', 'a'], [@file])->{status}, 200, 'a form with one');
};

$t->done;
