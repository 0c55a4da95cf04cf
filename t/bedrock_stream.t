# Event streams of Amazon Bedrock: read however they are cut; a damaged message, an exception or an
# end in the middle is an error for the client; what InvokeModel wraps reaches clients of the
# messages API as Anthropic wrote it.

use strict;
use warnings;
use MIME::Base64 ();
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(encode_json_o);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => ['bedrock', 'bedrock-invoke']));
$t->start;

my $lines = 0;
my @pairs = grep { $_->{provider} =~ /bedrock/ && $_->{client} =~ /\A(?:chat|messages)\z/ }
    LLM::Pair->every;
my @type = (headers => { 'Content-Type' => 'application/vnd.amazon.eventstream' });
my @long = (text => [map { "word$_ " } 1 .. 30]);

sub bytes_of { return map { $_->[1] } @_ }       # of events made by raw()

sub read_stream {
    my ($pair, %o) = @_;
    my $s = $pair->stream($t, %o);
    my @events = $s->all_events;

    LLM::Pair::next_log($t, \$lines);
    return ($s, $pair->assemble(\@events), @events);
}

subtest 'cut at any byte' => sub {
    my %o = (text => ["caf\x{e9} \x{1f600}", ' and more'], tools => [{ id => 'tooluse_1',
        name => 'f', args => { x => "\x{e9}" } }]);
    for my $pair (@pairs) {
        my $whole = join '', bytes_of($pair->events(%o));
        for my $o (['bytewise', 1], (map { my $n = $_; ["pieces of $n", split =>
            [map { $_ * $n } 1 .. length($whole) / $n]] } 3, 7, 11, 13, 64, 1000))
        {
            my ($how, @cut) = @$o;
            @cut = (bytewise => 1) if $how eq 'bytewise';
            $p->script(answer(body => $whole, chunked => 1, @type, @cut));
            my ($s, $all, @events) = read_stream($pair);
            is_deeply([$pair->check(\@events)], [], "$pair->{name}, $how: grammar");
            is($all->{text}, "caf\x{e9} \x{1f600} and more", "$pair->{name}, $how: text");
            is("$all->{tools}[0]{name} $all->{tools}[0]{args}", qq(f {"x":"\x{e9}"}),
                "$pair->{name}, $how: call");
            ok($all->{done} && $s->clean_end, "$pair->{name}, $how: complete");
        }
    }
};

