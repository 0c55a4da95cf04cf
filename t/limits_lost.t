# An attempt that was lost has cost something: the loser of a hedge, a stream that broke and that
# nobody went on with. It is booked and counted in budgets, whatever becomes of the request; and a
# deployment's own limits count what was used of it, nothing else.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;

my $master = 'sk-master-0123456789abcdef';

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 1);    # what one request used is known to the next
    my $p = LLM::Provider->new(dir => $t->dir);

    my $prices = $t->write_file('prices.json', encode_json_c({ models => {
        'chat/paid' => { input => 0, output => 0, per => { request => 0.0005 } } } }));

    $t->http_conf($store->conf . "llm_master_key $master; llm_prices $prices;" . LLM::Pair::conf($p,
        server => 'location /admin { llm_admin; }
            location /cut/ { llm_pass models; llm_auth off; llm_limit $arg_tokens tpm=50; llm_on_limit cut;
                llm_reserve_tokens 1; access_log logs/lost.log lost; }',
        http => 'log_format lost escape=json \'{"cost":"$llm_cost","status":"$llm_cost_status",'
            . '"in":$llm_input_tokens,"out":$llm_output_tokens,"outcome":"$llm_outcome","code":$status,'
            . '"deployment":"$llm_deployment","fallbacks":$llm_fallbacks}\';',
        location => 'llm_auth off; llm_limit $arg_money max_budget=0.001; llm_unknown_price refuse;
            access_log logs/lost.log lost; llm_num_retries 0; llm_allowed_fails 1000;',
        models => <<'END'));
    llm_model hedged { hedge after=40ms max=100%; deployment chat/first id=h1 input_cost=1e-3;
        deployment messages/second id=h2 order=2 input_cost=1e-3; context_window_fallbacks secret; }
    llm_model broken { recover restart; deployment chat/first id=b1 input_cost=1e-3; fallbacks secret; }
    llm_model further { recover restart; deployment chat/first id=f1 input_cost=1e-3;
        fallbacks secret known; }
    llm_model retried { num_retries 1; deployment chat/first id=r1 input_cost=1e-3; fallbacks secret; }
    llm_model by-request { recover restart; deployment chat/paid id=p1; }
    llm_model split { recover restart; deployment chat/first id=s1 input_cost=1e-3 tpm=100000 max_budget=900;
        deployment chat/second id=s2 order=2 input_cost=2e-3 tpm=100000 max_budget=900/1d; }
    llm_model across { recover restart; deployment chat/first id=a1 input_cost=1e-3 tpm=100000
        max_budget=900; fallbacks beyond; }
    llm_model beyond { deployment chat/second id=a2 input_cost=2e-3 tpm=100000 max_budget=900; }
    llm_model raced { hedge after=40ms max=100%; deployment chat/first id=r-1 input_cost=1e-3 tpm=100000
        max_budget=900; deployment messages/second id=r-2 order=2 input_cost=2e-3 tpm=100000 max_budget=900; }
    llm_model cut { recover restart; deployment chat/first id=c1 input_cost=1e-3 tpm=100000 max_budget=900; }
    llm_model for-tokens { recover restart; deployment chat/first id=l1 tpm=45;
        deployment chat/second id=l2 order=2 tpm=45; }
    llm_model for-none { recover restart; deployment chat/first id=l3 tpm=45;
        deployment chat/second id=l4 order=2 tpm=45; }
    llm_model secret { deployment chat/nobody-knows; }
    llm_model alone { deployment chat/nobody-knows; fallbacks known; }
    llm_model known { deployment chat/second id=k1 input_cost=1e-3; }
