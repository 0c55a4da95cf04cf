# Case 67 at the debug level of the log: no key, prompt or answer is in a line that the module
# writes, in a variable, in an error text or in a header.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new(log_level => 'debug', access_log => 1);
my $p = LLM::Provider->new(dir => $t->dir);
my $secure = LLM::Provider->new(dir => $t->dir, tls => { names => ['api.test'] });
my $url = $p->url;
my $dead = LLM::Provider->dead_port;
my @names = map { "\$llm_$_" } qw(model upstream_model provider deployment dialect stream
    input_tokens output_tokens cached_tokens cache_write_tokens reasoning_tokens first_token_time
    upstream_time overhead_time attempts finish_reason outcome error request_id dropped_params
    in_flight);

# What must not be found anywhere: long enough that no part of it is met by chance.
my %canary = (
    'client key' => 'CLIENTKEY7f3a91', 'provider key' => 'sk-PROVIDERKEY55e1c8d2a7b3',
    'second key' => 'sk-SECONDKEY9942aa01fe7c', prompt => 'PROMPT4bd1 which nobody may read',
    answer => 'ANSWER9c02 for one reader only',
);

$t->http_conf(<<"END");
    log_format all '\$remote_addr \$status \$upstream_addr \$upstream_status @names';
    access_log logs/all.log all;
    access_log logs/combined.log combined;
    llm_provider chat { dialect openai; base_url $url/v1; api_key $canary{'provider key'}; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key $canary{'second key'}; }
    llm_provider dead {
        dialect openai; base_url http://127.0.0.1:$dead; api_key $canary{'provider key'};
    }
    llm_provider tls {
        dialect openai; base_url ${\$secure->url}; api_key $canary{'provider key'};
        ssl_name api.test; ssl_trusted_certificate ${\$secure->ca->file};
    }
    llm_provider tls-bad {
        dialect openai; base_url ${\$secure->url}; api_key $canary{'provider key'};
        ssl_name other.test; ssl_trusted_certificate ${\$secure->ca->file};
    }
    llm_model over { deployment dead/a order=1; deployment chat/b order=2;
        deployment claude/c order=3; }
    server {
        listen 127.0.0.1:%%PORT%%;
        llm_first_token_timeout 300ms;
        llm_idle_timeout 300ms;
        llm_max_body 4k;
        location / { llm_pass models; }
        location /chat/ { llm_pass chat; }
        location = /metrics { llm_metrics; }
    }
END
$t->start;

my @shown;                              # all that clients were shown in errors, and every head

sub question {
    my ($model, %o) = @_;

    return { model => $model, max_tokens => 99, %o,
        messages => [{ role => 'user', content => $canary{prompt} }] };
}

my @credentials = (
    Authorization => "Bearer $canary{'client key'}", 'x-api-key' => $canary{'client key'},
    'api-key' => $canary{'client key'}, 'x-goog-api-key' => $canary{'client key'},
);

sub ask {
    my ($path, $body, %o) = @_;
    my $r = $t->post($path, $body, headers => [@credentials], %o);

    push @shown, $r->{raw_headers} // '', $r->{status} >= 400 ? $r->{body} : ();
    return $r;
}

my @pairs = map { my $path = $_; map { [$path, $_] } 'chat/m', 'claude/m' }
    '/v1/chat/completions', '/v1/messages';
my %is_messages = ('claude/m' => 1);

subtest 'answers, whole and streamed' => sub {
    for my $pair (@pairs) {
        my ($path, $model) = @$pair;
        my %o = (text => $canary{answer}, id => 'x');
        my $messages = $is_messages{$model};
        $p->script(json(200, $messages ? messages_answer(%o) : chat_answer(%o)));
        like(ask($path, question($model))->{body}, qr/ANSWER9c02/, "$path, $model");
        $p->script(sse($messages ? messages_stream(%o) : chat_stream(%o)));
        like(ask($path, question($model, stream => JSON::PP::true()))->{body}, qr/ANSWER9c02/,
            'streamed');
        $p->script(sse($messages ? messages_stream(%o) : chat_stream(%o), cut_after => 4));
        ask($path, question($model, stream => JSON::PP::true()));
        my $s = $t->stream($path, question($model, stream => JSON::PP::true()),
            headers => [@credentials]);
        $s->next_event;
        $s->reset;
    }
    $secure->script(json(200, chat_answer(text => $canary{answer})));
    is(ask('/v1/chat/completions', question('tls/m'))->{status}, 200, 'over TLS');
    is(ask('/v1/chat/completions', question('tls-bad/m'))->{status}, 502, 'a wrong certificate');
};

