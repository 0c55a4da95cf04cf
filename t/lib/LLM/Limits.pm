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
# is answered with another status than 429. race_for_dollar($p, $ask): 50 requests of ten cents at
# once, with a dollar left.

package LLM::Limits;

use strict;
use warnings;
use Test::More ();
use Time::HiRes qw(time);
use LLM::Port qw(nap slow);

# A class for each store: new(), conf(), wait_settled(), done(). LLM_STORE=name picks one.
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

# The provider $p holds what it is asked; $ask->() opens a request.
sub race_for_dollar {
    my ($p, $ask) = @_;
    my @streams = map { $ask->() } 1 .. 50;
    my $spent = 0;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok($p->wait_held(10), 'ten requests of ten cents are with the provider');
    $p->release(always => 1);
    for my $s (@streams) {
        $s->read_body;
        $spent += $s->header('x-llm-cost') if $s->status == 200;
    }
    Test::More::cmp_ok($spent, '<=', 1.1 + 1e-9, 'a dollar and one request, at most');
    Test::More::cmp_ok($spent, '>=', 1 - 1e-9, 'and all of it could be spent');
    return;
}

package LLM::Limits::Zone;

sub name { return 'zone' }
sub new  { return bless {}, $_[0] }
sub conf { return '' }
sub wait_settled { return 1 }
sub done { return 'nothing' }

package LLM::Limits::Redis;

use LLM::Redis;

sub name { return 'redis' }
sub new  { return bless { redis => LLM::Redis->new }, $_[0] }
# Nothing here is about an outage: a machine that is busy must not look like one.
sub conf { return 'llm_redis ' . $_[0]{redis}->url . " timeout=5s on_outage=deny lease=5s;\n" }

# The client has its answer a moment before Redis hears of it: another worker may ask in between.
sub wait_settled {
    my ($self) = @_;

    return LLM::Limits::wait_room(sub { !$self->{redis}->held }, 5);
}

sub done {
    my ($self) = @_;
    my $redis = $self->{redis};

    my $counters = $redis->counters;
    $redis->stop;
    return join(' ', grep { $counters->{$_}{held} } sort keys %$counters) || 'nothing';
}

1;
