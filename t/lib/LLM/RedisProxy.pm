# Stands between a gateway and a Redis, and holds up what is to be late.
#
#     my $proxy = LLM::RedisProxy->new($redis);
#     $proxy->url                       # redis://127.0.0.1:PORT
#     $proxy->delay(0.4)                # every answer comes so much later; 0 ends it
#     $proxy->hold(asks => 'TEXT')      # the connection that asks for something with this text: that
#                                       # and what it asks behind it does not reach Redis
#     $proxy->hold(answers => 'TEXT')   # it does, and the answers do not come back
#     $proxy->hold(asks => 'TEXT', 1)   # so do all that ask for something with this text
#     $proxy->release                   # all of it goes on
#     $proxy->cut                       # ends the connection that looks for records next, unanswered
#     $proxy->seen                      # {held, looks, pushes, is_looker_held}
#
# seen: how many connections are held, how often changes of records were looked for and all records
# handed in, and whether a connection is held that looks for them.

package LLM::RedisProxy;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(time);
use LLM::Json qw(decode_json encode_json_c);
use LLM::Port qw(close_fds);

my $bulk = qr/\$\d+\r\n/;
my $of_records = qr/EVALSHA\r\n${bulk}[0-9a-f]{40}\r\n${bulk}1\r\n${bulk}\w+:\{records\}\r\n/;

sub new {
    my ($class, $redis) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 100, ReuseAddr => 1)
        or die "listen: $!";
    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
    my $pid = fork;
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        $SIG{$_} = 'IGNORE' for qw(PIPE INT);
        eval { close_fds(fileno $listen, fileno $theirs); _run($listen, $theirs, $redis->port) };
        print STDERR "proxy: $@" if $@;
        POSIX::_exit(0);
    }
    $ours->autoflush(1);
    return bless { port => $listen->sockport, control => $ours, pid => $pid, owner => $$ }, $class;
}

sub url     { return "redis://127.0.0.1:$_[0]{port}" }
sub delay   { return $_[0]->_call(delay => $_[1]) }
sub hold    { return $_[0]->_call(hold => @_[1 .. 3]) }
sub release { return $_[0]->_call('release') }
sub cut     { return $_[0]->_call('cut') }
sub seen    { return $_[0]->_call('seen') }

sub _call {
    my ($self, @words) = @_;

    print { $self->{control} } encode_json_c(\@words), "\n";
    my $line = readline $self->{control} // die "the proxy has gone\n";
    return decode_json($line);
}

# It ends when nobody holds the other end of the control any more.
sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;
    local ($?, $!);
    close $self->{control};
    waitpid $self->{pid}, 0;
    return;
}

sub _run {
    my ($listen, $control, $port) = @_;
    my $select = IO::Select->new($listen, $control);
    my (%by, %now, $commands);
    my $seen = { looks => 0, pushes => 0 };
    my $close = sub {
        my ($pair) = @_;
        for my $socket (@$pair{qw(client redis)}) {
            $select->remove($socket);
            delete $by{ fileno $socket };
            close $socket;
        }
        return;
    };
    my $pass = sub {
        my ($pair, $to) = @_;
        my ($bytes, $all) = ('', $pair->{"to_$to"});
        $bytes .= (shift @$all)->[1] while @$all && $all->[0][0] <= time;
        syswrite $pair->{$to}, $bytes if length $bytes;
        return;
    };
    my $asked = sub {
        my ($pair, $bytes) = @_;
        while ($bytes =~ /\*(\d+)\r\n${bulk}$of_records${bulk}[^\r]*\r\n${bulk}([^\r]*)\r\n/g) {
            $seen->{$1 == 8 ? 'looks' : 'pushes'}++ if $1 == 8 || $2 eq 'hand_in';
            $pair->{is_looker} = 1 if $1 == 8;
            return 0 if $1 == 8 && delete $now{cut};
        }
        if (defined $now{text} && index($bytes, $now{text}) >= 0) {
            $pair->{hold} = $now{what};
            delete $now{text} if !$now{is_always};
        }
        return 1;
    };
    my %control = (
        delay => sub { $now{delay} = $_[0]; return {} },
        hold  => sub { @now{qw(what text is_always)} = @_; return {} },
        cut   => sub { $now{cut} = 1; return {} },
        release => sub {
            delete $now{text};
            for my $pair (values %by) {
                delete $pair->{hold};
                $pass->($pair, $_) for qw(redis client);
            }
            return {};
        },
        seen => sub {
            my %pairs = map { ($_ => $_) } values %by;
            my @held = grep { $_->{hold} } values %pairs;
            return { %$seen, held => scalar @held, is_looker_held => scalar grep { $_->{is_looker} } @held };
        },
    );
    $control->autoflush(1);
    while (1) {
        for my $socket ($select->can_read(0.005)) {
            if ($socket == $control) {
                my $line = readline $control;
                return unless defined $line;
                my ($name, @words) = @{decode_json($line)};
                print {$control} encode_json_c($control{$name}->(@words)), "\n";
            } elsif ($socket == $listen) {
                my $client = $listen->accept or next;
                my $redis = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
                    or next;
                my $pair = { client => $client, redis => $redis, to_redis => [], to_client => [] };
                $by{ fileno $_ } = $pair for $client, $redis;
                $select->add($client, $redis);
            } else {
                my $pair = $by{ fileno($socket) // next } or next;
                my $is_ask = $socket == $pair->{client};
                if (!sysread $socket, my $bytes, 65536) {
                    $close->($pair);
                } elsif ($is_ask && !$asked->($pair, $bytes)) {
                    $close->($pair);
                } elsif ($is_ask) {
                    push @{$pair->{to_redis}}, [0, $bytes];
                    $pass->($pair, 'redis') if ($pair->{hold} // '') ne 'asks';
                } else {
                    push @{$pair->{to_client}}, [time + ($now{delay} || 0), $bytes];
                }
            }
        }
        my %pairs = map { ($_ => $_) } values %by;
        $pass->($_, 'client') for grep { !$_->{hold} } values %pairs;
    }
    return;
}

1;
