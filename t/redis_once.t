# What a request used is counted once in Redis, also when nobody can know whether Redis heard of it:
# it was sent, and no answer came in time. Redis reads it later, and hears it again.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Redis;

my $redis = LLM::Redis->new;
my $p = LLM::Provider->new;
my $t;

# The time-out is long: nothing else that is sent to Redis may find it silent before the request ends.
sub gateway {
    my ($lease) = @_;

    $t = LLM::Test->new(workers => 1);
    $t->http_conf("llm_redis ${\$redis->url} timeout=2s lease=$lease on_outage=local;
    llm_provider p { dialect openai; base_url ${\$p->url}; } llm_model late { deployment p/x; }
    server { listen 127.0.0.1:%%PORT%%;
        location / { llm_limit \$arg_key tpm=10000 max_parallel_requests=2; llm_pass models; } }");
    $t->start;
    return;
}

my %question = (model => 'late', max_tokens => 10, messages => [{ role => 'user', content => 'hi' }]);

sub counted {
    my ($key) = @_;
    my $counters = $redis->counters;
    my ($name) = grep { /tokens.*:\Q$key\E\z/ } keys %$counters;

    return $name ? $counters->{$name}{counted} : 0;
}

sub held { return join ' ', $redis->held }

# A request that was admitted, and ends when Redis is gone.
sub ends_without_redis {
    my ($key, $gone) = @_;

    $p->script([json(200, chat_answer(), wait_for_release => 1), json(200, chat_answer())]);
    my $s = $t->stream("/v1/messages?key=$key", \%question);
    $p->wait_held;
    $gone->();
    $p->release;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($s->status, 200, 'served without Redis');
    $s->read_body;
    is_state('degraded');
    return;
}

sub is_state {
    my ($state) = @_;

    return $t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq $state }, 10, $state);
}

gateway('60s');
$p->script(json(200, chat_answer()));
is($t->post('/v1/messages?key=sure', \%question)->{status}, 200, 'one that is answered');
my $tokens = $t->wait_for(sub { counted('sure') }, 5, 'its tokens');

for my $round (1 .. 3) {
    ends_without_redis("unsure$round", sub { $redis->pause });
    $redis->resume;
    $t->wait_for(sub { counted("unsure$round") }, 5, 'what was sent before');
    is_state('ready');
    # What comes after it on the new connection.
    is($t->post("/v1/messages?key=after$round", \%question)->{status}, 200, 'the next one');
    $t->wait_for(sub { counted("after$round") && held() eq '' }, 5, 'its end');
    is(counted("unsure$round"), $tokens, "round $round: it was counted once");
}

# Nobody asks for anything more, and the next beat is far away.
subtest 'what ended while Redis was away' => sub {
    ends_without_redis('away', sub { $redis->kill });
    $redis->start;
    $t->wait_for(sub { counted('away') }, 5, 'its end');
    is(counted('away'), $tokens, 'is counted when Redis is back');
};

subtest 'what ended while Redis had no room' => sub {
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
    $p->script([json(200, chat_answer()), json(200, chat_answer()),
        json(200, chat_answer(), wait_for_release => 1), json(200, chat_answer())]);
    is($t->post('/v1/messages?key=full', \%question)->{status}, 200, 'served') for 1 .. 2;
    my $running = $t->stream('/v1/messages?key=running', \%question);
    $p->wait_held;
    is(counted('full'), 0, 'not yet');
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    $t->wait_for(sub { counted('full') == 2 * $tokens }, 2, 'room');
    is(counted('full'), 2 * $tokens, 'is counted soon after there is room');
    $t->wait_for(sub { held() ne '' }, 1, 'the running one');
    isnt(held(), '', 'what is running then is entered');
    $p->release;
    $running->read_body;
    $t->wait_for(sub { counted('running') && held() eq '' }, 5, 'its end');
    is(counted('running'), $tokens, 'and counted once');
    is(counted('full'), 2 * $tokens, 'as were the others');
};

$t->stop;
$t->cleanup;

# Redis counts it, and then refuses every script: that says nothing of the first try.
subtest 'refused when it comes again' => sub {
    gateway('3s');
    ends_without_redis('refused', sub { $redis->pause });
    $redis->send('ACL', 'SETUSER', 'default', '-evalsha');  # after what the gateway sent
    $redis->resume;
    $t->wait_for(sub { counted('refused') }, 5, 'what was sent before');
    $t->wait_for(sub { $t->log_text =~ /redis says: NOPERM/ }, 10, 'a refusal');
    $redis->cmd('ACL', 'SETUSER', 'default', '+evalsha');
    is_state('ready');
    is($t->post('/v1/messages?key=later', \%question)->{status}, 200, 'the next one');
    my $calls = $redis->commands->{evalsha};
    $t->wait_for(sub { counted('later') && $redis->commands->{evalsha} >= $calls + 6 }, 20, 'some beats');
    is(counted('refused'), $tokens, 'it was counted once');
    is(held(), '', 'and nothing is held');
    $t->stop;
    $t->cleanup;
};

$redis->stop;
done_testing();
