# Case 13: a silent stream is kept alive by something that every SDK ignores, between whole
# events and only once the status is known.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p,
    location => 'llm_ping 60ms;',
    server => <<'END'));
        location /quiet/ { llm_pass models; llm_ping 0; llm_idle_timeout 400ms; }
        location /stall/ { llm_pass models; llm_ping 60ms; llm_idle_timeout 400ms; }
END
$t->start;

sub is_ping {
    my ($pair, $event) = @_;

    return defined $event->{comment} if $pair->{client} eq 'chat';
    return ($event->{event} // '') eq 'ping' && ref $event->{json}
        && $event->{json}{type} eq 'ping';
}

# Reads until $n pings have come since the last other event; returns all events.
sub read_pings {
    my ($pair, $s, $n) = @_;
    my ($found, @events) = (0);

    while ($found < $n) {
        my $event = $s->next_event or last;
        push @events, $event;
        $found = is_ping($pair, $event) ? $found + 1 : 0;
    }
    return ($found, @events);
}

subtest 'case 13, gotcha 11: pings while the provider is silent' => sub {
    for my $pair (LLM::Pair->all) {
        my @events = $pair->events(text => ['one', ' two']);
        # In front of the second word.
        my $at = $pair->{provider} eq 'chat' ? 2 : 4;
        $p->script(sse(@events[0 .. $at - 1], hold(), @events[$at .. $#events]));
        my $s = $pair->stream($t);
        my ($found, @seen) = read_pings($pair, $s, 4);
        is($found, 4, "$pair->{name}: pings come");
        is($pair->assemble(\@seen)->{text}, 'one', "$pair->{name}: behind the first content");
        is_deeply([map { $_->{data} // '' } grep { defined $_->{comment} && defined $_->{data} }
            @seen], [], "$pair->{name}: a comment has no data");
        $p->release;
        push @seen, $s->all_events;
        is_deeply([$pair->check(\@seen)], [], "$pair->{name}: grammar");
        my $all = $pair->assemble(\@seen);
        is("$all->{text} $all->{done}", 'one two 1', "$pair->{name}: nothing else is changed");
    }
};

subtest 'case 13: never inside an event' => sub {
    for my $pair (LLM::Pair->all) {
        my @events = $pair->events(text => ['one', ' two', ' three']);
        my $at = $pair->{provider} eq 'chat' ? 2 : 4;
        my $bytes = LLM::Provider::Script::sse_bytes($events[$at]);
        # Cut behind the colon of "data:", inside the JSON, and inside the blank line.
        for my $cut (index($bytes, 'data:') + 5, length($bytes) / 2, length($bytes) - 1) {
            my $what = "$pair->{name}, cut at $cut";
            $p->script(sse(@events[0 .. $at - 1], raw(substr $bytes, 0, $cut), hold(),
                raw(substr $bytes, $cut), @events[$at + 1 .. $#events]));
            my $s = $pair->stream($t);
            my ($found, @seen) = read_pings($pair, $s, 2);
            is($found, 2, "$what: pings come meanwhile");
            is($s->rest, '', "$what: behind a whole event");
            $p->release;
            push @seen, $s->all_events;
            is_deeply([$pair->check(\@seen)], [], "$what: grammar");
            is($pair->assemble(\@seen)->{text}, 'one two three', "$what: text");
            next unless $pair->is_same && $pair->{client} eq 'messages';
            my $others = join '', map { $_->{raw} } grep { !is_ping($pair, $_) } @seen;
            is($others, join('', map { LLM::Provider::Script::sse_bytes($_) }
                grep { $_->[0] ne 'ping' } @events), "$what: the provider's own bytes");
        }
    }
};

subtest 'case 13: never before the status is known' => sub {
    for my $pair (LLM::Pair->all) {
        for my $first ('head', 'events') {
            my $what = "$pair->{name}, held before " . ($first eq 'head' ? 'the head' : 'content');
            my @error = $pair->error_frame('overloaded_error', 'Too busy');
            $p->script($first eq 'events' ? sse(($pair->events)[0], hold(), @error)
                : raw_answer('hold', "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", 'end'));
            my $s = $pair->stream($t);
            ok($p->wait_held, "$what: the provider was asked");
            ok(!$s->status(0.3) && $s->timed_out, "$what: nothing is sent");
            $p->release;
            is($s->status, $pair->{client} eq 'chat' ? 503 : 529, "$what: the real status");
            $s->read_body;
            ok($pair->is_error($s->answer->{json}), "$what: and a body without pings")
                or diag $s->body;
        }
    }
};

subtest 'llm_ping 0 switches them off' => sub {
    for my $pair (LLM::Pair->all) {
        my @events = $pair->events(text => ['one', ' two']);
        @events = grep { ref $_ ne 'ARRAY' || $_->[0] ne 'ping' } @events;
        $p->script(sse(@events[0 .. 2], stall()));
        my $s = $t->stream('/quiet' . $pair->path,
            $pair->question(stream => JSON::PP::true()));
        my @seen = $s->all_events;
        ok($pair->error_event(\@seen), "$pair->{name}: it stalled and ended");
        # The one that belongs to the beginning of a messages stream is not a keep-alive.
        my @pings = grep { is_ping($pair, $_) } @seen;
        cmp_ok(scalar @pings, '<=', 1, "$pair->{name}: no pings");
        is(scalar(grep { is_ping($pair, $_) } @seen[2 .. $#seen]), 0,
            "$pair->{name}: none behind the beginning");
    }
};

subtest 'pings do not hide a stall' => sub {
    for my $pair (LLM::Pair->all) {
        my @events = $pair->events(text => ['one', ' two']);
        $p->script(sse(@events[0 .. 3], stall()));
        my $s = $t->stream('/stall' . $pair->path,
            $pair->question(stream => JSON::PP::true()));
        my @seen = $s->all_events;
        cmp_ok(scalar(grep { is_ping($pair, $_) } @seen), '>=', 3, "$pair->{name}: pings came");
        ok($pair->error_event(\@seen), "$pair->{name}: and the idle timeout all the same");
        ok($s->clean_end, "$pair->{name}: it ended");
    }
};

$t->done;
