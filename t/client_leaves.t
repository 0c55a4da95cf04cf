# Case 37: a client that goes away ends its request at once: the provider's connection is closed
# within 100 ms and nothing stays in flight.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use LLM::TLS;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $pair_of_keys = LLM::TLS->new(dir => $t->dir)->server('localhost', '127.0.0.1');

$t->http_conf(LLM::Pair::conf($p,
    models => join('', map { <<"END" } qw(chat messages)),
    llm_model $_-twice {
        deployment $_/the-first-deployment;
        deployment $_/the-second-deployment order=2;
    }
END
    server => <<"END"));
        listen 127.0.0.1:%%PORT:tls%% ssl http2;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        ssl_certificate $pair_of_keys->{cert};
        ssl_certificate_key $pair_of_keys->{key};
END
$t->start;

my $lines = 0;

# What the provider does until the client leaves; how many events the client has seen by then.
my %moments = (
    'before the head' => sub { ('silent', 0) },
    'before the first content' => sub { (sse(($_[0]->events)[0], hold()), 0) },
    'in the middle' => sub {
        my ($pair) = @_;
        my @events = $pair->events(text => [map { "word$_ " } 1 .. 9]);
        return (sse(@events[0 .. 5], hold(), @events[6 .. $#events]), 1);
    },
);

sub is_over {
    my ($what, $left_at, $streams) = @_;

    ok($p->wait_closed($p->last_request), "$what: the provider's connection is closed");
    my $conn = $p->last_request->{conn};
    my ($c) = grep { $_->{id} == $conn } $p->connections;
    cmp_ok(($c->{closed} || 1e12) - $left_at, '<=', slow(0.1), "$what: within 100 ms");
    ok($c->{closed_by_peer}, "$what: by the gateway");
    ok(LLM::Pair::wait_idle($t, 0.2), "$what: nothing is in flight");
    my $log = LLM::Pair::next_log($t, \$lines);
    is("$log->{outcome} $log->{attempts}", 'client_closed 1', "$what: log");
    is($p->request_count, 1, "$what: no other deployment was asked");
    return $log;
}

# The worker sleeps while the client asks and leaves: it hears of both at once, and of nothing
# afterwards.
subtest 'case 37: a client that is gone before its request is read' => sub {
    my ($pair) = LLM::Pair->all;
    $p->clear;
    $p->script('silent');
    kill 'STOP', $_ for $t->worker_pids;
    my $s = $pair->stream($t, model => "$pair->{provider}-twice");
    $s->close;
    kill 'CONT', $_ for $t->worker_pids;
    my $log = LLM::Pair::next_log($t, \$lines);
    is("$log->{outcome} $log->{attempts}", 'client_closed 1', 'log');
    ok(LLM::Pair::wait_idle($t, 0.2), 'nothing is in flight');
    ok($p->wait_closed, 'and no connection of a provider is left') if $p->request_count;
};

for my $pair (LLM::Pair->all) {
    subtest "case 37: streams, $pair->{name}" => sub {
        for my $moment (sort keys %moments) {
            for my $way ('close', 'reset') {
                for my $port ('', 'tls') {
                    my $what = join ' ', $moment, $way, $port;
                    my ($answer, $seen) = $moments{$moment}->($pair);
                    $p->clear;
                    $p->script($answer);
                    my $s = $pair->stream($t, model => "$pair->{provider}-twice",
                        http => $port ? { port => $port, tls => 1 } : {});
                    if ($seen) {
                        ok($s->next_data, "$what: something was seen");
                    } else {
                        ok($p->wait_requests(1), "$what: the provider was asked");
                        $p->wait_held if $answer ne 'silent';
                    }
                    is(LLM::Pair::in_flight($t), 1, "$what: in flight");
                    my $left_at = time;
                    $s->$way;
                    my $log = is_over($what, $left_at);
                    is($log->{input_tokens}, 21, "$what: tokens so far")
                        if $seen && $pair->{provider} eq 'messages';
                }
            }
        }
    };

    subtest "case 37: whole answers, $pair->{name}" => sub {
        my %answers = (
            'before the head' => 'silent',
            'inside the body' => json(200, $pair->answer, cut_after => 50, stall => 1),
        );
        for my $moment (sort keys %answers) {
            for my $way ('close', 'reset') {
                my $what = "$moment, $way";
                $p->clear;
                $p->script($answers{$moment});
                my $s = $t->stream($pair->path,
                    $pair->question(model => "$pair->{provider}-twice"));
                ok($p->wait_requests(1), "$what: the provider was asked");
                is(LLM::Pair::in_flight($t), 1, "$what: in flight");
                my $left_at = time;
                $s->$way;
                is_over($what, $left_at);
            }
        }
    };

    subtest "case 37: HTTP/2, $pair->{name}" => sub {
        for my $moment (sort keys %moments) {
            for my $way ('rst', 'drop') {
                for my $port ('h2c', 'tls') {
                    my $what = join ' ', $moment, $way, $port;
                    my ($answer, $seen) = $moments{$moment}->($pair);
                    $p->clear;
                    $p->script($answer);
                    my $h2 = $t->h2(port => $port, tls => $port eq 'tls');
                    my $id = $h2->open(path => $pair->path,
                        headers => ['content-type' => 'application/json'],
                        body => LLM::Json::encode_json_o($pair->question(
                            model => "$pair->{provider}-twice", stream => JSON::PP::true())));
                    ok($seen ? $h2->next_event($id) : $p->wait_requests(1),
                        "$what: under way");
                    my $left_at = time;
                    $way eq 'rst' ? $h2->rst($id) : $h2->drop;
                    is_over($what, $left_at);
                    $h2->close;
                }
            }
        }
    };
}

subtest 'a client that leaves right after the terminal event had a success' => sub {
    for my $pair (LLM::Pair->all) {
        for my $way ('close', 'reset') {
            my $what = "$pair->{name}, $way";
            $p->clear;
            # The provider does not end the body before the client is gone.
            $p->script(sse($pair->events(text => 'all of it'), hold()));
            my $s = $pair->stream($t);
            my @events;
            while (my $event = $s->next_event) {
                push @events, $event;
                last if $pair->assemble(\@events)->{done};
            }
            ok($pair->assemble(\@events)->{done}, "$what: the terminal event came");
            $s->$way;
            my $log = LLM::Pair::next_log($t, \$lines);
            is("$log->{outcome} $log->{status}", 'ok 200', "$what: outcome");
            is("$log->{input_tokens} $log->{output_tokens}", '21 9', "$what: tokens");
            ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
            $p->release;
        }
    }
};

subtest 'a client that leaves before its request is complete' => sub {
    for my $pair (LLM::Pair->all) {
        $p->clear;
        my $s = $t->stream(undef, undef, raw => 'POST ' . $pair->path . " HTTP/1.1\r\n"
            . "Host: localhost\r\nContent-Length: 1000\r\n\r\n" . '{"model":');
        $s->reset;
        my $log = LLM::Pair::next_log($t, \$lines);
        is($log->{outcome}, 'client_closed', "$pair->{name}: outcome");
        ok(LLM::Pair::wait_idle($t), "$pair->{name}: nothing is in flight");
        is($p->request_count, 0, "$pair->{name}: the provider was not asked");
    }
};

$t->done;
