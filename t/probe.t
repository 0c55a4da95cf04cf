# probe: deployments are asked although no client asks. One worker of all sends each probe; what comes
# of it cools a deployment, or opens it early, as a request would have done. No request waits for it
# and no key pays.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Metrics;
use LLM::Pair;
use LLM::Port qw(nap slow);
use LLM::Provider;

my $t = LLM::Test->new(workers => 3);
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = LLM::Forms::providers();
my $url = $p->url;
my $account = $t->dir . '/account';
system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $account.pem 2>/dev/null") == 0
    or die 'openssl';
open my $file, '>', "$account.json" or die "$account.json: $!";
print $file JSON::PP->new->encode({ type => 'service_account', client_email => 'gate@p.example',
    private_key => $t->slurp("$account.pem"), token_uri => "$url/token" });
close $file;

# Each subtest has its models, which are probed from the start.
$p->script(json(503, {}));
my $models = join '', map { "llm_model every-$_ { probe 1s; deployment $_/"
    . LLM::Forms::provider($_)->{deployment} . " id=e-$_; }\n" } @kinds;
$models .= <<"END";
    llm_provider keys { dialect openai; base_url $url/v1; api_key good-key; api_key dead-key;
        param user "\\"the-gateway\\""; header x-team red; header x-of-client \$http_x_of_client; }
    llm_provider urls { dialect openai; base_url http://127.0.0.1:1/v1; base_url $url/v1; api_key k; }
    llm_model outage { probe 1s; cooldown_time 60s;
        deployment chat/outage id=o1 order=1; deployment chat/spare id=o2 order=2; }
    llm_model hung { probe 1s timeout=300ms; cooldown_time 60s;
        deployment chat/hung id=h1 order=1; deployment chat/spare id=h2 order=2; }
    llm_model stated { probe 1s; cooldown_time 1s;
        deployment chat/stated id=s1 order=1; deployment chat/spare id=s2 order=2; }
    llm_model asked { probe 1s; cooldown_time 60s;
        deployment chat/asked id=a1 order=1; deployment chat/spare id=a2 order=2; }
    llm_model mistaken { probe 1s; cooldown_time 60s;
        deployment chat/mistaken id=x1 order=1; deployment chat/spare id=x2 order=2; }
    llm_model keyed { probe 1s; cooldown_time 60s;
        deployment keys/keyed id=k1 order=1; deployment chat/spare id=k2 order=2; }
    llm_model moved { probe 1s; cooldown_time 60s;
        deployment urls/moved id=u1 order=1; deployment chat/spare id=u2 order=2; }
    llm_model listed { probe 1s models; cooldown_time 60s;
        deployment messages/listed id=l1 order=1; deployment chat/spare id=l2 order=2; }
    llm_model alone { probe 1s; cooldown_time 60s; deployment chat/alone id=alone; }
    llm_model steady { probe 1s; deployment chat/steady id=steady; }
    llm_model never { probe 1s; cooldown_time 0;
        deployment chat/never id=n1 order=1; deployment chat/spare id=n2 order=2; }
    llm_model played { probe 1s; cooldown_time 60s; deployment mock/down id=p1 order=1 status=503;
        deployment mock/up id=p2 order=2; }
    llm_provider mock { }
    llm_provider cloud { preset vertex-anthropic; region europe-west1; project p-1;
        base_url "$url/v1/projects/{project}/locations/{region}/publishers/anthropic";
        service_account file:$account.json; }
    llm_model tokened { probe 1s; deployment cloud/claude-x id=v1; }
END
my $chat = LLM::Pair->new('chat', 'chat');
my $good = json(200, $chat->answer(text => 'fine'));
my $down = json(503, {});
my %answer = map { $_ => $good } qw(outage hung stated asked mistaken moved listed alone steady
    never spare);

sub set {
    my ($name, @answers) = @_;
    $p->on({ body => qr/"model":"$name"/ }, @answers);
    return;
}

sub asked  { my ($name) = @_; return grep { ($_->{json}{model} // '') eq $name } $p->requests }
sub probed { my ($name) = @_; return grep { $_->{json}{messages}[0]{content} ne 'hi' } asked($name) }
sub ask    { return $chat->post($t, model => $_[0], messages => [{ role => 'user',
    content => 'hi' }]) }

sub counted {
    my ($id, $error) = @_;
    return LLM::Metrics->get($t)->value('llm_probes_total', deployment => $id,
        error_type => $error // '') // 0;
}

# That many further probes ended like this.
sub wait_probes {
    my ($id, $n, $error) = @_;
    my $before = counted($id, $error);
    return $t->wait_for(sub { counted($id, $error) >= $before + $n }, slow(4 + 2 * $n),
        "$n probes of $id: " . ($error || 'well'));
}

sub state_of { return LLM::Metrics->get($t)->value('llm_deployment_state', deployment => $_[0]) }

for my $kind (@kinds) {
    my $pair = LLM::Pair->new('chat', $kind);
    my $name = LLM::Forms::provider($kind)->{deployment};
    my ($word) = $name =~ /([\w.-]+)/;
    $p->on({ line => qr/\Q$word\E.*(?:generateContent|converse)/ }, $pair->whole(text => 'yes'))
        if $kind eq 'gemini' || $kind eq 'bedrock';
    $p->on({ line => qr/\Q$word\E.*invoke/ }, $pair->whole(text => 'yes'))
        if $kind eq 'bedrock-invoke';
    $p->on({ head => qr/sk-of-$kind/, body => qr/"model":"\Q$name\E"/ }, $pair->whole(text => 'yes'))
        if $kind =~ /chat|messages|responses/;
    $p->on({ line => qr{/v2/chat} }, $pair->whole(text => 'yes')) if $kind eq 'cohere';
    $p->on({ line => qr{/api/chat} }, $pair->whole(text => 'yes')) if $kind eq 'ollama';
}
set($_, $answer{$_}) for keys %answer;
$p->on({ head => qr/good-key/ }, $good);
$p->on({ head => qr/dead-key/ }, json(401, {}));
$p->on('POST /token' => json(200, { access_token => 'ya29.t', expires_in => 3600 }));
$p->on({ line => qr/rawPredict/, head => qr/Bearer ya29.t/ }, json(200, messages_answer(text => 'y')));
$p->on('GET /v1/models' => json(200, { data => [] }));
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => $models,
    server => 'location = /metrics { llm_metrics; }',
    http => 'llm_first_token_timeout 5s;'));
$t->start;

subtest 'a probe is a small request of every dialect' => sub {
    for my $kind (@kinds) {
        ok(wait_probes("e-$kind", 1), $kind);
        is(counted("e-$kind", $_), 0, "$kind: no $_") for qw(upstream_protocol invalid_request);
    }
    my ($q) = asked('gpt-4o');
    ok($q, 'chat is asked') or return;
    is_deeply([map { $_->{role} } @{$q->{json}{messages}}], ['user'], 'one turn');
    ok(!$q->{json}{stream}, 'no stream');
    is($q->{json}{max_tokens} // $q->{json}{max_completion_tokens}, 1, 'one token');
    is($q->{headers}{authorization}, 'Bearer sk-of-chat', 'with its key');
    my ($r) = grep { $_->{path} =~ /responses/ } $p->requests;
    is_deeply($r->{json}{store}, JSON::PP::false(), 'responses: its provider keeps nothing');
    my ($aws) = grep { $_->{path} =~ /converse/ } $p->requests;
    like($aws->{headers}{authorization}, qr/\AAWS4-HMAC-SHA256 Credential=/, 'Amazon: signed');
};

subtest 'once in its interval, by one worker of all' => sub {
    $p->clear;
    ok(wait_probes('steady', 3), 'three of them');
    my @at = map { $_->{at} } asked('steady');
    cmp_ok($at[$_] - $at[$_ - 1], '>=', 0.7, 'not before its time') for 1 .. $#at;
    my $pid = $t->kill_worker('KILL');
    $t->expect_log(qr/exited on signal 9/);
    $p->clear;
    ok(wait_probes('steady', 2), 'a worker was killed: the others go on');
    @at = map { $_->{at} } asked('steady');
    cmp_ok($at[$_] - $at[$_ - 1], '>=', 0.7, 'not before its time') for 1 .. $#at;
};

subtest 'over a reload with a stream under way, which keeps the old workers' => sub {
    set('held', sse($chat->events(text => ['one', 'two']), wait_for_release => 1));
    my $s = $t->stream($chat->path, $chat->question(stream => JSON::PP::true(),
        model => 'chat/held'));
    ok($p->wait_held(1), 'a stream is under way');
    $p->clear;
    ok($t->reload, 'reload');
    ok(wait_probes('steady', 3), 'they go on');
    my @at = map { $_->{at} } asked('steady');
    cmp_ok($at[$_] - $at[$_ - 1], '>=', 0.7, 'not before its time') for 1 .. $#at;
    $p->release;
    $s->all_events;
};

subtest 'one that is down is found before a request finds it, and its recovery, too' => sub {
    set('outage', $down);
    ok(wait_probes('o1', 1, 'overloaded'), 'a probe found out');
    ok($t->wait_for(sub { state_of('o1') == 0 }, 1, 'put aside'), 'it is put aside');
    $p->clear;
    my $r = ask('outage');
    is("$r->{status} $r->{headers}{'x-llm-deployment'} $r->{headers}{'x-llm-attempts'}", '200 o2 1',
        'requests go elsewhere at once');
    ok(wait_probes('o1', 2, 'overloaded'), 'it is probed on');
    $t->log_like(qr/deployment o1 failed its probe, overloaded \(status 503\)/, 'the log says why');
    is(() = $t->log_text =~ /o1 failed its probe/g, 1, 'the log says it once');
    is(ask('outage')->{headers}{'x-llm-attempts'}, 1, 'no request is needed to find out');
    set('outage', $good);
    ok($t->wait_for(sub { state_of('o1') == 1 }, slow(3), 'open'),
        'opened within an interval, long before the end of its cool-down');
    is(ask('outage')->{headers}{'x-llm-deployment'}, 'o1', 'and used again');
    $t->log_like(qr/deployment o1 answers its probe again/, 'the log says so');
};

subtest 'one that hangs: two probes in a row' => sub {
    set('hung', 'silent');
    ok(wait_probes('h1', 2, 'timeout'), 'two of them');
    ok($t->wait_for(sub { state_of('h1') == 0 }, 1, 'aside'), 'it is put aside');
    is(ask('hung')->{headers}{'x-llm-deployment'}, 'h2', 'requests go elsewhere');
    set('hung', $good);
    ok($t->wait_for(sub { state_of('h1') == 1 }, slow(3), 'open'), 'and it is back');
};

subtest 'one failure of a kind that may be chance cools nobody' => sub {
    set('hung', json(500, {}), $good);
    ok(wait_probes('h1', 1, 'upstream'), 'it failed once');
    ok(wait_probes('h1', 1), 'then not');
    is(state_of('h1'), 1, 'it takes requests');
    is(counted('h1', 'upstream'), 1, 'one failure');
};

subtest 'case 29: not before the time that its provider stated' => sub {
    set('stated', json(429, {}, headers => { 'Retry-After' => 4 }));
    is(ask('stated')->{headers}{'x-llm-deployment'}, 's2', 'answered elsewhere');
    set('stated', $good);
    my ($last) = (asked('stated'))[-1];
    ok($t->wait_for(sub { state_of('s1') == 1 }, slow(8), 'open'), 'it is open again');
    my $next;
    ok($t->wait_for(sub { ($next) = grep { $_->{at} > $last->{at} } asked('stated') }, slow(3),
        'asked'), 'it is asked again');
    cmp_ok($next->{at} - $last->{at}, '>=', 3.95, 'nobody asked before');
};

subtest 'what a request found out, a probe ends' => sub {
    set('asked', $down, $good);
    my $r;
    $t->wait_for(sub { $r = ask('asked'); $r->{headers}{'x-llm-deployment'} eq 'a2' || !asked('asked') }, 2,
        'the failure is found by whoever comes first');
    ok($t->wait_for(sub { ask('asked')->{headers}{'x-llm-deployment'} eq 'a1' }, slow(4), 'back'),
        'used again long before 60 s');
};

subtest 'who finds fault with the question is there' => sub {
    set('mistaken', json(400, $chat->error_body('invalid_request_error', 'No.')));
    ok(wait_probes('x1', 3, 'invalid_request'), 'three of them');
    is(state_of('x1'), 1, 'it takes requests');
};

subtest 'keys, headers and members of the configuration' => sub {
    ok(wait_probes('k1', 2), 'the next key is tried at once');
    is(counted('k1', 'authentication'), 0, 'that was no failure');
    my @q = asked('keyed');
    ok((grep { $_->{headers}{authorization} =~ /dead-key/ } @q) <= 1, 'the refused one is parked')
        or diag scalar @q;
    is($q[0]{json}{user}, 'the-gateway', 'param');
    is($q[0]{headers}{'x-team'}, 'red', 'header');
    ok(!exists $q[0]{headers}{'x-of-client'}, 'not one of a client');
    $p->on({ head => qr/good-key/ }, json(401, {}));
    ok(wait_probes('k1', 1, 'authentication'), 'all keys refused');
    ok($t->wait_for(sub { state_of('k1') == 0 }, 1, 'aside'), 'it is put aside');
};

subtest 'a token that has to be fetched first' => sub {
    ok(wait_probes('v1', 1), 'it asks with it');
    cmp_ok(scalar(grep { $_->{path} eq '/token' } $p->requests), '<=', 3, 'fetched once by a worker');
};

subtest 'several addresses' => sub {
    ok(wait_probes('u1', 2), 'the one that is there is found');
    is(counted('u1', 'upstream'), 0, 'no failure');
    is(state_of('u1'), 1, 'open');
    $t->log_unlike(qr/connect\(\) to 127.0.0.1:1 failed/, 'and the log is not filled');
};

subtest 'probe TIME models' => sub {
    ok(wait_probes('l1', 1), 'it asks');
    ok((grep { $_->{method} eq "GET" && $_->{path} =~ m{/models} } $p->requests), 'for the list')
       ;
    is(scalar(asked('listed')), 0, 'for no answer');
    $p->on('GET /v1/models' => json(404, {}));
    ok(wait_probes('l1', 2, 'not_found'), 'a provider without a list');
    is(state_of('l1'), 1, 'is not put aside for that');
    $p->on('GET /v1/models' => $down);
    ok(wait_probes('l1', 1, 'overloaded'), 'one that is down');
    ok($t->wait_for(sub { state_of('l1') == 0 }, 1, 'aside'), 'is');
};

subtest 'nothing else to ask, or cooling switched off: nothing changes' => sub {
    set('alone', $down);
    set('never', $down);
    ok(wait_probes('alone', 3, 'overloaded'), 'probes fail');
    is(state_of('alone'), 1, 'a lone deployment goes on');
    ok(wait_probes('n1', 1, 'overloaded'), 'probes fail');
    is(state_of('n1'), 1, 'cooldown_time 0');
};

subtest 'the mock rehearses it' => sub {
    is(state_of('p1'), 0, 'put aside');
    is(ask('played')->{headers}{'x-llm-deployment'}, 'p2', 'answered elsewhere');
};

subtest 'nobody pays' => sub {
    my $m = LLM::Metrics->get($t);
    is($m->sum('llm_requests_total', deployment => 'steady'), 0, 'it is no request');
    is($m->sum('llm_tokens_total', deployment => 'steady'), 0, 'nor its tokens');
    cmp_ok($m->value('llm_probe_tokens_total', deployment => 'steady'), '>', 0,
        'they are counted by themselves');
    is($m->value('llm_requests_in_flight'), 0, 'nothing is in flight');
    $t->log_unlike(qr/Say yes|sk-of-|good-key|dead-key|ya29/, 'no prompt, no key in the log');
};

$t->done;
