# Case 57: a Redis that is silent, dead, full, read-only or was emptied. A request waits for it once,
# no longer than the time-out; after that nobody does, each limit follows on_outage, and all is well
# again without help when Redis is.

use strict;
use warnings;
use LLM::Test;
use LLM::Redis;
use LLM::RedisProxy;
use Time::HiRes qw(time);

my $redis = LLM::Redis->new;
my %t;

for my $policy (qw(local allow deny)) {
    my $t = $t{$policy} = LLM::Test->new;
    $t->http_conf("llm_redis ${\$redis->url} prefix=$policy: timeout=1s lease=2s
            on_outage=$policy;
        llm_provider mock { } llm_model m { deployment mock/x reply=hi; }
        llm_model slow { deployment mock/x chunks=2 reply=abcdef interval=1h; }
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { llm_limit \$arg_key rpm=3; llm_pass models; }
            location /par/ { llm_limit \$arg_key max_parallel_requests=2; llm_pass models; }
            location /tokens/ { llm_limit \$arg_key tpm=10000; llm_pass models; }
        }");
    $t->start;
}

my %question = (model => 'm', max_tokens => 10, messages => [{ role => 'user', content => 'hi' }]);

sub ask {
    my ($t, $key, %o) = @_;
    my $path = delete $o{path} || '/v1/messages';

    return $t->post("$path?key=$key", { %question, %o });
}

# Statuses of four requests, and how long the slowest took, the first apart.
sub four {
    my ($t, $key) = @_;
    my (@status, @took);

    for (1 .. 4) {
        my $began = time;
        push @status, ask($t, $key)->{status};
        push @took, time - $began;
    }
    my $first = shift @took;
    return ("@status", $first, (sort { $b <=> $a } @took)[0]);
}

sub recovered {
    my ($name) = @_;

    for my $policy (sort keys %t) {
        my $t = $t{$policy};
        ok($t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq 'ready' }, 10, 'ready'),
            "$name: $policy: is back");
        my ($status) = four($t, "$name-back");
        is($status, '200 200 200 429', "$name: $policy: limits hold again");
    }
    return;
}

my %expected = (local => '200 200 200 429', allow => '200 200 200 200', deny => '529 529 529 529');

# $break is called before; the gateway has not noticed then.
sub outage {
    my ($name, $break, $mend, %o) = @_;

    subtest $name => sub {
        is((four($t{$_}, $name))[0], '200 200 200 429', "$_: the limit holds") for sort keys %t;
        $break->();
        for my $policy (sort keys %t) {
            my ($status, $first, $rest) = four($t{$policy}, "$name-out");
            is($status, $expected{$policy}, "$policy: what on_outage says");
            cmp_ok($first, '<', 1 + LLM::Port::slow(0.3), 'the first waits no longer than the time-out')
                or diag($first);
            cmp_ok($rest, '<', 0.8, 'the others do not wait') or diag($rest);
            is($t{$policy}->get('/health/liveness')->{status}, 200, 'alive');
            is($t{$policy}->get('/health/readiness')->{json}{status}, $o{status} || 'degraded',
                'what the readiness page says');
        }
        $mend->();
        recovered($name);
    };
    return;
}

outage('silent', sub { $redis->pause }, sub { $redis->resume });
outage('dead', sub { $redis->kill }, sub { $redis->start });
outage('read-only', sub { $redis->cmd('REPLICAOF', '127.0.0.1', 1) },
    sub { $redis->cmd('REPLICAOF', 'NO', 'ONE') });
outage('full', sub { $redis->cmd('CONFIG', 'SET', 'maxmemory', 1) },
    sub { $redis->cmd('CONFIG', 'SET', 'maxmemory', 0) }, status => 'ready');

subtest 'its scripts are gone' => sub {
    $redis->cmd('SCRIPT', 'FLUSH');
    is((four($t{$_}, 'flush'))[0], '200 200 200 429', "$_: nobody notices") for sort keys %t;
};

subtest 'in the dialect of the caller' => sub {
    $redis->pause;
    my $r = ask($t{deny}, 'a');
    is($r->{json}{error}{type}, 'overloaded_error', 'messages');
    $r = ask($t{deny}, 'a', path => '/v1/chat/completions');
    is($r->{status}, 503, 'chat');
    like($r->{json}{error}{message}, qr/limits cannot be checked/, 'and why');
    is($r->{headers}{'retry-after'}, 1, 'when to come again');
    $redis->resume;
    recovered('dialect');
};

sub held { my ($policy) = @_; return join ' ', sort $redis->held("$policy:") }

