# Connections to providers: kept and used again, for streams too, each for its own endpoint; given
# up when the provider does; several base URLs; and the kinds of connections of clients.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use LLM::TLS;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $other = LLM::Provider->new(dir => $t->dir);
my $tls = LLM::Provider->new(dir => $t->dir, tls => { names => ['a.test', 'b.test'] });
my $dead = LLM::Provider->dead_port;
my ($url, $port) = ($p->url, $tls->port);
my $pair = LLM::TLS->new(dir => $t->dir)->server('localhost');
my $trust = "ssl_trusted_certificate ${\$tls->ca->file}; api_key k;";
my $yes = JSON::PP::true();

$t->http_conf(LLM::Pair::conf($p, models => <<"END", server => <<"MORE"));
    llm_provider none { dialect openai; base_url $url/none; keepalive 0; }
    llm_provider one { dialect openai; base_url $url/one; keepalive 1; }
    llm_provider two-urls {
        dialect openai; base_url $url/first; base_url ${\$other->url}/second;
    }
    llm_provider a { dialect openai; base_url https://127.0.0.1:$port/a; ssl_name a.test; $trust }
    llm_provider b { dialect openai; base_url https://127.0.0.1:$port/b; ssl_name b.test; $trust }
    llm_provider half-dead {
        dialect openai; base_url http://127.0.0.1:$dead/v1; base_url $url/alive;
    }
    llm_provider named { dialect openai; base_url http://localhost:${\$p->port}/named; }
END
        listen 127.0.0.1:%%PORT:tls%% ssl;
        listen 127.0.0.1:%%PORT:h2%% ssl http2;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        ssl_certificate $pair->{cert};
        ssl_certificate_key $pair->{key};
MORE
$t->start;
my @pairs = LLM::Pair->all;

# Forgets former requests and connections, so that the ones to come are counted alone.
sub fresh {
    for my $provider (@_ ? @_ : $p) {
        $provider->kick;
        $provider->wait_closed('all');
        $provider->clear;
    }
    return;
}

sub ask {
    my ($model, %o) = @_;
    my $r = $t->post('/v1/chat/completions', { model => $model,
        messages => [{ role => 'user', content => 'hi' }] }, %o);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($r->{status}, 200, "$model answers") or diag($r->{body});
    return $r;
}

subtest 'one connection for many requests' => sub {
    for my $way ('whole', 'stream', 'closed by length', 'an error', 'in turns') {
        for my $pair (@pairs) {
            fresh();
            my $answer = $way eq 'stream' ? sse($pair->events)
                : $way eq 'an error' ? json(500, $pair->error_body('api_error', 'no'))
                : json(200, $pair->answer, $way eq 'closed by length' ? () : (chunked => 1));
            $p->script($way eq 'in turns' ? [map { ($answer, sse($pair->events)) } 1 .. 5]
                : $answer);
            for my $n (1 .. 8) {
                my $stream = $way eq 'stream' || $way eq 'in turns' && $n % 2 == 0;
                my $s = $pair->stream($t, $stream ? () : (stream => JSON::PP::false()));
                $s->read_body;
                $s->close;
            }
            is($p->request_count, 8, "$way, $pair->{name}: eight requests");
            is(scalar(() = $p->connections), 1, 'one connection');
        }
    }
    fresh();
    $p->on('/v1/embeddings' => json(200, { a => 1 }));
};

subtest 'as many as there are requests at once' => sub {
    fresh();
    $p->script(sse(chat_stream(), wait_for_release => 3));
    my @streams = map { $pairs[0]->stream($t) } 1 .. 10;
    $_->next_event for @streams;
    is(scalar(() = $p->connections), 10, 'ten streams, ten connections');
    $p->release;
    $_->read_body for @streams;
    $p->script(json(200, chat_answer()));
    ask('on-chat') for 1 .. 5;
    is(scalar(() = $p->connections), 10, 'which are used by the next');
    fresh();
    $p->script(sse(chat_stream(), wait_for_release => 3));
    @streams = map { $t->stream('/v1/chat/completions', { model => 'one/m', stream => $yes,
        messages => [{ role => 'user', content => 'hi' }] }) } 1 .. 3;
    $_->next_event for @streams;
    $p->release;
    $_->read_body for @streams;
    ok($t->wait_for(sub { $p->open_connections == 1 }, 5, 'two closed'),
        'keepalive 1: one of three is kept');
};

subtest 'keepalive 0' => sub {
    fresh();
    $p->script(json(200, chat_answer()));
    ask('none/m') for 1 .. 3;
    is(scalar(() = $p->connections), 3, 'a connection for each request');
    ok($p->wait_closed('all'), 'all are closed');
};

subtest 'connections that cannot be used again' => sub {
    my %last = (
        'Connection: close' => json(200, chat_answer(), headers => { Connection => 'close' }),
        'framed by the end' => json(200, chat_answer(), close => 1),
        'HTTP/1.0' => json(200, chat_answer(), http10 => 1),
        'bytes behind the answer' => raw_answer("HTTP/1.1 200 OK\r\nContent-Type: application/json"
            . "\r\nContent-Length: 2\r\n\r\n{}garbage", 'stall'),
        'a stream that ends with the connection' => sse(chat_stream(), close => 1),
        'a cut answer' => json(200, chat_answer(), cut_after => 10),
        'early, before the body was sent' => json(413, chat_error('large'), early => 1),
    );
    for my $name (sort keys %last) {
        fresh();
        $p->script([$last{$name}, json(200, chat_answer())]);
        if ($name =~ /^early/) {
            # More than the kernel takes at once: the answer comes while we still send. Of a model
            # whose context window is not known, or it would not be sent at all.
            $t->post('/v1/chat/completions', { model => 'one/m',
                messages => [{ role => 'user', content => 'x' x 20_000_000 }] });
            ask('one/m');
        } else {
            my $s = $pairs[0]->stream($t, $name =~ /stream/ ? () : (stream => JSON::PP::false()));
            $s->read_body;
            ask('on-chat');
        }
        is(scalar(() = $p->connections), 2, "$name: the next request has a new one");
    }
};

subtest 'case 35: connections that died while idle' => sub {
    for my $how (qw(reset close)) {
        fresh();
        $p->script([json(200, chat_answer(), stale => $how eq 'reset' ? 1 : 'close'),
            json(200, chat_answer(text => 'anew'))]);
        ask('on-chat');
        my $r = ask('on-chat');
        is($r->{json}{choices}[0]{message}{content}, 'anew', "$how: answered on a new one");
        is($r->{headers}{'x-llm-attempts'}, 1, 'which is no second attempt');
        # The provider may close first: nobody must write to it then.
        fresh();
        $p->script(json(200, chat_answer(), close_after => 'release'));
        ask('on-chat');
        my $conn = $p->last_request->{conn};
        $p->release;
        ok($p->wait_closed($conn), 'closed by the provider while idle');
        is(ask('on-chat')->{headers}{'x-llm-attempts'}, 1, 'the next request is served');
        isnt($p->last_request->{conn}, $conn, 'on another connection');
    }
    # Every idle connection is dead: still one answer.
    fresh();
    $p->script(sse(chat_stream(), wait_for_release => 3, stale => 1));
    my @streams = map { $pairs[0]->stream($t) } 1 .. 5;
    $_->next_event for @streams;
    $p->release;
    $_->read_body for @streams;
    $p->script(json(200, chat_answer()));
    is(ask('on-chat')->{headers}{'x-llm-attempts'}, 1, 'five dead ones do not stand in the way');
};

subtest 'one address, different names' => sub {
    $tls->script(json(200, chat_answer()));
    ask($_) for ('a/m', 'b/m') x 4;
    my @requests = $tls->requests;
    is(join(' ', map { "$_->{path} $_->{tls_sni}" } @requests[0, 1]),
        '/a/chat/completions a.test /b/chat/completions b.test', 'each has its own name');
    is(scalar(grep { $_->{path} !~ m{^/\Q@{[substr $_->{tls_sni}, 0, 1]}\E/} } @requests), 0,
        'and no request went over a connection of the other');
    is(scalar(() = $tls->connections), 2, 'two connections');
    fresh();
    $p->script(json(200, chat_answer()));
    ask($_) for ('on-chat', 'one/m') x 3;
    cmp_ok(scalar(() = $p->connections), '<=', 2, 'providers at one address keep their own');
};

subtest 'several base URLs' => sub {
    fresh($p, $other);
    $_->script(json(200, chat_answer())) for $p, $other;
    ask('two-urls/m') for 1 .. 40;
    cmp_ok($_->request_count, '>=', 5, 'each has a share') for $p, $other;
    is($p->last_request->{path}, '/first/chat/completions', 'with its own path');
    is($other->last_request->{path}, '/second/chat/completions', 'and the other');
    is($p->last_request->{headers}{host}, $p->addr, 'and host');
    is(scalar(() = $_->connections), 1, 'one connection') for $p, $other;
    ask('named/m');
    is($p->last_request->{headers}{host}, 'localhost:' . $p->port, 'a name of the hosts file');
};

subtest 'clients' => sub {
    $p->script(json(200, chat_answer(text => 'hello')));
    my $r = ask('on-chat', keep => 1);
    for (1 .. 3) {
        $r = ask('on-chat', keep => 1, conn => $r->{conn});
        ok($r->{conn}, 'the connection of the client is kept');
    }
    $r = ask('on-chat', port => 'tls', tls => 1, ca => $pair->{ca}, keep => 1);
    is(ask('on-chat', conn => $r->{conn})->{status}, 200, 'over TLS, too');
    is(ask('on-chat', http10 => 1)->{version}, '1.1', 'HTTP/1.0');
    for my $kind (qw(h2 h2c)) {
        my $h2 = $t->h2(port => $kind, tls => $kind eq 'h2');
        for my $pair (@pairs) {
            my $body = sub { LLM::Json::encode_json_o($pair->question(@_)) };
            $p->script(json(200, $pair->answer(text => 'hello')));
            my @ids = map { $h2->open(path => $pair->path, body => $body->()) } 1 .. 5;
            for my $id (@ids) {
                is($pair->read_answer($h2->response($id)->{json})->{text}, 'hello',
                    "$kind, $pair->{name}");
            }
            $p->script(sse($pair->events(text => 'a b c')));
            my $id = $h2->open(path => $pair->path, body => $body->(stream => $yes));
            $h2->response($id);
            my @events = $h2->events($id);
            is_deeply([$pair->check(\@events)], [], 'a stream');
            is($pair->assemble(\@events)->{text}, 'a b c', 'of all the text');
        }
        is_deeply([$h2->errors], [], 'no protocol error');
        $h2->close;
    }
};

# What the gateway lacks is no fault of a provider's: none is asked in the place of another, none cools.
subtest 'no connection is left here' => sub {
    my $small = LLM::Test->new;
    $small->http_conf(LLM::Pair::conf($p, cooldown => '60s', models =>
        'llm_model two { deployment chat/a; deployment messages/b order=2; }'));
    $small->start;
    my ($worker) = $small->worker_pids;
    my $body = { model => 'two', messages => [{ role => 'user', content => 'hi' }] };
    my $conn = $small->get('/health/readiness', keep => 1)->{conn};
    is(system("prlimit --pid=$worker --nofile=3:"), 0, 'no file can be opened');
    my $r = $small->post('/v1/chat/completions', $body, conn => $conn);
    is($r->{status}, 503, 'refused');
    like($r->{json}{error}{message}, qr/the gateway has no connection left/, 'for what it is');
    is(system("prlimit --pid=$worker --nofile=4096:"), 0, 'room again');
    $p->on({}, json(200, $pairs[0]->answer(text => 'hello')));
    $r = $small->post('/v1/chat/completions', $body);
    is("$r->{status} $r->{headers}{'x-llm-deployment'}", '200 chat/a', 'the first one is asked at once');
    $small->expect_log(qr/\[alert\].*socket\(\) failed \(24/);
    $small->done;
};

$t->done;
