#!/usr/bin/perl
# Writes ngx_llm_module/admin/dashboard/files.inc, the files of the dashboard as text for the
# compiler. Usage: dashboard.pl [--check]; with --check nothing is written, and the exit status is 1
# when something would change.
use strict;
use warnings;
use File::Basename qw(dirname);

chdir dirname(__FILE__) . '/../../ngx_llm_module/admin/dashboard' or die "dashboard.pl: $!\n";
my $only_check = @ARGV && $ARGV[0] eq '--check';

my $text = "// Made by t/tools/dashboard.pl (make dashboard) from the files beside it.\n";
for my $file (['kPage', 'index.html'], ['kStyle', 'style.css'], ['kScript', 'app.js']) {
    my ($name, $path) = @$file;
    my $content = slurp($path);
    die "$path contains the end of a raw string\n" if $content =~ /\)file"/;
    $text .= "constexpr std::string_view $name = R\"file($content)file\";\n";
}
my $old = -e 'files.inc' ? slurp('files.inc') : '';
exit 0 if $old eq $text;
die "files.inc is not what the files of the dashboard say: make dashboard\n" if $only_check;
open my $out, '>', 'files.inc' or die "dashboard.pl: $!\n";
print {$out} $text;
close $out or die "dashboard.pl: $!\n";

sub slurp {
    my ($name) = @_;

    open my $fh, '<', $name or die "dashboard.pl: $name: $!\n";
    local $/;
    return scalar <$fh>;
}
