# Case 57: Redis goes away while a request that it admitted is with its provider, and the provider
# fails. The limits of what the request falls back to, another deployment or another model, follow
# on_outage like those of a request that begins then. What it holds is given back once, and what it
# used is handed in once.

use strict;
use warnings;
use IO::Select;
use LLM::Test;
use LLM::Port;
use LLM::Provider;
use LLM::Redis;

my @policies = qw(local allow deny);
my $redis = LLM::Redis->new;
my $p = LLM::Provider->new;
my %t;

for my $policy (@policies) {
    my $t = $t{$policy} = LLM::Test->new(workers => 1);
    $t->http_conf("llm_redis ${\$redis->url} prefix=$policy: timeout=1s lease=2s on_outage=$policy;
    llm_provider p { dialect openai; base_url ${\$p->url}; }
    llm_model deployment { deployment p/fails order=1; deployment p/good order=2 id=second rpm=1; }
    llm_model model { deployment p/fails id=m1; fallbacks other; }
    llm_model other { deployment p/good id=other; }
    llm_model place { deployment p/fails order=1 id=p1;
        deployment p/held order=2 id=place max_parallel_requests=1; }
    llm_model back { deployment p/fails order=1 id=b1;
        deployment p/fails order=2 id=b2 max_parallel_requests=1;
        deployment p/good order=3 id=b3 max_parallel_requests=1 on_outage=deny; }
    llm_model silence { deployment p/fails order=1 id=s1; deployment p/good order=2 id=s2 rpm=1000; }
    llm_model alone { deployment p/good id=alone rpm=1000; }
    llm_model chain { deployment p/fails id=c1; fallbacks link; }
    llm_model link { deployment p/fails-too id=c2; fallbacks end; }
    llm_model end { deployment p/held id=c3; }
    llm_key sk-of-the-test { rpm 1000; model_max_parallel_requests link 1; model_rpm other 1; model_tpm other 100000; }
    llm_cooldown_time 0; llm_num_retries 0; llm_allowed_fails 1000;
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }");
    $t->start;
}
$p->on({ body => qr/"model":"fails/ }, json(503, {}, wait_for_release => 'head'));
$p->on({ body => qr/"model":"held"/ }, json(200, chat_answer(), wait_for_release => 'head'));
$p->on({ body => qr/"model":"good"/ }, json(200, chat_answer()));

# A request; its stream, when nothing has come yet.
sub ask {
    my ($policy, $model) = @_;

    return $t{$policy}->stream('/v1/chat/completions', { model => $model, max_tokens => 10,
        messages => [{ role => 'user', content => 'hi' }] },
        headers => { Authorization => 'Bearer sk-of-the-test' });
}

# So many that wait at the deployment that is going to fail.
sub ask_and_hold {
    my ($policy, $model, $n) = @_;
    my $before = $p->held;
    my @streams = map { ask($policy, $model) } 1 .. $n;

    $p->wait_held($before + $n) or die "no request at the provider\n";
    return @streams;
}

sub is_state {
    my ($state) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $policy (@policies) {
        $t{$policy}->wait_for(sub { $t{$policy}->get('/health/readiness')->{json}{status} eq $state }, 10,
            "$policy: $state");
    }
    return;
}

sub go_away { $redis->kill; is_state('degraded'); return }
sub come    { $redis->start; is_state('ready'); return }

sub held { my ($policy) = @_; return join ' ', $redis->held("$policy:") }

sub counted {
    my ($policy, $regex) = @_;
    my $counters = $redis->counters("$policy:");
    my ($name) = grep { /$regex/ } sort keys %$counters;

    return $name ? $counters->{$name}{counted} : 0;
}

sub settled {
    my ($policy) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok($t{$policy}->wait_for(sub { held($policy) eq '' }, 5, 'nothing to be held'),
        "$policy: nothing is held");
}

my %expected = (local => '200 429 429', allow => '200 200 200', deny => '503 503 503');
my %served = (local => 1, allow => 3, deny => 0);
my %what = (deployment => qr/^deployment:requests:.*:second:/, model => qr/^key%20model:requests:.*:other\z/);

subtest 'what on_outage says' => sub {
    my %asked;
    for my $policy (@policies) {
        $asked{$policy}{$_} = [ask_and_hold($policy, $_, 3)] for sort keys %what;
        is(counted($policy, qr/^key:requests/), 6, "$policy: Redis has admitted them");
    }
    go_away();
    $p->release;
    for my $policy (@policies) {
        for my $model (sort keys %what) {
            my @streams = sort { $a->status <=> $b->status } @{$asked{$policy}{$model}};
            is(join(' ', map { $_->status } @streams), $expected{$policy}, "$policy: another $model");
            my $body = $streams[-1]->read_body;
            like($body, qr/limits cannot be checked/, 'says why') if $policy eq 'deny';
            like($body, qr/limit of (?:deployment|key).*is reached: 1 requests/, 'says by which limit')
                if $policy eq 'local';
        }
        $_->read_body for map { @$_ } values %{$asked{$policy}};
    }
    come();
    my $tokens;
    for my $policy (@policies) {
        $t{$policy}->wait_for(sub { counted($policy, $what{model}) == $served{$policy}
            && counted($policy, $what{deployment}) == $served{$policy} }, 5, 'them to be handed in');
        is(counted($policy, $what{deployment}), $served{$policy}, "$policy: requests of the deployment");
        is(counted($policy, $what{model}), $served{$policy}, "$policy: requests of the key for the model");
        my $used = counted($policy, qr/^key%20model:tokens:.*:other\z/);
        $tokens ||= $used;
        is($used, $served{$policy} * $tokens, "$policy: their tokens, once");
        settled($policy);
    }
    cmp_ok($tokens, '>', 0, 'there were some');
};

# Which deployment has served it.
sub served_by {
    my ($stream) = @_;

    $stream->read_body;
    return $stream->status . ' ' . ($stream->header('x-llm-deployment') // '');
}

subtest 'a place' => sub {
    my @two = ask_and_hold('local', 'place', 2);
    go_away();
    $p->release;
    my ($refused) = IO::Select->new(map { $_->{sock} } @two)->can_read(LLM::Port::slow(5));
    my ($off, $on) = sort { ($b->{sock} == $refused) <=> ($a->{sock} == $refused) } @two;
    is($off->status, 429, 'there is one, and another request has it');
    come();
    ok($t{local}->wait_for(sub { held('local') eq '1' }, 5, 'it to be entered'), 'Redis hears of it');
    $p->release;
    is(served_by($on), '200 place', 'served');
    settled('local');
    go_away();
    my ($next) = ask_and_hold('local', 'place', 1);
    $p->release;
    ok($p->wait_held(1), 'the place is free again');
    $p->release;
    is(served_by($next), '200 place', 'and taken');
    come();
    settled('local');
};

subtest 'Redis is back before it ends' => sub {
    my ($s) = ask_and_hold('local', 'back', 1);
    go_away();
    $p->release;
    ok($p->wait_held(1), 'the second deployment is asked');
    come();
    $t{local}->wait_for(sub { held('local') eq '1' }, 5, 'what it holds to be entered');
    $p->release;
    is(served_by($s), '200 b3', 'Redis is asked for the third one');
    settled('local');
    go_away();
    ($s) = ask_and_hold('local', 'back', 1);
    $p->release;
    ok($p->wait_held(1), 'the place that was left is free');
    $p->release;
    is($s->status, 503, 'the third one denies');
    come();
    settled('local');
};

subtest 'Redis is back before it goes on to a third model' => sub {
    my $asked = sub { scalar grep { ($_->{json}{model} // '') eq 'fails-too' } $p->requests };
    my ($s) = ask_and_hold('local', 'chain', 1);
    go_away();
    $p->release;
    ok($p->wait_held(1), 'the second model is asked');
    is($asked->(), 1, 'once');
    come();
    $p->release;
    ok($p->wait_held(1), 'the third one has it');
    my ($first) = $p->held;
    go_away();
    my ($next) = ask_and_hold('local', 'chain', 1);
    my ($second) = grep { $_ != $first } $p->held;
    $p->release(conn => $second);
    ok($t{local}->wait_for(sub { $asked->() == 2 }, 5, 'another request'), 'the place of the model is free');
    ok($p->wait_held(2), 'both are at the provider');
    $p->release;
    is(served_by($s), '200 c3', 'the first is served');
    ok($p->wait_held(1), 'the second goes on, too');
    $p->release;
    is(served_by($next), '200 c3', 'and is served');
    come();
    settled('local');
};

# What was sent into the silence Redis does later.
subtest 'a silence' => sub {
    my ($s) = ask_and_hold('local', 'silence', 1);
    $redis->pause;
    my $new = ask('local', 'alone');
    is(served_by($new), '200 alone', 'one that begins in it');
    $redis->resume;
    is_state('ready');
    $redis->pause;
    $p->release;
    is(served_by($s), '200 s2', 'one that falls back in it');
    $redis->resume;
    is_state('ready');
    settled('local');
    my $calls = $redis->commands->{evalsha};
    $t{local}->wait_for(sub { $redis->commands->{evalsha} >= $calls + 9 }, 10, 'some beats');
    is(counted('local', qr/^deployment:requests:.*:alone:/), 1, 'the first counts once');
    is(counted('local', qr/^deployment:requests:.*:s2:/), 1, 'the other one, too');
};

for my $t (values %t) {
    $t->stop;
    $t->cleanup;
}
$redis->stop;
done_testing();
