# What becomes of every other request that a shutdown ends: those whose clients read nothing, bodies
# that are forwarded unread, and those that have no answer yet. A cut never looks like a whole
# answer, each request has one line in the access log, and what it held is given back.

use strict;
use warnings;
use LLM::Test;
use LLM::Json qw(try_json);
use LLM::Limits;
use LLM::Port;
use LLM::Provider;
use LLM::Redis;

my ($t, $p);
my $text = 'x' x 60_000;
my @half = (wait_for_release => 1);

sub chunk {
    my ($content) = @_;

    return { id => 'c', object => 'chat.completion.chunk', created => 1, model => 'm',
        choices => [{ index => 0, delta => { content => $content }, finish_reason => undef }] };
}

sub question { return { model => 'm', stream => JSON::PP::true(),
    messages => [{ role => 'user', content => 'hi' }], @_ } }

sub start {
    my ($main, $http) = @_;

    $t = LLM::Test->new(access_log => 1);
    $p = LLM::Provider->new(dir => $t->dir);
    my $url = $p->url;
    $t->main_conf($main);
    $t->http_conf(<<"END");
        $http
        llm_provider chat { dialect openai; base_url $url/v1; }
        llm_model m { deployment chat/m input_cost=1e-5 output_cost=1e-5; }
        log_format ends escape=json '{"n":"\$arg_n","status":\$status,"outcome":"\$llm_outcome",'
            '"error":"\$llm_error","cost":\$llm_cost}';
        server {
            listen 127.0.0.1:%%PORT%%;
            listen 127.0.0.1:%%PORT:h2%% http2;
            access_log logs/ends.log ends buffer=64k;
            llm_limit \$http_x_who max_parallel_requests=100 tpm=1000000000;
            location / { llm_pass models; }
            location /own/ { llm_pass chat; }
            location = /in_flight { access_log off; return 200 \$llm_in_flight; }
            location = /writing { access_log off; return 200 \$connections_writing; }
            location = /metrics { access_log off; llm_metrics; }
            location /stock/ { access_log logs/stock.log ends; proxy_pass $url; }
        }
END
    $t->start;
    $p->on(qr{ /v1/whole\b} => answer(body => $text, cut_after => 40_000, stall => 1));
    $p->on(qr{ /v1/chunks\b} => answer(body => $text, cut_after => 40_000, stall => 1, chunked => 1));
    for my $end ("\n\n", "\r\n\r\n", "\r\r", "\n", '') {
        my $name = join '', map { sprintf '%02x', ord } split //, $end;
        $p->on(qr{ /v1/events$name\?} => raw_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
            . "Content-Type: text/event-stream\r\n\r\n" . sprintf("%x\r\n", 7 + length $end)
            . "data: 1$end\r\n", 'stall'));
    }
    $p->on({ body => qr/"user":"waits"/ } => silent());
    # More than a socket takes, as one event or as many.
    $p->on({ body => qr/"user":"floods"/ } => sse(map { chunk('x' x 10_000_000) } 1 .. 3));
    $p->on({ body => qr/"user":"drips"/ } => sse(map { chunk($text) } 1 .. 300));
    $p->on({ body => qr/"user":"large"/ } => json(200, chat_answer(text => 'x' x 12_000_000)));
    $p->on(qr{ /stock/} => silent());
    return;
}

my @who = ('X-Who', 'me', 'Content-Type', 'application/json');

# name => [what is asked, what its client sees in the end, status, outcome]. A client of HTTP/2 asks
# the same on a connection of its own.
my %is_cut = (what => 'cut', status => 200, outcome => 'cut');
my %is_told = (%is_cut, what => 'told');
my %is_refused = (what => 'refused', status => 503, outcome => 'refused');
my @cases = (
    { n => 'deaf', ask => question(user => 'floods'), deaf => 1, %is_cut },
    { n => 'deaf_old', ask => question(user => 'floods'), deaf => 1, http10 => 1, %is_cut },
    { n => 'whole_deaf', ask => question(user => 'large', stream => JSON::PP::false()), deaf => 1,
        %is_cut, outcome => 'ok' },
    { n => 'length', path => '/own/v1/whole', %is_cut },
    { n => 'chunks', path => '/own/v1/chunks', %is_cut },
    { n => 'chunks_old', path => '/own/v1/chunks', http10 => 1, %is_cut },
    (map { { n => "events$_", path => "/own/v1/events$_", %is_told } } '0a0a', '0d0a0d0a', '0d0d'),
    (map { { n => "half$_", path => "/own/v1/events$_", %is_cut } } '', '0a'),
    { n => 'waits', ask => question(user => 'waits'), %is_refused },
    { n => 'body', ask => question(), part => 20, %is_refused },
    { n => 'body_own', path => '/own/v1/whole', part => 20, %is_refused },
    { n => 'body_messages', ask => question(), path => '/v1/messages', part => 20, %is_refused,
        status => 529 },
);

