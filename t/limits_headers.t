# llm_scope_headers: what is left of every limit of a caller, under LiteLLM's names.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);
    my $key = 'sk-test-of-headers-0123456789';

    $t->http_conf($store->conf . "
        llm_team crew { rpm 100; max_budget 5; }
        llm_key $key { team crew; rpm 10; tpm 10000; max_parallel_requests 4;
            model_rpm some/model 7; }" . LLM::Pair::conf($p,
        models => 'llm_model some/model { deployment chat/x rpm=50; }',
        location => 'llm_scope_headers on;', server => 'location /quiet/ { llm_pass models; }'));
    $t->start;
    my $pair = LLM::Pair->new('chat', 'chat');
    $p->script($pair->whole(text => 'hi'));
    my $ask = sub {
        my ($prefix) = @_;
        my $r = $t->post($prefix . $pair->path(0),
            $pair->question(model => 'some/model', max_tokens => 100),
            headers => { Authorization => "Bearer $key" });
        return { map { $_ => $r->{headers}{$_} }
            grep { /^x-(?:ratelimit-(?!limit|remaining|reset)|litellm)/ } keys %{$r->{headers}} };
    };
    for my $round (1, 2) {
        my $h = $ask->('');
        my $tokens = delete $h->{'x-ratelimit-api_key-remaining-tokens'};
        cmp_ok($tokens, '<', 10_000, "round $round: tokens are reserved");
        cmp_ok($tokens, '>', 9000, 'so many');
        is_deeply($h, {
            'x-ratelimit-api_key-limit-requests' => 10,
            'x-ratelimit-api_key-remaining-requests' => 10 - $round,
            'x-ratelimit-api_key-limit-tokens' => 10_000,
            'x-ratelimit-api_key-limit-max_parallel_requests' => 4,
            'x-ratelimit-api_key-remaining-max_parallel_requests' => 3,
            'x-ratelimit-team-limit-requests' => 100,
            'x-ratelimit-team-remaining-requests' => 100 - $round,
            'x-litellm-key-remaining-requests-some-model' => 7 - $round,
        }, 'all scopes, each once, no budgets and no deployments');
    }
    is_deeply($ask->('/quiet'), {}, 'not where nobody asked for them');
    $t->done;
});
done_testing();
