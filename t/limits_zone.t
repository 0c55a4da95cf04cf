# The zone is bounded: values that come once cost nothing that stays, and when every counter counts
# the zone's policy says what happens. LLM_VALUES=N makes it another number of values.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $values = $ENV{LLM_VALUES} || 5000;
my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;

sub gateway {
    my ($zone, $limit) = @_;
    my $t = LLM::Test->new(workers => 1);
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf("llm_zone $zone;\nllm_provider mock {} llm_model m { deployment mock/x reply=hi; }"
        . LLM::Pair::conf($p, location => $limit, server => 'keepalive_requests 1000000;'));
    $t->start;
    return $t;
}

# Statuses of requests with values of their own, over one connection.
sub ask_many {
    my ($t, $from, $to) = @_;
    my ($conn, %seen);
    my $body = encode_json_c({ model => 'm', messages => [{ role => 'user', content => 'x' }] });

    for my $n ($from .. $to) {
        my $r = $t->post("/v1/chat/completions?key=$n", $body, keep => 1,
            $conn ? (conn => $conn) : ());
        $conn = $r->{conn};
        $seen{$r->{status}}++;
    }
    $conn->close if $conn;
    return \%seen;
}

subtest 'values that hold nothing make room' => sub {
    my $t = gateway('1m', 'llm_limit $arg_key max_parallel_requests=1;');
    is_deeply(ask_many($t, 1, $values), { 200 => $values }, "$values values one after the other");
    $t->log_unlike(qr/zone is full/, 'the zone was never full');
    $t->done;
};

subtest 'a full zone lets pass and says so' => sub {
    my $t = gateway('1m', 'llm_limit $arg_key rpm=1;');
    is_deeply(ask_many($t, 1, 1400), { 200 => 1400 }, 'more values than counters are let in');
    $t->log_like(qr/\[warn\].*llm: the zone is full, a limit could not be counted/, 'with a line');
    is(ask_many($t, 1, 1)->{429}, 1, 'what is counted stays counted');
    is(ask_many($t, 1400, 1400)->{200}, 1, 'what is not passes');
    $t->done;
};

subtest 'or refuses' => sub {
    my $t = gateway('1m on_full=deny', 'llm_limit $arg_key rpm=2;');
    my $seen = ask_many($t, 1, 1400);
    cmp_ok($seen->{200}, '>=', 800, 'until it is full');
    is(($seen->{503} // $seen->{500} // 0) + $seen->{200}, 1400, 'the others are refused');
    is(ask_many($t, 1, 1)->{200}, 1, 'whoever has a counter goes on');
    $t->done;
};
done_testing();
