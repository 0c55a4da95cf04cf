# A client that reads an answer as it comes, with a deadline on every read.
#
# my $s = LLM::Stream->open(port => N, path => '/v1/messages', body => $bytes, ...);
#     (tests use $t->stream(...)); also: host, tls, ca, method, headers, chunked, http10,
#     raw (bytes to send in place of a request), rcvbuf, timeout (default of every read)
# $s->status, $s->headers           wait for the head of the answer
# $s->next_event($timeout)          see LLM::Sse; undef at the end ($s->eof) or too late
#                                   ($s->timed_out)
# $s->all_events($timeout)          the remaining ones; $timeout is for all of them
# $s->read_body($timeout)           read to the end, return the whole body
# $s->body, $s->rest                body so far; unfinished event at its end
# $s->eof, $s->clean_end            the answer ended; it ended as its framing promised
# $s->send($bytes), $s->close, $s->reset
# check_chat, check_messages, assemble_chat, assemble_messages: see LLM::Stream::Grammar and
# LLM::Stream::Assemble.
#
# Nothing is read except inside a call that waits: a test that does not call is a slow client.

package LLM::Stream;

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SO_RCVBUF);
use Time::HiRes qw(time);
use LLM::Http qw(build_request);
use LLM::Port qw(slow);
use LLM::Sse;
use LLM::Stream::Assemble ();
use LLM::Stream::Grammar ();

*check_chat        = \&LLM::Stream::Grammar::check_chat;
*check_messages    = \&LLM::Stream::Grammar::check_messages;
*assemble_chat     = \&LLM::Stream::Assemble::assemble_chat;
*assemble_messages = \&LLM::Stream::Assemble::assemble_messages;

sub open {
    my ($class, %o) = @_;
    my $method = $o{method} || 'POST';
    my $self = bless {
        timeout => slow($o{timeout} || 10), started => time, body => '', events => [],
        http => LLM::Http->new(method => $method), sse => LLM::Sse->new, out => '',
    }, $class;

    local $SIG{PIPE} = 'IGNORE';
    if ($o{conn}) {
        @$self{qw(sock tls)} = @{$o{conn}}{qw(sock tls)};
        delete $o{conn}{sock};
    } else {
        $self->_connect(%o);
    }
    $self->{out} = defined $o{raw} ? $o{raw} : build_request(%o, method => $method);
    $self->_flush($self->{timeout}) if $self->{sock};
    return $self;
}

sub _connect {
    my ($self, %o) = @_;

    my $sock = IO::Socket::INET->new(
        PeerAddr => $o{host} || '127.0.0.1', PeerPort => $o{port}, Proto => 'tcp',
        Timeout => $self->{timeout},
        $o{rcvbuf} ? (Sockopts => [[SO_RCVBUF, $o{rcvbuf}]]) : (),
    );
    unless ($sock) {
        $self->{error} = "connect to port $o{port}: $@";
        $self->{http}->end;
        return;
    }
    setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, pack('i', 1));
    if ($o{tls}) {
        require LLM::TLS;
        $self->{tls} = 1;
        $sock = LLM::TLS::connect_tls($sock, %o, timeout => $self->{timeout});
        unless ($sock) {
            $self->{error} = 'TLS: ' . LLM::TLS::last_error();
            $self->{http}->end;
            return;
        }
    }
    $sock->blocking(0);
    $self->{sock} = $sock;
    return;
}

# Reads while it writes: a server may answer before it has read the whole request.
sub _flush {
    my ($self, $timeout) = @_;
    my $deadline = time + $timeout;

    local $SIG{PIPE} = 'IGNORE';
    while (length $self->{out} && $self->{sock}) {
        my $n = syswrite $self->{sock}, $self->{out};
        if (defined $n) {
            substr $self->{out}, 0, $n, '';
            next;
        }
        if (!$self->_again) {
            $self->{write_error} = "$!";
            last;
        }
        my $left = $deadline - time;
        if ($left <= 0) {
            $self->{timed_out} = 1;
            last;
        }
        my ($r, $w) = ('', '');
        vec($r, fileno $self->{sock}, 1) = 1;
        vec($w, fileno $self->{sock}, 1) = 1;
        select($r, $w, undef, $left);
        $self->_read_now if vec($r, fileno $self->{sock}, 1);
    }
    return;
}

sub _again {
    my ($self) = @_;

    return 1 if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
    no warnings 'once';
    return $self->{tls} && ($IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_READ()
        || $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_WRITE());
}

