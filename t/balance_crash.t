# Case 17: what a worker held when it died, or was told to end, is free again within a second; the
# requests of other workers stay counted.

use strict;
use warnings;
use LLM::Test;
use LLM::Port;
use LLM::Provider;
use LLM::Pair;
use Time::HiRes qw(time);

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, provider => 'keepalive 0;',
    server => 'location = /count { default_type text/plain; return 200 "$pid $llm_in_flight"; }',
    location => 'add_header X-Worker $pid;'));
$t->start;
my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;
my $slot = 'messages/claude-sonnet-4-5';

# [in all, at the deployment], as the readiness page tells it.
sub in_flight {
    my $json = $t->get('/health/readiness')->{json} or return '? ?';
    my ($d) = grep { $_->{id} eq $slot } @{$json->{deployments}};

    return "$json->{in_flight} $d->{in_flight}";
}

# Streams that are on, by the worker that serves them.
sub open_streams {
    my ($n) = @_;
    my %by_worker;

    $p->script(sse($pair->events(text => 'one two'), wait_for_release => 5));
    for (1 .. $n) {
        my $s = $pair->stream($t);
        $s->next_event or die "no stream: " . $s->body;
        push @{$by_worker{$s->header('x-worker')}}, $s;
    }
    return %by_worker;
}

sub wait_in_flight {
    my ($want, $name) = @_;
    my $began = time;
    my $now;

    # A second is the promise; the new worker has to come up in it.
    do { $now = in_flight() } until $now eq $want || time - $began > LLM::Port::slow(1);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($now, $want, sprintf '%s (after %.3f s)', $name, time - $began);
    return;
}

sub finish {
    my (@streams) = @_;

    $p->release if @streams;
    my $whole = grep { my @e = $_->all_events; $_->clean_end && @e } @streams;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($whole, scalar @streams, 'the other streams end well');
    wait_in_flight('0 0', 'nothing is left');
    return;
}

subtest 'case 17: a worker is killed while it holds streams' => sub {
    for my $round (1 .. 3) {
        my %by_worker = open_streams(50);
        is(in_flight(), '50 50', "round $round: fifty are on");
        # The one with the most of them.
        my ($pid) = sort { @{$by_worker{$b}} <=> @{$by_worker{$a}} } keys %by_worker;
        my $killed = delete $by_worker{$pid};
        my @others = map { @$_ } values %by_worker;
        $t->expect_log(qr/worker process $pid exited on signal 9/);
        $t->kill_worker('KILL', $pid);
        my $n = @others;
        wait_in_flight("$n $n", scalar(@$killed) . " of a dead worker are gone, $n stay");
        ok(!grep({ $_->all_events; $_->clean_end } @$killed), 'its clients see the cut');
        finish(@others);
        ok($p->wait_closed('all'), 'the provider holds no connection');
    }
};

subtest 'all workers are killed at once' => sub {
    my %by_worker = open_streams(20);
    for my $pid ($t->worker_pids) {
        $t->expect_log(qr/worker process $pid exited on signal 9/);
        $t->kill_worker('KILL', $pid);
    }
    my $deadline = time + LLM::Port::slow(1);
    my $now = '';
    do { $now = in_flight() } until $now eq '0 0' || time > $deadline;
    is($now, '0 0', 'the new ones begin with nothing');
    ok($p->wait_closed('all'), 'the provider saw them go');
    my %new = open_streams(4);
    is(in_flight(), '4 4', 'and count on');
    finish(map { @$_ } values %new);
};

subtest 'a worker that is told to end at once' => sub {
    my %by_worker = open_streams(20);
    my ($pid) = sort { @{$by_worker{$b}} <=> @{$by_worker{$a}} } keys %by_worker;
    my $ended = delete $by_worker{$pid};
    my @others = map { @$_ } values %by_worker;
    $t->kill_worker('TERM', $pid);
    my $n = @others;
    wait_in_flight("$n $n", 'TERM: its places are free');
    my @told = grep { my @events = $_->all_events; $pair->error_event(\@events)
        && !grep { $_->{data} eq '[DONE]' } @events } @$ended;
    is(scalar @told, scalar @$ended, 'its clients are told of the cut');
    finish(@others);
};

subtest 'a worker that is told to end when it is done' => sub {
    my %by_worker = open_streams(20);
    my ($pid) = keys %by_worker;
    $t->kill_worker('QUIT', $pid);
    $t->wait_for(sub { !grep { $_ == $pid } $t->worker_pids }, 5, 'its leave');
    is(in_flight(), '20 20', 'QUIT: its streams stay counted');
    finish(map { @$_ } values %by_worker);
    ok($t->wait_for(sub { !LLM::Port::alive($pid) }, 10, 'its end'), 'it ends with the last one');
    $t->wait_for(sub { $t->worker_pids == 2 }, 5, 'a new one in its place');
};

subtest 'a client does not notice another worker\'s death' => sub {
    # Which worker accepts is the kernel's choice: more streams until both have some.
    my %by_worker;
    for (my $n = 0; keys %by_worker < 2 && $n < 200; $n += 10) {
        my %more = open_streams(10);
        push @{$by_worker{$_}}, @{$more{$_}} for keys %more;
    }
    my @pids = keys %by_worker;
    is(scalar @pids, 2, 'both workers have streams');
    my $pid = $pids[0];
    $t->expect_log(qr/worker process $pid exited on signal 9/);
    $t->kill_worker('KILL', $pid);
    $p->release;
    my @whole = grep { $_->all_events; $_->clean_end } @{$by_worker{$pids[1]}};
    is(scalar @whole, scalar @{$by_worker{$pids[1]}}, 'the streams beside it are whole');
};

# SIGTERM to all of nginx, in the middle of streams: no crash, the provider is left at once.
my %by_worker = open_streams(20);
$t->wait_for(sub { $t->worker_pids == 2 }, 5, 'both workers');
$t->signal('TERM');
ok($t->wait_for(sub { !grep { LLM::Port::alive($_) } keys %by_worker }, 5, 'the workers\' end'),
    'TERM ends the workers');
ok($p->wait_closed('all'), 'the provider saw every connection close');
$t->done;
