# /explain: what would be done with a request, and nobody is asked. The answer names the deployments
# in their order, with the very request that each would get.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Provider;

my $t = LLM::Test->new(workers => 1);
my $chat = LLM::Provider->new(dir => $t->dir);
my $base = 'http://127.0.0.1:' . $chat->port;
$t->http_conf(<<"END");
    llm_provider chat { preset openai; base_url $base/v1; api_key sk-provider-secret; }
    llm_provider claude { preset anthropic; base_url $base/v1; api_key sk-provider-secret; }
    llm_provider mock { }
    llm_model m {
        deployment claude/claude-x order=2;
        deployment chat/gpt-x order=1 rpm=100;
        alias also;
        drop_params on;
        fallbacks other forbidden;
    }
    llm_model other { deployment mock/other; context_window_fallbacks m; }
    llm_model forbidden { deployment mock/forbidden; }
    llm_model only-claude { deployment claude/claude-x; }
    llm_master_key sk-master;
    llm_team core { models m other only-claude; }
    llm_key sk-mine { alias mine; team core; rpm 60; max_budget 10/30d; max_parallel_requests 4; }
    llm_key sk-blocked { alias blocked; team core; blocked on; }
    llm_num_retries 3;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
$t->start;

sub ask {
    my ($query, $body, %o) = @_;
    my $r = $t->post("/admin/explain$query", $body,
        headers => { Authorization => 'Bearer ' . ($o{key} || 'sk-master') });
    is($r->{status}, $o{status} || 200, 'status') or diag($r->{body});
    unlike($r->{body}, qr/provider-secret/, 'no credential of a provider');
    return decode_json($r->{body});
}

my %request = (model => 'also', max_completion_tokens => 50, logit_bias => { 1 => 2 },
    messages => [{ role => 'user', content => 'hello' }]);

