# How a scripted answer is written, and how it becomes operations of the provider process.
#
# Constructors (exported by LLM::Provider): json, sse, eventstream (the same in AWS's binary
# framing; the name of an event, or "exception:NAME", goes into its headers), answer, raw_answer; the steps hold,
# wait_s, raw, flood, drop, rst, stall; the connection answers silent, accept_then_close,
# accept_then_reset, tls_stall. compile($answer) returns
#     {ops => [[name, ...], ...], accept => bool, early => bool, stale =>, close_after =>}
#
# Options of json, sse and answer:
#     headers => {...} or [...], chunked, content_length, close (delimited by the end of the
#     connection), http10, delay => S, gap => S (between events), byte_gap => S,
#     bytewise => 1 (the body) or 'all' (head and framing too), split => [body offsets],
#     cut_after => N events (sse) or body bytes (others), cut_after_bytes => N,
#     reset => 1, stall => 1 (what happens at the cut, or before the terminator),
#     wait_for_release => N or [N, ...]: hold after N events; 'head': before anything,
#     early => 1 (after the head of the request) or 'accept', close_after => 1 or 'release',
#     stale => 1 (reset at the next request) or 'close'
#
# Operations: send BYTES; flood BYTES N; wait S; hold; end (keep-alive); close; drop (FIN
# without TLS close_notify); reset; stall.

package LLM::Provider::Script;

use strict;
use warnings;
use Compress::Zlib qw(crc32);
use Exporter 'import';
use LLM::Http qw(header_pairs);
use LLM::Json qw(encode_json_o);

our @EXPORT_OK = qw(json sse eventstream answer raw_answer hold wait_s raw flood drop rst stall silent
    accept_then_close accept_then_reset tls_stall compile sse_bytes);

my %is_option = map { $_ => 1 } qw(status headers chunked content_length close http10 delay gap
    byte_gap bytewise split cut_after cut_after_bytes reset stall wait_for_release early
    close_after stale);

my %reason = (
    200 => 'OK', 201 => 'Created', 204 => 'No Content', 301 => 'Moved Permanently',
    302 => 'Found', 307 => 'Temporary Redirect', 400 => 'Bad Request', 401 => 'Unauthorized',
    403 => 'Forbidden', 404 => 'Not Found', 408 => 'Request Timeout', 409 => 'Conflict',
    413 => 'Payload Too Large', 422 => 'Unprocessable Entity', 429 => 'Too Many Requests',
    500 => 'Internal Server Error', 502 => 'Bad Gateway', 503 => 'Service Unavailable',
    504 => 'Gateway Timeout', 529 => 'Overloaded',
);

sub _step { return bless [@_], 'LLM::Provider::Step' }

sub hold   { return _step('hold') }
sub wait_s { return _step('wait', $_[0]) }
sub raw    { return _step('send', $_[0]) }
sub flood  { return _step('flood', sse_bytes($_[0]), $_[1]) }
sub drop   { return _step('drop') }
sub rst    { return _step('reset') }
sub stall  { return _step('stall') }

sub silent            { return { kind => 'silent', @_ } }
sub accept_then_close { return { kind => 'on_accept', op => 'close' } }
sub accept_then_reset { return { kind => 'on_accept', op => 'reset' } }
sub tls_stall         { return { kind => 'on_accept', op => 'stall' } }
sub raw_answer        { return { kind => 'raw', steps => [@_] } }
sub answer            { return { @_ } }

sub json {
    my ($status, $data, %o) = @_;

    return { status => $status, json => $data, %o };
}

# Options follow the events; a known name as the last string but one is an option.
sub sse {
    my @events = @_;
    my %o;

    while (@events >= 2 && defined $events[-2] && !ref $events[-2] && $is_option{$events[-2]}) {
        my ($name, $value) = splice @events, -2;
        $o{$name} = $value unless exists $o{$name};
    }
    @events = map { _is_list($_) ? @$_ : $_ } @events;
    return { kind => 'sse', events => \@events, %o };
}

sub eventstream {
    my $made = sse(@_);
    my @pairs = header_pairs($made->{headers});

    push @pairs, ['Content-Type', 'application/vnd.amazon.eventstream']
        unless grep { lc $_->[0] eq 'content-type' } @pairs;
    return { %$made, headers => \@pairs, bytes_of => \&aws_bytes };
}

# [name, data] is one event; an array that begins with a reference is a list of events.
sub _is_list {
    my ($x) = @_;

    return ref $x eq 'ARRAY' && (!@$x || ref $x->[0] || @$x > 2);
}

