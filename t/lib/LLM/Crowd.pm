# Many clients in one process: thousands of requests over some dozen connections that are kept.
#
#     my @answers = LLM::Crowd::ask($t, \@jobs, at_once => 48);
#
# A job is {path, body (text), headers => [NAME => VALUE, ...], leave => N}; leave: the client resets
# its connection when N bytes of the answer's body have come. An answer, in the order of the jobs, is
# {status, clean, left}: clean when it ended as its framing says, left when the client went.
#
#     my $served = LLM::Crowd::pour($t, $request, 20_000);
#
# So many times the same request (bytes), many behind each other on a few connections: how many were
# answered with 200. A fourth argument is called once in the middle of the first ones.

package LLM::Crowd;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);
use LLM::Http qw(build_request);
use LLM::Port qw(slow);

sub ask {
    my ($t, $jobs, %o) = @_;
    my ($next, $open, @answers, %at) = (0, 0);
    my $select = IO::Select->new;
    my $deadline = time + slow($o{timeout} // 60);

    local $SIG{PIPE} = 'IGNORE';
    my $begin = sub {
        my ($socket) = @_;

        return if $next >= @$jobs;
        if (!$socket) {
            $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port)
                or die "connect: $!\n";
            $select->add($socket);
            $open++;
        }
        my $job = $jobs->[$next];
        my $request = build_request(method => 'POST', path => $job->{path}, body => $job->{body},
            headers => ['Content-Type' => 'application/json', @{$job->{headers} || []}]);
        $at{ fileno $socket } = { number => $next++, job => $job, size => 0,
            http => LLM::Http->new(method => 'POST') };
        my $sent = syswrite $socket, $request;
        die "a request did not fit\n" if !defined $sent || $sent < length $request;
        return;
    };
    # Closed by either side.
    my $drop = sub {
        my ($socket) = @_;

        $select->remove($socket);
        delete $at{ fileno $socket };
        close $socket;
        $open--;
        $begin->();
        return;
    };
    $begin->() while $open < ($o{at_once} // 48) && $next < @$jobs;
    while ($open) {
        my $left = $deadline - time;
        my @ready = $left > 0 ? $select->can_read($left) : ();
        die scalar(@answers) . ' of ' . @$jobs . " answers came\n" unless @ready;
        for my $socket (@ready) {
            my $one = $at{ fileno $socket };
            my $http = $one->{http};
            my $got = sysread $socket, my $bytes, 65536;
            $got ? $http->feed($bytes) : $http->end;
            $one->{size} += length $http->take;
            my $leaves = $one->{job}{leave} && $one->{size} >= $one->{job}{leave};
            next unless $http->{done} || $leaves;
            my $is_first = !$answers[$one->{number}]++;
            $answers[$one->{number}] = { status => $http->{status}, left => $leaves && !$http->{done},
                clean => $http->{clean} } if $is_first;
            if ($leaves) {
                setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
            }
            my $is_kept = $got && !$leaves && $http->{clean} && $next < @$jobs
                && lc($http->{headers}{connection} // '') ne 'close';
            $is_kept ? $begin->($socket) : $drop->($socket);
        }
    }
    return @answers;
}

sub pour {
    my ($t, $request, $n, $then) = @_;
    my ($select, $served, %left, %tail) = (IO::Select->new, 0);
    my $deadline = time + slow(30);
    my $send = sub {
        my ($socket) = @_;
        my $many = $n < 50 ? $n : 50;

        $n -= $many;
        $left{$socket} = $many;
        $tail{$socket} = '';
        return $many > 0 && syswrite $socket, $request x $many;
    };

    for (1 .. 8) {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port)
            or die "connect: $!\n";
        $select->add($socket) if $send->($socket);
    }
    while ($select->count && time < $deadline) {
        for my $socket ($select->can_read(1)) {
            my $got = sysread $socket, my $bytes, 1 << 16;
            # A status line may come in two pieces.
            my $text = $tail{$socket} . ($bytes // '');
            while ($text =~ m{HTTP/1\.1 (\d+) }g) {
                $left{$socket}--;
                $served++ if $1 == 200;
            }
            $then->() if $then && $served > 200;
            $then = undef if $served > 200;
            $tail{$socket} = $text =~ m{(H[TP/1. \d]*)\z} ? $1 : '';
            $select->remove($socket) if !$got || ($left{$socket} <= 0 && !$send->($socket));
        }
    }
    return $served;
}

1;
