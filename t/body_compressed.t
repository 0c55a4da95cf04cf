# Case 62: compressed request bodies are unpacked, up to llm_max_body; what is damaged, too large
# or of an unknown kind is refused in the dialect of the caller.

use strict;
use warnings;
use LLM::Test;
use LLM::Port qw(is_sanitized);
use LLM::Provider;
use Compress::Zlib qw(compress memGzip);
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $limit = 1 << 20;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key k; }
    llm_model chat { deployment chat/chat; }
    llm_model claude { deployment claude/claude; }
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        llm_max_body $limit;
        location / { llm_pass models; }
    }
END
$t->start;
$p->on('/v1/chat/completions' => json(200, chat_answer()));
$p->on('/v1/messages' => json(200, messages_answer()));
my ($worker) = $t->worker_pids;
my %path = (chat => '/v1/chat/completions', claude => '/v1/messages');

sub body_of {
    my ($size, $text) = @_;
    my $start = '{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":"';
    my $end = '"}]}';

    return $start . substr($text x (1 + $size / length $text), 0,
        $size - length("$start$end")) . $end;
}

# Text that packs well, and text that does not.
my $plain = body_of(20_000, 'all work and no play ');
my $state = 1;
my $noise = body_of(300_000, join '', map { $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    chr(97 + ($state >> 16) % 26) } 1 .. 100_000);

sub refused {
    my ($name, $body, $coding, $status) = @_;
    my $before = $p->request_count;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $client (qw(chat claude)) {
        my $r = $t->post($path{$client}, $body, headers => ['Content-Encoding' => $coding]);
        is($r->{status}, $status, "$name, $client: $status") or diag($r->{body});
        is($r->{json}{type}, $client eq 'chat' ? undef : 'error', 'in the dialect');
        ok(length $r->{json}{error}{message}, 'with a message');
    }
    is($p->request_count, $before, 'no provider was asked');
    return;
}

subtest 'gzip and deflate' => sub {
    for my $body ($plain, $noise) {
        my $size = length $body;
        for my $case (['gzip', memGzip($body)], ['deflate', compress($body)],
            ['GZIP', memGzip($body)], ['identity', $body])
        {
            for my $how ({}, { chunked => 1000 }, { chunked => 1 }) {
                next if $how->{chunked} && $how->{chunked} == 1 && length $case->[1] > 5000;
                my $r = $t->post($path{chat}, $case->[1], %$how,
                    headers => ['Content-Encoding' => $case->[0]]);
                is($r->{status}, 200, join ' ', "$size bytes as $case->[0]", %$how)
                    or diag($r->{body});
                my $q = $p->last_request;
                ok($q->{body} eq $body, 'the provider gets them unpacked');
                ok(!exists $q->{headers}{'content-encoding'}, 'and is told of no coding');
                is($q->{headers}{'content-length'}, $size, 'with the right length');
            }
        }
    }
    my $r = $t->post($path{claude}, memGzip($plain =~ s/chat/claude/r),
        headers => ['content-encoding' => 'gzip']);
    is("$r->{status} $r->{json}{type}", '200 message', 'messages');
    my $h2 = $t->h2(port => 'h2c');
    is($h2->response($h2->open(path => $path{chat}, body => memGzip($plain),
        headers => ['content-encoding' => 'gzip']))->{status}, 200, 'over HTTP/2');
    ok($p->last_request->{body} eq $plain, 'unpacked');
    $h2->close;
};

subtest 'gzip of several members' => sub {
    for my $at (1, length($plain) - 1) {
        my $r = $t->post($path{chat}, join('', map { memGzip($_) } substr($plain, 0, $at), '',
            substr($plain, $at)), headers => ['Content-Encoding' => 'gzip']);
        is($r->{status}, 200, "cut behind byte $at") or diag $r->{body};
        ok($p->last_request->{body} eq $plain, 'all of them are read');
    }
};

subtest 'damaged' => sub {
    my $gzip = memGzip($plain);
    refused('a second member that is cut', $gzip . substr($gzip, 0, -1), 'gzip', 400);
    refused('cut', substr($gzip, 0, length($gzip) / 2), 'gzip', 400);
    refused('without its last byte', substr($gzip, 0, -1), 'gzip', 400);
    refused('a wrong checksum', substr($gzip, 0, -8) . "\0\0\0\0" . substr($gzip, -4), 'gzip', 400);
    refused('bytes behind it', "${gzip}more", 'gzip', 400);
    refused('not compressed at all', $plain, 'gzip', 400);
    refused('nothing', '', 'gzip', 400);
    refused('only a head', substr($gzip, 0, 10), 'gzip', 400);
    refused('not JSON inside', memGzip('hello'), 'gzip', 400);
};

subtest 'unknown codings' => sub {
    refused($_, $plain, $_, 400) for 'br', 'zstd', 'compress', 'gzip, gzip', 'x';
};

subtest 'the cap holds for what comes out' => sub {
    my $r = $t->post($path{chat}, memGzip(body_of($limit, 'x')),
        headers => ['Content-Encoding' => 'gzip']);
    is($r->{status}, 200, 'as large as may be') or diag($r->{body});
    refused('a byte more', memGzip(body_of($limit + 1, 'x')), 'gzip', 413);

    # 200 MB in 200 KB.
    my $bomb = memGzip(body_of(200 << 20, 'x'));
    cmp_ok(length $bomb, '<', 400_000, 'a bomb');
    my $rss = $t->worker_rss($worker);
    my $began = time;
    refused('a bomb', $bomb, 'gzip', 413);
    cmp_ok(time - $began, '<', 1 * ($ENV{LLM_SLOW} || 1), 'is refused at once');
    SKIP: {
        skip 'a sanitizer keeps freed memory', 1 if is_sanitized();
        cmp_ok($t->worker_rss($worker) - $rss, '<', 16_000, 'and never unpacked');
    }
    is(join(' ', $t->worker_pids), $worker, 'the same worker');
};

$t->done;
