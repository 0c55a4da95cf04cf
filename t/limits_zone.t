# The zone is bounded: values that come once cost nothing that stays, and when every counter counts
# the zone's policy says what happens. LLM_VALUES=N makes it another number of values.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
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
    my $t = gateway('2m', 'llm_limit $arg_key max_parallel_requests=1;');
    is_deeply(ask_many($t, 1, $values), { 200 => $values }, "$values values one after the other");
    $t->log_unlike(qr/zone is full/, 'the zone was never full');
    $t->done;
};

subtest 'a full zone lets pass and says so' => sub {
    my $t = gateway('2m', 'llm_limit $arg_key rpm=1;');
    is_deeply(ask_many($t, 1, 2800), { 200 => 2800 }, 'more values than counters are let in');
    $t->log_like(qr/\[warn\].*llm: the zone is full, a limit could not be counted/, 'with a line');
    is(ask_many($t, 1, 1)->{429}, 1, 'what is counted stays counted');
    is(ask_many($t, 2800, 2800)->{200}, 1, 'what is not passes');
    $t->done;
};

subtest 'or refuses' => sub {
    my $t = gateway('2m on_full=deny', 'llm_limit $arg_key rpm=2;');
    my $seen = ask_many($t, 1, 2800);
    cmp_ok($seen->{200}, '>=', 1600, 'until it is full');
    is(($seen->{503} // $seen->{500} // 0) + $seen->{200}, 2800, 'the others are refused');
    is(ask_many($t, 1, 1)->{200}, 1, 'whoever has a counter goes on');
    $t->done;
};

# What is reserved stands in the cell of the request in flight.
for my $policy (qw(allow deny)) {
    subtest "more requests in flight than cells, $policy" => sub {
        my $t = LLM::Test->new(workers => 2);
        my $p = LLM::Provider->new(dir => $t->dir);
        $t->http_conf("llm_zone 1792k on_full=$policy;" . LLM::Pair::conf($p,
            server => 'location = /metrics { llm_metrics; }',
            location => 'llm_limit $arg_key max_parallel_requests=2; llm_idle_timeout 60s;
                llm_timeout 60s;'));
        $t->start;
        $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
        my $ask = sub {
            my ($key) = @_;
            return $t->stream($pair->path(1) . "?key=$key", $pair->question(stream => 1));
        };
        my $uncounted = sub {
            return $t->get('/metrics')->{body} =~ /^llm_limit_uncounted_total (\d+)/m ? $1 : 0;
        };
        my ($on, $refused) = LLM::Limits::open_all(640, $ask);
        my ($cells) = $t->get('/metrics')->{body}
            =~ /^llm_limit_cells\{kind="requests"\} (\d+)/m;
        is(scalar @$on, $policy eq 'deny' ? $cells : 640, "$cells cells: what is let in");
        is_deeply([grep { $_->status != 503 || $_->header('retry-after') != 1 } @$refused], [],
            'the others get 503, and may come again');
        is($uncounted->(), 640 - $cells, 'all without a cell are told of');
        $t->log_like(qr/\[warn\].*llm: the zone is full, a limit could not be counted/, 'in the log');

        my ($more, $none) = LLM::Limits::open_all(3, sub { $ask->('late') });
        is(scalar @$more, $policy eq 'deny' ? 0 : 3, 'a limit that cannot be kept');
        is($uncounted->(), 643 - $cells, 'is told of');
        $_->close for splice @$on, 0, 4;
        $t->wait_for(sub { my $s = $ask->('late'); my $is_on = $s->status == 200;
            $s->close if $is_on; $is_on }, 5, 'cells that are free are taken') if $policy eq 'deny';
        $_->close for @$on, @$more;
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
        ($more) = LLM::Limits::open_all(3, sub { $ask->('late') });
        is(scalar @$more, 2, 'then the limit holds');
        $_->close for @$more;
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
        $t->done;
    };
}

subtest 'more limits of one request than a cell has places' => sub {
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);
    my $rows = join '', map { "llm_limit a\$arg_n$_ max_parallel_requests=9 tpm=100000 max_budget=9;" }
        1 .. 14;
    $t->http_conf(LLM::Pair::conf($p, location => "$rows llm_reserve_tokens 10; llm_on_limit cut;
        llm_limit b\$arg_key max_parallel_requests=2; llm_limit c\$arg_tokens tpm=60;"));
    $t->start;
    my $ask = sub { return $t->stream($pair->path(1) . "?$_[0]", $pair->question(stream => 1)) };
    $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
    my ($on, $refused) = LLM::Limits::open_all(9, sub { $ask->("key=1&tokens=$_[0]") });
    is(scalar @$on, 2, 'the last one holds');
    $p->release;
    $_->all_events for @$on;
    ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    ($on) = LLM::Limits::open_all(3, sub { $ask->("key=1&tokens=$_[0]") });
    is(scalar @$on, 2, 'and has its places again');
    $_->close for @$on;
    ok(LLM::Pair::wait_idle($t), 'nothing is in flight');

    $p->clear;
    $p->script($pair->streamed(text => [('word ') x 500]));
    my $s = $ask->('key=2&tokens=cut');
    my @events = $s->all_events;
    ok($pair->error_event(\@events), 'a stream that outgrows it is cut');
    ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    $t->done;
};

# A zone that is taken has room for all of its tables, what was spent is in the last of them.
subtest 'a zone that is too small is refused' => sub {
    my $t = LLM::Test->new(workers => 2);
    my $conf = sub { return "llm_zone $_[0];
        llm_provider mock {} llm_model m { deployment mock/x input_cost=0.001 output_cost=0.001; }
        llm_master_key sk-master;
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { llm_pass models; }
            location /admin/ { llm_admin; }
            location = /metrics { llm_metrics; }
        }" };
    my ($code, $output) = $t->config_test($conf->('1m'));
    is($code, 1, '1m');
    my $named = qr/zone size "[^"]*" is too small, the minimum is (\d+)k in \S+:\d+/;
    like($output, $named, 'says why, where and how much is needed');
    my ($least) = $output =~ $named;
    is(($t->config_test($conf->($least - 64 . 'k')))[0], 1, 'that is the least one');
    like(($t->config_test($conf->($_)))[1], qr/the minimum is ${least}k/, "as $_ is told") for 0, '4k';
    my @refused = grep { ($t->config_test($conf->($_ . 'k')))[0] } map { $least + 512 * $_ } 0 .. 13;
    is_deeply(\@refused, [], 'larger ones are taken');

    $t->http_conf($conf->($least . 'k'))->start;
    my @master = (headers => { 'x-api-key' => 'sk-master' });
    my $r = $t->post('/v1/chat/completions', { model => 'm', messages => [{ role => 'user',
        content => 'x' }] }, @master);
    is($r->{status}, 200, 'a request');
    $t->wait_for(sub { $t->get('/admin/global/spend', @master)->{json}{spend} > 0 }, 5, 'its cost');
    is(scalar @{ $t->get('/admin/spend/logs', @master)->{json} }, 1, 'is shown');
    like($t->get('/metrics', @master)->{body}, qr/^llm_cost_dollars_total\{.*model="m"/m, 'and counted');
    is($t->post('/admin/key/generate', {}, @master)->{status}, 200, 'a key has room');
    $t->done;
};
done_testing();
