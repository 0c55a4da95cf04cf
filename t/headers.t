# Headers in both directions: what providers are told and clients see, and what stays here.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $dead = LLM::Provider->dead_port;
my $models = <<"END";
    llm_provider extra {
        dialect openai; base_url $url/v1; api_key k;
        header X-Fixed "a value"; header X-Team \$http_x_team; header Host api.example.test;
        header User-Agent own/1.0; header X-Empty \$http_x_nothing;
        param temperature 0.25; param user '"gateway"'; param nested '{"x":[1]}';
    }
    llm_provider extra-claude {
        dialect anthropic; base_url $url/v1; api_key k; header anthropic-version 2099-01-01;
        header anthropic-beta of-the-provider; param max_tokens 4096; param top_k 5;
    }
    llm_provider deep {
        dialect openai; base_url $url/v1; param options.num_ctx 32768; param options.seed 1;
    }
    llm_provider llama { dialect ollama; base_url $url; param options.num_ctx 32768; }
    llm_provider away { dialect openai; base_url http://127.0.0.1:$dead/v1; }
    llm_model over { deployment away/x order=1 id=first; deployment chat/y order=2 id=second; }
    llm_model drops { deployment messages/claude-sonnet-4-5; drop_params on; }
END
$t->http_conf(LLM::Pair::conf($p, models => $models));
$t->start;

my $chat_ask = { model => 'on-chat', messages => [{ role => 'user', content => 'hi' }] };
my $yes = JSON::PP::true();

sub chat { my ($model, $more, @h) = @_; return $t->post('/v1/chat/completions',
    { %$chat_ask, model => $model, %{$more || {}} }, headers => [@h]) }

subtest 'x-llm-*' => sub {
    my %ids;
    for my $pair (LLM::Pair->all) {
        for my $stream (0, 1) {
            $p->script($stream ? sse($pair->events) : json(200, $pair->answer));
            my $r = $pair->post($t, $stream ? (stream => $yes) : ());
            my $h = $r->{headers};
            my $deployment = $pair->{provider} eq 'chat' ? 'chat/gpt-4o'
                : 'messages/claude-sonnet-4-5';
            like($h->{'x-llm-request-id'}, qr/\Areq_[0-9a-f]{20,}\z/, "$pair->{name}, $stream: id");
            ok(!$ids{$h->{'x-llm-request-id'}}++, 'of its own');
            is($h->{'x-llm-model'}, $pair->{model}, 'model');
            is($h->{'x-llm-provider'}, $pair->{provider}, 'provider');
            is($h->{'x-llm-deployment'}, $deployment, 'deployment');
            is("$h->{'x-llm-attempts'} $h->{'x-llm-fallbacks'}", '1 0', 'attempts, fallbacks');
            like($h->{'x-llm-overhead-ms'}, qr/\A\d+\z/, 'overhead');
            ok(!exists $h->{'x-llm-dropped-params'}, 'nothing was dropped');
            my %times;
            $times{lc $_->[0]}++ for @{$r->{header_list}};
            is_deeply([grep { $times{$_} > 1 } keys %times], [], 'no header twice');
        }
    }
    $p->script(json(200, chat_answer()));
    my $h = chat('over')->{headers};
    is("$h->{'x-llm-attempts'} $h->{'x-llm-deployment'} $h->{'x-llm-provider'}", '2 second chat',
        'after a failover: who served it');
    $h = chat('nosuch')->{headers};
    ok($h->{'x-llm-request-id'} && !exists $h->{'x-llm-provider'}, 'a refusal: an id, no provider');
    $p->script(json(500, {}));
    $h = chat('on-chat')->{headers};
    is("$h->{'x-llm-attempts'} $h->{'x-llm-deployment'}", '1 chat/gpt-4o', "a provider's error");
};

subtest 'headers of providers' => sub {
    my @leaky = qw(set-cookie server openai-organization openai-version openai-processing-ms
        openai-project x-ratelimit-limit-requests x-ratelimit-remaining-tokens cf-ray via
        anthropic-ratelimit-requests-limit anthropic-organization-id strict-transport-security
        x-powered-by alt-svc access-control-allow-origin x-accel-redirect x-accel-buffering
        x-accel-limit-rate www-authenticate etag expires cache-control x-should-retry location
        content-encoding-x keep-alive trailer content-disposition);
    my @ids = qw(x-request-id request-id apim-request-id mistral-correlation-id);
    for my $pair (LLM::Pair->all) {
        for my $kind ('whole', 'stream', 'error') {
            my @headers = map { ($_ => "LEAK-$_") } @leaky;
            push @headers, map { ($_ => "id-of-$_") } @ids;
            $p->script($kind eq 'stream' ? sse($pair->events, headers => [@headers])
                : $kind eq 'whole' ? json(200, $pair->answer, headers => [@headers])
                : json(500, $pair->error_body('api_error', 'no'), headers => [@headers]));
            my $r = $pair->post($t, $kind eq 'stream' ? (stream => $yes) : ());
            is($r->{status}, $kind eq 'error' ? 500 : 200, "$pair->{name}, $kind")
                or diag($r->{body});
            unlike($r->{raw_headers}, qr/LEAK/, 'no header leaks');
            like($r->{headers}{server}, qr/\Anginx/, 'the server is nginx');
            is($r->{headers}{"llm-provider-$_"}, "id-of-$_", "its $_ is there") for @ids;
            is($r->{headers}{'cache-control'}, $kind eq 'stream' ? 'no-cache' : 'no-store', 'caching');
        }
    }
    my ($pair) = LLM::Pair->all;
    $p->script(json(200, $pair->answer, headers => ['X-Request-Id' => 'x' x 3000]));
    is($pair->post($t)->{status}, 200, 'a long id does no harm');
    $p->script(json(200, $pair->answer, headers => [map { ('X-Request-Id' => "r$_") } 1 .. 50]));
    my $n = () = $pair->post($t)->{raw_headers} =~ /^llm-provider/gm;
    cmp_ok($n, '<=', 8, 'nor do many');
};

subtest 'what providers are told' => sub {
    for my $pair (LLM::Pair->all) {
        for my $stream (0, 1) {
            $p->script($stream ? sse($pair->events) : json(200, $pair->answer));
            $pair->post($t, $stream ? (stream => $yes) : (), http => { headers => [
                Host => 'gateway.example.test', 'User-Agent' => 'SDK/1', Accept => '*/*',
                'Accept-Encoding' => 'gzip, br, zstd', 'X-Forwarded-For' => '10.0.0.1',
                'X-Stainless-Lang' => 'js', 'X-App' => 'cli', Origin => 'https://example.test',
                Referer => 'https://example.test/x', TE => 'trailers', Range => 'bytes=0-5',
                'If-None-Match' => '"x"', 'OpenAI-Organization' => 'org-of-the-client' ] });
            my $q = $p->last_request;
            my $h = $q->{headers};
            is($h->{host}, $p->addr, "$pair->{name}, $stream: Host is the provider's");
            is($h->{'accept-encoding'}, 'identity', 'gotcha 9: no compression');
            is($h->{'content-type'}, 'application/json', 'type');
            is($h->{accept}, $stream ? 'text/event-stream' : 'application/json', 'what is wanted');
            is($h->{'content-length'}, length $q->{body}, 'length');
            unlike($q->{raw_head}, qr/SDK|10\.0\.0\.1|example\.test|org-of|stainless|x-app|range/i,
                'nothing of the client\'s own');
            my %times;
            $times{lc $_->[0]}++ for @{$q->{header_list}};
            is_deeply([grep { $times{$_} > 1 } keys %times], [], 'no header twice');
            ok(!exists $h->{connection} || $h->{connection} !~ /close/, 'the connection is kept');
        }
    }
};

subtest 'anthropic-beta and anthropic-version' => sub {
    my @flags = (['a-2025-01-01,b-2025-02-02'], ['a-1', 'b-2', 'c-3'], ['a-1, b-2', 'c-3']);
    for my $pair (LLM::Pair->all) {
        for my $flags (@flags) {
            $p->script(json(200, $pair->answer));
            $pair->post($t, http => { headers => ['anthropic-version' => '2023-06-99',
                map { ('anthropic-beta' => $_) } @$flags] });
            my $h = $p->last_request->{headers};
            my $to = $pair->{name} eq 'messages to messages';
            is(join(',', split /,\s*/, $h->{'anthropic-beta'} // ''), $to
                ? join(',', map { split /,\s*/ } @$flags) : '', "$pair->{name}: @$flags");
            is($h->{'anthropic-version'}, $to ? '2023-06-99' : $pair->{provider} eq 'messages'
                ? '2023-06-01' : undef, 'version');
        }
    }
};

subtest 'header and param of a provider' => sub {
    $p->script(json(200, chat_answer()));
    chat('extra/m', { max_tokens => 3 }, 'X-Team' => 'blue');
    my $q = $p->last_request;
    is($q->{headers}{'x-fixed'}, 'a value', 'a header');
    is($q->{headers}{'x-team'}, 'blue', 'with a variable');
    ok(!exists $q->{headers}{'x-empty'}, 'an empty one is left out');
    is($q->{headers}{host}, 'api.example.test', 'Host can be set');
    is($q->{headers}{'user-agent'}, 'own/1.0', 'so can the others');
    is(scalar(() = $q->{raw_head} =~ /^(?:host|user-agent):/gmi), 2, 'once');
    is_deeply($q->{json}, { model => 'm', messages => $chat_ask->{messages}, max_tokens => 3,
        temperature => 0.25, user => 'gateway', nested => { x => [1] } }, 'params are added');
    chat('extra/m', { temperature => 1, user => undef });
    is($p->last_request->{json}{temperature}, 1, 'what the client sends stays');
    $p->script(json(200, messages_answer()));
    is($t->post('/v1/messages', { model => 'extra-claude/m', messages => $chat_ask->{messages} })
        ->{status}, 200, 'messages without max_tokens');
    $q = $p->last_request;
    is("$q->{json}{max_tokens} $q->{json}{top_k}", '4096 5', 'which a param gives');
    is("$q->{headers}{'anthropic-version'} $q->{headers}{'anthropic-beta'}",
        '2099-01-01 of-the-provider', 'its headers win');
    is(chat('extra-claude/m')->{status}, 200, 'translated');
    is($p->last_request->{json}{top_k}, 5, 'params hold there, too');
};

subtest 'a param of an object in the body' => sub {
    my $options = sub { return $p->last_request->{json}{options} };
    $p->script(json(200, chat_answer()));
    chat('deep/m');
    is_deeply($options->(), { num_ctx => 32768, seed => 1 }, 'which is made');
    chat('deep/m', { options => {} });
    is_deeply($options->(), { num_ctx => 32768, seed => 1 }, 'which is empty');
    chat('deep/m', { options => { num_ctx => 5, top_k => 7 } });
    is_deeply($options->(), { num_ctx => 5, top_k => 7, seed => 1 }, 'which lacks one');
    chat('deep/m', { options => 'none' });
    is($options->(), 'none', 'what is no object stays');
    # Gotcha 97: without it Ollama keeps the end of a long prompt only.
    $p->script(json(200, ollama_answer()));
    is(chat('llama/m', { max_tokens => 9, temperature => 0.5 })->{status}, 200, 'gotcha 97: Ollama');
    is_deeply($options->(), { num_predict => 9, temperature => 0.5, num_ctx => 32768 },
        'gotcha 97: beside what the request says');
};

subtest 'drop_params' => sub {
    $p->script(json(200, messages_answer()));
    my %odd = (seed => 7, presence_penalty => 1.5, logit_bias => { 50256 => -100 }, n => 2,
        logprobs => $yes, frequency_penalty => -1);
    my $r = chat('drops', { %odd });
    is($r->{status}, 200, 'on: answered') or diag($r->{body});
    my @named = sort split /,\s*/, $r->{headers}{'x-llm-dropped-params'} // '';
    is("@named", 'frequency_penalty logit_bias logprobs n presence_penalty seed', 'all named');
    is_deeply([grep { exists $p->last_request->{json}{$_} } keys %odd], [], 'none sent');
    $r = chat('drops', { stream => $yes, seed => 1 });
    $p->script(sse(messages_stream()));
    is(chat('drops', { stream => $yes, seed => 1 })->{headers}{'x-llm-dropped-params'}, 'seed',
        'named on a stream');
    $p->script(json(200, messages_answer()));
    for my $name (sort keys %odd) {
        my $before = $p->request_count;
        $r = chat('on-messages', { $name => $odd{$name} });
        is($r->{status}, 400, "off: $name is refused") or diag($r->{body});
        is("$r->{json}{error}{param} $r->{json}{error}{code}", "$name unsupported_parameter",
            'by name');
        is($p->request_count, $before, 'and not sent');
    }
    $r = chat('on-messages', { metadata => { a => 'b' }, verbosity => 'low' });
    is($r->{status}, 200, 'a mere hint is no reason to refuse') or diag($r->{body});
    like($r->{headers}{'x-llm-dropped-params'}, qr/verbosity/, 'but it is named');
    $p->script(json(200, chat_answer()));
    $r = chat('on-chat', { %odd });
    is("$r->{status} " . ($r->{headers}{'x-llm-dropped-params'} // ''), '200 ',
        'the same dialect: nothing is dropped');
    is($p->last_request->{json}{seed}, 7, 'all is sent');
};

$t->done;