subtest 'leases that live through it' => sub {
    my $t = $t{local};
    my $open = sub { my $s = $t->stream("/par/v1/messages?key=$_[0]",
        { %question, model => 'slow', stream => JSON::PP::true() }); $s->status; $s };
    my @on = map { $open->('live') } 1 .. 2;
    is($open->('live')->status, 429, 'two are on');
    is(held('local'), 2, 'and Redis knows it');
    $redis->cmd('FLUSHALL');
    $t->wait_for(sub { held('local') eq '2' }, 5, 'them to be entered again');
    is($open->('live')->status, 429, 'emptied: two are on again');
    $redis->kill;
    my $third = $open->('out');
    is($third->status, 200, 'another one begins while it is away');
    $redis->start;
    $t->wait_for(sub { held('local') eq '1 2' }, 10, 'all of them');
    is($open->('live')->status, 429, 'back: two are on again');
    $_->close for @on, $third;
    $t->wait_for(sub { held('local') eq '' }, 5, 'nothing to be held');
    is($open->('live')->status, 200, 'and both places are free');
    $t->close_streams;
    $t->wait_for(sub { held('local') eq '' }, 5, 'nothing to be held');
};

subtest 'what Redis grants when nobody waits any more' => sub {
    my %status = (local => 200, allow => 200, deny => 529);
    for my $policy (sort keys %status) {
        $redis->pause;
        is(ask($t{$policy}, 'lost', path => '/par/v1/messages')->{status}, $status{$policy}, $policy);
        $redis->resume;
        recovered("lost-$policy");
        my $calls = $redis->commands->{evalsha};
        $t{$policy}->wait_for(sub { $redis->commands->{evalsha} > $calls + 3 && held($policy) eq '' }, 10,
            'it to be given back');
        my @held = $redis->held("$policy:");
        is("@held", '', "$policy: is given back");
    }
};

# Redis counts it when it goes on, and then hears that it was refused.
subtest 'what was refused is not counted' => sub {
    my $t = $t{deny};
    my $counted = sub {
        my $counters = $redis->counters('deny:');
        my ($name) = grep { /requests.*:gone\z/ } keys %$counters;
        return $counters->{$name}{counted};
    };
    is(ask($t, 'gone')->{status}, 200, 'one is served');
    for my $round (1, 2) {
        $redis->pause;
        is(ask($t, 'gone')->{status}, 529, "round $round: one is refused, Redis is silent");
        $redis->resume;
        $t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq 'ready' }, 10, 'ready');
        $t->wait_for(sub { $counted->() == 1 }, 5, 'its place');
        is($counted->(), 1, 'it has no place in the minute');
    }
    is((four($t, 'gone'))[0], '200 200 429 429', 'others have all that is left');
};

# Redis forgets what it had not begun when the connection ends, and does later what it had read.
subtest 'what goes on without an answer is counted once' => sub {
    my %silences = (
        'never done' => [sub { $redis->cmd('CLIENT', 'PAUSE', 3_600_000, 'WRITE') },
            sub { $redis->cmd('CLIENT', 'UNPAUSE') }],
        'done later' => [sub { $redis->pause }, sub { $redis->resume }],
    );
    for my $policy (qw(local allow)) {
        for my $what (sort keys %silences) {
            my ($begin, $end) = @{$silences{$what}};
            my $t = $t{$policy};
            my $key = "$policy-" . $what =~ tr/ /-/r;
            my $counted = sub {
                my $all = $redis->counters("$policy:");
                my ($name) = grep { /:\Q$key\E\z/ } keys %$all;
                return $name ? $all->{$name}{counted} : 0;
            };
            for my $n (1, 2) {
                $begin->();
                is(ask($t, $key)->{status}, 200, "$policy, $what: goes on");
                $end->();
                $t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq 'ready' }, 10, 'ready');
                ok($t->wait_for(sub { $counted->() >= $n }, 5, 'it'), 'is counted');
            }
            is(join(' ', map { ask($t, $key)->{status} } 1, 2), '200 429', 'once');
        }
    }
};

subtest 'what was used meanwhile is handed in' => sub {
    my $t = $t{local};
    $redis->kill;
    $t->wait_for(sub { $t->get('/health/readiness')->{json}{status} eq 'degraded' }, 5, 'it');
    is(ask($t, 'used', path => '/tokens/v1/messages')->{status}, 200, 'served') for 1 .. 5;
    $redis->start;
    my $counted = sub {
        my $counters = $redis->counters('local:');
        my ($name) = grep { /tokens.*used/ } keys %$counters;
        return $name ? $counters->{$name}{counted} : 0;
    };
    my $tokens = $t->wait_for(sub { my $n = $counted->(); $n && $n % 5 == 0 && $n }, 10,
        'five requests in the window');
    ok($tokens, 'tokens are there');
    $t->reload;
    is($counted->(), $tokens, 'once');
};

