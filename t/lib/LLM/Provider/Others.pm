# Answers as further providers shape them, with the options of LLM::Provider::Answers: text,
# reasoning, signature (where it has some), tools, finish (the provider's own word), model.
#
# responses_answer(%o), responses_stream(%o)      OpenAI's Responses: data; [name, data] for sse()
# gemini_answer(%o), gemini_stream(%o)            Gemini: data; pieces of the body for sse()
# cohere_answer(%o), cohere_stream(%o)            Cohere's chat, version 2
# ollama_answer(%o), ollama_stream(%o)            Ollama's chat; lines of NDJSON for sse()
# completions_answer(%o), completions_stream(%o)  OpenAI's legacy completions
# json_line($data), gemini_event($data)           one line of NDJSON, one event with CRLF
#
# usage => [input, output] is the same for all of them: 21 and 9.

package LLM::Provider::Others;

use strict;
use warnings;
use Exporter 'import';
use LLM::Json qw(encode_json_o ordered try_json);
use LLM::Provider::Answers ();
use LLM::Provider::Script qw(raw);

our @EXPORT_OK = qw(responses_answer responses_stream gemini_answer gemini_stream cohere_answer
    cohere_stream ollama_answer ollama_stream completions_answer completions_stream json_line
    gemini_event);

my $serial = 0;

# The options in one form: text and reasoning whole and in pieces, calls, both counts.
sub _read {
    my ($prefix, %o) = @_;
    my @calls = LLM::Provider::Answers::call_list($prefix, $o{tools});
    my $text = exists $o{text} ? $o{text} : @calls ? undef : 'Good day to you.';

    $serial++;
    my ($in, $out) = @{$o{usage} || [21, 9]};
    return (calls => \@calls, in => $in, out => $out, n => $serial, signature => $o{signature},
        text => LLM::Provider::Answers::whole_text($text),
        pieces => [LLM::Provider::Answers::text_pieces($text)],
        reasoning => LLM::Provider::Answers::whole_text($o{reasoning}),
        thoughts => [LLM::Provider::Answers::text_pieces($o{reasoning})]);
}

sub _object { return try_json(LLM::Provider::Answers::utf8_bytes($_[0]{args})) || {} }

sub json_line { return raw(encode_json_o($_[0]) . "\n") }

# Google ends its lines as HTTP does.
sub gemini_event { return raw('data: ' . encode_json_o($_[0]) . "\r\n\r\n") }

# Responses

sub _responses_items {
    my (%a) = @_;
    my @items;

    push @items, ordered(id => "rs_$a{n}", type => 'reasoning',
        summary => [ordered(type => 'summary_text', text => $a{reasoning})],
        defined $a{signature} ? (encrypted_content => $a{signature}) : ())
        if defined $a{reasoning};
    push @items, ordered(id => "msg_$a{n}", type => 'message', status => 'completed',
        role => 'assistant', content => [ordered(type => 'output_text', annotations => [],
            logprobs => [], text => $a{text})]) if defined $a{text};
    push @items, map { ordered(id => "fc_$_->{id}", type => 'function_call',
        status => 'completed', arguments => $_->{args}, call_id => $_->{id},
        name => $_->{name}) } @{$a{calls}};
    return @items;
}

sub _response {
    my ($a, $status, $items, %o) = @_;
    my $is_over = $status ne 'in_progress';

    return ordered(id => "resp_$a->{n}", object => 'response', created_at => 1755500000,
        status => $status, error => undef,
        incomplete_details => $status eq 'incomplete' ? { reason => $o{finish} } : undef,
        instructions => undef, max_output_tokens => undef,
        model => $o{model} || 'gpt-5-mini-2025-08-07', output => $items,
        parallel_tool_calls => JSON::PP::true(), previous_response_id => undef,
        reasoning => ordered(effort => undef, summary => undef), store => JSON::PP::false(),
        temperature => 1, text => { format => { type => 'text' } }, tool_choice => 'auto',
        tools => [], top_p => 1, truncation => 'disabled',
        usage => $is_over ? ordered(input_tokens => $a->{in},
            input_tokens_details => { cached_tokens => 0 }, output_tokens => $a->{out},
            output_tokens_details => { reasoning_tokens => 0 },
            total_tokens => $a->{in} + $a->{out}) : undef,
        user => undef, metadata => {});
}

