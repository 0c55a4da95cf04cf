# The grammars that a stream must follow to be understood by real clients.
#
# check_chat(\@events)       OpenAI chat completion chunks
# check_messages(\@events)   Anthropic message events
#
# Both return a list of violations, empty for a good stream. Events are those of LLM::Sse;
# comments are allowed everywhere. A stream that ends with an error event is well formed: what
# is never right is an end with neither a terminal event nor an error, or anything after it.

package LLM::Stream::Grammar;

use strict;
use warnings;
use Encode qw(encode_utf8);
use LLM::Json qw(try_json);

sub check_chat {
    my ($events) = @_;
    my $s = { bad => [], choice => {}, n => 0 };

    for my $event (grep { !defined $_->{comment} } @$events) {
        $s->{n}++;
        _bad($s, "after the end: $event->{data}") if $s->{end};
        if ($event->{data} eq '[DONE]') {
            $s->{end} = 'done';
            next;
        }
        my $chunk = $event->{json};
        unless (ref $chunk eq 'HASH') {
            _bad($s, "not a JSON object: $event->{data}");
            next;
        }
        if ($chunk->{error}) {
            $s->{end} = 'error';
            _bad($s, 'error without a message') unless ref $chunk->{error} eq 'HASH'
                && defined $chunk->{error}{message} && !ref $chunk->{error}{message};
            next;
        }
        _bad($s, "event name '$event->{event}'") if defined $event->{event};
        _chat_chunk($s, $chunk);
    }
    _chat_end($s);
    return @{$s->{bad}};
}

sub _bad {
    my ($s, $text) = @_;

    push @{$s->{bad}}, "event $s->{n}: $text";
    return;
}

