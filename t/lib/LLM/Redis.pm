# A redis-server of a test's own: on a free port, in a directory of its own, without persistence.
#
#     my $redis = LLM::Redis->new;               # also: LLM::Redis->cluster(3), ->sentinel($master)
#     $redis->url                                # redis://127.0.0.1:PORT
#     $redis->cmd('GET', 'k')                    # an answer: text, number, undef or a list; dies
#     $redis->send('SET', 'k', 1)                # does not wait for the answer
#     $redis->keys                               # all names, sorted
#     $redis->pause; $redis->resume;             # SIGSTOP, SIGCONT
#     $redis->kill; $redis->start;               # SIGKILL; again on the same port, empty
#
# new: config => [lines of redis.conf], tls => {cert, key, ca} (LLM::TLS; then the port speaks TLS
# only), password, conf => 'sentinel'. Commands of the test go through a socket file, so they work
# whatever the port wants. commands() counts what clients asked, by name. counters() and held() are of limits.

package LLM::Redis;

use strict;
use warnings;
use File::Temp ();
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Time::HiRes qw(time);
use LLM::Guardian;
use LLM::Port qw(reserve nap slow state_of);

sub new {
    my ($class, %o) = @_;
    my $dir = File::Temp::tempdir('llm-redis-XXXXXXXX', TMPDIR => 1);
    my $self = bless { %o, dir => $dir, owner => $$, port => $o{port} || reserve() }, $class;

    $self->{guardian} = LLM::Guardian->new($dir);
    $self->start;
    return $self;
}

sub port { return $_[0]{port} }
sub addr { return "127.0.0.1:$_[0]{port}" }
sub dir  { return $_[0]{dir} }
sub pid  { return $_[0]{pid} }

sub url {
    my ($self, %o) = @_;
    my $login = defined $o{password} ? ($o{user} || '') . ":$o{password}@" : '';

    return ($self->{tls} ? 'rediss' : 'redis') . "://$login" . "127.0.0.1:$self->{port}"
        . (defined $o{db} ? "/$o{db}" : '');
}