subtest 'of the master' => sub {
    my $said = ask('', \%request);
    is($said->{key}{alias}, 'master');
    is($said->{model}, 'also', 'as asked');
    is($said->{dialect}, 'openai');
    is($said->{stream}, JSON::PP::false);
    is($said->{num_retries}, 3);
    is(join(' ', map { $_->{id} } @{ $said->{deployments} }), 'chat/gpt-x claude/claude-x',
        'in the order of their turns');
    my ($first, $second) = @{ $said->{deployments} };
    like($first->{url}, qr{\APOST http://127\.0\.0\.1:\d+/v1/chat/completions\z}, 'where to');
    is($first->{state}, 'open');
    is_deeply($first->{request}, { %request, model => 'gpt-x' }, 'the same dialect: one edit');
    like($second->{url}, qr{\APOST http://127\.0\.0\.1:\d+/v1/messages\z}, 'where to');
    is($second->{request}{model}, 'claude-x', 'translated');
    is($second->{request}{max_tokens}, 50);
    is_deeply($second->{dropped_params}, ['logit_bias'], 'what is dropped is named');
    is_deeply($said->{fallbacks}, [
        { model => 'other', on => 'failure', allowed => JSON::PP::true },
        { model => 'forbidden', on => 'failure', allowed => JSON::PP::true }], 'fallbacks');
    is_deeply([map { $_->{scope} } @{ $said->{limits} }], ['deployment'], 'the master has no limits');
};

subtest 'of a key, another dialect, a stream' => sub {
    my $said = ask('?path=/v1/messages&key=mine', { model => 'm', max_tokens => 9, stream => \1,
        messages => [{ role => 'user', content => 'hello' }] });
    is($said->{key}{alias}, 'mine');
    is($said->{key}{team_id}, 'core');
    is($said->{dialect}, 'anthropic');
    is($said->{stream}, JSON::PP::true);
    is($said->{deployments}[0]{request}{max_completion_tokens}, 9, 'translated to chat');
    is($said->{fallbacks}[1]{allowed}, JSON::PP::false, 'fallbacks do not widen what a key may');
    my %limit = map { ("$_->{scope} $_->{what}" => $_) } @{ $said->{limits} };
    is($limit{'key requests'}{limit}, 60);
    is($limit{'key requests'}{used}, 0, 'asking counts nothing');
    is($limit{'key parallel requests'}{limit}, 4);
    is($limit{'key budget'}{limit}, 10, 'dollars');
    is($limit{'deployment requests'}{limit}, 100);
    is($limit{'deployment requests'}{deployment}, 'chat/gpt-x');
};

subtest 'what is used shows' => sub {
    $t->post('/v1/chat/completions', { model => 'other',
        messages => [{ role => 'user', content => 'x' }] }, headers => { 'x-api-key' => 'sk-mine' });
    my $said = ask('?key=mine', \%request);
    my ($rpm) = grep { $_->{scope} eq 'key' && $_->{what} eq 'requests' } @{ $said->{limits} };
    is($rpm->{used}, 1);
    $said = ask('?key=mine', \%request);
    ($rpm) = grep { $_->{scope} eq 'key' && $_->{what} eq 'requests' } @{ $said->{limits} };
    is($rpm->{used}, 1, 'and asking did not change it');
};

subtest 'a provider that cannot be asked says why' => sub {
    my $said = ask('?path=/v1/chat/completions',
        { model => 'only-claude', n => 3, messages => [{ role => 'user', content => 'x' }] });
    is($said->{deployments}[0]{request}, undef, 'no request');
    like($said->{deployments}[0]{error}{message}, qr/\S/, 'a reason');
    is($said->{deployments}[0]{error}{param}, 'n', 'the parameter');
};

subtest 'refusals are those that the request would meet' => sub {
    my $said = ask('', { %request, model => 'nobody' }, status => 404);
    is($said->{error}{code}, 'model_not_found');
    $said = ask('?path=/v1/messages&key=mine', { model => 'forbidden', max_tokens => 1,
        messages => [{ role => 'user', content => 'x' }] }, status => 403);
    is($said->{error}{type}, 'permission_error', 'in the dialect of the path');
    ask('?key=blocked', \%request, status => 403);
    ask('?key=nobody', \%request, status => 404);
    ask('?path=/v1/models', \%request, status => 400);
    ask('?path=/nowhere', \%request, status => 400);
    ask('', \%request, key => 'sk-mine', status => 403);
};

is($chat->request_count, 0, 'nobody was asked');

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $g = LLM::Test->new(workers => 2);
    $g->http_conf($store->conf . <<'END');
    llm_provider mock { }
    llm_model m { deployment mock/m input_cost=1e-3 rpm=50; }
    llm_master_key sk-master;
    llm_key sk-mine { alias mine; rpm 60; tpm 100000; max_budget 10; max_budget 5/1d;
        max_parallel_requests 4; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
    $g->start;
    my %asked = (model => 'm', max_tokens => 10, messages => [{ role => 'user', content => 'x' }]);
    my $used = sub {
        my ($key) = @_;
        my $r = $g->post("/admin/explain?$key", \%asked,
            headers => { Authorization => 'Bearer sk-master' });
        return join ' ', map { "$_->{what}=" . ($_->{used} // 'null') }
            @{ decode_json($r->{body})->{limits} };
    };
    is($used->('key=mine'), 'requests=0 tokens=0 parallel requests=0 budget=0 budget=0 requests=0',
        'at first');
    my $answer = $g->post('/v1/chat/completions', \%asked, headers => { 'x-api-key' => 'sk-mine' });
    my ($cost, $tokens) = ($answer->{headers}{'x-llm-cost'}, $answer->{json}{usage}{total_tokens});
    cmp_ok($cost, '>', 0, 'it cost something');
    $store->wait_settled;
    is($used->('key=mine'), "requests=1 tokens=$tokens parallel requests=0"
        . " budget=$cost budget=$cost requests=1", 'all limits, as they are counted');
    is($used->(''), 'requests=1', 'the master has those of the deployment');
    if ($store->name eq 'redis') {
        $store->{redis}->stop;
        my $said;
        $g->wait_for(sub { ($said = $used->('')) =~ /null/ }, 10, 'Redis is missed');
        is($said, 'requests=null', 'nobody knows then');
        $store->{redis} = LLM::Redis->new;
    }
    $g->done;
});
$t->done;
