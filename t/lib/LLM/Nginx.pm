# One nginx in a directory of its own: configuration, processes, log.
#
# LLM::Test inherits from this and adds the assertions and the clients; nothing here touches
# Test::More. Entry points: new, http_conf, main_conf, port, dir, start_nginx, stop_nginx,
# reload_nginx, signal, worker_pids, worker_rss, config_test, log_text, fatal_lines.
#
# new: workers, log_level (info), env => {NAME => VALUE}, access_log => 1 (do not write
# "access_log off;"), module => 0 (do not load the module), daemon => 1 (needed for
# upgrade_binary: nginx refuses that while the process that started it is its parent).

package LLM::Nginx;

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use File::Temp ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(time);
use LLM::Guardian;
use LLM::Port qw(reserve alive nap slow);

my $repo = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');

sub new {
    my ($class, %o) = @_;
    my $dir = File::Temp::tempdir('llm-test-XXXXXXXX', TMPDIR => 1);
    my $self = bless {
        workers => 1, log_level => 'info', env => {}, access_log => 0, module => 1, %o,
        dir => $dir, owner => $$, ports => {}, http => '', main => '', checked => {},
    }, $class;

    chmod 0755, $dir;
    mkdir "$dir/$_" for qw(logs temp html);
    $self->{guardian} = LLM::Guardian->new($dir);
    return $self;
}

sub repo { return $repo }
sub dir  { return $_[0]{dir} }
sub port { return $_[0]{ports}{defined $_[1] ? $_[1] : ''} ||= reserve() }

sub http_conf { $_[0]{http} = $_[1]; return $_[0] }
sub main_conf { $_[0]{main} = $_[1]; return $_[0] }

sub binary {
    return $ENV{NGINX_BINARY} if $ENV{NGINX_BINARY};
    for my $path (map { "$_/nginx" } split /:/, $ENV{PATH} || '') {
        return $path if -x $path;
    }
    return '/usr/sbin/nginx';
}

# The module's file, or undef when nginx has it built in (or it is not built yet).
sub module_file {
    my ($self) = @_;

    return undef unless $self->{module};
    if (defined $ENV{LLM_MODULE}) {
        return undef if $ENV{LLM_MODULE} eq '';
        die "LLM_MODULE=$ENV{LLM_MODULE} does not exist\n" unless -e $ENV{LLM_MODULE};
        return Cwd::abs_path($ENV{LLM_MODULE});
    }
    my $file = "$repo/build/deb/ngx_http_llm_module.so";
    return -e $file ? $file : undef;
}

sub expand {
    my ($self, $text) = @_;
    my $module = $self->module_file;

    $text =~ s/%%PORT(?::([\w.-]+))?%%/$self->port($1)/ge;
    $text =~ s/%%DIR%%/$self->{dir}/g;
    $text =~ s/%%MODULE%%/defined $module ? $module : ''/ge;
    return $text;
}