sub ask {
    my ($case, $is_h2) = @_;
    my $path = ($case->{path} || '/v1/chat/completions') . "?n=$case->{n}" . ($is_h2 ? '_h2' : '');
    my $body = LLM::Json::encode_json_o($case->{ask} || question());

    if ($is_h2) {
        my $h2 = $t->h2(port => 'h2', auto_window => !$case->{deaf});
        my $id = $h2->open(method => 'POST', path => $path, headers => \@who,
            body => substr($body, 0, $case->{part} || length $body), end => !$case->{part});
        return { h2 => $h2, id => $id };
    }
    my $raw = LLM::Http::build_request(method => 'POST', path => $path, headers => \@who,
        body => $body, http10 => $case->{http10});
    $raw = substr $raw, 0, length($raw) - length($body) + $case->{part} if $case->{part};
    return { s => $t->stream('', undef, raw => $raw, $case->{deaf} ? (rcvbuf => 4096) : ()) };
}

sub writing { return $t->get('/writing')->{body} - 1 }

# Bytes that clients have not taken.
sub held { return $t->get('/metrics')->{body} =~ /^llm_stream_buffer_bytes (\d+)/m ? $1 : 0 }

# Until all have what they will get before the end.
sub open_all {
    my @asked;

    for my $case (@cases) {
        for my $is_h2 (0, 1) {
            next if $is_h2 && $case->{http10};
            my $held = held();
            my $one = { %$case, %{ask($case, $is_h2)}, name => "$case->{n}" . ($is_h2 ? '_h2' : '') };
            push @asked, $one;
            next if $case->{what} eq 'refused';
            $is_h2 ? $one->{h2}->status($one->{id}) : $one->{s}->status;
            if ($case->{deaf}) {
                # Whole answers are nginx's by now.
                $t->wait_for(sub { held() > $held }, 5, 'a full socket') if $one->{outcome} eq 'cut';
                next;
            }
            my $size = $case->{path} =~ /events/ ? 7 : 40_000;
            $is_h2 ? $one->{h2}->wait($one->{id}, sub { length $_[0]{body} >= $size })
                : $one->{s}->_until(sub { length $one->{s}->body >= $size });
        }
    }
    $t->wait_for(sub { writing() == @asked }, 10, 'all of them');
    return @asked;
}