sub _response_status { return ($_[0] // 'completed') eq 'completed' ? 'completed' : 'incomplete' }

sub responses_answer {
    my (%o) = @_;
    my %a = _read('call_', %o);

    return _response(\%a, _response_status($o{finish}), [_responses_items(%a)], %o);
}

sub responses_stream {
    my (%o) = @_;
    my %a = _read('call_', %o);
    my @items = _responses_items(%a);
    my ($n, $index, @out) = (0, 0);
    my $event = sub { push @out, [$_[0], ordered(type => shift, sequence_number => $n++, @_)] };

    $event->('response.created', response => _response(\%a, 'in_progress', [], %o));
    $event->('response.in_progress', response => _response(\%a, 'in_progress', [], %o));
    for my $item (@items) {
        my $add = { %$item, status => 'in_progress' };
        my @at = (item_id => $item->{id}, output_index => $index);
        $add->{$_} = [] for grep { exists $add->{$_} } qw(content summary);
        $add->{arguments} = '' if exists $add->{arguments};
        delete $add->{status} if $item->{type} eq 'reasoning';
        $event->('response.output_item.added', output_index => $index, item => $add);
        if ($item->{type} eq 'reasoning') {
            _responses_summary($event, \@at, $a{thoughts}, $item->{summary}[0]);
        } elsif ($item->{type} eq 'message') {
            _responses_text($event, [@at, content_index => 0], $a{pieces}, $item->{content}[0]);
        } else {
            my ($call) = grep { $_->{id} eq $item->{call_id} } @{$a{calls}};
            $event->('response.function_call_arguments.delta', @at, delta => $_)
                for @{$call->{pieces}};
            $event->('response.function_call_arguments.done', @at, arguments => $call->{args});
        }
        $event->('response.output_item.done', output_index => $index++, item => $item);
    }
    my $status = _response_status($o{finish});
    $event->("response.$status", response => _response(\%a, $status, \@items, %o));
    return @out;
}

sub _responses_summary {
    my ($event, $at, $pieces, $part) = @_;
    my @where = (@$at, summary_index => 0);

    $event->('response.reasoning_summary_part.added', @where,
        part => ordered(type => 'summary_text', text => ''));
    $event->('response.reasoning_summary_text.delta', @where, delta => $_) for @$pieces;
    $event->('response.reasoning_summary_text.done', @where, text => $part->{text});
    $event->('response.reasoning_summary_part.done', @where, part => $part);
    return;
}

sub _responses_text {
    my ($event, $at, $pieces, $part) = @_;

    $event->('response.content_part.added', @$at, part => { %$part, text => '' });
    $event->('response.output_text.delta', @$at, delta => $_, logprobs => [],
        obfuscation => 'aBc') for @$pieces;
    $event->('response.output_text.done', @$at, text => $part->{text}, logprobs => []);
    $event->('response.content_part.done', @$at, part => $part);
    return;
}

# Gemini

sub _gemini_chunk {
    my ($a, $parts, $finish, %o) = @_;

    return ordered(
        candidates => [ordered(content => ordered(parts => $parts, role => 'model'),
            $finish ? (finishReason => $finish) : (), index => 0)],
        usageMetadata => ordered(promptTokenCount => $a->{in},
            $finish ? (candidatesTokenCount => $a->{out},
                totalTokenCount => $a->{in} + $a->{out}) : (totalTokenCount => $a->{in})),
        modelVersion => $o{model} || 'gemini-2.5-flash', responseId => "resp-$a->{n}");
}

sub _gemini_calls {
    my ($a) = @_;

    # Of parallel calls only the first is signed.
    my @signed = defined $a->{signature} ? (thoughtSignature => $a->{signature}) : ();
    return map { ordered(functionCall => ordered(name => $_->{name}, args => _object($_)),
        splice @signed) } @{$a->{calls}};
}

sub gemini_answer {
    my (%o) = @_;
    my %a = _read('call_', %o);
    my @parts;

    push @parts, ordered(text => $a{reasoning}, thought => JSON::PP::true())
        if defined $a{reasoning};
    push @parts, ordered(text => $a{text}) if defined $a{text};
    return _gemini_chunk(\%a, [@parts, _gemini_calls(\%a)], $o{finish} || 'STOP', %o);
}

sub gemini_stream {
    my (%o) = @_;
    my %a = _read('call_', %o);
    my @parts = ((map { [ordered(text => $_, thought => JSON::PP::true())] } @{$a{thoughts}}),
        (map { [ordered(text => $_)] } @{$a{pieces}}), @{$a{calls}} ? [_gemini_calls(\%a)] : ());
    my $last = pop @parts || [ordered(text => '')];

    return ((map { gemini_event(_gemini_chunk(\%a, $_, undef, %o)) } @parts),
        gemini_event(_gemini_chunk(\%a, $last, $o{finish} || 'STOP', %o)));
}

# Cohere

sub _cohere_end {
    my ($a, %o) = @_;

    return (finish_reason => $o{finish} || (@{$a->{calls}} ? 'TOOL_CALL' : 'COMPLETE'),
        usage => ordered(
            billed_units => ordered(input_tokens => 3, output_tokens => $a->{out}),
            tokens => ordered(input_tokens => $a->{in}, output_tokens => $a->{out})));
}

sub cohere_answer {
    my (%o) = @_;
    my %a = _read('f_', %o);
    my $message = ordered(role => 'assistant');
    my @content;

    push @content, ordered(type => 'thinking', thinking => $a{reasoning})
        if defined $a{reasoning};
    push @content, ordered(type => 'text', text => $a{text}) if defined $a{text};
    $message->{content} = \@content if @content;
    $message->{tool_calls} = [map { ordered(id => $_->{id}, type => 'function',
        function => ordered(name => $_->{name}, arguments => $_->{args})) } @{$a{calls}}]
        if @{$a{calls}};
    return ordered(id => "coh-$a{n}", message => $message, _cohere_end(\%a, %o));
}

sub cohere_stream {
    my (%o) = @_;
    my %a = _read('f_', %o);
    my ($index, $call_index, @out) = (0, 0);
    my $event = sub {
        my ($type, $message, @more) = @_;
        push @out, [$type, ordered(type => $type, @more,
            $message ? (delta => { message => $message }) : ())];
    };
    my $content = sub {
        my ($type, $member, @pieces) = @_;
        my @at = (index => $index++);
        $event->('content-start', { content => ordered(type => $type, $member => '') }, @at);
        $event->('content-delta', { content => { $member => $_ } }, @at) for @pieces;
        $event->('content-end', undef, @at);
    };

    $event->('message-start', ordered(role => 'assistant', content => [], tool_plan => '',
        tool_calls => [], citations => []), id => "coh-$a{n}");
    $content->('thinking', 'thinking', @{$a{thoughts}}) if defined $a{reasoning};
    $content->('text', 'text', @{$a{pieces}}) if defined $a{text};
    for my $call (@{$a{calls}}) {
        my @at = (index => $call_index++);
        $event->('tool-call-start', { tool_calls => ordered(id => $call->{id},
            type => 'function', function => ordered(name => $call->{name},
                arguments => '')) }, @at);
        $event->('tool-call-delta', { tool_calls => { function => { arguments => $_ } } }, @at)
            for @{$call->{pieces}};
        $event->('tool-call-end', undef, @at);
    }
    push @out, ['message-end', ordered(type => 'message-end',
        delta => ordered(_cohere_end(\%a, %o)))];
    return (@out, '[DONE]');
}

# Ollama

sub _ollama_line {
    my ($is_last, $a, $message, %o) = @_;

    return ordered(model => $o{model} || 'llama3.1', created_at => '2025-08-18T07:33:20.123456789Z',
        message => ordered(role => 'assistant', content => '', %$message),
        $is_last ? (done_reason => $o{finish} || 'stop') : (),
        done => $is_last ? JSON::PP::true() : JSON::PP::false(),
        $is_last ? (total_duration => 6037504209, load_duration => 28126292,
            prompt_eval_count => $a->{in}, prompt_eval_duration => 182953000,
            eval_count => $a->{out}, eval_duration => 5825102000) : ());
}

sub _ollama_calls {
    my ($a) = @_;

    return @{$a->{calls}} ? (tool_calls => [map { { function => ordered(name => $_->{name},
        arguments => _object($_)) } } @{$a->{calls}}]) : ();
}

sub ollama_answer {
    my (%o) = @_;
    my %a = _read('call_', %o);

    return _ollama_line(1, \%a, { defined $a{text} ? (content => $a{text}) : (),
        defined $a{reasoning} ? (thinking => $a{reasoning}) : (), _ollama_calls(\%a) }, %o);
}

sub ollama_stream {
    my (%o) = @_;
    my %a = _read('call_', %o);

    return map { json_line($_) }
        (map { _ollama_line(0, \%a, { thinking => $_ }, %o) } @{$a{thoughts}}),
        (map { _ollama_line(0, \%a, { content => $_ }, %o) } @{$a{pieces}}),
        @{$a{calls}} ? _ollama_line(0, \%a, { _ollama_calls(\%a) }, %o) : (),
        _ollama_line(1, \%a, {}, %o);
}

# Legacy completions

sub _completion {
    my ($a, $text, $finish, $usage, %o) = @_;

    return ordered(id => "cmpl-$a->{n}", object => 'text_completion', created => 1755500000,
        model => $o{model} || 'gpt-3.5-turbo-instruct',
        choices => defined $text ? [ordered(text => $text, index => 0, logprobs => undef,
            finish_reason => $finish)] : [],
        $usage ? (usage => ordered(prompt_tokens => $a->{in}, completion_tokens => $a->{out},
            total_tokens => $a->{in} + $a->{out})) : ());
}

sub completions_answer {
    my (%o) = @_;
    my %a = _read('', %o);

    return _completion(\%a, $a{text}, $o{finish} || 'stop', 1, %o);
}

sub completions_stream {
    my (%o) = @_;
    my %a = _read('', %o);

    return ((map { _completion(\%a, $_, undef, 0, %o) } @{$a{pieces}}),
        _completion(\%a, '', $o{finish} || 'stop', 0, %o),
        _completion(\%a, undef, undef, 1, %o), '[DONE]');
}

1;
