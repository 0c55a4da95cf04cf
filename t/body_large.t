# Case 61: while bodies of 20 MB come in on many connections, a small request is answered quickly
# by the same worker, and the memory is given back afterwards. And bodies of 1 MB find the memory of
# those before them, also where they are translated.

use strict;
use warnings;
use IO::Select;
use LLM::Test;
use LLM::Port qw(close_fds slow is_sanitized);
use LLM::Provider;
use LLM::Json qw(encode_json_c encode_json_o);
use POSIX ();
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $writers = 4;
my $size = 20 * 1024 * 1024;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; api_key k; }
    llm_provider claude { dialect anthropic; base_url ${\$p->url}/v1; api_key k; }
    llm_provider mock { }
    llm_provider given { dialect anthropic; base_url ${\$p->url}/v1; api_key k; param top_k 5; }
    llm_model translated { deployment claude/translated; }
    llm_model twice { deployment claude/twice; num_retries 1; }
    llm_model given { deployment given/twice; num_retries 1; }
    llm_model large { deployment mock/large; }
    llm_model small { deployment chat/small; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;
my ($worker) = $t->worker_pids;

my $small = { model => 'small', messages => [{ role => 'user', content => 'hi' }] };
my $large = '{"model":"large","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text",'
    . '"text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"'
    . ('iVBORw0K' x (($size - 200) / 8)) . '"}}]}]}';

# Pages of memory that the kernel had to come up with so far.
sub page_faults {
    my ($pid) = @_;

    open my $fh, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!";
    my ($rest) = readline($fh) =~ /^.*\) (.*)/;
    return (split ' ', $rest)[7];
}

# Times of n small requests on one connection, in order of size.
sub small_requests {
    my ($enough) = @_;
    my ($conn, @times);

    until ($enough->(scalar @times)) {
        my $r = $t->post('/v1/chat/completions', $small, keep => 1, $conn ? (conn => $conn) : ());
        $conn = $r->{conn};
        die "small request: $r->{status} $r->{body}\n" if $r->{status} != 200;
        push @times, $r->{time};
    }
    return sort { $a <=> $b } @times;
}

# Sends the large body again and again until it is told to stop; says how many were answered.
sub start_writer {
    my ($port) = @_;

    pipe my $read, my $write or die "pipe: $!";
    pipe my $stop_read, my $stop_write or die "pipe: $!";
    my $pid = fork;
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        close_fds(fileno $write, fileno $stop_read);
        my ($done, $bad) = (0, 0);
        my $stop = IO::Select->new($stop_read);
        do {
            my $s = LLM::Stream->open(port => $port, path => '/v1/messages', body => $large,
                headers => ['Content-Type' => 'application/json'], timeout => 60);
            $s->status == 200 ? $done++ : $bad++;
            $s->close;
        } until $stop->can_read(0);
        syswrite $write, "$done $bad\n";
        POSIX::_exit(0);
    }
    close $write;
    close $stop_read;
    return { pid => $pid, read => $read, stop => $stop_write };
}

# Getting memory from the kernel, page by page, would cost more than the translation. In a fresh
# worker: a C library that has seen 20 MB come and go gives nothing back for a while.
subtest 'bodies of nearly 1 MB, four at a time: memory is used again' => sub {
    my $text = 'Please go through the "notes" below, line by line. ' x 40;
    my $turns = [map { { role => $_ % 2 ? 'assistant' : 'user', content => $text } } 1 .. 400];

    for my $model (qw(translated small)) {
        my $body = encode_json_o({ model => $model, max_tokens => 9, messages => $turns });
        my $send = sub {
            my ($rounds) = @_;
            for (1 .. $rounds) {
                my @sent = map { LLM::Stream->open(port => $t->port, body => $body,
                    path => '/v1/chat/completions', timeout => slow(20),
                    headers => ['Content-Type' => 'application/json']) } 1 .. 4;
                $_->status == 200 or die "$model: " . $_->status . "\n" for @sent;
                $_->close for @sent;
            }
        };
        $p->script(json(200, $model eq 'small' ? chat_answer() : messages_answer()));
        $send->(3);
        my $before = page_faults($worker);
        $send->(10);
        my $each = (page_faults($worker) - $before) / 40;
        SKIP: {
            skip 'a sanitizer has its own ways with memory', 1 if is_sanitized();
            cmp_ok($each, '<', 60, "$model: $each page faults for each body of 200 pages");
        }
    }
};

