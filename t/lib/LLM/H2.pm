# A small HTTP/2 client: several streams on one connection, flow control under the test's
# control, cleartext with prior knowledge or TLS with ALPN.
#
#     my $h2 = LLM::H2->new(port => $t->port, tls => 0);
#     my $id = $h2->open(method => 'POST', path => '/v1/messages', headers => [k => v],
#         body => $bytes);                  # end => 0 leaves it open for send()
#     my $r = $h2->response($id);           # waits: {status, headers, body, ended, reset, json}
#     $h2->wait($id, sub { ... }), $h2->data($id), $h2->events($id), $h2->read_some
#     $h2->send($id, $bytes, $end), $h2->rst($id), $h2->window($id, $n), $h2->ping
#     $h2->close, $h2->drop
#
# new: port, host, tls, ca, servername, window => N (initial window of every stream),
# auto_window => 0 (never send WINDOW_UPDATE: the streams' windows close), timeout.
# open: content_length => 1 adds the header. errors() lists what broke the protocol. What
# comes in is handled in LLM::H2::Frames.

package LLM::H2;

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);
use LLM::H2::Frames;
use LLM::H2::Hpack;
use LLM::Http qw(header_pairs);
use LLM::Json qw(try_json);
use LLM::Port qw(slow);
use LLM::Sse;

our @ISA = ('LLM::H2::Frames');

my ($END_STREAM, $END_HEADERS) = (1, 4);

sub new {
    my ($class, %o) = @_;
    my $self = bless {
        auto_window => 1, timeout => 10, %o, next => 1, streams => {}, in => '', out => '',
        errors => [], encoder => LLM::H2::Hpack->new, decoder => LLM::H2::Hpack->new,
        send_window => 65535, peer_window => 65535, peer_frame => 16384, pongs => 0,
    }, $class;
    my $sock = IO::Socket::INET->new(PeerAddr => $o{host} || '127.0.0.1',
        PeerPort => $o{port}, Proto => 'tcp', Timeout => slow($self->{timeout}))
        or die "connect to port $o{port}: $@\n";

    setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, pack('i', 1));
    if ($o{tls}) {
        require LLM::TLS;
        $sock = LLM::TLS::connect_tls($sock, %o, alpn => ['h2'])
            or die 'TLS: ' . LLM::TLS::last_error() . "\n";
        die "the server did not choose h2\n" if ($sock->alpn_selected || '') ne 'h2';
    }
    $sock->blocking(0);
    $self->{sock} = $sock;
    my $settings = pack 'nN', 2, 0;                         # no pushes
    $settings .= pack 'nN', 4, $o{window} if defined $o{window};
    $self->{out} = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    $self->_frame(4, 0, 0, $settings);
    # The connection's window is not what these tests are about: make it large.
    $self->_frame(8, 0, 0, pack 'N', (1 << 30) - 65535);
    return $self;
}

sub errors { return @{$_[0]{errors}} }
*problems = \&errors;
sub goaway { return $_[0]{goaway} }
sub gone   { return $_[0]{gone} ? 1 : 0 }
sub stream { return $_[0]{streams}{$_[1]} }

sub _frame {
    my ($self, $type, $flags, $id, $payload) = @_;

    $self->{out} .= substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $id)
        . $payload;
    return $self->_write;
}

