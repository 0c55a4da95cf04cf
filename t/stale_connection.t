# Case 35: a kept connection that the provider has given up in the meantime is no failure of the
# provider: the request is sent again on a new one, once, and nobody notices.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $plain = LLM::Provider->new(dir => $t->dir);
my $secure = LLM::Provider->new(dir => $t->dir, tls => 1);
my $q = LLM::Provider->new(dir => $t->dir);

my %dialect = (chat => 'openai', messages => 'anthropic');
my $models = '';
for my $d (sort keys %dialect) {
    $models .= <<"END";
    llm_provider secure-$d {
        dialect $dialect{$d}; base_url ${\$secure->url}/v1; api_key k; ssl_name localhost;
        ssl_trusted_certificate ${\$secure->ca->file};
    }
    llm_provider second-$d { dialect $dialect{$d}; base_url ${\$q->url}/v1; api_key k; }
    llm_model secure-$d { deployment secure-$d/some-model-name; }
    llm_model plain-$d { deployment $d/some-model-name; }
    llm_model twice-$d {
        deployment $d/some-model-name; deployment second-$d/other-model-name order=2;
    }
END
}
$t->http_conf(LLM::Pair::conf($plain, models => $models));
$t->start;

my $lines = 0;

sub ask {
    my ($pair, $streams, %o) = @_;

    return $pair->post($t, %o, $streams ? (stream => JSON::PP::true()) : ());
}

for my $kind (['plain', $plain], ['secure', $secure]) {
    my ($name, $p) = @$kind;
    subtest "one transparent retry, $name" => sub {
        for my $pair (LLM::Pair->all) {
            for my $way (1, 'close') {
                for my $streams (0, 1) {
                    my $what = "$pair->{name}, " . ($way eq '1' ? 'reset' : 'closed')
                        . ($streams ? ', stream' : '');
                    $p->clear;
                    $p->script([json(200, $pair->answer(text => 'one'), stale => $way),
                        $streams ? sse($pair->events(text => 'two'))
                            : json(200, $pair->answer(text => 'two'))]);
                    my %o = (model => "$name-$pair->{provider}", user => 'x' x 3000);
                    delete $o{user} if $pair->{client} eq 'messages';
                    is(ask($pair, 0, %o)->{status}, 200, "$what: first request");
                    my $r = ask($pair, $streams, %o);
                    is($r->{status}, 200, "$what: the next one is answered") or diag $r->{body};
                    like($r->{body}, qr/two/, "$what: by the provider");
                    is($r->{headers}{'x-llm-attempts'}, 1, "$what: x-llm-attempts");
                    my @asked = $p->requests;
                    is(scalar @asked, 2, "$what: the provider read each request once");
                    isnt($asked[0]{conn}, $asked[1]{conn}, "$what: on two connections");
                    my ($stale) = grep { $_->{id} == $asked[0]{conn} } $p->connections;
                    ok($stale->{stale_hit}, "$what: the kept connection was tried");
                    LLM::Pair::next_log($t, \$lines);
                    my $log = LLM::Pair::next_log($t, \$lines);
                    is("$log->{outcome} $log->{attempts} $log->{error}", 'ok 1 ', "$what: log");
                }
            }
        }
    };
}

subtest 'a connection that was closed while idle is not used' => sub {
    for my $pair (LLM::Pair->all) {
        $plain->clear;
        $plain->script([json(200, $pair->answer, close_after => 'release'),
            json(200, $pair->answer(text => 'two'))]);
        is(ask($pair, 0, model => "plain-$pair->{provider}")->{status}, 200, 'first');
        my $conn = $plain->last_request->{conn};
        $plain->release;
        ok($plain->wait_closed($conn), 'the provider hangs up');
        my $r = ask($pair, 0, model => "plain-$pair->{provider}");
        is($pair->read_answer($r->{json})->{text}, 'two', "$pair->{name}: a new one is made");
        is($r->{headers}{'x-llm-attempts'}, 1, "$pair->{name}: x-llm-attempts");
        LLM::Pair::next_log($t, \$lines) for 1, 2;
    }
};

# The retry is for connections that were kept, and only for them.
subtest 'a real failure is none of it' => sub {
    for my $pair (LLM::Pair->all) {
        for my $way ('fresh', 'half an answer') {
            my $what = "$pair->{name}, $way";
            $_->clear for $plain, $q;
            if ($way eq 'fresh') {
                $plain->kick;
                ok($plain->wait_closed, "$what: no connection is kept");
                $plain->script(accept_then_reset());
            } else {
                $plain->script([json(200, $pair->answer), raw_answer('HTTP/1.1 20', rst()),
                    json(200, $pair->answer(text => 'asked twice'))]);
                is(ask($pair, 0, model => "plain-$pair->{provider}")->{status}, 200,
                    "$what: a kept connection");
                LLM::Pair::next_log($t, \$lines);
            }
            $q->script(json(200, $pair->answer(text => 'of the second')));
            my $before = () = $plain->connections;
            my $r = ask($pair, 0, model => "twice-$pair->{provider}");
            is($pair->read_answer($r->{json} || {})->{text}, 'of the second', $what);
            is($r->{headers}{'x-llm-attempts'}, 2, "$what: x-llm-attempts");
            is(scalar(() = $plain->connections) - $before, $way eq 'fresh' ? 1 : 0,
                "$what: no further connection to the first");
            is(LLM::Pair::next_log($t, \$lines)->{attempts}, 2, "$what: log");
        }
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
