# Splits a byte stream into server-sent events.
#
# my $sse = LLM::Sse->new;
# my @events = $sse->feed($bytes, $time);   any piece sizes
# $sse->rest                                bytes of an event that was never finished
#
# An event is {event, data, id, json, raw, at}; a comment is one of its own,
# {comment, raw, at}. data is bytes; json is the decoded data or undef. Lines may end with
# CR, LF or CRLF; an event without data is dropped, as the standard says.

package LLM::Sse;

use strict;
use warnings;
use LLM::Json qw(try_json);

sub new {
    my ($class) = @_;

    return bless { buf => '', raw => '', data => undef, first => 1 }, $class;
}

sub rest { return $_[0]{raw} . $_[0]{buf} }

sub feed {
    my ($self, $bytes, $at) = @_;
    my @out;

    $self->{buf} .= $bytes;
    if ($self->{first} && length $self->{buf}) {
        if ($self->{buf} =~ /\A\xEF(?:\xBB(?:\xBF)?)?\z/) {
            return;                             # perhaps a byte order mark: wait for more
        }
        $self->{buf} =~ s/\A\xEF\xBB\xBF//;
        $self->{first} = 0;
    }
    # A CR at the end of the buffer ends a line already; the LF that may follow it is dropped
    # when it comes, so that no event waits for it.
    if ($self->{skip_lf} && length $self->{buf}) {
        $self->{skip_lf} = 0;
        $self->{buf} =~ s/\A\n//;
    }
    pos($self->{buf}) = 0;
    my $done = 0;
    while ($self->{buf} =~ /\G([^\r\n]*)(\r\n|\r|\n)/gc) {
        my ($line, $end) = ($1, $2);
        $done = pos $self->{buf};
        $self->{raw} .= $line . $end;
        my $event = $self->_line($line);
        if ($event) {
            @$event{qw(raw at)} = ($self->{raw}, $at);
            push @out, $event;
        }
        $self->{raw} = '' if $event || $line eq '';
        $self->{skip_lf} = 1 if $end eq "\r" && $done == length $self->{buf};
    }
    substr($self->{buf}, 0, $done, '');
    return @out;
}

sub _line {
    my ($self, $line) = @_;

    if ($line eq '') {
        my ($data, $name, $id) = delete @$self{qw(data event id)};
        return undef unless defined $data;
        my $json = $data =~ /\A\s*[\[{"]/ && $data ne '[DONE]' ? try_json($data) : undef;
        return { event => $name, data => $data, id => $id, json => $json };
    }
    if ($line =~ /\A:(.*)/s) {
        my $text = $1;
        $text =~ s/\A //;
        return { comment => $text };
    }
    my ($field, $value) = $line =~ /\A([^:]*)(?:: ?(.*))?\z/s;
    $value = '' unless defined $value;
    if ($field eq 'data') {
        $self->{data} = defined $self->{data} ? "$self->{data}\n$value" : $value;
    } elsif ($field eq 'event' || $field eq 'id') {
        $self->{$field} = $value;
    }
    return undef;
}

1;
