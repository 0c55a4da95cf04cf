# JSON for tests.
#
# encode_json_c($data)   canonical UTF-8 bytes (sorted keys): for comparing
# encode_json_o($data)   UTF-8 bytes in the order of the data: for sending
# ordered(k => v, ...)   a hash reference that keeps the order of its keys
# json_text($data)       the same as encode_json_c, as a character string
# try_json($bytes)       decoded data, or undef when it is not JSON
# decode_json            the one of JSON::PP
#
# Real providers answer with a fixed order of members, and parsers have had bugs that only
# such an order shows; a plain Perl hash would shuffle them.

package LLM::Json;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(encode_json_c encode_json_o json_text decode_json ordered
    try_json);

my $canonical = JSON::PP->new->utf8->canonical->allow_nonref;
my $as_text   = JSON::PP->new->canonical->allow_nonref;
my $in_order  = JSON::PP->new->utf8->allow_nonref;
my $decoder   = JSON::PP->new->utf8->allow_nonref;

sub encode_json_c { return $canonical->encode($_[0]) }
sub encode_json_o { return $in_order->encode($_[0]) }
sub json_text     { return $as_text->encode($_[0]) }
sub decode_json   { return JSON::PP::decode_json($_[0]) }

sub try_json {
    my ($bytes) = @_;

    return undef unless defined $bytes && $bytes =~ /\S/;
    return scalar eval { local $SIG{__DIE__}; $decoder->decode($bytes) };
}

sub ordered {
    tie my %hash, 'LLM::Json::Ordered';
    while (my ($key, $value) = splice @_, 0, 2) {
        $hash{$key} = $value;
    }
    return \%hash;
}

# A tied hash: [values by key, keys in order, position of the iteration].
package LLM::Json::Ordered;

sub TIEHASH { return bless [{}, [], 0], $_[0] }
sub FETCH   { return $_[0][0]{$_[1]} }
sub EXISTS  { return exists $_[0][0]{$_[1]} }
sub SCALAR  { return scalar @{$_[0][1]} }

sub STORE {
    my ($self, $key, $value) = @_;

    push @{$self->[1]}, $key unless exists $self->[0]{$key};
    return $self->[0]{$key} = $value;
}

sub DELETE {
    my ($self, $key) = @_;

    @{$self->[1]} = grep { $_ ne $key } @{$self->[1]};
    return delete $self->[0]{$key};
}

sub CLEAR    { @{$_[0]} = ({}, [], 0); return }
sub FIRSTKEY { $_[0][2] = 0; return $_[0]->NEXTKEY }
sub NEXTKEY  { return $_[0][1][$_[0][2]++] }

1;
