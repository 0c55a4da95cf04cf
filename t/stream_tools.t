# Tool calls in answers, whatever the pieces in which their arguments come (cases 40 and 41).

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p));
$t->start;

my @pairs = LLM::Pair->all;

sub streamed {
    my ($pair, $what, @events) = @_;

    $p->script(sse(@events));
    my $s = $pair->stream($t);
    my @seen = $s->all_events;
    is_deeply([$pair->check(\@seen)], [], "$pair->{name}, $what: case 43: grammar");
    my $all = $pair->assemble(\@seen);
    is($all->{finish}, $pair->{client} eq 'chat' ? 'tool_calls' : 'tool_use',
        "$pair->{name}, $what: case 42: finish");
    return $all;
}

# What a client library makes of an argument text: none at all is an empty object.
sub value {
    my ($args) = @_;

    utf8::encode($args);
    return LLM::Json::try_json(length $args ? $args : '{}');
}

# Argument texts, and what they mean.
my %texts = (
    'plain' => '{"city":"Paris","days":[1,2.50,-3e2],"deep":{"a":null,"b":[true,false,{}]}}',
    'spaces' => " {\n \"a\" :\t1 }  ",
    'escapes' => '{"a":"\\u00e9\\ud83d\\ude00\\n\\"\\\\ \\/"}',
    'characters' => "{\"a\":\"\x{e9}\x{2615}\x{1f600}\"}",
    'quotes and braces' => '{"a":"}{\\"][,:","b":"\\\\"}',
    'large number' => '{"n":12345678901234567890123}',
    'empty object' => '{}',
    'long' => '{"a":"' . 'x' x 3000 . '"}',
);

