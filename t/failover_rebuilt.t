# The next deployment gets a request of its own: body, address, path, TLS name, dialect and
# credentials are made anew for it, and nothing of the first provider's travels on.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $q = LLM::Provider->new(dir => $t->dir, tls => { names => ['second.test'] });

my %dialect = (chat => 'openai', messages => 'anthropic');
my $models = '';
for my $first (sort keys %dialect) {
    $models .= <<"END";
    llm_provider second-$first {
        dialect $dialect{$first};
        base_url ${\$q->url}/some/where;
        api_key key-of-the-second;
        header x-tenant second-tenant;
        ssl_name second.test;
        ssl_trusted_certificate ${\$q->ca->file};
        param top_p 0.5;
    }
    llm_provider first-$first {
        dialect $dialect{$first};
        base_url ${\$p->url}/v1;
        api_key key-of-the-first;
        header x-tenant first-tenant;
        param temperature 0.25;
    }
END
    for my $second (sort keys %dialect) {
        $models .= "llm_model $first-then-$second { deployment first-$first/one-model;"
            . " deployment second-$second/another-model order=2; }\n";
    }
}
$t->http_conf(LLM::Pair::conf($p, models => $models));
$t->start;

sub is_for_first {
    my ($request, $dialect, $what) = @_;
    my $h = $request->{headers};

    is($request->{path}, $dialect eq 'chat' ? '/v1/chat/completions' : '/v1/messages',
        "$what: path at the first");
    is($request->{json}{model}, 'one-model', "$what: model at the first");
    is($h->{host}, $p->addr, "$what: host at the first");
    is($h->{'x-tenant'}, 'first-tenant', "$what: header at the first");
    is($request->{json}{temperature}, 0.25, "$what: parameter at the first");
    unlike("$request->{raw_head}$request->{body}", qr/second|another-model|client-key|top_p/,
        "$what: nothing of others at the first");
    return;
}

sub is_for_second {
    my ($request, $dialect, $what) = @_;
    my ($h, $body) = ($request->{headers}, $request->{json});

    is($request->{path}, '/some/where' . ($dialect eq 'chat' ? '/chat/completions'
        : '/messages'), "$what: path at the second");
    is($request->{tls_sni}, 'second.test', "$what: TLS name");
    is($h->{host}, $q->addr, "$what: host at the second");
    is($body->{model}, 'another-model', "$what: model at the second");
    is($h->{'x-tenant'}, 'second-tenant', "$what: header at the second");
    is($body->{top_p}, 0.5, "$what: parameter at the second");
    is($h->{'content-length'}, length $request->{body}, "$what: length of the new body");
    if ($dialect eq 'chat') {
        is($h->{authorization}, 'Bearer key-of-the-second', "$what: credentials");
        ok(!exists $h->{'x-api-key'}, "$what: in one form only");
        is($body->{messages}[0]{role}, 'system', "$what: system prompt as a message");
        ok(!exists $body->{system}, "$what: and nowhere else");
    } else {
        is($h->{'x-api-key'}, 'key-of-the-second', "$what: credentials");
        ok(!exists $h->{authorization}, "$what: in one form only");
        is($h->{'anthropic-version'}, '2023-06-01', "$what: version of the API");
        like(encode_json_c($body->{system}), qr/Be brief\./, "$what: system prompt");
        is(scalar(grep { $_->{role} eq 'system' } @{$body->{messages}}), 0,
            "$what: and nowhere else");
        ok($body->{max_tokens}, "$what: max_tokens is there");
    }
    unlike("$request->{raw_head}$request->{body}",
        qr/first|one-model|client-key|temperature/, "$what: nothing of others at the second");
    return;
}

for my $client (qw(chat messages)) {
    for my $first (qw(chat messages)) {
        for my $second (qw(chat messages)) {
            for my $streams (0, 1) {
                my $what = "$client client, $first, then $second, "
                    . ($streams ? 'stream' : 'whole');
                subtest $what => sub {
                    my $asks = LLM::Pair->new($client, $second);
                    $_->clear for $p, $q;
                    $p->script(json(503, {}));
                    $q->script($streams ? sse($asks->events(text => 'of the second'))
                        : json(200, $asks->answer(text => 'of the second')));
                    my %system = $client eq 'chat'
                        ? (messages => [{ role => 'system', content => 'Be brief.' },
                            { role => 'user', content => 'Say something.' }])
                        : (system => 'Be brief.');
                    my %http = (headers => { 'Authorization' => 'Bearer client-key',
                        'x-api-key' => 'client-key', 'api-key' => 'client-key',
                        'Cookie' => 'a=client-key' });
                    my $s = $asks->stream($t, model => "$first-then-$second", http => \%http,
                        %system) if $streams;
                    my $r = $streams ? undef : $asks->post($t, http => \%http, %system,
                        model => "$first-then-$second");
                    is($streams ? $s->status : $r->{status}, 200, 'status');
                    is_for_first($p->last_request, $first, $what);
                    is_for_second($q->last_request, $second, $what);
                    if ($streams) {
                        my @events = $s->all_events;
                        is_deeply([$asks->check(\@events)], [], 'grammar');
                        is($asks->assemble(\@events)->{text}, 'of the second', 'text');
                    } else {
                        is($asks->read_answer($r->{json})->{text}, 'of the second', 'text');
                    }
                };
            }
        }
    }
}

$t->log_unlike(qr/key-of-the|client-key/, 'case 67: no key in the log');
$t->done;
