#!/usr/bin/perl
# What the gateway costs beside stock nginx: both in one run, in alternation, medians and ratios.
#
# Entry points: `t/bench/run.pl` (see --help, or usage() below); %CASES is the list of what is
# measured, measure_*() do one turn of a case on one side, report() prints the table.
# A ratio is the median over all turns of "gateway / stock of the same turn", so that a machine
# which gets slower or faster during the run does not count for or against anybody.
# Everything runs on loopback, is bounded in count and time, and is gone when the script is.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use Getopt::Long qw(GetOptions);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use List::Util qw(max min sum);
use POSIX ();
use Time::HiRes qw(sleep time);

my $BENCH = dirname(abs_path($0));
my $ROOT  = abs_path("$BENCH/../..");
my $BUILD = "$ROOT/build/bench";

my %opt = (
    rounds  => undef,
    case    => [],
    module  => "$ROOT/build/deb/ngx_http_llm_module.so",
    nginx   => $ENV{NGINX_BINARY} // 'nginx',
    pin     => 1,
    provider_extra => '',
    http_extra     => '',
);

sub usage {
    print <<'END';
usage: t/bench/run.pl [options]
  --quick              two short rounds: shows that all works, and roughly where things are
  --rounds N           rounds of each case (5; with --quick 2); a round has several turns
  --case N[,N...]      only these cases; may repeat (--list names them)
  --module FILE        the gateway (build/deb/ngx_http_llm_module.so)
  --nginx FILE         nginx to run ($NGINX_BINARY, or the one in PATH)
  --self               compare stock nginx with itself: all ratios should come out near 1
  --no-pin             do not pin (else: nginx on CPU 0, provider and load on CPU 1)
  --nice N             run at nice -N, as root: for a machine that has other work to do
  --provider-extra TXT more directives for both llm_provider blocks, e.g. 'keepalive 256;'
  --http-extra TXT     more directives for the gateway's http block
  --json FILE          write all medians and ratios there as well
  --verbose            print every turn
  --keep               keep build/bench/run.PID (configurations, logs)
  --build-only         build the two programs and stop
exit status: 0 measured (whatever the ratios), 1 something failed to run or gave errors
END
    exit 0;
}

