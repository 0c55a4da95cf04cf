# The limits that a key has for a model hold for it as a fallback, too: a request that goes on to it
# counts there, once, and is not let in where the limit is reached.

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
    my %key = map { $_ => "sk-test-of-$_-0123456789" } qw(rpm tries tpm full both);

    $t->http_conf($store->conf . "
        llm_key $key{rpm} { model_rpm b 2; }
        llm_key $key{tries} { model_rpm twice 2; }
        llm_key $key{tpm} { model_tpm b 1000; }
        llm_key $key{full} { model_rpm b 1; }
        llm_key $key{both} { model_rpm w/* 3; }" . LLM::Pair::conf($p, models => '
        llm_model a { deployment chat/of-a; fallbacks b; }
        llm_model b { deployment chat/of-b id=of-b; }
        llm_model c { deployment chat/of-c id=of-c; }
        llm_model bad { deployment chat/of-a; fallbacks twice; }
        llm_model twice { deployment chat/of-a id=t1 order=1; deployment chat/of-b id=t2 order=2; }
        llm_model small { deployment chat/of-b rpm=1 id=small; fallbacks b c; }
        llm_model w/a { deployment chat/of-a; fallbacks w/b; }
        llm_model w/b { deployment chat/of-b; }
        llm_num_retries 0; llm_allowed_fails 1000;'));
    $t->start;
    my $pair = LLM::Pair->new('chat', 'chat');
    $p->on({ body => qr/"model":"of-a"/ }, json(503, {}));
    $p->on({ body => qr/"model":"of-[bc]"/ },
        json(200, $pair->answer(text => 'hi', usage => { prompt_tokens => 10, completion_tokens => 590 })));
    my $ask = sub {
        my ($key, $model) = @_;
        return $pair->post($t, model => $model, max_tokens => 10,
            http => { headers => { Authorization => "Bearer $key{$key}" } });
    };
    my $statuses = sub {
        my ($key, $model, $times) = @_;
        return join ' ', map { $ask->($key, $model)->{status} } 1 .. $times;
    };

    is($statuses->('rpm', 'a', 3), '200 200 429', 'two go on to b, the third is refused');
    my $r = $ask->('rpm', 'b');
    is($r->{status}, 429, 'b itself is refused');
    like($r->{json}{error}{message}, qr/limit of key for model b is reached: 2 requests/, 'by that limit');
    is($ask->('rpm', 'c')->{status}, 200, 'c is not');

    is($statuses->('tries', 'bad', 3), '200 200 429', 'two attempts at it count as one request');
    is($statuses->('tpm', 'a', 3), '200 200 429', 'its tokens count there');
    is($statuses->('both', 'w/a', 4), '200 200 200 429', 'a row that means both counts one request');

    my @served = map { $ask->('full', 'small')->{headers}{'x-llm-deployment'} // 'none' } 1 .. 3;
    is("@served", 'small of-b of-c', 'without room: the fallback, then the next one');
    $t->done;
});
done_testing();