sub sse_bytes {
    my ($event) = @_;
    my ($name, $data) = ref $event eq 'ARRAY' ? @$event : (undef, $event);

    $data = encode_json_o($data) if ref $data;
    utf8::encode($data) if utf8::is_utf8($data);
    my $text = defined $name ? "event: $name\n" : '';
    $text .= "data: $_\n" for split /\n/, $data, -1;
    return "$text\n";
}

# One message of an event stream: lengths, headers, payload, and two sums of CRC-32.
sub aws_bytes {
    my ($event) = @_;
    my ($name, $data) = @$event;
    my $kind = $name =~ s/\Aexception:// ? 'exception' : 'event';
    my %headers = ($kind eq 'event' ? ':event-type' : ':exception-type', $name,
        ':content-type', 'application/json', ':message-type', $kind);

    $data = encode_json_o($data) if ref $data;
    utf8::encode($data) if utf8::is_utf8($data);
    my $head = join '', map { pack 'C/a* C n/a*', $_, 7, $headers{$_} } sort keys %headers;
    my $prelude = pack 'N N', 16 + length($head) + length $data, length $head;
    my $message = $prelude . pack('N', crc32($prelude)) . $head . $data;
    return $message . pack 'N', crc32($message);
}

sub compile {
    my ($o) = @_;

    if (!ref $o) {
        my $make = __PACKAGE__->can($o) or die "no answer named '$o'\n";
        $o = $make->();
        $o = raw_answer($o) if ref $o eq 'LLM::Provider::Step';
    }
    $o = raw_answer(@$o) if ref $o eq 'ARRAY';
    $o = raw_answer($o) if ref $o eq 'LLM::Provider::Step';
    my $kind = $o->{kind} || 'body';
    if ($kind eq 'on_accept') {
        return { accept => 1, ops => [[$o->{op}]] };
    }
    if ($kind eq 'silent') {
        return { ops => [['stall']], early => 0 };
    }
    if ($kind eq 'raw') {
        my @ops = map { ref $_ ? [@$_] : /\A(?:end|close|drop|reset|stall|hold)\z/ ? [$_]
            : ['send', $_] } @{$o->{steps}};
        push @ops, ['close'] unless @ops && $ops[-1][0] =~ /\A(?:end|close|drop|reset|stall)\z/;
        return { ops => \@ops };
    }
    return {
        ops => _response_ops($o), accept => ($o->{early} || '') eq 'accept' ? 1 : 0,
        early => $o->{early} ? 1 : 0, stale => $o->{stale}, close_after => $o->{close_after},
    };
}

sub _response_ops {
    my ($o) = @_;
    my $sse = ($o->{kind} || '') eq 'sse';
    my @items;                                  # bytes of the body, and steps

    if ($sse) {
        # raw() in a stream is part of the body, only not made into an event.
        my $bytes_of = $o->{bytes_of} || \&sse_bytes;
        @items = map { ref $_ ne 'LLM::Provider::Step' ? $bytes_of->($_)
            : $_->[0] eq 'send' ? $_->[1] : $_ } @{$o->{events}};
    } else {
        my $body = exists $o->{json} ? ref $o->{json} ? encode_json_o($o->{json}) : $o->{json}
            : defined $o->{body} ? $o->{body} : '';
        utf8::encode($body) if utf8::is_utf8($body);
        @items = length $body ? ($body) : ();
    }
    my $length = 0;
    $length += !ref $_ ? length : $_->[0] eq 'flood' ? length($_->[1]) * $_->[2] : 0 for @items;
    my $framing = $o->{chunked} ? 'chunked' : $o->{content_length} ? 'length'
        : $o->{close} || ($o->{http10} && $sse) ? 'close' : $sse ? 'chunked' : 'length';

    my $cut = $o->{cut_after_bytes};
    if (defined $o->{cut_after} && $sse) {
        my $n = $o->{cut_after};
        my @kept;
        for my $item (@items) {
            last if !ref $item && $n-- <= 0;
            push @kept, $item;
        }
        @items = @kept;
    } elsif (defined $o->{cut_after}) {
        $cut = $o->{cut_after};
    }
    @items = _with_pauses($o, $sse, @items);
    @items = _cut_pieces($o, $cut, @items);
    my $broken = defined $o->{cut_after} || defined $cut || $o->{reset} || $o->{stall};

    my @ops;
    push @ops, ['hold'] if _held_at_head($o, $sse);
    push @ops, ['wait', $o->{delay}] if $o->{delay};
    push @ops, ['send', _head($o, $sse, $framing, $length)];
    for my $item (@items) {
        if (!ref $item) {
            push @ops, ['send', _frame($framing, $item)];
        } elsif ($item->[0] eq 'flood') {
            push @ops, ['flood', _frame($framing, $item->[1]), $item->[2]];
        } else {
            push @ops, [@$item];
        }
    }
    if ($broken) {
        push @ops, [$o->{reset} ? 'reset' : $o->{stall} ? 'stall' : 'drop'];
    } else {
        # With the last event, or a caller whose answer is whole by then could ask again before the
        # connection is free. A hold or a gap behind that event keeps them apart.
        if ($framing eq 'chunked') {
            push @ops, ['send', ''] if $ops[-1][0] ne 'send' || $o->{bytewise};
            $ops[-1][1] .= "0\r\n\r\n";
        }
        push @ops, [$framing eq 'close' ? 'close' : 'end'];
    }
    # One packet for a plain answer, as a real server would send it.
    if (!$sse && @ops >= 2 && !grep { $_->[0] !~ /\A(?:send|end)\z/ } @ops) {
        unless ($o->{bytewise} || $o->{split}) {
            @ops = (['send', join '', map { $_->[1] } grep { $_->[0] eq 'send' } @ops], ['end']);
        }
    }
    return ($o->{bytewise} || '') eq 'all' ? [map { _op_bytes($_, $o->{byte_gap}) } @ops] : \@ops;
}