# One read: true when bytes came or the connection ended.
sub _read_now {
    my ($self) = @_;

    my $n = sysread $self->{sock}, my $buf, 65536;
    if (!defined $n && $self->_again) {
        return 0;
    }
    if ($n) {
        $self->{received} += $n;
        $self->{first_byte} ||= time;
        $self->_took($buf);
    } else {
        $self->{read_error} = defined $n ? '' : "$!";
        $self->{peer_closed} = 1;
        $self->{http}->end;
        $self->_shut;
    }
    return 1;
}

sub _took {
    my ($self, $bytes) = @_;
    my $http = $self->{http};

    $http->feed($bytes);
    my $new = $http->take;
    if (length $new) {
        $self->{body} .= $new;
        push @{$self->{events}}, $self->{sse}->feed($new, time) if $self->_is_sse;
    }
    $self->{ended} ||= time if $http->{done};
    return;
}

sub _is_sse {
    my ($self) = @_;

    return $self->{is_sse} ||= ($self->{http}{headers}{'content-type'} || '')
        =~ m{\Atext/event-stream}i;
}

# Waits until $ready->() is true, the answer ended, or it is too late (returns false).
sub _until {
    my ($self, $ready, $timeout) = @_;
    my $deadline = time + (defined $timeout ? slow($timeout) : $self->{timeout});

    $self->{timed_out} = 0;
    until ($ready->()) {
        return 0 if $self->{http}{done} || !$self->{sock};
        next if $self->{tls} && $self->{sock}->pending && $self->_read_now;
        my $left = $deadline - time;
        if ($left <= 0 || !IO::Select->new($self->{sock})->can_read($left)) {
            next if $left > 0 && time < $deadline;
            $self->{timed_out} = 1;
            return 0;
        }
        $self->_read_now;
    }
    return 1;
}

sub status {
    my ($self, $timeout) = @_;

    $self->_until(sub { $self->{http}{head_done} }, $timeout);
    return $self->{http}{status} || 0;
}

sub headers   { $_[0]->status; return $_[0]{http}{headers} }
sub header    { $_[0]->status; return $_[0]{http}{headers}{lc $_[1]} }
sub timed_out { return $_[0]{timed_out} ? 1 : 0 }
sub body      { return $_[0]{body} }
sub rest      { return $_[0]{sse}->rest }
sub error     { return $_[0]{error} || $_[0]{read_error} }
sub problems  { return $_[0]{http}->all_problems }
sub clean_end { return $_[0]{http}{done} && $_[0]{http}{clean} ? 1 : 0 }
sub eof       { return $_[0]{http}{done} && !@{$_[0]{events}} ? 1 : 0 }

sub next_event {
    my ($self, $timeout) = @_;

    $self->_until(sub { @{$self->{events}} }, $timeout);
    return shift @{$self->{events}};
}

# The next event that is not a comment.
sub next_data {
    my ($self, $timeout) = @_;

    while (my $event = $self->next_event($timeout)) {
        return $event unless defined $event->{comment};
    }
    return undef;
}

sub all_events {
    my ($self, $timeout) = @_;

    $self->_until(sub { 0 }, $timeout);
    my @events = splice @{$self->{events}};
    return @events;
}

sub read_body {
    my ($self, $timeout) = @_;

    $self->_until(sub { 0 }, $timeout);
    return $self->{body};
}

# Waits until the server has closed the connection (not only ended the answer).
sub wait_peer_close {
    my ($self, $timeout) = @_;
    my $deadline = time + (defined $timeout ? slow($timeout) : $self->{timeout});

    while ($self->{sock} && time < $deadline) {
        IO::Select->new($self->{sock})->can_read($deadline - time) and $self->_read_now;
    }
    return $self->{peer_closed} ? 1 : 0;
}

sub send {
    my ($self, $bytes, $timeout) = @_;

    $self->{out} .= $bytes;
    $self->_flush(defined $timeout ? slow($timeout) : $self->{timeout});
    return length $self->{out} || $self->{write_error} ? 0 : 1;
}

sub _shut {
    my ($self) = @_;
    my $sock = delete $self->{sock} or return;

    $self->{tls} ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
    return;
}

sub close {
    my ($self) = @_;

    $self->_shut;
    $self->{http}->end;
    return;
}

sub reset {
    my ($self) = @_;

    setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $self->{sock};
    return $self->close;
}

# The whole answer as a hash, as LLM::Test::request returns it.
sub answer {
    my ($self) = @_;
    my $http = $self->{http};

    return {
        status => $http->{status} || 0, reason => $http->{reason}, version => $http->{version},
        headers => $http->{headers}, header_list => $http->{header_list},
        raw_headers => $http->{raw_head}, body => $self->{body},
        json => LLM::Json::try_json($self->{body}), clean => $self->clean_end,
        time => ($self->{ended} || time) - $self->{started}, error => $self->error,
        timed_out => $self->timed_out, rest => $http->{rest},
    };
}

1;
