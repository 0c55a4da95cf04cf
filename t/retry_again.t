# A deployment that fails is asked again as failures.def says: as often as num_retries allows, after
# a pause, and only where it may help.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;
use Time::HiRes qw(time);
use LLM::Port qw(slow);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $dead = LLM::Provider->dead_port;

$t->http_conf(LLM::Pair::conf($p, http => 'llm_num_retries 2;', models => <<"END",
    llm_provider dead { base_url http://127.0.0.1:$dead; dialect openai; api_key k; }
    llm_model nobody-there { deployment dead/x; }
    llm_model slow-chat { deployment chat/x first_token_timeout=200ms; num_retries 5; }
    llm_model slow-messages { deployment messages/x first_token_timeout=200ms; num_retries 5; }
    llm_model never-again { deployment chat/x; num_retries 0; }
    llm_model pair-chat { deployment chat/one order=1; deployment chat/two order=2; }
END
    server => 'location /short/ { llm_pass models; llm_timeout 1s; }'));
$t->start;

my $lines = 0;

sub asks {
    my ($pair, $streams, %o) = @_;
    return $pair->post($t, %o, $streams ? (stream => JSON::PP::true()) : ());
}

sub good {
    my ($pair, $streams) = @_;
    return $streams ? sse($pair->events(text => 'anew'))
        : json(200, $pair->answer(text => 'anew'));
}

for my $pair (LLM::Pair->all) {
    for my $streams (1, 0) {
        my $how = $pair->{name} . ($streams ? ', stream' : ', whole');

        subtest "what passes, $how" => sub {
            for my $row (['500 once', 1, json(500, {})], ['503 twice', 2, json(503, {})],
                ['529 twice', 2, json(529, {})], ['429 twice', 2, json(429, {})],
                ['a reset', 1, accept_then_reset()], ['a cut', 1, json(200, { a => 1 },
                    cut_after => 3)])
            {
                my ($what, $count, $fault) = @$row;
                $p->clear->kick;
                $p->script(($fault) x $count, good($pair, $streams));
                my $r = asks($pair, $streams);
                is($r->{status}, 200, "$what: status") or diag $r->{body};
                like($r->{body}, qr/anew/, "$what: answered");
                is($r->{headers}{'x-llm-attempts'}, $count + 1, "$what: attempts");
            }
        };

        subtest "case 32: no more than retries + 1, spaced, $how" => sub {
            $p->clear;
            $p->script(json(503, $pair->error_body('overloaded_error', 'Busy.')));
            my $r = asks($pair, $streams);
            is($r->{status}, $pair->{client} eq 'chat' ? 503 : 529, 'the true status');
            my @seen = $p->requests;
            is(scalar @seen, 3, 'asked three times');
            cmp_ok($seen[1]{at} - $seen[0]{at}, '>=', 0.09, 'a pause');
            cmp_ok($seen[2]{at} - $seen[1]{at}, '>=', 0.19, 'a longer one');
        };

        subtest "500 is tried once more, $how" => sub {
            $p->clear;
            $p->script(json(500, {}));
            is(asks($pair, $streams)->{headers}{'x-llm-attempts'}, 2, 'attempts');
            is($p->request_count, 2, 'asked twice');
        };

        subtest "case 34: what does not pass, $how" => sub {
            for my $status (400, 401, 403, 404, 413, 422) {
                $p->clear;
                $p->script(json($status, $pair->error_body('an_error', 'No.')));
                cmp_ok(asks($pair, $streams)->{status}, '>=', 400, "$status: refused");
                is($p->request_count, 1, "$status: asked once");
            }
        };

        subtest "case 3: a silent one is not tried again, $how" => sub {
            $p->clear;
            $p->script('silent');
            my $r = asks($pair, $streams, model => "slow-$pair->{provider}");
            is($r->{status}, 504, 'status');
            is($p->request_count, 1, 'asked once');
        };
    }
}

subtest 'case 29: retry-after is waited for' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    $p->clear;
    $p->script([json(429, {}, headers => { 'Retry-After' => 1 }), good($pair, 0)]);
    my $r = asks($pair, 0);
    is($r->{status}, 200, 'answered');
    my @seen = $p->requests;
    my $waited = $seen[1]{at} - $seen[0]{at};
    cmp_ok($waited, '>=', 0.99, 'not before its time');
    cmp_ok($waited, '<=', 1 + slow(0.3), 'nor much later');
};

subtest 'case 29: another deployment is asked at once' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    $p->clear;
    $p->on({ body => qr/"model":"one"/ }, json(429, {}, headers => { 'Retry-After' => 30 }));
    $p->on({ body => qr/"model":"two"/ }, good($pair, 0));
    my $began = time;
    is(asks($pair, 0, model => 'pair-chat')->{status}, 200, 'answered');
    cmp_ok(time - $began, '<', slow(1), 'at once');
    $p->on({ body => qr/"model":"$_"/ }) for 'one', 'two';
};

subtest 'a wait that the call has no time for is told to the client' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    $p->clear;
    $p->script(json(429, {}, headers => { 'Retry-After' => 20 }));
    my $began = time;
    my $r = $t->post('/short' . $pair->path, $pair->question);
    is($r->{status}, 429, 'status');
    is($r->{headers}{'retry-after'}, 20, 'with the time');
    cmp_ok(time - $began, '<', slow(0.5), 'at once');
};

subtest 'a client that leaves during the pause is noticed' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    $p->clear;
    $p->script(json(429, {}, headers => { 'Retry-After' => 20 }));
    my $s = $pair->stream($t);
    ok($p->wait_requests(1), 'asked');
    ok($t->wait_for(sub { LLM::Pair::in_flight($t) == 1 }, 5, 'the request to be there'), 'waits');
    $s->close;
    ok(LLM::Pair::wait_idle($t), 'gone');
    is($p->request_count, 1, 'and not asked again');
};

subtest 'what the client wishes' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    my $count = sub {
        my ($more, %o) = @_;
        $p->clear;
        $p->script(json(503, {}));
        my $r = $t->post($pair->path, $pair->question(%$more), %o);
        is($r->{status}, 503, 'refused in the end');
        unlike($_->{body}, qr/num_retries|timeout/, 'nobody else is told') for $p->requests;
        ok($_->{json}, 'still JSON') for $p->requests;
        return $p->request_count;
    };
    is($count->({ num_retries => 0 }), 1, 'fewer, in the body');
    is($count->({ num_retries => 1, timeout => 30 }), 2, 'two members');
    is($count->({}, headers => { 'x-llm-num-retries' => 1 }), 2, 'in a header');
    is($count->({ model => 'never-again' }), 1, 'as the model says');
    is($count->({ model => 'never-again', num_retries => 1 }), 2, 'more than the model says');

    $p->clear;
    $p->script('silent');
    my $began = time;
    is($t->post($pair->path, $pair->question(timeout => 0.3))->{status}, 504, 'its time is over');
    cmp_ok(abs(time - $began - 0.3), '<', slow(0.1), 'after the time it named');
    for my $bad ([num_retries => 'x'], [num_retries => -1], [timeout => 0], [timeout => 'soon'],
        [fallbacks => 'a'], [fallbacks => [1]], [disable_fallbacks => 'yes'])
    {
        my $r = $t->post($pair->path, $pair->question(@$bad));
        is($r->{status}, 400, "$bad->[0] is checked");
        is($r->{json}{error}{param}, $bad->[0], 'by name');
    }
};

is(LLM::Pair->new('chat', 'chat')->post($t, model => 'nobody-there')->{headers}{'x-llm-attempts'}, 3,
    'a refused connection is tried again');
ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
