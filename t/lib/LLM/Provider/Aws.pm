# Amazon's side: messages in event streams, answers of Converse and InvokeModel, and a check of
# signatures that shares nothing with the code that makes them.
#
# aws_frame($payload, %headers)       one message of application/vnd.amazon.eventstream, bytes
# aws_exception($type, $message)      the same, an exception
# converse_answer(%o)                 see LLM::Provider::Answers for the options
# converse_stream(%o)                 pieces of the body for sse()
# invoke_stream(@events)              events of the messages API ([name, data]), wrapped
# check_sigv4($request, %o)           problems of a signed request as LLM::Provider recorded it;
#                                     options: id, secret, token, region, service

package LLM::Provider::Aws;

use strict;
use warnings;
use Compress::Zlib ();
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use Exporter 'import';
use LLM::Json qw(encode_json_o ordered try_json);
use LLM::Provider::Answers ();
use LLM::Provider::Script qw(raw);
use MIME::Base64 qw(encode_base64);

our @EXPORT_OK = qw(aws_frame aws_exception converse_answer converse_stream invoke_stream
    check_sigv4);

sub aws_frame {
    my ($payload, %headers) = @_;
    # Type 7 is a string.
    my $head = join '', map { pack 'C/a C n/a', $_, 7, $headers{$_} } sort keys %headers;
    my $prelude = pack 'NN', length($head) + length($payload) + 16, length $head;

    $prelude .= pack 'N', Compress::Zlib::crc32($prelude);
    my $message = $prelude . $head . $payload;
    return $message . pack 'N', Compress::Zlib::crc32($message);
}

sub _event {
    my ($type, $data) = @_;

    return raw(aws_frame(encode_json_o($data), ':event-type' => $type,
        ':content-type' => 'application/json', ':message-type' => 'event'));
}

sub aws_exception {
    my ($type, $message) = @_;

    return raw(aws_frame(encode_json_o({ message => $message }), ':exception-type' => $type,
        ':content-type' => 'application/json', ':message-type' => 'exception'));
}

sub _converse_usage {
    my ($in, $out) = @{$_[0] || [21, 9]};

    return ordered(inputTokens => $in, outputTokens => $out, totalTokens => $in + $out);
}

sub _text_of {
    my (%o) = @_;

    return exists $o{text} ? $o{text} : @{$o{tools} || []} ? undef : 'Good day to you.';
}

sub converse_answer {
    my (%o) = @_;
    my @calls = LLM::Provider::Answers::call_list('tooluse_', $o{tools});
    my ($text, $thought) = map { LLM::Provider::Answers::whole_text($_) } _text_of(%o),
        $o{reasoning};
    my @content;

    push @content, { reasoningContent => { reasoningText => ordered(text => $thought,
        signature => $o{signature} || 'c2ln') } } if defined $thought;
    push @content, { text => $text } if defined $text;
    push @content, map { { toolUse => ordered(toolUseId => $_->{id}, name => $_->{name},
        input => try_json(LLM::Provider::Answers::utf8_bytes($_->{args})) || {}) } } @calls;
    return ordered(metrics => { latencyMs => 551 },
        output => { message => ordered(content => \@content, role => 'assistant') },
        stopReason => $o{finish} || (@calls ? 'tool_use' : 'end_turn'),
        usage => _converse_usage($o{usage}));
}

sub converse_stream {
    my (%o) = @_;
    my @calls = LLM::Provider::Answers::call_list('tooluse_', $o{tools});
    my $text = _text_of(%o);
    my ($index, @out) = (0, _event('messageStart', ordered(role => 'assistant', p => 'abcd')));
    my $block = sub {
        my ($start, @deltas) = @_;
        push @out, _event('contentBlockStart', ordered(contentBlockIndex => $index,
            start => $start)) if $start;
        push @out, map { _event('contentBlockDelta', ordered(contentBlockIndex => $index,
            delta => $_, p => 'abcdefg')) } @deltas;
        push @out, _event('contentBlockStop', ordered(contentBlockIndex => $index++, p => 'ab'));
    };

    $block->(undef, (map { { reasoningContent => { text => $_ } } }
        LLM::Provider::Answers::text_pieces($o{reasoning})),
        { reasoningContent => { signature => $o{signature} || 'c2ln' } })
        if defined $o{reasoning};
    $block->(undef, map { { text => $_ } } LLM::Provider::Answers::text_pieces($text))
        if defined $text;
    $block->({ toolUse => ordered(toolUseId => $_->{id}, name => $_->{name}) },
        map { { toolUse => { input => $_ } } } @{$_->{pieces}}) for @calls;
    push @out, _event('messageStop', ordered(stopReason => $o{finish}
        || (@calls ? 'tool_use' : 'end_turn'), p => 'abc'));
    push @out, _event('metadata', ordered(metrics => { latencyMs => 551 },
        usage => _converse_usage($o{usage}), p => 'abcde'));
    return @out;
}

sub invoke_stream {
    return map { _event('chunk', ordered(
        bytes => encode_base64(encode_json_o($_->[1]), ''), p => 'abcdef')) } @_;
}

# Signatures

sub _uri_encode {
    my ($text) = @_;

    $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

sub check_sigv4 {
    my ($q, %o) = @_;
    my $h = $q->{headers};
    my ($scope, $names, $signature) = ($h->{authorization} // '') =~ m{\AAWS4-HMAC-SHA256
        [ ]Credential=(\S+),\s*SignedHeaders=(\S+),\s*Signature=([0-9a-f]{64})\z}x
        or return 'no signature: ' . ($h->{authorization} // 'undef');
    my $time = $h->{'x-amz-date'} // '';
    my @bad;

    push @bad, "x-amz-date '$time'" unless $time =~ /\A\d{8}T\d{6}Z\z/;
    my $day = substr $time, 0, 8;
    my $want = "$day/$o{region}/$o{service}/aws4_request";
    push @bad, "credential $scope, expected $o{id}/$want" if $scope ne "$o{id}/$want";
    my %signed = map { $_ => 1 } split /;/, $names;
    push @bad, "$_ is not signed" for grep { !$signed{$_} } 'host', 'x-amz-date',
        defined $o{token} ? 'x-amz-security-token' : ();
    push @bad, 'the session token is not sent'
        if defined $o{token} && ($h->{'x-amz-security-token'} // '') ne $o{token};
    push @bad, 'a session token that there is not'
        if !defined $o{token} && defined $h->{'x-amz-security-token'};
    push @bad, 'x-amz-content-sha256' if defined $h->{'x-amz-content-sha256'}
        && $h->{'x-amz-content-sha256'} ne sha256_hex($q->{body});

    # What stands in the request line is encoded already, and is encoded once more.
    my ($path, $query) = split /\?/, $q->{path}, 2;
    my $canonical = join "\n", $q->{method}, join('/', map { _uri_encode($_) } split m{/}, $path,
        -1), join('&', sort split /&/, $query // ''),
        (map { "$_:" . (($h->{$_} // '') =~ s/\s+/ /gr) } split /;/, $names), '', $names,
        sha256_hex($q->{body});
    my $key = "AWS4$o{secret}";
    $key = hmac_sha256($_, $key) for $day, $o{region}, $o{service}, 'aws4_request';
    my $mine = hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $time, $want,
        sha256_hex($canonical)), $key);
    push @bad, "signature $signature, expected $mine" if $mine ne $signature;
    return @bad;
}

1;
