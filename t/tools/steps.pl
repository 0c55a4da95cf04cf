#!/usr/bin/perl
# Runs the steps of a test run one after the other, all of them also when one fails, and ends
# with a table of what passed and failed and the line "N passed, N failed".
#
#     t/tools/steps.pl TITLE NAME=COMMAND ...
#
# The output of each step goes on to the terminal; it is read on the way for the results that
# GoogleTest, prove, node and our own scripts print. Exit status 1 when any step failed.
use strict;
use warnings;
use Time::HiRes qw(time);

$| = 1;
my ($title, @steps) = @ARGV;
die "usage: steps.pl TITLE NAME=COMMAND ...\n" unless @steps;

my @results;
for my $step (@steps) {
    my ($name, $command) = $step =~ /\A([^=]+)=(.*)\z/s or die "steps.pl: not a step: $step\n";
    print "\n== $name\n";
    my $start = time;
    my ($status, $count) = run($command);
    # A step that failed without a test that failed: it did not build, or died.
    $count->{failed} ||= 1 if $status;
    push @results, { name => $name, seconds => time - $start, %$count };
}

my ($passed, $failed) = (0, 0);
print "\n== $title\n";
for my $result (@results) {
    printf "%-10s %6d passed %4d failed %6.0f s%s\n", @$result{qw(name passed failed seconds)},
        $result->{failed} ? '   FAILED' : '';
    $passed += $result->{passed};
    $failed += $result->{failed};
}
print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);

sub run {
    my ($command) = @_;
    my %count = (passed => 0, failed => 0);

    my $pid = open my $output, '-|';
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT or die "dup: $!";
        exec '/bin/bash', '-c', $command or die "exec: $!";
    }
    while (my $line = <$output>) {
        print $line;
        tally(\%count, $line);
    }
    close $output;
    my $status = $?;
    # The sum that a run of steps within this one printed counts, not its parts.
    %count = %{$count{total}} if $count{total};
    return ($status, { passed => $count{passed}, failed => $count{failed} });
}

sub tally {
    my ($count, $line) = @_;

    if ($line =~ /^(\d+) passed, (\d+) failed$/) {
        $count->{total} = { passed => $1, failed => $2 };
    } elsif ($line =~ /^\[=+\] (\d+) tests? from .* ran/) {            # GoogleTest
        $count->{failed} += $1;
    } elsif ($line =~ /^\[  PASSED  \] (\d+) tests?\./) {
        $count->{passed} += $1;
        $count->{failed} -= $1;
    } elsif ($line =~ m{^\s*Failed (\d+)/\d+ subtests}) {               # prove
        $count->{failed} += $1;
        $count->{passed} -= $1;
    } elsif ($line =~ /^Files=\d+, Tests=(\d+),/) {
        $count->{passed} += $1;
    } elsif ($line =~ /^\S+ (pass|fail) (\d+)$/) {                      # node --test
        $count->{"${1}ed"} += $2;
    } elsif ($line =~ /^(not )?ok\b/) {
        $count->{$1 ? 'failed' : 'passed'}++;
    }
    return;
}
