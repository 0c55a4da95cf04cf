# What an HTTP/2 client does with the frames that come in; the other half of LLM::H2.
#
# _frames takes whole frames from {in} and hands each to _on_NAME. Streams are hashes in
# {streams}: {status, headers, header_list, trailers, body, events, ended, reset, frames,
# send_window}. What a server may not do goes into {errors}.

package LLM::H2::Frames;

use strict;
use warnings;
use Time::HiRes qw(time);
use LLM::Sse;

my %TYPE = (
    0 => 'data', 1 => 'headers', 2 => 'priority', 3 => 'rst_stream', 4 => 'settings',
    5 => 'push_promise', 6 => 'ping', 7 => 'goaway', 8 => 'window_update', 9 => 'continuation',
);
my ($END_STREAM, $ACK, $END_HEADERS, $PADDED, $PRIORITY) = (1, 1, 4, 8, 32);

sub _frames {
    my ($self) = @_;
    my $count = 0;

    while (length $self->{in} >= 9) {
        my ($size, $type, $flags, $id) = unpack 'a3CCN', $self->{in};
        $size = unpack 'N', "\0$size";
        last if length $self->{in} < 9 + $size;
        my $payload = substr $self->{in}, 9, $size;
        substr $self->{in}, 0, 9 + $size, '';
        $count++;
        my $name = $TYPE{$type} or next;
        $self->_error("frame of $size bytes") if $size > 16384;
        $self->_error("$name inside a header block") if $self->{block} && $type != 9;
        my $on = "_on_$name";
        $self->$on($flags, $id & 0x7fffffff, $payload);
    }
    return $count;
}

sub _error { push @{$_[0]{errors}}, $_[1]; return }

sub _unpadded {
    my ($flags, $payload) = @_;

    return $payload unless $flags & $PADDED;
    my $pad = ord $payload;
    return substr $payload, 1, length($payload) - 1 - $pad;
}

sub _stream_of {
    my ($self, $id, $what) = @_;
    my $stream = $self->{streams}{$id};

    if (!$stream) {
        $self->_error("$what for stream $id, which was never opened");
        return { id => $id, frames => [], body => '', sse => LLM::Sse->new, events => [] };
    }
    $self->_error("$what for stream $id after its end") if $stream->{ended};
    push @{$stream->{frames}}, $what;
    return $stream;
}

sub _on_data {
    my ($self, $flags, $id, $payload) = @_;
    my $stream = $self->_stream_of($id, 'data');
    my $data = _unpadded($flags, $payload);

    $self->_error("data for stream $id before its headers") unless $stream->{status};
    $stream->{body} .= $data;
    push @{$stream->{events}}, $stream->{sse}->feed($data, time)
        if ($stream->{headers}{'content-type'} || '') =~ m{\Atext/event-stream}i;
    $stream->{ended} = 1 if $flags & $END_STREAM;
    return unless length $payload && $self->{auto_window};
    $self->window(0, length $payload);
    $self->window($id, length $payload) unless $stream->{ended};
    return;
}

sub _on_headers {
    my ($self, $flags, $id, $payload) = @_;

    $payload = _unpadded($flags, $payload);
    substr $payload, 0, 5, '' if $flags & $PRIORITY;
    $self->{block} = { id => $id, end => $flags & $END_STREAM, bytes => $payload };
    $self->_block_done if $flags & $END_HEADERS;
    return;
}

sub _on_continuation {
    my ($self, $flags, $id, $payload) = @_;

    return $self->_error('continuation without headers') unless $self->{block};
    $self->{block}{bytes} .= $payload;
    $self->_block_done if $flags & $END_HEADERS;
    return;
}

sub _block_done {
    my ($self) = @_;
    my $block = delete $self->{block};
    my $stream = $self->_stream_of($block->{id}, 'headers');
    my @fields = eval { $self->{decoder}->decode($block->{bytes}) };

    $self->_error("header block: $@") if $@;
    my $trailers = $stream->{status};
    for my $field (@fields) {
        my ($name, $value) = @$field;
        $self->_error("header name '$name'") if $name =~ /[A-Z\s]/ || $name eq '';
        $self->_error("header $name in HTTP/2")
            if $name =~ /\A(?:connection|transfer-encoding|keep-alive|upgrade)\z/;
        if ($name eq ':status') {
            $stream->{status} = $value;
            next;
        }
        my $into = $stream->{$trailers ? 'trailers' : 'headers'} ||= {};
        $into->{$name} = defined $into->{$name} ? "$into->{$name}, $value" : $value;
        push @{$stream->{header_list}}, $field unless $trailers;
    }
    $self->_error("stream $block->{id}: no :status") unless $stream->{status};
    delete $stream->{status} if !$trailers && ($stream->{status} || 0) =~ /\A1\d\d\z/;
    $stream->{ended} = 1 if $block->{end};
    return;
}

sub _on_rst_stream {
    my ($self, $flags, $id, $payload) = @_;
    my $stream = $self->{streams}{$id} or return;

    # After a whole answer this only says that the rest of the request is not wanted.
    $stream->{reset} = unpack 'N', $payload unless $stream->{ended};
    return;
}

sub _on_settings {
    my ($self, $flags, $id, $payload) = @_;

    return if $flags & $ACK;
    while (length $payload >= 6) {
        my ($key, $value) = unpack 'nN', substr $payload, 0, 6, '';
        if ($key == 4) {
            $_->{send_window} += $value - $self->{peer_window} for values %{$self->{streams}};
            $self->{peer_window} = $value;
        }
        $self->{peer_frame} = $value if $key == 5;
    }
    return $self->_frame(4, $ACK, 0, '');
}

sub _on_window_update {
    my ($self, $flags, $id, $payload) = @_;
    my $target = $id ? $self->{streams}{$id} : $self;

    $target->{send_window} += unpack('N', $payload) & 0x7fffffff if $target;
    return;
}

sub _on_ping {
    my ($self, $flags, $id, $payload) = @_;

    if ($flags & $ACK) {
        $self->{pongs}++;
        return;
    }
    return $self->_frame(6, $ACK, 0, $payload);
}

sub _on_goaway {
    my ($self, $flags, $id, $payload) = @_;
    my ($last, $code) = unpack 'NN', $payload;

    $self->{goaway} = { last => $last & 0x7fffffff, code => $code };
    return;
}

sub _on_priority     { return }
sub _on_push_promise { return $_[0]->_error('a push that was forbidden') }

1;
