# Free TCP ports that stay ours, and small process helpers shared by the harness.
#
# reserve()            a port of 127.0.0.1 nobody else will get while this process lives
# close_fds(@keep)     in a forked child: close every inherited descriptor but these
# alive($pid)          whether a process runs (a zombie does not)
# state_of($pid)       R runs, S sleeps, T is stopped, Z is a zombie (proc(5)); '' is gone
# nap($seconds)        the pause of a polling loop
# slow($seconds)       a deadline, stretched by LLM_SLOW (sanitizer builds, loaded machines)
# is_sanitized()       nginx has sanitizers, which keep freed memory: figures of memory say nothing

package LLM::Port;

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use Socket qw(:DEFAULT inet_aton pack_sockaddr_in unpack_sockaddr_in);

our @EXPORT_OK = qw(reserve close_fds alive state_of nap slow is_sanitized);

# A socket that is bound but does not listen keeps the kernel from giving the port to
# anybody else, while a server that sets SO_REUSEADDR (nginx does) can still listen on it.
# Connections to it are refused until then. So two test files running at once never race.
my @held;

sub reserve {
    socket(my $sock, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    setsockopt($sock, SOL_SOCKET, SO_REUSEADDR, pack('i', 1)) or die "setsockopt: $!";
    bind($sock, pack_sockaddr_in(0, inet_aton('127.0.0.1'))) or die "bind: $!";
    my ($port) = unpack_sockaddr_in(getsockname($sock));
    push @held, $sock;
    return $port;
}

# A child that kept its parent's pipes open would hide the parent's death from others.
sub close_fds {
    my %keep = map { $_ => 1 } 0, 1, 2, @_;

    opendir(my $dir, '/proc/self/fd') or return;
    my @fds = grep { /^\d+$/ && !$keep{$_} } readdir $dir;
    closedir $dir;
    # The numbers stay occupied: Perl still counts references of the handles that had them, and a
    # socket accepted on such a number later would not be closed when its own handle is.
    open(my $null, '+<', '/dev/null') or return;
    POSIX::dup2(fileno $null, $_) for grep { $_ != fileno $null } @fds;
    return;
}

# A process that was killed is shown as a zombie while a thread of it is still busy in the kernel, in
# an fsync() say: until that has ended its sockets are open.
sub alive {
    my ($pid) = @_;
    my $state = state_of($pid);

    return 1 if $state =~ /[^ZX]/;
    return $state ne '' && (() = glob "/proc/$pid/task/*") > 1 ? 1 : 0;
}

sub state_of {
    my ($pid) = @_;

    open my $fh, '<', "/proc/$pid/stat" or return '';
    return (<$fh> // '') =~ /\) (\S)/ ? $1 : '';
}

sub nap { select(undef, undef, undef, $_[0]); return }

sub slow { return $_[0] * ($ENV{LLM_SLOW} || 1) }

sub is_sanitized { return $ENV{LLM_SANITIZED} }

1;
