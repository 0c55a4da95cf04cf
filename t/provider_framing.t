# Case 62: however a provider frames and compresses its answer, the client gets one that is framed
# once, in nginx's own way.

use strict;
use warnings;
use Compress::Raw::Zlib qw(WANT_GZIP Z_SYNC_FLUSH Z_FINISH MAX_WBITS Z_OK);
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p));
$t->start;
my ($worker) = $t->worker_pids;

# The pieces, compressed so that each can be read as soon as it is there.
sub compress {
    my ($coding, @pieces) = @_;
    my ($z) = Compress::Raw::Zlib::Deflate->new(
        -WindowBits => $coding eq 'gzip' ? WANT_GZIP : MAX_WBITS, -AppendOutput => 0);
    my @out;

    for my $piece (@pieces) {
        my ($one, $two) = ('', '');
        $z->deflate($piece, $one) == Z_OK or die 'deflate';
        $z->flush($two, Z_SYNC_FLUSH) == Z_OK or die 'flush';
        push @out, $one . $two;
    }
    my $end = '';
    $z->flush($end, Z_FINISH) == Z_OK or die 'flush';
    return (@out, $end);
}

sub whole {
    my ($pair, $answer, $what) = @_;

    $p->script($answer);
    my $r = $pair->post($t);
    is($r->{status}, 200, "$what: status") or diag $r->{body};
    is($pair->read_answer($r->{json} || {})->{text}, 'all of it', "$what: answer");
    ok($r->{clean}, "$what: framed as promised");
    is($r->{headers}{'content-length'}, length $r->{body}, "$what: its own length");
    ok(!exists $r->{headers}{$_}, "$what: no $_") for qw(transfer-encoding content-encoding
        trailer x-of-the-provider set-cookie server-timing);
    return;
}

sub streamed {
    my ($pair, $answer, $what) = @_;

    $p->script($answer);
    my $s = $pair->stream($t);
    my @events = $s->all_events;
    is_deeply([$pair->check(\@events)], [], "$what: grammar");
    is($pair->assemble(\@events)->{text}, 'all of it', "$what: answer");
    ok($s->clean_end, "$what: framed as promised");
    ok(!exists $s->headers->{$_}, "$what: no $_") for qw(content-length content-encoding
        trailer x-of-the-provider);
    return;
}

my @ways = ({}, { chunked => 1 }, { content_length => 1 }, { close => 1 }, { http10 => 1 },
    { http10 => 1, content_length => 1 });

