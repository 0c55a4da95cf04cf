# Puts a streamed answer together again, as a client library would.
#
# assemble_chat(\@events), assemble_messages(\@events) return
#     {id, model, text, reasoning, refusal, signature, tools => [{id, name, args}], finish,
#      usage, error, done}
# chat also: choices => [the same for every choice] (the top level is choice 0), created
# messages also: blocks => [{type, text, ...}] in order, redacted => [data], stop_sequence,
#     pings; finish is the stop_reason; usage is that of message_start overlaid with that of
#     message_delta
#
# Texts are character strings (decoded JSON). done: the terminal event was seen. Nothing is
# checked here; see LLM::Stream::Grammar.

package LLM::Stream::Assemble;

use strict;
use warnings;

sub _json { return grep { ref $_ eq 'HASH' } map { $_->{json} } @{$_[0]} }

sub assemble_chat {
    my ($events) = @_;
    my %all = (usage => undef, error => undef, done => 0);
    my @choices;

    $all{done} = 1 if grep { defined $_->{data} && $_->{data} eq '[DONE]' } @$events;
    for my $chunk (_json($events)) {
        if ($chunk->{error}) {
            $all{error} = $chunk->{error};
            next;
        }
        for my $key (qw(id model created)) {
            $all{$key} //= $chunk->{$key};
        }
        $all{usage} = $chunk->{usage} if ref $chunk->{usage} eq 'HASH';
        for my $choice (@{$chunk->{choices} || []}) {
            my $c = $choices[$choice->{index} || 0] ||= _empty();
            _chat_delta($c, $choice->{delta} || {});
            $c->{finish} //= $choice->{finish_reason};
        }
    }
    my $first = $choices[0] || _empty();
    return { %$first, %all, choices => \@choices };
}

sub _empty {
    return { text => '', reasoning => '', refusal => '', tools => [], finish => undef,
        signature => undef };
}

sub _chat_delta {
    my ($c, $delta) = @_;

    $c->{role} //= $delta->{role};
    $c->{text} .= $delta->{content} // '';
    $c->{refusal} .= $delta->{refusal} // '';
    $c->{reasoning} .= $delta->{reasoning_content} // $delta->{reasoning} // '';
    push @{$c->{annotations}}, @{$delta->{annotations} || []};
    for my $block (@{$delta->{thinking_blocks} || []}) {
        $c->{signature} = $block->{signature} if defined $block->{signature};
        push @{$c->{thinking_blocks}}, $block;
    }
    for my $call (@{$delta->{tool_calls} || []}) {
        my $tool = $c->{tools}[$call->{index} || 0] ||= { id => undef, name => '', args => '' };
        $tool->{id} //= $call->{id};
        $tool->{name} .= $call->{function}{name} // '';
        $tool->{args} .= $call->{function}{arguments} // '';
        $tool->{extra_content} = $call->{extra_content} if $call->{extra_content};
    }
    return;
}

sub assemble_messages {
    my ($events) = @_;
    my $m = { %{_empty()}, usage => undef, error => undef, done => 0, blocks => [],
        redacted => [], pings => 0, stop_sequence => undef };

    for my $json (_json($events)) {
        my $type = $json->{type} // '';
        if ($type eq 'message_start') {
            my $message = $json->{message} || {};
            @$m{qw(id model role)} = @$message{qw(id model role)};
            $m->{usage} = { %{$message->{usage} || {}} };
        } elsif ($type eq 'content_block_start') {
            my $block = { %{$json->{content_block} || {}} };
            $block->{args} = '' if $block->{type} =~ /tool_use\z/;
            $m->{blocks}[$json->{index}] = $block;
        } elsif ($type eq 'content_block_delta') {
            _block_delta($m->{blocks}[$json->{index}] ||= { type => 'none' }, $json->{delta});
        } elsif ($type eq 'message_delta') {
            $m->{finish} = $json->{delta}{stop_reason};
            $m->{stop_sequence} = $json->{delta}{stop_sequence};
            my $usage = $json->{usage} || {};
            $m->{usage}{$_} = $usage->{$_} for keys %$usage;
        } elsif ($type eq 'message_stop') {
            $m->{done} = 1;
        } elsif ($type eq 'error') {
            $m->{error} = $json->{error};
        } elsif ($type eq 'ping') {
            $m->{pings}++;
        }
    }
    _sum_blocks($m);
    return $m;
}

sub _block_delta {
    my ($block, $delta) = @_;
    my $type = $delta->{type} // '';

    if ($type eq 'text_delta') {
        $block->{text} .= $delta->{text};
    } elsif ($type eq 'thinking_delta') {
        $block->{thinking} .= $delta->{thinking};
    } elsif ($type eq 'signature_delta') {
        $block->{signature} = $delta->{signature};
    } elsif ($type eq 'input_json_delta') {
        $block->{args} .= $delta->{partial_json};
    } elsif ($type eq 'citations_delta') {
        push @{$block->{citations}}, $delta->{citation};
    }
    return;
}

sub _sum_blocks {
    my ($m) = @_;

    for my $block (grep { $_ } @{$m->{blocks}}) {
        my $type = $block->{type};
        if ($type eq 'text') {
            $m->{text} .= $block->{text} // '';
        } elsif ($type eq 'thinking') {
            $m->{reasoning} .= $block->{thinking} // '';
            $m->{signature} = $block->{signature} if length($block->{signature} // '');
        } elsif ($type eq 'redacted_thinking') {
            push @{$m->{redacted}}, $block->{data};
        } elsif ($type eq 'tool_use') {
            push @{$m->{tools}}, { map { $_ => $block->{$_} } qw(id name args) };
        }
    }
    return;
}

1;
