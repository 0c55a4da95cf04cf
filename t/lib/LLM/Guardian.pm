# Ends nginx and removes its directory when the test is gone, however it went.
#
# my $g = LLM::Guardian->new($dir);
# $g->watch(@pids)          masters that run now; 0 for none
# $g->end                   kill what runs, remove the directory, wait for that
# children($pid)            the processes a process has
#
# It is a process that waits at a pipe. Only the test holds the other end, so a test that is
# killed ends it too.

package LLM::Guardian;

use strict;
use warnings;
use File::Path ();
use POSIX ();
use Time::HiRes qw(time);
use LLM::Port qw(close_fds alive nap);

sub new {
    my ($class, $dir) = @_;

    pipe(my $read, my $write) or die "pipe: $!";
    my $pid = fork;
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        $SIG{$_} = 'IGNORE' for qw(INT HUP TERM QUIT PIPE);
        $SIG{$_} = 'DEFAULT' for qw(ALRM __DIE__ __WARN__);
        eval { close_fds(fileno $read); _guard($dir, $read) };
        POSIX::_exit(0);
    }
    select((select($write), $| = 1)[0]);
    return bless { pid => $pid, tell => $write }, $class;
}

sub _tell {
    my ($self, $line) = @_;

    local $SIG{PIPE} = 'IGNORE';
    print { $self->{tell} } "$line\n";
    return;
}

sub watch { my ($self, @pids) = @_; return $self->_tell("watch @pids") }

sub end {
    my ($self) = @_;

    $self->_tell('end');
    close $self->{tell};
    waitpid $self->{pid}, 0;
    return;
}

sub children {
    my ($pid) = @_;

    if (open my $fh, '<', "/proc/$pid/task/$pid/children") {
        return split ' ', do { local $/; <$fh> } // '';
    }
    opendir my $proc, '/proc' or return ();
    my @found;
    for my $candidate (grep { /\A\d+\z/ } readdir $proc) {
        open my $fh, '<', "/proc/$candidate/stat" or next;
        my ($parent) = (<$fh> // '') =~ /\A\d+ \(.*\) \S (\d+)/s;
        push @found, $candidate if $parent && $parent == $pid;
    }
    return @found;
}

sub _guard {
    my ($dir, $read) = @_;
    my @masters;

    while (my $line = <$read>) {
        @masters = grep { $_ } $line =~ /(\d+)/g if $line =~ /\Awatch/;
        last if $line =~ /\Aend/;
    }
    my @all = map { ($_, children($_)) } @masters;
    kill 'TERM', @masters if @masters;
    my $deadline = time + 3;
    nap(0.02) while time < $deadline && grep { alive($_) } @all;
    kill 'KILL', grep { alive($_) } @all;
    if ($ENV{LLM_KEEP}) {
        print STDERR "# kept $dir\n";
    } else {
        File::Path::remove_tree($dir);
    }
    return;
}

1;
