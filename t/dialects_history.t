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

# A history in the words of a client: [calls => [ID, NAME]...] and [results => [ID, TEXT]...].
my %history = (
    chat => sub {
        return (messages => [{ role => 'user', content => 'go' }, map {
            my ($what, @all) = @$_;
            $what eq 'calls' ? ordered(role => 'assistant', content => undef, tool_calls => [map {
                ordered(id => $_->[0], type => 'function', function => ordered(name => $_->[1],
                    arguments => '{}')) } @all])
            : map { ordered(role => 'tool', tool_call_id => $_->[0], content => $_->[1]) } @all } @_]);
    },
    messages => sub {
        return (messages => [{ role => 'user', content => 'go' }, map {
            my ($what, @all) = @$_;
            $what eq 'calls' ? ordered(role => 'assistant', content => [map {
                ordered(type => 'tool_use', id => $_->[0], name => $_->[1], input => {}) } @all])
            : ordered(role => 'user', content => [map { ordered(type => 'tool_result',
                tool_use_id => $_->[0], content => $_->[1]) } @all]) } @_]);
    },
    responses => sub {
        return (input => [{ role => 'user', content => 'go' }, map {
            my ($what, @all) = @$_;
            map { $what eq 'calls' ? ordered(type => 'function_call', call_id => $_->[0],
                name => $_->[1], arguments => '{}')
            : ordered(type => 'function_call_output', call_id => $_->[0], output => $_->[1]) } @all } @_]);
    },
);

# What a provider was sent: [ID, NAME of a call], [ID, undef, what is said of it].
my %said = (
    messages => sub { map { my $of = $_->{type};
        $of eq 'tool_use' ? [@$_{qw(id name)}]
        : $of eq 'tool_result' ? [$_->{tool_use_id}, undef, $_->{content}] : () }
        map { @{$_->{content}} } @{$_[0]{messages}} },
    bedrock => sub { map { my ($call, $result) = @$_{qw(toolUse toolResult)};
        $call ? [@$call{qw(toolUseId name)}]
        : $result ? [$result->{toolUseId}, undef, $result->{content}] : () }
        map { @{$_->{content}} } @{$_[0]{messages}} },
    chat => sub { map { $_->{role} eq 'tool' ? [$_->{tool_call_id}, undef, $_->{content}]
        : map { [$_->{id}, $_->{function}{name}] } @{$_->{tool_calls} || []} } @{$_[0]{messages}} },
    responses => sub { map { my $of = $_->{type} // '';
        $of eq 'function_call' ? [@$_{qw(call_id name)}]
        : $of eq 'function_call_output' ? [$_->{call_id}, undef, $_->{output}] : () } @{$_[0]{input}} },
    # By names and places: Vertex takes no ids.
    gemini => sub { my $n = 0; map { my ($call, $result) = @$_{qw(functionCall functionResponse)};
        $call ? ["$call->{name} " . $n++, $call->{name}]
        : $result ? [$result->{name}, undef, $result->{response}] : () }
        map { @{$_->{parts}} } @{$_[0]{contents}} },
);
@said{qw(cohere ollama bedrock-invoke)} = @said{qw(chat chat messages)};

