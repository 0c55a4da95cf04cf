# The second round of a conversation with a tool, as a client sends back what it was given: the
# provider reads its own opaque reasoning byte for byte, in its own form; another provider reads the
# call and its result, and nothing of what it could not know.

use strict;
use warnings;
use LLM::Test;
use LLM::Client::Gemini;
use LLM::Forms;
use LLM::Json qw(encode_json_o ordered);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()]));
$t->start;

# Some providers count their calls anew in each answer, or give all of one answer the same id; for
# others each must have its own.
# The later one is what the client means now; that the other is left out is told.
subtest 'two results of one call' => sub {
    for my $provider (qw(messages bedrock)) {
        my $pair = LLM::Pair->new('chat', $provider);
        $p->script($pair->whole(text => 'hi'));
        my $r = $pair->post($t, $pair->tool('f'), messages => [{ role => 'user', content => 'go' },
            ordered(role => 'assistant', content => undef, tool_calls => [ordered(id => 'c', type => 'function',
                function => ordered(name => 'f', arguments => '{}'))]),
            map { ordered(role => 'tool', tool_call_id => 'c', content => $_) } 'early', 'late']);
        is($r->{status}, 200, "$provider: status") or diag $r->{body};
        my $body = $p->last_request->{body};
        ok($body =~ /late/ && $body !~ /early/, 'the later one is sent');
        like($r->{headers}{'x-llm-dropped-params'} // '', qr/tool_result/, 'the other is named');
    }
};

subtest 'calls that have one id' => sub {
    my $call = sub { ordered(id => $_[0], type => 'function', function => ordered(name => $_[1],
        arguments => '{}')) };
    my $said = sub { ordered(role => 'tool', tool_call_id => $_[0], content => $_[1]) };
    for my $provider (qw(messages bedrock)) {
        my $pair = LLM::Pair->new('chat', $provider);
        $p->script($pair->whole(text => 'hi'));
        my $r = $pair->post($t, $pair->tool('f'), messages => [{ role => 'user', content => 'go' },
            ordered(role => 'assistant', content => undef, tool_calls =>
                [$call->('call_0', 'f'), $call->('call_0', 'g')]),
            $said->('call_0', 'of f'), $said->('call_0', 'of g'),
            ordered(role => 'assistant', content => undef, tool_calls => [$call->('call_0', 'h')]),
            $said->('call_0', 'of h')]);
        is($r->{status}, 200, "$provider: status") or diag $r->{body};
        my (%name_of, @said);
        for my $message (@{$p->last_request->{json}{messages}}) {
            for my $block (@{$message->{content}}) {
                my $use = $block->{toolUse} || ($block->{type} // '') eq 'tool_use' && $block;
                my $result = $block->{toolResult} || ($block->{type} // '') eq 'tool_result' && $block;
                if ($use) {
                    my $id = $use->{toolUseId} // $use->{id};
                    ok(!$name_of{$id}, "$id is new");
                    $name_of{$id} = $use->{name};
                } elsif ($result) {
                    my $text = $result->{content};
                    $text = $text->[0]{text} if ref $text;
                    push @said, ($name_of{$result->{toolUseId} // $result->{tool_use_id}} // '') . ": $text";
                }
            }
        }
        is(join(', ', @said), 'f: of f, g: of g, h: of h', "$provider: each result at its call");
    }
};

my $lines = 0;
my $signature = 'RXFxQ0NrZ0lDaEFDR0FJPQ==';
my $user = 'Use the tool, please.';
my $result = 'It is 21 degrees.';

# What the client sends, from what it was answered: [members of the question].
my %round = (
    chat => sub {
        my $message = $_[0]{choices}[0]{message};
        return (messages => [{ role => 'user', content => $user }, $message, ordered(role => 'tool',
            tool_call_id => $message->{tool_calls}[0]{id}, content => $result)]);
    },
    messages => sub {
        my $content = $_[0]{content};
        my ($call) = grep { $_->{type} eq 'tool_use' } @$content;
        return (messages => [{ role => 'user', content => $user },
            ordered(role => 'assistant', content => $content), ordered(role => 'user',
                content => [ordered(type => 'tool_result', tool_use_id => $call->{id},
                    content => $result)])]);
    },
    responses => sub {
        my @output = @{$_[0]{output}};
        my ($call) = grep { $_->{type} eq 'function_call' } @output;
        return (input => [{ role => 'user', content => $user }, @output,
            ordered(type => 'function_call_output', call_id => $call->{call_id},
                output => $result)]);
    },
    gemini => sub {
        return (contents => [{ role => 'user', parts => [{ text => $user }] },
            $_[0]{candidates}[0]{content}, ordered(role => 'user', parts => [{
                functionResponse => ordered(name => 'get_it', response => { result => $result })
            }])]);
    },
);
my %asks_thoughts = (
    messages => [max_tokens => 4096, thinking => { type => 'enabled', budget_tokens => 1024 }],
    responses => [include => ['reasoning.encrypted_content'], store => JSON::PP::false()],
    gemini => [generationConfig => { thinkingConfig => { includeThoughts => JSON::PP::true() } }],
    chat => [],
);

# Where a provider wants its own reasoning back.
my %at = (
    messages => sub { map { $_->{signature} // () } map { ref $_->{content} ? @{$_->{content}} : () }
        @{$_[0]{messages}} },
    bedrock => sub { map { $_->{reasoningContent}{reasoningText}{signature} // () }
        grep { $_->{reasoningContent} } map { @{$_->{content}} } @{$_[0]{messages}} },
    responses => sub { map { $_->{encrypted_content} // () } @{$_[0]{input}} },
    gemini => sub { map { $_->{thoughtSignature} // () } map { @{$_->{parts}} }
        @{$_[0]{contents}} },
);
$at{'bedrock-invoke'} = $at{messages};

my @pairs = grep { $round{ $_->{client} } } LLM::Pair->every;

for my $pair (@pairs) {
    subtest $pair->{name} => sub {
        my @ask = (@{$asks_thoughts{ $pair->{client} }}, $pair->tool('get_it'));
        $p->script($pair->whole(reasoning => 'Hm.', signature => $signature,
            tools => [{ id => 'call_1', name => 'get_it', args => { x => 1 } }]));
        my $first = $pair->post($t, @ask);
        is($first->{status}, 200, 'the first round') or diag($first->{body});
        my @second = (@ask, $round{ $pair->{client} }->($first->{json}));

        for my $to (grep { $_->{client} eq $pair->{client} } @pairs) {
            my $name = "then $to->{provider}";
            $p->script($to->whole);
            my $r = $to->post($t, @second);
            is($r->{status}, 200, "$name: status") or diag($r->{body});
            my $q = $p->last_request;
            like($q->{body}, qr/get_it/, "$name: the call");
            like($q->{body}, qr/\Q$result\E/, "$name: its result");
            # Chat that is passed through may lead to those who know what it is.
            next if $to->{provider} eq 'chat' && $pair->{client} eq 'chat';
            unlike($q->{body}, qr/gw1\./, "$name: no tag of ours");
            my $family = sub { $_[0] =~ /\A(?:messages|bedrock)/ ? 'claude' : $_[0] };
            if (!$at{ $pair->{provider} }
                || $family->($to->{provider}) ne $family->($pair->{provider}))
            {
                unlike($q->{body}, qr/\Q$signature\E/, "$name: nothing of another's");
            } elsif ($to->{provider} eq $pair->{provider}) {
                is_deeply([$at{ $to->{provider} }->($q->{json})], [$signature],
                    "$name: its signature, once and where it belongs");
            }
        }
    };
}

$t->done;
