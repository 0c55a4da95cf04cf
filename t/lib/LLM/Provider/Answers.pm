# Answers as the big providers shape them.
#
# chat_answer(%o)       body of a chat completion
# chat_stream(%o)       its chunks and '[DONE]', for sse()
# messages_answer(%o)   body of an Anthropic message
# messages_stream(%o)   its events, [name, data], for sse()
# gemini_answer(%o)      a GenerateContentResponse
# gemini_stream(%o)      its chunks, for sse()
# converse_answer(%o)    an answer of Bedrock's Converse
# converse_stream(%o)    its messages, [name, data], for eventstream()
# chat_error($message, %o), messages_error($type, $message), gemini_error($code, $status,
# $message)
#
# Options: id, model, text (a string, or a list of pieces for the streams), reasoning (the
# same), signature, tools => [{id, name, args (JSON text or data, or a list of pieces)}],
# finish, usage => {...} merged over the defaults; undef in chat_stream: no usage chunk.
# Gemini's calls have no id unless one is given, and its signature stands at the first of them.
# Results are data with their members in the providers' order; tests may change them before
# they hand them to json() or sse().

package LLM::Provider::Answers;

use strict;
use warnings;
use Exporter 'import';
use LLM::Json qw(encode_json_o ordered);

our @EXPORT_OK = qw(chat_answer chat_stream messages_answer messages_stream chat_error
    messages_error gemini_error);

my $serial = 0;

sub text_pieces {
    my ($x) = @_;

    return () unless defined $x;
    return @$x if ref $x eq 'ARRAY';
    return $x =~ /\G(\s*\S+\s*?(?=\s|\z)|\s+\z)/g;       # word by word, as models write
}

sub whole_text { my ($x) = @_; return ref $x eq 'ARRAY' ? join '', @$x : $x }

# Each call as {id, name, args, pieces}.
sub call_list {
    my ($prefix, $list) = @_;
    my $n = 0;
    my @out;

    for my $tool (@{$list || []}) {
        my $args = defined $tool->{args} ? $tool->{args} : '{}';
        my @pieces;
        if (ref $args eq 'ARRAY') {
            @pieces = @$args;
            $args = join '', @pieces;
        } else {
            if (ref $args) {
                $args = encode_json_o($args);
                utf8::decode($args);
            }
            @pieces = $args =~ /(.{1,12})/gs;
        }
        $n++;
        my $id = defined $tool->{id} ? $tool->{id} : sprintf '%s%08d%02d', $prefix, $serial, $n;
        push @out, { id => $id, name => $tool->{name}, args => $args, pieces => \@pieces };
    }
    return @out;
}

sub _merge {
    my ($into, $over) = @_;

    for my $key (sort keys %{$over || {}}) {
        if (ref $over->{$key} eq 'HASH' && ref $into->{$key} eq 'HASH') {
            _merge($into->{$key}, $over->{$key});
        } else {
            $into->{$key} = $over->{$key};
        }
    }
    return $into;
}

sub _chat_usage {
    my ($over) = @_;
    my $usage = ordered(
        prompt_tokens => 21, completion_tokens => 9, total_tokens => 30,
        prompt_tokens_details => ordered(cached_tokens => 0, audio_tokens => 0),
        completion_tokens_details => ordered(reasoning_tokens => 0, audio_tokens => 0,
            accepted_prediction_tokens => 0, rejected_prediction_tokens => 0),
    );

    _merge($usage, $over);
    $usage->{total_tokens} = $usage->{prompt_tokens} + $usage->{completion_tokens}
        unless $over && exists $over->{total_tokens};
    return $usage;
}

sub _chat_ids {
    my (%o) = @_;

    $serial++;
    return (id => $o{id} || sprintf('chatcmpl-Tst%026d', $serial), created => 1755500000,
        model => $o{model} || 'gpt-4o-2024-08-06');
}

sub chat_answer {
    my (%o) = @_;
    my %ids = _chat_ids(%o);
    my @tools = call_list('call_', $o{tools});
    my $text = exists $o{text} ? whole_text($o{text}) : @tools ? undef : 'Good day to you.';
    my $message = ordered(role => 'assistant', content => $text);

    $message->{reasoning_content} = whole_text($o{reasoning}) if defined $o{reasoning};
    $message->{tool_calls} = [map { ordered(id => $_->{id}, type => 'function',
        function => ordered(name => $_->{name}, arguments => $_->{args})) } @tools] if @tools;
    $message->{refusal} = $o{refusal};
    $message->{annotations} = [];
    return ordered(
        id => $ids{id}, object => 'chat.completion', created => $ids{created},
        model => $ids{model},
        choices => [ordered(index => 0, message => $message, logprobs => undef,
            finish_reason => $o{finish} || (@tools ? 'tool_calls' : 'stop'))],
        usage => _chat_usage($o{usage}), service_tier => 'default',
        system_fingerprint => 'fp_ff25b2783a',
    );
}

