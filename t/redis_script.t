# The script that counts, asked directly, with a clock of the test's own: sliding windows against a
# plain model of them, calls that are made twice, workers that come and go. The words of its argument
# are explained in ngx_llm_module/redis/commit.lua.

use strict;
use warnings;
use Test::More;
use LLM::Redis;

my $redis = LLM::Redis->new;
my $now = 1_700_000_000_000;
my ($script) = slurp('ngx_llm_module/redis/scripts.inc') =~ /\{"commit", R"lua\((.*?)\)lua"/s;
$script =~ s/redis\.call\('TIME'\)/{ARGV[2], ARGV[3]}/ or die 'no clock';
my $sum = $redis->cmd('SCRIPT', 'LOAD', $script);

my %calls;

# One call. tasks: [name, lease, ...] with counters as [name, kind, period]; what it answers.
sub commit {
    my ($worker, $tasks, %o) = @_;
    my (@leases, %lease, @counters, %counter, @work);
    my $lease = sub { $lease{$_[0]} //= push @leases, $_[0] };
    my $counter = sub { $counter{$_[0][0]} //= push @counters, $_[0] };
    my $demands = sub { return scalar @_, map { ($counter->($_->[0]), @$_[1, 2]) } @_ };
    my $choices = sub { return @_ - 1, map { $demands->(@$_) } @_ };

    for my $task (@$tasks) {
        my ($what, $id, @rest) = @$task;
        push @work, $what eq 'settle'
            ? (1, 1, $lease->($id),
                7, $o{age} // 0, scalar @rest, map { ($counter->($_->[0]), $_->[1]) } @rest)
            : $what eq 'admit'
            ? (2, ref $id ? (scalar @$id, map { $lease->($_) } @$id) : (1, $lease->($id)),
                $choices->(@rest))
            : $what eq 'move'
            ? (3, $lease->($id), 0, $choices->(@rest))
            : $what eq 'change'
            ? (3, $lease->($id), scalar @{$rest[0]}, (map { $counter->($_) } @{shift @rest}),
                $choices->(@rest))
            : $what eq 'grow'
            ? (4, $lease->($id), scalar @rest, map { ($counter->($_->[0]), @$_[1 .. 5]) } @rest)
            : $what eq 'enter'
            ? (5, $lease->($id), shift @rest, scalar @rest, map { ($counter->($_->[0]), $_->[1]) } @rest)
            : $what eq 'take back'
            ? (8, $id, scalar @rest, map { ($counter->($_->[0]), $_->[1]) } @rest)
            : (6, \$id);
    }
    my @calendar = map { $counters[$_][0] =~ /\@(\d+)\z/ ? ($_ + 1, 1000 * $1) : () } 0 .. $#counters;
    my $number = $o{number} // ++$calls{$worker};
    my @all = (\$worker, $o{beat} // 0, $o{ttl} // 30_000, $number, $o{settled} // $number - 1,
        scalar @leases, (map { \"$_" } @leases), scalar @counters,
        (map { \($_->[0] =~ s/\@\d+\z//r) } @counters), (map { \($_->[1] =~ tr/c/s/r) } @counters),
        (map { $_->[2] } @counters), scalar @calendar / 2, @calendar, @work);
    my @answer = @{unpacked($redis->cmd('EVALSHA', $sum, 1, 'llm:{limits}', packed(@all),
        int($now / 1000), $now % 1000 * 1000))};
    return $o{raw} ? \@answer : one_by_one(\@answer, @$tasks);
}

# The answer without the numbers of those that were treated alike, which are all 1.
sub one_by_one {
    my ($answer, @tasks) = @_;

    my @said = shift @$answer;
    while (@$answer) {
        my ($what, undef, @rest) = @{shift @tasks};
        if ($what eq 'grow') {
            push @said, splice @$answer, 0, scalar @rest;
        } elsif ($what =~ /\A(?:admit|move|change)\z/) {
            is(shift @$answer, 1, 'one lease') if $what eq 'admit';
            push @said, verdict($answer);
        }
    }
    return \@said;
}

sub verdict {
    my ($answer) = @_;

    my $reports = 4 + 2 * $answer->[3];
    return splice @$answer, 0, $reports + 1 + 2 * $answer->[$reports];
}

sub packed {
    return pack('C N', 0xdd, scalar @_)
        . join '', map { ref $_ ? pack('C N/a*', 0xdb, $$_) : pack('C q>', 0xd3, $_) } @_;
}

sub unpacked {
    my ($text) = @_;
    my @length = ([0xcc, 'C', 1], [0xcd, 'n', 2], [0xce, 'N', 4], [0xcf, 'Q>', 8], [0xd0, 'c', 1],
        [0xd1, 's>', 2], [0xd2, 'l>', 4], [0xd3, 'q>', 8], [0xcb, 'd>', 8], [0xca, 'f>', 4]);
    my %of = map { $_->[0] => $_ } @length;
    my @found;

    my $tag = unpack 'C', $text;
    $text = substr $text, $tag == 0xdc ? 3 : $tag == 0xdd ? 5 : 1;
    while (length $text) {
        $tag = unpack 'C', $text;
        $text = substr $text, 1;
        if (my $row = $of{$tag}) {
            push @found, unpack $row->[1], $text;
            $text = substr $text, $row->[2];
        } else {
            push @found, $tag < 0x80 ? $tag : $tag - 256;
        }
    }
    return \@found;
}

sub slurp {
    my ($name) = @_;

    open my $fh, '<', $name or die "$name: $!";
    local $/;
    return scalar <$fh>;
}

sub counted { return ($redis->counters->{$_[0]} // {})->{counted} // 0 }
sub held { return join ' ', $redis->held }

subtest 'a window is what the plain model says' => sub {
    srand 4711;
    for my $round (1 .. 12) {
        my $period = (240, 1000, 60_000)[$round % 3];
        my $length = int(($period + 11) / 12);
        my $limit = 5 + int rand 40;
        my $window = ["w$round", 'r', $period];
        my (%steps, @granted, $wrong);
        my ($lease, $refusals) = (0, 0);

        for my $i (1 .. 400) {
            $now += int(rand() < 0.05 ? rand 2 * $period : rand $period / 20);
            my $late = $round % 2 && rand() < 0.1 ? int rand 1.3 * $period : 0;
            if ($round % 2 == 0 && @granted && rand() < 0.1) {  # a request that did not come to be
                my ($when) = splice @granted, int rand @granted, 1;
                commit('model', [['take back', $when, [$window, 1]]]);
                my $step = $steps{int($when / $length)};
                $step->{sum}-- if $step && $when > $now - $period && $step->{last} + $period > $now;
            }
            delete @steps{grep { $steps{$_}{last} + $period <= $now } keys %steps};
            my $sum = 0;
            $sum += $_->{sum} for values %steps;
            my ($when, $much) = ($now, 1);
            if ($late) {  # as settled after an outage
                ($when, $much) = ($now - $late, 1 + int rand 3);
                commit('model', [['settle', ++$lease, [["w$round", 'w', $period], $much]]], age => $late);
                next if $late >= $period;
            } else {
                my $answer = commit('model', [['admit', ++$lease, [[$window, $limit, 1]]]]);
                my $fits = $sum < $limit;
                $wrong //= "$round.$i: granted $answer->[1], the model says $sum of $limit"
                    if $answer->[1] != ($fits ? 1 : 0);
                my @leaves = sort { $a <=> $b } map { $_->{last} + $period } values %steps;
                if (!$fits) {
                    # So much must leave that one fits.
                    my $excess = $sum + 1 - $limit;
                    my ($at) = grep { defined } map { my $moment = $_; my $left = 0;
                        $_->{last} + $period <= $moment and $left += $_->{sum} for values %steps;
                        $left >= $excess ? $moment : undef } @leaves;
                    $wrong //= "$round.$i: wait $answer->[3], the model says " . ($at - $now)
                        if $answer->[3] != $at - $now;
                    $refusals++;
                    next;
                }
                push @granted, $now;
                $sum++;
                $wrong //= "$round.$i: used $answer->[5], the model says $sum"
                    if $answer->[5] != $sum;
            }
            my $step = $steps{int($when / $length)} //= { sum => 0, last => 0 };
            $step->{sum} += $much;
            $step->{last} = $when if $when > $step->{last};
        }
        is($wrong, undef, "period $period, limit $limit");
        ok($refusals, 'the limit was reached');
        my $most = 0;
        for my $i (0 .. $#granted) {
            my $in = grep { $_ > $granted[$i] - $period && $_ <= $granted[$i] } @granted[0 .. $i];
            $most = $in if $in > $most;
        }
        cmp_ok($most, '<=', $limit, 'no stretch of one period saw more');
    }
};

subtest 'a batch is what its parts are' => sub {
    my @kinds = (['rpm', 'r', 60_000], ['tpm', 'w', 60_000], ['par', 'p', 0], ['sum', 's', 3_600_000]);
    my $named = sub { my ($set) = @_; map { ["$set:$_->[0]", @$_[1, 2]] } @kinds };
    my %limits = (rpm => 30, tpm => 3000, par => 5, sum => 100_000);
    srand 42;

    # The same work, one by one and all in one call.
    for my $round (1 .. 40) {
        my (@tasks, %open);
        for (1 .. 12) {
            my $lease = 1000 * $round + 1 + int rand 8;
            if ($open{$lease}) {
                push @tasks, ['settle', $lease, (map { [$_, 1 + int rand 200] } ($named->('x'))[1, 3])];
            } else {
                push @tasks, ['admit', $lease, [map { [$_, $limits{($_->[0] =~ /:(.*)/)[0]},
                    $_->[1] =~ /[rp]/ ? 1 : 100 + int rand 500] } $named->('x')]];
            }
            $open{$lease} = !$open{$lease};
        }
        my $rename;
        $rename = sub { my ($of) = @_; ref $of ? [map { $rename->($_) } @$of]
            : $of =~ /\Ax(:.*)/ ? "y$1" : $of };
        my @single = map { my @a = @{commit('one', [$_])}; @a[1 .. $#a] } @tasks;
        my @batch = @{commit('all', $rename->(\@tasks))};
        # A refused request is not there to be settled: settling counts all the same, in both.
        my $same = "@single" eq "@batch[1 .. $#batch]";
        ok($same, "round $round") or diag("@single\n@batch"), last;
        $now += int rand 4000;
    }
    my $counters = $redis->counters;
    is($counters->{"y:$_->[0]"}{counted}, $counters->{"x:$_->[0]"}{counted}, "$_->[0]: counted"),
        is($counters->{"y:$_->[0]"}{held}, $counters->{"x:$_->[0]"}{held}, "$_->[0]: held") for @kinds;
};

# Leases that ask for the same, in one step and one by one.
subtest 'leases alike' => sub {
    fresh();
    my @kinds = (['rpm', 'r', 60_000], ['tpm', 'w', 60_000], ['par', 'p', 0], ['sum', 's', 3_600_000]);
    my %limits = (rpm => 90, tpm => 6000, par => 15, sum => 4500, first => 4, second => 7);
    my ($lease, $partly, @open, %taken, %refused) = (0, 0);
    srand 99;

    for my $round (1 .. 150) {
        my $many = 1 + int rand 12;
        my $amount = (1, 1, 1, 1, 1, 1, 9000, 30, 500)[int rand 9];
        my $choices = $round % 2 ? 0 : 2;
        my @demands = map { [$_, $_->[1] =~ /[rp]/ ? 1 : $_->[1] eq 's' ? 2 * $amount : $amount] } @kinds;
        my @leases = map { ++$lease } 1 .. $many;
        my $asked = sub { my ($set) = @_;
            return [map { [["$set:$_->[0][0]", @{$_->[0]}[1, 2]], $limits{$_->[0][0]}, $_->[1]] } @demands],
                map { [[["$set:$_", 'p', 0], $limits{$_}, 1]] } $choices ? qw(first second) : () };

        my @single = map { my $answer = commit('one', [['admit', $_, $asked->('x')]]);
            [@$answer[1 .. $#$answer]] } @leases;
        my @step = @{commit('all', [['admit', \@leases, $asked->('y')]], raw => 1)};
        shift @step;
        my @told;
        while (@step) {
            my $alike = shift @step;
            my @verdict = verdict(\@step);
            my @amounts = (map({ $_->[1] } @demands), 1);
            for my $after (reverse 0 .. $alike - 1) {
                my @its = @verdict;
                $its[4 + 2 * $_] -= $its[0] * $after * $amounts[$_] for 0 .. $its[3] - 1;
                push @told, \@its;
            }
        }
        my @lines = map { join "\n", map { "@$_" } @$_ } \@single, \@told;
        is($lines[1], $lines[0], "round $round: $many of $amount, $choices choices") or last;
        for my $its (@single) {
            my ($is_granted, $which) = @$its;
            ($is_granted ? \%taken : \%refused)->{$which}++;
            $partly++ if $its->[4 + 2 * $its->[3]] > 0;
        }
        push @open, @leases;
        my @ends = grep { $round % 9 == 0 || rand() < 0.6 } @open;
        my %ends = map { $_ => 1 } @ends;
        @open = grep { !$ends{$_} } @open;
        for my $set (['x', 'one'], ['y', 'all']) {
            commit($set->[1], [map { ['settle', $_, [["$set->[0]:tpm", 'w', 60_000], $_ % 90]] } @ends]);
        }
        $now += int rand 8000;
    }
    is($redis->counters->{"y:$_"}{held}, $redis->counters->{"x:$_"}{held}, "$_: held")
        for qw(tpm par sum first second);
    is($redis->counters->{"y:$_"}{counted}, $redis->counters->{"x:$_"}{counted}, "$_: counted")
        for qw(rpm tpm);
    ok($taken{$_}, "alternative $_ was taken") for 0 .. 2;
    ok($refused{$_}, "demand $_ has refused") for 1 .. 4;
    ok($partly, 'some hold less than they asked for');
};

my $tokens = ['t', 'w', 60_000];
my $places = ['p', 'p', 0];
my $deployment = ['d', 'p', 0];

sub fresh { $redis->cmd('FLUSHALL'); $redis->cmd('SCRIPT', 'LOAD', $script); %calls = (); return }

subtest 'a call is done once' => sub {
    fresh();
    my @settle = (['settle', 1, [$tokens, 10]]);
    is(commit('w', [['admit', 1, [[$tokens, 100, 50], [$places, 5, 1]]]])->[0], 1, 'a new worker');
    is(held(), '1 50', 'held');
    commit('w', \@settle, number => 2, settled => 1);
    is(counted('t'), 10, 'counted');
    is(held(), '', 'and given back');
    is_deeply(commit('w', \@settle, number => 2, settled => 1), [2], 'again');
    is(counted('t'), 10, 'is not counted');
    commit('w', \@settle, number => 5, settled => 2);
    is(counted('t'), 20, 'another one is');
    commit('w', \@settle, number => 4, settled => 2);
    is(counted('t'), 30, 'and one before it that came later');
    is_deeply(commit('w', \@settle, number => $_, settled => 2), [2], "$_ again") for 4, 5, 2;
    commit('w', [], number => 6, settled => 5);
    is_deeply(commit('w', \@settle, number => 3, settled => 2), [2], 'what was given up is not done');
    is(counted('t'), 30, 'nothing more is counted');
};

# Of requests that were counted and then refused, for the answer did not come in time.
subtest 'an answer is kept until its call is settled' => sub {
    my $window = ['kept', 'r', 60_000];
    my $held = ['kept held', 'p', 0];
    my $ask = sub { commit('k', [['admit', $_[0], [[$window, 2, 1], [$held, 9, 1]]]], @_[1 .. $#_],
        raw => 1) };
    my $first = $ask->(1, number => 1, settled => 0, beat => 2);
    my $done = $now;
    $now += 700;
    my $second = $ask->(2, number => 2, settled => 0, beat => 3);
    $ask->(3, number => 3, settled => 0);
    my $again = sub { commit('k', [], @_, raw => 1) };
    shift @$first;
    is_deeply($again->(number => 1, settled => 0), [3, $done, @$first], 'the first');
    is_deeply($again->(number => 2, settled => 0)->[1], $now, 'the second, and when it was');
    is_deeply($again->(number => 3, settled => 0), [2], 'of the third nobody wanted to know');
    is_deeply($again->(number => 4, settled => 3), [0], 'the next one, when all are settled');
    is_deeply($again->(number => 2, settled => 1), [2], 'they are gone');
    is($redis->cmd('HGET', 'llm:{limits}:worker:k', ''), '3 4', 'from Redis');

    $now += 100;
    is(counted('kept'), 2, 'two were granted');
    commit('k', [['take back', $done, [$window, 1]]], number => 5, settled => 4);
    is(counted('kept'), 1, 'one is taken back');
    commit('k', [['take back', $done - 120_000, [$window, 1]]], number => 6, settled => 5);
    is(counted('kept'), 1, 'what has left its window is not');
    commit('k', [['settle', 1], ['settle', 2]], number => 7, settled => 6);
    is(held(), '', 'what they held is given back as ever');
};

subtest 'a call is known for an hour after its worker was last seen' => sub {
    fresh();
    my @settle = (['settle', 1, [['sum', 's', -1], 10]]);
    commit('a', \@settle, number => 1, settled => 0);
    for my $minutes (1, 30, 28) {  # its machine is cut off, others are not
        $now += 60_000 * $minutes;
        commit('b', [], beat => 1);
    }
    is_deeply(commit('a', \@settle, number => 1, settled => 0), [2], 'made again, it is not done');
    is(counted('sum'), 10, 'counted once');
    is(commit('a', \@settle, number => 2, settled => 1)->[0], 1, 'the next one is');
    is(counted('sum'), 20, 'and counted');
};

subtest 'workers end' => sub {
    fresh();
    my $admit = sub { my ($worker, $id, %o) = @_;
        return commit($worker, [['admit', $id, [[$places, 3, 1], [$tokens, 1000, 100]]]], %o) };
    is($admit->('a', $_)->[1], 1, "a, $_") for 1, 2;
    is($admit->('b', 1)->[1], 1, 'b');
    is($admit->('b', 2)->[1], 0, 'and no more');
    $now += 20_000;
    commit('b', [], beat => 1);
    is(held(), '3 300', 'after 20 s all is held');
    $now += 11_000;
    commit('b', [], beat => 1);
    is(held(), '1 100', 'a did not come for 30 s');
    is(commit('a', [])->[0], 1, 'it learns of it');
    is(commit('a', [['enter', $_, 2, [$places, 1], [$tokens, 100]]])->[0], 0, 'and enters what runs')
        for 1, 2, 2;
    is(held(), '3 300', 'once');
    commit('b', [['end', 'a']]);
    is(held(), '1 100', 'a is known to be gone');
    is_deeply($admit->('a', 9), [2], 'what it still sends is not done');
    commit('b', [['settle', 1]]);
    is(held(), '', 'nothing is held');
    is($admit->('c', $_)->[1], 1, "c, $_") for 1, 2;
    $now += 29_000;
    is($admit->('b', 2)->[1], 1, 'b');
    $now += 2000;
    commit('b', [['end', 'c'], ['end', 'c']], beat => 1);
    is(held(), '1 100', 'c is said to be gone, and its time is over: it gives back once');
    commit('b', [['settle', 2]]);
    is(held(), '', 'nothing is held');
    $now += 3_700_000;
    commit('b', [], beat => 1);
    is(join(' ', $redis->cmd('EXISTS', 'llm:{limits}:worker:a')), '0', 'it is forgotten after a while');
};

subtest 'moves and growth' => sub {
    fresh();
    my $second = ['e', 'p', 0];
    my $a = commit('w', [['admit', 1, [[$tokens, 1000, 100]], [[$deployment, 1, 1]],
        [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '1 1', 'the first alternative');
    $a = commit('w', [['admit', 2, [[$tokens, 1000, 100]], [[$deployment, 1, 1]], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '1 2', 'the second');
    $a = commit('w', [['admit', 3, [[$tokens, 1000, 100]], [[$deployment, 1, 1]], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '0 2', 'neither: nothing is taken');
    is(held(), '1 1 200', 'nothing');
    $a = commit('w', [['move', 1, [], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '0 1', 'there is no room');
    is(held(), '1 200', 'what it had is given back');
    $a = commit('w', [['move', 2, [], [[$deployment, 1, 1]]], ['move', 1, [], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '1 1', 'they change places');
    is(held(), '1 1 200', 'in one call');
    is_deeply(commit('w', [['grow', 1, [$tokens, 0, 1000, 300, 500, 100]]]), [0, 500], 'it grows');
    is_deeply(commit('w', [['grow', 2, [$tokens, 0, 1000, 300, 900, 100]]]), [0, 500],
        'as far as there is room');
    is_deeply(commit('w', [['grow', 2, [$tokens, 0, 1000, 501, 900, 500]]]), [0, -1], 'and no further');
    is(held(), '1 1 1000', 'all is held');
    commit('w', [map { ['settle', $_, [$tokens, 5]] } 1, 2]);
    is(held(), '', 'and given back');
    is(counted('t'), 10, 'what was used is counted');

    fresh();
    $calls{w} = 50;
    my ($a_place, $b_place) = (['a', 'p', 0], ['b', 'p', 0]);
    my $budget = ['m', 's', -1];
    commit('w', [['admit', 1, [[$tokens, 1000, 100], [$budget, 50, 20], [$a_place, 1, 1]], [[$deployment, 1, 1]]]]);
    is(held(), '1 1 20 100', 'a model');
    $a = commit('w', [['change', 1, [$budget, $a_place], [[$budget, 50, 30], [$b_place, 1, 1]], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '1 1', 'another one');
    is(held(), '1 1 30 100', 'has its part');
    is(commit('w', [['admit', 2, [[$a_place, 1, 1]]]])->[1], 1, 'the place of the first is free');
    $a = commit('w', [['move', 1, [], [[$deployment, 1, 1]]]]);
    is(held(), '1 1 1 30 100', 'which stays when it moves');
    $a = commit('w', [['change', 1, [$budget, $b_place], [[$budget, 50, 5], [$a_place, 1, 1]], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '0 2', 'no room at the first one');
    is(held(), '1 100', 'neither model nor deployment is held');
    $a = commit('w', [['change', 1, [], [[$budget, 50, 6], [$b_place, 1, 1]], [[$second, 1, 1]]]]);
    is("@$a[1, 2]", '1 1', 'room');
    commit('w', [map { ['settle', $_] } 1, 2]);
    is(held(), '', 'all is given back');

    commit('w', [['admit', 1, [[$tokens, 1000, 100], [$a_place, 1, 1]], [[$deployment, 1, 1]]]]);
    fresh();
    $calls{w} = 80;
    commit('w', [['change', 1, [$a_place], [[$b_place, 1, 1]], [[$second, 1, 1]]]]);
    commit('w', [['enter', 1, 2, [$tokens, 100], [$b_place, 1], [$second, 1]]]) for 1, 2;
    is(held(), '1 1 100', 'Redis has forgotten it, and it changed its model: what it holds is entered once');
    commit('w', [['settle', 1]]);

    commit('w', [['admit', 1, [[$tokens, 1000, 100]], [[$deployment, 1, 1]]]]);
    fresh();
    $calls{w} = 100;
    $a = commit('w', [['move', 1, [], [[$second, 1, 1]]]]);
    is("@$a[0 .. 2]", '1 1 1', 'Redis has forgotten it: it moves');
    commit('w', [['enter', 1, 1, [$tokens, 100], [$second, 1]]]) for 1, 2;
    is(held(), '1 100', 'and is entered with the rest of what it holds');
    commit('w', [['move', 1, [], [[$deployment, 1, 1]]]]);
    is(held(), '1 100', 'which stays when it moves again');
    commit('w', [['settle', 1]]);
    is(held(), '', 'and is given back');
};

# A request counts in the period in which it ends, what runs is held in each: as in the zone.
subtest 'calendar periods' => sub {
    fresh();
    my $day = 86_400_000;
    my $midnight = int($now / $day + 1) * $day;
    my $budget = sub {
        my ($began) = @_;
        return ["key:budget:1d:3:a\@b:\@" . int($began / 1000), 'c',
            $began + $day > $now ? $began + $day - $now : 1000];
    };
    my $ask = sub { my ($lease, $began, $amount) = @_;
        return commit('w', [['admit', $lease, [[$budget->($began), 100, $amount]]]])->[1] };
    my $sum = sub { return join ' ', map { "$_->{held} held, $_->{counted} counted" }
        values %{$redis->counters} };

    $now = $midnight - 1000;
    is($ask->(1, $midnight - $day, 60), 1, 'before midnight: one request');
    is($ask->(2, $midnight - $day, 60), 0, 'no room beside it');
    is($ask->(2, $midnight - $day, 40), 1, 'a smaller one');
    commit('w', [['settle', 2, [$budget->($midnight - $day), 40]]]);
    is($sum->(), '60 held, 40 counted', 'which has ended');
    is($ask->(7, $midnight, 1), 0, 'a machine whose clock is ahead does not begin it anew');
    is(join(' ', keys %{$redis->counters}), 'key:budget:1d:3:a@b:', 'a day is no part of the name');

    $now = $midnight + 1000;
    is($ask->(3, $midnight, 60), 0, 'after midnight: what still runs is held');
    is($ask->(3, $midnight, 40), 1, 'what was counted is not');
    commit('w', [['settle', 1, [$budget->($midnight), 55]]]);
    is($sum->(), '40 held, 55 counted', 'the first one counts where it ended');
    is($ask->(4, $midnight - $day, 5), 1, 'a machine whose clock is behind asks for the same budget');
    commit('w', [['settle', 4, [$budget->($midnight - $day), 5]]]);
    is($sum->(), '40 held, 60 counted', 'and counts there');
    commit('w', [['settle', 9, [$budget->($midnight - $day), 7]]], age => 2000);
    is($sum->(), '40 held, 60 counted', 'what ended yesterday and comes late does not');
    commit('w', [['settle', 3, [$budget->($midnight), 1]], ['admit', 5, [[$budget->($midnight), 100, 1]]],
        ['settle', 6, [$budget->($midnight - $day), 2]]]);
    is($sum->(), '1 held, 63 counted', 'two names of one counter in one call');
    $now = $midnight + 3 * $day;
    commit('w', [['settle', 5]]);
    commit('w', [], beat => 1);
    is($sum->(), '', 'a day after its period it goes away');
};

subtest 'what counts nothing goes away' => sub {
    fresh();
    for my $i (1 .. 2000) {
        commit('w', [['admit', $i, [[["key$i", 'r', 60_000], 10, 1], [["par$i", 'p', 0], 10, 1]]],
            ['settle', $i]]);
        $now += 300;
    }
    my $left = keys %{$redis->counters};
    cmp_ok($left, '<', 900, "$left of 4000 counters are left, 200 of them count");
    $now += 60_000;
    commit('w', [], beat => 1) for 1 .. 20;
    is(scalar(keys %{$redis->counters}), 0, 'later, none');
    commit('w', [['settle', 5000, [['ever', 's', -1], 7], [['day', 's', 1000], 7]]]);
    $now += 100_000_000;
    commit('w', [], beat => 1);
    is(join(' ', keys %{$redis->counters}), 'ever', 'a sum without a period stays');
};

done_testing();
