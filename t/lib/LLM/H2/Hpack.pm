# Header compression of HTTP/2 (RFC 7541).
#
# my $h = LLM::H2::Hpack->new;          one per direction and connection
# $h->encode([name, value], ...)        literals without indexing, no Huffman coding
# $h->decode($block)                    list of [name, value]; dies on a malformed block
# huffman_decode($bytes)
#
# The Huffman code is canonical, so the lengths of its 257 codes are all there is to know.

package LLM::H2::Hpack;

use strict;
use warnings;

# Lengths of the codes of symbols 0 to 256 (the last ends a string and never appears).
my @lengths = map { my ($n, $times) = split /x/; ($n) x ($times || 1) } split ' ', q(
    13 23 28x7 24 30 28x2 30 28x8 30 28x9
    6 10x2 12 13 6 8 11 10x2 8 11 8 6x3 5x3 6x7 7 8 15 6 12 10
    13 6 7x22 8 7 8 13 19 13 14 6
    15 5 6 5 6 5 6x3 5 7x2 6x3 5 6 7 6 5x2 6 7x5 15 11 14 13 28
    20 22 20x2 22x3 23 22 23x5 24 23 24x2 22 23 24 23x4 21 22 23 22 23x2 24
    22 21 20 22x2 23x2 21 23 22x2 24 21 22 23x2 21x2 22 21 23 22 23x2 20 22x3 23 22x2 23
    26x2 20 19 22 23 22 25 26x3 27x2 26 24 25 19 21 26 27x2 26 27 24 21x2 26x2 28 27x3
    20 24 20 21 22 21x2 23 22x2 25x2 24x2 26 23 26 27 26x2 27x5 28 27x5 26 30
);

# symbol by length and code; codes count up, shorter ones first.
my @symbol;
{
    my ($code, $bits) = (0, 0);
    for my $s (sort { $lengths[$a] <=> $lengths[$b] || $a <=> $b } 0 .. 256) {
        $code <<= $lengths[$s] - $bits;
        $bits = $lengths[$s];
        $symbol[$bits]{$code++} = $s;
    }
    die 'the Huffman code is not complete' if @lengths != 257 || $code != 1 << $bits;
}

my @static = map { [split /=/, $_, 2] } split /\n/, <<'END';
:authority=
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset=
accept-encoding=gzip, deflate
accept-language=
accept-ranges=
accept=
access-control-allow-origin=
age=
allow=
authorization=
cache-control=
content-disposition=
content-encoding=
content-language=
content-length=
content-location=
content-range=
content-type=
cookie=
date=
etag=
expect=
expires=
from=
host=
if-match=
if-modified-since=
if-none-match=
if-range=
if-unmodified-since=
last-modified=
link=
location=
max-forwards=
proxy-authenticate=
proxy-authorization=
range=
referer=
refresh=
retry-after=
server=
set-cookie=
strict-transport-security=
transfer-encoding=
user-agent=
vary=
via=
www-authenticate=
END

sub new {
    my ($class) = @_;

    return bless { table => [], size => 0, limit => 4096 }, $class;
}

sub huffman_decode {
    my ($bytes) = @_;
    my ($out, $code, $bits) = ('', 0, 0);

    for my $bit (split //, unpack 'B*', $bytes) {
        $code = $code << 1 | $bit;
        $bits++;
        die "Huffman code too long\n" if $bits > 30;
        my $s = $symbol[$bits] ? $symbol[$bits]{$code} : undef;
        next unless defined $s;
        die "end of string inside a Huffman string\n" if $s == 256;
        $out .= chr $s;
        ($code, $bits) = (0, 0);
    }
    die "bad Huffman padding\n" if $bits > 7 || $code != (1 << $bits) - 1;
    return $out;
}

sub _int {
    my ($bits, $flags, $n) = @_;
    my $max = (1 << $bits) - 1;

    return chr($flags | $n) if $n < $max;
    my $out = chr($flags | $max);
    for ($n -= $max; $n >= 128; $n >>= 7) {
        $out .= chr($n & 127 | 128);
    }
    return $out . chr $n;
}

sub encode {
    my ($self, @fields) = @_;

    return join '', map {
        my ($name, $value) = @$_;
        chr(0) . _int(7, 0, length $name) . $name . _int(7, 0, length $value) . $value
    } @fields;
}

# $$at is the position in $$block; both move on.
sub _read_int {
    my ($block, $at, $bits) = @_;
    my $max = (1 << $bits) - 1;

    die "header block ends early\n" if $$at >= length $$block;
    my $n = ord(substr $$block, $$at++, 1) & $max;
    return $n if $n < $max;
    for (my $shift = 0; ; $shift += 7) {
        die "bad integer\n" if $$at >= length $$block || $shift > 28;
        my $byte = ord substr $$block, $$at++, 1;
        $n += ($byte & 127) << $shift;
        return $n unless $byte & 128;
    }
}

sub _read_string {
    my ($block, $at) = @_;

    die "header block ends early\n" if $$at >= length $$block;
    my $huffman = ord(substr $$block, $$at, 1) & 128;
    my $n = _read_int($block, $at, 7);
    die "string longer than its block\n" if $$at + $n > length $$block;
    my $s = substr $$block, $$at, $n;
    $$at += $n;
    return $huffman ? huffman_decode($s) : $s;
}

sub _entry {
    my ($self, $index) = @_;
    my $entry = $index < 1 ? undef : $index <= @static ? $static[$index - 1]
        : $self->{table}[$index - 1 - @static];

    die "no table entry $index\n" unless $entry;
    return $entry;
}

sub _evict {
    my ($self) = @_;

    while ($self->{size} > $self->{limit}) {
        my $old = pop @{$self->{table}};
        $self->{size} -= 32 + length($old->[0]) + length $old->[1];
    }
    return;
}

sub decode {
    my ($self, $block) = @_;
    my ($at, @out) = (0);

    while ($at < length $block) {
        my $first = ord substr $block, $at, 1;
        if ($first & 0x80) {
            push @out, [@{$self->_entry(_read_int(\$block, \$at, 7))}];
            next;
        }
        if (($first & 0xe0) == 0x20) {
            $self->{limit} = _read_int(\$block, \$at, 5);
            die "table larger than allowed\n" if $self->{limit} > 4096;
            $self->_evict;
            next;
        }
        my $keep = $first & 0x40;
        my $index = _read_int(\$block, \$at, $keep ? 6 : 4);
        my $name = $index ? $self->_entry($index)->[0] : _read_string(\$block, \$at);
        my $value = _read_string(\$block, \$at);
        push @out, [$name, $value];
        if ($keep) {
            unshift @{$self->{table}}, [$name, $value];
            $self->{size} += 32 + length($name) + length $value;
            $self->_evict;
        }
    }
    return @out;
}

1;