sub chat_stream {
    my (%o) = @_;
    my %ids = _chat_ids(%o);
    my @tools = call_list('call_', $o{tools});
    my $with_usage = !exists $o{usage} || defined $o{usage};
    my $chunk = sub {
        my ($choices, $usage) = @_;
        return ordered(
            id => $ids{id}, object => 'chat.completion.chunk', created => $ids{created},
            model => $ids{model}, service_tier => 'default',
            system_fingerprint => 'fp_ff25b2783a', choices => $choices,
            $with_usage ? (usage => $usage) : (),
        );
    };
    my $delta = sub {
        my ($d, $finish) = @_;
        return $chunk->([ordered(index => 0, delta => $d, logprobs => undef,
            finish_reason => $finish)]);
    };
    my $text = exists $o{text} ? $o{text} : @tools ? undef : 'Good day to you.';
    my @out = $delta->(ordered(role => 'assistant', content => defined $text ? '' : undef,
        refusal => undef));

    push @out, $delta->(ordered(reasoning_content => $_)) for text_pieces($o{reasoning});
    push @out, $delta->(ordered(content => $_)) for text_pieces($text);
    push @out, $delta->(ordered(refusal => $_)) for text_pieces($o{refusal});
    my $index = 0;
    for my $tool (@tools) {
        push @out, $delta->(ordered(tool_calls => [ordered(index => $index, id => $tool->{id},
            type => 'function',
            function => ordered(name => $tool->{name}, arguments => ''))]));
        push @out, $delta->(ordered(tool_calls => [ordered(index => $index,
            function => ordered(arguments => $_))])) for @{$tool->{pieces}};
        $index++;
    }
    push @out, $delta->(ordered(), $o{finish} || (@tools ? 'tool_calls' : 'stop'));
    push @out, $chunk->([], _chat_usage($o{usage})) if $with_usage;
    return (@out, '[DONE]');
}

sub _messages_usage {
    my ($over) = @_;

    return _merge(ordered(
        input_tokens => 21, cache_creation_input_tokens => 0, cache_read_input_tokens => 0,
        cache_creation => ordered(ephemeral_5m_input_tokens => 0,
            ephemeral_1h_input_tokens => 0),
        output_tokens => 9, service_tier => 'standard',
    ), $over);
}

sub _messages_ids {
    my (%o) = @_;

    $serial++;
    return (model => $o{model} || 'claude-sonnet-4-5-20250929',
        id => $o{id} || sprintf('msg_01Tst%018d', $serial));
}

sub messages_answer {
    my (%o) = @_;
    my @ids = _messages_ids(%o);
    my @tools = call_list('toolu_', $o{tools});
    my $text = exists $o{text} ? whole_text($o{text}) : @tools ? undef : 'Good day to you.';
    my @content;

    push @content, ordered(type => 'thinking', thinking => whole_text($o{reasoning}),
        signature => $o{signature} || 'dGVzdC1zaWduYXR1cmU=') if defined $o{reasoning};
    push @content, ordered(type => 'redacted_thinking', data => $o{redacted}) if $o{redacted};
    push @content, ordered(type => 'text', text => $text) if defined $text;
    for my $tool (@tools) {
        push @content, ordered(type => 'tool_use', id => $tool->{id}, name => $tool->{name},
            input => LLM::Json::try_json(utf8_bytes($tool->{args})) || {});
    }
    return ordered(
        @ids, type => 'message', role => 'assistant', content => \@content,
        stop_reason => $o{finish} || (@tools ? 'tool_use' : 'end_turn'),
        stop_sequence => $o{stop_sequence}, usage => _messages_usage($o{usage}),
    );
}

sub utf8_bytes { my ($x) = @_; utf8::encode($x); return $x }