sub config_text {
    my ($self, $http, $error_log, $pid) = @_;
    my $dir = $self->{dir};
    my $module = $self->module_file;
    my @main;

    push @main, "load_module $module;" if defined $module && $self->{main} !~ /load_module/;
    push @main, 'user root;' if $> == 0 && $self->{main} !~ /^user /m;
    push @main, "error_log $error_log $self->{log_level};", "pid $pid;",
        "worker_processes $self->{workers};",
        ($self->{daemon} ? 'daemon on;' : 'daemon off;'), 'master_process on;';
    for my $name (sort keys %{$self->{env}}) {
        (my $value = $self->{env}{$name}) =~ s/(["\\])/\\$1/g;
        push @main, "env \"$name=$value\";";
    }
    my @temp = map { "    ${_}_temp_path $dir/temp/$_;" }
        qw(client_body proxy fastcgi uwsgi scgi);
    my $log = $self->{access_log} ? '' : "    access_log off;\n";
    return join("\n", @main) . "\n" . $self->expand($self->{main}) . "\n"
        . "events { worker_connections 4096; }\nhttp {\n" . join("\n", @temp) . "\n$log"
        . $self->expand($http) . "\n}\n";
}

sub write_file {
    my ($self, $name, $text) = @_;
    my $path = $name =~ m{\A/} ? $name : "$self->{dir}/$name";

    open my $fh, '>:raw', "$path.new" or die "$path: $!";
    print {$fh} $text;
    close $fh or die "$path: $!";
    rename "$path.new", $path or die "$path: $!";
    return $path;
}

sub _write_conf {
    my ($self) = @_;
    my $dir = $self->{dir};

    return $self->write_file('nginx.conf',
        $self->config_text($self->{http}, "$dir/error.log", "$dir/nginx.pid"));
}

# Runs nginx; returns its pid. What it says on stderr, also a sanitizer, goes to a file.
sub _spawn {
    my ($self, $output, @args) = @_;
    my $dir = $self->{dir};
    my @command = (binary(), '-e', 'stderr', '-p', "$dir/", @args);

    my $pid = fork;
    die "fork: $!" unless defined $pid;
    return $pid if $pid;
    if (open(STDIN, '<', '/dev/null') && open(STDOUT, '>>', $output)
        && open(STDERR, '>&', \*STDOUT))
    {
        # Harmless to exec with signals that the test ignores set back to their defaults.
        $SIG{$_} = 'DEFAULT' for qw(PIPE HUP INT TERM QUIT CHLD);
        @ENV{keys %{$self->{env}}} = values %{$self->{env}};
        { exec { $command[0] } @command };
        print STDERR "exec $command[0]: $!\n";
    }
    POSIX::_exit(127);
}

sub config_test {
    my ($self, $http) = @_;
    my $dir = $self->{dir};
    my $n = ++$self->{config_tests};
    my $conf = $self->write_file("test$n.conf",
        $self->config_text($http, "$dir/test$n.log", "$dir/test$n.pid"));
    my $pid = $self->_spawn("$dir/test$n.out", '-t', '-c', $conf);

    waitpid $pid, 0;
    my $status = $?;
    return ($status & 127 ? 128 + ($status & 127) : $status >> 8, _slurp("$dir/test$n.out"));
}

sub start_nginx {
    my ($self) = @_;
    my $conf = $self->_write_conf;

    die "nginx is running already\n" if $self->{pid};
    my $pid = $self->{pid} = $self->_spawn("$self->{dir}/stderr.log", '-c', $conf);
    my $deadline = time + slow(20);
    if ($self->{daemon} && waitpid($pid, 0) == $pid && $? == 0) {
        # The daemon writes its file after the process that we started has ended.
        my $written;
        until (($written) = $self->slurp('nginx.pid') =~ /\A(\d+)\n/) {
            die "nginx wrote no pid:\n" . $self->log_tail if time > $deadline;
            nap(0.004);
        }
        $self->{pid} = $pid = $written;
    }
    $self->{guardian}->watch($pid);
    # The listening sockets are open before the first worker is.
    while ($self->worker_pids < $self->{workers}) {
        if (waitpid($pid, WNOHANG) == $pid || !alive($pid)) {
            my $status = $?;
            $self->_gone;
            die "nginx did not start (status $status):\n" . $self->log_tail;
        }
        if (time > $deadline) {
            $self->kill_nginx;
            die "nginx did not start in time:\n" . $self->log_tail;
        }
        nap(0.004);
    }
    return $pid;
}

# Returns '' or what went wrong.
sub stop_nginx {
    my ($self, $timeout) = @_;
    my $trouble = '';

    return '' unless $self->{pid};
    $timeout = slow(defined $timeout ? $timeout : 10);
    kill 'QUIT', $self->{pid};
    my $status = $self->_wait_exit($timeout);
    if (!defined $status) {
        $trouble = "nginx still runs ${timeout}s after QUIT";
        $self->kill_nginx;
    } elsif ($status != 0) {
        $trouble = "nginx exited with status $status";
    }
    return $trouble;
}

sub _wait_exit {
    my ($self, $timeout) = @_;
    my $deadline = time + $timeout;

    while (1) {
        my $got = waitpid $self->{pid}, WNOHANG;
        # After upgrade_binary nginx is not our child any more.
        if ($got > 0 || $got < 0 && !alive($self->{pid})) {
            my $status = $got > 0 ? $? : 0;
            $self->_gone;
            return $status;
        }
        return undef if time > $deadline;
        nap(0.004);
    }
}

# The hard way.
sub kill_nginx {
    my ($self) = @_;

    return unless $self->{pid};
    my @workers = $self->worker_pids(all => 1);
    kill 'TERM', $self->{pid};
    return if defined $self->_wait_exit(3);
    kill 'KILL', $self->{pid}, @workers;
    $self->_wait_exit(10);
    return;
}

# No process of it lives on, and none had a word to say.
sub crash_nginx {
    my ($self) = @_;
    # The master first, so that it starts no worker in place of another.
    my @all = ($self->{pid}, LLM::Guardian::children($self->{pid}));
    my $deadline = time + slow(10);

    kill 'KILL', @all;
    $self->_wait_exit(slow(10));
    nap(0.004) while time < $deadline && grep { alive($_) } @all;
    return;
}

sub _gone {
    my ($self) = @_;

    $self->{pid} = undef;
    $self->{guardian}->watch(0) if $self->{guardian};
    return;
}

sub signal { return kill $_[1], $_[0]{pid} }

# Waits until a whole set of new workers serves; returns '' or what went wrong.
sub reload_nginx {
    my ($self, $timeout) = @_;
    my %old = map { $_ => 1 } $self->worker_pids(all => 1);

    $self->_write_conf;
    my $log_at = length $self->log_text;
    kill 'HUP', $self->{pid};
    my $deadline = time + slow(defined $timeout ? $timeout : 10);
    while (time < $deadline) {
        my @now = $self->worker_pids;
        return '' if @now >= $self->{workers} && !grep { $old{$_} } @now;
        if (substr($self->log_text, $log_at) =~ /^\S+ \S+ (\[emerg\].*)/m) {
            return "reload refused: $1";
        }
        nap(0.004);
    }
    return 'no new workers in time';
}

# Replaces the running nginx by a new one that takes over its sockets; the old workers finish
# what they have. Returns '' or what went wrong. keep_old => 1: the old master lives on, only
# its workers are told to end.
sub upgrade_binary {
    my ($self, %o) = @_;
    my $dir = $self->{dir};
    my $old = $self->{pid};
    my $deadline = time + slow($o{timeout} || 10);
    my $new;

    $self->_write_conf;
    kill 'USR2', $old;
    while (1) {
        ($new) = $self->slurp('nginx.pid') =~ /\A(\d+)/;
        last if -e "$dir/nginx.pid.oldbin" && $new && $new != $old
            && _titled($new, qr/[\0 ]*\z/) >= $self->{workers};
        return 'no new nginx in time' if time > $deadline;
        nap(0.004);
    }
    $self->{guardian}->watch($old, $new);
    kill $o{keep_old} ? 'WINCH' : 'QUIT', $old;
    $self->{pid} = $new;
    return '' if $o{keep_old};
    until (waitpid $old, WNOHANG) {
        return 'the old nginx does not end' if time > $deadline && !$o{streams};
        last if $o{streams};
        nap(0.004);
    }
    return '';
}

sub _titled {
    my ($master, $end) = @_;

    return grep { _slurp("/proc/$_/cmdline") =~ /\Anginx: worker process$end/ }
        LLM::Guardian::children($master);
}

# A worker has its title only after its initialisation; one that shuts down has another.
sub worker_pids {
    my ($self, %o) = @_;

    return () unless $self->{pid};
    return _titled($self->{pid}, $o{all} ? '' : qr/[\0 ]*\z/);
}

sub worker_rss {
    my ($self, $pid) = @_;

    return _slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+) kB/m ? $1 : undef;
}

sub _slurp {
    my ($path) = @_;

    open my $fh, '<:raw', $path or return '';
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

sub slurp      { return _slurp($_[1] =~ m{\A/} ? $_[1] : "$_[0]{dir}/$_[1]") }
sub log_text   { return _slurp("$_[0]{dir}/error.log") }
sub error_text { return _slurp("$_[0]{dir}/stderr.log") }

sub log_tail {
    my ($self) = @_;
    my @lines = (split(/\n/, $self->error_text), split(/\n/, $self->log_text));

    splice @lines, 0, @lines - 40 if @lines > 40;
    return join "\n", @lines, '';
}

# What no clean run leaves, in the text written since the last call: {log, sanitizer, exit},
# lists of lines.
sub fatal_lines {
    my ($self) = @_;
    my %found = (log => [], sanitizer => [], exit => []);
    my $all = '';

    for my $file (qw(error.log stderr.log)) {
        my $text = $self->slurp($file);
        my $new = substr $text, $self->{checked}{$file} || 0;
        $self->{checked}{$file} = length $text;
        $all .= $new;
    }
    for my $line (split /\n/, $all) {
        if ($line =~ /worker process \d+ exited (?:with code (\d+)|on signal)/
            && !(defined $1 && $1 == 0))
        {
            push @{$found{exit}}, $line;
        } elsif ($line =~ m{\A(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|nginx:) \[(?:alert|emerg|crit)\]}) {
            push @{$found{log}}, $line;
        }
        push @{$found{sanitizer}}, $line if $line =~ /Sanitizer|runtime error/;
    }
    return (\%found, $all);
}

# Ends the guardian, which removes the directory.
sub cleanup {
    my ($self) = @_;
    my $guardian = $self->{owner} == $$ ? delete $self->{guardian} : undef;

    $guardian->end if $guardian;
    return;
}

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->kill_nginx;
    $self->cleanup;
    return;
}

1;
