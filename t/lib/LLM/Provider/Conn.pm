# One connection of the provider process: reads requests, carries out the operations of an
# answer (see LLM::Provider::Script) without ever blocking.
#
# new($server, $socket, $id), on_readable, on_writable, on_time, release; the server calls
# them. wants_read, wants_write and wake tell the server what to wait for.
#
# States: handshake, idle (between requests), head, body, answer, linger (we closed our side
# and wait for the peer), gone.

package LLM::Provider::Conn;

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

sub new {
    my ($class, $server, $sock, $id) = @_;

    $sock->blocking(0);
    setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, pack('i', 1));
    my $self = bless {
        server => $server, sock => $sock, fd => fileno $sock, in => '', out => '', ops => [],
        state => 'idle', wants_read => 1,
        info => { id => $id, opened => time, closed => undef, closed_by_peer => 0,
            requests => 0, sent => 0, received => 0 },
    }, $class;
    if (my $answer = $server->accept_answer) {
        $self->_begin($answer);
    } elsif ($server->{tls}) {
        $self->{state} = 'handshake';
        $self->{sock} = $server->start_tls($sock) or $self->_gone(0);
    }
    return $self;
}

sub wants_read  { return $_[0]{state} ne 'gone' && $_[0]{wants_read} }
sub wants_write { return length $_[0]{out} || $_[0]{tls_write} }
sub wake        { return $_[0]{wake} }
sub held        { return $_[0]{held} }

sub _again {
    my ($self) = @_;

    return 1 if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
    return 0 unless $self->{sock}->can('stop_SSL');         # not, or no longer, TLS
    no warnings 'once';
    my $error = $IO::Socket::SSL::SSL_ERROR || 0;
    $self->{tls_write} = $error == IO::Socket::SSL::SSL_WANT_WRITE();
    return $self->{tls_write} || $error == IO::Socket::SSL::SSL_WANT_READ();
}

sub _handshake {
    my ($self) = @_;

    $self->{tls_write} = 0;
    if ($self->{sock}->accept_SSL) {
        $self->{state} = 'idle';
        $self->{info}{tls_sni} = $self->{sock}->get_servername;
        return 1;
    }
    return 0 if $self->_again;
    $self->{info}{tls_error} = "$IO::Socket::SSL::SSL_ERROR";
    $self->_gone(1);
    return 0;
}

sub on_readable {
    my ($self) = @_;

    if ($self->{state} eq 'handshake') {
        $self->_handshake or return;
    }
    while (1) {
        my $n = sysread $self->{sock}, my $buf, 65536;
        if (!defined $n) {
            return if $self->_again;
            $self->{info}{error} = "$!";
            return $self->_gone(1);
        }
        return $self->_gone(1) if $n == 0;
        $self->{info}{received} += $n;
        next if $self->{state} eq 'linger';
        $self->{in} .= $buf;
        if ($self->{stale} && $self->{state} eq 'idle') {
            $self->{info}{stale_hit} = 1;
            $self->{ops} = [[$self->{stale} eq 'close' ? 'drop' : 'reset']];
            $self->{state} = 'answer';
            return $self->_run;
        }
        $self->_parse;
        return unless $self->wants_read;
        # TLS may hold decrypted bytes that select() does not see.
        last if $n < 65536 && !($self->{sock}->can('pending') && $self->{sock}->pending);
    }
    return;
}

sub on_writable {
    my ($self) = @_;

    if ($self->{state} eq 'handshake') {
        $self->on_readable if $self->_handshake;
        return;
    }
    $self->{tls_write} = 0;
    $self->_run;
    return;
}

sub on_time {
    my ($self) = @_;

    delete $self->{wake};
    return $self->{state} eq 'linger' ? $self->_gone(0) : $self->_run;
}

sub release {
    my ($self) = @_;

    $self->{held} = 0;
    return $self->_run;
}

# Requests

sub _parse {
    my ($self) = @_;

    if ($self->{state} eq 'idle' || $self->{state} eq 'head') {
        $self->{state} = 'head' if length $self->{in};
        $self->{in} =~ s/\A(?:\r\n)+//;
        $self->{in} =~ /\r\n\r\n/ or return;
        $self->_head(substr $self->{in}, 0, $+[0], '');
    }
    $self->_body if $self->{state} eq 'body' || $self->{drain};
    return;
}

sub _head {
    my ($self, $head) = @_;
    my ($line, @fields) = split /\r\n/, $head;
    my ($method, $path, $version) = split / /, $line;
    my (%headers, @list);

    for my $field (@fields) {
        my ($name, $value) = split /:[ \t]*/, $field, 2;
        push @list, [$name, $value];
        $name = lc $name;
        $headers{$name} = exists $headers{$name} ? "$headers{$name}, $value" : $value;
    }
    my $request = $self->{request} = {
        method => $method, path => $path, version => $version, headers => \%headers,
        header_list => \@list, raw_head => $head, body => '', conn => $self->{info}{id},
        tls_sni => $self->{info}{tls_sni}, at => time, complete => 0,
    };
    $self->{info}{requests}++;
    my $te = $headers{'transfer-encoding'};
    $self->{chunk} = defined $te && $te =~ /chunked/i ? 'size' : undef;
    $self->{left} = $headers{'content-length'} || 0;
    my $connection = $headers{connection} || '';
    $self->{close_wanted} = $connection =~ /close/i
        || ($version || '') =~ /1\.0/ && $connection !~ /keep-alive/i;
    $self->{state} = 'body';
    my $answer = $self->{server}->early_answer($request) or return;
    $self->{server}->record($request);
    $self->{drain} = 1;
    $self->{wants_read} = 0;                # the peer's sending blocks until we have answered
    $self->_begin($answer);
    return;
}

