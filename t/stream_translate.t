# Answers of one dialect for clients of the other, and of the same: text, reasoning, calls, finish
# reasons and usage are equal on both sides, streamed or whole.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p));
$t->start;

my $lines = 0;
my $is_true = JSON::PP::true();

# Asks for the same answer as a stream and as a whole; calls $look with what the client makes of
# it, the events (or the body), and the name.
sub both {
    my ($pair, $what, $o, $look, %question) = @_;
    my %thinking = ($pair->thinking, %question);

    $p->script(sse($pair->events(%$o)));
    my %usage = $pair->{client} eq 'chat' ? (stream_options => { include_usage => $is_true }) : ();
    my $s = $pair->stream($t, %thinking, %usage);
    my @events = $s->all_events;
    my $name = "$pair->{name}, $what, stream";
    is_deeply([$pair->check(\@events)], [], "$name: case 43: grammar");
    ok($s->clean_end, "$name: clean end");
    $look->($pair->assemble(\@events), \@events, $name);
    my $of_stream = LLM::Pair::next_log($t, \$lines);

    $p->script(json(200, $pair->answer(%$o)));
    my $r = $pair->post($t, %thinking);
    $name = "$pair->{name}, $what, whole";
    is($r->{status}, 200, "$name: status") or diag $r->{body};
    $look->($pair->read_answer($r->{json} || {}), $r->{json}, $name);
    is($p->last_request->{path}, $pair->{provider} eq 'chat' ? '/v1/chat/completions'
        : '/v1/messages', "$name: gotcha 103: the provider is asked in its own dialect");
    my $of_whole = LLM::Pair::next_log($t, \$lines);
    for my $field (qw(outcome finish_reason input_tokens output_tokens cached_tokens
        cache_write_tokens reasoning_tokens upstream_model))
    {
        is($of_whole->{$field}, $of_stream->{$field}, "$name: log has the same $field");
    }
    return $of_whole;
}

subtest 'text' => sub {
    for my $pair (LLM::Pair->all) {
        for my $text ("caf\x{e9} \x{2615}\x{1f600} \"quoted\" \\ / <b>\n\t\x{2028}\x01",
            ' leading and trailing ', '{"not":"parsed"}', "\n\n", 'x' x 20_000)
        {
            my $show = substr($text =~ s/[^ -~]/?/gr, 0, 20);
            both($pair, "text '$show'", { text => [$text =~ /(.{1,7})/gs] }, sub {
                my ($all, $events, $name) = @_;
                ok($all->{text} eq $text, "$name: the same");
                is($all->{finish}, $pair->{client} eq 'chat' ? 'stop' : 'end_turn',
                    "$name: finish");
                is(@{$all->{tools}}, 0, "$name: no calls");
            });
        }
    }
};

