# failure-cases.md 1-9, 11-14, 28, 29, 32 and 34-37: every client of chat, messages and Responses, of
# providers of each, streaming and not, with a second deployment of the same and of another dialect.
# The others: 10 in recover.t, 15 in stream_error_classes.t, 30, 31 and 33 in cooldown_cases.t.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = qw(chat messages responses);
my @pairs = map { my $client = $_; map { LLM::Pair->new($client, $_) } @kinds } @kinds;
my $is_true = JSON::PP::true();

my $models = '';
for my $d (@kinds) {
    $models .= "llm_model one-$d { deployment $d/first id=one-$d; }\n";
    $models .= "llm_model back-$d { deployment $d/second; }\n";
    for my $e (@kinds) {
        $models .= <<"END";
    llm_model $d-$e { deployment $d/first; deployment $e/second order=2; }
    llm_model $d-to-$e { deployment $d/first; fallbacks back-$e;
        context_window_fallbacks back-$e; }
END
    }
}
my $url = $p->url;
$models .= "llm_provider keys-$_ { dialect " . ($_ eq 'chat' ? 'openai' : $_ eq 'messages'
    ? 'anthropic' : $_) . "; base_url $url/v1; api_key good-key; api_key dead-key; }
    llm_model keys-$_ { deployment keys-$_/first; }\n" for @kinds;
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => $models,
    http => 'llm_first_token_timeout 400ms; llm_idle_timeout 400ms; llm_key sk-all { alias all; }
        llm_auth optional; llm_key sk-one { alias one; models ' . join(' ', map { my $d = $_;
            map { "$d-to-$_" } @kinds } @kinds) . '; }',
    server => 'location = /metrics { llm_metrics; } location /ping/ { llm_pass models; llm_ping 50ms;
        llm_idle_timeout 10s; access_log logs/llm.log pair; }'));
$t->start;

my $lines = 0;

# Events before the first word.
sub head_of { return { chat => 1, messages => 3, responses => 4 }->{$_[0]{provider}} }
sub asked   { return join ' ', map { $_->{json}{model} } $p->requests }

sub answers {
    my ($first, @second) = @_;

    $p->clear->kick;
    $p->on({ body => qr/"model":"first"/ }, ref $first eq 'ARRAY' ? @$first : $first);
    $p->on({ body => qr/"model":"second"/ }, @second ? $second[0] : json(500, {}));
    return;
}

sub good {
    my ($pair, $is_stream, $text) = @_;

    return $is_stream ? sse($pair->events(text => $text)) : json(200, $pair->answer(text => $text));
}

sub part {
    my ($pair, $words, @more) = @_;
    my @events = $pair->events(text => [map { "word$_ " } 1 .. 60]);

    return sse(@events[0 .. head_of($pair) + $words - 1], @more);
}

