# A state file with many keys, as the gateway writes it (state/state_file.hpp):
#
#     LLM::StateFile::write_keys($path, $count);   # sk-many-1 (alias many-1) and so on
#
# Those with an even number belong to the team "even".
#
#     LLM::StateFile::write_spend("$path.spend", $count);
#
# So many customers (customer-1 and so on) that have spent a cent each, in all and today.

package LLM::StateFile;

use strict;
use warnings;
use Compress::Zlib ();
use Digest::SHA qw(sha256_hex);

# A sum and a list of records.
sub _line { return sprintf "%08x %s\n", Compress::Zlib::crc32($_[0]), $_[0] }

sub write_keys {
    my ($path, $count) = @_;
    my $text = _line('{"llm_state":1}');

    for my $n (1 .. $count) {
        $text .= _line('[{"kind":"key","id":"' . sha256_hex("sk-many-$n") . '","version":' . $n
            . ',"record":{"key_alias":"many-' . $n . '","team_id":"' . ($n % 2 ? '' : 'even')
            . '","rpm_limit":1000000,"metadata":{"n":' . $n . '}}}]');
    }
    return _write($path, $text . _line('[{"kind":"team","id":"even","version":1,"record":{}}]')
        . _line('[]'));
}

sub write_spend {
    my ($path, $count) = @_;
    my $customer = 4;
    my @days = (0, int(time / 86400));
    my $text = '';

    for my $n (1 .. $count) {
        $text .= join "\t", $_, $customer, 1, 0, 10, 5, 0, 0, 10_000_000, "customer-$n\n" for @days;
    }
    my $head = sprintf "llm_state 1 %d %08x\n", length $text, Compress::Zlib::crc32($text);
    return _write($path, $head . $text);
}

sub _write {
    my ($path, $bytes) = @_;
    open my $out, '>', $path or die "$path: $!";

    print $out $bytes;
    close $out or die "$path: $!";
    chmod 0666, $path;
    return;
}

1;
