# Legacy completions: passed through where the provider has them beside chat, and a prompt for chat
# elsewhere; what cannot be said there is refused by name.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(encode_json_o);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()], models => <<"END"));
    llm_provider featherless_ai { base_url $url/v1; api_key sk-both; }
    llm_provider legacy { dialect completions; base_url $url/legacy; api_key sk-legacy; }
    llm_model both { deployment featherless_ai/m; }
    llm_model legacy { deployment legacy/m; }
END
$t->start;

my $pair = LLM::Pair->new('completions', 'chat');
my $odd = qq({ "prompt" : ["caf\\u00e9 \\/"],"unknown":[1.0,{"model":"no"}], "suffix":"end",)
    . qq("echo":true,"model":%s%s}\n);

subtest 'passed through' => sub {
    for my $model (qw(both legacy)) {
        my $body = encode_json_o(completions_answer(text => 'x')) =~ s/\A\{/ { "new" : 1.50,\n/r;
        $p->script(answer(body => $body));
        my $r = $t->post('/v1/completions', sprintf $odd, qq("$model"), '');
        is("$r->{status} $r->{body}", "200 $body", "$model: whole") or diag($r->{body});
        my $q = $p->last_request;
        is($q->{body}, sprintf($odd, '"m"', ''), "$model: as it was sent");
        is($q->{path}, $model eq 'both' ? '/v1/completions' : '/legacy/completions',
            "$model: path");
        my @events = completions_stream(text => "caf\x{e9} and more");
        $p->script(sse(@events));
        my $s = $t->stream('/v1/completions', sprintf $odd, qq("$model"),
            ',"stream":true,"stream_options":{"include_usage":true}');
        is($s->read_body, join('', map { LLM::Provider::Script::sse_bytes($_) } @events),
            "$model: streamed");
        $p->script(sse(@events));
        $s = $t->stream('/v1/completions', sprintf $odd, qq("$model"), ',"stream":true');
        my $all = $pair->assemble([$s->all_events]);
        is("$all->{text} $all->{done}", "caf\x{e9} and more 1", "$model: without usage");
        ok(!$all->{usage}, "$model: which was not asked for");
        ok($p->last_request->{json}{stream_options}{include_usage}, "$model: but by us");
        $p->script(json(200, completions_answer(text => 'x')));
        $s = $t->stream('/v1/completions', sprintf $odd, qq("$model"), ',"stream":true');
        $s->read_body;
        is($s->status, 502, "$model: one body in place of a stream");
    }
    $p->script(json(200, chat_answer(text => 'as chat')));
    my %ask = (model => 'both', max_tokens => 9, messages => [{ role => 'user', content => 'x' }]);
    is($t->post('/v1/messages', \%ask)->{json}{content}[0]{text}, 'as chat', 'others use chat');
    is($p->last_request->{path}, '/v1/chat/completions', 'of the same provider');
};

subtest 'clients that a provider of completions alone cannot serve' => sub {
    for my $form (LLM::Forms::clients()) {
        next if $form eq 'completions';
        my $other = LLM::Pair->new($form, 'chat');
        $other->{model} = 'legacy';
        my $before = $p->request_count;
        my $r = $other->post($t);
        is($r->{status}, 400, "$form: status") or diag($r->{body});
        ok($other->is_error($r->{json}), "$form: an error");
        is($p->request_count, $before, "$form: nobody was asked");
    }
};

subtest 'the prompt as chat' => sub {
    $p->script($pair->whole);
    for my $prompt ("One\n\x{e9}", ["One\n\x{e9}"]) {
        my $r = $pair->post($t, prompt => $prompt, stop => ['END'], temperature => 0.5);
        is($r->{status}, 200, 'status') or diag($r->{body});
        my $q = $p->last_request->{json};
        is($q->{messages}[0]{content}, "One\n\x{e9}", 'the user says it');
        is("$q->{temperature} @{ref $q->{stop} ? $q->{stop} : [$q->{stop}]}", '0.5 END',
            'parameters');
    }
};

subtest 'what cannot be had there' => sub {
    my %bad = (suffix => 'end', echo => JSON::PP::true(), prompt => [[1, 2, 3]]);
    for my $to (grep { $_->{client} eq 'completions' } LLM::Pair->every) {
        for my $name (sort keys %bad) {
            my $r = $to->post($t, $name => $bad{$name});
            is($r->{status}, 400, "$to->{name}, $name: refused") or diag($r->{body});
            is($r->{json}{error}{param}, $name, "$to->{name}, $name: by name");
        }
    }
    is($pair->post($t, prompt => ['a', 'b'])->{json}{error}{param}, 'prompt', 'several prompts');
    my $r = $t->post('/v1/completions', { model => 'on-chat' });
    is("$r->{status} $r->{json}{error}{param}", '400 prompt', 'no prompt');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