sub start {
    my ($self) = @_;
    my $dir = $self->{dir};
    my @lines = ("bind 127.0.0.1", "dir $dir", "unixsocket $dir/redis.sock", "logfile $dir/log",
        'daemonize no', "pidfile $dir/pid");

    push @lines, 'save ""', 'appendonly no', 'maxclients 1000' unless $self->{sentinel};
    push @lines, $self->{tls}
        ? ('port 0', "tls-port $self->{port}", "tls-cert-file $self->{tls}{cert}",
            "tls-key-file $self->{tls}{key}", "tls-ca-cert-file $self->{tls}{ca}",
            'tls-auth-clients ' . ($self->{tls}{clients} || 'no'))
        : "port $self->{port}";
    push @lines, "requirepass \"$self->{password}\"" if defined $self->{password};
    push @lines, @{$self->{config} || []};
    if (!$self->{sentinel} || !-e "$dir/redis.conf") {
        open my $fh, '>', "$dir/redis.conf" or die "$dir/redis.conf: $!";
        print {$fh} map { "$_\n" } @lines;
        close $fh or die $!;
    }
    unlink "$dir/redis.sock";
    my $pid = fork;
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        if (open(STDIN, '<', '/dev/null') && open(STDOUT, '>>', "$dir/out")
            && open(STDERR, '>&', \*STDOUT))
        {
            LLM::Port::close_fds();
            $SIG{$_} = 'DEFAULT' for qw(PIPE HUP INT TERM QUIT CHLD);
            exec 'redis-server', "$dir/redis.conf", $self->{sentinel} ? '--sentinel' : ();
        }
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    $self->{guardian}->watch($pid);
    my $deadline = time + slow(10);
    until (eval { ($self->cmd('PING') // '') eq 'PONG' }) {
        die "redis-server did not start: $@" . $self->log_text
            if time > $deadline || waitpid($pid, WNOHANG) == $pid;
        nap(0.01);
    }
    return $self;
}

sub log_text {
    my ($self) = @_;
    my $text = '';

    for my $name (qw(log out)) {
        open my $fh, '<', "$self->{dir}/$name" or next;
        local $/;
        $text .= <$fh> // '';
    }
    return $text;
}

# Not between two clients: it writes the answers of one turn together, and whom this test heard last
# it would hear first when it goes on. Asleep, it has answered everybody.
sub pause {
    my ($self) = @_;

    $self->_wait_state('S');
    CORE::kill 'STOP', $self->{pid};
    $self->_wait_state('T');
    return;
}

sub resume { CORE::kill 'CONT', $_[0]{pid}; return }

sub _wait_state {
    my ($self, $wanted) = @_;
    my $deadline = time + slow(10);

    while (state_of($self->{pid}) ne $wanted) {
        die "redis is not $wanted\n" if time > $deadline;
        nap(0.001);
    }
    return;
}

sub kill {
    my ($self) = @_;

    return unless $self->{pid};
    CORE::kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
    delete @$self{qw(pid conn)};
    $self->{guardian}->watch(0) if $self->{guardian};  # not at the end of the program
    return;
}

# An error of Redis dies with its text.
sub cmd {
    my ($self, @words) = @_;
    my $had_conn = $self->{conn};
    my $answer = eval { $self->_cmd(@words) };

    return $answer unless $@;
    # A fail-over hangs up on everybody.
    return $self->_cmd(@words) if $had_conn && $@ eq "redis closed\n";
    die $@;
}

sub _cmd {
    my ($self, @words) = @_;
    my $conn = $self->{conn};

    if (!$conn) {
        $conn = $self->_connect;
        _call($conn, 'AUTH', $self->{password}) if defined $self->{password};
        $self->{conn} = $conn;
    }
    my $answer = eval { _call($conn, @words) };
    my $wrong = $@;
    delete $self->{conn} if $wrong && $wrong !~ /\AERR|\A[A-Z]+ /;
    die $wrong if $wrong;
    return $answer;
}

sub _connect {
    my ($self) = @_;

    return IO::Socket::UNIX->new(Peer => "$self->{dir}/redis.sock") || die "redis.sock: $!\n";
}

# A command that nobody waits for: to a server that is paused. On a connection of its own, which
# the server meets behind all that others have sent before.
sub send {
    my ($self, @words) = @_;

    $self->{sent} = $self->_connect;
    _say($self->{sent}, @words);
    return;
}

sub _say {
    my ($conn, @words) = @_;

    local $SIG{PIPE} = 'IGNORE';
    print {$conn} '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    $conn->flush;
    return;
}

sub _call {
    my ($conn, @words) = @_;

    _say($conn, @words);
    return _read($conn);
}

sub _read {
    my ($conn) = @_;
    my $line = <$conn>;

    die "redis closed\n" unless defined $line;
    $line =~ s/\r\n\z//;
    my ($kind, $rest) = $line =~ /\A(.)(.*)\z/s or die "strange answer\n";
    return $rest if $kind eq '+' || $kind eq ':';
    die "$rest\n" if $kind eq '-';
    return undef if $rest < 0;
    return [map { _read($conn) } 1 .. $rest] if $kind eq '*';
    read $conn, my $text, $rest + 2;
    return substr $text, 0, $rest;
}

sub keys {
    my ($self, $pattern) = @_;

    my @names = sort @{$self->cmd('KEYS', defined $pattern ? $pattern : '*')};
    return @names;
}

# What limits count: name => {held, counted}; held(): what running requests hold, of each counter of
# which something is held, sorted by its name.
sub counters {
    my ($self, $prefix) = @_;
    my %packed = @{$self->cmd('HGETALL', ($prefix // 'llm:') . '{limits}:counters')};

    return { map { my ($held, $counted) = unpack 'd<2', $packed{$_};
        ($_ => { held => $held, counted => $counted }) } CORE::keys %packed };
}

sub held {
    my ($self, $prefix) = @_;
    my $counters = $self->counters($prefix);

    return grep { $_ } map { $counters->{$_}{held} } sort { $a cmp $b } CORE::keys %$counters;
}

sub info {
    my ($self, $section) = @_;

    return { map { /\A([^#:]+):(.*?)\r?\z/ ? ($1, $2) : () } split /\n/,
        $self->cmd('INFO', $section) };
}

sub commands {
    my ($self) = @_;
    my $stats = $self->info('commandstats');

    return { map { /\Acmdstat_(.*)/ ? ("$1", $stats->{$_} =~ /calls=(\d+)/) : () }
        CORE::keys %$stats };
}

# Nodes of one cluster, all of them masters.
sub cluster {
    my ($class, $count, %o) = @_;
    my @bus = map { reserve() } 1 .. $count;
    my @nodes = map { $class->new(%o, config => ['cluster-enabled yes',
        "cluster-port $bus[$_]", 'cluster-node-timeout 1500', @{$o{config} || []}]) }
        0 .. $count - 1;

    for my $i (0 .. $count - 1) {
        $nodes[$i]->cmd('CLUSTER', 'ADDSLOTSRANGE', int(16384 * $i / $count),
            int(16384 * ($i + 1) / $count) - 1);
        $nodes[0]->cmd('CLUSTER', 'MEET', '127.0.0.1', $nodes[$i]->port, $bus[$i]) if $i;
    }
    my $deadline = time + slow(20);
    for my $node (@nodes) {
        until ($node->cmd('CLUSTER', 'INFO') =~ /cluster_state:ok/
            && @{$node->cmd('CLUSTER', 'SLOTS')} >= $count)
        {
            die "no cluster:\n" . $node->log_text if time > $deadline;
            nap(0.02);
        }
    }
    return @nodes;
}

# A sentinel that watches one master under a name.
sub sentinel {
    my ($class, $master, $name, %o) = @_;

    return $class->new(%o, sentinel => 1, config => [
        "sentinel monitor $name 127.0.0.1 " . $master->port . ' 1',
        "sentinel down-after-milliseconds $name 500",
        "sentinel failover-timeout $name 2000"]);
}

sub stop {
    my ($self) = @_;

    return if $self->{owner} != $$;
    if ($self->{pid}) {
        $self->resume;
        $self->kill;
    }
    my $guardian = delete $self->{guardian};
    $guardian->end if $guardian;
    return;
}

sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    $self->stop;
    return;
}

1;
