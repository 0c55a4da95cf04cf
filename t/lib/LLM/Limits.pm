# Limits are counted in shared memory or in Redis, and mean the same in both: a test of limits is
# written once and run against every store that is there.
#
#     LLM::Limits->each_store(sub {
#         my ($store) = @_;                   # inside a subtest named after it
#         $t->http_conf($store->conf . ' ...');   # the directives that choose the store
#         ...
#     });                                     # afterwards nothing may be held
#
# count($t, %o): how many simultaneous requests are let in. wait_room($t, $n, $ask): until $ask->()
# is answered with another status than 429.

package LLM::Limits;

use strict;
use warnings;
use Test::More ();
use Time::HiRes qw(time);
use LLM::Port qw(nap slow);

# A class for each store: new(), conf(), done(). LLM_STORE=name picks one.
my @stores = ('LLM::Limits::Zone', 'LLM::Limits::Redis');

sub stores {
    return grep { !$ENV{LLM_STORE} || $_->name eq $ENV{LLM_STORE} } @stores;
}

sub each_store {
    my ($class, $test) = @_;

    for my $kind (stores()) {
        my $store = $kind->new;
        Test::More::subtest($kind->name => sub { $test->($store) });
        Test::More::is($store->done, 'nothing', $kind->name . ': nothing is held at the end');
    }
    return;
}

# Opens $n streams of $ask->($i) at once; those that are refused and those that are on.
sub open_all {
    my ($n, $ask) = @_;
    my @streams = map { $ask->($_) } 1 .. $n;
    my @on = grep { $_->status == 200 } @streams;
    my @refused = grep { $_->status != 200 } @streams;

    return (\@on, \@refused);
}

# Calls $ask until it returns a true value; that, or undef when it took too long.
sub wait_room {
    my ($ask, $timeout) = @_;
    my $deadline = time + slow($timeout // 1);

    while (1) {
        my $value = $ask->();
        return $value if $value;
        return undef if time > $deadline;
        nap(0.005);
    }
}

package LLM::Limits::Zone;

sub name { return 'zone' }
sub new  { return bless {}, $_[0] }
sub conf { return '' }
sub done { return 'nothing' }

package LLM::Limits::Redis;

use LLM::Redis;

sub name { return 'redis' }
sub new  { return bless { redis => LLM::Redis->new }, $_[0] }
# Nothing here is about an outage: a machine that is busy must not look like one.
sub conf { return 'llm_redis ' . $_[0]{redis}->url . " timeout=5s on_outage=deny lease=5s;\n" }

sub done {
    my ($self) = @_;
    my $redis = $self->{redis};

    my $counters = $redis->counters;
    $redis->stop;
    return join(' ', grep { $counters->{$_}{held} } sort keys %$counters) || 'nothing';
}

1;
