# Promise 3 at the end of a worker that still has streams: `nginx -s stop`, and worker_shutdown_timeout
# behind a reload. The client reads what came, an error event in its dialect, and a clean end.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port;
use LLM::Provider;
use LLM::TLS;

my $p;
my @pairs = map { LLM::Pair->new($_, 'chat') } LLM::Forms::clients();
push @pairs, LLM::Pair->new('messages', 'messages');

sub start {
    my ($main) = @_;
    my $t = LLM::Test->new(access_log => 1);
    my $keys = LLM::TLS->new(dir => $t->dir)->server('localhost', '127.0.0.1');

    $p ||= LLM::Provider->new(dir => $t->dir);
    $t->main_conf($main);
    $t->http_conf(LLM::Pair::conf($p, server => <<"END"));
        listen 127.0.0.1:%%PORT:tls%% ssl http2;
        ssl_certificate $keys->{cert};
        ssl_certificate_key $keys->{key};
        location = /metrics { llm_metrics; }
        # There is no time for it any more.
        error_page 503 529 = \@elsewhere;
        location \@elsewhere { proxy_pass ${\$p->url}; }
END
    $t->start;
    return $t;
}

# Streams of every dialect over every transport, the first text read, and one that waits for it.
sub open_streams {
    my ($t) = @_;
    my @streams;

    for my $pair (@pairs) {
        my $at = $pair->{provider} eq 'chat' ? 2 : 4;
        $p->script($pair->streamed(text => 'one two three', sse => [wait_for_release => $at]));
        for my $how ({}, { port => 'tls', tls => 1 }) {
            my $s = $pair->stream($t, http => $how);
            push @streams, { pair => $pair, s => $s, name => "$pair->{name}" . ($how->{tls} ? ', TLS' : ''),
                events => [$s->next_event] };
        }
        my $h2 = $t->h2(port => 'tls', tls => 1);
        for my $n (1, 2) {
            my $id = $h2->open(method => 'POST', path => $pair->path(1), headers =>
                ['content-type' => 'application/json'],
                body => LLM::Json::encode_json_o($pair->question(stream => 1)));
            push @streams, { pair => $pair, h2 => $h2, id => $id, name => "$pair->{name}, HTTP/2, $n",
                events => [$h2->next_event($id)] };
        }
    }
    return @streams;
}

sub check {
    my (@streams) = @_;

    for my $one (@streams) {
        my ($pair, $name, $events) = @$one{qw(pair name events)};
        if ($one->{h2}) {
            my $r = $one->{h2}->response($one->{id});
            push @$events, $one->{h2}->events($one->{id});
            ok($r->{ended} && !$r->{reset}, "$name: a clean end");
        } else {
            push @$events, $one->{s}->all_events;
            ok($one->{s}->clean_end, "$name: a clean end");
        }
        like(join('', map { $_->{data} // '' } @$events), qr/one/, 'what was said is there');
        my $error = $pair->error_event($events);
        ok($error, 'an error event is the last') or diag explain $events->[-1];
        like($error->{message} // '', qr/shutting down/, 'that says why');
    }
    return;
}

subtest 'nginx -s stop' => sub {
    my $t = start('');
    my @streams = open_streams($t);
    # One whose client reads nothing must not hold the others up.
    $p->on({ body => qr/"user":"floods"/ }, sse((map { chat_chunk('x' x 60_000) } 1 .. 200)));
    my $deaf = $t->stream('/v1/chat/completions', { model => 'on-chat', user => 'floods',
        stream => JSON::PP::true(), messages => [{ role => 'user', content => 'hi' }] },
        rcvbuf => 4096);
    $deaf->status;
    my @workers = $t->worker_pids;
    $t->signal('TERM');
    check(@streams);
    ok($t->wait_for(sub { !grep { LLM::Port::alive($_) } @workers }, 5, 'the end'), 'it ends at once');
    $p->release(perhaps => 1);
    $t->stop;
    $t->log_unlike(qr/\[(?:alert|crit|emerg)\]/, 'nothing bad in the log');
    $t->cleanup;
};

sub chat_chunk {
    my ($text) = @_;

    return { id => 'c', object => 'chat.completion.chunk', created => 1, model => 'm',
        choices => [{ index => 0, delta => { content => $text }, finish_reason => undef }] };
}

subtest 'worker_shutdown_timeout' => sub {
    my $t = start('worker_shutdown_timeout 300ms;');
    my @streams = open_streams($t);
    my ($old) = $t->worker_pids;
    ok($t->reload, 'reload');
    check(@streams);
    $_->{h2} ? $_->{h2}->close : $_->{s}->close for @streams;
    ok($t->wait_for(sub { !LLM::Port::alive($old) }, 5, 'its end'), 'the old worker ends');
    my $logged = sub { scalar grep { /"outcome":"cut","error":"stream_truncated"/ }
        split /\n/, $t->slurp('logs/llm.log') };
    ok($t->wait_for(sub { $logged->() == @streams }, 5, 'the log'), 'each is logged as cut')
        or diag $logged->() . ' of ' . @streams;
    $p->release(perhaps => 1);
    is(LLM::Pair::in_flight($t), 0, 'nothing is in flight');
    $t->log_unlike(qr/\[(?:alert|crit|emerg)\]/, 'no connection was forgotten');
    $t->stop;
    $t->cleanup;
};

# The provider's connection is one that was kept: nginx closes those before the clients'.
subtest 'who waits for the first content gets a status, and no provider is blamed' => sub {
    undef $p;    # one that was told of no release
    my $t = start('worker_shutdown_timeout 300ms;');
    my @waiting;
    for my $pair (@pairs) {
        $p->script($pair->streamed(text => 'kept'));
        my $s = $pair->stream($t);
        like(join('', map { $_->{data} // '' } $s->all_events), qr/kept/, 'a connection is kept');
        $s->close;
        $p->script($pair->streamed(text => 'never', sse => [wait_for_release => 1]));
        push @waiting, [$pair, $pair->stream($t)];
        ok($t->wait_for(sub { $p->request_count == 2 * @waiting }, 5, 'it'), 'and the next one waits on it');
    }
    my $asked = $p->request_count;
    my ($old) = $t->worker_pids;
    ok($t->reload, 'reload');
    for (@waiting) {
        my ($pair, $s) = @$_;
        is($s->status, $pair->{client} eq 'messages' ? 529 : 503, "$pair->{name}: status");
        my $error = LLM::Json::decode_json($s->read_body);
        ok($pair->is_error(ref $error eq 'ARRAY' ? $error->[0] : $error), 'an error of the dialect');
        $s->close;
    }
    ok($t->wait_for(sub { !LLM::Port::alive($old) }, 5, 'its end'), 'the old worker ends');
    is(LLM::Pair::in_flight($t), 0, 'nothing is in flight');
    is($p->request_count, $asked, 'nobody was asked instead');
    is_deeply([$t->get('/metrics')->{body} =~ /^llm_deployment_attempts_total\{[^}]*error_type="(\w+)/mg],
        [], 'nobody failed');
    my $logged = sub { scalar grep { /"outcome":"refused"/ } split /\n/, $t->slurp('logs/llm.log') };
    ok($t->wait_for(sub { $logged->() == @waiting }, 5, 'the log'), 'and not the clients left');
    $p->release(perhaps => 1);
    $t->stop;
    $t->cleanup;
};

done_testing();