# What is long is sent from where the client's body lies, what stands around it from elsewhere.
subtest 'long texts of a translated body arrive whole, in every attempt' => sub {
    my $long = sub { join '', map { "$_[0]: line $_ of \"many\"\n" } 1 .. $_[1] };
    my $picture = 'iVBORw0K' x 50_000;
    my $cut = substr $picture, 0, 40_000;
    my $chat = {
        model => 'twice', max_tokens => 9,
        messages => [
            { role => 'system', content => $long->('system', 3_000) },
            { role => 'user', content => [{ type => 'text', text => $long->('user', 5_000) },
                { type => 'image_url', image_url => { url => "data:image/png;base64,$picture" } },
                { type => 'image_url', image_url => { url => "data:image/png;base64,$cut" } }] },
            { role => 'assistant', content => 'short', tool_calls => [{ id => 'call_1',
                type => 'function', function => { name => 'look', arguments => '{"a":1}' } }] },
            { role => 'tool', tool_call_id => 'call_1', content => $long->('result', 4_000) },
            { role => 'user', content => 'go on' },
        ],
        tools => [{ type => 'function', function => { name => 'look',
            parameters => { type => 'object' } } }],
    };
    my $image = sub { return { type => 'image', source => { type => 'base64',
        media_type => 'image/png', data => $_[0] } } };
    my $system = $long->('system', 3_000);
    my $messages = [
        { role => 'user', content => [{ type => 'text', text => $long->('user', 5_000) },
            $image->($picture), $image->($cut)] },
        { role => 'assistant', content => [{ type => 'text', text => 'short' },
            { type => 'tool_use', id => 'call_1', name => 'look', input => { a => 1 } }] },
        { role => 'user', content => [{ type => 'tool_result', tool_use_id => 'call_1',
            content => $long->('result', 4_000) }, { type => 'text', text => 'go on' }] },
    ];

    for my $model (qw(twice given)) {
        $p->clear;
        $p->script(json(500, { error => 'not now' }), json(200, messages_answer()));
        is($t->post('/v1/chat/completions', { %$chat, model => $model })->{status}, 200, $model);
        my @asked = $p->requests;
        is(scalar @asked, 2, 'two attempts');
        for my $q (@asked) {
            ok($q->{json}, 'valid JSON') or next;
            ok($q->{json}{system} eq $system, 'system');
            is($q->{json}{top_k}, $model eq 'given' ? 5 : undef, 'parameter of the provider');
            is(encode_json_c($q->{json}{messages}) eq encode_json_c($messages), 1, 'messages');
        }
    }
};

subtest 'case 61: small requests beside large ones' => sub {
    $p->script(json(200, chat_answer()));
    is($t->post('/v1/messages', $large)->{status}, 200, 'a large one by itself');
    my @alone = small_requests(sub { $_[0] >= 200 });
    my $before = $t->worker_rss($worker);

    my @writers = map { start_writer($t->port) } 1 .. $writers;
    my $until = time + 3;
    my @beside = small_requests(sub { $_[0] >= 100 && time > $until });
    close $_->{stop} for @writers;
    my ($done, $bad) = (0, 0);
    for my $w (@writers) {
        IO::Select->new($w->{read})->can_read(slow(60)) or kill 'KILL', $w->{pid};
        my $line = readline $w->{read};
        my ($d, $b) = ($line // '0 1') =~ /(\d+) (\d+)/;
        $done += $d;
        $bad += $b;
        waitpid $w->{pid}, 0;
    }
    cmp_ok($done, '>=', $writers, "$done large requests were answered meanwhile");
    is($bad, 0, 'none failed');
    my ($p50, $p99, $worst) = map { $beside[$_ * $#beside] } 0.5, 0.99, 1;
    note(sprintf '%d small requests: p50 %.2f ms, p99 %.2f ms, worst %.2f ms; alone p50 %.2f ms',
        scalar @beside, map { 1000 * $_ } $p50, $p99, $worst, $alone[$#alone / 2]);
    # The writers share the processors with what is measured, so this is no benchmark: a worker
    # that was busy with a whole body at a time would show in the median.
    cmp_ok($p50, '<', slow(0.050), 'half of the small ones in 50 ms');
    cmp_ok($p99, '<', slow(0.500), 'and hardly any took half a second');

    $t->wait_for(sub { $t->get('/health')->{json}{in_flight} == 0 }, 10, 'the end of all');
    SKIP: {
        skip 'a sanitizer keeps freed memory', 1 if is_sanitized();
        my $grown = $t->worker_rss($worker) - $before;
        cmp_ok($grown, '<', 30_000, "the memory of $writers bodies is given back: $grown kB kept");
    }
};

$t->done;
