# Clients of OpenAI's Responses: passed through where the provider has that API beside its main one,
# translated elsewhere; what only a provider that keeps answers could know is refused by name there.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(encode_json_o);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()], models => <<"END",
    llm_provider openai { base_url $url/v1; api_key sk-openai; }
    llm_provider only-chat { preset openai; dialect openai; base_url $url/v1; api_key sk-chat; }
    llm_provider groq { base_url $url/groq; api_key sk-groq; }
    llm_model big { deployment openai/gpt-5; }
    llm_model dropping { deployment chat/gpt-4o; drop_params on; }
    llm_model both { deployment chat/gpt-4o order=1; deployment openai/gpt-5 order=2; }
    llm_model only { deployment only-chat/gpt-5; }
END
    server => 'location /openai/ { llm_pass openai; }'));
$t->start;

my $pair = LLM::Pair->new('responses', 'responses');
my @messages = (messages => [{ role => 'user', content => 'hi' }]);

# A body as no serialiser writes it. %s: the model, and what else is to be said.
my $odd = qq(\r\n{"input" : [{"role":"user","content":[{"type":"input_text","text":"caf\\u00e9 \\/"}]})
    . qq(,{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x+/="}],"store":false,)
    . qq("previous_response_id":"resp_1","unknown":{"model":"no","n":[1.0,1e2]}, "model" :%s%s}\n);

subtest 'a preset that has both' => sub {
    $p->script($pair->whole(text => 'as responses'));
    my $r = $t->post('/v1/responses', sprintf $odd, '"big"', '');
    is($r->{status}, 200, 'status') or diag($r->{body});
    my $q = $p->last_request;
    is("$q->{path} $q->{headers}{authorization}", '/v1/responses Bearer sk-openai', 'where');
    is($q->{body}, sprintf($odd, '"gpt-5"', ''), 'nothing but the model differs');
    $p->script(json(200, chat_answer(text => 'as chat')));
    $r = $t->post('/v1/chat/completions', { model => 'big', @messages });
    is($r->{json}{choices}[0]{message}{content}, 'as chat', 'clients of chat');
    is($p->last_request->{path}, '/v1/chat/completions', 'go there');
    $r = $t->post('/v1/messages', { model => 'big', max_tokens => 20, @messages });
    is($r->{json}{content}[0]{text}, 'as chat', 'and those of messages');
    $r = $t->post('/v1/responses', { model => 'only', input => 'hi' });
    is($p->last_request->{path}, '/v1/chat/completions', 'a dialect of its own has one only');
    is($r->{json}{output}[0]{content}[0]{text}, 'as chat', 'translated');
};

subtest 'answers arrive as they were sent' => sub {
    my $body = encode_json_o($pair->answer(text => 'x')) =~ s/\A\{/ { "new" : 1.50,\n/r;
    $p->script(answer(body => $body));
    is($t->post('/v1/responses', sprintf $odd, '"big"', '')->{body}, $body, 'whole');
    my @events = $pair->events(reasoning => "Hm\x{2026}", text => "caf\x{e9}",
        tools => [{ name => 'f', args => { x => 1 } }]);
    for my $o ({}, { bytewise => 1 }, { http10 => 1 }) {
        $p->script(sse(@events, %$o));
        my $s = $t->stream('/v1/responses', sprintf $odd, '"big"', ',"stream":true');
        is($s->read_body, join('', map { LLM::Provider::Script::sse_bytes($_) } @events),
            join ' ', 'streamed', keys %$o);
        ok($s->clean_end, 'clean end');
        is($p->last_request->{body}, sprintf($odd, '"gpt-5"', ',"stream":true'), 'asked as sent');
    }
    my $before = $p->request_count;
    $p->script($pair->error('rate_limit', 'Slow down'));
    is($t->post('/v1/responses', sprintf $odd, '"big"', '')->{status}, 429, 'an error');
};

subtest 'what only its keeper knows' => sub {
    my %state = (previous_response_id => 'resp_1', conversation => 'conv_1',
        prompt => { id => 'pmpt_1' }, background => JSON::PP::true());
    for my $to (grep { $_->{client} eq 'responses' && !$_->is_same } LLM::Pair->every) {
        my $before = $p->request_count;
        for my $name (sort keys %state) {
            for my $how (qw(post stream)) {
                my $s = $how eq 'stream' ? $to->stream($t, $name => $state{$name}) : undef;
                $s->read_body if $s;
                my $r = $s ? $s->answer : $to->post($t, $name => $state{$name});
                is($r->{status}, 400, "$to->{name}, $name, $how: refused") or diag($r->{body});
                is("$r->{json}{error}{param} $r->{json}{error}{code}",
                    "$name unsupported_parameter", "$to->{name}, $name, $how: by name");
            }
        }
        is($p->request_count, $before, "$to->{name}: nobody was asked");
        $p->script($to->whole);
        is($to->post($t, previous_response_id => undef, background => JSON::PP::false(),
            conversation => undef)->{status}, 200, "$to->{name}: not set is not asked for");
    }
    my %ask = (input => 'hi', previous_response_id => 'resp_1');
    is($t->post('/v1/responses', { model => 'dropping', %ask })->{status}, 400,
        'drop_params does not drop it');
    $p->script($pair->whole(text => 'known'));
    my $r = $t->post('/v1/responses', { model => 'both', %ask });
    is($r->{status}, 200, 'a deployment that can is found') or diag($r->{body});
    is($p->last_request->{json}{previous_response_id}, 'resp_1', 'and asked for it');
};

subtest 'a reference to an item that nobody but its provider has' => sub {
    for my $item ({ type => 'item_reference', id => 'msg_1' }, { id => 'msg_1' }) {
        my %ask = (input => [$item, { role => 'user', content => 'and?' }]);
        my $asked = $p->request_count;
        for my $model ('on-chat', 'dropping') {
            my $r = $t->post('/v1/responses', { model => $model, %ask });
            is($r->{status}, 400, "$model: refused") or diag($r->{body});
            is($r->{json}{error}{param}, 'item_reference', "$model: by its name");
        }
        is($p->request_count, $asked, 'no provider was asked');
        $p->script($pair->whole(text => 'known'));
        my $r = $t->post('/v1/responses', { model => 'both', %ask });
        is($r->{status}, 200, 'a provider of that API is') or diag($r->{body});
        is_deeply($p->last_request->{json}{input}[0], $item, 'with the reference as it came');
    }
    my $r = $t->post('/v1/responses', { model => 'on-chat', input => [{ type => 'item_reference' }] });
    is($r->{status}, 400, 'a reference to nothing');
    is($r->{json}{error}{param}, 'input[].id', 'says what is missing');
};

subtest 'other paths of that API' => sub {
    $p->script(json(200, { id => 'resp_1' }));
    for my $o (['GET', '/v1/responses/resp_1'], ['DELETE', '/v1/responses/resp_1'],
        ['GET', '/v1/responses/resp_1/input_items?limit=2'])
    {
        my $r = $t->request($o->[0], "/openai$o->[1]");
        is("$r->{status} $r->{json}{id}", '200 resp_1', "@$o");
        is("$_->{method} $_->{path}", "@$o", 'forwarded') for $p->last_request;
        is($t->request($o->[0], $o->[1])->{status}, 404, 'but there is no such path of models');
    }
    my $r = $t->get('/v1/responses');
    is($r->{status}, 405, 'GET /v1/responses');
    ok($pair->is_error($r->{json}), 'an error of its form');
};

subtest 'what is wrong with a request' => sub {
    for my $o (['no model', { input => 'x' }], ['no input', { model => 'on-chat' }],
        ['input of another kind', { model => 'on-chat', input => 7 }], ['no JSON', '{'],
        ['an unknown model', { model => 'nosuch', input => 'x' }, 404])
    {
        my ($what, $body, $status) = @$o;
        my $r = $t->post('/v1/responses', $body);
        is($r->{status}, $status || 400, "$what: status") or diag($r->{body});
        ok($pair->is_error($r->{json}), "$what: an error");
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