END
    $t->start;
    my $pair = LLM::Pair->new('chat', 'chat');
    my @events = $pair->events(text => 'One two three four five six seven.');
    my $lines = 0;
    my $logged = sub {
        my @lines;
        $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/lost.log'); @lines > $lines }, 5,
            'a line of the log') or return {};
        return decode_json($lines[$lines++]);
    };
    my $answers = sub {
        my (%of) = @_;
        $p->clear->kick;
        $p->on({ body => qr/"model":"$_"/ }, $of{$_}) for sort keys %of;
        return;
    };
    my $ask = sub {
        my ($of, $model, $money) = @_;
        return $t->stream($of->path(1) . "?money=$money", $of->question(model => $model, stream => 1));
    };
    my $spent = sub {
        my ($model) = @_;
        my $list = $t->get('/admin/global/spend/models',
            headers => { Authorization => "Bearer $master" })->{json};
        my ($one) = grep { $_->{model} eq $model } @$list;
        return $one ? $one->{total_spend} : 'nothing';
    };
    my $is_used_up = sub {
        my ($model, $money) = @_;
        $store->wait_settled;
        my $next = $ask->($pair, $model, $money);
        is($next->status, 429, "$money: the budget is used up");
        like($next->read_body, qr/budget/, "$money: and says so");
        $logged->();
    };

    subtest 'the loser of a hedge, and no fallback with a price' => sub {
        $answers->(first => json(400, { error => { message => 'too long',
            type => 'invalid_request_error', code => 'context_length_exceeded' } },
            wait_for_release => 'head'), second => 'silent');
        my $s = $ask->($pair, 'hedged', 'hedged');
        ok($p->wait_requests(2), 'both are asked');
        ok($p->wait_held(1), 'it waits for us');
        $p->release;
        is($s->status, 400, 'the failure is the answer');
        like($s->read_body, qr/too long/, 'in its words');
        my $line = $logged->();
        cmp_ok($line->{cost}, '>', 0, 'what was lost has a cost');
        cmp_ok($line->{in}, '>', 0, 'and tokens');
        is($spent->('hedged'), $line->{cost}, 'it is in the sums');
        $is_used_up->('hedged', 'hedged');
    };

    for my $client ('chat', 'messages', 'responses') {
        my $of = LLM::Pair->new($client, 'chat');
        subtest "a stream that broke, and no fallback with a price: $client" => sub {
            $answers->(first => sse(@events[0 .. 5], drop()), 'nobody-knows' => sse(@events));
            my $before = $spent->('broken') =~ s/nothing/0/r;
            my $s = $ask->($of, 'broken', "broken-$client");
            my @seen = $s->all_events;
            is($s->status, 200, 'it had begun');
            is_deeply([$of->check(\@seen)], [], 'grammar');
            ok($of->error_event(\@seen), 'it ends with an error of the dialect') or diag explain \@seen;
            unlike(encode_json_c(\@seen), qr/price/, 'which is not about prices');
            is($p->request_count, 1, 'the fallback was not asked');
            my $line = $logged->();
            is("$line->{outcome} $line->{code} $line->{deployment} $line->{status} $line->{fallbacks}",
                'cut 200 b1 estimated 0', 'log');
            cmp_ok($line->{cost}, '>', 0, 'it has a cost');
            cmp_ok(abs($spent->('broken') - $before - $line->{cost}), '<', 1e-9, 'it is in the sums');
            $is_used_up->('broken', "broken-$client");
        };
    }

    subtest 'a price for each request' => sub {
        $answers->(paid => sse(@events[0 .. 5], drop()));
        ok($pair->error_event([$ask->($pair, 'by-request', 'by-request')->all_events]), 'it is cut');
        is($logged->()->{cost}, '0.0005', 'one of them');
    };

    subtest 'the fallback behind one without a price' => sub {
        $answers->(first => sse(@events[0 .. 5], drop()), second => sse(@events));
        my @seen = $ask->($pair, 'further', 'further')->all_events;
        ok(!$pair->error_event(\@seen), 'goes on with it');
        my $line = $logged->();
        is("$line->{outcome} $line->{deployment} $line->{fallbacks}", 'ok k1 1', 'log');
        $answers->(first => json(503, {}), second => sse(@events));
        my $s = $ask->($pair, 'further', 'again');
        is($s->status, 200, 'also before there is an answer');
        $s->all_events;
        is($logged->()->{deployment}, 'k1', 'from there');
    };

    subtest 'a fallback without a price is none' => sub {
        $answers->(first => [json(503, {}), sse(@events)]);
        my $s = $ask->($pair, 'retried', 'retried');
        is($s->status, 200, 'its place is for a retry');
        $s->all_events;
        is($logged->()->{deployment}, 'r1', 'of the model that was asked for');
        $answers->(first => json(503, { error => { message => 'busy today' } }));
        $s = $ask->($pair, 'retried', 'failed');
        is($s->status, 503, 'or the failure is the answer');
        like($s->read_body, qr/busy today/, 'in its words');
        $logged->();
        ok($t->log_text =~ qr/price of chat\/nobody-knows is not known, it is not asked/, 'the log has it');
        $s = $ask->($pair, 'alone', 'alone');
        is($s->status, 403, 'a model without a price is refused');
        like($s->read_body, qr/price of the model is not known/, 'and why');
        is($logged->()->{status}, 'unpriced', 'log');
    };
    # What its own limits have counted: tokens, dollars.
    my $counted = sub {
        my ($model, $id) = @_;
        $store->wait_settled;
        my $said = $t->post('/admin/explain', { model => $model, messages => [{ role => 'user', content => 'x' }] },
            headers => { Authorization => "Bearer $master" })->{json};
        my %of = map { ($_->{what} => $_->{used}) }
            grep { ($_->{deployment} // '') eq $id } @{ $said->{limits} };
        return @of{'tokens', 'budget'};
    };
    my $is_split = sub {
        my ($name, $model, @ids) = @_;
        my $line = $logged->();
        my ($tokens, $cost) = (0, 0);
        for my $id (@ids) {
            my ($its_tokens, $its_cost) = $counted->($id eq 'a2' ? 'beyond' : $model, $id);
            cmp_ok($its_tokens // 0, '>', 0, "$name: tokens of $id");
            cmp_ok($its_cost // 0, '>', 0, "$name: cost of $id");
            $tokens += $its_tokens // 0;
            $cost += $its_cost // 0;
        }
        is($tokens, $line->{in} + $line->{out}, "$name: all tokens, once");
        cmp_ok(abs($cost - $line->{cost}), '<', 1e-9, "$name: all of the cost, once")
            or diag("$cost $line->{cost}");
        return;
    };

    subtest 'each deployment counts its own' => sub {
        $answers->(first => sse(@events[0 .. 5], drop()), second => sse(@events));
        $ask->($pair, 'split', 'split')->all_events;
        $is_split->('a stream that went on elsewhere', 'split', 's1', 's2');
        $ask->($pair, 'across', 'across')->all_events;
        $is_split->('at another model', 'across', 'a1', 'a2');
        $answers->(first => sse(@events[0 .. 5], drop()));
        $ask->($pair, 'cut', 'cut')->all_events;
        $is_split->('that was cut', 'cut', 'c1');
        my @second = LLM::Pair->new('chat', 'messages')->events(text => 'One');
        $answers->(first => 'silent', second => sse(@second));
        is($ask->($pair, 'raced', 'raced')->read_body =~ /One/, 1, 'the second wins');
        $is_split->('the loser of a hedge', 'raced', 'r-1', 'r-2');
    };

    subtest 'a limit that runs out with the second answer' => sub {
        my @slow = (gap => 0.05);
        $answers->(first => sse(@events[0 .. 5], drop()), second => sse(@events, @slow));
        for my $limit ('tokens', 'none') {
            my $s = $t->stream('/cut' . $pair->path(1) . "?$limit=one",
                $pair->question(model => "for-$limit", stream => 1));
            my $error = $pair->error_event([$s->all_events]);
            my $line = $logged->();
            is($line->{outcome}, $limit eq 'tokens' ? 'cut' : 'ok', "$limit: both answers count there, "
                . 'at a deployment its own') or diag explain $line;
            $limit eq 'tokens' ? like($error->{message}, qr/limit has run out/, 'and says so')
                : ok(!$error, 'no error');
            cmp_ok($line->{in} + $line->{out}, '>', 50, 'together it is more');
        }
    };

    subtest 'a second attempt that lost' => sub {
        my @before = map { $counted->('raced', $_) } 'r-1', 'r-2';
        $answers->(first => sse(hold(), @events), second => 'silent');
        my $s = $ask->($pair, 'raced', 'raced-2');
        ok($p->wait_requests(2), 'both are asked');
        ok($p->wait_held(1), 'one waits for us');
        $p->release;
        $s->all_events;
        my $line = $logged->();
        my @after = map { $counted->('raced', $_) } 'r-1', 'r-2';
        my @more = map { $after[$_] - $before[$_] } 0 .. 3;
        is($more[0] + $more[2], $line->{in} + $line->{out}, 'all tokens, once');
        cmp_ok($more[2], '>', 0, 'and its own where it was made');
        cmp_ok(abs($more[3] - $more[2] * 2e-3), '<', 1e-9, 'at its price');
        cmp_ok(abs($more[1] + $more[3] - $line->{cost}), '<', 1e-9, 'all of the cost, once');
    };
    $t->done;
});
done_testing();
