# The paths of Gemini's SDKs: the model is in the path, streams are events with alt=sse and one JSON
# array without, keys come in a header or as ?key=, and none of it travels on.

use strict;
use warnings;
use LLM::Test;
use LLM::Client::Gemini;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()], models => <<'END'));
    llm_model org/team/big { deployment chat/gpt-4o; alias "tuned:v1"; }
    llm_model wild/* { deployment gemini/*; }
END
$t->start;

my $lines = 0;
my $ask = LLM::Forms::client('gemini')->{question}->();
my @pairs = grep { $_->{client} eq 'gemini' } LLM::Pair->every;

sub pair_to { my ($name) = @_; return (grep { $_->{provider} eq $name } @pairs)[0] }

# A stream without alt=sse: the whole body, and what it is made of.
sub array_of {
    my ($model, %o) = @_;
    my $s = $t->stream("/v1beta/models/$model:streamGenerateContent", $ask, %o);

    $s->read_body;
    LLM::Pair::next_log($t, \$lines);
    return ($s, LLM::Client::Gemini::array_events($s->body));
}

subtest 'a stream as one JSON array' => sub {
    for my $pair (@pairs) {
        my $name = $pair->{name};
        my %o = (text => "a\x{e9}\n[1,2], {\"x\": \"]\"}",
            tools => [{ name => 'f', args => { x => [1, { y => 2 }] } }]);
        $p->script($pair->streamed(%o));
        my ($s, $events) = array_of($pair->{model});
        is($s->status, 200, "$name: status") or diag($s->body);
        like($s->header('content-type'), qr{\Aapplication/json\b}, "$name: type");
        ok($events, "$name: an array") or diag($s->body);
        is_deeply([LLM::Client::Gemini::check($events || [])], [], "$name: grammar");
        my $all = LLM::Client::Gemini::assemble($events || []);
        is($all->{text}, $o{text}, "$name: text");
        is("$all->{tools}[0]{name} $all->{tools}[0]{args}", 'f {"x":[1,{"y":2}]}', "$name: call");
        is($all->{finish}, 'STOP', "$name: the end");
        is($pair->counts($all), '21 9', "$name: usage");
    }
};

subtest 'an array comes piece by piece' => sub {
    for my $pair (pair_to('gemini'), pair_to('chat')) {
        # Chat begins with a chunk that only says who speaks.
        $p->script($pair->streamed(text => ['one', ' two'],
            sse => [wait_for_release => $pair->is_same ? 1 : 2]));
        my $s = $t->stream("/v1beta/models/$pair->{model}:streamGenerateContent", $ask);
        is($s->status, 200, "$pair->{name}: the head while the provider waits");
        $t->wait_for(sub { $s->next_event(0.01); $s->body =~ /one/ }, 5, 'the first element');
        unlike($s->body, qr/two/, "$pair->{name}: not the second");
        $p->release;
        like($s->read_body, qr/two.*\]\s*\z/s, "$pair->{name}: the rest");
        ok($s->clean_end, "$pair->{name}: clean end");
        LLM::Pair::next_log($t, \$lines);
    }
};

subtest 'errors of arrays' => sub {
    my @long = (text => [map { "word$_ " } 1 .. 30]);
    for my $pair (@pairs) {
        my $name = $pair->{name};
        $p->script($pair->error('rate_limit', 'Quota is gone'));
        my ($s, $events) = array_of($pair->{model});
        is($s->status, 429, "$name: status");
        is($s->header('content-type'), 'application/json', "$name: type");
        is(scalar @{$events || []}, 1, "$name: an array of one") or diag($s->body);
        ok(LLM::Client::Gemini::is_error($events->[0]{json}), "$name: an error");
        is($events->[0]{json}{error}{message}, 'Quota is gone', "$name: its words");
        for my $o (['an error', $pair->failing(12, 'overloaded', 'Not now', @long,
            sse => [wait_for_release => 12])], ['a cut', $pair->streamed(@long, cut => 12,
            sse => [wait_for_release => 12])])
        {
            my ($what, $script) = @$o;
            $p->script($script);
            $s = $t->stream("/v1beta/models/$pair->{model}:streamGenerateContent", $ask);
            is($s->status, 200, "$name: $what inside: status");
            $p->release;
            $events = LLM::Client::Gemini::array_events($s->read_body);
            ok($events, "$name: $what inside: still an array") or diag($s->body);
            ok(LLM::Client::Gemini::error_event($events || []), "$name: $what: the last element");
            ok(!LLM::Client::Gemini::assemble($events || [])->{done}, "$name: $what: no end");
            LLM::Pair::next_log($t, \$lines);
        }
    }
    $p->script($pairs[0]->error('rate_limit', 'x'));
    for my $method ('generateContent', 'streamGenerateContent?alt=sse') {
        my $r = $t->post("/v1beta/models/on-chat:$method", $ask);
        ok($pairs[0]->is_error($r->{json}), "$method: an object");
        LLM::Pair::next_log($t, \$lines);
    }
    my $r = $t->post('/v1beta/models/nosuch:streamGenerateContent', $ask);
    is(ref $r->{json}, 'ARRAY', 'an unknown model: an array');
    is("$r->{status} $r->{json}[0]{error}{status}", '404 NOT_FOUND', 'an unknown model');
};

subtest 'names and versions in paths' => sub {
    $p->script(json(200, chat_answer(text => 'hi')));
    for my $path ('/v1beta/models/org/team/big', '/v1beta/models/org%2Fteam%2Fbig',
        '/v1/models/org/team/big', '/v1alpha/models/on-chat', '/v1beta1/models/on-chat',
        '/models/on-chat', '/v1beta/models/tuned:v1', '/v1beta/models/tuned%3Av1')
    {
        my $r = $t->post("$path:generateContent", $ask);
        is($r->{status}, 200, $path) or diag($r->{body});
        is($r->{json}{candidates}[0]{content}{parts}[0]{text}, 'hi', 'answered');
    }
    $p->script(json(200, gemini_answer()));
    is($t->post('/v1beta/models/wild/gemini-3:x:generateContent', $ask)->{status}, 200, 'colons');
    is($p->last_request->{path}, '/v1beta/models/gemini-3%3Ax:generateContent', 'encoded');
    for my $path ('/v1beta/models/on-chat:nosuch', '/v1beta/models/:generateContent') {
        my $r = $t->post($path, $ask);
        cmp_ok($r->{status}, '>=', 400, $path);
        ok($pairs[0]->is_error($r->{json}), 'an error of Gemini') or diag($r->{body});
    }
    my $r = $t->get('/v1beta/models/on-chat:generateContent');
    is($r->{status}, 405, 'GET');
    ok($pairs[0]->is_error($r->{json}), 'an error of Gemini');
};

subtest 'GET /v1beta/models' => sub {
    my $r = $t->get('/v1beta/models');
    is($r->{status}, 200, 'status');
    my ($first) = @{$r->{json}{models}};
    is($first->{name}, 'models/on-chat', 'a name');
    ok(grep { $_ eq 'generateContent' } @{$first->{supportedGenerationMethods}}, 'what it can');
    ok((grep { $_->{name} eq 'models/org/team/big' } @{$r->{json}{models}}), 'with slashes');
    is($t->get('/v1beta/models/org/team/big')->{json}{name}, 'models/org/team/big', 'one of them');
    $r = $t->get('/v1beta/models/nosuch');
    is($r->{status}, 404, 'an unknown one');
    ok($pairs[0]->is_error($r->{json}), 'an error of Gemini') or diag($r->{body});
};

subtest 'keys' => sub {
    for my $pair (pair_to('gemini'), pair_to('chat')) {
        $p->script($pair->whole);
        my $r = $t->post($pair->path(0) . "?key=AIzaClient&a=b", $ask,
            headers => ['x-goog-api-key' => 'AIzaClient', Authorization => 'Bearer AIzaClient']);
        is($r->{status}, 200, "$pair->{name}: status") or diag($r->{body});
        my $q = $p->last_request;
        unlike(join("\n", $q->{path}, $q->{body}, %{$q->{headers}}), qr/AIzaClient/,
            "$pair->{name}: the client's key stays here");
    }
    $p->script(pair_to('gemini')->streamed);
    $t->stream('/v1beta/models/on-gemini:streamGenerateContent?key=AIzaClient', $ask)->read_body;
    my $q = $p->last_request;
    is($q->{path}, '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse',
        'a provider is always asked for events');
    is($q->{headers}{'x-goog-api-key'}, 'key-of-gemini', 'with its own key');
};

$t->done;
