# The test harness: an nginx with a configuration, and clients that talk to it.
#
#     use LLM::Test;                        # also strict, warnings, Test::More, JSON
#     my $t = LLM::Test->new(workers => 2);
#     $t->http_conf('server { listen 127.0.0.1:%%PORT%%; ... }');
#     $t->start;
#     my $r = $t->post('/v1/chat/completions', { model => 'm', messages => [] });
#     is($r->{status}, 200, 'answered');
#     $t->done;                             # stop, checks of the log, done_testing
#
# Clients: request, get, post (whole answers), stream (LLM::Stream), h2 (LLM::H2). Their
# options: port (a number or a name), tls, ca, headers, body, chunked, http10, raw, timeout.
#
# Every stop asserts that the log has no [alert], [emerg] or [crit] line, that no sanitizer
# spoke, and that every worker exited with code 0; expect_log() allows, and demands, a line.
# Environment: NGINX_BINARY, LLM_MODULE, LLM_KEEP=1 (keep the directory), LLM_VERBOSE=1 (print
# the log), LLM_SLOW=N (stretch all deadlines). Processes and configuration: LLM::Nginx.

package LLM::Test;

use strict;
use warnings;
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(time);
use LLM::Json ();
use LLM::Nginx;
use LLM::Port qw(nap slow);
use LLM::Stream;

our @ISA = ('LLM::Nginx');

sub import {
    my ($class) = @_;
    my $caller = caller;

    strict->import;
    warnings->import;
    Test::More->export_to_level(1, $class, @Test::More::EXPORT);
    no strict 'refs';
    *{"${caller}::$_"} = LLM::Json->can($_) for qw(encode_json_c decode_json);
    return;
}

sub new {
    my ($class, %o) = @_;

    my $self = LLM::Nginx::new($class, %o);
    @$self{qw(expected streams)} = ([], []);
    return $self;
}

# Failures are reported at the line of the test that called us.
sub _level {
    my $n = 0;

    while (my ($package) = caller $n) {
        last if $package !~ /\ALLM::/;
        $n++;
    }
    return $n + 1;
}

# Life of nginx

sub start {
    my ($self) = @_;

    $self->start_nginx;
    return $self;
}

sub reload {
    my ($self, %o) = @_;
    my $trouble = $self->reload_nginx($o{timeout});

    local $Test::Builder::Level = _level();
    if ($trouble && !$o{may_fail}) {
        Test::More::fail('reload');
        Test::More::diag("$trouble\n" . $self->log_tail);
    }
    return $trouble eq '';
}

# Closes the test's own connections first: nginx waits for them otherwise. With
# keep_streams => 1 they stay, for tests of the graceful end.
sub stop {
    my ($self, %o) = @_;

    return unless $self->{pid};
    $self->close_streams unless $o{keep_streams};
    my $trouble = $self->stop_nginx($o{timeout});
    local $Test::Builder::Level = _level();
    if ($trouble) {
        Test::More::fail('nginx stops');
        Test::More::diag($trouble);
    }
    Test::More::diag($self->error_text . $self->log_text) if $ENV{LLM_VERBOSE};
    $self->_check_log;
    return;
}

sub done {
    my ($self, %o) = @_;

    $self->stop(%o);
    $self->cleanup;
    Test::More::done_testing();
    return;
}

sub expect_log { push @{$_[0]{expected}}, $_[1]; return }

