# Case 11: however the bytes of a provider's stream are cut, and however it writes its lines, the
# client gets the same.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p));
$t->start;

my %ends = (LF => "\n", CRLF => "\r\n", CR => "\r");

# The bytes of a stream with everything in it. Options: end (of a line), space => 0 (none behind
# the colon), comments, lines (data over several lines), bom.
sub bytes {
    my ($pair, %o) = @_;
    my @events = $pair->events(
        id => 'the-same-id', reasoning => "Na\x{ef}ve, \x{4f60}\x{597d}",
        text => ["caf\x{e9} ", "\x{2615}\x{1f600} ", 'plain'],
        tools => [{ id => 'call_1', name => 'f', args => ['{"a":"', "\x{e9}", '\u00', 'e9"}'] },
            { id => 'call_2', name => 'g' }]);
    my $out = $o{bom} ? "\xef\xbb\xbf" : '';

    for my $event (@events) {
        $out .= ": a comment, data: not an event\n\n:\n\n" if $o{comments};
        my $bytes = LLM::Provider::Script::sse_bytes($event);
        $bytes =~ s/^(data: \{.*?),(".*)/$1,\ndata: $2/m if $o{lines};
        $bytes = ": inside\nretry: 10\nid: 7\n$bytes" if $o{comments};
        $out .= $bytes;
    }
    $out =~ s/^(\w+): /$1:/gm if exists $o{space} && !$o{space};
    $out =~ s/\n/$ends{$o{end}}/g if $o{end};
    return $out;
}

# What the client reads; a date that the gateway made is not compared.
sub body {
    my ($pair, $bytes, %o) = @_;

    $p->script(sse(raw($bytes), %o));
    my %usage = $pair->{client} eq 'chat'
        ? (stream_options => { include_usage => JSON::PP::true() }) : ();
    my $s = $pair->stream($t, $pair->thinking, %usage);
    my $body = $s->read_body;
    return 'not clean' unless $s->clean_end;
    $body =~ s/"created":\d+/"created":0/g unless $pair->is_same;
    return $body;
}

# The unsplit run, checked once; for the same dialect the answer is the provider's own bytes.
my %expected;

sub expected {
    my ($pair, $bytes) = @_;

    return $bytes if $pair->is_same;
    return $expected{$pair->{name}} ||= body($pair, bytes($pair));
}

subtest 'the unsplit run' => sub {
    for my $pair (LLM::Pair->all) {
        my @events = LLM::Sse->new->feed(body($pair, bytes($pair)), 0);
        is_deeply([$pair->check(\@events)], [], "$pair->{name}: grammar");
        my $all = $pair->assemble(\@events);
        is("$all->{reasoning}|$all->{text}", "Na\x{ef}ve, \x{4f60}\x{597d}|caf\x{e9} \x{2615}"
            . "\x{1f600} plain", "$pair->{name}: text");
        is(join('|', map { ($_->{name}, LLM::Json::encode_json_c(LLM::Json::try_json(
            do { my $x = $_->{args} || '{}'; utf8::encode($x); $x }))) } @{$all->{tools}}),
            "f|{\"a\":\"\xc3\xa9\xc3\xa9\"}|g|{}", "$pair->{name}: arguments");
    }
};

for my $pair (LLM::Pair->all) {
    subtest "case 11: ways to write it, $pair->{name}" => sub {
        for my $end (sort keys %ends) {
            for my $o ({}, { space => 0 }, { comments => 1 }, { lines => 1 }, { bom => 1 },
                { space => 0, comments => 1, lines => 1, bom => 1 })
            {
                my $what = join ' ', $end, map { "$_=$o->{$_}" } sort keys %$o;
                my $bytes = bytes($pair, %$o, end => $end);
                is(body($pair, $bytes), expected($pair, $bytes), $what);
                is(body($pair, $bytes, bytewise => 1), expected($pair, $bytes),
                    "$what, bytewise");
            }
        }
        my $bytes = bytes($pair);
        is(body($pair, $bytes, bytewise => 'all'), expected($pair, $bytes),
            'head and framing bytewise too');
        is(body($pair, $bytes, bytewise => 1, close => 1), expected($pair, $bytes),
            'delimited by the close');
        is(body($pair, $bytes, bytewise => 1, content_length => 1), expected($pair, $bytes),
            'with a length');
    };

    subtest "case 11: no line end waits for the next event, $pair->{name}" => sub {
        for my $end (sort keys %ends) {
            my @pieces = map { LLM::Provider::Script::sse_bytes($_) =~ s/\n/$ends{$end}/gr }
                $pair->events(text => ['one', ' two']);
            my ($at) = grep { $pieces[$_] =~ /"one"/ } 0 .. $#pieces;
            $p->script(sse((map { raw($_) } @pieces[0 .. $at]), hold(),
                map { raw($_) } @pieces[$at + 1 .. $#pieces]));
            my $s = $pair->stream($t);
            ok($t->wait_for(sub { $s->next_event(0.01); $s->body =~ /"one"/ }, 5, 'the text'),
                "$end: the event is there while the next is held");
            $p->release;
            like($s->read_body, qr/" two"/, 'and the rest');
        }
    };

    subtest "case 11: cut at many offsets, $pair->{name}" => sub {
        for my $end (sort keys %ends) {
            my $bytes = bytes($pair, end => $end, comments => 1);
            my %at = map { $_ => 1 } map { $_ * 97 % length $bytes } 1 .. 40;
            # Around line ends, and inside characters of several bytes.
            while ($bytes =~ /[\r\n]+|[\x80-\xff]+/g) {
                $at{$_} = 1 for $-[0], $-[0] + 1, $+[0] - 1, $+[0];
                last if keys %at > 100;
            }
            my @bad = grep { body($pair, $bytes, split => [$_]) ne expected($pair, $bytes) }
                grep { $_ > 0 && $_ < length $bytes } sort { $a <=> $b } keys %at;
            is("@bad", '', "$end: all the same");
            is(body($pair, $bytes, split => [sort { $a <=> $b } keys %at]),
                expected($pair, $bytes), "$end: cut at all of them");
        }
    };

    subtest "case 11: a line of 1 MB, $pair->{name}" => sub {
        my $text = ("\x{e9}" . 'x' x 97) x 10_000;
        for my $o ({ content_length => 1 }, { split => [map { $_ * 9973 } 1 .. 100] }) {
            my $what = join ' ', map { ref $o->{$_} ? "$_ " . @{$o->{$_}} : $_ } keys %$o;
            $p->script(sse($pair->events(text => ['begin ', $text, ' end']), %$o));
            my @events = $pair->stream($t)->all_events;
            my $all = $pair->assemble(\@events);
            ok($all->{text} eq "begin $text end", "text $what")
                or diag length($all->{text}) . ' characters';
            ok($all->{done}, "end $what");
        }
    };
}

$t->done;