sub _body {
    my ($self) = @_;
    my $request = $self->{request};

    if (defined $self->{chunk}) {
        $self->_chunks($request) or return;
    } else {
        my $piece = substr $self->{in}, 0, $self->{left}, '';
        $self->{left} -= length $piece;
        $request->{body} .= $piece;
        return if $self->{left};
    }
    $request->{complete} = 1;
    $request->{at} = time unless $self->{drain};
    if ($self->{drain}) {
        $self->{drain} = 0;
        $self->_idle if $self->{state} eq 'body';
        return;
    }
    $self->{state} = 'answer';
    $self->{server}->record($request);
    $self->_begin($self->{server}->answer_for($request));
    return;
}

# True when the last chunk was read.
sub _chunks {
    my ($self, $request) = @_;

    while (1) {
        if ($self->{chunk} eq 'size') {
            $self->{in} =~ s/\A([0-9A-Fa-f]+)[^\r\n]*\r\n// or return 0;
            $self->{left} = hex $1;
            $self->{chunk} = $self->{left} ? 'data' : 'trailer';
        } elsif ($self->{chunk} eq 'data') {
            return 0 if length $self->{in} < $self->{left} + 2;
            $request->{body} .= substr $self->{in}, 0, $self->{left}, '';
            substr $self->{in}, 0, 2, '';
            $self->{chunk} = 'size';
        } else {
            $self->{in} =~ s/\A([^\r\n]*)\r\n// or return 0;
            return 1 if $1 eq '';
        }
    }
}

# Answers

sub _begin {
    my ($self, $answer) = @_;

    $self->{state} = 'answer';
    $self->{ops} = [map { [@$_] } @{$answer->{ops}}];
    @$self{qw(stale close_after)} = @$answer{qw(stale close_after)};
    return $self->_run;
}

# Carries out operations until one has to wait.
sub _run {
    my ($self) = @_;

    while ($self->{state} ne 'gone') {
        if (length $self->{out}) {
            $self->_write or return;
        }
        return if $self->{state} eq 'linger' || $self->{held} || $self->{wake};
        my $op = shift @{$self->{ops}} or return;
        my ($name, $arg) = @$op;
        if ($name eq 'send') {
            $self->{out} = $arg;
        } elsif ($name eq 'flood') {
            my $times = 1 + int(65536 / (length($arg) || 1));
            $times = $op->[2] if $times > $op->[2];
            $self->{out} = $arg x $times;
            $op->[2] -= $times;
            unshift @{$self->{ops}}, $op if $op->[2] > 0;
        } elsif ($name eq 'wait') {
            $self->{wake} = time + $arg;
        } elsif ($name eq 'hold') {
            $self->{held} = 1 unless $self->{server}{release_all};
        } elsif ($name eq 'stall') {
            $self->{ops} = [];
            return;
        } elsif ($name eq 'end') {
            return $self->_end;
        } elsif ($name eq 'close') {
            return $self->_close(1);
        } elsif ($name eq 'drop') {
            return $self->_close(0);
        } elsif ($name eq 'reset') {
            setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
            return $self->_gone(0);
        }
    }
    return;
}

# True when everything was written.
sub _write {
    my ($self) = @_;

    while (length $self->{out}) {
        my $n = syswrite $self->{sock}, $self->{out};
        if (!defined $n) {
            return 0 if $self->_again;
            $self->{info}{error} = "$!";
            $self->_gone(1);
            return 0;
        }
        $self->{info}{sent} += $n;
        substr $self->{out}, 0, $n, '';
    }
    return 1;
}

# The answer is complete.
sub _end {
    my ($self) = @_;

    $self->{wants_read} = 1;
    my $after = delete $self->{close_after};
    if ($after) {
        $self->{ops} = [$after eq 'release' ? ['hold'] : (), ['close']];
        return $self->_run;
    }
    return $self->_close(1) if $self->{close_wanted} && !$self->{drain};
    if ($self->{drain}) {
        $self->{state} = 'body';
        return $self->_body;
    }
    return $self->_idle;
}

sub _idle {
    my ($self) = @_;

    return $self->_close(1) if $self->{close_wanted};
    $self->{state} = 'idle';
    delete $self->{request};
    $self->_parse if length $self->{in};
    return;
}

# Closes our side and reads on until the peer closes: closing at once, with unread bytes in
# the kernel, would send a reset in place of an orderly end.
sub _close {
    my ($self, $notify) = @_;

    if ($self->{server}{tls} && $notify && $self->{sock}->can('stop_SSL')
        && $self->{info}{tls_done}++ == 0)
    {
        $self->{sock}->stop_SSL(SSL_fast_shutdown => 1, SSL_ctx_free => 0);
    }
    shutdown $self->{sock}, 1;
    $self->{info}{closed} = time;
    @$self{qw(state wants_read wake)} = ('linger', 1, time + 5);
    return;
}

sub _gone {
    my ($self, $by_peer) = @_;

    return if $self->{state} eq 'gone';
    unless ($self->{info}{closed}) {
        $self->{info}{closed} = time;
        $self->{info}{closed_by_peer} = $by_peer ? 1 : 0;
    }
    @$self{qw(state out held tls_write)} = ('gone', '', 0, 0);
    $self->{ops} = [];
    delete $self->{wake};
    my $sock = $self->{sock};
    if ($sock) {
        $sock->can('stop_SSL') ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
    }
    return;
}

1;
