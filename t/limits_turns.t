# The pattern of Claude Code: a stream is cancelled mid-way as soon as a second, plain request was
# answered. A thousand turns of it with four places over HTTP/1.1 and HTTP/2, with reloads: none is
# refused, and nothing is held at the end. LLM_TURNS=N makes it another number.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;

my $turns = $ENV{LLM_TURNS} || 1000;

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf($store->conf . LLM::Pair::conf($p,
        server => 'listen 127.0.0.1:%%PORT:h2c%% http2;',
        location => 'llm_limit $arg_key max_parallel_requests=4;'));
    $t->start;
    my ($pair) = grep { $_->{name} eq 'messages to messages' } LLM::Pair->all;
    my $stream = sse($pair->events(text => [map { "word $_ " } 1 .. 9]), wait_for_release => 6);
    $p->on({ body => qr/"stream":true/ } => $stream);
    $p->script($pair->whole(text => 'hi'));
    my $path = $pair->path(1) . '?key=k';
    my %question = (stream => encode_json_c($pair->question(stream => 1)),
        plain => encode_json_c($pair->question));
    my ($refused, $cut) = (0, 0);

    my $turn_h1 = sub {
        my ($how) = @_;
        my $s = $t->stream($path, $question{stream});
        my $begun = $s->next_event;
        my $r = $t->post($path, $question{plain});
        $refused++ if $s->status == 429 || $r->{status} == 429;
        $cut++ if $begun && $r->{status} == 200;
        $how ? $s->reset : $s->close;
    };
    my $h2;
    my $turn_h2 = sub {
        my ($how) = @_;
        $h2 = undef if $h2 && $h2->{gone};
        $h2 ||= $t->h2(port => 'h2c');
        my @ask = (method => 'POST', path => $path, headers => ['content-type' => 'application/json']);
        my $s = $h2->open(@ask, body => $question{stream});
        $h2->wait($s, sub { length $h2->data($s) });
        my $r = $h2->response($h2->open(@ask, body => $question{plain}));
        $refused++ if $r->{status} == 429;
        $cut++ if $r->{status} == 200;
        if ($how) { $h2->drop; $h2 = undef } else { $h2->rst($s) }
    };
    for my $turn (1 .. $turns) {
        $turn % 2 ? $turn_h1->($turn % 3 == 0) : $turn_h2->($turn % 20 == 0);
        if ($turn % int($turns / 4 || 1) == 0) {
            # The connection of an old worker is closed by it.
            $h2->close if $h2;
            $h2 = undef;
            $t->reload;
        }
    }
    $h2->close if $h2;
    is($refused, 0, "no request of $turns turns is refused");
    is($cut, $turns, 'each stream had begun, each plain request was answered');
    ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    my ($on) = LLM::Limits::open_all(6, sub { $t->stream($path, $question{stream}) });
    is(scalar @$on, 4, 'and the four places are free: four of six are let in');
    $p->release(always => 1);
    $t->done;
});
done_testing();
