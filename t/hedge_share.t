# How many second attempts there are, and when they begin: never more than their share of all
# requests, whatever worker those come to; after=auto goes by what the deployment usually takes.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(workers => 3);
my $p = LLM::Provider->new(dir => $t->dir);
my @shares = (5, 12.5, 0.5);

my $models = join '', map { my $id = $_ =~ s/\D/-/r; <<"END" } @shares;
    llm_model share-$_ { hedge after=25ms max=$_%; deployment chat/first id=s$id-1;
        deployment chat/second id=s$id-2 order=2; }
END
$models .= <<'END';
    llm_model default { hedge after=25ms; deployment chat/first id=d1;
        deployment chat/second id=d2 order=2; }
    llm_model saved { hedge after=200ms max=50%; deployment mock/quick tags=quick id=v1;
        deployment mock/slow tags=slow delay=1500ms id=v2;
        deployment mock/other tags=quick,slow id=v3 order=2; }
    llm_model auto { hedge after=auto max=100%; deployment chat/first id=a1;
        deployment chat/second id=a2 order=2; }
    llm_model cools { hedge after=20ms max=100%; deployment chat/first id=k1;
        deployment chat/second id=k2 order=2; allowed_fails 0; cooldown_time 30s; }
END
$t->http_conf("llm_provider mock { preset mock; }\n" . LLM::Pair::conf($p, models => $models, cooldown => '30s',
    server => 'location = /metrics { llm_metrics; }'));
$t->start;
my $pair = LLM::Pair->new('chat', 'chat');

sub good { return sse($pair->events(text => "of the $_[0]"), @_[1 .. $#_]) }

sub answers {
    my (%of) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"$_"/ }, $of{$_}) for sort keys %of;
    return;
}

# So many at once; how many of them the second was asked for. Where the first is held, $held: it goes
# on when the second was asked for so many, and takes a while still, in which more would be seen.
sub ask {
    my ($n, $model, $held, $goes_on) = @_;
    my %before = map { $_ => asked($_) } qw(first second);
    my @open = map { $pair->stream($t, model => $model) } 1 .. $n;

    if (defined $held) {
        $t->wait_for(sub { asked('first') >= $before{first} + $n
            && asked('second') >= $before{second} + $held }, 5, "$held second attempts of $n");
        $p->release if $goes_on // $n > $held;
    }
    $_->all_events for @open;
    is(scalar(grep { $_->clean_end } @open), $n, "$n requests to $model are answered");
    return asked('second') - $before{second};
}

sub asked { my ($who) = @_; return scalar grep { $_->{json}{model} eq $who } $p->requests }

subtest 'the share is held exactly' => sub {
    my %so_far;
    answers(first => good('first', wait_for_release => 'head', delay => 0.12),
        second => good('second'));
    for my $row ([5, 19, 0], [5, 1, 1], [5, 60, 3], [5, 20, 1], [12.5, 40, 5], [0.5, 199, 0],
            [0.5, 1, 1]) {
        my ($share, $n, $want) = @$row;
        my $hedged = 0;
        for (my $left = $n; $left > 0; $left -= 20) {
            my $now = $left < 20 ? $left : 20;
            my $asked = $so_far{$share} += $now;
            my $due = int($asked * $share / 100 + 1e-9) - int(($asked - $now) * $share / 100 + 1e-9);
            $hedged += ask($now, "share-$share", $due);
        }
        is($hedged, $want, "$share % of further $n requests");
    }
    is(ask(20, 'default', 1), 1, 'of 20, where nothing is said');
};

subtest 'what was not used is not saved for long' => sub {
    my $hedged = sub {
        my ($n, $tag) = @_;
        my @open = map { $pair->stream($t, model => 'saved',
            http => { headers => { 'x-llm-tags' => $tag } }) } 1 .. $n;
        $_->all_events for @open;
        return scalar grep { $_->header('x-llm-deployment') eq 'v3' } @open;
    };
    is($hedged->(300, 'quick'), 0, 'nobody is late');
    my $n = $hedged->(220, 'slow');
    cmp_ok($n, '>=', 100, 'a hundred are saved');
    cmp_ok($n, '<=', 210, 'and half of those that follow may be added');
    is($hedged->(40, 'slow'), 20, 'then it is half of them');
};

subtest 'after=auto' => sub {
    for my $is_stream (1, 0) {
        my $begin = sub {
            my ($delay, %http) = @_;
            my @options = $delay ? (delay => $delay) : ();
            answers(first => $is_stream ? good('first', @options)
                : json(200, $pair->answer(text => 'of the first'), @options),
                second => $is_stream ? good('second')
                : json(200, $pair->answer(text => 'of the second')));
            return $t->stream($pair->path, $pair->question(model => 'auto',
                $is_stream ? (stream => 1) : ()), %http);
        };
        my $one = sub {
            my $s = $begin->(@_);
            $s->read_body;
            return $s->header('x-llm-deployment');
        };
        my $kind = $is_stream ? 'streams' : 'whole answers';
        $one->() for 1 .. 5;
        is($one->(0.5), 'a1', "$kind: too little is known");
        is(asked('second'), 0, "$kind: nobody else was asked");
        $one->() for 1 .. 40;
        is($one->(1), 'a2', "$kind: late");
        # A tenth of them takes long now: that is late no more.
        my @long = map { $begin->(1, headers => { 'x-llm-disable-fallbacks' => 'true' }) } 1 .. 6;
        $_->read_body for @long;
        is($one->(0.15), 'a1', "$kind: as long as others");
        is(asked('second'), 0, "$kind: nobody else was asked");
    }
};

subtest 'health' => sub {
    answers(first => good('first', delay => 1), second => good('second'));
    is(ask(5, 'cools'), 5, 'the second wins');
    answers(first => good('first', wait_for_release => 'head'), second => 'silent');
    is(ask(5, 'cools', 5, 1), 5, 'the first wins');
    my $m = LLM::Metrics->get($t);
    is($m->value('llm_deployment_state', deployment => "k$_"), 1, "k$_: to lose is no failure")
        for 1, 2;
    is($m->sum('llm_cooldowns_total'), 0, 'nobody was put aside');
    answers(first => good('first', wait_for_release => 'head', delay => 0.2),
        second => json(500, {}));
    is(ask(1, 'cools', 1, 1), 1, 'the second fails');
    $m = LLM::Metrics->get($t);
    is($m->value('llm_deployment_state', deployment => 'k2'), 0, 'its failure counts');
    is($m->value('llm_deployment_state', deployment => 'k1'), 1, 'the first has none');
    answers(first => good('first', delay => 0.2), second => json(500, {}));
    is(ask(1, 'cools'), 0, 'who cools gets no second attempt');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
