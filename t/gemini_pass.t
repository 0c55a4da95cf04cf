# Gemini on both sides: the provider reads the client's bytes, the client reads the provider's,
# events as they were framed and an array of what they hold; the ledger reads along.

use strict;
use warnings;
use LLM::Test;
use LLM::Client::Gemini;
use LLM::Json qw(encode_json_o);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => ['gemini', 'messages']));
$t->start;

my $lines = 0;
my $pair = LLM::Pair->new('gemini', 'gemini');
my $path = '/v1beta/models/on-gemini';
my $odd = qq(\r\n{"contents" : [{"parts":[{"text":"caf\\u00e9 \xc3\xa9 \\/"},{"inlineData":{"data":"AA==",)
    . qq("mimeType":"image/png"}}],"role":"user"}],"safety_settings":[ ],"unknown":{"model":"x",)
    . qq("n":[1.0,1e2,12345678901234567890123]},"generationConfig":{"temperature":-0.0}}\n);

sub bytes_of { return join '', map { $_->[1] } @_ }

subtest 'the request' => sub {
    $p->script($pair->whole);
    for my $query ('', '?alt=json', '?key=AIzaX', '?$alt=x') {
        my $r = $t->post("$path:generateContent$query", $odd);
        is($r->{status}, 200, "status, '$query'") or diag($r->{body});
        is($p->last_request->{body}, $odd, 'the same bytes');
        is($p->last_request->{path}, '/v1beta/models/gemini-2.5-flash:generateContent', 'path');
        LLM::Pair::next_log($t, \$lines);
    }
    for my $alt ('', '?alt=sse', '?alt=sse&key=AIzaX', '?key=AIzaX&alt=sse') {
        $p->script($pair->streamed);
        my $s = $t->stream("$path:streamGenerateContent$alt", $odd);
        $s->read_body;
        is($p->last_request->{body}, $odd, "streamed, '$alt': the same bytes");
        is($p->last_request->{path},
            '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', 'path');
        like($s->header('content-type'), $alt =~ /sse/ ? qr{event-stream} : qr{/json}, 'type');
        LLM::Pair::next_log($t, \$lines);
    }
};

subtest 'a whole answer' => sub {
    my $body = encode_json_o($pair->answer(text => 'x')) =~ s/\A\{/ \r\n{ "new" : 1.50,\n/r;
    for my $o ({}, { chunked => 1 }, { bytewise => 1 }) {
        $p->script(answer(body => $body, %$o));
        is($t->post("$path:generateContent", $odd)->{body}, $body, join ' ', 'bytes', keys %$o);
        my $log = LLM::Pair::next_log($t, \$lines);
        is("$log->{input_tokens} $log->{output_tokens} $log->{finish_reason}"
            . " $log->{upstream_model}", '21 9 STOP gemini-2.5-flash', 'log');
    }
};

subtest 'a stream' => sub {
    my @events = $pair->events(reasoning => "Hm\x{2026}", text => "caf\x{e9} au lait",
        tools => [{ name => 'f', args => { x => 1 } }]);
    my $odd_event = qq(data: { "candidates" : [ ],"new":[1.0,"\\u00e9"] }\r\n\r\n);
    for my $o ({}, { bytewise => 1 }, { split => [map { $_ * 7 } 1 .. 200] }, { close => 1 }) {
        my $how = join ' ', 'streamed', keys %$o;
        my @all = ($events[0], raw($odd_event), @events[1 .. $#events]);
        $p->script(sse(@all, %$o));
        my $s = $t->stream("$path:streamGenerateContent?alt=sse", $odd);
        ok($s->read_body eq bytes_of(@all), "$how: the same bytes") or diag($s->body);
        my $log = LLM::Pair::next_log($t, \$lines);
        is("$log->{outcome} $log->{input_tokens} $log->{output_tokens} $log->{finish_reason}"
            . " $log->{upstream_model}", 'ok 21 9 STOP gemini-2.5-flash', "$how: log");

        $p->script(sse(@all, %$o));
        $s = $t->stream("$path:streamGenerateContent", $odd);
        my @held = map { /\Adata: (.*)\r\n\r\n\z/s ? $1 : die } map { $_->[1] } @all;
        my $array = $s->read_body;
        my $at = 0;
        for my $one (@held) {
            my $found = index $array, $one, $at;
            cmp_ok($found, '>=', $at, "$how: what an event holds is an element");
            $at = $found + length $one;
        }
        is(scalar @{LLM::Client::Gemini::array_events($array) || []}, @all, "$how: JSON");
        LLM::Pair::next_log($t, \$lines);
    }
};

subtest 'errors are those of the provider' => sub {
    my $error = { error => { code => 429, message => 'Quota', status => 'RESOURCE_EXHAUSTED',
        details => [{ '@type' => 'type.googleapis.com/google.rpc.RetryInfo',
            retryDelay => '7s' }] } };
    for my $body ($error, [$error]) {
        $p->script(json(429, $body));
        my $r = $t->post("$path:generateContent", $odd);
        is("$r->{status} $r->{json}{error}{status}", '429 RESOURCE_EXHAUSTED', 'whole');
        is($r->{json}{error}{message}, 'Quota', 'its words');
        LLM::Pair::next_log($t, \$lines);
    }
    my @events = $pair->events(text => [map { "word$_ " } 1 .. 9]);
    for my $end (['an error', gemini_event($error)], ['nothing']) {
        my ($what, @more) = @$end;
        $p->script(sse(@events[0 .. 4], @more, wait_for_release => 5));
        my $s = $t->stream("$path:streamGenerateContent?alt=sse", $odd);
        my @seen = $s->next_event;
        $p->release;
        push @seen, $s->all_events;
        ok($pair->error_event(\@seen), "inside a stream, $what: an error");
        is_deeply([$pair->check(\@seen)], [], "inside a stream, $what: grammar");
        is($seen[-1]{json}{error}{details}[0]{retryDelay}, '7s', 'with its details') if @more;
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'cut', 'log');
    }
};

subtest 'a prompt that was blocked is an answer' => sub {
    my $blocked = { promptFeedback => { blockReason => 'SAFETY' }, usageMetadata => {
        promptTokenCount => 5, totalTokenCount => 5 }, modelVersion => 'gemini-2.5-flash' };
    $p->script(json(200, $blocked));
    is_deeply($t->post("$path:generateContent", $odd)->{json}, $blocked, 'whole');
    LLM::Pair::next_log($t, \$lines);
    $p->script(sse(gemini_event($blocked)));
    my $s = $t->stream("$path:streamGenerateContent?alt=sse", $odd);
    is_deeply([map { $_->{json} } $s->all_events], [$blocked], 'streamed');
    is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'ok', 'log');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