subtest 'a damaged message' => sub {
    for my $pair (@pairs) {
        my @good = $pair->events(@long);
        my ($frame) = bytes_of($good[15]);
        my %damage = (
            'a bit of the payload' => sub { substr($_[0], -12, 1) ^= "\x01" },
            'the checksum' => sub { substr($_[0], -1, 1) ^= "\x80" },
            'the checksum of the prelude' => sub { substr($_[0], 9, 1) ^= "\x10" },
            'the length' => sub { substr($_[0], 0, 4) = pack 'N', 0x7fffffff },
            'a length of nothing' => sub { substr($_[0], 0, 4) = pack 'N', 0 },
            'the length of its headers' => sub { substr($_[0], 4, 4) = pack 'N', 0xffff },
        );
        for my $what (sort keys %damage) {
            my $bad = $frame;
            $damage{$what}->($bad);
            my $name = "$pair->{name}, $what";
            $p->script($pair->stream_of([@good[0 .. 14], raw($bad), @good[16 .. $#good]],
                wait_for_release => 15));
            my $s = $pair->stream($t);
            is($s->status, 200, "$name: status");
            $p->release;
            my @events = $s->all_events;
            ok($pair->error_event(\@events), "$name: an error");
            ok(!$pair->assemble(\@events)->{done}, "$name: not complete");
            is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'cut', "$name: log");
            $p->script($pair->stream_of([raw($bad), @good]));
            my $r = do { $s = $pair->stream($t); $s->read_body; $s->answer };
            like($r->{status}, qr/\A50[02]\z/, "$name, as the first: status");
            ok($pair->is_error($r->{json}), "$name, as the first: an error");
            LLM::Pair::next_log($t, \$lines);
        }
    }
};

subtest 'exceptions' => sub {
    my %status = (throttlingException => [429, 429], serviceUnavailableException => [503, 529],
        validationException => [400, 400], internalServerException => [502, 500],
        modelStreamErrorException => [502, 500], modelTimeoutException => [504, 504]);
    for my $pair (@pairs) {
        for my $type (sort keys %status) {
            my $name = "$pair->{name}, $type";
            my @good = $pair->events(@long);
            $p->script($pair->stream_of([aws_exception($type, 'So it is')]));
            my $s = $pair->stream($t);
            $s->read_body;
            my $r = $s->answer;
            is($r->{status}, $status{$type}[$pair->{client} eq 'messages'], "$name: status");
            ok($pair->is_error($r->{json}), "$name: an error");
            is($r->{json}{error}{message}, 'So it is', "$name: its words");
            LLM::Pair::next_log($t, \$lines);
            $p->script($pair->stream_of([@good[0 .. 14], aws_exception($type, 'So it is')],
                wait_for_release => 15));
            $s = $pair->stream($t);
            is($s->status, 200, "$name inside: status");
            $p->release;
            my @events = $s->all_events;
            my $error = $pair->error_event(\@events);
            is($error && $error->{message}, 'So it is', "$name inside: its words");
            LLM::Pair::next_log($t, \$lines);
        }
    }
};

subtest 'messages of kinds that we do not know' => sub {
    for my $pair (@pairs) {
        my @good = $pair->events(text => 'Hi you');
        my $news = raw(aws_frame('{"a":1}', ':event-type' => 'newEvent',
            ':content-type' => 'application/json', ':message-type' => 'event'));
        $p->script($pair->stream_of([$news, $good[0], $news, @good[1 .. $#good]]));
        my ($s, $all, @events) = read_stream($pair);
        is_deeply([$pair->check(\@events)], [], "$pair->{name}: grammar");
        is($all->{text}, 'Hi you', "$pair->{name}: text");
    }
};

subtest 'InvokeModel: the bytes of the events' => sub {
    my $pair = LLM::Pair->new('messages', 'bedrock-invoke');
    my @events = messages_stream(text => "caf\x{e9}", reasoning => 'Hm', tools => [{ name => 'f',
        args => { x => 1 } }]);
    $events[-1][1]{'amazon-bedrock-invocationMetrics'} = { inputTokenCount => 21 };
    my $want = join '', map { "event: $_->[0]\ndata: " . encode_json_o($_->[1]) . "\n\n" } @events;
    $p->script($pair->stream_of([invoke_stream(@events)]));
    my $s = $pair->stream($t);
    ok($s->read_body eq $want, 'the same as from Anthropic') or diag($s->body);
    my $log = LLM::Pair::next_log($t, \$lines);
    is("$log->{outcome} $log->{input_tokens} $log->{output_tokens} $log->{finish_reason}",
        'ok 21 9 tool_use', 'log');
    my $odd = "{\n  \"type\": \"ping\",\r\n \"x\": \"\\u00e9 \\/\", \"n\": 1.0 }";
    $p->script($pair->stream_of([invoke_stream($events[0]), raw(aws_frame(encode_json_o({
        bytes => MIME::Base64::encode_base64($odd, '') }), ':event-type' => 'chunk',
        ':message-type' => 'event')), invoke_stream(@events[1 .. $#events])]));
    $s = $pair->stream($t);
    my ($ping) = grep { defined $_->{event} && $_->{event} eq 'ping' } $s->all_events;
    like($ping->{data}, qr{"x": "\\u00e9 \\/", "n": 1\.0}, 'JSON over several lines is one event');
    is($ping->{json}{type}, 'ping', 'and whole');
    LLM::Pair::next_log($t, \$lines);
    my $body = encode_json_o($pair->answer(text => 'x')) =~ s/\A\{/{ "new" : 1.50,/r;
    $p->script(answer(body => $body));
    is($pair->post($t)->{body}, $body, 'a whole answer is not touched');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
