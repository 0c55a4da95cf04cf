# The sums of all machines inside Redis (put_spend.lua, get_spend.lua): a call that comes twice or
# late changes nothing, rows stay bounded, and what a machine spent stays when it is gone.

use strict;
use warnings;
use Test::More;
use LLM::Nginx;
use LLM::Redis;

my $redis = LLM::Redis->new;
my $base = 'llm:{spend}';
my %script = map { $_ => slurp(LLM::Nginx->repo . "/ngx_llm_module/redis/$_.lua") }
    qw(put_spend get_spend);
my $today = int(time / 86400);
my $epoch = '';
my %number;

sub slurp { open my $in, '<', $_[0] or die "$_[0]: $!\n"; local $/; return scalar <$in> }

sub put {
    my ($machine, $rows, %o) = @_;
    my $number = $o{number} // ++$number{$machine};
    my $answer = $redis->cmd('EVAL', $script{put_spend}, 1, $base, $machine, $o{epoch} // $epoch,
        'first', $number, $o{adopts} // 0, $o{most} // 1000, %$rows);

    $epoch = $answer->[1];
    return $answer->[0];
}

sub numbers { my ($n) = @_; return join ' ', $n, 0, 10 * $n, $n, 0, 0, 1000 * $n }

# Rows as a machine sees those of the others: {row => requests}
sub others {
    my ($machine) = @_;
    my ($last, %rows) = (0);

    while (1) {
        my ($name, $next, $floor, @found) = @{$redis->cmd('EVAL', $script{get_spend}, 1, $base,
            $machine, $epoch, $last, 7)};
        last unless @found;
        $last = $next;
        while (my ($row, $sum, $own, $apart) = splice @found, 0, 4) {
            my ($n) = map { ($_->[0] || 0) - ($_->[1] || 0) - ($_->[2] || 0) }
                [map { (split / /)[0] } $sum, $own, $apart];
            $rows{$row} = $n if $n;
        }
    }
    return \%rows;
}

is(put('one', {}), 'taken', 'the first one');
is($epoch, 'first', 'it hears their name');
is(put('two', { "0\t0\t" => numbers(1) }, epoch => ''), 'taken', 'another one brings what it has');
is(others('one')->{"0\t0\t"}, 1, 'at once');
is(put('two', {}, epoch => 'other'), 'anew', 'one that knows others begins anew');
is($epoch, 'first', 'with their name');

subtest 'sums' => sub {
    is(put('one', { "0\t0\t" => numbers(3), "0\t6\tm" => numbers(3) }), 'taken', 'one');
    is(put('two', { "0\t0\t" => numbers(4), "0\t6\tn" => numbers(4) }), 'taken', 'two');
    is_deeply(others('one'), { "0\t0\t" => 4, "0\t6\tn" => 4 }, 'what two has');
    is_deeply(others('two'), { "0\t0\t" => 3, "0\t6\tm" => 3 }, 'what one has');
    is_deeply(others('three'), { "0\t0\t" => 7, "0\t6\tm" => 3, "0\t6\tn" => 4 }, 'for a third');
    is($redis->cmd('HGET', "$base:sum:0", "0\t0\t"), '7 0 70 7 0 0 7000', 'all numbers');
};

subtest 'twice and late' => sub {
    put('one', { "0\t0\t" => numbers(5) }) for 1 .. 3;
    is(others('two')->{"0\t0\t"}, 5, 'the same again');
    is(put('one', { "0\t0\t" => numbers(4) }, number => 2), 'late', 'an older call');
    is(others('two')->{"0\t0\t"}, 5, 'is not taken');
};

subtest 'a machine is gone' => sub {
    $redis->cmd('ZADD', "$base:seen", 1, 'one');
    put('two', {});
    is_deeply([$redis->keys("$base:of:one:*")], [], 'its own rows are dropped');
    is(others('two')->{"0\t0\t"}, 5, 'what it spent is not');
    is(put('one', { "0\t0\t" => numbers(5) }), 'gone', 'it comes back');
    is(put('one', { "0\t0\t" => numbers(5) }, adopts => 1), 'taken', 'and tells what it has');
    is(others('two')->{"0\t0\t"}, 5, 'which is in the sums');
    put('one', { "0\t0\t" => numbers(8) });
    is(others('two')->{"0\t0\t"}, 8, 'what comes then counts');
    is(others('one')->{"0\t0\t"}, 4, 'and one knows what is its own');
};

subtest 'case 60: rows are bounded' => sub {
    $redis->cmd('FLUSHALL');
    ($epoch, %number) = ('');
    put($_, {}, epoch => '') for 'one', 'two';
    for my $day ($today - 9 .. $today) {
        my %rows = ("$day\t0\t" => numbers(100), map { ("$day\t3\tuser-$day-$_" => numbers(1)) } 1 .. 99);
        put('one', \%rows, most => 500);
    }
    my $rows = $redis->cmd('ZCARD', "$base:log");
    cmp_ok($rows, '<=', 501, 'rows');
    is_deeply($redis->cmd('ZRANGE', "$base:days", 0, -1), [$today - 4 .. $today],
        'the oldest days went');
    is_deeply([grep { /:(\d+)$/ && $1 < $today - 4 } $redis->keys("$base:*:*")], [], 'and their rows');
    is(put('one', { ($today - 9) . "\t0\t" => numbers(200) }, most => 500), 'taken', 'one of them');
    is_deeply([$redis->keys("$base:*:" . ($today - 9))], [], 'does not come back');
    # Names of all days cannot go: they are counted together.
    put('two', { map { ("0\t5\ttag-$_-" . ($_ * $_) => numbers(2)) } 1 .. 600 }, most => 500);
    is_deeply($redis->cmd('ZRANGE', "$base:days", 0, -1), [$today - 1, $today],
        'for half of the rows, three days went');
    cmp_ok($redis->cmd('ZCARD', "$base:log"), '<=', 502, 'still bounded');
    my $sum = sub {
        my ($machine) = @_;
        my ($rows, $n) = (others($machine), 0);
        /\t5\t/ and $n += $rows->{$_} for keys %$rows;
        return $n;
    };
    is($sum->('one'), 1200, 'nothing is lost');
    is($sum->('two'), 0, 'and nothing is taken for that of another one');
    put('two', { map { ("0\t5\ttag-$_-" . ($_ * $_) => numbers(3)) } 1 .. 600 }, most => 500);
    is($sum->('one'), 1800, 'nor later');
    is($sum->('two'), 0, 'for either');
};

subtest 'names that clients choose have a half of the rows' => sub {
    $redis->cmd('FLUSHALL');
    ($epoch, %number) = ('');
    put($_, {}, epoch => '') for 'one', 'two';
    my $rows = sub { my ($day, $what, $n) = @_;
        return map { ("$day\t$what\tname-$day-$what-$_" => numbers(1)) } 1 .. $n };
    my $kept = sub { my ($day, $what) = @_;
        return scalar grep { /\t$what\tname/ } @{$redis->cmd('HKEYS', "$base:sum:$day")} };
    my $seen = sub { my ($day, $what) = @_;
        return scalar grep { /^$day\t$what\tname/ } keys %{others('two')} };
    # Customers, tags, models that a pattern allows, and keys of some days.
    put('one', { $rows->($_, 4, 50), $rows->($_, 5, 40), $rows->($_, 8, 10), $rows->($_, 1, 20) }, most => 500)
        for $today - 3 .. $today - 1;
    is($kept->($today - 3, $_), 0, "$_: where they are more, those of the oldest day go") for 4, 5, 8;
    is($kept->($today - 3, 1), 20, 'but not its keys');
    is($seen->($today - 3, 4), 0, 'another machine is not shown them');
    is($seen->($today - 1, 4), 50, 'but those that are left');
    is((split ' ', $redis->cmd('EVAL', $script{get_spend}, 1, $base, 'two', $epoch, 0, 7)->[2])[1],
        $today - 3, 'and is told, for those that it knows');
    put('one', { $rows->($today - 3, 4, 50) }, most => 500);
    is($kept->($today - 3, 4), 0, 'they do not come back');
    # And any number of them today.
    put('one', { map { $rows->($today, $_, 200) } 4, 5, 8 }, most => 500);
    my $sum = sub { my ($of) = @_; my $n = 0; $n += $of->($_) for 4, 5, 8; return $n };
    is($sum->(sub { $kept->($today, $_[0]) }), 250, 'half of the rows');
    is($sum->(sub { others('two')->{"$today\t$_[0]\tother"} }), 350, 'the rest is in one sum each');
    is($kept->($_, 1), 20, 'no key went for it') for $today - 3 .. $today - 1;
    put('one', { $rows->($today, 1, 100) }, most => 500);
    is($kept->($today, 1), 100, 'and new keys have room');
    # What an older version wrote, which had no list of them.
    $redis->cmd('DEL', "$base:free");
    put('one', { "$today\t5\tone-more" => numbers(1) }, most => 500);
    is($redis->cmd('ZCARD', "$base:free"), 250, 'they are found');
    is($redis->cmd('HEXISTS', "$base:sum:$today", "$today\t5\tone-more"), 0, 'and counted');
};

done_testing();
