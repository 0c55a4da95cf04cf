# Clients of the legacy completions: the grammar of their streams, and what they make of an answer.
#
# check(\@events)      violations, as LLM::Stream::Grammar gives them
# assemble(\@events), read_answer($json)     the hash of LLM::Stream::Assemble

package LLM::Client::Completions;

use strict;
use warnings;

sub check {
    my ($events) = @_;
    my ($n, $end, $finish, @bad) = (0, '', '');

    for my $event (grep { !defined $_->{comment} } @$events) {
        my $where = 'event ' . ++$n;
        push @bad, "$where: after the end" if $end;
        push @bad, "$where: an event name" if defined $event->{event};
        if ($event->{data} eq '[DONE]') {
            $end = 'done';
            next;
        }
        my $json = $event->{json};
        unless (ref $json eq 'HASH') {
            push @bad, "$where: not a JSON object: $event->{data}";
            next;
        }
        if ($json->{error}) {
            $end = 'error';
            next;
        }
        push @bad, "$where: object" if ($json->{object} // '') ne 'text_completion';
        push @bad, "$where: without $_" for grep { !defined $json->{$_} }
            qw(id created model choices);
        for my $choice (@{$json->{choices} || []}) {
            push @bad, "$where: text is no string" if !defined $choice->{text};
            push @bad, "$where: text behind the finish reason"
                if $finish && length($choice->{text} // '');
            $finish = $choice->{finish_reason} // $finish;
        }
    }
    push @bad, 'the stream ends with neither [DONE] nor an error' unless $end;
    push @bad, '[DONE] without a finish reason' if $end eq 'done' && !$finish;
    push @bad, 'an error behind a finish reason' if $end eq 'error' && $finish;
    return @bad;
}

sub assemble {
    my ($events) = @_;
    my $all = { text => '', reasoning => '', tools => [], done => 0 };

    for my $event (@$events) {
        $all->{done} = 1 if ($event->{data} // '') eq '[DONE]';
        _take($all, $event->{json}) if ref $event->{json} eq 'HASH';
    }
    return $all;
}

sub read_answer {
    my ($json) = @_;
    my $all = { text => '', reasoning => '', tools => [], done => 1 };

    _take($all, $json);
    return $all;
}

sub _take {
    my ($all, $json) = @_;

    $all->{error} = $json->{error} if $json->{error};
    $all->{$_} //= $json->{$_} for qw(id model);
    $all->{usage} = $json->{usage} if ref $json->{usage} eq 'HASH';
    for my $choice (@{$json->{choices} || []}) {
        $all->{text} .= $choice->{text} // '';
        $all->{finish} //= $choice->{finish_reason};
    }
    return;
}

1;
