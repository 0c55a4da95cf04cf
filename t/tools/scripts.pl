#!/usr/bin/perl
# Writes ngx_llm_module/redis/scripts.inc, the Lua scripts as text for the compiler, from the .lua
# files beside it. Usage: scripts.pl [--check]; with --check nothing is written, and the exit status
# is 1 when something would change. Comments stay in the files; "-- include NAME" puts a part, a
# file whose name begins with part_, there.
use strict;
use warnings;
use File::Basename qw(basename dirname);

chdir dirname(__FILE__) . '/../../ngx_llm_module/redis' or die "scripts.pl: $!\n";
my $only_check = @ARGV && $ARGV[0] eq '--check';

my $text = "// Made by t/tools/scripts.pl (make scripts) from the .lua files.\n";
for my $file (grep { !/\Apart_/ } sort glob '*.lua') {
    my $name = basename($file, '.lua');
    my $lua = slurp($file);
    $lua =~ /\A-- .*\n/ or die "$file does not begin with its inputs and outputs\n";
    $lua =~ s/^-- include (part_\w+\.lua)$/slurp($1)/gme;
    $lua =~ s/^\s*--.*\n//mg;
    $lua =~ s/\A\n+//;
    $lua =~ s/\n\n+/\n/g;
    die "$file contains the end of a raw string\n" if $lua =~ /\)lua"/;
    $text .= "{\"$name\", R\"lua($lua)lua\", {}},\n";
}
my $old = -e 'scripts.inc' ? slurp('scripts.inc') : '';
exit 0 if $old eq $text;
die "scripts.inc is not what the .lua files say: make scripts\n" if $only_check;
open my $out, '>', 'scripts.inc' or die "scripts.pl: $!\n";
print {$out} $text;
close $out or die "scripts.pl: $!\n";

sub slurp {
    my ($name) = @_;

    open my $fh, '<', $name or die "scripts.pl: $name: $!\n";
    local $/;
    return scalar <$fh>;
}
