# Clients of OpenAI's Responses: the grammar of their streams, and what they make of an answer.
#
# check(\@events)      violations, as LLM::Stream::Grammar gives them
# assemble(\@events), read_answer($json)     the hash of LLM::Stream::Assemble
# error_event(\@events)                      the error that ends a stream, or undef

package LLM::Client::Responses;

use strict;
use warnings;
use Encode qw(encode_utf8);
use LLM::Json qw(encode_json_c try_json);

my %is_terminal = map { $_ => 1 } qw(response.completed response.incomplete response.failed);
my @members = qw(id object created_at status error incomplete_details instructions
    max_output_tokens model output parallel_tool_calls previous_response_id reasoning store
    temperature text tool_choice tools top_p truncation usage metadata);

sub check {
    my ($events) = @_;
    my $s = { bad => [], n => 0, items => [], done => [] };

    for my $event (grep { !defined $_->{comment} } @$events) {
        my $json = $event->{json};
        unless (ref $json eq 'HASH' && defined $json->{type}) {
            _bad($s, "not a JSON object with a type: $event->{data}");
            next;
        }
        my $type = $json->{type};
        _bad($s, "after the end: $type") if $s->{end} && !($s->{end} eq 'error'
            && $type eq 'response.failed');
        _bad($s, 'event name ' . ($event->{event} // 'missing') . " for $type")
            if ($event->{event} // '') ne $type;
        # The error that breaks off a provider's own stream does not know the number.
        _bad($s, 'sequence_number ' . ($json->{sequence_number} // 'missing'))
            if $type ne 'error' && ($json->{sequence_number} // -1) ne $s->{n};
        _bad($s, "$type before response.created")
            if !$s->{n} && $type ne 'response.created' && $type ne 'error';
        $s->{n}++;
        _event($s, $type, $json);
    }
    _bad($s, 'the stream ends with no terminal event') unless $s->{end};
    return @{$s->{bad}};
}

sub _bad {
    my ($s, $text) = @_;

    push @{$s->{bad}}, "event $s->{n}: $text";
    return;
}

sub _event {
    my ($s, $type, $json) = @_;
    my $at = $json->{output_index};

    if ($is_terminal{$type} || $type eq 'error') {
        $s->{end} = $type;
        _terminal($s, $type, $json->{response}) if $type ne 'error';
        return;
    }
    if ($type eq 'response.created' || $type eq 'response.in_progress') {
        _response($s, $json->{response}, 'in_progress');
        return;
    }
    unless (defined $at && $at =~ /\A\d+\z/) {
        _bad($s, "$type without output_index");
        return;
    }
    if ($type eq 'response.output_item.added') {
        _bad($s, "item $at added, expected " . @{$s->{items}}) if $at != @{$s->{items}};
        $s->{items}[$at] = { item => $json->{item}, text => {} };
        _bad($s, "item $at without an id") unless length($json->{item}{id} // '');
        return;
    }
    my $item = $s->{items}[$at];
    if (!$item || $s->{done}[$at]) {
        _bad($s, "$type for item $at, which is not open");
        return;
    }
    if ($type eq 'response.output_item.done') {
        $s->{done}[$at] = $json->{item};
        _bad($s, "item $at has another id when it is done")
            if $json->{item}{id} ne $item->{item}{id};
        _bad($s, "item $at: " . $json->{item}{arguments} . ' is no object')
            if $json->{item}{type} eq 'function_call'
            && ref try_json(encode_utf8($json->{item}{arguments})) ne 'HASH';
        return;
    }
    _bad($s, "$type: item_id $json->{item_id}, not $item->{item}{id}")
        if ($json->{item_id} // '') ne $item->{item}{id};
    my ($kind, $what) = $type =~ /\A(.*)\.(delta|done)\z/ or return;
    my $part = join ' ', $kind, map { $_ // '' } @$json{qw(content_index summary_index)};
    if ($what eq 'delta') {
        $item->{text}{$part} .= $json->{delta};
    } elsif ($kind !~ /_part\z/) {
        my ($whole) = grep { defined } @$json{qw(text arguments refusal input)};
        _bad($s, "$type differs from its deltas") if ($whole // '') ne ($item->{text}{$part} // '');
    }
    return;
}

sub _response {
    my ($s, $response, $status) = @_;

    unless (ref $response eq 'HASH') {
        _bad($s, 'no response');
        return;
    }
    my @missing = grep { !exists $response->{$_} } @members;
    _bad($s, "response without @missing") if @missing;
    _bad($s, "status $response->{status}, expected $status")
        if ($response->{status} // '') ne $status;
    $s->{id} //= $response->{id};
    _bad($s, 'the id changed') if ($response->{id} // '') ne $s->{id};
    return;
}

sub _terminal {
    my ($s, $type, $response) = @_;

    _response($s, $response, $type =~ s/\Aresponse\.//r);
    return if $type eq 'response.failed';
    _bad($s, "item $_ is not done") for grep { !$s->{done}[$_] } 0 .. $#{$s->{items}};
    _bad($s, 'output differs from the items') if encode_json_c($response->{output} || [])
        ne encode_json_c($s->{done});
    _bad($s, 'no usage') unless ref $response->{usage} eq 'HASH';
    return;
}

sub read_answer {
    my ($json) = @_;
    my %all = (id => $json->{id}, model => $json->{model}, usage => $json->{usage}, text => '',
        reasoning => '', tools => []);

    for my $item (@{$json->{output} || []}) {
        if ($item->{type} eq 'message') {
            $all{text} .= join '', map { $_->{text} // '' } @{$item->{content}};
        } elsif ($item->{type} eq 'reasoning') {
            $all{reasoning} .= join '', map { $_->{text} } @{$item->{summary}};
        } elsif ($item->{type} eq 'function_call') {
            push @{$all{tools}}, { id => $item->{call_id}, name => $item->{name},
                args => $item->{arguments} };
        }
    }
    $all{finish} = $json->{incomplete_details} ? $json->{incomplete_details}{reason}
        : $json->{status};
    $all{done} = ($json->{status} // '') =~ /\A(?:completed|incomplete)\z/ ? 1 : 0;
    return \%all;
}

# What came in deltas, and the end as the terminal event tells it.
sub assemble {
    my ($events) = @_;
    my @json = grep { ref $_ eq 'HASH' } map { $_->{json} } @$events;
    my ($last) = grep { $is_terminal{ $_->{type} } } @json;
    my $all = read_answer($last ? $last->{response} : {});
    my @tools;

    $all->{text} = join '', map { $_->{delta} }
        grep { $_->{type} eq 'response.output_text.delta' } @json;
    for my $json (@json) {
        my $at = $json->{output_index};
        $tools[$at] = { id => $json->{item}{call_id}, name => $json->{item}{name}, args => '' }
            if $json->{type} eq 'response.output_item.added'
            && $json->{item}{type} eq 'function_call';
        $tools[$at]{args} .= $json->{delta}
            if $json->{type} eq 'response.function_call_arguments.delta';
    }
    $all->{tools} = [grep { $_ } @tools];
    $all->{error} = error_event($events);
    return $all;
}

# The SDKs read `error` or `response.failed`; where both are there they must agree.
sub error_event {
    my ($events) = @_;
    my ($failed, $error) = reverse grep { !defined $_->{comment} } @$events;

    return $failed->{json} if $failed && ($failed->{event} // '') eq 'error';
    return undef unless $error && ($error->{event} // '') eq 'error'
        && ($failed->{event} // '') eq 'response.failed';
    my $told = $failed->{json}{response}{error};
    return undef unless ref $told eq 'HASH' && defined $error->{json}{message}
        && $told->{message} eq $error->{json}{message};
    return $error->{json};
}

1;