sub _write {
    my ($self) = @_;

    local $SIG{PIPE} = 'IGNORE';
    while (length $self->{out} && $self->{sock}) {
        my $n = syswrite $self->{sock}, $self->{out};
        if (!defined $n) {
            return if $self->_again;
            return $self->_lost("write: $!");
        }
        substr $self->{out}, 0, $n, '';
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

sub _lost {
    my ($self, $why) = @_;

    $self->{gone} = $why || 'closed';
    my $sock = delete $self->{sock} or return;
    $self->{tls} ? $sock->close(SSL_no_shutdown => 1) : $sock->close;
    return;
}

# Requests

sub open {
    my ($self, %o) = @_;
    my $id = $self->{next};
    my $body = $o{body};
    my @fields = (
        [':method', $o{method} || 'POST'], [':scheme', $self->{tls} ? 'https' : 'http'],
        [':authority', $o{authority} || 'localhost'], [':path', $o{path} || '/'],
    );

    $self->{next} += 2;
    push @fields, map { [lc $_->[0], $_->[1]] } header_pairs($o{headers});
    push @fields, ['content-length', length $body] if $o{content_length} && defined $body;
    $self->{streams}{$id} = {
        id => $id, header_list => [], headers => {}, body => '', sse => LLM::Sse->new,
        events => [], send_window => $self->{peer_window}, frames => [],
    };
    my $end = !exists $o{end} || $o{end};
    my $has_body = defined $body && length $body;
    my $block = $self->{encoder}->encode(@fields);
    my $first = substr $block, 0, 16000, '';
    $self->_frame(1, ($end && !$has_body ? $END_STREAM : 0) | (length $block ? 0 : $END_HEADERS),
        $id, $first);
    while (length $block) {
        my $more = substr $block, 0, 16000, '';
        $self->_frame(9, length $block ? 0 : $END_HEADERS, $id, $more);
    }
    $self->send($id, $body, $end, $o{timeout}) if $has_body;
    return $id;
}

# Sends DATA as far as the windows allow, reading until they open; false when that took too
# long or the stream ended first.
sub send {
    my ($self, $id, $bytes, $end, $timeout) = @_;
    my $stream = $self->{streams}{$id};
    my $deadline = time + slow($timeout || $self->{timeout});

    while (1) {
        return 0 if defined $stream->{reset} || $stream->{ended} || $self->{gone};
        my $n = length $bytes;
        for my $limit ($stream->{send_window}, $self->{send_window}, $self->{peer_frame}) {
            $n = $limit if $limit < $n;
        }
        if ($n > 0 || !length $bytes) {
            my $piece = substr $bytes, 0, $n, '';
            $_->{send_window} -= $n for $stream, $self;
            $self->_frame(0, $end && !length $bytes ? $END_STREAM : 0, $id, $piece)
                if $n || $end;
            return 1 unless length $bytes;
            next;
        }
        return 0 if time > $deadline;
        $self->read_some($deadline - time);
    }
}

sub rst {
    my ($self, $id, $code) = @_;

    $self->{streams}{$id}{cancelled} = 1;
    return $self->_frame(3, 0, $id, pack 'N', defined $code ? $code : 8);
}

# Opens a window by hand; id 0 is the connection.
sub window { my ($self, $id, $n) = @_; return $self->_frame(8, 0, $id, pack 'N', $n) }

# Waits for the answer to a ping: everything sent before has been read by then.
sub ping {
    my ($self, $timeout) = @_;
    my $want = $self->{pongs} + 1;

    $self->_frame(6, 0, 0, pack 'NN', 1, $want);
    return $self->_until(sub { $self->{pongs} >= $want }, $timeout);
}

# Answers

sub _until {
    my ($self, $ready, $timeout) = @_;
    my $deadline = time + slow(defined $timeout ? $timeout : $self->{timeout});

    until ($ready->()) {
        return 0 if $self->{gone} || time >= $deadline;
        $self->read_some($deadline - time);
    }
    return 1;
}

# Until the condition is true of the stream, or the stream has ended.
sub wait {
    my ($self, $id, $condition, $timeout) = @_;
    my $stream = $self->{streams}{$id};

    $self->_until(sub { $condition->($stream) || $stream->{ended} || defined $stream->{reset} },
        $timeout);
    return $condition->($stream) ? 1 : 0;
}

sub response {
    my ($self, $id, $timeout) = @_;
    my $stream = $self->{streams}{$id};

    $self->wait($id, sub { $_[0]{ended} }, $timeout);
    return { (map { $_ => $stream->{$_} } qw(status headers header_list body ended reset)),
        json => try_json($stream->{body}), gone => $self->{gone} };
}

sub status  { my ($s, $id, $t) = @_; $s->wait($id, sub { $_[0]{status} }, $t);
    return $s->{streams}{$id}{status} }
sub data    { return $_[0]{streams}{$_[1]}{body} }
sub events  { my @e = splice @{$_[0]{streams}{$_[1]}{events}}; return @e }

sub next_event {
    my ($self, $id, $timeout) = @_;

    $self->wait($id, sub { @{$_[0]{events}} }, $timeout);
    return shift @{$self->{streams}{$id}{events}};
}

# Reads what is there, waiting for it; returns the number of frames, undef when too late.
sub read_some {
    my ($self, $timeout) = @_;
    my $sock = $self->{sock} or return undef;

    unless ($self->{tls} && $sock->pending) {
        my ($r, $w) = ('', '');
        vec($r, fileno $sock, 1) = 1;
        vec($w, fileno $sock, 1) = 1 if length $self->{out};
        select($r, $w, undef, defined $timeout ? $timeout : slow($self->{timeout})) > 0
            or return undef;
        $self->_write if vec($w, fileno $sock, 1);
        return 0 unless $self->{sock} && vec($r, fileno $sock, 1);
    }
    my $n = sysread $sock, $self->{in}, 65536, length $self->{in};
    return 0 if !defined $n && $self->_again;
    my $frames = $self->_frames;
    $self->_lost(defined $n ? 'closed' : "read: $!") unless $n;
    return $frames;
}

sub close {
    my ($self) = @_;

    $self->_frame(7, 0, 0, pack 'NN', 0, 0) if $self->{sock};
    return $self->_lost('closed by us');
}

# Without a word, as a client that crashed.
sub drop {
    my ($self) = @_;

    setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $self->{sock};
    return $self->_lost('dropped by us');
}

1;
