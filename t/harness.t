# The harness itself, against a plain nginx that proxies to the scripted provider.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::TLS;
use Test2::API qw(intercept);
use Time::HiRes qw(time);

my $t = LLM::Test->new(workers => 2, env => { HARNESS_WORD => 'quo"ted \\ word' });
my $p = LLM::Provider->new(dir => $t->dir);
my $secure = LLM::Provider->new(dir => $t->dir, tls => { names => ['api.test', 'localhost'] });
my $pair = LLM::TLS->new(dir => $t->dir)->server('localhost', '127.0.0.1');
my $dead = LLM::Provider->dead_port;

my $conf = <<"END";
    upstream provider { server 127.0.0.1:${\$p->port} max_fails=0; keepalive 16; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    proxy_next_upstream off;
    client_max_body_size 20m;
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT:tls%% ssl http2;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        ssl_certificate $pair->{cert};
        ssl_certificate_key $pair->{key};
        location / { proxy_pass http://provider; }
        location /whole/ { proxy_pass http://provider/; proxy_buffering on; }
        location /secure/ {
            proxy_pass https://127.0.0.1:${\$secure->port}/;
            proxy_ssl_session_reuse off;   # nginx leaks the last session when a worker ends
            proxy_ssl_name api.test;
            proxy_ssl_server_name on;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate ${\$secure->ca->file};
        }
        location /dead/ { proxy_pass http://127.0.0.1:$dead; }
        location = /echo { return 200 "\$http_x_echo"; }
        location = /version { return 200 "VERSION"; }
    }
END
(my $old = $conf) =~ s/VERSION/one/;
(my $new = $conf) =~ s/VERSION/two/;
$t->http_conf($old);
$t->start;

subtest 'whole answers' => sub {
    $p->script(json(200, chat_answer(text => 'hi'), headers => { 'X-A' => ['1', '2'] }));
    my $r = $t->post('/v1/chat/completions', { model => 'm' }, headers => { 'X-B' => 'b' });
    is("$r->{status} $r->{reason}", '200 OK', 'status line');
    is($r->{json}{choices}[0]{message}{content}, 'hi', 'JSON is decoded');
    is($r->{headers}{'x-a'}, '1, 2', 'repeated headers are joined');
    like($r->{raw_headers}, qr/^X-A: 1\r\nX-A: 2\r$/m, 'raw headers');
    like($r->{body}, qr/\A\{"id":"chatcmpl-.*?","object":"chat.completion","created":\d+,"model"/,
        'members in the order of the provider');
    ok($r->{clean} && $r->{time} > 0 && $r->{time} < 5, 'complete, in a time');
    my $q = $p->last_request;
    is("$q->{method} $q->{path}", 'POST /v1/chat/completions', 'request line recorded');
    is_deeply($q->{json}, { model => 'm' }, 'request body recorded');
    is($q->{headers}{'x-b'}, 'b', 'request header recorded');
    like($q->{raw_head}, qr/\APOST .*\r\n\r\n\z/s, 'raw head recorded');

    for my $how ('chunked', 'content_length', 'close', 'http10') {
        $p->script(answer(body => 'plain text', headers => { 'Content-Type' => 'text/plain' },
            $how => 1, bytewise => 1));
        my $r = $t->post("/whole/$how", '{}');
        is($r->{body}, 'plain text', "provider: $how");
        is($r->{json}, undef, 'not JSON');
    }
    my $body = join '', map { chr($_ % 256) } 1 .. 300_000;
    $p->script(answer(body => $body, split => [1, 2, 1000]));
    is($t->request('GET', '/big')->{body}, $body, 'large binary answer');
    is($t->post('/big', $body, chunked => 7000)->{status}, 200, 'large chunked request');
    ok($p->last_request->{body} eq $body, 'arrived whole');
    my $r10 = $t->request('GET', '/ten', http10 => 1);
    ok($r10->{body} eq $body && $r10->{clean}, 'HTTP/1.0 client');

    my $a = $t->get('/version', keep => 1);
    my $b = $t->get('/version', conn => $a->{conn});
    is("$a->{body} $b->{body}", 'one one', 'two requests on one connection');
    $p->script(json(200, {}));
    is($t->get('/', tls => 1, port => 'tls', ca => $pair->{ca})->{status}, 200, 'TLS client');
    is($t->get('/', port => $dead)->{status}, 0, 'refused');
    is($t->get('/dead/')->{status}, 502, 'a dead provider');
    is($t->request(undef, undef, raw => "nonsense\r\n\r\n")->{status}, 400, 'raw bytes');
};

subtest 'scripts' => sub {
    $p->clear;
    $p->script([json(503, { n => 1 }), json(200, { n => 2 })]);
    $p->on('/only' => json(200, { n => 3 }));
    $p->on(qr{^GET /re/\d+$} => [json(200, { n => 4 }), json(200, { n => 5 })]);
    $p->on({ body => qr/"model":"x"/ } => json(200, { n => 6 }));
    is(join(' ', map { $t->post(@$_)->{json}{n} } ['/a'], ['/only'], ['/b'], ['/c'],
        ['/d', { model => 'x' }]), '1 3 2 2 6', 'in turn, by path, by body');
    is(join(' ', map { $t->get('/re/7')->{json}{n} } 1 .. 3), '4 5 5', 'by pattern');
    is($p->request_count, 8, 'all counted');
    $p->on($_) for '/only', qr{^GET /re/\d+$}, { body => qr/"model":"x"/ };
    is($t->get('/only')->{json}{n}, 2, 'rule removed');
};

subtest 'streams' => sub {
    $p->script(sse('a', raw(": note\n\n"), raw("data: b\r\r"), "caf\x{e9}\x{2615}"));
    is($t->stream('/', {})->read_body,
        "data: a\n\n: note\n\ndata: b\r\rdata: caf\xc3\xa9\xe2\x98\x95\n\n", 'raw pieces');
    my @chat = chat_stream(text => "caf\x{e9} au lait, \x{2615}", reasoning => 'hm, well',
        tools => [{ name => 'f', args => { x => 1 } }, { name => 'g' }]);
    my @msg = messages_stream(text => 'one two', reasoning => 'so', signature => 'sig',
        tools => [{ name => 'f', args => ['{"a"', ':1}'] }]);

    for my $o ({}, { bytewise => 1 }, { bytewise => 'all' }, { content_length => 1 },
        { close => 1 }, { http10 => 1 }, { split => [3, 50, 51] })
    {
        my $name = join ' ', %$o;
        $p->script(sse(@chat, %$o), sse(@msg, %$o));
        my @events = $t->stream('/v1/chat/completions', { stream => 1 })->all_events;
        is_deeply([LLM::Stream::check_chat(\@events)], [], "chat grammar $name");
        my $all = LLM::Stream::assemble_chat(\@events);
        is($all->{text}, "caf\x{e9} au lait, \x{2615}", 'text');
        is($all->{reasoning}, 'hm, well', 'reasoning');
        is_deeply([map { "$_->{name}$_->{args}" } @{$all->{tools}}], ['f{"x":1}', 'g{}'],
            'calls');
        is("$all->{finish} $all->{usage}{total_tokens} $all->{done}", 'tool_calls 30 1', 'end');
        @events = $t->stream('/v1/messages', { stream => 1 })->all_events;
        is_deeply([LLM::Stream::check_messages(\@events)], [], "messages grammar $name");
        $all = LLM::Stream::assemble_messages(\@events);
        is("$all->{reasoning}|$all->{signature}|$all->{text}|$all->{finish}",
            'so|sig|one two|tool_use', 'message');
        is($all->{tools}[0]{args}, '{"a":1}', 'arguments');
        is($all->{usage}{output_tokens}, 9, 'usage');
    }
};

subtest 'events come while the provider waits' => sub {
    $p->script(sse('a', ['x', 'b'], hold(), 'c', wait_for_release => 1));
    my $s = $t->stream('/', {});
    is($s->status, 200, 'status');
    like($s->headers->{'content-type'}, qr/event-stream/, 'headers');
    my $e = $s->next_event;
    is($e->{data}, 'a', 'first event');
    ok(abs($e->{at} - time) < 5, 'its time');
    ok(!$s->next_event(0.05) && $s->timed_out && !$s->eof, 'nothing more, and not the end');
    is($p->release, 1, 'released');
    $e = $s->next_event;
    is("$e->{event} $e->{data} $e->{raw}", "x b event: x\ndata: b\n\n", 'second event');
    ok(!$s->next_event(0.05) && $s->timed_out, 'held again');
    $p->release;
    is($s->next_event->{data}, 'c', 'third');
    is($s->next_event, undef, 'end');
    ok($s->eof && $s->clean_end && !$s->timed_out, 'a clean one');
    is($s->body, "data: a\n\nevent: x\ndata: b\n\ndata: c\n\n", 'all bytes');
    my $said = intercept { $p->release(timeout => 0.05) };
    ok(grep({ $_->causes_fail } @$said), 'a release of nothing fails the test');
};

subtest 'broken streams' => sub {
    for my $o ({ cut_after => 2 }, { cut_after_bytes => 20 }, { cut_after => 2, reset => 1 },
        { cut_after => 2, content_length => 1 }, { cut_after => 2, bytewise => 1 })
    {
        $p->script(sse('one', 'two', 'three', %$o));
        my $s = $t->stream('/', {});
        my @events = $s->all_events;
        ok($s->eof && !$s->clean_end, 'cut is seen: ' . join ' ', map { "$_=$o->{$_}" }
            sort keys %$o);
        is(scalar @events, $o->{cut_after_bytes} ? 1 : 2, 'events') unless $o->{reset};
        is($s->rest, 'data: two', 'unfinished event') if $o->{cut_after_bytes};
    }
    $p->script(sse('one', 'two', cut_after => 1, stall => 1));
    my $s = $t->stream('/', {});
    is($s->next_event->{data}, 'one', 'before the stall');
    ok(!$s->next_event(0.05) && $s->timed_out, 'stalled');
    my $id = $p->last_request->{conn};
    ok(!$p->wait_closed($id, 0.05), 'still open');
    $s->reset;
    ok($p->wait_closed($id), 'client reset closes the connection to the provider');
    my ($c) = grep { $_->{id} == $id } $p->connections;
    ok($c->{closed_by_peer} && $c->{closed} >= $c->{opened} && $c->{sent}, 'as recorded');
};

subtest 'connections' => sub {
    for my $bad (accept_then_close(), accept_then_reset(), raw_answer('HTTP/1.1 200 OK', rst())) {
        $p->kick;
        $p->script([$bad, json(200, {})]);
        is($t->get('/')->{status}, 502, 'broken connection');
        is($t->get('/')->{status}, 200, 'the next is well');
    }
    $p->script('silent');
    my $s = $t->stream('/silent', {});
    ok($p->wait_requests($p->request_count), 'counted');
    ok(!$s->status(0.05) && $s->timed_out, 'silent');
    $s->close;

    $p->script(json(200, { n => 1 }, close_after => 'release'));
    is($t->get('/')->{json}{n}, 1, 'answered');
    my $id = $p->last_request->{conn};
    ok(!(grep { $_->{id} == $id && $_->{closed} } $p->connections), 'idle and open');
    $p->release;
    ok($p->wait_closed($id), 'closed afterwards');

    $_->{closed} or $p->kick(conn => $_->{id}) for $p->connections;
    ok($p->wait_closed, 'all closed');
    $p->clear;
    $p->script([json(200, {}, stale => 1), json(200, {})]);
    my $one = LLM::Stream->open(port => $p->port, path => '/x', body => '');
    is($one->read_body, '{}', 'first answer of a connection that goes stale');
    my $two = LLM::Stream->open(conn => $one, path => '/y', body => '');
    is($two->status, 0, 'then it resets with nothing answered');
    is($p->request_count, 1, 'and nothing read');

    $p->script(json(413, {}, early => 1));
    my $up = LLM::Stream->open(port => $p->port, raw => "POST / HTTP/1.1\r\nContent-Length: 9"
        . "\r\n\r\n1234");
    is($up->status, 413, 'answered before the request is complete');
    is($p->last_request->{complete}, 0, 'recorded as incomplete');
    $up->send('56789');
    $t->wait_for(sub { $p->last_request->{complete} }, 5, 'the rest of the request');
    $p->down;
    is($t->get('/', port => $p->port)->{status}, 0, 'down: refused');
    $p->up;
    $p->script(json(200, {}));
    is($t->get('/', port => $p->port)->{status}, 200, 'up again');
};

subtest 'TLS provider' => sub {
    $secure->script(json(200, { safe => JSON::PP::true() }), sse('a', 'b', cut_after => 1));
    ok($t->get('/secure/x')->{json}{safe}, 'answer over TLS');
    is($secure->last_request->{tls_sni}, 'api.test', 'server name recorded');
    my $s = $t->stream('/secure/x', {});
    is($s->next_event->{data}, 'a', 'stream over TLS');
    ok(!$s->next_event && !$s->clean_end, 'cut over TLS');
    $secure->script(sse(flood('x' x 1000, 3000)));
    is(length $t->post('/secure/x', {})->{body}, 3000 * 1008, 'megabytes over TLS');
};

subtest 'HTTP/2' => sub {
    for my $tls (0, 1) {
        my $h2 = $t->h2(port => $tls ? 'tls' : 'h2c', tls => $tls);
        my $body = 'abc' x 100_000;
        $p->script(json(200, { ok => 1 }, headers => { 'X-Long' => 'v~|<>' x 500 }));
        my $id = $h2->open(path => '/h2', headers => ['x-y' => 'z'], body => $body);
        my $r = $h2->response($id);
        is("$r->{status} $r->{json}{ok} $r->{ended}", '200 1 1', "answer, TLS $tls");
        is($r->{headers}{'x-long'}, 'v~|<>' x 500, 'long header');
        ok($p->last_request->{body} eq $body, 'request body');
        my $echo = join '', map { chr } 32 .. 126, 128 .. 255;
        $r = $h2->response($h2->open(method => 'GET', path => '/echo',
            headers => { 'x-echo' => "a${echo}b" }));
        is($r->{body}, "a${echo}b", 'header bytes');
        $p->script(sse('one', 'two', wait_for_release => 1));
        my @ids = map { $h2->open(path => "/$_", body => '{}', content_length => 1) } 1 .. 3;
        is($h2->next_event($_)->{data}, 'one', "event on stream $_") for @ids;
        $h2->rst($ids[1]);
        ok($h2->ping, 'ping');
        my ($gone) = grep { $_->{path} eq '/2' } $p->requests;
        ok($p->wait_closed($gone), 'reset reaches the provider');
        $p->release;
        is($h2->response($ids[$_])->{body}, "data: one\n\ndata: two\n\n", 'ended') for 0, 2;
        is_deeply([$h2->errors], [], 'no protocol error');
        $h2->close;
    }
    my $h2 = $t->h2(port => 'h2c', window => 100, auto_window => 0);
    $p->script(sse('x' x 1000));
    my $id = $h2->open(body => '{}');
    ok(!$h2->wait($id, sub { length $_[0]{body} > 100 }, 0.05), 'the closed window holds');
    $h2->window($id, 5000);
    is(length $h2->response($id)->{body}, 1008, 'opened by hand');
    $p->script(sse('one', wait_for_release => 1));
    $id = $h2->open(path => '/drop', body => '{}', end => 0);
    ok($h2->send($id, '{}', 1), 'body in two parts');
    is($h2->wait($id, sub { $_[0]{status} }) && $h2->status($id), 200, 'answered');
    $h2->drop;
    ok($p->wait_closed($p->last_request), 'a dropped connection reaches the provider');
};

subtest 'many connections' => sub {
    $p->clear;
    $p->script(sse('a', 'b', wait_for_release => 1));
    my @streams = map { $t->stream('/', {}) } 1 .. 300;
    is(scalar(grep { ($_->next_event || {})->{data} eq 'a' } @streams), 300, '300 at once');
    ok($p->wait_held(300), 'all held');
    is($p->release, 300, 'released');
    is(scalar(grep { $_->all_events == 1 && $_->clean_end } @streams), 300, 'all complete');
};

subtest 'nginx' => sub {
    my %before = map { $_ => 1 } $t->worker_pids;
    is(scalar keys %before, 2, 'two workers');
    like($t->slurp('nginx.conf'), qr/^env "HARNESS_WORD=quo\\"ted \\\\ word";$/m, 'env line');
    cmp_ok($t->worker_rss((keys %before)[0]), '>', 500, 'memory of a worker in kB');
    $p->script(sse('a', 'b', wait_for_release => 1));
    my $s = $t->stream('/', {});
    $s->next_event;
    $t->http_conf($new);
    ok($t->reload, 'reload');
    ok(!(grep { $before{$_} } $t->worker_pids), 'new workers');
    is($t->get('/version')->{body}, 'two', 'new configuration');
    ok($t->wait_for(sub { scalar(() = $t->worker_pids(all => 1)) == 3 }, 5),
        'one old worker finishes its stream');
    $p->release;
    is($s->next_event->{data}, 'b', 'which was not cut');
    my ($code, $output) = $t->config_test('server { listen 127.0.0.1:%%PORT%%; nonsense; }');
    is($code, 1, 'nginx -t refuses');
    like($output, qr/unknown directive "nonsense" in .*:\d+/, 'and says why');
    is(($t->config_test($new))[0], 0, 'nginx -t accepts');
    $t->http_conf('nonsense;');
    ok(!$t->reload(may_fail => 1), 'reload of nonsense');
    $t->expect_log(qr/\[emerg\] .*unknown directive "nonsense"/);
    my $pid = $t->kill_worker('KILL');
    $t->expect_log(qr/worker process \d+ exited on signal 9/);
    $t->wait_for(sub { $t->log_text =~ /worker process $pid exited/ }, 5, 'death of a worker');
    $t->wait_for(sub { $t->worker_pids == 2 }, 5, 'a new worker');
    $t->log_like(qr/exited on signal 9/);
    $t->log_unlike(qr/no such line/);
};

subtest 'upgrade of the binary' => sub {
    my $d = LLM::Test->new(daemon => 1);
    $d->http_conf("server { listen 127.0.0.1:%%PORT%%; location / { proxy_buffering off;"
        . 'proxy_pass ' . $p->url . '; } }');
    $d->start;
    $p->script(sse('a', 'b', wait_for_release => 1));
    my $s = $d->stream('/', {});
    is($s->next_event->{data}, 'a', 'a stream on the old nginx');
    my ($master, $worker) = ($d->{pid}, $d->worker_pids);
    is($d->upgrade_binary(streams => 1), '', 'a new nginx takes over');
    isnt($d->{pid}, $master, 'another process');
    ok(LLM::Port::alive($worker), 'the old worker finishes its stream');
    $p->release;
    is($s->next_event->{data}, 'b', 'which goes on');
    $s->close;                          # nginx would linger for it
    $p->script(json(200, {}));
    is($d->get('/')->{status}, 200, 'the new one serves');
    $d->wait_for(sub { !grep { LLM::Port::alive($_) } $master, $worker }, 5, 'end of the old');
    $d->stop;
};

subtest 'event splitter' => sub {
    my $text = "\xEF\xBB\xBFdata: a\r\n\r\n: hello\n\nevent: e\rid: 7\rdata:b\rdata: c\r\r"
        . "event: lost\n\ndata\n\ndata: {\"x\":1}\n\ndata: unfinished\n";
    my $show = sub { join ' ', map { defined $_->{comment} ? ":$_->{comment}"
        : ($_->{event} // '') . '=' . $_->{data} =~ s/\n/+/gr . ($_->{json} ? '!' : '') } @_ };
    my $want = '=a :hello e=b+c = ={"x":1}!';
    my $sse = LLM::Sse->new;
    is($show->($sse->feed($text, 1)), $want, 'in one piece');
    is($sse->rest, "data: unfinished\n", 'rest');
    my $bad = grep { my $one = LLM::Sse->new; $show->($one->feed(substr($text, 0, $_), 1),
        $one->feed(substr($text, $_), 2)) ne $want } 1 .. length($text) - 1;
    is($bad, 0, 'cut anywhere');
    $sse = LLM::Sse->new;
    is($show->(map { $sse->feed($_, 1) } split //, $text), $want, 'byte by byte');
};

subtest 'grammars find faults' => sub {
    my $events = sub { my $sse = LLM::Sse->new; my @e = map { $sse->feed($_, 0) }
        map { LLM::Provider::Script::sse_bytes($_) } @_; return \@e };
    my $chat = sub { join '; ', LLM::Stream::check_chat($events->(@_)) };
    my $msg = sub { join '; ', LLM::Stream::check_messages($events->(@_)) };
    my @c = chat_stream(text => 'a b', tools => [{ name => 'f' }]);
    my @m = messages_stream(text => 'a', tools => [{ name => 'f', args => { a => 1 } }]);

    is($chat->(@c), '', 'good chunks');
    is($chat->(@c[0, 1], chat_error('no')), '', 'an error as the end');
    like($chat->(@c[0 .. $#c - 1]), qr/neither/, 'no [DONE]');
    like($chat->(@c[1 .. $#c]), qr/no role/, 'no role chunk');
    like($chat->(@c[0 .. $#c - 3, $#c]), qr/no finish chunk/, 'no finish');
    like($chat->(@c, $c[1]), qr/after the end/, 'after [DONE]');
    like($chat->(@c[0, 4 .. $#c]), qr/opened without an id/, 'arguments before the call');
    like($chat->(@c[0 .. 5], chat_error('no')), qr/error after a finish/, 'error after finish');
    like($chat->(@c[0 .. 4, 5, 5 .. $#c]), qr/after its finish/, 'two finish chunks');
    is($msg->(@m), '', 'good messages');
    is($msg->(@m[0 .. 3], ['error', messages_error('api_error', 'no')]), '', 'an error');
    like($msg->(@m[0 .. $#m - 1]), qr/neither/, 'no message_stop');
    like($msg->(@m[1 .. $#m]), qr/before message_start/, 'no start');
    like($msg->(@m[0 .. 3, 5 .. $#m]), qr/while block 0 is open/, 'two blocks open');
    like($msg->(@m[0 .. $#m - 2, $#m]), qr/without message_delta/, 'no message_delta');
    like($msg->(@m[0, 2, 1, 3 .. $#m]), qr/\A\z/, 'ping anywhere');
    like($msg->(@m[0, 1, 3 .. 6, 8 .. $#m]), qr/\A\z/, 'fewer deltas');
    like($msg->(@m[0 .. 4], $m[3], @m[5 .. $#m]), qr/not open/, 'a delta too late');
};

# Tests that must fail, and processes that must not outlive their test, run as children.
my $child = 'use LLM::Test; use LLM::Provider; my $t = LLM::Test->new(module => 0);'
    . 'my $p = LLM::Provider->new(dir => $t->dir); $t->http_conf("server {'
    . 'listen 127.0.0.1:%%PORT%%; }"); $t->start; $| = 1;'
    . 'print STDERR join(" ", "PIDS", $t->{pid}, $t->worker_pids, $p->{pid}, $t->{guardian}{pid},'
    . '$t->dir), "\n";';

sub run_child {
    my ($code) = @_;
    my @lib = map { "-I$_" } grep { !ref } @INC;

    my $pid = open my $fh, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $^X, @lib, '-e',
        "$child $code" or die "$^X: $!";
    my $text = do { local $/; <$fh> };
    close $fh;
    return ($? , $text);
}

subtest 'faults of nginx fail the test' => sub {
    my $kill = 'my $pid = $t->kill_worker("KILL"); $t->wait_for(sub { $t->log_text =~'
        . '/process $pid exited/ });';
    my ($status, $text) = run_child("$kill \$t->done;");
    ok($status, 'a killed worker');
    like($text, qr/^not ok \d+ - every worker exited with code 0/m, 'says so');
    ($status, $text) = run_child("$kill \$t->expect_log(qr/signal 9/); \$t->done;");
    is($status, 0, 'unless expected') or diag($text);
    ($status, $text) = run_child('$t->expect_log(qr/signal 9/); $t->done;');
    ok($status, 'expected, but it did not happen');
    my $add = 'open my $f, ">>", $t->dir . "/%s" or die; print $f "%s\n"; close $f; $t->done;';
    for my $case (['error.log', '2026/01/01 00:00:00 [crit] 1#1: x', 'alert, emerg or crit'],
        ['stderr.log', '==1==ERROR: AddressSanitizer: x', 'sanitizer'],
        ['stderr.log', 'x.cpp:1:1: runtime error: x', 'sanitizer'])
    {
        ($status, $text) = run_child(sprintf $add, @$case[0, 1]);
        like($text, qr/^not ok \d+ - .*$case->[2]/m, $case->[1]);
    }
    ($status, $text) = run_child('fail("x"); $t->stop; $t->http_conf("nonsense;"); $t->start;');
    like($text, qr/nginx did not start.*unknown directive "nonsense"/s, 'no start, with the log');
};

# As a worker whose thread writes the state file when it is killed.
subtest 'a process lives as long as its threads' => sub {
    my %number = (x86_64 => 60, aarch64 => 93);  # of exit(), of one thread
    my $exit = $number{(POSIX::uname())[4]} or die 'an unknown machine';
    pipe(my $read, my $write) or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN, '<&', $read or POSIX::_exit(126);
        LLM::Port::close_fds();
        exec $^X, '-Mthreads', '-e', "threads->create(sub { <STDIN> })->detach; syscall $exit, 0";
        POSIX::_exit(127);
    }
    close $read;
    my $state = sub { $t->slurp("/proc/$pid/stat") =~ /\) (\S)/ ? $1 : '' };
    $t->wait_for(sub { $state->() eq 'Z' }, 5, 'its first thread to end');
    ok(LLM::Port::alive($pid), 'it is alive while another one runs');
    close $write;
    ok($t->wait_for(sub { !LLM::Port::alive($pid) }, 5, 'the other one'), 'and dead after it');
    waitpid $pid, 0;
};

subtest 'nothing outlives a test' => sub {
    for my $end ('exit 3;', 'die "x";', 'kill "KILL", $$; sleep 9;') {
        my ($status, $text) = run_child($end);
        my ($list, $dir) = $text =~ /PIDS ([\d ]+) (\S+)/ or return fail("no pids: $text");
        ok($status, "test ends by $end");
        ok($t->wait_for(sub { !grep { LLM::Port::alive($_) } split / /, $list }, 8, 'end of all'),
            'processes gone');
        ok($t->wait_for(sub { !-e $dir }, 8, 'end of the directory'), 'directory gone');
    }
};

$t->done;
