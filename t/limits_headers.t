# What the headers of an answer say is left: by llm_scope_headers of every limit of a caller, under
# LiteLLM's names. Of a whole answer that is what remains when it has been counted; a stream's headers
# go first, so its reservation is in them.

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
    my %usage = (usage => { prompt_tokens => 10, completion_tokens => 20 });
    $p->script($pair->whole(text => 'hi', %usage));
    my $post = sub {
        my ($prefix, %o) = @_;
        my $r = $t->post($prefix . $pair->path(0),
            $pair->question(model => 'some/model', max_tokens => 5000, %o),
            headers => { Authorization => "Bearer $key" });
        $store->wait_settled;
        return $r;
    };
    my $ask = sub {
        my $r = $post->(@_);
        return { map { $_ => $r->{headers}{$_} }
            grep { /^x-(?:ratelimit-(?!limit|remaining|reset)|litellm)/ } keys %{$r->{headers}} };
    };
    for my $round (1, 2) {
        my $h = $ask->('');
        is_deeply($h, {
            'x-ratelimit-api_key-remaining-tokens' => 10_000 - 30 * $round,
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

    my $left = sub { my ($r) = @_; return $r->{headers}{'x-ratelimit-remaining-tokens'} };
    my $r = $post->('/quiet');
    is($left->($r), 10_000 - 30 * 4, 'a whole answer: what it reserved and did not use is left');
    is($r->{headers}{'x-ratelimit-reset-tokens'}, '1m0s', 'and what it used has just been counted');
    $p->script(sse($pair->events(text => 'one two', %usage)));
    $r = $post->('/quiet', stream => JSON::PP::true());
    is($r->{status}, 200, 'a stream');
    cmp_ok($left->($r), '<', 10_000 - 30 * 4 - 4999, 'its reservation is counted');
    $p->script($pair->error('invalid_request', 'no'));
    $r = $post->('/quiet');
    is($r->{status}, 400, 'an answer of the provider that is none');
    is($left->($r), 10_000 - 30 * 5, 'has used nothing, the stream what it was');
    $r = $post->('/quiet', model => 'nobody');
    isnt($r->{status}, 200, 'one that is refused takes nothing');
    $p->script($pair->whole(text => 'hi', %usage));
    is($left->($post->('/quiet')), 10_000 - 30 * 6, 'all of that counted as it should');
    $t->done;
});
done_testing();