subtest 'failures' => sub {
    for my $pair (@pairs) {
        my ($path, $model) = @$pair;
        my $own = $canary{$is_messages{$model} ? 'second key' : 'provider key'};
        for my $answer (
            json(401, chat_error("Incorrect API key provided: $own. See the account.")),
            json(401, messages_error('authentication_error', "invalid x-api-key $own")),
            json(400, chat_error("key=$own")), json(500, chat_error("Bearer $own broke")),
            answer(status => 502, body => "<html>$own</html>"), 'silent', 'accept_then_close',
            json(200, { error => { message => "with $own inside" } }),
            answer(status => 200, body => "nonsense $own $canary{answer}"),
            raw_answer("HTTP/1.1 nonsense $own\r\n\r\n"),
            sse(chat_error("overloaded, $own")), sse(['error',
                messages_error('overloaded_error', "overloaded, $own")]),
            sse("not json $own $canary{answer}"),
        ) {
            for my $stream (0, 1) {
                $p->script($answer);
                my $r = ask($path, question($model, $stream
                    ? (stream => JSON::PP::true()) : ()));
                cmp_ok($r->{status}, '>=', 400, "$path, $model fails") or diag($r->{body});
            }
        }
    }
    $p->on('/v1/chat/completions' => json(429, chat_error("slow down $canary{'provider key'}")));
    $p->on('/v1/messages' => json(200, messages_answer(text => $canary{answer})));
    is(ask('/v1/chat/completions', question('over'))->{status}, 200, 'failover');
    unlike(join('', map { $_->{raw_head} } grep { $_->{path} eq '/v1/messages' } $p->requests),
        qr/$canary{'provider key'}/, 'no key at another provider');
    $p->on($_) for '/v1/chat/completions', '/v1/messages';
};

subtest 'refusals' => sub {
    for my $path ('/v1/chat/completions', '/v1/messages') {
        my $text = $canary{prompt};
        for my $body (
            qq({"model":"chat/m","messages":[{"role":"user","content":"$text"), qq("$text"),
            qq({"model":"chat/m","messages":"$text"}), qq({"model":["$text"]}), "$text\0",
            qq({"model":"chat/m","messages":[{"role":"$text","content":"a"}],"max_tokens":1}),
            qq({"model":"claude/m","messages":[{"role":"$text","content":"a"}],"max_tokens":1}),
            qq({"model":"chat/m","messages":[{"role":"user","content":[{"type":"$text"}]}]}),
            qq({"model":"claude/m","messages":[{"role":"user","content":[{"type":"$text"}]}]}),
            qq({"model":"chat/m","temperature":"$text","messages":[]}),
            qq({"model":"chat/m","messages":[{"role":"user","content":"$text) . 'x' x 5000,
        ) {
            $p->script(json(400, chat_error('bad')));
            my $r = ask($path, $body);
            ok($r->{status} >= 400 && $r->{status} < 500, "$path refuses") or diag($r->{body});
        }
        is(ask($path, question('nosuch'))->{status}, 404, 'an unknown model');
    }
    $p->script(json(200, { ok => 1 }));
    is(ask('/chat/v1/embeddings', { input => $canary{prompt} })->{status}, 200, 'unread');
};

subtest 'nothing is anywhere' => sub {
    $t->wait_for(sub { () = $t->slurp('logs/all.log') =~ /\n/g }, 5, 'the access log');
    my $metrics = $t->get('/metrics')->{body};
    like($metrics, qr/^llm_requests_total\{/m, 'the metrics page');
    push @shown, $metrics;
    # nginx itself logs the head of a request at this level, not knowing what is secret.
    my @lines = grep { !/http header: "|http request line: / } split /\n/, $t->log_text;
    my $text = join "\n", @lines;
    cmp_ok(scalar @lines, '>', 1000, 'a debug log was written');
    for my $what (sort keys %canary) {
        # A part of a key is as bad as the whole, so is a prompt cut short.
        my $part = substr $canary{$what}, 0, 14;
        my @found = grep { /\Q$part\E/ } @lines;
        is(scalar @found, 0, "the $what is not in the error log") or diag($found[0]);
        for my $file (qw(all combined)) {
            unlike($t->slurp("logs/$file.log"), qr/\Q$part\E/, "nor in $file.log");
        }
        my @told = grep { /\Q$part\E/ } @shown;
        is(scalar @told, 0, "nor in what clients were told") or diag($told[0]);
    }
};

$t->done;
