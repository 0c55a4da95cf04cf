# A stream that breaks after content: the client is told, in its own dialect, and never sees
# something that looks like a complete answer.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p,
    models => <<'END',
    llm_model chat-twice { deployment chat/gpt-4o; deployment chat/other order=2; }
    llm_model messages-twice { deployment messages/claude; deployment messages/other order=2; }
END
    server => 'location /stall/ {
        llm_pass models; llm_idle_timeout 400ms; access_log logs/llm.log pair; }
        location /short/ {
            llm_pass models; llm_timeout 400ms; access_log logs/llm.log pair; }'));
$t->start;

my $lines = 0;
my @tokens = map { "token$_ " } 1 .. 60;

# What every broken stream has to look like; returns the error that the client was shown.
sub is_cut {
    my ($pair, $what, $events, $text) = @_;
    my $seen = $pair->assemble($events);

    is_deeply([$pair->check($events)], [], "$what: grammar");
    is($seen->{text}, $text, "$what: what came before arrived") if defined $text;
    ok(!$seen->{done}, "$what: no terminal event");
    is($seen->{finish}, undef, "$what: no finish reason");
    my $error = $pair->error_event($events);
    ok($error, "$what: the last event is an error of the client's dialect")
        or diag(@$events ? $events->[-1]{raw} : 'no event');
    return $error || {};
}

# The first events of an answer, up to and with the 40th token.
sub forty {
    my ($pair) = @_;
    my @events = $pair->events(text => \@tokens);
    my $n = 0;
    my @kept;

    for my $event (@events) {
        push @kept, $event;
        my $data = ref $event eq 'ARRAY' ? $event->[1] : $event;
        my $text = $pair->{provider} eq 'chat' ? $data->{choices}[0]{delta}{content}
            : ($data->{delta} || {})->{text};
        last if ($text // '') eq 'token40 ';
    }
    return @kept;
}

subtest 'case 1: a cut stream is no success' => sub {
    my $text = join '', @tokens[0 .. 39];
    for my $pair (LLM::Pair->all) {
        my %ways = (
            'chunked' => sse(forty($pair), drop()),
            'content-length' => sse(forty($pair), raw(': more would come'),
                content_length => 1, cut_after => scalar(forty($pair))),
            'delimited by the close' => sse(forty($pair), close => 1),
            'clean end of the body' => sse(forty($pair)),
            'reset' => sse(forty($pair), hold(), rst()),
            'inside an event' => sse(forty($pair), raw('data: {"half'), drop()),
        );
        for my $way (sort keys %ways) {
            my $what = "$pair->{name}, $way";
            $p->script($ways{$way});
            my $s = $pair->stream($t);
            is($s->status, 200, "$what: had begun");
            my @events;
            if ($way eq 'reset') {
                # A reset throws away what the peer has not read yet: first let all arrive.
                while (my $event = $s->next_event) {
                    push @events, $event;
                    last if $event->{data} =~ /token40 /;
                }
                $p->release;
            }
            push @events, $s->all_events;
            is_cut($pair, $what, \@events, $text);
            ok($s->eof, "$what: and it ends");
            my $log = LLM::Pair::next_log($t, \$lines);
            is("$log->{outcome} $log->{status}", 'cut 200', "$what: log");
            is($log->{finish_reason}, '', "$what: no finish reason in the log");
            is($log->{input_tokens}, 21, "$what: tokens known so far")
                if $pair->{provider} eq 'messages';
            ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
        }
    }
};

subtest 'case 1: a cut whole answer is an error status' => sub {
    for my $pair (LLM::Pair->all) {
        for my $way ({}, { reset => 1 }, { chunked => 1 }) {
            my $what = join ' ', $pair->{name}, %$way;
            $p->script(json(200, $pair->answer, cut_after => 60, %$way));
            my $r = $pair->post($t);
            is($r->{status}, $pair->{client} eq 'chat' || !$way->{reset} ? 502 : 500, $what);
            ok($pair->is_error($r->{json}), "$what: an error of the dialect") or diag $r->{body};
            is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'upstream_error', "$what: log");
            ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
        }
    }
};