sub messages_stream {
    my (%o) = @_;
    my @ids = _messages_ids(%o);
    my @tools = call_list('toolu_', $o{tools});
    my $text = exists $o{text} ? $o{text} : @tools ? undef : 'Good day to you.';
    my $usage = _messages_usage($o{usage});
    my ($index, @out) = (0);
    my $event = sub { push @out, [$_[0], ordered(type => @_)]; return };
    my $block = sub {
        my ($start, @deltas) = @_;
        $event->('content_block_start', index => $index, content_block => $start);
        $event->('ping') if $index == 0;
        $event->('content_block_delta', index => $index, delta => $_) for @deltas;
        $event->('content_block_stop', index => $index++);
        return;
    };
    my $first = _messages_usage({ %{$o{usage} || {}}, output_tokens => 1 });

    $event->('message_start', message => ordered(@ids, type => 'message', role => 'assistant',
        content => [], stop_reason => undef, stop_sequence => undef, usage => $first));
    if (defined $o{reasoning}) {
        $block->(ordered(type => 'thinking', thinking => '', signature => ''),
            map({ ordered(type => 'thinking_delta', thinking => $_) } text_pieces($o{reasoning})),
            ordered(type => 'signature_delta',
                signature => $o{signature} || 'dGVzdC1zaWduYXR1cmU='));
    }
    $block->(ordered(type => 'redacted_thinking', data => $o{redacted})) if $o{redacted};
    if (defined $text) {
        $block->(ordered(type => 'text', text => ''),
            map { ordered(type => 'text_delta', text => $_) } text_pieces($text));
    }
    for my $tool (@tools) {
        $block->(ordered(type => 'tool_use', id => $tool->{id}, name => $tool->{name},
            input => {}),
            map { ordered(type => 'input_json_delta', partial_json => $_) }
                '', @{$tool->{pieces}});
    }
    $event->('message_delta',
        delta => ordered(stop_reason => $o{finish} || (@tools ? 'tool_use' : 'end_turn'),
            stop_sequence => $o{stop_sequence}),
        usage => ordered(map { $_ => $usage->{$_} } qw(input_tokens
            cache_creation_input_tokens cache_read_input_tokens output_tokens)));
    $event->('message_stop');
    return @out;
}

sub _gemini_usage {
    my ($over) = @_;
    my $usage = _merge(ordered(promptTokenCount => 21, candidatesTokenCount => 9), $over);

    $usage->{totalTokenCount} = $usage->{promptTokenCount} + $usage->{candidatesTokenCount}
        + ($usage->{thoughtsTokenCount} || 0);
    $usage->{promptTokensDetails} =
        [ordered(modality => 'TEXT', tokenCount => $usage->{promptTokenCount})];
    return $usage;
}

# The parts, one list for each chunk of a stream: a call is never divided.
sub _gemini_parts {
    my (%o) = @_;
    my @tools = call_list('', $o{tools});
    my $text = exists $o{text} ? $o{text} : @tools ? undef : 'Good day to you.';
    my $signature = $o{signature} || (defined $o{reasoning} ? 'dGVzdC1zaWduYXR1cmU=' : undef);
    my (@thoughts, @text, @calls);

    @thoughts = map { ordered(text => $_, thought => JSON::PP::true()) }
        $o{whole} ? whole_text($o{reasoning}) : text_pieces($o{reasoning}) if defined $o{reasoning};
    @text = map { ordered(text => $_) } $o{whole} ? whole_text($text) : text_pieces($text)
        if defined $text;
    for my $tool (@tools) {
        my ($given) = grep { $_->{name} eq $tool->{name} } @{$o{tools}};
        my $call = ordered(name => $tool->{name},
            args => LLM::Json::try_json(utf8_bytes($tool->{args})) || {});
        $call->{id} = $given->{id} if defined $given->{id};
        push @calls, ordered(functionCall => $call);
    }
    my $signed = @calls ? $calls[0] : @text ? $text[-1] : undef;
    $signed->{thoughtSignature} = $signature if $signed && defined $signature;
    return ((map { [$_] } @thoughts, @text), @calls ? [@calls] : ());
}

sub _gemini_chunk {
    my ($o, $id, $parts, $finish, $usage) = @_;
    my $candidate = ordered(content => ordered(parts => $parts, role => 'model'));

    $candidate->{finishReason} = $finish if defined $finish;
    $candidate->{index} = 0;
    return ordered(candidates => [$candidate], usageMetadata => $usage,
        modelVersion => $o->{model} || 'gemini-2.5-flash', responseId => $id);
}

