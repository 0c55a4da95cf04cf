# Answers that a provider keeps belong to the key that asked for them: to every other key they do not
# exist. The master key may read all. Case 49.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider one { preset openai; base_url $url/v1; api_key sk-one; }
    llm_provider open { preset openai; base_url $url/open/v1; api_key \$http_x_own; }
    llm_model gpt { deployment one/gpt-5; }
    llm_model own { deployment open/gpt-5; }
    llm_model other { deployment one/gpt-5-mini id=other; }
    llm_master_key sk-master;
    llm_key sk-a { alias a; models gpt own; }
    llm_key sk-b { alias b; models gpt own other; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

my $pair = LLM::Pair->new('responses', 'responses');
$p->script(json(200, { %{$pair->answer(text => 'Well')}, id => 'resp_abc' }));

sub key { return (headers => [Authorization => "Bearer sk-$_[0]"]) }

my %ask = (model => 'gpt', input => 'hi');
my %name;
for my $model (qw(gpt own)) {
    for my $key (qw(a b master)) {
        my $r = $t->post('/v1/responses', { %ask, model => $model }, key($key));
        is($r->{status}, 200, "$key asks $model") or diag($r->{body});
        $name{"$model-$key"} = $r->{json}{id};
    }
    isnt($name{"$model-a"}, $name{"$model-b"}, "$model: each key has a name of its own");

    my $before = $p->request_count;
    for my $who (qw(a b)) {
        my $whose = $who eq 'a' ? 'b' : 'a';
        my $name = $name{"$model-$whose"};
        for my $o (['GET', ''], ['DELETE', ''], ['POST', '/cancel'], ['GET', '/input_items']) {
            my $r = $t->request($o->[0], "/v1/responses/$name$o->[1]", key($who));
            is($r->{status}, 404, "$model, $o->[0] $o->[1]: $who cannot see what is ${whose}'s");
        }
        my $r = $t->post('/v1/responses', { %ask, model => $model, previous_response_id => $name },
            key($who));
        is("$r->{status} $r->{json}{error}{code}", '400 previous_response_not_found',
            "$model: nor go on from it");
        $r = $t->post('/v1/responses', { %ask, model => $model, previous_response_id => 'resp_abc' },
            key($who));
        is($r->{status}, 400, "$model: nor with the provider's own name");
    }
    is($p->request_count, $before, 'nobody was asked');
    for my $who (qw(a b)) {
        my $r = $t->get("/v1/responses/" . $name{"$model-$who"}, key($who));
        is("$r->{status} $r->{json}{id}", '200 ' . $name{"$model-$who"}, "$model: $who sees its own");
        is($t->get("/v1/responses/" . $name{"$model-$who"}, key('master'))->{status}, 200,
            'and so does the master key');
        is($t->get("/v1/responses/" . $name{"$model-$who"})->{status}, 401, 'but nobody without key');
    }
}
my $r = $t->post('/v1/responses', { %ask, model => 'other' }, key('b'));
like($r->{json}{id}, qr/\Aresp_gw1_/, 'a model that only b may use');
$r = $t->post('/v1/responses', { %ask, previous_response_id => $r->{json}{id} }, key('b'));
is($r->{status}, 200, 'is of the same provider');

is($t->get('/health/readiness', key('master'))->{json}{in_flight}, 0, 'nothing is in flight');
$t->done;
