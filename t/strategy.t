# How the first choice among deployments of one order is made.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, models => <<'END'));
    llm_model shares { deployment chat/a weight=3; deployment chat/b weight=1;
        deployment chat/c weight=0; deployment chat/d order=2 weight=9; }
    llm_model in-turn { strategy round-robin;
        deployment chat/a id=r1; deployment chat/b id=r2; deployment chat/c id=r3; }
    llm_model cheap { strategy cost-based; deployment chat/a id=p1 input_cost=3e-6 output_cost=9e-6;
        deployment chat/b id=p2 input_cost=1e-6 output_cost=2e-6; deployment chat/c id=p3; }
    llm_model idle { strategy least-busy; deployment chat/a id=i1; deployment chat/b id=i2; }
    llm_model unused { strategy usage-based; deployment chat/a id=u1; deployment chat/b id=u2; }
    llm_model fast { strategy latency-based buffer=0.5;
        deployment chat/a id=f1; deployment chat/b id=f2; deployment chat/c id=f3; }
    llm_model steady { affinity on; deployment chat/a id=a1; deployment chat/b id=a2;
        deployment chat/c id=a3; deployment chat/d id=a4; }
    llm_model tagged { deployment chat/a id=g1 tags=eu,cheap; deployment chat/b id=g2 tags=us;
        deployment chat/c id=g3 tags=default; }
    llm_model half-tagged { deployment chat/a id=h1 tags=eu; deployment chat/b id=h2; }
END
$t->start;

my $pair = LLM::Pair->new('chat', 'chat');

sub all_answer {
    my (%of) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"$_"/ }, $of{$_} || json(200, $pair->answer(text => 'fine')))
        for qw(a b c d);
    return;
}

sub choice { return $pair->post($t, @_)->{headers}{'x-llm-deployment'} // 'none' }

# How often each was chosen.
sub choices {
    my ($n, @question) = @_;
    my %n;

    $n{choice(@question)}++ for 1 .. $n;
    return \%n;
}

subtest 'RT3, RT4: shares within an order' => sub {
    all_answer();
    my $n = choices(200, model => 'shares');
    cmp_ok($n->{'chat/a'}, '>=', 120, 'three of four') or diag explain $n;
    cmp_ok($n->{'chat/b'} // 0, '>=', 25, 'one of four');
    ok(!$n->{'chat/c'} && !$n->{'chat/d'}, 'weight 0 and the next order: only when needed');
    all_answer(a => json(500, {}), b => json(500, {}));
    is(choice(model => 'shares'), 'chat/c', 'then weight 0');
    all_answer(map { $_ => json(500, {}) } qw(a b c));
    is(choice(model => 'shares'), 'chat/d', 'then the next order');
};

subtest 'round-robin, over all workers' => sub {
    all_answer();
    is_deeply(choices(30, model => 'in-turn'), { r1 => 10, r2 => 10, r3 => 10 }, 'in turn');
};

subtest 'cost-based' => sub {
    all_answer();
    is_deeply(choices(5, model => 'cheap'), { p2 => 5 }, 'the cheapest');
    all_answer(b => json(500, {}));
    is(choice(model => 'cheap'), 'p1', 'then the next; an unknown price comes last');
};

subtest 'least-busy' => sub {
    all_answer(a => sse($pair->events(text => 'slow'), wait_for_release => 3));
    my @held;
    for (1 .. 20) {
        my $s = $pair->stream($t, model => 'idle');
        if ($s->header('x-llm-deployment') eq 'i1') {
            push @held, $s;
            last;
        }
        $s->read_body;
    }
    is_deeply(choices(6, model => 'idle'), { i2 => 6 }, 'the one that is not busy');
    $p->release(always => 1);
    $_->read_body for @held;
};

subtest 'usage-based' => sub {
    all_answer(a => json(200, $pair->answer(text => 'fine', usage => { prompt_tokens => 9000,
        completion_tokens => 1000, total_tokens => 10000 })));
    my $n = choices(12, model => 'unused');
    is($n->{u1}, 1, 'the one with many tokens once') or diag explain $n;
};

subtest 'latency-based' => sub {
    all_answer(c => { %{json(200, $pair->answer(text => 'slow'))}, delay => 0.2 });
    my %seen;
    $seen{choice(model => 'fast')}++ for 1 .. 60;
    is(scalar keys %seen, 3, 'a new one is tried');
    my $n = choices(20, model => 'fast');
    ok(!$n->{f3}, 'the slow one not') or diag explain $n;
    $n = choices(20, model => 'fast') for 1 .. 2;
    ok(!$n->{f3}, 'nor later');
};

subtest 'RT23: affinity' => sub {
    all_answer();
    my %seen;
    for my $who (1 .. 20) {
        my $talk = sub { return (model => 'steady', messages => [
            { role => 'system', content => 'Be brief.' }, { role => 'user', content => "I am $who" },
            map { ({ role => 'assistant', content => 'Yes.' }, { role => 'user', content => 'So?' }) }
                1 .. $_[0]]) };
        my $first = choice($talk->(0));
        $seen{$first}++;
        is(choice($talk->($_)), $first, "conversation $who, turn $_") for 1 .. 3;
    }
    cmp_ok(scalar keys %seen, '>=', 3, 'others go elsewhere');
    my $key = choice(model => 'steady', prompt_cache_key => 'k');
    is(choice(model => 'steady', prompt_cache_key => 'k', messages => [{ role => 'user',
        content => $_ }]), $key, 'prompt_cache_key') for 1 .. 5;
    my ($letter) = { a1 => 'a', a2 => 'b', a3 => 'c', a4 => 'd' }->{$key};
    all_answer($letter => json(500, {}));
    isnt(choice(model => 'steady', prompt_cache_key => 'k'), $key, 'elsewhere when it fails');
};

subtest 'RT7: tags' => sub {
    all_answer();
    is(choice(model => 'tagged', http => { headers => { 'x-llm-tags' => 'eu' } }), 'g1', 'header');
    is(choice(model => 'tagged', tags => ['us']), 'g2', 'body');
    is(choice(model => 'tagged', metadata => { tags => ['eu', 'cheap'], a => 'b' }), 'g1', 'all of');
    is_deeply($p->last_request->{json}{metadata}, { a => 'b' }, 'the provider is not told');
    is(choice(model => 'tagged'), 'g3', 'without tags: default');
    my $r = $pair->post($t, model => 'tagged', tags => ['eu', 'us']);
    is($r->{status}, 400, 'no match');
    is($r->{json}{error}{param}, 'tags', 'says why');
    is_deeply([sort keys %{choices(30, model => 'half-tagged')}], ['h1', 'h2'],
        'no default: untagged requests may go anywhere');
};

$t->done;