sub _check_log {
    my ($self) = @_;
    my ($found, $text) = $self->fatal_lines;
    my @expected = splice @{$self->{expected}};
    my $killed = join '|', keys %{delete $self->{killed} || {}};

    # A blow may fall while the worker holds the lock of the zone: nginx frees it, and says so.
    @{$found->{log}} = grep { !/shared memory zone "\w+" was locked by (?:$killed)\z/ }
        @{$found->{log}} if $killed;
    local $Test::Builder::Level = _level();
    for my $regex (@expected) {
        Test::More::ok($text =~ $regex, "log has $regex");
    }
    my %name = (
        log => 'log has no alert, emerg or crit line',
        sanitizer => 'no sanitizer report',
        exit => 'every worker exited with code 0',
    );
    for my $kind (qw(log sanitizer exit)) {
        my @bad = grep { my $line = $_; !grep { $line =~ $_ } @expected } @{$found->{$kind}};
        Test::More::ok(!@bad, $name{$kind}) or Test::More::diag(join "\n", @bad[0 .. ($#bad > 19
            ? 19 : $#bad)], $kind eq 'sanitizer' ? $self->error_text : ());
    }
    return;
}

sub kill_worker {
    my ($self, $signal, $pid) = @_;

    ($pid) = $self->worker_pids unless $pid;
    $signal ||= 'KILL';
    $self->{killed}{$pid} = 1 if $signal eq 'KILL';
    kill $signal, $pid;
    return $pid;
}

sub log_like {
    my ($self, $regex, $name) = @_;

    local $Test::Builder::Level = _level();
    return Test::More::ok($self->log_text =~ $regex, $name || "log has $regex");
}

sub log_unlike {
    my ($self, $regex, $name) = @_;

    local $Test::Builder::Level = _level();
    my $ok = Test::More::ok($self->log_text !~ $regex, $name || "log has no $regex");
    Test::More::diag("found: $&") unless $ok;
    return $ok;
}

# Returns the condition's value; fails the test when it never comes true.
sub wait_for {
    my ($self, $condition, $timeout, $what) = @_;
    my $deadline = time + slow($timeout || 5);

    while (1) {
        my $value = $condition->();
        return $value if $value;
        last if time > $deadline;
        nap(0.005);
    }
    local $Test::Builder::Level = _level();
    Test::More::fail('waited for ' . ($what || 'a condition'));
    return undef;
}

# The same for what all workers have to say: a page is asked for until the last answer of each was
# good. The server says "listen ... reuseport", so that each gets its share of the connections, and
# "add_header x-worker $pid always".
sub wait_for_workers {
    my ($self, $path, $condition, $timeout, $what) = @_;
    my %is_good;

    return $self->wait_for(sub {
        my $answer = $self->get($path);
        $is_good{$answer->{headers}{'x-worker'} // ''} = $condition->($answer);
        return !grep { !$is_good{$_} } $self->worker_pids;
    }, $timeout, $what);
}

# Clients

# A whole answer. keep => 1 leaves the connection in {conn}; conn => $answer->{conn} uses it.
sub request {
    my ($self, $method, $path, %o) = @_;
    my $stream = LLM::Stream->open($self->_target(%o), method => $method, path => $path);

    $stream->read_body($o{timeout});
    my $answer = $stream->answer;
    _sane($stream, defined $method ? "$method $path" : 'raw request');
    if ($o{keep} && !$stream->{peer_closed}) {
        $answer->{conn} = $stream;
    } else {
        $stream->close;
    }
    return $answer;
}

# Data that is a reference is sent as JSON, a string as it is.
sub post {
    my ($self, $path, $data, %o) = @_;

    return $self->request('POST', $path, _json_body($data, %o));
}

sub get { my ($self, $path, %o) = @_; return $self->request('GET', $path, %o) }

# An answer read as it comes. raw => BYTES sends those bytes in place of a request.
sub stream {
    my ($self, $path, $data, %o) = @_;
    my $stream = LLM::Stream->open(
        $self->_target(defined $o{raw} ? %o : _json_body($data, %o)), path => $path);

    return $self->_remember($stream);
}

# An HTTP/2 connection; port as for the others.
sub h2 {
    my ($self, %o) = @_;

    require LLM::H2;
    return $self->_remember(LLM::H2->new($self->_target(%o)));
}

sub _remember {
    my ($self, $client) = @_;

    @{$self->{streams}} = grep { defined } @{$self->{streams}};
    push @{$self->{streams}}, $client;
    weaken($_) for @{$self->{streams}};
    return $client;
}

sub close_streams {
    my ($self) = @_;

    for my $stream (grep { defined } splice @{$self->{streams}}) {
        _sane($stream, 'stream');
        $stream->close;
    }
    return;
}

sub _target {
    my ($self, %o) = @_;

    $o{port} = $self->port(defined $o{port} ? $o{port} : ())
        unless defined $o{port} && $o{port} =~ /\A\d+\z/;
    return %o;
}

sub _json_body {
    my ($data, %o) = @_;

    return %o unless defined $data;
    my @pairs = LLM::Http::header_pairs($o{headers});
    push @pairs, ['Content-Type', 'application/json']
        unless grep { lc $_->[0] eq 'content-type' } @pairs;
    return (%o, headers => \@pairs, body => ref $data ? LLM::Json::encode_json_o($data) : $data);
}

# Silent when all is well: what no answer of nginx may ever show.
sub _sane {
    my ($stream, $what) = @_;
    my @problems = $stream->problems;

    return unless @problems;
    local $Test::Builder::Level = _level();
    Test::More::fail("HTTP of $what");
    Test::More::diag($_) for @problems;
    return;
}

1;