for my $pair (LLM::Pair->all) {
    subtest "case 62: framing, $pair->{name}" => sub {
        my $json = LLM::Json::encode_json_o($pair->answer(text => 'all of it'));
        my @events = $pair->events(text => 'all of it');
        my @own = (headers => { 'Content-Type' => 'application/json',
            'X-Of-The-Provider' => 'secret', 'Set-Cookie' => 'a=b' });
        for my $o (@ways) {
            my $what = join ' ', 'framing', sort keys %$o;
            whole($pair, answer(body => $json, %$o, @own), $what);
            streamed($pair, sse(@events, %$o), "$what, stream");
        }
        for my $coding ('gzip', 'deflate') {
            my $bytes = join '', compress($coding, $json);
            my @pieces = map { raw($_) } compress($coding,
                map { LLM::Provider::Script::sse_bytes($_) } @events);
            for my $o (@ways) {
                my $what = join ' ', $coding, sort keys %$o;
                whole($pair, answer(body => $bytes, %$o, headers => [
                    'Content-Type' => 'application/json', 'Content-Encoding' => $coding]), $what);
                streamed($pair, sse(@pieces, %$o, headers => ['Content-Encoding' => $coding]),
                    "$what, stream");
            }
            streamed($pair, sse(@pieces, bytewise => 1,
                headers => ['Content-Encoding' => $coding]), "$coding, bytewise");
        }
        # Several members, an empty one among them.
        my @gzip = (headers => ['Content-Type' => 'application/json', 'Content-Encoding' => 'gzip']);
        my $members = join '', map { compress('gzip', $_) } substr($json, 0, 9), '', substr($json, 9);
        whole($pair, answer(body => $members, @gzip), 'gzip of several members');
        my @members = map { raw(join '', compress('gzip', LLM::Provider::Script::sse_bytes($_))) } @events;
        streamed($pair, sse(@members, headers => ['Content-Encoding' => 'gzip'], %$_),
            join ' ', 'gzip of several members, stream', %$_) for {}, { bytewise => 1 };
    };

    subtest "case 62: odd but right, $pair->{name}" => sub {
        my $json = LLM::Json::encode_json_o($pair->answer(text => 'all of it'));
        my $size = length $json;
        my $hex = sprintf '%X', $size;
        my $ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        my %answers = (
            'chunk extensions and trailers' => [$ok, "Transfer-Encoding: chunked\r\n",
                "Trailer: X-Of-The-Provider\r\n\r\n", "$hex;a=b;c=\"d\"\r\n$json\r\n",
                "000;last\r\nX-Of-The-Provider: secret\r\n\r\n"],
            'interim answers' => ["HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
                $ok, "Content-Length: $size\r\n\r\n$json"],
            'other case, no reason, bare LF' => ["HTTP/1.1 200\n",
                "CONTENT-TYPE:application/JSON\nCONTENT-LENGTH:   $size  \n\n$json"],
            'bytes behind the answer' => [$ok, "Content-Length: $size\r\n\r\n${json}garbage"],
        );
        for my $kind (sort keys %answers) {
            whole($pair, raw_answer(join('', @{$answers{$kind}}), 'end'), $kind);
        }
        # nginx's own proxy refuses this, too: which of the two is meant is a guess.
        $p->script(raw_answer("${ok}Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "$hex\r\n$json\r\n0\r\n\r\n", 'end'));
        my $r = $pair->post($t);
        is($r->{status}, 502, 'a length beside the chunks is an error');
        ok($pair->is_error($r->{json}), 'an error of the dialect');
        streamed($pair, raw_answer("HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream\r\n\r\n",
            (map { LLM::Provider::Script::sse_bytes($_) } $pair->events(text => 'all of it')),
            'close'), 'no framing at all');
    };

    subtest "case 12: compression holds no event back, $pair->{name}" => sub {
        my @events = $pair->events(text => ['one', ' two', ' three']);
        my @pieces = map { raw($_) } compress('gzip',
            map { LLM::Provider::Script::sse_bytes($_) } @events);
        my $at = $pair->{provider} eq 'chat' ? 1 : 3;
        $p->script(sse(@pieces[0 .. $at], hold(), $pieces[$at + 1], hold(),
            @pieces[$at + 2 .. $#pieces], headers => ['Content-Encoding' => 'gzip']));
        my $s = $pair->stream($t);
        for my $word ('one', ' two') {
            while (my $event = $s->next_event) {
                last if $event->{data} =~ /"\Q$word\E"/;
            }
            ok(!$s->timed_out && !$s->eof, "'$word' is there while the next is held");
            $p->release;
        }
        like($s->read_body, qr/" three"/, 'and the rest');
    };

    subtest "compressed and broken, $pair->{name}" => sub {
        my @events = $pair->events(text => ['one', ' two', ' three']);
        my @pieces = compress('gzip', map { LLM::Provider::Script::sse_bytes($_) } @events);
        my $at = $pair->{provider} eq 'chat' ? 1 : 3;
        my @gzip = (headers => ['Content-Encoding' => 'gzip']);
        my %rest = ('garbage' => ["\x07" x 40], 'the end' => []);
        for my $kind (sort keys %rest) {
            $p->script(sse((map { raw($_) } @pieces[0 .. $at]), hold(),
                (map { raw($_) } @{$rest{$kind}}), @gzip));
            my $s = $pair->stream($t);
            my $first = $s->next_event;
            $p->release;
            my @seen = ($first, $s->all_events);
            ok($pair->error_event(\@seen), "stream, then $kind: an error event");
            ok(!$pair->assemble(\@seen)->{done}, "stream, then $kind: no success");
        }
        my $bytes = join '', compress('gzip',
            LLM::Json::encode_json_o($pair->answer(text => 'abc' x 100)));
        for my $bad (substr($bytes, 0, 40), 'no gzip at all',
            substr($bytes, 0, 30) . 'x' x 30 . substr($bytes, 60))
        {
            $p->script(answer(body => $bad, headers => ['Content-Encoding' => 'gzip',
                'Content-Type' => 'application/json']));
            my $r = $pair->post($t);
            is($r->{status}, 502, 'whole: status');
            ok($pair->is_error($r->{json}), 'whole: an error of the dialect');
        }
    };
}

# 60 MB of blanks in 60 kB: more than llm_max_body.
subtest 'a bomb' => sub {
    my @bomb = (body => join('', compress('gzip', map { ' ' x 1_000_000 } 1 .. 60)),
        headers => ['Content-Encoding' => 'gzip', 'Content-Type' => 'application/json']);
    for my $pair (LLM::Pair->all) {
        my $before = $t->worker_rss($worker);
        $p->script(answer(@bomb));
        my $r = $pair->post($t);
        is($r->{status}, 502, "$pair->{name}: status");
        ok($pair->is_error($r->{json}), "$pair->{name}: an error of the dialect");
        ok($t->wait_for(sub { $t->worker_rss($worker) - $before < 24 * 1024 }, 5, 'the memory'),
            "$pair->{name}: what it took goes back");
    }
};

is(($t->worker_pids)[0], $worker, 'the worker lives');
ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