sub _chat_chunk {
    my ($s, $chunk) = @_;

    _bad($s, "object '" . ($chunk->{object} // 'undef') . "'")
        if ($chunk->{object} // '') ne 'chat.completion.chunk';
    for my $key (qw(id created model)) {
        if (!defined $chunk->{$key}) {
            _bad($s, "no $key");
        } elsif (defined $s->{$key} && $s->{$key} ne $chunk->{$key}) {
            _bad($s, "$key changed from $s->{$key} to $chunk->{$key}");
        }
        $s->{$key} //= $chunk->{$key};
    }
    unless (ref $chunk->{choices} eq 'ARRAY') {
        _bad($s, 'choices is not an array');
        return;
    }
    _bad($s, 'chunk after the usage chunk') if $s->{usage};
    if (!@{$chunk->{choices}}) {
        _bad($s, 'no choices and no usage') unless ref $chunk->{usage} eq 'HASH';
        _bad($s, 'usage chunk before the finish chunk') if grep { !$_->{finish} }
            values %{$s->{choice}};
        $s->{usage} = 1;
    }
    for my $choice (@{$chunk->{choices}}) {
        my $index = $choice->{index};
        unless (defined $index && $index =~ /\A\d+\z/) {
            _bad($s, 'choice without an index');
            next;
        }
        _chat_choice($s, $s->{choice}{$index} ||= { tools => 0 }, $choice, $index);
    }
    return;
}

sub _chat_choice {
    my ($s, $state, $choice, $index) = @_;
    my $delta = $choice->{delta};

    unless (ref $delta eq 'HASH') {
        _bad($s, "choice $index: delta is not an object");
        return;
    }
    _bad($s, "choice $index: chunk after its finish chunk") if $state->{finish};
    if (!$state->{role}) {
        _bad($s, "choice $index: the first chunk has no role")
            unless ($delta->{role} // '') eq 'assistant';
        $state->{role} = 1;
    } elsif (exists $delta->{role}) {
        _bad($s, "choice $index: role given again");
    }
    my $tools = $delta->{tool_calls};
    _bad($s, "choice $index: content and tool_calls in one delta")
        if $tools && length($delta->{content} // '');
    for my $key (qw(content refusal reasoning_content)) {
        _bad($s, "choice $index: $key is not a string") if ref $delta->{$key};
    }
    if (exists $delta->{tool_calls}) {
        _bad($s, "choice $index: tool_calls is not an array") unless ref $tools eq 'ARRAY';
        _chat_tool($s, $state, $_, $index) for ref $tools eq 'ARRAY' ? @$tools : ();
    }
    if (defined $choice->{finish_reason}) {
        $state->{finish} = $choice->{finish_reason};
        _bad($s, "choice $index: finish_reason '$state->{finish}'") unless
            $state->{finish} =~ /\A(?:stop|length|tool_calls|content_filter|function_call)\z/;
        _bad($s, "choice $index: tools called but finish_reason stop")
            if $state->{tools} && $state->{finish} eq 'stop';
        _bad($s, "choice $index: finish_reason tool_calls without a call")
            if !$state->{tools} && $state->{finish} eq 'tool_calls';
    }
    return;
}

sub _chat_tool {
    my ($s, $state, $tool, $index) = @_;
    my $where = "choice $index: tool call";

    unless (ref $tool eq 'HASH' && defined $tool->{index} && $tool->{index} =~ /\A\d+\z/) {
        _bad($s, "$where without an index");
        return;
    }
    $where .= " $tool->{index}";
    # A null in place of an absent member breaks strict clients.
    for my $key (grep { !defined $tool->{$_} } sort keys %$tool) {
        _bad($s, "$where: $key is null");
    }
    my $function = $tool->{function};
    for my $key (ref $function eq 'HASH' ? sort keys %$function : ()) {
        _bad($s, "$where: function.$key is null") unless defined $function->{$key};
    }
    if ($tool->{index} == $state->{tools}) {
        $state->{tools}++;
        _bad($s, "$where: opened without an id") unless length($tool->{id} // '');
        _bad($s, "$where: opened without type function")
            unless ($tool->{type} // '') eq 'function';
        _bad($s, "$where: opened without a name")
            unless ref $function eq 'HASH' && length($function->{name} // '');
    } elsif ($tool->{index} > $state->{tools}) {
        _bad($s, "$where: opened before $state->{tools}");
        $state->{tools} = $tool->{index} + 1;
    } elsif (ref $function eq 'HASH' && exists $function->{name}) {
        _bad($s, "$where: name given again");
    }
    return;
}

sub _chat_end {
    my ($s) = @_;

    if (!$s->{end}) {
        _bad($s, 'the stream ends with neither [DONE] nor an error');
    } elsif ($s->{end} eq 'done') {
        _bad($s, 'no choices before [DONE]') unless %{$s->{choice}};
        for my $index (sort keys %{$s->{choice}}) {
            _bad($s, "choice $index: no finish chunk") unless $s->{choice}{$index}{finish};
        }
    } elsif (grep { $_->{finish} } values %{$s->{choice}}) {
        _bad($s, 'an error after a finish chunk');
    }
    return;
}

# Which deltas a block may carry.
my %delta_of = (
    text => qr/\A(?:text_delta|citations_delta)\z/,
    thinking => qr/\A(?:thinking_delta|signature_delta)\z/,
    tool_use => qr/\Ainput_json_delta\z/,
    server_tool_use => qr/\Ainput_json_delta\z/,
    mcp_tool_use => qr/\Ainput_json_delta\z/,
    redacted_thinking => qr/\A(?!)/,
    compaction => qr/\Acompaction_delta\z/,
);

sub check_messages {
    my ($events) = @_;
    my $s = { bad => [], n => 0, next => 0 };

    for my $event (grep { !defined $_->{comment} } @$events) {
        $s->{n}++;
        _bad($s, "after the end: $event->{data}") if $s->{end};
        my $json = $event->{json};
        unless (ref $json eq 'HASH' && defined $json->{type}) {
            _bad($s, "not a JSON object with a type: $event->{data}");
            next;
        }
        my $type = $json->{type};
        _bad($s, 'event name ' . ($event->{event} // 'missing') . " for type $type")
            if ($event->{event} // '') ne $type;
        _bad($s, "$type before message_start")
            if !$s->{started} && $type ne 'message_start' && $type ne 'error';
        my $check = __PACKAGE__->can("_on_$type");
        $check ? $check->($s, $json) : _bad($s, "unknown type $type");
    }
    _bad($s, 'the stream ends with neither message_stop nor an error') unless $s->{end};
    return @{$s->{bad}};
}

sub _on_ping { return }

sub _on_message_start {
    my ($s, $json) = @_;
    my $message = $json->{message};

    _bad($s, 'a second message_start') if $s->{started}++;
    unless (ref $message eq 'HASH') {
        _bad($s, 'message_start without a message');
        return;
    }
    _bad($s, "message without $_") for grep { !defined $message->{$_} } qw(id model);
    _bad($s, 'message.type is not message') if ($message->{type} // '') ne 'message';
    _bad($s, 'message.role is not assistant') if ($message->{role} // '') ne 'assistant';
    _bad($s, 'message.content is not an empty array')
        unless ref $message->{content} eq 'ARRAY' && !@{$message->{content}};
    for my $key (qw(stop_reason stop_sequence)) {
        _bad($s, "message.$key is not null") unless exists $message->{$key}
            && !defined $message->{$key};
    }
    for my $key (qw(input_tokens output_tokens)) {
        _bad($s, "message.usage.$key is missing") unless ref $message->{usage} eq 'HASH'
            && defined $message->{usage}{$key};
    }
    return;
}

sub _on_content_block_start {
    my ($s, $json) = @_;
    my $block = $json->{content_block};
    my $index = $json->{index} // 'undef';

    _bad($s, "block $index opened while block $s->{open} is open") if defined $s->{open};
    _bad($s, "block $index opened, expected $s->{next}") if $index ne $s->{next};
    _bad($s, "block $index opened after message_delta") if $s->{delta};
    $s->{next} = $index =~ /\A\d+\z/ ? $index + 1 : $s->{next} + 1;
    @$s{qw(open kind args)} = ($index, ref $block eq 'HASH' ? $block->{type} // '' : '', '');
    _bad($s, "block $index without a type") if $s->{kind} eq '';
    if ($s->{kind} =~ /tool_use\z/) {
        $s->{tools} = 1 if $s->{kind} eq 'tool_use';
        _bad($s, "block $index without $_") for grep { !length($block->{$_} // '') } qw(id name);
        _bad($s, "block $index: input is not {}")
            unless ref $block->{input} eq 'HASH' && !%{$block->{input}};
    } elsif ($s->{kind} eq 'text' || $s->{kind} eq 'thinking') {
        _bad($s, "block $index: $s->{kind} is not a string") unless defined $block->{$s->{kind}}
            && !ref $block->{$s->{kind}};
    }
    return;
}

sub _on_content_block_delta {
    my ($s, $json) = @_;
    my $index = $json->{index} // 'undef';
    my $delta = ref $json->{delta} eq 'HASH' ? $json->{delta} : {};
    my $type = $delta->{type} // 'undef';

    if (!defined $s->{open} || $index ne $s->{open}) {
        _bad($s, "delta for block $index, which is not open");
        return;
    }
    my $allowed = $delta_of{$s->{kind}};
    _bad($s, "$type in a block of type $s->{kind}") if $allowed && $type !~ $allowed;
    _bad($s, 'text_delta without text') if $type eq 'text_delta' && !defined $delta->{text};
    $s->{args} .= $delta->{partial_json} // '' if $type eq 'input_json_delta';
    return;
}

sub _on_content_block_stop {
    my ($s, $json) = @_;
    my $index = $json->{index} // 'undef';

    if (!defined $s->{open} || $index ne $s->{open}) {
        _bad($s, "stop of block $index, which is not open");
        return;
    }
    _bad($s, "block $index: arguments are not a JSON object: $s->{args}")
        if $s->{args} ne '' && ref try_json(encode_utf8($s->{args})) ne 'HASH';
    delete $s->{open};
    return;
}

sub _on_message_delta {
    my ($s, $json) = @_;
    my $reason = ref $json->{delta} eq 'HASH' ? $json->{delta}{stop_reason} : undef;

    _bad($s, "message_delta while block $s->{open} is open") if defined $s->{open};
    _bad($s, 'a second message_delta') if $s->{delta}++;
    _bad($s, 'message_delta without a stop_reason') unless defined $reason;
    _bad($s, 'message_delta without usage.output_tokens')
        unless ref $json->{usage} eq 'HASH' && defined $json->{usage}{output_tokens};
    _bad($s, 'tools called but stop_reason end_turn') if $s->{tools}
        && ($reason // '') eq 'end_turn';
    return;
}

sub _on_message_stop {
    my ($s) = @_;

    _bad($s, 'message_stop without message_delta') unless $s->{delta};
    $s->{end} = 'stop';
    return;
}

sub _on_error {
    my ($s, $json) = @_;
    my $error = $json->{error};

    _bad($s, 'error without type and message') unless ref $error eq 'HASH'
        && defined $error->{type} && defined $error->{message};
    _bad($s, 'an error after message_delta') if $s->{delta};
    $s->{end} = 'error';
    return;
}

1;