sub check {
    my ($one) = @_;
    my ($name, $what) = @$one{qw(name what)};
    my ($is_whole, $is_reset, $status, $body);

    if ($one->{h2}) {
        my $r = $one->{h2}->response($one->{id});
        ($is_whole, $status, $body) = ($r->{ended}, @$r{qw(status body)});
        # One that nginx was sending already ends with its connection.
        ok(defined $r->{reset}, "$name: the stream is reset")
            if $what eq 'cut' && $one->{outcome} eq 'cut';
        is_deeply([$one->{h2}->errors], [], "$name: nothing broke the protocol");
    } else {
        my $s = $one->{s};
        ($body, $is_whole, $status) = ($s->read_body, $s->clean_end, $s->status);
        # Without a length the end of the connection is all that there is.
        $is_whole = $s->error =~ /reset/i ? 0 : 1 if $one->{http10};
    }
    ok($what eq 'cut' ? !$is_whole : $is_whole, "$name: " . ($what eq 'cut' ? 'looks cut' : 'whole'));
    is($status, $one->{status}, "$name: status");
    like($body, qr/"message":"the gateway is shutting down"/, "$name: says why") if $what ne 'cut';
    ok($body !~ /shutting down|\[DONE\]/, "$name: no end of a stream") if $what eq 'cut';
    if ($what eq 'told') {
        like($body, qr/\Adata: 1(\n\n|\r\n\r\n|\r\r)data: \{"error".*\n\n\z/s, "$name: an event of its own");
    }
    return;
}

sub check_log {
    my @asked = @_;
    my %lines;
    my $wanted = join ' ', sort map { $_->{name} } @asked;

    $t->wait_for(sub {
        %lines = ();
        push @{$lines{$_->{n}}}, $_ for map { try_json($_) || {} } split /\n/, $t->slurp('logs/ends.log');
        return keys %lines >= @asked;
    }, 5, 'the log');
    is(join(' ', sort map { ($_) x @{$lines{$_}} } keys %lines), $wanted, 'one line for each');
    for my $one (@asked) {
        my $line = $lines{$one->{name}}[0] || {};
        is("$line->{status} $line->{outcome}", "$one->{status} $one->{outcome}", "$one->{name}: logged");
        is($line->{error}, { cut => 'stream_truncated', refused => 'overloaded', ok => '' }
            ->{$one->{outcome}}, "$one->{name}: why") ;
    }
    my %cost = map { $_ => $lines{$_}[0]{cost} } keys %lines;
    is(join(' ', grep { $cost{$_} > 0 } sort keys %cost), join(' ', grep { /deaf/ } sort keys %cost),
        'what was delivered has a cost');
    my $sum = 0;
    $sum += $_ for values %cost;
    return $sum;
}

LLM::Limits->each_store(sub {
    my ($store) = @_;

    for my $way ('stop', 'worker_shutdown_timeout') {
        subtest $way => sub {
            start($way eq 'stop' ? '' : 'worker_shutdown_timeout 300ms;', $store->conf);
            my @asked = open_all();
            my @workers = $t->worker_pids;
            my $asked = $p->request_count + 1;
            my $stock = $t->stream('/stock/?n=stock', {});
            $p->wait_requests($asked);
            $way eq 'stop' ? $t->signal('TERM') : $t->reload;
            ok($t->wait_for(sub { !grep { LLM::Port::alive($_) } @workers }, 5, 'the end'), 'it ends');
            check($_) for @asked;
            my $sum = check_log(@asked);
            ok($store->wait_settled, 'nothing is held of the limits');
            if ($way eq 'stop') {
                is($t->slurp('logs/stock.log'), '', 'other locations are logged as ever');
            } else {
                is($t->get('/in_flight')->{body}, 0, 'nothing is in flight');
                my $metrics = $t->get('/metrics')->{body};
                my $booked = 0;
                $booked += $_ for $metrics =~ /^llm_cost_dollars_total\S* (\S+)/mg;
                cmp_ok(abs($booked - $sum), '<', 0.01 * $sum, 'what was booked is what is logged')
                    or diag "$booked $sum";
                is_deeply([$metrics =~ /^llm_deployment_attempts_total\{[^}]*error_type="(\w+)/mg],
                    [], 'no deployment is blamed');
                ok($t->wait_for(sub { $t->slurp('logs/stock.log') =~ /"n":"stock"/ }, 5, 'it'),
                    'other locations are logged as ever');
            }
            is($p->request_count, $asked, 'nobody was asked instead');
            $t->stop;
            $t->cleanup;
        };
    }
});

# The worker sleeps meanwhile, so it does not know yet that its client has room.
subtest 'who has read on is told' => sub {
    start('', '');
    my $one = ask({ n => 'late', ask => question(user => 'drips'), deaf => 1 });
    my ($worker) = $t->worker_pids;
    $one->{s}->status;
    $t->wait_for(sub { held() }, 5, 'a full socket');
    kill 'STOP', $worker;
    my $size = -1;
    while ($size < length $one->{s}->body) {
        $size = length $one->{s}->body;
        $one->{s}->_until(sub { 0 }, 0.2);
    }
    $t->signal('TERM');
    kill 'CONT', $worker;
    my @events = $one->{s}->all_events;
    like($events[-1]{data}, qr/shutting down/, 'an error event');
    ok($one->{s}->clean_end, 'a clean end');
    $t->stop;
    $t->cleanup;
};

subtest 'who waits for Redis' => sub {
    for my $way ('TERM', 'worker_shutdown_timeout') {
        my $redis = LLM::Redis->new;
        start($way eq 'TERM' ? '' : 'worker_shutdown_timeout 300ms;',
            "llm_redis ${\$redis->url} timeout=60s on_outage=deny;\n");
        $p->on({ body => qr/"user":"quick"/ } => json(200, chat_answer()));
        is($t->post('/v1/chat/completions?n=first', question(user => 'quick', stream => JSON::PP::false()),
            headers => \@who)->{status}, 200, 'Redis answers');
        $redis->pause;
        my $before = $p->request_count;
        my @asked = map { ask({ ask => question(), n => "r$_" }, $_ % 2) } 1 .. 4;
        $t->wait_for(sub { writing() == 4 }, 5, 'four to wait');
        my @workers = $t->worker_pids;
        # `nginx -s stop` with a worker behind it: who else could take back what Redis grants later?
        $way eq 'TERM' ? $t->kill_worker('TERM') : $t->reload;
        for my $one (@asked) {
            my ($status, $body) = $one->{s} ? ($one->{s}->status, $one->{s}->read_body)
                : @{$one->{h2}->response($one->{id})}{qw(status body)};
            is($status, 503, "$way: status");
            like($body, qr/"message":"the gateway is shutting down"/, "$way: says why");
        }
        $redis->resume;
        ok($t->wait_for(sub { !grep { LLM::Port::alive($_) } @workers }, 5, 'the end'), "$way: it ends");
        ok($t->wait_for(sub { !$redis->held }, 5, 'Redis'), "$way: what it granted was given back");
        is($p->request_count, $before, "$way: nobody was asked");
        my @lines = grep { /"n":"r\d/ } split /\n/, $t->slurp('logs/ends.log');
        is(scalar(grep { /"status":503,"outcome":"refused"/ } @lines), 4, "$way: logged as refused");
        is(scalar @lines, 4, "$way: once");
        $t->stop;
        $t->cleanup;
        $redis->stop;
    }
};

done_testing();
