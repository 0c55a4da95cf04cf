# A deployment that fails before it has said anything is followed by the next one by `order`,
# and everything of the request is made anew for it.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $q = LLM::Provider->new(dir => $t->dir);
my $secure = LLM::Provider->new(dir => $t->dir, tls => { names => ['other.test'] });
my $dead = LLM::Provider->dead_port;

# Deployments are written in another order than they are to be tried in.
my $models = join '', map { <<"END" } qw(chat messages);
    llm_model $_-twice {
        deployment second-$_/the-second-deployment order=2;
        deployment $_/the-first-deployment order=1;
    }
    llm_model $_-dead {
        deployment second-$_/the-second-deployment order=2;
        deployment dead-$_/the-first-deployment;
    }
    llm_model $_-wrong-name {
        deployment wrong-name-$_/the-first-deployment;
        deployment second-$_/the-second-deployment order=2;
    }
END
my %dialect = (chat => 'openai', messages => 'anthropic');
for my $d (sort keys %dialect) {
    $models .= <<"END";
    llm_provider second-$d { dialect $dialect{$d}; base_url ${\$q->url}/other/v1; api_key of-q; }
    llm_provider dead-$d { dialect $dialect{$d}; base_url http://127.0.0.1:$dead; api_key k; }
    llm_provider wrong-name-$d {
        dialect $dialect{$d}; base_url ${\$secure->url}; api_key k;
        ssl_trusted_certificate ${\$secure->ca->file}; ssl_name right.test;
    }
END
}
$t->http_conf(LLM::Pair::conf($p, models => $models));
$t->start;

my $lines = 0;

# Asks both ways; the second deployment has to answer.
sub goes_on {
    my ($pair, $what, $first, $model) = @_;

    for my $streams (1, 0) {
        my $how = "$pair->{name}, $what" . ($streams ? ', stream' : ', whole');
        $_->clear for $p, $q;
        $p->script($first) if $first;
        $q->script($streams ? sse($pair->events(text => 'of the second'))
            : json(200, $pair->answer(text => 'of the second')));
        my %o = (model => "$pair->{provider}-" . ($model || 'twice'));
        my $r = $pair->post($t, %o, $streams ? (stream => JSON::PP::true()) : ());
        is($r->{status}, 200, "$how: status") or diag $r->{body};
        like($r->{body}, qr/second/, "$how: answered by the second");
        is($q->request_count, 1, "$how: asked once");
        is($r->{headers}{'x-llm-attempts'}, 2, "$how: case 36: attempts");
        like($r->{headers}{'x-llm-deployment'}, qr{\Asecond-$pair->{provider}/the-second-},
            "$how: case 36: who served");
        my $log = LLM::Pair::next_log($t, \$lines);
        is("$log->{outcome} $log->{attempts} $log->{input_tokens}", 'ok 2 21',
            "$how: case 36: only the answer is counted");
    }
    return;
}

for my $pair (LLM::Pair->all) {
    subtest "connections, $pair->{name}" => sub {
        goes_on($pair, 'refused', undef, 'dead');
        $p->kick;
        goes_on($pair, 'closed before the answer', accept_then_close());
        goes_on($pair, 'reset before the answer', accept_then_reset());
        goes_on($pair, 'closed after the request', raw_answer(drop()));
        goes_on($pair, 'cut inside the head', raw_answer("HTTP/1.1 200 OK\r\nContent-", drop()));
        goes_on($pair, 'not HTTP', raw_answer("SSH-2.0-OpenSSH\r\n\r\n", drop()));
        goes_on($pair, 'wrong TLS name', undef, 'wrong-name');
    };

    subtest "error statuses, $pair->{name}" => sub {
        goes_on($pair, "status $_", json($_, $pair->error_body('some_error', 'No.')))
            for 401, 403, 404, 408, 429, 500, 502, 503, 504, 529;
        goes_on($pair, 'status 503 with HTML', answer(status => 503,
            body => '<html>no</html>', headers => { 'Content-Type' => 'text/html' }));
        goes_on($pair, 'status 500 without a body', answer(status => 500));
        goes_on($pair, 'status 429, its body cut', json(429, { x => 'y' x 100 }, cut_after => 9));
        goes_on($pair, 'status 500 with an endless body', answer(status => 500,
            body => 'x' x 200_000));
    };

    subtest "bad bodies, $pair->{name}" => sub {
        goes_on($pair, 'HTML', answer(body => '<html>welcome</html>',
            headers => { 'Content-Type' => 'text/html' }));
        goes_on($pair, 'invalid JSON', answer(body => '{"id": '));
        goes_on($pair, 'empty', answer(body => ''));
        goes_on($pair, 'other JSON', json(200, { hello => 'world' }));
        goes_on($pair, 'an array', json(200, [1, 2]));
        goes_on($pair, 'an error object', json(200, $pair->error_body('server_error', 'No.')));
        goes_on($pair, 'cut', json(200, $pair->answer, cut_after => 40));
        goes_on($pair, 'reset', json(200, $pair->answer, cut_after => 40, reset => 1));
        goes_on($pair, 'unknown compression', answer(body => 'abc',
            headers => { 'Content-Encoding' => 'zstd' }));
    };

    subtest "a bad request is not tried elsewhere, $pair->{name}" => sub {
        for my $status (400, 422) {
            for my $streams (1, 0) {
                $_->clear for $p, $q;
                $p->script(json($status,
                    $pair->error_body('invalid_request_error', 'messages: too odd')));
                my $r = $pair->post($t, model => "$pair->{provider}-twice",
                    $streams ? (stream => JSON::PP::true()) : ());
                is($r->{status}, 400, "$status becomes 400");
                ok($pair->is_error($r->{json}), 'an error of the dialect');
                is($r->{json}{error}{type}, 'invalid_request_error', 'its type');
                is($r->{json}{error}{message}, 'messages: too odd', "the provider's words");
                is($p->request_count . $q->request_count, '10', 'one deployment asked');
                LLM::Pair::next_log($t, \$lines);
            }
        }
    };
}

subtest 'all fail: the last error decides' => sub {
    # status of the provider; of the answer to a chat client, and to a messages client
    for my $row ([429, 429, 429], [500, 500, 500], [502, 502, 500], [503, 503, 529],
        [529, 503, 529], [504, 504, 504], [401, 401, 401], [402, 429, 402], [403, 403, 403],
        [404, 404, 404])
    {
        my ($status, $chat, $messages) = @$row;
        for my $pair (LLM::Pair->all) {
            for my $streams (1, 0) {
                my $what = "$pair->{name}, $status" . ($streams ? ', stream' : ', whole');
                $_->clear for $p, $q;
                $p->script(json(500, $pair->error_body('api_error', 'The first.')));
                $q->script(json($status, $pair->error_body('an_error', 'The last.'),
                    headers => { 'Retry-After' => 7 }));
                my $r = $pair->post($t, model => "$pair->{provider}-twice",
                    $streams ? (stream => JSON::PP::true()) : ());
                is($r->{status}, $pair->{client} eq 'chat' ? $chat : $messages, $what);
                ok($pair->is_error($r->{json}), "$what: an error of the dialect");
                is($r->{json}{error}{message}, 'The last.', "$what: the provider's words");
                is($r->{headers}{'retry-after'}, 7, "$what: retry-after")
                    if $status == 429 || $status == 503;
                is($r->{headers}{'x-llm-attempts'}, 2, "$what: attempts");
                my $log = LLM::Pair::next_log($t, \$lines);
                is($log->{outcome}, $status == 504 ? 'timeout' : 'upstream_error', "$what: log");
            }
        }
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