# One request may meet limits with different rules; the default of this gateway is local.
my @each = ('sk-key-deny', 'sk-key-allow', 'sk-team-deny');
my $each = $t{each} = LLM::Test->new;
$each->http_conf("llm_redis ${\$redis->url} prefix=each: timeout=1s lease=2s;
    llm_provider mock { }
    llm_model m { deployment mock/x reply=hi; }
    llm_model slow { deployment mock/x chunks=2 reply=abcdef interval=1h id=slow; }
    llm_model second { deployment mock/x order=1 id=a reply=a rpm=1000 on_outage=deny;
        deployment mock/y order=2 id=b reply=b rpm=1 on_outage=allow; }
    llm_model only { deployment mock/x id=only rpm=1000 on_outage=deny; }
    llm_master_key sk-master;
    llm_key $each[0] { rpm 1000; on_outage deny; }
    llm_key $each[1] { rpm 2; on_outage allow; }
    llm_team strict { rpm 1000; on_outage deny; }
    llm_key $each[2] { team strict; rpm 2; }
    server {
        listen 127.0.0.1:%%PORT%%;
        llm_limit \$arg_default rpm=2;
        llm_limit \$arg_local rpm=2 on_outage=local;
        llm_limit \$arg_allow rpm=2 on_outage=allow;
        llm_limit \$arg_deny rpm=2 on_outage=deny;
        location / { llm_auth off; llm_pass models; }
        location /keys/ { llm_pass models; }
        location /admin/ { llm_admin; }
        location /par/ {
            llm_auth off;
            llm_limit \$arg_local max_parallel_requests=1 on_outage=local;
            llm_limit \$arg_allow max_parallel_requests=1 on_outage=allow;
            llm_pass models;
        }
    }");
$each->start;

sub each_ask {
    my ($arguments, $n, %o) = @_;
    my $path = delete $o{path} || '/v1/messages';
    my @headers = $o{key} ? (headers => { 'x-api-key' => delete $o{key} }) : ();

    return join ' ', map { $each->post("$path?$arguments", { %question, %o }, @headers)->{status} }
        1 .. $n;
}

subtest 'each limit has its own rule' => sub {
    my @master = (headers => { 'x-api-key' => 'sk-master' });
    my $r = $each->post('/admin/key/generate', { key => 'sk-made-here', rpm_limit => 1, on_outage => 'allow' },
        @master);
    is($r->{status}, 200, "a key that is made at run time, too") or diag($r->{body});
    is($each->get('/admin/key/info?key=sk-made-here', @master)->{json}{info}{on_outage}, 'allow', 'is shown');
    $r = $each->post('/admin/key/generate', { on_outage => 'perhaps' }, @master);
    is($r->{status}, 400, 'another word is refused');
    like($r->{body}, qr/on_outage.*must be local, allow or deny/, 'by name');
    is(each_ask("$_=there", 3), '200 200 429', "$_: holds while Redis is there")
        for qw(default local allow deny);
    is(each_ask('', 2, path => '/keys/v1/messages', key => 'sk-made-here'), '200 429', 'as does the key');

    $redis->kill;
    is(each_ask('default=a', 3), '200 200 429', 'none given: as llm_redis says');
    is(each_ask('local=a', 3), '200 200 429', 'local counts here');
    is(each_ask('allow=a', 4), '200 200 200 200', 'allow does not limit');
    is(each_ask('deny=a', 2), '529 529', 'deny refuses');
    is(each_ask('allow=b&local=b', 3), '200 200 429', 'allow and local: the local one holds');
    is(each_ask('allow=b', 1), '200', 'and the other one has not counted');
    is(each_ask('allow=c&local=c&deny=c', 3), '529 529 529', 'with a deny beside them: refused');
    is(each_ask('local=c', 3), '200 200 429', 'and nothing was taken');

    my $answer = $each->post('/v1/messages', { %question, model => 'second' });
    is($answer->{status}, 200, 'a deployment that denies is passed over');
    is($answer->{headers}{'x-llm-deployment'}, 'b', 'another one is used');
    is(each_ask('', 2, model => 'second'), '200 200', 'and its allow does not limit');
    is(each_ask('', 1, model => 'only'), '529', 'there is none: refused');
    is(each_ask('', 1, path => '/keys/v1/messages', key => $each[0]), '529', 'a key: deny');
    is(each_ask('', 3, path => '/keys/v1/messages', key => $each[1]), '200 200 200', 'a key: allow');
    is(each_ask('', 1, path => '/keys/v1/messages', key => $each[2]), '529', 'its team: deny');
    is(each_ask('', 3, path => '/keys/v1/messages', key => 'sk-made-here'), '200 200 200', 'a made key: allow');

    my $open = sub { my $s = $each->stream("/par/v1/messages?$_[0]",
        { %question, model => 'slow', stream => JSON::PP::true() }); $s->status; $s };
    my $stream = $open->('local=p&allow=p');
    is($stream->status, 200, 'a stream begins');
    is($open->('local=p')->status, 429, 'its local place is held');
    is($open->('allow=p')->status, 200, 'the other is not counted');

    $redis->start;
    $each->wait_for(sub { held('each') eq '1' }, 10, 'what is held here to be entered');
    my $counted = sub {
        my $counters = $redis->counters('each:');
        my ($name) = grep { /requests.*:limit:|^limit:requests.*$_[0]$/ } keys %$counters;
        return $name ? $counters->{$name}{counted} : 0;
    };
    ok($each->wait_for(sub { $counted->('arg_allow:a') == 4 }, 10, 'allow to be handed in'),
        'what was allowed is handed in');
    is(each_ask('allow=a', 1), '429', 'and counts');
    is(each_ask('deny=a', 3), '200 200 429', 'deny holds again, from nothing');
    $each->close_streams;
    $each->wait_for(sub { held('each') eq '' }, 5, 'nothing to be held');

    # Granted in Redis: a place with the deployment, and one of the caller's.
    $redis->pause;
    is(each_ask('allow=late', 1, model => 'only'), '529', 'refused by the rule of a deployment');
    $redis->resume;
    $each->wait_for(sub { $each->get('/health/readiness')->{json}{status} eq 'ready' }, 10, 'ready');
    my %left;
    $each->wait_for(sub {
        my $counters = $redis->counters('each:');
        %left = map { /^deployment:requests.*only|:late\z/ ? ($_ => $counters->{$_}{counted}) : () }
            keys %$counters;
        keys %left == 2 && !grep { $_ } values %left;
    }, 5, 'both');
    is_deeply([values %left], [0, 0], 'neither is taken') or diag(explain(\%left));
};

# It answers all that it is asked, each time after more than the time-out.
subtest 'a Redis that is too slow' => sub {
    my $proxy = LLM::RedisProxy->new($redis);
    my $slow = $t{slow} = LLM::Test->new(workers => 2);
    my $timeout = LLM::Port::slow(0.3);
    $slow->http_conf("llm_redis ${\$proxy->url} prefix=slow: timeout=${\int(1000 * $timeout)}ms lease=10m
            on_outage=deny;
        llm_provider mock { } llm_model m { deployment mock/x reply=hi; }
        server {
            listen 127.0.0.1:%%PORT%% reuseport;
            add_header x-worker \$pid always;
            location / { llm_limit \$arg_key rpm=1000000; llm_pass models; }
        }");
    $slow->start;
    my $is_state = sub {
        my ($state, $name) = @_;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        return ok($slow->wait_for_workers('/health/readiness', sub { $_[0]{json}{status} eq $state }, 10,
            $state), $name);
    };
    my $errors = sub { scalar(() = $slow->log_text =~ /llm: redis \S+ is away/g) };
    $is_state->('ready', 'all workers are ready');
    is(ask($slow, 'a')->{status}, 200, 'served');

    for my $round ('those that ask are told', 'those that nobody asks as well') {
        my ($wrong, $ready) = (0, 0);
        my $is_first = $round =~ /told/;
        my $before = $errors->();
        $proxy->delay(2.5 * $timeout);
        $is_state->('degraded', "$round: the page says so") unless $is_first;
        my (%waits, %has_refused);
        my $end = time + 5;
        while (time < $end) {
            my $began = time;
            my $r = ask($slow, 'a');
            my $worker = $r->{headers}{'x-worker'};
            $waits{$worker}++ if time - $began > 0.6 * $timeout;
            $wrong++ if $r->{status} != 529;
            $has_refused{$worker} = 1;
            my $page = $slow->get('/health/readiness');
            $ready++ if $has_refused{$page->{headers}{'x-worker'}} && $page->{json}{status} ne 'degraded';
        }
        is($wrong, 0, "$round: all are refused");
        my $most = $is_first ? 1 : 0;
        is(scalar(grep { $_ > $most } values %waits), 0, "$round: so many of each worker wait: $most")
            or diag(explain(\%waits));
        is($ready, 0, "$round: the page says what requests meet");
        cmp_ok($errors->() - $before, '<=', 2, "$round: the log says it once for each worker");
        $proxy->delay(0);
        $is_state->('ready', "$round: fast again, all are ready");
        is(ask($slow, 'a')->{status}, 200, "$round: served") for 1 .. 4;
    }
};

for my $t (values %t) {
    $t->stop;
    $t->cleanup;
}
$redis->stop;

done_testing();
