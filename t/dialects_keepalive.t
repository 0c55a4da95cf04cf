# The connection to a provider behind a stream: used again where the stream came to its end, by a
# word of the dialect or only by that of HTTP; not waited for where the dialect says that all is
# said; closed where the provider closes it, without harm to the answer.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(workers => 1);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()]));
$t->start;

my $lines = 0;

# A client of another dialect and one of the provider's own, where there is one.
my @pairs = grep { $_->{client} eq 'chat' || $_->is_same } LLM::Pair->every;

sub is_whole {
    my ($pair, $s, $name) = @_;
    my @events = $s->all_events;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([$pair->check(\@events)], [], "$name: grammar");
    is($pair->assemble(\@events)->{text}, 'All of it', "$name: text");
    ok($pair->assemble(\@events)->{done} && $s->clean_end, "$name: complete");
    is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'ok', "$name: log");
    return;
}

sub made { return scalar(my @all = $p->connections) }

subtest 'used again' => sub {
    for my $pair (@pairs) {
        my $before = made();
        for my $o ({}, { bytewise => 1 }, { content_length => 1 }, {}) {
            $p->script($pair->streamed(text => 'All of it', sse => [%$o]));
            is_whole($pair, $pair->stream($t), join ' ', $pair->{name}, keys %$o);
        }
        $p->script($pair->whole);
        is($pair->post($t)->{status}, 200, "$pair->{name}: a whole answer");
        LLM::Pair::next_log($t, \$lines);
        cmp_ok(made() - $before, '<=', 1, "$pair->{name}: one connection for all of them");
    }
};

subtest 'an end by the end of the connection' => sub {
    for my $pair (@pairs) {
        for my $how (qw(close http10)) {
            $p->script($pair->streamed(text => 'All of it', sse => [$how => 1]));
            is_whole($pair, $pair->stream($t), "$pair->{name}, $how");
        }
    }
};

subtest 'a provider that has said all and keeps the connection' => sub {
    for my $pair (@pairs) {
        my $last = my @events = $pair->events(text => 'All of it');
        $p->script($pair->stream_of(\@events, wait_for_release => $last));
        my $s = $pair->stream($t);
        if ($pair->{to}{has_sentinel}) {
            is_whole($pair, $s, "$pair->{name}: not waited for");
            ok(LLM::Pair::wait_idle($t), "$pair->{name}: nothing is in flight");
            $p->kick;
        } else {
            is($s->status, 200, "$pair->{name}: begun");
            $p->release;
            is_whole($pair, $s, "$pair->{name}: by the end of HTTP");
        }
    }
};

subtest 'a connection that was dropped by the provider is no loss' => sub {
    for my $pair (@pairs) {
        $p->script([$pair->streamed(text => 'All of it', sse => [close_after => 1]),
            $pair->streamed(text => 'All of it')]);
        is_whole($pair, $pair->stream($t), "$pair->{name}, $_") for 1 .. 2;
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