sub _held_at_head {
    my ($o, $sse) = @_;
    my $w = $o->{wait_for_release};

    return 0 unless defined $w && $w;
    return 1 if !$sse;
    return grep { $_ eq 'head' } ref $w ? @$w : $w;
}

sub _op_bytes {
    my ($op, $gap) = @_;

    return $op unless $op->[0] eq 'send';
    return map { (['send', $_], $gap ? ['wait', $gap] : ()) } split //, $op->[1];
}

# Holds after the wanted numbers of events, gaps between events.
sub _with_pauses {
    my ($o, $sse, @items) = @_;
    my $w = $o->{wait_for_release};
    my %hold = map { $_ => 1 } $sse && defined $w ? ref $w ? @$w : $w : ();
    my ($n, @out) = (0);

    for my $item (@items) {
        push @out, _step('wait', $o->{gap}) if $o->{gap} && $n && !ref $item;
        push @out, $item;
        push @out, _step('hold') if !ref $item && $hold{++$n};
    }
    return @out;
}

# Divides the body at the wanted offsets, and ends it at $cut bytes.
sub _cut_pieces {
    my ($o, $cut, @items) = @_;
    my @splits = sort { $a <=> $b } @{$o->{split} || []};
    my ($at, @out) = (0);

    for my $item (@items) {
        if (ref $item) {
            push @out, $item;
            next;
        }
        last if defined $cut && $at >= $cut;
        $item = substr $item, 0, $cut - $at if defined $cut && $at + length $item > $cut;
        my @pieces;
        if ($o->{bytewise}) {
            @pieces = split //, $item;
        } else {
            my $from = 0;
            for my $to ((map { $_ - $at } @splits), length $item) {
                next if $to <= $from || $to > length $item;
                push @pieces, substr $item, $from, $to - $from;
                $from = $to;
            }
        }
        $at += length $item;
        for my $piece (@pieces) {
            push @out, $piece, $o->{byte_gap} ? _step('wait', $o->{byte_gap}) : ();
        }
    }
    return @out;
}

sub _frame {
    my ($framing, $bytes) = @_;

    return $framing eq 'chunked' ? sprintf("%x\r\n%s\r\n", length $bytes, $bytes) : $bytes;
}

sub _head {
    my ($o, $sse, $framing, $length) = @_;
    my $status = $o->{status} || 200;
    my @pairs = header_pairs($o->{headers});
    my %given = map { lc $_->[0] => 1 } @pairs;
    my @own;

    push @own, ['Content-Type', $sse ? 'text/event-stream; charset=utf-8' : 'application/json']
        unless $given{'content-type'};
    if ($framing eq 'chunked') {
        push @own, ['Transfer-Encoding', 'chunked'] unless $given{'transfer-encoding'};
    } elsif ($framing eq 'length') {
        push @own, ['Content-Length', $length] unless $given{'content-length'};
    } else {
        push @own, ['Connection', 'close'] unless $given{connection} || $o->{http10};
    }
    my $reason = $reason{$status} || 'Status';
    return 'HTTP/' . ($o->{http10} ? '1.0' : '1.1') . " $status $reason\r\n"
        . join('', map { "$_->[0]: $_->[1]\r\n" } @own, @pairs) . "\r\n";
}

1;
