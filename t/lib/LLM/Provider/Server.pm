# The provider process: one loop over all connections and the control socket.
#
# run(listen => $socket, control => $socket, tls => {cert, key} or undef) never returns; it
# ends when the control socket does, that is when the test ends. Commands come as frames (see
# read_frame, write_frame) of a hash {do => NAME, ...}, each answered by one frame.

package LLM::Provider::Server;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use POSIX ();
use Storable ();
use Time::HiRes qw(time);
use LLM::Port qw(close_fds);
use LLM::Provider::Conn;

our @EXPORT_OK = qw(read_frame write_frame);

sub write_frame {
    my ($sock, $data) = @_;
    my $bytes = Storable::nfreeze($data);

    $bytes = pack('N', length $bytes) . $bytes;
    while (length $bytes) {
        my $n = syswrite $sock, $bytes;
        next if !defined $n && $!{EINTR};
        return 0 unless $n;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub read_frame {
    my ($sock) = @_;
    my $head = _read_exactly($sock, 4);
    return undef unless defined $head;
    my $bytes = _read_exactly($sock, unpack 'N', $head);
    return defined $bytes ? Storable::thaw($bytes) : undef;
}

sub _read_exactly {
    my ($sock, $want) = @_;
    my $got = '';

    while (length $got < $want) {
        my $n = sysread $sock, $got, $want - length $got, length $got;
        next if !defined $n && $!{EINTR};
        return undef unless $n;
    }
    return $got;
}

sub run {
    my (%o) = @_;
    my $self = bless {
        %o, conns => {}, all => [], requests => [], script => [], at => 0, rules => [], next => 1,
    }, __PACKAGE__;

    $SIG{$_} = 'IGNORE' for qw(INT PIPE HUP);
    $SIG{$_} = 'DEFAULT' for qw(TERM CHLD ALRM __DIE__ __WARN__);
    close_fds(fileno $o{listen}, fileno $o{control});
    $o{listen}->blocking(0);
    $self->{address} = [$o{listen}->sockhost, $o{listen}->sockport];
    if ($self->{tls}) {
        require IO::Socket::SSL;
        $self->{tls_context} = IO::Socket::SSL::SSL_Context->new(
            SSL_server => 1, SSL_cert_file => $self->{tls}{cert},
            SSL_key_file => $self->{tls}{key}, SSL_alpn_protocols => ['http/1.1'],
        ) or die "TLS context: $IO::Socket::SSL::SSL_ERROR";
    }
    $self->_turn while 1;
    return;
}

sub start_tls {
    my ($self, $sock) = @_;

    return IO::Socket::SSL->start_SSL($sock, SSL_server => 1, SSL_startHandshake => 0,
        SSL_reuse_ctx => $self->{tls_context});
}

# One turn of the loop.
sub _turn {
    my ($self) = @_;
    my ($r, $w) = ('', '');
    my $wake;

    vec($r, fileno $self->{control}, 1) = 1;
    vec($r, fileno $self->{listen}, 1) = 1 if $self->{listen};
    for my $conn (values %{$self->{conns}}) {
        vec($r, $conn->{fd}, 1) = 1 if $conn->wants_read;
        vec($w, $conn->{fd}, 1) = 1 if $conn->wants_write;
        my $at = $conn->wake;
        $wake = $at if $at && (!$wake || $at < $wake);
    }
    my $wait = $wake ? $wake - time : undef;
    $wait = 0 if defined $wait && $wait < 0;
    my $n = select($r, $w, undef, $wait);
    ($r, $w) = ('', '') if $n <= 0;

    my $now = time;
    for my $fd (keys %{$self->{conns}}) {
        my $conn = $self->{conns}{$fd};
        $conn->on_readable if vec($r, $fd, 1);
        $conn->on_writable if vec($w, $fd, 1) && $conn->{state} ne 'gone';
        $conn->on_time if $conn->wake && $conn->wake <= $now;
        delete $self->{conns}{$fd} if $conn->{state} eq 'gone';
    }
    $self->_accept if $self->{listen} && vec($r, fileno $self->{listen}, 1);
    $self->_command if vec($r, fileno $self->{control}, 1);
    return;
}

sub _accept {
    my ($self) = @_;

    while (my $sock = $self->{listen}->accept) {
        my $conn = LLM::Provider::Conn->new($self, $sock, $self->{next}++);
        push @{$self->{all}}, $conn->{info};
        $self->{conns}{$conn->{fd}} = $conn if $conn->{state} ne 'gone';
    }
    return;
}

# Which answer comes next

sub record { push @{$_[0]{requests}}, $_[1]; return }

sub _next {
    my ($queue) = @_;
    my $answer = $queue->{list}[$queue->{at}];

    $queue->{at}++ if $queue->{at} < $#{$queue->{list}};
    return $answer;
}

sub _queue_for {
    my ($self, $request) = @_;

    for my $rule (@{$self->{rules}}) {
        my $m = $rule->{match};
        my $line = "$request->{method} $request->{path}";
        next if defined $m->{path} && $m->{path} ne $request->{path} && $m->{path} ne $line;
        next if defined $m->{line} && $line !~ /$m->{line}/;
        next if defined $m->{body} && $request->{body} !~ /$m->{body}/;
        next if defined $m->{head} && $request->{raw_head} !~ /$m->{head}/;
        return $rule;
    }
    return $self->{script};
}

sub answer_for {
    my ($self, $request) = @_;
    my $queue = $self->_queue_for($request);

    return _next($queue) if ref $queue eq 'HASH' && @{$queue->{list}};
    my $body = '{"error":{"message":"the test gave no answer for this request"}}';
    return { ops => [['send', "HTTP/1.1 500 Internal Server Error\r\nContent-Type: "
        . "application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body"], ['end']] };
}

# An answer that begins before the body of the request is read.
sub early_answer {
    my ($self, $request) = @_;
    my $queue = $self->_queue_for($request);

    return undef unless ref $queue eq 'HASH' && @{$queue->{list}};
    return $queue->{list}[$queue->{at}]{early} ? _next($queue) : undef;
}

# An answer that begins before anything is read; only from the script.
sub accept_answer {
    my ($self) = @_;
    my $queue = $self->{script};

    return undef unless ref $queue eq 'HASH' && @{$queue->{list}};
    return $queue->{list}[$queue->{at}]{accept} ? _next($queue) : undef;
}

# Commands

sub _command {
    my ($self) = @_;
    my $command = read_frame($self->{control}) or POSIX::_exit(0);
    my $name = "_do_$command->{do}";
    my $result = eval { $self->$name($command) };

    write_frame($self->{control}, { result => $result, error => $@ }) or POSIX::_exit(0);
    return;
}

sub _do_script { $_[0]{script} = { list => $_[1]{answers}, at => 0 }; return 1 }

sub _do_on {
    my ($self, $c) = @_;

    @{$self->{rules}} = grep { $_->{key} ne $c->{key} } @{$self->{rules}};
    push @{$self->{rules}}, { key => $c->{key}, match => $c->{match}, list => $c->{answers},
        at => 0 } if @{$c->{answers}};
    return 1;
}

sub _do_requests {
    my ($self, $c) = @_;
    my @all = @{$self->{requests}};

    splice @all, 0, $c->{from};
    return \@all;
}

sub _do_count { return scalar @{$_[0]{requests}} }

sub _do_connections { return $_[0]{all} }

# What is still open stays listed.
sub _do_clear {
    my ($self) = @_;

    $self->{requests} = [];
    $self->{all} = [grep { !$_->{closed} } @{$self->{all}}];
    return 1;
}

sub _do_held {
    return [map { $_->{info}{id} } grep { $_->held } values %{$_[0]{conns}}];
}

sub _do_release {
    my ($self, $c) = @_;
    my @held = grep { $_->held && (!$c->{conn} || $_->{info}{id} == $c->{conn}) }
        values %{$self->{conns}};

    $self->{release_all} = 1 if $c->{always};
    $_->release for @held;
    return scalar @held;
}

# Close (or reset) connections that are open, whatever they are doing.
sub _do_kick {
    my ($self, $c) = @_;
    my @open = grep { !$c->{conn} || $_->{info}{id} == $c->{conn} } values %{$self->{conns}};

    for my $conn (@open) {
        @$conn{qw(out held)} = ('', 0);
        delete $conn->{wake};
        $conn->{ops} = [[$c->{reset} ? 'reset' : 'drop']];
        $conn->_run;
    }
    return scalar @open;
}

# Stop listening: connections are refused until the next 'up'.
sub _do_down { my ($self) = @_; close $self->{listen}; $self->{listen} = undef; return 1 }

sub _do_up {
    my ($self) = @_;

    return 1 if $self->{listen};
    my ($host, $port) = @{$self->{address}};
    $self->{listen} = IO::Socket::INET->new(LocalAddr => $host, LocalPort => $port,
        ReuseAddr => 1, Listen => 1024, Proto => 'tcp', Blocking => 0) or die "listen: $!\n";
    return 1;
}

1;
