# Parameters that a preset is known to refuse: a 400 that names them and asks nobody, or left out and
# named in x-llm-dropped-params; for clients of the provider's dialect, whose bytes pass, and for
# others. A temperature above the provider's highest, and the prefix of its models' names.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider deepseek { base_url $url; api_key k; }
    llm_provider perplexity { base_url $url; api_key k; }
    llm_provider corti { base_url $url/v1; api_key k; }
    llm_provider fireworks_ai { base_url $url/inference/v1; api_key k; }
    llm_provider xai { base_url $url/v1; api_key k; }
    llm_provider together_ai { base_url $url/v1; api_key k; }
    llm_model strict { deployment perplexity/sonar; }
    llm_model dropping { deployment perplexity/sonar; drop_params on; }
    llm_model warm { deployment corti/any; }
    llm_model prefixed { deployment fireworks_ai/llama-v3; }
    llm_model own { deployment fireworks_ai/accounts/me/models/mine; }
    llm_model any/* { deployment fireworks_ai/*; }
    llm_model grok { deployment xai/grok-4; }
    llm_model older-grok { deployment xai/grok-3; }
    llm_model seeded { deployment deepseek/deepseek-chat; }
    llm_model both { deployment deepseek/deepseek-chat order=1; deployment together_ai/m order=2; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

my @chat = ('/v1/chat/completions', messages => [{ role => 'user', content => 'hi' }]);
my @messages = ('/v1/messages', max_tokens => 20, messages => [{ role => 'user', content => 'hi' }]);
my @tools = (tools => [{ type => 'function', function => { name => 'f',
    parameters => { type => 'object', properties => {} } } }]);

# [status, what the provider was sent (undef: nothing), the answer]
sub ask {
    my ($way, $model, @more) = @_;
    my ($path, @body) = @$way;
    my $before = $p->request_count;

    $p->script(json(200, chat_answer(text => 'x')));
    my $r = $t->post($path, { model => $model, @body, @more });
    my $q = $p->request_count > $before ? $p->last_request->{json} : undef;
    return ($r->{status}, $q, $r);
}

subtest 'refused by its name' => sub {
    for my $o ([strict => seed => 7], [strict => stop => ['x']], [strict => n => 2], [seeded => seed => 7],
        [grok => presence_penalty => 1], [strict => @tools])
    {
        my ($model, $name, $value) = @$o;
        my ($status, $q, $r) = ask(\@chat, $model, $name => $value);
        is($status, 400, "$model, $name: status") or diag($r->{body});
        is("$r->{json}{error}{param} $r->{json}{error}{code}", "$name unsupported_parameter",
            "$model, $name: named");
        is($q, undef, "$model, $name: nobody was asked");
    }
    my ($status, $q, $r) = ask(\@messages, 'strict', stop_sequences => ['x']);
    is($status, 400, 'a client of another dialect');
    like($r->{json}{error}{message}, qr/stop_sequences/, 'in its own words');
    is($q, undef, 'nobody was asked');
};

subtest 'left out and named' => sub {
    my ($status, $q, $r) = ask(\@chat, 'dropping', seed => 7, temperature => 0.5, stop => 'x', @tools);
    is($status, 200, 'status') or diag($r->{body});
    is($r->{headers}{'x-llm-dropped-params'}, 'seed, stop, tools', 'named');
    is(join(' ', sort keys %$q), 'messages model temperature', 'the rest is sent');
    ($status, $q, $r) = ask(\@messages, 'dropping', stop_sequences => ['x'], temperature => 0.5);
    is("$status $r->{headers}{'x-llm-dropped-params'}", '200 stop_sequences', 'another dialect');
    is($q->{temperature}, 0.5, 'the rest is sent');
};

subtest 'what says nothing is no reason to refuse' => sub {
    my ($status, $q, $r) = ask(\@chat, 'strict', n => 1, stop => [], logit_bias => {}, seed => undef);
    is($status, 200, 'status') or diag($r->{body});
    is(join(' ', sort keys %$q), 'messages model', 'it is not sent');
    is($r->{headers}{'x-llm-dropped-params'}, undef, 'nor named');
    ($status, $q) = ask(\@chat, 'older-grok', presence_penalty => 1);
    is("$status $q->{presence_penalty}", '200 1', 'another model of the provider takes it');
};

subtest 'a deployment that takes it is found' => sub {
    my ($status, $q) = ask(\@chat, 'both', seed => 7);
    is("$status $q->{model} $q->{seed}", '200 m 7', 'the next one');
};

subtest 'the highest temperature' => sub {
    for my $way (\@chat, \@messages) {
        my ($status, $q, $r) = ask($way, 'warm', temperature => $way == \@chat ? 1.7 : 1.5);
        is("$status $q->{temperature}", '200 1', "$way->[0]: the highest") or diag($r->{body});
        is($r->{headers}{'x-llm-dropped-params'}, 'temperature', "$way->[0]: named");
        ($status, $q, $r) = ask($way, 'warm', temperature => 0.7);
        is("$q->{temperature}", '0.7', "$way->[0]: one below passes");
        is($r->{headers}{'x-llm-dropped-params'}, undef, "$way->[0]: and is not named");
    }
};

subtest 'the prefix of names' => sub {
    for my $way (\@chat, \@messages) {
        for my $o ([prefixed => 'accounts/fireworks/models/llama-v3'],
            [own => 'accounts/me/models/mine'], ['any/x' => 'accounts/fireworks/models/x'])
        {
            my (undef, $q, $r) = ask($way, $o->[0]);
            is($q->{model}, $o->[1], "$way->[0]: $o->[0]") or diag($r->{body});
        }
    }
};

$t->done;
