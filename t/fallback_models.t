# When all deployments of a model failed, another model answers: in its own dialect, as the lists
# say, and only where that may help.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

my $models = '';
for my $d (qw(chat messages)) {
    my $other = $d eq 'chat' ? 'messages' : 'chat';
    $models .= <<"END";
    llm_model a-$d {
        deployment $d/first-of-a order=1; deployment $d/second-of-a order=2;
        fallbacks b-$d; context_window_fallbacks large-$d; content_policy_fallbacks free-$d;
    }
    llm_model b-$d { deployment $other/of-b; fallbacks c-$d; }
    llm_model c-$d { deployment $d/of-c; alias see-$d; }
    llm_model large-$d { deployment $other/of-large; }
    llm_model free-$d { deployment $d/of-free; }
    llm_model plain-$d { deployment $d/of-plain; }
    llm_model w-$d/* { deployment $d/*; fallbacks c-$d; }
END
}
$t->http_conf(LLM::Pair::conf($p, models => $models, http => 'llm_default_fallbacks c-chat;',
    server => 'location /one/ { llm_pass models; llm_max_fallbacks 1; }
        location /none/ { llm_pass models; llm_max_fallbacks 0; }'));
$t->start;

my $lines = 0;

# Sets what models of the provider answer: name => answer. All others: 503.
sub models_answer {
    my (%answer) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"$_"/ }, $answer{$_} || json(503, {}))
        for qw(first-of-a second-of-a of-b of-c of-large of-free of-plain thing);
    return;
}

sub good {
    my ($dialect, $streams) = @_;
    my $pair = LLM::Pair->new('chat', $dialect);

    return $streams ? sse($pair->events(text => 'another'))
        : json(200, $pair->answer(text => 'another'));
}

sub asked { return join ' ', map { $_->{json}{model} } $p->requests }

for my $pair (LLM::Pair->all) {
    my $d = $pair->{provider};
    my $other = $d eq 'chat' ? 'messages' : 'chat';

    for my $streams (1, 0) {
        my $how = $pair->{name} . ($streams ? ', stream' : ', whole');
        my $ask = sub {
            my (%o) = @_;
            return $pair->post($t, model => "a-$d", %o,
                $streams ? (stream => JSON::PP::true()) : ());
        };

        subtest "case 36: chains across models and dialects, $how" => sub {
            models_answer('of-b' => good($other, $streams));
            my $r = $ask->();
            is($r->{status}, 200, 'answered') or diag $r->{body};
            is(asked(), 'first-of-a second-of-a of-b', 'in order');
            is($r->{headers}{'x-llm-fallbacks'}, 1, 'x-llm-fallbacks');
            is($r->{headers}{'x-llm-model'}, "a-$d", 'x-llm-model');
            like($r->{headers}{'x-llm-deployment'}, qr{/of-b}, 'x-llm-deployment');
            like($r->{body}, qr/another/, 'its text');

            models_answer('of-c' => good($d, $streams));
            $r = $ask->();
            is($r->{status}, 200, 'the fallback of the fallback');
            is(asked(), 'first-of-a second-of-a of-b of-c', 'in order');
            is($r->{headers}{'x-llm-fallbacks'}, 2, 'x-llm-fallbacks');
        };

        subtest "case 34: each kind of failure has its list, $how" => sub {
            my $of = LLM::Pair->new($pair->{client}, $d);
            models_answer('first-of-a' => $of->error('context_length', 'context length exceeded'),
                'of-large' => good($other, $streams));
            is($ask->()->{status}, 200, 'context length');
            is(asked(), 'first-of-a of-large', 'the model with the larger window');

            models_answer('first-of-a' => json(400, $pair->error_body('content_filter',
                'blocked by content_filter')), 'of-free' => good($d, $streams));
            is($ask->()->{status}, 200, 'content filter');
            is(asked(), 'first-of-a of-free', 'the model without one');

            models_answer('first-of-a' => json(400, $pair->error_body('invalid_request_error',
                'messages: too odd')));
            is($ask->()->{status}, 400, "a client's mistake");
            is(asked(), 'first-of-a', 'is for nobody else');

            models_answer('of-plain' => $of->error('context_length', 'context length exceeded'));
            is($ask->(model => "plain-$d")->{status}, 400, 'no list, no fallback');
            is(asked(), 'of-plain', 'also not the default one');
        };

        subtest "case 14: the client wants none, $how" => sub {
            models_answer();
            my $r = $ask->(disable_fallbacks => JSON::PP::true());
            cmp_ok($r->{status}, '>=', 500, 'the failure');
            is(asked(), 'first-of-a second-of-a', 'only the model itself');
            unlike($_->{body}, qr/disable_fallbacks/, 'the provider is not told') for $p->requests;
        };

        subtest "the client's own list, $how" => sub {
            models_answer('of-plain' => good($d, $streams));
            is($ask->(fallbacks => ["c-$d", { model => "plain-$d" }])->{status}, 200, 'in the body');
            is(asked(), 'first-of-a second-of-a of-c of-plain', 'in order');
            unlike($_->{body}, qr/fallbacks/, 'the provider is not told') for $p->requests;

            models_answer('of-plain' => good($d, $streams));
            is($ask->(http => { headers => { 'x-llm-fallbacks' => "nosuch, plain-$d" } })->{status},
                200, 'in a header');
            is(asked(), 'first-of-a second-of-a of-plain', 'one that does not exist is left out');
        };
    }
}

subtest 'how many' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    for my $row (['/one', 'first-of-a second-of-a of-b'], ['/none', 'first-of-a second-of-a']) {
        models_answer();
        cmp_ok($t->post($row->[0] . $pair->path, $pair->question(model => 'a-chat'))->{status},
            '>=', 500, 'refused');
        is(asked(), $row->[1], 'llm_max_fallbacks');
    }
};

subtest 'default fallbacks' => sub {
    my $pair = LLM::Pair->new('chat', 'chat');
    for my $model ('plain-chat', 'nobody-has-this-name') {
        models_answer('of-c' => good('chat', 0));
        is($pair->post($t, model => $model)->{status}, 200, "$model is answered");
        like(asked(), qr/of-c\z/, 'by the default fallback');
    }
    models_answer('of-c' => good('chat', 0));
    is($pair->post($t, model => 'w-chat/thing')->{status}, 200, 'a pattern has fallbacks, too');
    is(asked(), 'thing of-c', 'in order');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