# What came of a question: its status, its text or undef, its error or undef, attempts.
sub ask {
    my ($pair, $model, $is_stream, %o) = @_;
    my $s = $t->stream($pair->path($is_stream), $pair->question(model => $model,
        $is_stream ? (stream => $is_true) : (), %{$o{more} || {}}), %{$o{http} || {}});
    my %got = (status => $s->status, stream => $s, attempts => $s->header('x-llm-attempts'));

    if ($is_stream && $got{status} == 200) {
        my @events = $s->all_events;
        $got{complaints} = [$pair->check(\@events)];
        $got{all} = $pair->assemble(\@events);
        $got{text} = $got{all}{text};
        $got{error} = $pair->error_event(\@events);
        $got{errors} = grep { ($_->{event} // '') eq 'error'
            || ref $_->{json} && $_->{json}{error} && !$_->{json}{type} } @events;
    } else {
        $s->read_body;
        my $json = $s->answer->{json};
        $got{is_error} = $pair->is_error($json);
        $got{text} = $pair->read_answer($json)->{text} if $got{status} == 200;
    }
    $got{log} = LLM::Pair::next_log($t, \$lines);
    return \%got;
}

sub is_elsewhere {
    my ($got, $what) = @_;

    is("$got->{status} " . ($got->{text} // ''), '200 of the second', "$what: answered elsewhere");
    is_deeply($got->{complaints} || [], [], "$what: grammar");
    is("$got->{log}{outcome} $got->{attempts}", 'ok 2', "$what: case 36: two attempts");
    is(asked(), 'first second', "$what: each was asked once");
    return;
}

for my $pair (@pairs) {
    my ($d, $head) = ($pair->{provider}, head_of($pair));
    my @others = map { LLM::Pair->new($pair->{client}, $_) } $d,
        $d eq 'chat' ? 'messages' : 'chat';

    subtest "case 1, 6, 9: after content, $pair->{name}" => sub {
        # A pause: what comes together with its end was not sent yet.
        my %ways = (cut => part($pair, 40, wait_s(0.1), drop()),
            reset => part($pair, 40, wait_s(0.1), rst()),
            'clean end of the body' => part($pair, 40, wait_s(0.1)),
            'an error event' => $pair->failing($head + 40, 'rate_limit', 'Slow down',
                sse => [gap => 0.003], text => [map { "word$_ " } 1 .. 60]));
        for my $way (sort keys %ways) {
            answers($ways{$way}, good($others[0], 1, 'of the second'));
            my $got = ask($pair, "$d-$d", 1);
            is($got->{status}, 200, "$way: it had begun");
            ok($got->{error}, "$way: ends with an error event");
            is($got->{errors}, 1, "$way: with one");
            is_deeply($got->{complaints}, [], "$way: grammar");
            ok(!$got->{all}{done} && ($got->{all}{finish} // 'failed') eq 'failed', "$way: nothing says that it is whole");
            is($got->{text}, join('', map { "word$_ " } 1 .. 40), "$way: what came is there, once");
            is("$got->{log}{outcome} $got->{log}{finish_reason}", 'cut ', "$way: log");
            cmp_ok($got->{log}{output_tokens}, '>=', 40, "$way: tokens so far");
            is(asked(), 'first', "$way: case 9: nobody else was asked");
            ok($p->wait_closed('all', 1), "$way: the connection is closed");
        }
        answers(json(200, $pair->answer, cut_after => 60), json(500, {}));
        my $got = ask($pair, "one-$d", 0);
        is($got->{status}, 502, 'a cut whole answer is an error');
        ok($got->{is_error}, 'of the dialect');
    };

    subtest "case 2, 3, 4: before content, $pair->{name}" => sub {
        my @events = $pair->events(text => 'never seen');
        for my $other (@others) {
            my $model = "$d-$other->{provider}";
            for my $row (['an error event', $pair->failing($head, 'overloaded', 'Busy'), 503, 1],
                    ['the end', sse(@events[0 .. $head - 1]), 502, 1],
                    ['case 3: silence', 'silent', 504], ['case 4: no content',
                        sse(@events[0 .. $head - 1], stall()), 504, 1]) {
                my ($way, $answer, $status, $is_stream_only) = @$row;
                for my $is_stream (1, $is_stream_only ? () : 0) {
                    my $what = "$way, then $other->{provider}" . ($is_stream ? '' : ', whole');
                    answers($answer, good($other, $is_stream, 'of the second'));
                    is_elsewhere(ask($pair, $model, $is_stream), $what);
                    my ($first, $second) = $p->requests;
                    my $waited = $second->{at} - $first->{at};
                    cmp_ok($waited, '<=', 0.4 + slow(0.3), "$what: in time");
                    cmp_ok($waited, '>=', 0.38, "$what: not before") if $status == 504;
                    ok($p->wait_closed($first, 0.5), "$what: closed") if $status == 504;
                    next if $other->{provider} ne $d;
                    answers($answer);
                    my $got = ask($pair, "one-$d", $is_stream);
                    my $own = $pair->{client} eq 'messages' && $status == 503 ? 529 : $status;
                    is($got->{status}, $own, "$what: alone: the real status");
                    ok($got->{is_error}, "$what: alone: of the dialect");
                    is(asked(), 'first', "$what: alone: once");
                }
            }
        }
    };

    subtest "case 5: a stall, $pair->{name}" => sub {
        answers(part($pair, 20, stall()), good($others[0], 1, 'of the second'));
        my $began = time;
        my $got = ask($pair, "$d-$d", 1);
        cmp_ok(time - $began, '<', 0.4 + slow(0.3), 'within its time');
        ok($got->{error}, 'ends with an error event');
        is($got->{log}{outcome}, 'timeout', 'log');
    };

    subtest "case 7, 8, 11, 12: odd streams, $pair->{name}" => sub {
        my @events = $pair->events(text => ['one', " tw\x{f6}", ' three']);
        answers(sse(@events[0 .. $head], raw("event: strange\ndata: {\"half\": \n\n"),
            @events[$head + 1 .. $#events]));
        my $got = ask($pair, "one-$d", 1);
        ok($got->{is_error} || $got->{error} || ($got->{text} // '') eq "one tw\x{f6} three",
            'case 7: the rest arrives, or an error says so') or diag explain $got->{all};
        answers(sse(grep { $_ ne '[DONE]' } @events));
        $got = ask($pair, "one-$d", 1);
        is($got->{text}, "one tw\x{f6} three", 'case 8: without [DONE]');
        ok(!$got->{error} && $got->{all}{finish}, 'case 8: is complete');
        is($got->{log}{outcome}, 'ok', 'case 8: log');
        answers(sse(@events, bytewise => 1));
        $got = ask($pair, "one-$d", 1);
        is($got->{text}, "one tw\x{f6} three", 'case 11: byte by byte');
        is_deeply($got->{complaints}, [], 'case 11: grammar');
        answers(sse(@events[0 .. $head], hold(), @events[$head + 1 .. $#events]));
        my $s = $pair->stream($t, model => "one-$d");
        my @seen;
        while (my $event = $s->next_event) {
            push @seen, $event;
            last if $event->{data} =~ /one/;
        }
        is($pair->assemble(\@seen)->{text}, 'one', 'case 12: at once, while the rest is held');
        is($s->header('x-accel-buffering') . ' ' . $s->header('cache-control'), 'no no-cache',
            'case 12: nobody may hold it');
        $p->release;
        $s->all_events;
        LLM::Pair::next_log($t, \$lines);
    };

    subtest "case 13: pings, $pair->{name}" => sub {
        my @events = $pair->events(text => ['one', ' two']);
        answers(sse(@events[0 .. $head], hold(), @events[$head + 1 .. $#events]));
        my $s = $t->stream('/ping' . $pair->path, $pair->question(model => "one-$d",
            stream => $is_true));
        my ($pings, @seen) = (0);
        while ($pings < 3 and my $event = $s->next_event) {
            push @seen, $event;
            $pings += defined $event->{comment} || ($event->{event} // '') eq 'ping' ? 1 : 0;
        }
        is($pings, 3, 'they come');
        $p->release;
        push @seen, $s->all_events;
        is_deeply([$pair->check(\@seen)], [], 'grammar');
        is($pair->assemble(\@seen)->{text}, 'one two', 'nothing else is changed');
        LLM::Pair::next_log($t, \$lines);
    };

    for my $is_stream (1, 0) {
        my $how = $is_stream ? 'stream' : 'whole';
        subtest "case 14, 28, 29, 32, 34, 36: classes, $pair->{name}, $how" => sub {
            for my $other (@others) {
                my $e = $other->{provider};
                my $second = good($other, $is_stream, 'of the second');
                answers(json(503, {}), $second);
                my $got = ask($pair, "$d-to-$e", $is_stream,
                    http => { headers => { 'x-llm-disable-fallbacks' => 'true' } });
                is($got->{status}, $pair->{client} eq 'messages' ? 529 : 503,
                    "$e: case 14: its status");
                is(asked(), 'first', "$e: case 14: one attempt");
                answers(json(503, {}), $second);
                is_elsewhere(ask($pair, "$d-to-$e", $is_stream), "$e: case 36: the fallback");
                answers(json(429, {}, headers => { 'Retry-After' => 30 }), $second);
                is_elsewhere(ask($pair, "$d-$e", $is_stream), "$e: case 29: at once elsewhere");
                answers($pair->error('context_length', 'context length exceeded'), $second);
                is_elsewhere(ask($pair, "$d-to-$e", $is_stream),
                    "$e: case 34: a larger context window");
                answers($pair->error('context_length', 'context length exceeded'), $second);
                $got = ask($pair, "$d-$e", $is_stream);
                is("$got->{status} " . asked(), '400 first', "$e: case 34: to nobody else");
                ok($got->{is_error}, "$e: case 34: an error of the dialect");
                answers(json(503, {}), $second);
                $got = ask($pair, "$d-to-$e", $is_stream,
                    http => { headers => { authorization => 'Bearer sk-one' } });
                is("$got->{status} " . asked(), ($pair->{client} eq 'messages' ? 529 : 503)
                    . ' first', "$e: case 28: not a fallback that the key may not use");
                ok($got->{is_error}, "$e: case 28: an error of the dialect");
            }
            answers(json(429, {}));
            my $got = ask($pair, "one-$d", $is_stream,
                http => { headers => { 'x-llm-num-retries' => 2 } });
            is($got->{status}, 429, 'case 32: it stays so');
            ok($got->{is_error}, 'case 32: an error of the dialect');
            is(asked(), 'first first first', 'case 32: retries + 1');
            my @at = map { $_->{at} } $p->requests;
            cmp_ok($at[1] - $at[0], '>=', 0.09, 'case 32: spaced');
            cmp_ok($at[2] - $at[1], '>=', 0.18, 'case 32: more and more');

            $p->clear;
            $p->on({ body => qr/"model":"first"/ });
            $p->on({ head => qr/dead-key/ }, json(401, {}));
            $p->on({ head => qr/good-key/ }, good($pair, $is_stream, 'fine'));
            is(ask($pair, "keys-$d", $is_stream)->{text}, 'fine', 'case 34: the next key')
                for 1 .. 4;
            $p->on({ head => qr/$_-key/ }) for 'dead', 'good';
        };

        subtest "case 35: a dead idle connection, $pair->{name}, $how" => sub {
            $p->clear->kick;
            answers([map { { %{good($pair, $is_stream, 'fine')}, stale => 1 } } 1 .. 2]);
            is(ask($pair, "one-$d", $is_stream)->{attempts}, 1, 'the first');
            my $got = ask($pair, "one-$d", $is_stream);
            is("$got->{text} $got->{attempts}", 'fine 1', 'the second, on a new connection');
        };

        subtest "case 37: the client leaves, $pair->{name}, $how" => sub {
            answers($is_stream ? part($pair, 5, stall()) : 'silent');
            my $s = $t->stream($pair->path($is_stream), $pair->question(model => "one-$d",
                $is_stream ? (stream => $is_true) : ()));
            ok($p->wait_requests(1), 'it is asked');
            $is_stream and $s->next_event;
            $s->reset;
            ok($p->wait_closed('all', 0.2), 'the provider is let go');
            is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'client_closed', 'log');
        };
    }
}

ok($t->wait_for(sub { LLM::Metrics->get($t)->value('llm_requests_in_flight') == 0 }, 2,
    'nothing in flight'), 'nothing is in flight');
$t->done;
