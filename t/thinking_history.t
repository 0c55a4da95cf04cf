# Case 38: thinking that a client hands back reaches its provider as it was signed, or not at all.

use strict;
use warnings;
use LLM::Test;
use LLM::Json qw(encode_json_o);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p));
$t->start;

my $is_true = JSON::PP::true();
my $signature = 'EqoBCkgIBxABGAIiQL+/9w==' . 'Zz09' x 100;
my $thinking = "First \x{e9}, \"then\" \\ this.\n\nAnd that.";
my ($chat, $messages) = map { LLM::Pair->new($_, 'messages') } qw(chat messages);

# The second turn of a conversation with a tool: the provider is to get @$blocks as the beginning
# of the assistant's turn.
sub history {
    my ($pair, $assistant, %o) = @_;
    my @tools = $pair->{client} eq 'chat'
        ? { type => 'function', function => { name => 'f', parameters => { type => 'object' } } }
        : { name => 'f', input_schema => { type => 'object' } };
    my $result = $pair->{client} eq 'chat'
        ? { role => 'tool', tool_call_id => 'toolu_1', content => 'sunny' }
        : { role => 'user', content => [{ type => 'tool_result', tool_use_id => 'toolu_1',
            content => 'sunny' }] };

    $p->script(json(200, $pair->answer(text => 'Done.')));
    my $r = $pair->post($t, $pair->{client} eq 'chat' ? () : $pair->thinking,
        tools => \@tools, %o,
        messages => [{ role => 'user', content => 'Weather?' }, $assistant, $result]);
    is($r->{status}, 200, 'status') or diag $r->{body};
    return $p->last_request;
}

sub blocks_at_provider {
    my ($request) = @_;
    my ($turn) = grep { $_->{role} eq 'assistant' } @{$request->{json}{messages}};

    return @{$turn->{content}};
}

sub chat_turn {
    return { role => 'assistant', content => 'Let me look.', tool_calls => [{ id => 'toolu_1',
        type => 'function', function => { name => 'f', arguments => '{"a":1}' } }], @_ };
}

my @call = ({ type => 'text', text => 'Let me look.' },
    { type => 'tool_use', id => 'toolu_1', name => 'f', input => { a => 1 } });
my %whole = (type => 'thinking', thinking => $thinking, signature => $signature);
my @redacted = ({ type => 'redacted_thinking', data => 'EmwKAhgBEgy+/==' });

subtest 'a client of messages hands it back' => sub {
    my %kinds = (
        'thinking' => [\%whole], 'redacted' => [@redacted], 'both' => [\%whole, @redacted],
        'signature only' => [{ %whole, thinking => '' }],
        'two' => [\%whole, { %whole, thinking => 'more', signature => 'c2Vjb25k' }],
    );
    for my $kind (sort keys %kinds) {
        my $turn = { role => 'assistant', content => [@{$kinds{$kind}}, @call] };
        my $request = history($messages, $turn);
        ok(index($request->{body}, encode_json_o($turn->{content})) > 0,
            "$kind: byte for byte") or diag $request->{body};
    }
    # What this gateway gave it for another provider's reasoning, which has no signature.
    for my $unsigned ({ type => 'thinking', thinking => 'foreign', signature => '' },
        { type => 'thinking', thinking => 'foreign' })
    {
        my @blocks = blocks_at_provider(history($messages,
            { role => 'assistant', content => [$unsigned, @call] }));
        is_deeply(\@blocks, \@call, 'unsigned: dropped whole');
    }
};

# The answer of the first turn, as a client of chat keeps it.
sub first_turn {
    my ($streams, %o) = @_;
    my %answer = (reasoning => $thinking, signature => $signature, text => 'Let me look.',
        tools => [{ id => 'toolu_1', name => 'f', args => { a => 1 } }], %o);

    if (!$streams) {
        $p->script(json(200, $chat->answer(%answer)));
        return $chat->post($t)->{json}{choices}[0]{message};
    }
    $p->script(sse($chat->events(%answer)));
    my @events = $chat->stream($t)->all_events;
    my $all = $chat->assemble(\@events);
    my $choice = $all->{choices}[0];
    return chat_turn(content => $all->{text}, reasoning_content => $all->{reasoning},
        thinking_blocks => $choice->{thinking_blocks});
}