subtest 'case 5: a stall ends at the idle timeout' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        $p->on({ body => qr/stall here/ }, sse(forty($pair), stall => 1));
        $p->script(json(200, $pair->answer(text => 'well')));
        my $s = $t->stream('/stall' . $pair->path, $pair->question(stream => JSON::PP::true(),
            messages => [{ role => 'user', content => 'stall here' }]));
        my @events;
        while (my $event = $s->next_event) {
            push @events, $event;
            last if $event->{data} =~ /token40 /;
        }
        my $silent_since = time;
        my ($worker) = $t->worker_pids;
        my $cpu = cpu_ticks($worker);
        is($pair->read_answer($pair->post($t)->{json})->{text}, 'well',
            "$what: another request is not affected");
        is(LLM::Pair::in_flight($t), 1, "$what: the stalled one is in flight");
        push @events, $s->all_events;
        my $took = time - $silent_since;
        cmp_ok($took, '>', 0.3, "$what: not before its time");
        cmp_ok($took, '<', slow(1.4), "$what: soon after it");
        cmp_ok(cpu_ticks($worker) - $cpu, '<=', slow(10), "$what: waiting costs no CPU");
        my $error = is_cut($pair, $what, \@events, join '', @tokens[0 .. 39]);
        is($pair->{client} eq 'chat' ? $error->{code} : $error->{type},
            $pair->{client} eq 'chat' ? 'timeout' : 'timeout_error', "$what: it was a time-out");
        ok($p->wait_closed($_->{conn}), "$what: connection to the provider closed")
            for grep { $_->{body} =~ /stall here/ } $p->last_request, $p->requests;
        my %outcome = map { LLM::Pair::next_log($t, \$lines)->{outcome} => 1 } 1, 2;
        is_deeply(\%outcome, { ok => 1, timeout => 1 }, "$what: log");
        ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
        $p->clear;
        $p->on({ body => qr/stall here/ });
    }
};

subtest 'case 6: an error event after content is the last thing' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        $p->script(sse(forty($pair), hold(),
            $pair->error_frame('rate_limit_error', 'Number of tokens per minute exceeded.'),
            ($pair->events)[-2, -1], stall => 1));
        my $s = $pair->stream($t);
        my @events;
        while (my $event = $s->next_event) {
            push @events, $event;
            last if $event->{data} =~ /token40 /;
        }
        $p->release;
        push @events, $s->all_events;
        my $error = is_cut($pair, $what, \@events, join '', @tokens[0 .. 39]);
        is(scalar(grep { $pair->is_error($_->{json}) } @events), 1, "$what: one error");
        is($error->{type}, 'rate_limit_error', "$what: its kind");
        is($error->{message}, 'Number of tokens per minute exceeded.', "$what: its message");
        ok($p->wait_closed($p->last_request), "$what: connection to the provider closed");
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'cut', "$what: log");
        ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
    }
};

subtest 'llm_timeout ends a stream that goes on and on' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        my @events = forty($pair);
        $p->script(sse(@events, (map { ($events[-1], wait_s(0.05)) } 1 .. 1000)));
        my $began = time;
        my $s = $t->stream('/short' . $pair->path, $pair->question(stream => JSON::PP::true()));
        my @seen = $s->all_events;
        my $took = time - $began;
        cmp_ok($took, '>=', 0.35, "$what: not before its time");
        cmp_ok($took, '<', slow(1.4), "$what: soon after it");
        is_cut($pair, $what, \@seen);
        ok($p->wait_closed($p->last_request), "$what: connection to the provider closed");
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'timeout', "$what: log");
        ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
    }
};

subtest 'case 8: an answer without its terminator is complete' => sub {
    for my $pair (LLM::Pair->all) {
        for my $way ({}, { close => 1 }, { content_length => 1 }) {
            my $what = join ' ', $pair->{name}, %$way;
            my @all = $pair->events(text => 'all of it');
            pop @all;
            $p->script(sse(@all, %$way));
            my $began = time;
            my @events = $pair->stream($t)->all_events;
            cmp_ok(time - $began, '<', slow(1), "$what: finalised at once");
            is_deeply([$pair->check(\@events)], [], "$what: grammar");
            my $seen = $pair->assemble(\@events);
            is("$seen->{text} $seen->{done}", 'all of it 1', "$what: the terminator is added");
            my $log = LLM::Pair::next_log($t, \$lines);
            is("$log->{outcome} $log->{input_tokens} $log->{output_tokens}", 'ok 21 9',
                "$what: log");
        }
    }
};

subtest 'case 9: never a second answer after content' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        $p->clear;
        $p->script([sse(forty($pair), drop()), sse($pair->events(text => 'another answer'))]);
        my @events = $pair->stream($t, model => "$pair->{provider}-twice")->all_events;
        is_cut($pair, $what, \@events, join '', @tokens[0 .. 39]);
        is($p->request_count, 1, "$what: the other deployment was not asked");
        my $log = LLM::Pair::next_log($t, \$lines);
        is("$log->{outcome} $log->{attempts}", 'cut 1', "$what: log");
    }
};

sub cpu_ticks {
    my ($pid) = @_;
    my @f = split ' ', $t->slurp("/proc/$pid/stat") =~ /\) (.*)/s ? $1 : '';

    return $f[11] + $f[12];
}

$t->done;