# 'NAME: TEXT, ...' of the results, as the provider reads them.
sub read_by {
    my ($provider, $body) = @_;
    my (%name_of, @results);
    for my $piece ($said{$provider}->($body)) {
        my ($id, $name, $content) = @$piece;
        if (defined $name) {
            ok(!$name_of{$id}, "$id is new");
            $name_of{$id} = $name;
        } else {
            my $text = ref $content ? encode_json_o($content) : $content;
            push @results, ($name_of{$id} // ($provider eq 'gemini' ? $id : '?')) . ': '
                . ($text =~ /((?:of|early|late|no result)\b(?: \w)?)/ ? $1 : $text);
        }
    }
    return join ', ', @results;
}

# What each provider is told of a history, and what the answer says was left out.
sub is_told {
    my ($expected, $dropped, @turns) = @_;

    for my $pair (grep { $history{$_->{client}} && $said{$_->{provider}} && !$_->is_same } LLM::Pair->every) {
        subtest $pair->{name} => sub {
            $p->script($pair->whole(text => 'hi'));
            my $r = $pair->post($t, $pair->tool('f'), $history{$pair->{client}}->(@turns));
            is($r->{status}, 200, 'status') or return diag $r->{body};
            is(read_by($pair->{provider}, $p->last_request->{json}), $expected, 'results');
            my $left_out = $r->{headers}{'x-llm-dropped-params'} // '';
            is($left_out =~ /tool_result/ ? 1 : 0, $dropped, 'left out') or diag $left_out;
        };
    }
    return;
}

# The later one is what the client means now; that the other is left out is told.
subtest 'two results of one call' => sub {
    is_told('f: late', 1, [calls => ['c', 'f']], [results => ['c', 'early'], ['c', 'late']]);
};

# Some providers count their calls anew in each answer, or give all of one answer the same id; for
# others each must have its own.
subtest 'calls that have one id' => sub {
    is_told('f: of f, g: of g, h: of h', 0, [calls => ['call_0', 'f'], ['call_0', 'g']],
        [results => ['call_0', 'of f'], ['call_0', 'of g']], [calls => ['call_0', 'h']],
        [results => ['call_0', 'of h']]);
};

# Some clients write parallel calls as one message each.
subtest 'calls of several messages' => sub {
    is_told('f: of f, g: of g', 0, [calls => ['a', 'f']], [calls => ['b', 'g']],
        [results => ['a', 'of f'], ['b', 'of g']]);
};

# An empty id is one as well, with whom it is allowed.
subtest 'calls without ids' => sub {
    for my $provider (grep { $_ ne 'chat' } keys %said) {
        my $pair = LLM::Pair->new('chat', $provider);
        $p->script($pair->whole(text => 'hi'));
        my $r = $pair->post($t, $pair->tool('f'), $history{chat}->([calls => ['', 'f'], ['', 'g']],
            [results => ['', 'of f'], ['', 'of g']], [calls => ['', 'h']], [results => ['', 'of h']]));
        is($r->{status}, 200, "$provider: status") or diag $r->{body};
        is(read_by($provider, $p->last_request->{json}), 'f: of f, g: of g, h: of h', $provider);
        unlike($r->{headers}{'x-llm-dropped-params'} // '', qr/tool_result/, 'nothing is left out');
    }
};

# Thoughts of a history that the provider cannot read, or does not want, are left out and named.
subtest 'thoughts of another provider' => sub {
    my $foreign = 'gw1.bedrock.RXFxQ0s=';
    my %thought = (
        chat => ['thinking_blocks', { role => 'user', content => 'go' }, { role => 'assistant',
            content => 'So.', thinking_blocks => [{ type => 'thinking', thinking => '',
            signature => $foreign }] }],
        messages => ['thinking_blocks', { role => 'user', content => 'go' }, { role => 'assistant',
            content => [{ type => 'redacted_thinking', data => $foreign }, { type => 'text',
                text => 'So.' }] }],
        responses => ['reasoning_items', { role => 'user', content => 'go' }, { type => 'reasoning',
            summary => [], encrypted_content => $foreign }, { role => 'assistant', content => 'So.' }],
        gemini => ['thoughts', { role => 'user', parts => [{ text => 'go' }] }, { role => 'model',
            parts => [{ text => 'So.', thoughtSignature => 'Z3cxLmJlZHJvY2suUlhGeFEwcz0=' }] }],
    );
    for my $pair (grep { !$_->is_same && $_->{provider} !~ /bedrock/ } LLM::Pair->every) {
        my ($name, @turns) = @{$thought{$pair->{client}} || next};
        $p->script($pair->whole(text => 'hi'));
        my $more = $pair->{client} eq 'gemini' ? { role => 'user', parts => [{ text => 'more' }] }
            : { role => 'user', content => 'more' };
        my $member = { responses => 'input', gemini => 'contents' }->{$pair->{client}} || 'messages';
        my $r = $pair->post($t, $member => [@turns, $more]);
        is($r->{status}, 200, "$pair->{name}: status") or diag $r->{body};
        unlike($p->last_request->{body}, qr/RXFxQ0s/, 'nothing of it is sent');
        like($r->{headers}{'x-llm-dropped-params'} // '', qr/\b$name\b/, 'that is told');
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