subtest 'a client of chat hands back what it was given' => sub {
    for my $streams (0, 1) {
        my $how = $streams ? 'stream' : 'whole';
        my $turn = first_turn($streams);
        is($turn->{reasoning_content}, $thinking, "$how: reasoning shown");
        my @blocks = blocks_at_provider(history($chat, $turn));
        is_deeply($blocks[0], \%whole, "$how: thinking comes back as it was signed");
        is_deeply([@blocks[1 .. $#blocks]], \@call, "$how: in front of text and call");

        $turn = first_turn($streams, reasoning => '');
        @blocks = blocks_at_provider(history($chat, $turn));
        is_deeply($blocks[0], { %whole, thinking => '' }, "$how: a signature without text");

        $turn = first_turn($streams, redacted => $redacted[0]{data});
        @blocks = blocks_at_provider(history($chat, $turn));
        is_deeply([grep { $_->{type} eq 'redacted_thinking' } @blocks], \@redacted,
            "$how: redacted thinking comes back");
        is_deeply([grep { $_->{type} eq 'thinking' } @blocks], [\%whole],
            "$how: beside the other");
    }
};

# Some blocks have no text. Where the texts of the others are all that was thought, none is missing.
subtest 'blocks with and without text' => sub {
    my @all = ([['hm', 'Zmlyc3Q='], ['', 'c2Vjb25k']], [['', 'Zmlyc3Q='], ['hm', 'c2Vjb25k']],
        [['one', 'Zmlyc3Q='], ['', 'c2Vjb25k'], ['two', 'dGhpcmQ=']]);
    for my $texts (@all) {
        my @thoughts = map { { type => 'thinking', thinking => $_->[0], signature => $_->[1] } } @$texts;
        for my $joint ('', "\n\n") {
            my @blocks = blocks_at_provider(history($chat, chat_turn(thinking_blocks => \@thoughts,
                reasoning_content => join $joint, grep { $_ ne '' } map { $_->[0] } @$texts)));
            is_deeply(\@blocks, [@thoughts, @call], join '|', map { $_->[0] } @$texts);
        }
    }
};

# Signatures and a text of its own, as some gateways stream them.
subtest 'what cannot be put together again' => sub {
    my @signatures = map { { type => 'thinking', thinking => '', signature => $_ } }
        $signature, 'c2Vjb25k';
    my @blocks = blocks_at_provider(history($chat, chat_turn(
        reasoning_content => 'of the first and of the second', thinking_blocks => \@signatures)));
    is_deeply(\@blocks, \@call, 'is dropped whole');
    @blocks = blocks_at_provider(history($chat, chat_turn(thinking_blocks => \@signatures)));
    is_deeply(\@blocks, [@signatures, @call], 'without any text there is nothing to lose');
};

subtest 'never without a signature' => sub {
    my %turns = (
        'text only' => chat_turn(reasoning_content => 'hm'),
        'empty signature' => chat_turn(reasoning_content => 'hm',
            thinking_blocks => [{ type => 'thinking', thinking => 'hm', signature => '' }]),
        'no signature' => chat_turn(
            thinking_blocks => [{ type => 'thinking', thinking => 'hm' }]),
        'null' => chat_turn(reasoning_content => undef, thinking_blocks => undef),
        'empty redacted' => chat_turn(
            thinking_blocks => [{ type => 'redacted_thinking', data => '' }]),
    );
    for my $kind (sort keys %turns) {
        my $request = history($chat, $turns{$kind}, reasoning_effort => 'high');
        is_deeply([blocks_at_provider($request)], \@call, "$kind: dropped whole");
        # The provider refuses a turn with a call and no thinking while thinking is on.
        is($request->{json}{thinking}, undef, "$kind: and no thinking asked for");
    }
};

subtest 'a chat provider gets no signature' => sub {
    for my $client (qw(chat messages)) {
        my $pair = LLM::Pair->new($client, 'chat');
        next if $pair->is_same;
        my $request = history($pair,
            { role => 'assistant', content => [\%whole, @redacted, @call] });
        unlike($request->{body}, qr/\Q$signature\E|signature|redacted|EmwKAhgB/,
            "$client client: none");
        my ($turn) = grep { $_->{role} eq 'assistant' } @{$request->{json}{messages}};
        is($turn->{content}, 'Let me look.', 'the text stays');
        is($turn->{tool_calls}[0]{id}, 'toolu_1', 'the call, too');
    }
};

$t->done;