# Each case: what the provider does (a path of the mock), how one turn is measured, and the rows
# that come of it. `turns` short turns make a round: what disturbs the machine for a second or two
# then disturbs both sides. A row compares one number: `ratio` is gateway / stock, `diff` is
# gateway - stock; `at_most` and `at_least` are the targets by side, and a row without them is there
# to be looked at.
my $BENCH_KEY = 'sk-bench-client';    # that of the load
my %CASES = (
    1 => {
        title => 'small chat, 64 connections',
        turns => 4,
        path  => sub { 'w=160' },
        measure => sub { measure_closed($_[0], '--connections', 64, '--duration', 1) },
        rows  => [
            { key => 'per_second', name => 'throughput', unit => 'req/s', kind => 'ratio',
              at_least => { pass => 0.8, translated => 0.7 } },
            { key => 'cpu_us', name => 'CPU per request', unit => 'us', kind => 'ratio' },
            { key => 'busy', name => 'worker busy', unit => '%', kind => 'diff' },
        ],
    },
    2 => {
        title => '200 streams, one event per 20 ms',
        turns => 4,
        path  => sub { 'e=75,g=20,b=1' },
        measure => sub { measure_streams($_[0], 200, 75, 20) },
        rows  => [
            { key => 'cpu_us', name => 'CPU per event', unit => 'us', kind => 'ratio',
              at_most => { pass => 1.10, translated => 1.20 } },
        ],
    },
    3 => {
        title => '50 streams, 20 events per send',
        turns => 4,
        path  => sub { 'e=1500,g=20,b=20' },
        measure => sub { measure_streams($_[0], 50, 1500, 20) },
        rows  => [
            { key => 'cpu_us', name => 'CPU per event', unit => 'us', kind => 'ratio',
              at_most => { pass => 1.5, translated => 1.5 } },
        ],
    },
    4 => {
        title => 'request body of 1 MB, 4 connections',
        turns => 4,
        path  => sub { 'w=160' },
        measure => sub {
            measure_closed($_[0], '--connections', 4, '--duration', 1,
                '--body-size', 1_000_000);
        },
        rows  => [
            { key => 'cpu_us', name => 'CPU per request', unit => 'us', kind => 'ratio',
              at_most => { pass => 1.3 } },
        ],
    },
    5 => {
        title => 'latency, one connection',
        turns => 3,
        path  => sub { 'w=160' },
        measure => sub { measure_closed($_[0], '--connections', 1, '--duration', 1) },
        rows  => [
            { key => 'p50_ms', name => 'latency p50', unit => 'ms', kind => 'diff',
              at_most => { pass => 0.3, translated => 0.3 } },
            { key => 'p99_ms', name => 'latency p99', unit => 'ms', kind => 'diff' },
        ],
    },
    6 => {
        title => 'forwarding of an event, 10 streams',
        turns => 2,
        path  => sub { 'e=75,g=20,n=1,t=40' },
        measure => sub { measure_streams($_[0], 10, 75, 20) },
        rows  => [
            { key => 'delay_p50_ms', name => 'delay p50', unit => 'ms', kind => 'diff' },
            { key => 'delay_p99_ms', name => 'delay p99', unit => 'ms', kind => 'diff' },
        ],
    },
    7 => {
        title => 'memory, 2,000 idle streams',
        fresh => 1,
        path  => sub { 'i=1' },
        measure => \&measure_idle,
        rows  => [
            { key => 'kb_per_stream', name => 'per idle stream', unit => 'KB', kind => 'diff',
              at_most => { pass => 8, translated => 8 } },
        ],
    },
    8 => {
        title => 'memory, one long stream',
        fresh => 1,
        path  => sub { 'e=' . ($opt{quick} ? 100_000 : 300_000) . ',g=0,b=1' },
        measure => sub { measure_long($_[0], $opt{quick} ? 100_000 : 300_000) },
        rows  => [
            { key => 'growth_kb', name => 'growth at most', unit => 'KB', kind => 'diff',
              at_most => { pass => 1024, translated => 1024 } },
            { key => 'cpu_us', name => 'CPU per event', unit => 'us', kind => 'ratio' },
        ],
    },
    9 => {
        title => 'memory, 20 clients that stop reading',
        fresh => 1,
        path  => sub { 'e=1000000000,g=0,b=1' },
        measure => \&measure_stalled,
        rows  => [
            { key => 'growth_kb', name => 'growth in all', unit => 'KB', kind => 'diff',
              at_most => { pass => 1024, translated => 1024 } },
            { key => 'busy', name => 'worker busy', unit => '%', kind => 'diff' },
        ],
    },
    10 => {
        title => 'a key, its team and all their limits; "stock" is the gateway without',
        turns => 4,
        kinds => { stock => 'gateway', gateway => 'limited' },
        sides => [qw(stock pass)],
        path  => sub { 'w=160' },
        measure => sub { measure_closed($_[0], '--connections', 64, '--duration', 1) },
        rows  => [
            { key => 'per_second', name => 'throughput', unit => 'req/s', kind => 'ratio' },
            { key => 'cpu_us', name => 'CPU per request', unit => 'us', kind => 'diff',
              at_most => { pass => 10 } },
        ],
    },
    11 => {
        title => 'the same limits in Redis, one connection; "stock" is the gateway without',
        turns => 4,
        kinds => { stock => 'gateway', gateway => 'shared' },
        sides => [qw(stock pass)],
        path  => sub { 'w=160' },
        measure => sub { measure_shared($_[0], '--connections', 1, '--duration', 1) },
        rows  => [
            { key => 'p50_ms', name => 'latency p50', unit => 'ms', kind => 'diff',
              at_most => { pass => 0.15 } },
            { key => 'cpu_us', name => 'CPU per request', unit => 'us', kind => 'diff' },
            { key => 'redis_us', name => 'scripts in Redis per request', unit => 'us',
              kind => 'diff' },
        ],
    },
    12 => {
        title => 'the same limits in Redis, 64 connections; "stock" is the gateway without',
        turns => 4,
        kinds => { stock => 'gateway', gateway => 'shared' },
        sides => [qw(stock pass)],
        path  => sub { 'w=160' },
        measure => sub { measure_shared($_[0], '--connections', 64, '--duration', 1) },
        rows  => [
            { key => 'per_second', name => 'throughput', unit => 'req/s', kind => 'ratio',
              at_least => { pass => 0.6 } },
            { key => 'cpu_us', name => 'CPU per request', unit => 'us', kind => 'diff' },
            { key => 'redis_us', name => 'scripts in Redis per request', unit => 'us',
              kind => 'diff' },
            { key => 'redis_calls', name => 'calls of Redis per request', unit => '',
              kind => 'diff' },
        ],
    },
    13 => {
        title => 'two deployments and all policy of failures; "stock" is one, without',
        turns => 4,
        kinds => { stock => 'gateway', gateway => 'routed' },
        path  => sub { 'w=160' },
        sides => [qw(stock pass)],
        measure => sub { measure_closed($_[0], '--connections', 64, '--duration', 1) },
        rows  => [
            { key => 'per_second', name => 'throughput', unit => 'req/s', kind => 'ratio' },
            { key => 'cpu_us', name => 'CPU per request', unit => 'us', kind => 'diff',
              at_most => { pass => 5 } },
        ],
    },
    # failure-cases.md 61
    14 => {
        title => 'small requests while 40 bodies of 20 MB come in',
        turns => 2,
        path  => sub { 'w=160' },
        measure => \&measure_beside_bodies,
        rows  => [
            { key => 'rise_ms', name => 'p99 rises by', unit => 'ms', kind => 'diff',
              at_most => { pass => 5, translated => 5 } },
            { key => 'cpu_ms', name => 'CPU per body', unit => 'ms', kind => 'ratio' },
        ],
    },
);

my @SIDES = qw(stock pass translated);

my (%children, @problems, $mock_port, $mock_pid, $redis_port, $dir, $main_pid);
my ($tick_s, $has_schedstat, $has_rollup, $group_nice);

# Whatever dies outside of a case ends the run with one line and status 1.
eval { main(); 1 } or do {
    print STDERR $@;
    exit 1;
};

# ---------------------------------------------------------------- the run

