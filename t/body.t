# Request bodies in every framing: they arrive whole at the provider, and llm_max_body holds to the
# byte, with a JSON 413 in the dialect of the caller.

use strict;
use warnings;
use LLM::Test;
use LLM::Port qw(is_sanitized);
use LLM::Provider;
use LLM::TLS;
use Digest::SHA qw(sha256_hex);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $limit = 65536;
my $pair = LLM::TLS->new(dir => $t->dir)->server('localhost');

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key k; }
    llm_model chat { deployment chat/chat; }
    llm_model claude { deployment claude/claude; }
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        listen 127.0.0.1:%%PORT:tls%% ssl http2;
        ssl_certificate $pair->{cert};
        ssl_certificate_key $pair->{key};
        location / { llm_pass models; }
        location /small/ { llm_max_body $limit; llm_pass models; }
        location /half/ { llm_max_body 1k; llm_pass chat; }
    }
END
$t->start;
$p->on('/v1/chat/completions' => json(200, chat_answer()));
$p->on('/v1/messages' => json(200, messages_answer()));

my %path = (chat => '/v1/chat/completions', claude => '/v1/messages');

# A good body of exactly so many bytes.
sub body_of {
    my ($model, $size) = @_;
    my $body = qq({"model":"$model","max_tokens":9,"messages":[{"role":"user","content":");
    my $end = '"}]}';
    my $text = join '', map { chr(97 + $_ % 26) } 1 .. 1000;
    my $fill = $size - length($body) - length $end;

    $body .= substr($text x (1 + $fill / 1000), 0, $fill) . $end;
    return $body;
}

# Sends over HTTP/2, as far as the server wants it, and returns what request() would.
sub h2_post {
    my ($path, $body, %o) = @_;
    my $h2 = $t->h2(port => $o{tls} ? 'tls' : 'h2c', tls => $o{tls}, timeout => 30);
    my $id = $h2->open(path => $path, end => 0, headers => ['content-type' => 'application/json',
        $o{content_length} ? ('content-length' => length $body) : ()]);

    for (my $at = 0; $at < length $body; $at += 16_000) {
        my $piece = substr $body, $at, 16_000;
        $h2->wait($id, sub { $_[0]{ended} || $_[0]{send_window} >= length $piece });
        last if $h2->stream($id)->{ended};
        $h2->send($id, $piece, $at + 16_000 >= length $body);
    }
    my $r = $h2->response($id);

    is_deeply([$h2->errors], [], 'no protocol error');
    $h2->close;
    return $r;
}

my %send = (
    'content-length' => sub { $t->post(@_, timeout => 60) },
    'chunked' => sub { $t->post(@_, chunked => 60_000, timeout => 60) },
    'tiny chunks' => sub { $t->post(@_, chunked => 7, timeout => 60) },
    'HTTP/1.0' => sub { $t->post(@_, http10 => 1, timeout => 60) },
    'TLS' => sub { $t->post(@_, port => 'tls', tls => 1, timeout => 60) },
    'h2 with a length' => sub { h2_post(@_, content_length => 1) },
    'h2 without a length' => sub { h2_post(@_) },
    'h2 over TLS' => sub { h2_post(@_, tls => 1) },
);

subtest '20 MB arrive whole' => sub {
    my $body = body_of('chat', 20 * 1024 * 1024);
    my $sum = sha256_hex($body);

    for my $how (sort grep { $_ ne 'tiny chunks' } keys %send) {
        my $r = $send{$how}->($path{chat}, $body);
        is($r->{status}, 200, "by $how") or diag(substr $r->{body} // '', 0, 300);
        is(sha256_hex($p->last_request->{body}), $sum, 'every byte');
        $p->clear;
    }
    my $r = $send{'content-length'}->($path{claude}, $body);
    is($r->{status}, 200, 'translated');
    my $q = $p->last_request;
    cmp_ok(length $q->{body}, '>', 20 * 1024 * 1024 - 200, 'it is as large');
    ok(index($q->{body}, substr $body, 100, 20_000_000) > 0, 'with the same text');
    $p->clear;
};

subtest 'small bodies in every framing' => sub {
    for my $how (sort keys %send) {
        for my $size (200, 5000, 40_000) {
            my $body = body_of('chat', $size);
            my $r = $send{$how}->($path{chat}, $body);
            is($r->{status}, 200, "$size bytes by $how");
            ok($p->last_request->{body} eq $body, 'arrive');
        }
    }
};

subtest 'llm_max_body to the byte' => sub {
    for my $how (sort keys %send) {
        for my $client (qw(chat claude)) {
            for my $more (-1, 0, 1, 100_000) {
                my $before = $p->request_count;
                my $r = $send{$how}->("/small$path{$client}", body_of('chat', $limit + $more));
                if ($more <= 0) {
                    is($r->{status}, 200, "$client by $how, limit $more: passes");
                    is($p->request_count, $before + 1, 'to the provider');
                    next;
                }
                is($r->{status}, 413, "$client by $how, limit +$more: 413");
                is($r->{headers}{'content-type'}, 'application/json', 'as JSON');
                is($r->{json}{error}{type}, $client eq 'chat' ? 'invalid_request_error'
                    : 'request_too_large', 'in the dialect');
                is($r->{json}{type}, $client eq 'chat' ? undef : 'error', 'and its form');
                is($p->request_count, $before, 'the provider was not asked');
            }
        }
    }
    is($t->post('/half/v1/embeddings', 'x' x 1024)->{status} != 413, 1, 'unread: the limit');
    is($t->post('/half/v1/embeddings', 'x' x 1025)->{status}, 413, 'unread: a byte more');
};

subtest 'after a 413' => sub {
    my $r = $t->post("/small$path{chat}", body_of('chat', $limit + 1), keep => 1);
    # Either is good: a closed connection, or one that serves the next request.
    my $next = $r->{conn} && $t->post($path{chat}, body_of('chat', 500), conn => $r->{conn});
    ok(!$next || $next->{status} == 200, 'the connection is closed or goes on');
    # A length that is promised takes no memory, and needs no byte to be refused.
    my ($worker) = $t->worker_pids;
    my $rss = $t->worker_rss($worker);
    my $s = $t->stream($path{chat}, undef, raw => "POST $path{chat} HTTP/1.1\r\nHost: a\r\n"
        . "Content-Length: 99999999999\r\n\r\n{");
    is($s->status, 413, 'a length of 100 GB is refused before it comes');
    my @promised = map { $t->stream($path{chat}, undef, raw => "POST $path{chat} HTTP/1.1\r\n"
        . "Host: a\r\nContent-Length: 33000000\r\n\r\n{") } 1 .. 50;
    is($t->post($path{chat}, body_of('chat', 500))->{status}, 200, 'others are served');
    SKIP: {
        skip 'a sanitizer keeps freed memory', 1 if is_sanitized();
        my $grown = $t->worker_rss($worker) - $rss;
        cmp_ok($grown, '<', 60_000, "50 promises of 33 MB take $grown kB");
    }
    $_->reset for @promised;
};

subtest 'Expect: 100-continue' => sub {
    my $body = body_of('chat', 3000);
    my $head = "POST $path{chat} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        . "Expect: 100-continue\r\n";
    for my $framing (['Content-Length: ' . length $body, $body], ['Transfer-Encoding: chunked',
        sprintf("%x\r\n%s\r\n0\r\n\r\n", length $body, $body)])
    {
        my $s = $t->stream($path{chat}, undef, raw => "$head$framing->[0]\r\n\r\n");
        # The head of the answer can only come after the body: it shows what came before.
        $t->wait_for(sub { $s->status(0.01); @{$s->{http}{informational}} }, 5, '100 Continue');
        is_deeply($s->{http}{informational}, [100], "100 before the body: $framing->[0]");
        $s->send($framing->[1]);
        is($s->status, 200, 'then the answer');
        ok($p->last_request->{body} eq $body, 'and the body arrived');
        ok(!exists $p->last_request->{headers}{expect}, 'the provider was not asked for one');
    }
};

subtest 'Expect: 100-continue of what is refused anyway' => sub {
    my $head = "Host: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: ";
    for my $case (["POST /small$path{chat} HTTP/1.1\r\n$head" . ($limit + 1), 413],
        ["POST /small$path{claude} HTTP/1.1\r\n${head}99999999999", 413],
        ["PUT $path{chat} HTTP/1.1\r\n${head}3000", 405], ["POST /nowhere HTTP/1.1\r\n${head}3000", 404])
    {
        my ($what, $status) = @$case;
        my $before = $p->request_count;
        my $s = $t->stream($path{chat}, undef, raw => "$what\r\n\r\n");
        is($s->status, $status, "refused with $status");
        is_deeply($s->{http}{informational} || [], [], 'the body is not asked for');
        like($s->read_body, qr/"error"/, 'the answer is whole');
        ok($s->eof, 'and the last of its connection: the body may follow, or another request');
        is($p->request_count, $before, 'the provider heard nothing');
    }
};

subtest 'bodies that never end' => sub {
    my $s = $t->stream($path{chat}, undef, raw => "POST $path{chat} HTTP/1.1\r\nHost: a\r\n"
        . "Content-Length: 500\r\n\r\n{\"model\"");
    my $h2 = $t->h2(port => 'h2c');
    my $id = $h2->open(path => $path{chat}, body => '{"model"', end => 0);
    $h2->ping;
    my $before = $p->request_count;
    $s->reset;
    $h2->rst($id);
    ok($h2->ping, 'a stream of half a body was reset');
    is($t->post($path{chat}, body_of('chat', 500))->{status}, 200, 'others are served');
    is($p->request_count, $before + 1, 'the provider saw nothing of the halves');
    is($t->get('/health')->{json}{in_flight}, 0, 'nothing is left in flight');
    for my $bad ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", "Content-Length: -5\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")
    {
        my $r = $t->request('POST', $path{chat}, raw => "POST $path{chat} HTTP/1.1\r\nHost: a\r\n"
            . $bad);
        ok($r->{status} >= 400 && $r->{status} <= 501, "a broken framing: $r->{status}");
    }
};

$t->done;
