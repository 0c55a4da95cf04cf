# Clients of Gemini: the grammar of their streams, and what they make of an answer.
#
# check(\@events)      violations, as LLM::Stream::Grammar gives them
# assemble(\@events), read_answer($json)     the hash of LLM::Stream::Assemble
# error_event(\@events)                      the error that ends a stream, or undef
# is_error($json)                            Google's error body
# array_events($body)                        a stream without alt=sse, as events; undef: no array

package LLM::Client::Gemini;

use strict;
use warnings;
use LLM::Json qw(json_text try_json);

sub is_error {
    my ($json) = @_;
    my $error = ref $json eq 'HASH' ? $json->{error} : undef;

    return ref $error eq 'HASH' && !(grep { !defined $error->{$_} } qw(code message status))
        && $error->{code} =~ /\A\d+\z/ && $error->{status} =~ /\A[A-Z_]+\z/ ? 1 : 0;
}

sub array_events {
    my ($body) = @_;
    my $list = try_json($body);

    return ref $list eq 'ARRAY' ? [map { { json => $_, data => 'an element' } } @$list] : undef;
}

sub check {
    my ($events) = @_;
    my ($n, $end, $has_error, @bad) = (0, 0, 0);

    for my $event (grep { !defined $_->{comment} } @$events) {
        my $json = $event->{json};
        my $where = 'event ' . ++$n;
        push @bad, "$where: an event name" if defined $event->{event};
        push @bad, "$where: after the end" if $has_error;
        unless (ref $json eq 'HASH') {
            push @bad, "$where: not a JSON object: $event->{data}";
            next;
        }
        if (exists $json->{error}) {
            push @bad, "$where: an error without its members" unless is_error($json);
            push @bad, "$where: an error behind the end" if $end;
            $has_error = 1;
            next;
        }
        my ($candidate) = @{$json->{candidates} || []};
        push @bad, "$where: content behind the end" if $end && $candidate && $candidate->{content}
            && grep { length($_->{text} // '') || $_->{functionCall} }
                @{$candidate->{content}{parts} || []};
        push @bad, "$where: no model" unless defined $json->{modelVersion};
        push @bad, "$where: a role" if $candidate && $candidate->{content}
            && ($candidate->{content}{role} // '') ne 'model';
        push @bad, "$where: arguments are no object" for grep { $_->{functionCall}
            && ref($_->{functionCall}{args} // {}) ne 'HASH' }
            map { @{$_->{content}{parts} || []} } grep { $_->{content} } $candidate || ();
        $end = 1 if $candidate && defined $candidate->{finishReason};
    }
    push @bad, 'the stream ends with neither a finishReason nor an error'
        unless $end || $has_error;
    return @bad;
}

sub assemble {
    my ($events) = @_;
    my $all = { text => '', reasoning => '', tools => [], done => 0 };

    for my $json (grep { ref $_ eq 'HASH' } map { $_->{json} } @$events) {
        _take($all, $json);
    }
    return $all;
}

sub read_answer { return assemble([{ json => $_[0] }]) }

sub _take {
    my ($all, $json) = @_;
    my ($candidate) = @{$json->{candidates} || []};

    $all->{error} = $json->{error} if $json->{error};
    $all->{id} //= $json->{responseId};
    $all->{model} //= $json->{modelVersion};
    $all->{usage} = $json->{usageMetadata} if $json->{usageMetadata};
    return unless $candidate;
    for my $part (@{$candidate->{content}{parts} || []}) {
        if ($part->{functionCall}) {
            push @{$all->{tools}}, { id => $part->{functionCall}{id},
                name => $part->{functionCall}{name},
                args => json_text($part->{functionCall}{args} || {}) };
        } else {
            $all->{ $part->{thought} ? 'reasoning' : 'text' } .= $part->{text} // '';
        }
    }
    if (defined $candidate->{finishReason}) {
        $all->{finish} = $candidate->{finishReason};
        $all->{done} = 1;
    }
    return;
}

sub error_event {
    my ($events) = @_;
    my ($last) = reverse grep { !defined $_->{comment} } @$events;

    return $last && is_error($last->{json}) ? $last->{json}{error} : undef;
}

1;
