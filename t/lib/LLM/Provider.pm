# A provider that answers what the test wrote, and remembers what it was asked.
#
#     my $p = LLM::Provider->new(dir => $t->dir);       # tls => 1 or {names => [...]}
#     $p->script(json(200, chat_answer(text => 'hi')));              # for every request
#     $p->script([json(503, {}), sse(chat_stream(), gap => 0.01)]);  # in turn, last repeats
#     $p->on('/v1/messages' => sse(messages_stream()));              # by path
#     $p->on({ body => qr/"small"/ } => json(200, chat_answer()));   # line, head, body, path
#     $p->release;                        # lets go every answer that waits at a hold
#     $p->requests, $p->request_count, $p->connections, $p->last_request
#     $p->wait_requests($n), $p->wait_closed($conn_or_all), $p->wait_held($n)
#
# What an answer can be: LLM::Provider::Script. Ready-made bodies: LLM::Provider::Answers,
# LLM::Provider::Others, LLM::Provider::Aws. It is a process of its own with a single loop
# (LLM::Provider::Server), so hundreds of connections may be open; it ends when the test does.

package LLM::Provider;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Test::More ();
use Time::HiRes qw(time);
use LLM::Json qw(try_json);
use LLM::Port qw(reserve nap slow);
use LLM::Provider::Answers ();
use LLM::Provider::Aws ();
use LLM::Provider::Others ();
use LLM::Provider::Script ();
use LLM::Provider::Server qw(read_frame write_frame);

my @constructors = ((map { [$_, 'LLM::Provider::Answers'] } @LLM::Provider::Answers::EXPORT_OK),
    (map { [$_, 'LLM::Provider::Aws'] } @LLM::Provider::Aws::EXPORT_OK),
    (map { [$_, 'LLM::Provider::Others'] } @LLM::Provider::Others::EXPORT_OK),
    map { [$_, 'LLM::Provider::Script'] } grep { $_ ne 'compile' && $_ ne 'sse_bytes' }
        @LLM::Provider::Script::EXPORT_OK);

sub import {
    my $caller = caller;

    no strict 'refs';
    *{"${caller}::$_->[0]"} = $_->[1]->can($_->[0]) for @constructors;
    return;
}

sub new {
    my ($class, %o) = @_;
    my $tls = $o{tls};

    if ($tls) {
        require LLM::TLS;
        $tls = {} unless ref $tls;
        unless ($tls->{cert}) {
            my $ca = $tls->{ca} ||= LLM::TLS->new(dir => $o{dir});
            my $names = $tls->{names} || ['localhost', '127.0.0.1'];
            @$tls{qw(cert key)} = @{$ca->server(@$names)}{qw(cert key)};
        }
    }
    my $listen = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $o{port} || reserve(), ReuseAddr => 1,
        Listen => 1024, Proto => 'tcp',
    ) or die "listen: $!";
    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
    my $self = bless {
        port => $listen->sockport, control => $ours, owner => $$, tls => $tls, seen => [],
    }, $class;
    my $pid = fork;
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        my %pair = $tls ? (tls => { cert => $tls->{cert}, key => $tls->{key} }) : ();
        eval { LLM::Provider::Server::run(listen => $listen, control => $theirs, %pair) };
        print STDERR "provider: $@";
        POSIX::_exit(1);
    }
    $self->{pid} = $pid;
    close $theirs;
    $listen->close;
    return $self;
}

sub port { return $_[0]{port} }
sub url  { return ($_[0]{tls} ? 'https' : 'http') . "://127.0.0.1:$_[0]{port}" }
sub ca   { return $_[0]{tls} && $_[0]{tls}{ca} }
sub addr { return "127.0.0.1:$_[0]{port}" }

# A port where every connection is refused.
sub dead_port { return reserve() }

sub _ask {
    my ($self, $name, %args) = @_;

    local $SIG{PIPE} = 'IGNORE';
    die "the provider belongs to another process\n" if $self->{owner} != $$;
    write_frame($self->{control}, { do => $name, %args }) or die "the provider died\n";
    IO::Select->new($self->{control})->can_read(slow(20)) or die "the provider hangs\n";
    my $reply = read_frame($self->{control}) or die "the provider died\n";
    die "provider: $reply->{error}" if $reply->{error};
    return $reply->{result};
}

