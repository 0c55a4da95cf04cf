# Case 7: an event that makes no sense. Between equal dialects it passes and the rest arrives;
# where it has to be translated it is skipped when nothing can be lost, else the client is told.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, server => <<'END'));
        location /small/ { llm_pass models; llm_max_body 100k; access_log logs/llm.log pair; }
END
$t->start;
my ($worker) = $t->worker_pids;
my $lines = 0;

# The same place in a stream of either dialect: between two words, of which the client has the
# first.
sub around {
    my ($pair, $middle) = @_;
    my @events = $pair->events(text => ['one', ' two']);
    my $at = $pair->{provider} eq 'chat' ? 2 : 4;

    return sse(@events[0 .. $at - 1], hold(), raw($middle), @events[$at .. $#events]);
}

# The events of the client, of which those behind the first word are let go when it has that.
sub events_around {
    my ($s) = @_;
    my @events;

    while (my $event = $s->next_event) {
        push @events, $event;
        last if $event->{data} =~ /"one"/;
    }
    $p->release;
    return (@events, $s->all_events);
}

my $deep = '[' x 100_000;
my %broken = (
    'half an object' => "data: {\"id\":\n\n",
    'no JSON' => "data: hello world\n\n",
    'HTML' => "data: <html>502 Bad Gateway</html>\n\n",
    'a NUL byte' => "data: {\"a\":\"\0\"}\n\n",
    'invalid UTF-8' => "data: {\"a\":\"\xff\xfe\"}\n\n",
    'half a character' => "data: {\"a\":\"\xe2\x98\"}\n\n",
    'two objects' => "data: {}{}\n\n",
    'a bad escape' => "data: {\"a\":\"\\x\"}\n\n",
    'too deep' => "data: $deep\n\n",
    'deep and closed' => "data: $deep" . ']' x 100_000 . "\n\n",
);
my %odd = (
    'a number' => "data: 123\n\n",
    'a string' => "data: \"text\"\n\n",
    'null' => "data: null\n\n",
    'an empty object' => "data: {}\n\n",
    'no data' => "event: something\n\n",
    'empty data' => "data:\n\n",
    'an unknown event' => "event: news\ndata: {\"type\":\"news\",\"x\":[1,2]}\n\n",
    'an unknown field' => "foo: bar\n\n",
    'a line without a colon' => "foo\n\n",
    'comments' => ": hi\n\n:\n\n",
    'blank lines' => "\n\n\r\n\r\n",
    'wrong types' => "data: {\"id\":5,\"model\":[],\"choices\":{},\"usage\":\"x\"}\n\n",
    'wrong types inside' => "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":{\"a\":1},"
        . "\"tool_calls\":\"x\"}},7,null]}\n\n",
);
# What may be skipped, or be an error: nobody can tell what was lost.
my %either = (
    'a delta for no block' => "event: content_block_delta\ndata: "
        . "{\"type\":\"content_block_delta\",\"index\":99,\"delta\":{\"type\":\"text_delta\"}}\n\n",
    'a stop of no block' => "event: content_block_stop\ndata: "
        . "{\"type\":\"content_block_stop\",\"index\":98}\n\n",
    'a negative index' => "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
        . "\"index\":-1,\"delta\":{\"type\":\"text_delta\",\"text\":7}}\n\n",
);

for my $pair (LLM::Pair->all) {
    subtest "case 7: $pair->{name}" => sub {
        for my $kind (sort(keys %broken), sort(keys %odd), sort keys %either) {
            my $middle = $broken{$kind} || $odd{$kind} || $either{$kind};
            my $answer = around($pair, $middle);
            $p->script($answer);
            if ($pair->is_same) {
                # Its usage asked for: the one chunk that would be hidden otherwise.
                my $s = $pair->stream($t, $pair->{client} eq 'chat'
                    ? (stream_options => { include_usage => JSON::PP::true() }) : ());
                events_around($s);
                is($s->body, join('', map { ref $_ ne 'LLM::Provider::Step'
                    ? LLM::Provider::Script::sse_bytes($_) : $_->[1] // '' }
                    @{$answer->{events}}), "$kind: all passes as it came");
                ok($s->clean_end, "$kind: it ends");
                is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'ok', "$kind: log");
                next;
            }
            my $s = $pair->stream($t);
            my @events = events_around($s);
            my $all = $pair->assemble(\@events);
            ok($s->clean_end, "$kind: it ends");
            if ($odd{$kind} || $either{$kind} && $all->{done}) {
                is_deeply([$pair->check(\@events)], [], "$kind: grammar");
                is("$all->{text} $all->{done}", 'one two 1', "$kind: the rest arrives");
                is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'ok', "$kind: log");
                next;
            }
            is_deeply([$pair->check(\@events)], [], "$kind: grammar");
            is($all->{text}, 'one', "$kind: what was before");
            ok($pair->error_event(\@events), "$kind: a clean error");
            ok(!$all->{done}, "$kind: and nothing that looks complete");
            is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'cut', "$kind: log");
        }
    };

    subtest "before any content, $pair->{name}" => sub {
        for my $kind (grep { !$pair->is_same } sort keys %broken) {
            $p->script(sse(raw($broken{$kind}), $pair->events));
            my $s = $pair->stream($t);
            is($s->status, 502, "$kind: status");
            $s->read_body;
            ok($pair->is_error($s->answer->{json}), "$kind: an error of the dialect");
            LLM::Pair::next_log($t, \$lines);
        }
        $p->script(sse($pair->events(text => 'good')));
        my @events = $pair->stream($t)->all_events;
        is($pair->assemble(\@events)->{text}, 'good', 'the next stream is well');
        LLM::Pair::next_log($t, \$lines);
    };
}

# Limits: what a provider can make us keep.
my @megabytes = map { raw('y' x 1_000_000) } 1 .. 18;

subtest 'an event that never ends' => sub {
    for my $pair (LLM::Pair->all) {
        my @events = $pair->events(text => ['one', ' two']);
        my $at = $pair->{provider} eq 'chat' ? 2 : 4;
        for my $first ([], [@events[0 .. $at - 1]]) {
            my $what = "$pair->{name}, " . (@$first ? 'after content' : 'at once');
            my $before = $t->worker_rss($worker);
            $p->script(sse(@$first, raw('data: {"x":"'), @megabytes, stall()));
            my $s = $pair->stream($t);
            my @seen = $s->all_events;
            if (@$first) {
                is($s->status, 200, "$what: had begun");
                ok($pair->error_event(\@seen), "$what: an error event");
            } else {
                is($s->status, 502, "$what: status");
                ok($pair->is_error($s->answer->{json}), "$what: an error of the dialect");
            }
            ok($p->wait_closed($p->last_request), "$what: the provider is let go");
            cmp_ok($t->worker_rss($worker) - $before, '<', 64 * 1024, "$what: memory");
            LLM::Pair::next_log($t, \$lines);
        }
    }
};

subtest 'events without content that never end' => sub {
    for my $pair (LLM::Pair->all) {
        my @first = ($pair->events)[0];
        my $before = $t->worker_rss($worker);
        $p->script(sse(flood($first[0], 40_000)));
        my $s = $pair->stream($t);
        is($s->status, 502, "$pair->{name}: status");
        $s->read_body;
        ok($pair->is_error($s->answer->{json}), "$pair->{name}: an error of the dialect");
        cmp_ok($t->worker_rss($worker) - $before, '<', 16 * 1024, "$pair->{name}: memory");
        LLM::Pair::next_log($t, \$lines);
    }
};

subtest 'a whole answer over llm_max_body' => sub {
    for my $pair (LLM::Pair->all) {
        for my $streams (0, 1) {
            $p->script(json(200, $pair->answer(text => 'x' x 200_000)));
            my $r = $t->post('/small' . $pair->path, $pair->question(
                $streams ? (stream => JSON::PP::true()) : ()));
            is($r->{status}, 502, "$pair->{name}: status");
            ok($pair->is_error($r->{json}), "$pair->{name}: an error of the dialect");
            LLM::Pair::next_log($t, \$lines);
        }
    }
};

is(($t->worker_pids)[0], $worker, 'the worker lives');
ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
