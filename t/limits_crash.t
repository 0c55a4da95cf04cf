# Cases 17 and 58: the places of a worker that was killed are free within a second, those of workers
# that live stay taken, also of old ones that finish their streams after a reload.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Port;
use LLM::Provider;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time);

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf($store->conf . LLM::Pair::conf($p, provider => 'keepalive 0;',
        models => 'llm_provider mock {} llm_model played { deployment mock/x reply=hi; }',
        location => 'llm_limit $arg_key max_parallel_requests=50 tpm=100000; add_header X-Worker $pid;'));
    $t->start;
    my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;
    $p->script(sse($pair->events(text => 'one two', usage => { input_tokens => 0, output_tokens => 7 }),
        wait_for_release => 5));

    # Streams that are on; the limit is asked for by one more.
    my $open = sub { my ($key) = @_; return $t->stream($pair->path(1) . "?key=$key",
        $pair->question(stream => 1, max_tokens => 100)) };
    my $fill = sub {
        my ($key) = @_;
        my ($on) = LLM::Limits::open_all(50, sub { $open->($key) });
        is(scalar @$on, 50, 'fifty are on');
        is($open->($key)->status, 429, 'and no more');
        my %by_worker;
        push @{$by_worker{$_->header('x-worker')}}, $_ for @$on;
        return %by_worker;
    };
    # How many more are let in: all that are, the first of them within a second.
    my $room = sub {
        my ($key, $want) = @_;
        my @on;
        my $deadline = time + LLM::Port::slow(1);
        while (@on <= $want) {
            my $s = $open->($key);
            push @on, $s if $s->status == 200;
            last if $s->status != 200 && (@on >= $want || time > $deadline);
        }
        return @on;
    };
    my $end = sub {
        $p->release;
        my @whole = grep { $_->all_events; $_->clean_end } @_;
        is(scalar @whole, scalar @_, 'the living ones end well');
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    };

    subtest 'case 17: kill -9 of a worker' => sub {
        for my $round (1 .. 2) {
            my %by_worker = $fill->("kill$round");
            my ($pid) = sort { @{$by_worker{$b}} <=> @{$by_worker{$a}} } keys %by_worker;
            my $killed = delete $by_worker{$pid};
            $t->expect_log(qr/worker process $pid exited on signal 9/);
            $t->kill_worker('KILL', $pid);
            my @more = $room->("kill$round", scalar @$killed);
            is(scalar @more, scalar @$killed, 'as many as it held are let in, no more');
            $end->(@more, map { @$_ } values %by_worker);
        }
    };

    subtest 'case 58: an old worker holds its places until its streams end' => sub {
        my %by_worker = $fill->('reload');
        my @on = map { @$_ } values %by_worker;
        $t->reload;
        is($open->('reload')->status, 429, 'the new workers know of them');
        $end->(@on);
        my @more = $room->('reload', 50);
        is(scalar @more, 50, 'and of their end');
        $end->(@more);
    };

    subtest 'case 58: an old worker is killed before its streams end' => sub {
        my %by_worker = $fill->('drain');
        my ($pid) = sort { @{$by_worker{$b}} <=> @{$by_worker{$a}} } keys %by_worker;
        my $killed = delete $by_worker{$pid};
        $t->reload;
        is($open->('drain')->status, 429, 'it holds them after the reload');
        $t->expect_log(qr/worker process $pid exited on signal 9/);
        $t->kill_worker('KILL', $pid);
        my @more = $room->('drain', scalar @$killed);
        is(scalar @more, scalar @$killed, 'as many as it held are let in, no more');
        $end->(@more, map { @$_ } values %by_worker);
    };

    subtest 'a worker that is told to end at once' => sub {
        my %by_worker = $fill->('term');
        my ($pid) = sort { @{$by_worker{$b}} <=> @{$by_worker{$a}} } keys %by_worker;
        my $ended = delete $by_worker{$pid};
        $t->kill_worker('TERM', $pid);
        my @more = $room->('term', scalar @$ended);
        is(scalar @more, scalar @$ended, 'its places are free');
        $end->(@more, map { @$_ } values %by_worker);
    };
    # Wherever the blow falls, also in the middle of a change to the counters.
    subtest 'workers are killed again and again under load' => sub {
        my $ask = encode_json_c({ model => 'played', max_tokens => 3,
            messages => [{ role => 'user', content => 'x' }] });
        my $port = $t->port;
        local $SIG{PIPE} = 'IGNORE';
        my @load = map { my $n = $_; my $pid = fork // die "fork: $!"; $pid or do {
            my $end = time + 60;
            while (time < $end) {
                my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or next;
                my $size = length $ask;
                print {$s} "POST /v1/chat/completions?key=load$n HTTP/1.0\r\nContent-Type: "
                    . "application/json\r\nContent-Length: $size\r\n\r\n$ask";
                1 while sysread $s, my $bytes, 65536;
            }
            POSIX::_exit(0);
        } } 1 .. 4;
        for my $round (1 .. 20) {
            $t->wait_for(sub { $t->worker_pids == 2 }, 5, 'two workers') or last;
            my ($pid) = $t->worker_pids;
            $t->expect_log(qr/worker process $pid exited on signal 9/);
            $t->kill_worker('KILL', $pid);
        }
        kill 'KILL', @load;
        waitpid $_, 0 for @load;
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
        my @on = $room->('after', 50);
        is(scalar @on, 50, 'fifty are let in');
        $end->(@on);
    };
    $p->release(always => 1);
    $t->done;
});
done_testing();