sub main {
    read_options();
    build_programs();
    exit 0 if $opt{build_only};
    $main_pid = $$;
    $SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 130 };
    $SIG{PIPE} = 'IGNORE';
    $tick_s = 1 / POSIX::sysconf(POSIX::_SC_CLK_TCK());
    $has_schedstat = (slurp("/proc/$$/schedstat") // '') =~ /^[1-9]/;
    $has_rollup    = (slurp("/proc/$$/smaps_rollup") // '') =~ /^Rss:/m;
    check_gateway();

    $dir = "$BUILD/run.$$";
    make_path($dir);
    favour_our_group() if $opt{nice};
    start_mock();
    my @numbers = @{ $opt{case} } ? @{ $opt{case} } : sort keys %CASES;
    print_preface();
    my @results;
    for my $number (@numbers) {
        push @results, run_case($number);
        report($results[-1]);
    }
    stop_child($mock_pid, 'mock provider');
    write_json(@results) if $opt{json};
    if (@problems) {
        print "\n", scalar @problems, " problem(s):\n";
        print "  $_\n" for @problems > 20 ? @problems[0 .. 19] : @problems;
        print "  ...\n" if @problems > 20;
        print "logs: $dir\n";
        $opt{keep} = 1;
    }
    exit(@problems ? 1 : 0);
}

END {
    if (defined $main_pid && $$ == $main_pid) {
        my $status = $?;
        kill 'TERM', keys %children;
        my $until = time + 3;
        while (%children && time < $until) {
            for my $pid (keys %children) {
                delete $children{$pid} if waitpid($pid, POSIX::WNOHANG()) != 0;
            }
            sleep 0.02;
        }
        kill 'KILL', keys %children;
        waitpid($_, 0) for keys %children;
        spew("/proc/$$/autogroup", "$group_nice\n") if defined $group_nice;
        remove_tree($dir) if defined $dir && -d $dir && !$opt{keep};
        $? = $status;
    }
}

sub read_options {
    GetOptions(
        'quick' => \$opt{quick}, 'rounds=i' => \$opt{rounds}, 'case=s' => $opt{case},
        'module=s' => \$opt{module}, 'nginx=s' => \$opt{nginx}, 'self' => \$opt{self},
        'pin!' => \$opt{pin}, 'provider-extra=s' => \$opt{provider_extra},
        'http-extra=s' => \$opt{http_extra}, 'json=s' => \$opt{json}, 'keep' => \$opt{keep},
        'verbose' => \$opt{verbose}, 'nice=i' => \$opt{nice},
        'build-only' => \$opt{build_only}, 'list' => \$opt{list}, 'help|h' => \$opt{help},
    ) or exit 2;
    usage() if $opt{help};
    if ($opt{list}) {
        print "$_  $CASES{$_}{title}\n" for sort keys %CASES;
        exit 0;
    }
    $opt{case} = [map { split /,/ } @{ $opt{case} }];
    for my $number (@{ $opt{case} }) {
        die "run.pl: there is no case $number (--list names them)\n" unless $CASES{$number};
    }
    $opt{rounds} //= $opt{quick} ? 2 : 5;
    die "run.pl: --rounds wants 1 to 1000\n" if $opt{rounds} < 1 || $opt{rounds} > 1000;
    $opt{pin} = 0 unless has_command('taskset') && processor_count() > 1;
    die "run.pl: --nice wants 1 to 20\n" if ($opt{nice} // 1) < 1 || ($opt{nice} // 1) > 20;
    die "run.pl: --nice needs root\n" if $opt{nice} && $> != 0;
    $opt{has_setpriv} = has_command('setpriv');
}

sub build_programs {
    make_path($BUILD);
    my $newest_header = max(map { (stat)[9] } glob("$BENCH/*.hpp"));
    for my $name (qw(mock_provider load)) {
        my ($source, $binary) = ("$BENCH/$name.cpp", "$BUILD/$name");
        my $newest = max($newest_header, (stat $source)[9]);
        next if -x $binary && (stat _)[9] >= $newest;
        my $compiler = $ENV{CXX} // 'g++';
        # Renamed into place: another run may be using the old one.
        my @command = ($compiler, qw(-std=c++20 -O2 -Wall -Wextra -Wshadow), '-o', "$binary.$$",
            $source);
        print STDERR "building $name\n";
        system(@command) == 0 or die "run.pl: cannot build $name\n";
        rename "$binary.$$", $binary or die "run.pl: $binary: $!\n";
    }
}

sub check_gateway {
    return if $opt{self};
    die "run.pl: there is no $opt{module}: build it, or use --self\n" unless -e $opt{module};
    $opt{module} = abs_path($opt{module});
}

sub print_preface {
    my ($version) = `$opt{nginx} -v 2>&1` =~ m{nginx/(\S+)};
    my ($cpu) = (slurp('/proc/cpuinfo') // '') =~ /^model name\s*:\s*(.*)$/m;
    printf "nginx %s, %d x %s; %d round(s)%s; %s; CPU from %s\n",
        $version // '?', processor_count(), $cpu // 'CPU', $opt{rounds},
        $opt{quick} ? ', quick' : '',
        $opt{pin} ? 'nginx on CPU 0, the rest on CPU 1' : 'not pinned',
        $has_schedstat ? 'schedstat' : 'ticks of ' . $tick_s * 1000 . ' ms';
    print "SELF TEST: the gateway's columns are stock nginx too\n" if $opt{self};
    printf "%s\n", '-' x 100;
    printf "%-40s %-5s %9s %9s  %8s %-15s %-8s %s\n",
        'case, side', 'unit', 'stock', 'gateway', 'ratio', '(range)', 'target', 'verdict';
    printf "%s\n", '-' x 100;
}

# Measures one case on all sides in turns. The order changes from turn to turn, so that no side
# always comes right after another one.
sub run_case {
    my ($number) = @_;
    my $case = $CASES{$number};
    my $path = $case->{path}->();
    my (%values, %servers, @failures);
    my ($busy_before, $own_before, $begin) = (machine_busy_s(), own_cpu_s(), time);
    my $attempt = eval {
        if (!$case->{fresh}) {
            for my $kind (qw(stock gateway)) {
                $servers{$kind} = start_nginx($case->{kinds}{$kind} // $kind, $path);
                warm_up($servers{$kind});
            }
        }
        my $turns = $opt{quick} ? 1 : $case->{turns} // 1;
        for my $turn (1 .. $opt{rounds} * $turns) {
            my @sides = @{ $case->{sides} // \@SIDES };
            my @order = $turn % 2 ? @sides : reverse @sides;
            for my $name (@order) {
                my $kind = $name eq 'stock' ? 'stock' : 'gateway';
                my $server = $servers{$kind} // start_nginx($kind, $path);
                my $side = {
                    name  => $name,
                    label => "case $number, $name, turn $turn",
                    model => $name eq 'translated' ? 'claude-bench' : 'gpt-bench',
                    %$server,
                };
                my $value = $case->{measure}->($side);
                push @{ $values{$name} }, $value;
                print_turn($side, $value) if $opt{verbose};
                stop_nginx($server) if $case->{fresh};
            }
        }
        1;
    };
    if (!$attempt) {
        my $error = $@;
        $error =~ s/\s+$//;
        push @problems, "case $number: $error";
        push @failures, $error;
    }
    stop_nginx($_) for grep { $children{ $_->{pid} } } values %servers;
    # A fresh server of a turn that died is still there.
    stop_child($_, 'nginx') for grep { $_ != $mock_pid } keys %children;
    my $others_s = machine_busy_s() - $busy_before - (own_cpu_s() - $own_before);
    return {
        number => $number, case => $case, values => \%values, failures => \@failures,
        others => 100 * max(0, $others_s) / (processor_count() * (time - $begin)),
    };
}

# ---------------------------------------------------------------- one turn of a case

# Whole answers in a closed loop.
sub measure_closed {
    my ($side, @args) = @_;
    my ($result, $cpu_ns, $seconds) = timed_load($side, @args);
    die "$side->{label}: no request was answered\n" unless $result->{good};
    return {
        requests   => $result->{good},
        per_second => $result->{per_second},
        cpu_us     => $cpu_ns / 1000 / $result->{good},
        busy       => $cpu_ns / 1e7 / $seconds,
        p50_ms     => $result->{p50_us} / 1000,
        p99_ms     => $result->{p99_us} / 1000,
    };
}

# How much longer small requests take while large bodies are received, read and sent on.
sub measure_beside_bodies {
    my ($side) = @_;
    my $bodies = 40;
    my @small = ('--connections', 4, '--duration', 3);
    my $alone = finish_load($side, start_load($side, @small));
    my $cpu_before = cpu_ns($side->{worker});
    # Each over a line of 50 megabits a second, as clients have: it takes 3 s.
    my $large = start_load($side, '--connections', $bodies, '--requests', $bodies, '--picture',
        '--body-size', 20_000_000, '--body-rate', 64);
    my $beside = finish_load($side, start_load($side, @small));
    finish_load($side, $large);
    return {
        rise_ms => ($beside->{p99_us} - $alone->{p99_us}) / 1000,
        cpu_ms  => (cpu_ns($side->{worker}) - $cpu_before) / 1e6 / $bodies,
    };
}

# The same, and what Redis counts itself, so that it hardly depends on what else the machine does.
sub measure_shared {
    my ($side, @args) = @_;
    my $calls = sub {
        my ($calls, $us) = $side->{kind} eq 'shared'
            ? redis_info('commandstats') =~ /^cmdstat_evalsha:calls=(\d+),usec=(\d+)/m : ();
        return ($calls // 0, $us // 0);
    };
    my @before = $calls->();
    my $value = measure_closed($side, @args);
    my @after = $calls->();
    $value->{redis_calls} = ($after[0] - $before[0]) / $value->{requests};
    $value->{redis_us} = ($after[1] - $before[1]) / $value->{requests};
    return $value;
}

# Paced streams, each once. They begin evenly spread over one gap: what arrives together in a read
# or in a turn of the event loop is then the same in every turn.
sub measure_streams {
    my ($side, $streams, $events, $gap_ms) = @_;
    my ($result, $cpu_ns) = timed_load($side, '--stream', '--connections', $streams,
        '--expect-events', $events, '--start-spread-ms', $gap_ms);
    die "$side->{label}: no event came\n" unless $result->{content_events};
    return {
        cpu_us       => $cpu_ns / 1000 / $result->{content_events},
        delay_p50_ms => $result->{delay_p50_us} / 1000,
        delay_p99_ms => $result->{delay_p99_us} / 1000,
    };
}

# Streams that have had one event and are silent since.
sub measure_idle {
    my ($side) = @_;
    my $streams = 2000;
    # A few streams first: the code and the tables they touch are no part of what a stream costs.
    my $few = start_load($side, '--mode', 'hold', '--connections', 8);
    wait_ready($side, $few, 8);
    end_load($side, $few);
    wait_provider_empty($side);
    my $base_kb = rss_kb($side->{worker});
    my $load = start_load($side, '--mode', 'hold', '--connections', $streams);
    wait_ready($side, $load, $streams);
    sleep 0.5;
    my $open = mock_stats()->{streams_open};
    push @problems, "$side->{label}: $open streams at the provider, not $streams"
        if $open != $streams;
    my $full_kb = rss_kb($side->{worker});
    end_load($side, $load);
    wait_provider_empty($side);
    return { kb_per_stream => ($full_kb - $base_kb) / $streams };
}

# One stream as fast as it goes; the worker's memory is looked at all the time.
sub measure_long {
    my ($side, $events) = @_;
    warm_up_streams($side);
    my $before_kb = rss_kb($side->{worker});
    my $highest_kb = $before_kb;
    my $cpu_before = cpu_ns($side->{worker});
    my $load = start_load($side, '--stream', '--connections', 1, '--expect-events', $events);
    my $poll = IO::Select->new($load->{out});
    while (!$poll->can_read(0.02)) {
        $highest_kb = max($highest_kb, rss_kb($side->{worker}));
    }
    my $result = finish_load($side, $load);
    $highest_kb = max($highest_kb, rss_kb($side->{worker}));
    return {
        growth_kb => $highest_kb - $before_kb,
        cpu_us    => (cpu_ns($side->{worker}) - $cpu_before) / 1000 / $events,
    };
}

# Clients that stop reading while the provider would go on for ever.
sub measure_stalled {
    my ($side) = @_;
    warm_up_streams($side);
    my $before_kb = rss_kb($side->{worker});
    my $load = start_load($side, '--mode', 'slow', '--connections', 20, '--rcvbuf', 65536);
    wait_ready($side, $load, 20);
    # The kernel's buffers between the three fill first, and grow while they do.
    my $events = -1;
    for (1 .. 50) {
        sleep 0.2;
        my $now = mock_stats()->{events_made};
        last if $now == $events;
        $events = $now;
    }
    my ($cpu_before, $begin) = (cpu_ns($side->{worker}), time);
    sleep 1;
    my $busy = (cpu_ns($side->{worker}) - $cpu_before) / 1e7 / (time - $begin);
    my $stats = mock_stats();
    push @problems, "$side->{label}: the provider is still being read"
        if $stats->{events_made} != $events;
    push @problems, "$side->{label}: $stats->{streams_open} streams at the provider, not 20"
        if $stats->{streams_open} != 20;
    my $growth_kb = rss_kb($side->{worker}) - $before_kb;
    end_load($side, $load);
    wait_provider_empty($side);
    return { growth_kb => $growth_kb, busy => $busy };
}

# ---------------------------------------------------------------- load

# Runs a load to its end; returns its result and the worker's CPU time and the wall time meanwhile.
sub timed_load {
    my ($side, @args) = @_;
    my $stats_before = mock_stats();
    my ($cpu_before, $begin) = (cpu_ns($side->{worker}), time);
    my $load = start_load($side, @args);
    my $result = finish_load($side, $load);
    my $seconds = time - $begin;
    sleep 0.03;    # the last connections are being closed
    my $cpu_ns = cpu_ns($side->{worker}) - $cpu_before;
    check_dialect($side, $result, $stats_before, mock_stats());
    return ($result, $cpu_ns, $seconds);
}

# That every request reached the provider once, in the dialect it should have there: an answer from
# elsewhere, or one without translation, would look cheap.
sub check_dialect {
    my ($side, $result, $before, $after) = @_;
    my $key = $side->{name} eq 'translated' && !$opt{self} ? 'messages_requests' : 'chat_requests';
    my $seen = $after->{$key} - $before->{$key};
    push @problems, "$side->{label}: $result->{requests} requests, but $key at the provider: $seen"
        if $seen != $result->{requests};
}

sub start_load {
    my ($side, @args) = @_;
    my @command = (on_cpu(1), "$BUILD/load", '--die-with-parent', '--port', $side->{port},
        '--model', $side->{model}, '--max-seconds', 120, '--timeout', 20, @args);
    my $pid = open my $out, '-|', @command or die "load: $!\n";
    $children{$pid} = 1;
    return { pid => $pid, out => $out };
}

# Hold and slow: waits until all clients have had their first event.
sub wait_ready {
    my ($side, $load, $wanted) = @_;
    die "$side->{label}: the clients are not ready after 60 s\n"
        unless IO::Select->new($load->{out})->can_read(60);
    my $line = readline $load->{out};
    my $state = decode_line($side, $line);
    return if ($state->{ready} // 0) == $wanted;
    die "$side->{label}: " . ($state->{ready} // 0)
        . " of $wanted clients got an event; $state->{first_problem}\n";
}

sub end_load {
    my ($side, $load) = @_;
    kill 'TERM', $load->{pid};
    return finish_load($side, $load);
}

sub finish_load {
    my ($side, $load) = @_;
    my $line = readline $load->{out};
    close $load->{out};
    delete $children{ $load->{pid} };
    my $result = decode_line($side, $line);
    for my $key (qw(errors non_200 short_streams dropped)) {
        next unless $result->{$key};
        push @problems, "$side->{label}: $key $result->{$key}; $result->{first_problem}";
    }
    return $result;
}

sub decode_line {
    my ($side, $line) = @_;
    die "$side->{label}: the load generator said nothing\n" unless defined $line;
    return JSON::PP::decode_json($line);
}

sub warm_up {
    my ($server) = @_;
    for my $model (qw(gpt-bench claude-bench)) {
        my $side = { %$server, model => $model, label => "warming up $server->{kind}, $model" };
        finish_load($side, start_load($side, '--connections', 16, '--requests', 400));
        warm_up_streams($side);
    }
}

sub warm_up_streams {
    my ($side) = @_;
    finish_load($side, start_load($side, '--mode', 'cancel', '--connections', 4, '--requests', 12,
        '--cancel-ms', 30, '--cancel-with', 'fin'));
    wait_provider_empty($side);
}

# A client that leaves takes its upstream connection with it.
sub wait_provider_empty {
    my ($side) = @_;
    my $open;
    for (1 .. 250) {
        $open = mock_stats()->{streams_open};
        return if $open == 0;
        sleep 0.02;
    }
    push @problems, "$side->{label}: $open streams still open at the provider after 5 s";
}

# ---------------------------------------------------------------- servers

sub start_mock {
    my @command = (on_cpu(1), "$BUILD/mock_provider", '--die-with-parent', '--lifetime', 7200);
    $mock_pid = open my $out, '-|', @command or die "run.pl: mock_provider: $!\n";
    $children{$mock_pid} = 1;
    my $line = readline $out;
    ($mock_port) = ($line // '') =~ /^port (\d+)$/ or die "run.pl: mock_provider did not start\n";
    # Kept open: closing it would wait for the mock's end.
    $opt{mock_out} = $out;
}

my $stats_socket;

sub mock_stats {
    for my $try (1 .. 2) {
        $stats_socket //= IO::Socket::INET->new(
            PeerAddr => '127.0.0.1', PeerPort => $mock_port, Proto => 'tcp', Timeout => 5)
            or die "mock provider: $!\n";
        print $stats_socket "GET /stats HTTP/1.1\r\nHost: mock\r\n\r\n";
        $stats_socket->flush;
        my $head = '';
        while (defined(my $line = readline $stats_socket)) {
            last if $line eq "\r\n";
            $head .= $line;
        }
        if ($head =~ /^content-length: (\d+)/m && read($stats_socket, my $body, $1) == $1) {
            return JSON::PP::decode_json($body);
        }
        undef $stats_socket;
    }
    die "the mock provider does not answer\n";
}

sub start_nginx {
    my ($kind, $path) = @_;
    my $port = free_port();
    my $prefix = "$dir/$kind";
    remove_tree($prefix) if -d $prefix && !$opt{keep};
    make_path("$prefix/temp");
    unlink "$prefix/error.log";
    my $conf = $kind eq 'stock' || $opt{self} ? stock_conf($path, $port)
              : gateway_conf($path, $port, $kind eq 'limited' ? limited_conf()
                  : $kind eq 'shared' ? shared_conf() : '', $kind eq 'routed');
    spew("$prefix/nginx.conf", $conf);
    my @nginx = ($opt{nginx}, '-p', "$prefix/", '-c', "$prefix/nginx.conf", '-e',
        "$prefix/error.log");
    my $check = join ' ', map { "'$_'" } @nginx, '-t', '-q';
    my $output = `$check 2>&1`;
    die "nginx -t ($kind): $output\n" if $? != 0;

    my @command = (on_cpu(0), @nginx);
    unshift @command, 'setpriv', '--pdeathsig', 'TERM' if $opt{has_setpriv};
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>', "$prefix/stdout.log";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    $children{$pid} = 1;
    my $server = { kind => $kind, pid => $pid, port => $port, prefix => $prefix };
    for (1 .. 200) {
        sleep 0.05;
        die "nginx ($kind) ended at once: " . (slurp("$prefix/error.log") // '') . "\n"
            if waitpid($pid, POSIX::WNOHANG()) == $pid && delete $children{$pid};
        my @workers = worker_pids($pid);
        next unless @workers == 1 && connects($port);
        $server->{worker} = $workers[0];
        sleep 0.1;
        return $server;
    }
    die "nginx ($kind) does not answer after 10 s\n";
}

sub stop_nginx {
    my ($server) = @_;
    my @workers = worker_pids($server->{pid});
    push @problems, "$server->{kind}: the worker is not the one that was measured"
        if "@workers" ne "$server->{worker}";
    stop_child($server->{pid}, "nginx ($server->{kind})");
    my $log = slurp("$server->{prefix}/error.log") // '';
    my @lines = grep { /\[(error|crit|alert|emerg)\]/ || /Sanitizer|runtime error/ }
        split /\n/, $log;
    return unless @lines;
    push @problems, "$server->{kind}: " . @lines . " line(s) in its error log, first: $lines[0]";
    # The next server of this kind begins a new one.
    rename "$server->{prefix}/error.log", "$dir/$server->{kind}.error.$server->{pid}.log";
}

sub stop_child {
    my ($pid, $name) = @_;
    return unless delete $children{$pid};
    kill 'TERM', $pid;
    for (1 .. 250) {
        return if waitpid($pid, POSIX::WNOHANG()) != 0;
        sleep 0.02;
    }
    push @problems, "$name did not end within 5 s";
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub conf_head {
    my $user = $> == 0 ? "user root;\n" : '';
    my $files = min(20_000, hard_file_limit());
    my $connections = min(16_384, $files);
    return <<"END";
${user}worker_processes 1;
worker_rlimit_nofile $files;
daemon off;
pid nginx.pid;
events { worker_connections $connections; }
END
}

# What both servers have alike. Bodies stay in memory on both sides: with nginx's default stock would
# write large ones to a file, and be an easy mark.
sub conf_http {
    return <<"END";
    access_log off;
    client_max_body_size 32m;
    client_body_buffer_size 32m;
    keepalive_requests 100000000;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
END
}

sub stock_conf {
    my ($path, $port) = @_;
    return conf_head() . "http {\n" . conf_http() . <<"END";
    upstream mock {
        server 127.0.0.1:$mock_port;
        keepalive 256;
        keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            proxy_pass http://mock/$path/;
            proxy_buffering off;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
END
}

sub gateway_conf {
    my ($path, $port, $more, $is_routed) = @_;
    my $policy = $is_routed ? routed_lines() : '';
    my $base = "http://127.0.0.1:$mock_port/$path/v1";
    return "load_module $opt{module};\n" . conf_head() . "http {\n" . conf_http() . <<"END";
    $opt{http_extra}
    $more
    llm_provider mockchat {
        preset openai;
        base_url $base;
        api_key sk-bench;
        $opt{provider_extra}
    }
    llm_provider mockanth {
        preset anthropic;
        base_url $base;
        api_key sk-bench;
        $opt{provider_extra}
    }
    llm_model gpt-bench { deployment mockchat/gpt-bench; $policy }
    llm_model claude-bench { deployment mockanth/claude-bench; }
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / { llm_pass models; }
    }
}
END
}

# Everything that can be said of failures. None happens.
sub routed_lines {
    return 'deployment mockchat/gpt-bench id=second; strategy latency-based; affinity on;'
        . ' fallbacks claude-bench; context_window_fallbacks claude-bench;'
        . ' content_policy_fallbacks claude-bench; num_retries 3; allowed_fails 3;'
        . ' cooldown_time 30s; hedge after=1s max=5%;';
}

# Every limit that there is, none of them reached.
sub limited_conf {
    my $all = 'rpm 100000000; tpm 100000000000; max_parallel_requests 100000;'
        . ' max_budget 1000000/30d; max_budget 100000/1d; soft_budget 500000;';
    return "llm_team bench { $all }\nllm_key $BENCH_KEY { team bench; models *; $all }\n"
        . 'llm_limit $remote_addr rpm=100000000 tpm=100000000000 max_parallel_requests=100000;';
}

# The same, counted in a Redis of our own. It ends with the case.
sub shared_conf {
    my $port = $redis_port = free_port();
    make_path("$dir/redis");
    my @command = (on_cpu(1), 'redis-server', '--port', $port, '--bind', '127.0.0.1', '--save', '',
        '--dir', "$dir/redis", '--logfile', "$dir/redis/log");
    unshift @command, 'setpriv', '--pdeathsig', 'TERM' if $opt{has_setpriv};
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        exec @command or POSIX::_exit(127);
    }
    $children{$pid} = 1;
    for (1 .. 200) {
        last if connects($port);
        sleep 0.02;
    }
    return "llm_redis redis://127.0.0.1:$port timeout=1s on_outage=deny;\n" . limited_conf();
}

sub redis_info {
    my ($section) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $redis_port, Proto => 'tcp', Timeout => 5)
        or die "redis: $!\n";
    print $socket "INFO $section\r\n";
    $socket->flush;
    my ($size) = (readline($socket) // '') =~ /^\$(\d+)/ or die "redis does not answer\n";
    read $socket, my ($text), $size;
    return $text;
}

# ---------------------------------------------------------------- the machine

# Time on a CPU. schedstat counts ns; the ticks of stat are what remains without it.
sub cpu_ns {
    my ($pid) = @_;
    if ($has_schedstat) {
        my $text = slurp("/proc/$pid/schedstat") // die "the worker is gone\n";
        return (split ' ', $text)[0];
    }
    my $text = slurp("/proc/$pid/stat") // die "the worker is gone\n";
    $text =~ s/^.*\) //s;
    my @fields = split ' ', $text;
    return ($fields[11] + $fields[12]) * $tick_s * 1e9;
}

sub worker_pids {
    my ($master) = @_;
    return grep { (slurp("/proc/$_/cmdline") // '') =~ /worker process/ } child_pids($master);
}

# Resident memory. The rollup is exact; status may lag behind by some pages per CPU.
sub rss_kb {
    my ($pid) = @_;
    my $text = $has_rollup ? slurp("/proc/$pid/smaps_rollup") : slurp("/proc/$pid/status");
    my ($kb) = ($text // '') =~ /^(?:Rss|VmRSS):\s+(\d+) kB/m;
    return $kb // die "the worker is gone, or its memory cannot be read\n";
}

# Seconds that all processors together have worked (or were taken by the host) since boot.
sub machine_busy_s {
    my ($line) = (slurp('/proc/stat') // '') =~ /^cpu +(.*)$/m or return 0;
    my ($user, $nice, $system, $idle, $wait, @rest) = split ' ', $line;
    return ($user + $nice + $system + sum(0, grep { defined } @rest[0 .. 2])) * $tick_s;
}

# Seconds of this script, of all its children that have ended, and of the mock provider.
sub own_cpu_s {
    my ($user, $system, $child_user, $child_system) = times;
    return $user + $system + $child_user + $child_system + cpu_ns($mock_pid) / 1e9;
}

sub child_pids {
    my ($parent) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/stat') {
        my $text = slurp($file) // next;
        push @found, $1 if $text =~ /^(\d+) \(.*\) \S (\d+) /s && $2 == $parent;
    }
    return @found;
}

sub free_port {
    my $socket = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1, ReuseAddr => 1)
        or die "no free port: $!\n";
    return $socket->sockport;
}

sub connects {
    my ($port) = @_;
    return IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 1) ? 1 : 0;
}

sub hard_file_limit {
    my ($limit) = (slurp("/proc/$$/limits") // '') =~ /^Max open files\s+\S+\s+(\S+)/m;
    return ($limit // '') =~ /^\d+$/ ? $limit : 20_000;
}

sub processor_count {
    my @processors = (slurp('/proc/cpuinfo') // '') =~ /^processor\s*:/mg;
    return scalar @processors || 1;
}

# Where the kernel shares the CPUs out among groups first (autogroup), the nice value of a process
# says nothing to other groups; that of its group does. It is put back at the end.
sub favour_our_group {
    my $file = "/proc/$$/autogroup";
    my ($nice) = (slurp($file) // '') =~ /nice (-?\d+)/ or return;
    return unless (slurp('/proc/sys/kernel/sched_autogroup_enabled') // 0) == 1;
    spew($file, -$opt{nice} . "\n");
    $group_nice = $nice;
}

# What a command begins with, to run where and how it should.
sub on_cpu {
    my ($cpu) = @_;
    my @nice = $opt{nice} ? ('nice', '-n', -$opt{nice}) : ();
    return (@nice, $opt{pin} ? ('taskset', '-c', $cpu) : ());
}

sub has_command {
    my ($name) = @_;
    return scalar grep { -x "$_/$name" } split /:/, $ENV{PATH} // '';
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return undef;
    local $/;
    return readline $in;
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
}

# ---------------------------------------------------------------- the table

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return undef unless @sorted;
    my $half = int(@sorted / 2);
    return @sorted % 2 ? $sorted[$half] : ($sorted[$half - 1] + $sorted[$half]) / 2;
}

# Rounds to what is worth reading.
sub short_number {
    my ($value) = @_;
    my $size = abs $value;
    return sprintf '%.*f', $size >= 100 ? 0 : $size >= 10 ? 1 : $size >= 1 ? 2 : 3, $value;
}

sub compare {
    my ($result, $row, $side) = @_;
    my $stock   = $result->{values}{stock} // [];
    my $gateway = $result->{values}{$side} // [];
    my @each;
    for my $i (0 .. min(scalar @$stock, scalar @$gateway) - 1) {
        my ($a, $b) = ($stock->[$i]{ $row->{key} }, $gateway->[$i]{ $row->{key} });
        push @each, $row->{kind} eq 'diff' ? $b - $a : $a > 0 ? $b / $a : 0;
    }
    return undef unless @each;
    my $value = median(@each);
    my ($target, $verdict) = ('-', 'info');
    if (defined(my $limit = $row->{at_most}{$side})) {
        $target = ($row->{kind} eq 'diff' ? '<= +' : '<= ') . $limit;
        $verdict = $value <= $limit ? 'ok' : 'MISSED';
    } elsif (defined($limit = $row->{at_least}{$side})) {
        $target = ">= $limit";
        $verdict = $value >= $limit ? 'ok' : 'MISSED';
    }
    return {
        case => $result->{number}, title => $result->{case}{title}, side => $side,
        name => $row->{name}, unit => $row->{unit}, kind => $row->{kind},
        stock   => median(map { $_->{ $row->{key} } } @$stock),
        gateway => median(map { $_->{ $row->{key} } } @$gateway),
        value => $value, low => min(@each), high => max(@each),
        target => $target, verdict => $verdict,
    };
}

sub report {
    my ($result) = @_;
    print "$result->{number} $result->{case}{title}\n";
    if (@{ $result->{failures} }) {
        print "    FAILED: $result->{failures}[0]\n";
    }
    for my $row (@{ $result->{case}{rows} }) {
        for my $side (qw(pass translated)) {
            my $line = compare($result, $row, $side) // next;
            push @{ $result->{lines} }, $line;
            my @shown = map {
                $row->{kind} eq 'diff' ? ($_ >= 0 ? '+' : '') . short_number($_)
                                       : sprintf 'x%.2f', $_
            } @$line{qw(value low high)};
            printf "    %-36s %-5s %9s %9s  %8s %-15s %-8s %s\n", "$row->{name}, $side",
                $row->{unit}, short_number($line->{stock}), short_number($line->{gateway}),
                $shown[0], "($shown[1] $shown[2])", $line->{target}, $line->{verdict};
        }
    }
    my $busy = median(map { $_->{busy} // () } @{ $result->{values}{stock} // [] });
    if (grep({ $_->{key} eq 'per_second' } @{ $result->{case}{rows} }) && ($busy // 100) < 90) {
        printf "    note: the worker was busy for %.0f %% only: CPU per request says more than"
            . " throughput\n", $busy;
    }
    printf "    note: other processes took %.0f %% of the machine meanwhile\n", $result->{others}
        if $result->{others} >= 10;
    STDOUT->flush;
}

sub print_turn {
    my ($side, $value) = @_;
    print '    ', $side->{label}, map { " $_=" . short_number($value->{$_}) } sort keys %$value;
    print "\n";
}

sub write_json {
    my @lines = map { @{ $_->{lines} // [] } } @_;
    spew($opt{json}, JSON::PP->new->canonical->pretty->encode(
        { self => $opt{self} ? \1 : \0, rounds => $opt{rounds}, problems => \@problems,
          lines => \@lines }));
}
