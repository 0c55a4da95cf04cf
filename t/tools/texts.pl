#!/usr/bin/perl
# Writes files that stand beside the code as text for the compiler: the Lua scripts of Redis and the
# dashboard. Usage: texts.pl scripts|dashboard [--check]; with --check nothing is written, and the
# exit status is 1 when something would change. Of scripts, comments stay in the files, and
# "-- include NAME" puts a part, a file whose name begins with part_, there.
use strict;
use warnings;
use File::Basename qw(basename dirname);

my %SETS = (
    scripts => { folder => 'redis', to => 'scripts.inc', from => 'the .lua files', text => \&scripts },
    dashboard => { folder => 'admin/dashboard', to => 'files.inc', from => 'the files beside it',
        text => \&dashboard },
);

my ($name, $check) = @ARGV;
my $set = $SETS{ $name // '' } or die "texts.pl: scripts or dashboard?\n";
chdir dirname(__FILE__) . "/../../ngx_llm_module/$set->{folder}" or die "texts.pl: $!\n";
my $text = "// Made by t/tools/texts.pl (make $name) from $set->{from}.\n" . $set->{text}->();
exit 0 if -e $set->{to} && slurp($set->{to}) eq $text;
die "$set->{to} is not what $set->{from} say: make $name\n" if ($check // '') eq '--check';
open my $out, '>', $set->{to} or die "texts.pl: $!\n";
print {$out} $text;
close $out or die "texts.pl: $!\n";

sub scripts {
    my $rows = '';

    for my $file (grep { !/\Apart_/ } sort glob '*.lua') {
        my $lua = slurp($file);
        $lua =~ /\A-- .*\n/ or die "$file does not begin with its inputs and outputs\n";
        $lua =~ s/^-- include (part_\w+\.lua)$/slurp($1)/gme;
        $lua =~ s/^\s*--.*\n//mg;
        $lua = inlined($file, with_constants($file, $lua));
        $lua =~ s/\A\n+//;
        $lua =~ s/\n\n+/\n/g;
        $rows .= '{"' . basename($file, '.lua') . '", ' . raw($file, 'lua', $lua) . ", {}},\n";
    }
    return $rows;
}

# Names in capitals are constants. Redis' Lua knows none: each would be a variable that every function
# carries, in every call of the script.
sub with_constants {
    my ($file, $lua) = @_;

    while ($lua =~ s/^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ([^\n]*?)(?: *--[^\n]*)?\n//m) {
        my ($names, $values) = ([split /, /, $1], [split /, /, $2]);
        die "$file: a value for each of @$names\n" if @$names != @$values;
        my %value;
        @value{@$names} = map { / / ? "($_)" : $_ } @$values;
        $lua =~ s/('[^'\n]*')|\b([A-Z][A-Z_]*)\b/$1 \/\/ $value{$2} \/\/ $2/ge;
    }
    return $lua;
}

# Redis makes every function anew in every call of the script. One that gives nothing back and is
# called at one place stands at that place.
sub inlined {
    my ($file, $lua) = @_;

    for my $name ($lua =~ /^local function (\w+)/mg) {
        next if (() = $lua =~ /\b$name\b/g) != 2;
        $lua =~ /^local function $name\(([^)\n]*)\)\n(.*?)^end\n/ms or die "$file: no end of $name\n";
        my ($taken, $body, $from, $to) = ($1, $2, $-[0], $+[0]);
        next if $body =~ /\breturn\b/;
        my $rest = substr $lua, $to;
        $rest =~ /^ *$name\((.*)\)\n/m or next;
        my ($given, $call, $call_size) = ($1, $-[0], $+[0] - $-[0]);
        # What it means must be the same there.
        (my $code = $body) =~ s/ *--[^\n]*//g;
        my %is_own = map { $_ => 1 } map { /\w+/g } $taken, $body =~ /\b(?:local|for) ([\w, ]+)/g;
        for my $other (map { /\w+/g } substr($rest, 0, $call) =~ /\blocal (?!function)([\w, ]+)/g) {
            die "$file: $name means another $other\n" if !$is_own{$other} && $code =~ /\b$other\b/;
        }
        my $names = $taken eq $given ? '' : "local $taken = $given\n";
        substr $rest, $call, $call_size, "do\n$names${body}end\n";
        $lua = substr($lua, 0, $from) . $rest;
    }
    return $lua;
}

sub dashboard {
    return join '', map { "constexpr std::string_view $_->[0] = " . raw($_->[1], 'file',
        slurp($_->[1])) . ";\n" } ['kPage', 'index.html'], ['kStyle', 'style.css'],
        ['kScript', 'app.js'];
}

# As a raw string of C++ with this delimiter.
sub raw {
    my ($file, $mark, $content) = @_;

    die "$file contains the end of a raw string\n" if index($content, ")$mark\"") >= 0;
    return "R\"$mark($content)$mark\"";
}

sub slurp {
    my ($file) = @_;

    open my $fh, '<', $file or die "texts.pl: $file: $!\n";
    local $/;
    return scalar <$fh>;
}
