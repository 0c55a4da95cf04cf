# A provider that answers a request for a stream with one JSON body: the client gets its stream
# all the same, with everything that the body says.

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

sub replayed {
    my ($pair, $what, $answer, %question) = @_;

    $p->script(json(200, $answer));
    my $s = $pair->stream($t, $pair->thinking, %question);
    my @events = $s->all_events;
    is($s->status, 200, "$what: status");
    is($s->header('content-type'), 'text/event-stream; charset=utf-8', "$what: a stream");
    is_deeply([$pair->check(\@events)], [], "$what: grammar");
    my $all = $pair->assemble(\@events);
    is($all->{done}, 1, "$what: complete");
    my $log = LLM::Pair::next_log($t, \$lines);
    is("$log->{outcome} $log->{input_tokens} $log->{output_tokens}", 'ok 21 9', "$what: log");
    return $all;
}

for my $pair (LLM::Pair->all) {
    subtest $pair->{name} => sub {
        my $all = replayed($pair, 'text', $pair->answer(text => "caf\x{e9}\nau \"lait\""));
        is($all->{text}, "caf\x{e9}\nau \"lait\"", 'text');
        is($all->{finish}, $pair->{client} eq 'chat' ? 'stop' : 'end_turn', 'text: finish');

        $all = replayed($pair, 'all', $pair->answer(reasoning => 'Hm.', text => 'So.',
            signature => 'c2lnbmF0dXJl', tools => [{ id => 'id_1', name => 'f',
            args => { x => [1, { y => undef }] } }, { id => 'id_2', name => 'g' }]));
        is("$all->{reasoning}|$all->{text}", 'Hm.|So.', 'reasoning and text');
        is($all->{signature}, $pair->signature('c2lnbmF0dXJl'), 'signature')
            if $pair->{provider} eq 'messages';
        is(join('|', map { "$_->{id} $_->{name}" } @{$all->{tools}}), 'id_1 f|id_2 g', 'calls');
        is_deeply([map { LLM::Json::try_json($_->{args} || '{}') } @{$all->{tools}}],
            [{ x => [1, { y => undef }] }, {}], 'arguments');
        is($all->{finish}, $pair->{client} eq 'chat' ? 'tool_calls' : 'tool_use',
            'calls: finish');

        $all = replayed($pair, 'cut by length', $pair->answer(text => 'So',
            finish => $pair->{provider} eq 'chat' ? 'length' : 'max_tokens'));
        is($all->{finish}, $pair->{client} eq 'chat' ? 'length' : 'max_tokens', 'length');

        if ($pair->{client} eq 'chat') {
            is($all->{usage}, undef, 'usage: not asked for');
            $all = replayed($pair, 'usage', $pair->answer,
                stream_options => { include_usage => JSON::PP::true() });
            is("$all->{usage}{prompt_tokens} $all->{usage}{completion_tokens}", '21 9',
                'usage: asked for');
        } else {
            is("$all->{usage}{input_tokens} $all->{usage}{output_tokens}", '21 9', 'usage');
        }
    };

    # The other way round there is nothing to be done.
    subtest "a stream that nobody asked for, $pair->{name}" => sub {
        $p->script(sse($pair->events));
        my $r = $pair->post($t);
        is($r->{status}, 502, 'status');
        ok($pair->is_error($r->{json}), 'an error of the dialect');
        LLM::Pair::next_log($t, \$lines);
    };
}

$t->done;