subtest 'reasoning' => sub {
    for my $pair (LLM::Pair->all) {
        my %o = (reasoning => ["H\x{e9}", "llo\n", '!'], text => 'So.',
            signature => 'U2lnbmF0dXJl');
        both($pair, 'reasoning', \%o, sub {
            my ($all, $events, $name) = @_;
            is($all->{reasoning}, "H\x{e9}llo\n!", "$name: the same");
            is($all->{text}, 'So.', "$name: text apart from it");
            is($all->{signature}, $pair->signature('U2lnbmF0dXJl'), "$name: signature")
                if $pair->{provider} eq 'messages';
        });
        next if $pair->is_same || $pair->{client} eq 'chat';
        # A client of messages that did not ask for thinking does not know the blocks.
        $p->script(sse($pair->events(%o)));
        my @events = $pair->stream($t)->all_events;
        is_deeply([$pair->check(\@events)], [], "$pair->{name}: not asked for: grammar");
        my $all = $pair->assemble(\@events);
        is("$all->{reasoning}|$all->{text}", '|So.', "$pair->{name}: not asked for");
        is(scalar(grep { ($_->{type} // '') ne 'text' } @{$all->{blocks}}), 0,
            "$pair->{name}: no other blocks");
        LLM::Pair::next_log($t, \$lines);
    }
};

subtest 'case 43: how a stream begins and ends' => sub {
    for my $pair (LLM::Pair->all) {
        $p->script(sse($pair->events(text => 'Hi', tools => [{ name => 'f' }],
            reasoning => 'Hm')));
        my @events = grep { !defined $_->{comment} }
            $pair->stream($t, $pair->thinking)->all_events;
        my $what = $pair->{name};
        if ($pair->{client} eq 'chat') {
            is($events[0]{json}{choices}[0]{delta}{role}, 'assistant', "$what: role first");
            is($events[-1]{data}, '[DONE]', "$what: [DONE] last");
        } else {
            is(scalar(grep { $_->{event} eq 'message_start' } @events), 1, "$what: one start");
            my $usage = $events[0]{json}{message}{usage};
            is("$usage->{cache_creation_input_tokens} $usage->{cache_read_input_tokens}", '0 0',
                "$what: cache fields at 0");
            is($events[-1]{event}, 'message_stop', "$what: message_stop last");
            my $all = $pair->assemble(\@events);
            is(join(' ', map { $_->{type} } @{$all->{blocks}}), 'thinking text tool_use',
                "$what: no empty block before them");
        }
        LLM::Pair::next_log($t, \$lines);
    }
};

# finish reason of the provider; of a chat client; of a messages client; with a call?
my %finish = (
    chat => [
        ['stop', 'stop', 'end_turn'], ['length', 'length', 'max_tokens'],
        ['tool_calls', 'tool_calls', 'tool_use', 1], ['stop', 'tool_calls', 'tool_use', 1],
        ['length', 'length', 'max_tokens', 1], ['content_filter', 'content_filter', 'refusal'],
    ],
    messages => [
        ['end_turn', 'stop', 'end_turn'], ['max_tokens', 'length', 'max_tokens'],
        ['stop_sequence', 'stop', 'stop_sequence'], ['tool_use', 'tool_calls', 'tool_use', 1],
        ['end_turn', 'tool_calls', 'tool_use', 1], ['max_tokens', 'length', 'max_tokens', 1],
        ['pause_turn', 'stop', 'pause_turn'], ['refusal', 'content_filter', 'refusal'],
        ['model_context_window_exceeded', 'length', 'model_context_window_exceeded'],
    ],
);

subtest 'case 42: finish reasons' => sub {
    for my $pair (grep { !$_->is_same } LLM::Pair->all) {
        for my $row (@{$finish{$pair->{provider}}}) {
            my ($native, $chat, $messages, $calls) = @$row;
            my %o = (text => 'Well', finish => $native,
                $calls ? (tools => [{ name => 'f', args => { a => 1 } }]) : (),
                $native eq 'stop_sequence' ? (stop_sequence => 'END') : ());
            my $log = both($pair, "$native" . ($calls ? ' with a call' : ''), \%o, sub {
                my ($all, $events, $name) = @_;
                is($all->{finish}, $pair->{client} eq 'chat' ? $chat : $messages, $name);
            });
            is($log->{finish_reason}, $native, "$pair->{name}: the native one is logged");
        }
    }
};

my %counts = (
    chat => { prompt_tokens => 100, completion_tokens => 50,
        prompt_tokens_details => { cached_tokens => 60 },
        completion_tokens_details => { reasoning_tokens => 20 } },
    messages => { input_tokens => 30, cache_read_input_tokens => 60,
        cache_creation_input_tokens => 10, output_tokens => 50 },
);

subtest 'usage, cache tokens counted once' => sub {
    for my $pair (LLM::Pair->all) {
        my $writes = $pair->{provider} eq 'messages' ? 10 : 0;
        my $log = both($pair, 'usage', { text => 'Hi', usage => $counts{$pair->{provider}} },
            sub {
                my ($all, $events, $name) = @_;
                my $u = $all->{usage};
                if ($pair->{client} eq 'chat') {
                    is("$u->{prompt_tokens} $u->{completion_tokens} $u->{total_tokens}",
                        '100 50 150', "$name: sums");
                    is($u->{prompt_tokens_details}{cached_tokens}, 60, "$name: cached");
                } else {
                    is("$u->{input_tokens} $u->{cache_read_input_tokens}"
                        . " $u->{cache_creation_input_tokens} $u->{output_tokens}",
                        40 - $writes . " 60 $writes 50", "$name: parts");
                }
            });
        is("$log->{input_tokens} $log->{cached_tokens} $log->{cache_write_tokens}"
            . " $log->{output_tokens}", "100 60 $writes 50", "$pair->{name}: log");
        is($log->{reasoning_tokens}, 20, "$pair->{name}: log: reasoning")
            if $pair->{provider} eq 'chat';
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