sub _compiled {
    my @answers = @_ == 1 && ref $_[0] eq 'ARRAY' ? @{$_[0]} : @_;

    return [map { LLM::Provider::Script::compile($_) } @answers];
}

# Answers for the next requests that no rule of on() takes; replaces the former script.
sub script {
    my ($self, @answers) = @_;

    $self->_ask('script', answers => _compiled(@answers));
    return $self;
}

# $matcher: a path, "METHOD path", a regex for that line, or a hash {path, line, head, body}.
# The same matcher again replaces its answers; none at all removes it.
sub on {
    my ($self, $matcher, @answers) = @_;
    my $match = ref $matcher eq 'HASH' ? { map { $_ => "$matcher->{$_}" } keys %$matcher }
        : ref $matcher ? { line => "$matcher" } : { path => $matcher };
    my $key = join "\0", map { "$_=$match->{$_}" } sort keys %$match;

    $self->_ask('on', key => $key, match => $match, answers => _compiled(@answers));
    return $self;
}

sub request_count { return $_[0]->_ask('count') }

sub requests {
    my ($self) = @_;
    my $seen = $self->{seen};
    # Early answers record a request before its body is there: ask for those again.
    pop @$seen while grep { !$_->{complete} } @$seen;

    for my $request (@{$self->_ask('requests', from => scalar @$seen)}) {
        my $small = length $request->{body} < 1 << 20;
        $request->{json} = $small ? try_json($request->{body}) : undef;
        push @$seen, $request;
    }
    return @$seen;
}

sub last_request { my @all = $_[0]->requests; return $all[-1] }

sub clear {
    my ($self) = @_;

    $self->{seen} = [];
    $self->_ask('clear');
    return $self;
}

sub connections { return @{$_[0]->_ask('connections')} }

sub open_connections { return grep { !$_->{closed} } $_[0]->connections }

sub _poll {
    my ($condition, $timeout) = @_;
    my $deadline = time + slow(defined $timeout ? $timeout : 5);

    while (1) {
        return 1 if $condition->();
        return 0 if time > $deadline;
        nap(0.003);
    }
}

# These three return false when it took too long.
sub wait_requests {
    my ($self, $n, $timeout) = @_;

    return _poll(sub { $self->request_count >= $n }, $timeout);
}

sub wait_closed {
    my ($self, $which, $timeout) = @_;

    $which = $which->{conn} || $which->{id} if ref $which;
    return _poll(sub {
        return !grep { !$_->{closed} && (!defined $which || $which eq 'all'
            || $_->{id} == $which) } $self->connections;
    }, $timeout);
}

sub wait_held {
    my ($self, $n, $timeout) = @_;

    $n = 1 unless defined $n;
    return _poll(sub { @{$self->_ask('held')} >= $n }, $timeout);
}

sub held { return @{$_[0]->_ask('held')} }

# Lets go what is held now, and waits until something is: releasing nothing would let a test
# pass that proves nothing, so it fails. perhaps => 1: what is held now, if anything is. always => 1:
# nothing is held any more, now and later.
sub release {
    my ($self, %o) = @_;
    my $n = 0;

    return $self->_ask('release', %o) if $o{always} || $o{perhaps};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    _poll(sub { $n = $self->_ask('release', %o) }, delete $o{timeout})
        or Test::More::fail('release: no answer is held');
    return $n;
}

sub kick { my ($self, %o) = @_; return $self->_ask('kick', %o) }
sub down { return $_[0]->_ask('down') }
sub up   { return $_[0]->_ask('up') }

sub stop {
    my ($self) = @_;

    return if $self->{owner} != $$ || !$self->{pid};
    close $self->{control};
    my $deadline = time + slow(3);
    while (waitpid($self->{pid}, POSIX::WNOHANG()) == 0) {
        kill 'KILL', $self->{pid} if time > $deadline;
        nap(0.002);
    }
    delete $self->{pid};
    return;
}

sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    return $self->stop;
}

1;
