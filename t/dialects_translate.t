# Every dialect of clients before every dialect of providers, streamed and whole: text, a call of
# a tool, the reason for the end and the usage, for the client and in the log.

use strict;
use warnings;
use Encode qw(encode_utf8);
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(try_json);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()]));
$t->start;

my $lines = 0;
my $text = "caf\x{e9} \x{1f600} \"so\"\n\\ <b>";

# Asks for the same answer as a stream and as a whole; $look gets what the client makes of it.
sub both {
    my ($pair, $o, $look, @ask) = @_;
    my $name = 'stream';

    $p->script($pair->streamed(%$o));
    my $s = $pair->stream($t, @ask, $pair->usage_asked);
    my @events = $s->all_events;
    is($s->status, 200, "$name: status") or diag($s->body);
    is($s->header('content-type'), 'text/event-stream; charset=utf-8', "$name: type");
    is_deeply([$pair->check(\@events)], [], "$name: case 43: grammar")
        or diag(join '', map { $_->{raw} // '' } @events);
    ok($s->clean_end, "$name: clean end");
    my $all = $pair->assemble(\@events);
    ok($all->{done}, "$name: complete");
    $look->($all, $name);
    my $of_stream = LLM::Pair::next_log($t, \$lines);
    is("$of_stream->{outcome} $of_stream->{stream}", 'ok 1', "$name: log");

    my $q = $p->last_request;
    ok($pair->is_stream_asked($q), "$name: the provider was asked for one");
    ok($q->{json}{stream_options}{include_usage}, "$name: and for its usage")
        if $pair->{provider} eq 'chat';

    $name = 'whole';
    $p->script($pair->whole(%$o));
    my $r = $pair->post($t, @ask);
    is($r->{status}, 200, "$name: status") or diag($r->{body});
    ok(!$pair->is_stream_asked($p->last_request), "$name: no stream was asked for");
    $look->($pair->read_answer($r->{json} || {}), $name);
    my $log = LLM::Pair::next_log($t, \$lines);
    for my $field (qw(outcome finish_reason input_tokens output_tokens upstream_model)) {
        is($log->{$field}, $of_stream->{$field}, "$name: log has the same $field");
    }
    return $log;
}

for my $pair (LLM::Pair->every) {
    my $ends = $pair->{to}{finish};

    subtest $pair->{name} => sub {
        my $log = both($pair, { text => [$text =~ /(.{1,3})/gs] }, sub {
            my ($all, $name) = @_;
            ok($all->{text} eq $text, "$name: the text") or diag(explain($all->{text}));
            is($all->{finish}, $pair->finish(0), "$name: the end");
            is(@{$all->{tools}}, 0, "$name: no calls");
            is($pair->counts($all), '21 9', "$name: usage");
        });
        is("$log->{input_tokens} $log->{output_tokens}", '21 9', 'log: usage');
        is($log->{finish_reason}, $ends->[0], 'log: the reason in the words of the provider');
        is("$log->{model} $log->{attempts}", "$pair->{model} 1", 'log: model');

        both($pair, { text => 'So', finish => $ends->[1] }, sub {
            my ($all, $name) = @_;
            is($all->{finish}, $pair->finish(1), "cut by length, $name: the end");
        });
        return if !$pair->tool('f');

        my @calls = ({ id => 'id_1', name => 'get_it', args => { x => 1, y => "\x{e9}\n" } });
        both($pair, { tools => \@calls }, sub {
            my ($all, $name) = @_;
            my ($call) = @{$all->{tools}};
            is(@{$all->{tools}}, 1, "a call, $name: one");
            is($call->{name}, 'get_it', "a call, $name: name");
            is_deeply(try_json(encode_utf8($call->{args} // '')), $calls[0]{args},
                "a call, $name: arguments");
            ok(length($call->{id} // ''), "a call, $name: id") unless $pair->{client} eq 'gemini';
            is($all->{text}, '', "a call, $name: no text");
            is($all->{finish}, $pair->finish(2), "a call, $name: the end");
            is($pair->counts($all), '21 9', "a call, $name: usage");
        }, $pair->tool('get_it'));
    };
}

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
