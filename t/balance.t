# Case 16: whatever ends a request, its place in flight is given back at once, as the readiness page
# and $llm_in_flight show it, and the next request is served.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use Time::HiRes qw(time);

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my $dead = LLM::Provider->dead_port;
my $yes = JSON::PP::true();

$t->http_conf(LLM::Pair::conf($p,
    models => "llm_provider away { dialect openai; base_url http://127.0.0.1:$dead; }
        llm_provider mock { }
        llm_model gone { deployment away/x id=gone; }
        llm_model over { deployment away/x order=1 id=over-1; deployment chat/y order=2 id=over-2; }
        llm_model slow { deployment mock/x delay=1h id=slow; }
        llm_model cut { deployment mock/x cut_after=2 id=cut; }",
    server => 'location = /count { default_type text/plain; return 200 $llm_in_flight; }
        location /small/ { llm_max_body 1k; llm_pass models; }
        location /raw/ { llm_pass chat; }
        location /quick/ { llm_pass models; llm_first_token_timeout 60ms; llm_idle_timeout 60ms; }
        lingering_time 30s;'));
$t->start;

# The numbers in flight, as every page tells them: in all, and of the deployments together.
sub in_flight {
    my $json = $t->get('/health/readiness')->{json};
    my $sum = 0;

    $sum += $_->{in_flight} for @{$json->{deployments}};
    return join ' ', $json->{in_flight}, $sum, $t->get('/count')->{body};
}

# A worker hears of a client's reset when the kernel tells it, which another worker's answer to
# our question may overtake by a moment.
sub all_back {
    my ($name) = @_;
    my $deadline = time + LLM::Port::slow(0.5);
    my $now;

    do { $now = in_flight() } until $now eq '0 0 0' || time > $deadline;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($now, '0 0 0', "$name: nothing is in flight any more");
    return;
}

# The same, but it has to be true with the first look: the answer was read to its end.
sub back_at_once {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(in_flight(), '0 0 0', "$name: nothing is in flight");
    return;
}

my $ask = { model => 'on-chat', max_tokens => 9,
    messages => [{ role => 'user', content => 'hi' }] };

sub ask { my ($path, %o) = @_; return $t->post($path, { %$ask, %o }) }

my @pairs = LLM::Pair->all;

subtest 'a stream is in flight until it ends' => sub {
    for my $pair (@pairs) {
        $p->script(sse($pair->events, wait_for_release => 5));
        my @streams = map { $pair->stream($t) } 1 .. 5;
        $_->next_event for @streams;
        is(in_flight(), '5 5 5', "$pair->{name}: five are on");
        $p->release;
        $_->all_events for @streams;
        back_at_once($pair->{name});
    }
};

subtest 'answers and errors' => sub {
    for my $pair (@pairs) {
        my @answers = (json(200, $pair->answer), json(500, $pair->error_body('api_error', 'x')),
            json(429, {}), answer(body => 'no JSON'), answer(status => 302), 'accept_then_close',
            'accept_then_reset', json(200, $pair->answer, cut_after => 20), 'silent',
            json(200, $pair->answer, cut_after => 20, stall => 1), sse($pair->events),
            sse($pair->events, cut_after => 4), sse($pair->events, cut_after => 4, reset => 1),
            sse($pair->events, cut_after => 1), sse($pair->events, cut_after => 4, stall => 1),
            sse($pair->error_frame('overloaded_error', 'x')), sse('nonsense'), sse(),
            raw_answer("garbage\r\n\r\n"), raw_answer("HTTP/1.1 200 OK\r\nContent-Le"));
        for my $answer (@answers) {
            for my $stream (0, 1) {
                $p->script($answer);
                my $s = $t->stream('/quick' . $pair->path, $pair->question($stream
                    ? (stream => $yes) : ()));
                $s->read_body;
                back_at_once("$pair->{name}, stream $stream, status " . $s->status);
                $s->close;
            }
        }
    }
};

subtest 'requests that never reach a provider' => sub {
    for my $path ('/v1/chat/completions', '/v1/messages') {
        for my $body ('', '{', '[]', '{"model":7}', '{"model":"nosuch","messages":[]}', 'x' x 3000,
            '{"model":"gone","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}',
            '{"model":"cut","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}')
        {
            $t->post("/quick$path", $body) for 1 .. 10;
            $t->post("/small$path", $body) for 1 .. 10;
        }
        $t->get($path) for 1 .. 10;
    }
    back_at_once('bad bodies');
    $p->script(json(200, chat_answer()));
    is(ask('/v1/chat/completions', model => 'over')->{status}, 200, 'failover') for 1 .. 20;
    back_at_once('failover');
    $t->post('/raw/v1/embeddings', '{}') for 1 .. 20;
    back_at_once('forwarded unread');
};

subtest 'case 16: clients that leave' => sub {
    for my $round (1 .. 10) {
        for my $pair (@pairs) {
            # Before the provider has answered, after the first event, in the middle of a body.
            $p->script(silent());
            my $before = $p->request_count;
            my @silent = map { $pair->stream($t) } 1 .. 3;
            $p->wait_requests($before + 3);
            $p->script(sse($pair->events, wait_for_release => 5));
            my @begun = map { $pair->stream($t) } 1 .. 3;
            $_->next_event for @begun;
            my @halves = map { $t->stream('/', undef, raw => "POST /v1/messages HTTP/1.1\r\n"
                . "Host: a\r\nContent-Length: 1000\r\n\r\n{\"model\"") } 1 .. 3;
            $round % 2 ? $_->reset : $_->close for @silent, @begun, @halves;
        }
        all_back("round $round");
    }
    my @slow = map { $t->stream('/v1/messages', { %$ask, model => 'slow' }) } 1 .. 20;
    $t->wait_for(sub { in_flight() =~ /\A20 / }, 2, 'twenty');
    $_->reset for @slow;
    all_back('of the mock');
};

subtest 'lingering clients do not delay it' => sub {
    # nginx keeps the connection of a client that is still sending, for up to half a minute.
    my @lingering = map { $t->stream('/', undef, raw => "POST /small/v1/messages HTTP/1.1\r\n"
        . "Host: a\r\nContent-Length: 500000\r\n\r\n" . 'x' x 3000) } 1 .. 10;
    is($_->status, 413, 'refused while it sends') for @lingering;
    back_at_once('lingering');
    $p->script(json(200, chat_answer()));
    my @kept = map { $t->post('/v1/chat/completions', $ask, keep => 1) } 1 .. 10;
    is(scalar(grep { $_->{conn} } @kept), 10, 'idle connections of clients');
    back_at_once('keep-alive');
    # Sends more than it should, and does not close.
    my $s = $t->stream('/v1/chat/completions', $ask);
    $s->send('GET / HTTP');
    is($s->status, 200, 'pipelined nonsense');
    $s->read_body;
    back_at_once('a pipelining client');
};

subtest 'everything still works' => sub {
    $p->script(json(200, chat_answer()));
    is(ask('/v1/chat/completions')->{status}, 200, 'the next request is served');
    $p->kick;
    ok($p->wait_closed('all'), 'the provider holds no connection');
};

$t->done;