sub gemini_answer {
    my (%o) = @_;
    my @parts = map { @$_ } _gemini_parts(%o, whole => 1);

    return _gemini_chunk(\%o, $o{id} || sprintf('Tst%019d', ++$serial), \@parts,
        $o{finish} || 'STOP', _gemini_usage($o{usage}));
}

sub gemini_stream {
    my (%o) = @_;
    my $id = $o{id} || sprintf 'Tst%019d', ++$serial;
    my $usage = _gemini_usage($o{usage});
    my $so_far = ordered(promptTokenCount => $usage->{promptTokenCount},
        totalTokenCount => $usage->{promptTokenCount});
    my @chunks = _gemini_parts(%o);
    my $last = pop @chunks;

    return (map({ _gemini_chunk(\%o, $id, $_, undef, $so_far) } @chunks),
        _gemini_chunk(\%o, $id, $last, $o{finish} || 'STOP', $usage));
}

sub _converse_usage {
    my ($over) = @_;
    my $usage = _merge(ordered(inputTokens => 21, outputTokens => 9, totalTokens => 0), $over);

    $usage->{totalTokens} = 0;
    $usage->{totalTokens} += $usage->{$_} || 0
        for qw(inputTokens outputTokens cacheReadInputTokens cacheWriteInputTokens);
    return $usage;
}

sub converse_answer {
    my (%o) = @_;
    my @tools = call_list('tooluse_', $o{tools});
    my $text = exists $o{text} ? whole_text($o{text}) : @tools ? undef : 'Good day to you.';
    my @content;

    $serial++;
    push @content, { reasoningContent => { reasoningText => ordered(
        text => whole_text($o{reasoning}), signature => $o{signature} || 'dGVzdC1zaWduYXR1cmU=') } }
        if defined $o{reasoning};
    push @content, { text => $text } if defined $text;
    push @content, { toolUse => ordered(input => LLM::Json::try_json(utf8_bytes($_->{args})) || {},
        name => $_->{name}, toolUseId => $_->{id}) } for @tools;
    return ordered(
        metrics => { latencyMs => 812 },
        output => { message => ordered(content => \@content, role => 'assistant') },
        stopReason => $o{finish} || (@tools ? 'tool_use' : 'end_turn'),
        usage => _converse_usage($o{usage}),
    );
}

# Only blocks of tools have a start; the usage comes behind the stop.
sub converse_stream {
    my (%o) = @_;
    my @tools = call_list('tooluse_', $o{tools});
    my $text = exists $o{text} ? $o{text} : @tools ? undef : 'Good day to you.';
    my ($index, @out) = (0);
    my $event = sub {
        my ($name, @members) = @_;
        push @out, [$name, ordered(@members, p => substr 'abcdefghijklmnop', 0, 1 + @out % 16)];
        return;
    };
    my $block = sub {
        my ($start, @deltas) = @_;
        $event->('contentBlockStart', contentBlockIndex => $index, start => $start) if $start;
        $event->('contentBlockDelta', contentBlockIndex => $index, delta => $_) for @deltas;
        $event->('contentBlockStop', contentBlockIndex => $index++);
        return;
    };

    $serial++;
    $event->('messageStart', role => 'assistant');
    $block->(undef, map({ { reasoningContent => { text => $_ } } } text_pieces($o{reasoning})),
        { reasoningContent => { signature => $o{signature} || 'dGVzdC1zaWduYXR1cmU=' } })
        if defined $o{reasoning};
    $block->(undef, map { { text => $_ } } text_pieces($text)) if defined $text;
    $block->({ toolUse => ordered(name => $_->{name}, toolUseId => $_->{id}) },
        map { { toolUse => { input => $_ } } } @{$_->{pieces}}) for @tools;
    $event->('messageStop', stopReason => $o{finish} || (@tools ? 'tool_use' : 'end_turn'));
    $event->('metadata', metrics => { latencyMs => 812 }, usage => _converse_usage($o{usage}));
    return @out;
}

sub gemini_error {
    my ($code, $status, $message) = @_;

    return ordered(error => ordered(code => $code, message => $message, status => $status));
}

sub chat_error {
    my ($message, %o) = @_;

    return ordered(error => ordered(message => $message,
        type => $o{type} || 'invalid_request_error', param => $o{param}, code => $o{code}));
}

sub messages_error {
    my ($type, $message) = @_;

    return ordered(type => 'error', error => ordered(type => $type, message => $message),
        request_id => sprintf 'req_011Tst%017d', ++$serial);
}

1;