subtest 'case 40: arguments arrive as they were written' => sub {
    for my $pair (@pairs) {
        for my $kind (sort keys %texts) {
            my $text = $texts{$kind};
            my %cuts = (
                'one piece' => [$text], 'pieces of 1' => [split //, $text],
                'pieces of 7' => [$text =~ /(.{1,7})/gs],
                'empty pieces' => ['', split(/(?<=[{,])/, $text), ''],
            );
            for my $cut (sort keys %cuts) {
                next if $kind eq 'long' && $cut eq 'pieces of 1';
                my $all = streamed($pair, "$kind, $cut", $pair->events(
                    tools => [{ id => 'id_1', name => 'f', args => $cuts{$cut} }]));
                is(scalar @{$all->{tools}}, 1, "$pair->{name}, $kind, $cut: one call");
                my $args = $all->{tools}[0]{args};
                if ($kind eq 'empty object') {
                    is_deeply(value($args), {}, "$pair->{name}, $kind, $cut");
                } else {
                    ok($args eq $text, "$pair->{name}, $kind, $cut") or diag $args;
                }
            }
        }
    }
};

subtest 'case 40: a unicode escape cut at every place' => sub {
    my $text = '{"a":"x\\ud83d\\ude00y\\u00e9"}';
    for my $pair (@pairs) {
        for my $at (1 .. length($text) - 1) {
            my $all = streamed($pair, "cut at $at", $pair->events(tools => [{ name => 'f',
                args => [substr($text, 0, $at), substr $text, $at] }]));
            is($all->{tools}[0]{args}, $text, "$pair->{name}, cut at $at");
        }
    }
};

subtest 'case 40: no arguments' => sub {
    for my $pair (@pairs) {
        for my $pieces ([], [''], ['{}'], ['{', '}']) {
            my $what = 'pieces: ' . join '|', @$pieces;
            my $all = streamed($pair, $what, $pair->events(text => 'So.',
                tools => [{ name => 'f', args => $pieces }, { name => 'g', args => $pieces }]));
            is_deeply([map { $_->{name} } @{$all->{tools}}], ['f', 'g'], "$pair->{name}, $what");
            is_deeply([map { value($_->{args}) } @{$all->{tools}}], [{}, {}],
                "$pair->{name}, $what: empty objects");
            next if $pair->is_same || $pair->{client} ne 'chat';
            is($_->{args}, '{}', "$pair->{name}, $what: and JSON") for @{$all->{tools}};
        }
        # A whole answer of chat says it in many ways.
        next if $pair->{provider} ne 'chat' || $pair->is_same;
        for my $args ('', '{}', ' ') {
            my $answer = $pair->answer(tools => [{ name => 'f' }]);
            $answer->{choices}[0]{message}{tool_calls}[0]{function}{arguments} = $args;
            $p->script(json(200, $answer));
            my $all = $pair->read_answer($pair->post($t)->{json} || {});
            is_deeply([map { value($_->{args}) } @{$all->{tools}}], [{}],
                "$pair->{name}, whole, '$args'");
        }
    }
};

subtest 'case 41: parallel calls' => sub {
    my @tools = map { { id => "id_$_", name => "tool_$_", args => { n => $_ } } } 1 .. 5;
    for my $pair (@pairs) {
        my $all = streamed($pair, 'five', $pair->events(text => 'So.', tools => \@tools));
        is(join(' ', map { "$_->{id} $_->{name} $_->{args}" } @{$all->{tools}}),
            join(' ', map { "id_$_ tool_$_ {\"n\":$_}" } 1 .. 5), "$pair->{name}: in order");
        my %ids = map { $_->{id} => 1 } @{$all->{tools}};
        is(keys %ids, 5, "$pair->{name}: ids of their own");

        $p->script(json(200, $pair->answer(tools => \@tools)));
        $all = $pair->read_answer($pair->post($t)->{json} || {});
        is(join(' ', map { "$_->{id} $_->{name} $_->{args}" } @{$all->{tools}}),
            join(' ', map { "id_$_ tool_$_ {\"n\":$_}" } 1 .. 5), "$pair->{name}: whole");

        # The same name twice, one after the other.
        $all = streamed($pair, 'twice', $pair->events(
            tools => [map { { name => 'f', args => { n => $_ } } } 1, 2]));
        is(join(' ', map { "$_->{name} $_->{args}" } @{$all->{tools}}),
            'f {"n":1} f {"n":2}', "$pair->{name}: the same tool twice");
        isnt($all->{tools}[0]{id}, $all->{tools}[1]{id}, "$pair->{name}: with two ids");
    }
};

# Chunks of a chat provider that gives several calls at once, or mixes their arguments.
subtest 'case 41: interleaved calls of a chat provider' => sub {
    my $start = sub {
        return { index => $_[0], id => "id_$_[0]", type => 'function',
            function => { name => "tool_$_[0]", arguments => $_[1] // '' } };
    };
    my $more = sub { return { index => $_[0], function => { arguments => $_[1] } } };
    my %ways = (
        'all opened first' => [[$start->(0)], [$start->(1)], [$more->(0, '{"n"')],
            [$more->(1, '{"n"')], [$more->(0, ':0}')], [$more->(1, ':1}')]],
        'in one chunk' => [[$start->(0, '{"n":'), $start->(1, '{"n":')],
            [$more->(0, '0}'), $more->(1, '1}')]],
        'whole calls in one chunk' => [[$start->(0, '{"n":0}'), $start->(1, '{"n":1}')]],
        'backwards' => [[$start->(0)], [$start->(1, '{"n":1}')], [$more->(0, '{"n":0}')]],
    );

    for my $pair (grep { $_->{provider} eq 'chat' } @pairs) {
        for my $way (sort keys %ways) {
            my @events = $pair->events(tools => [{ name => 'x' }]);
            my @chunks = map { my $c = LLM::Json::try_json(LLM::Json::encode_json_o($events[0]));
                $c->{choices}[0]{delta} = { tool_calls => $_ }; $c } @{$ways{$way}};
            my $all = streamed($pair, $way, $events[0], @chunks, @events[-3 .. -1]);
            is(join(' ', map { "$_->{id} $_->{name} $_->{args}" } @{$all->{tools}}),
                'id_0 tool_0 {"n":0} id_1 tool_1 {"n":1}', "$pair->{name}: $way");
        }
    }
};

# Only a finish reason of length says that a call is not complete.
subtest 'arguments cut by the length' => sub {
    for my $pair (grep { !$_->is_same } @pairs) {
        $p->script(sse($pair->events(tools => [{ name => 'f', args => ['{"a":"unfin'] }],
            finish => $pair->{provider} eq 'chat' ? 'length' : 'max_tokens')));
        my @seen = $pair->stream($t)->all_events;
        my $all = $pair->assemble(\@seen);
        is($all->{finish}, $pair->{client} eq 'chat' ? 'length' : 'max_tokens',
            "$pair->{name}: finish");
        is($all->{tools}[0]{args}, '{"a":"unfin', "$pair->{name}: what there is of them");
        ok($all->{done}, "$pair->{name}: the stream is complete");
    }
};

$t->done;
