# Failures of every provider dialect before every client dialect: a refusal instead of a stream, an
# error inside of one, and streams and bodies that are cut. The client reads an error of its own
# dialect with the provider's words, and never an end that looks like one.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()]));
$t->start;

my $lines = 0;
my @held = (sse => [wait_for_release => 12]);
my @long = (text => [map { "word$_ " } 1 .. 30]);
my %refusal = (
    rate_limit => ['Number of request tokens has exceeded your limit', 429],
    context_length => ['prompt is too long: 200001 tokens > 200000 maximum', 400],
);

# The members of an error object, whatever the dialect calls them.
sub told { my ($error) = @_; return join ' ', map { $_ // '' } @$error{qw(type code status)} }

my %words = (
    chat => { rate_limit => qr/rate_limit_error rate_limit_exceeded/,
        context_length => qr/invalid_request_error context_length_exceeded/ },
    messages => { rate_limit => qr/rate_limit_error/, context_length => qr/invalid_request_error/ },
    gemini => { rate_limit => qr/429 RESOURCE_EXHAUSTED/, context_length => qr/400 INVALID_ARG/ },
);
$words{$_} = $words{chat} for qw(responses completions);

for my $pair (LLM::Pair->every) {
    subtest $pair->{name} => sub {
        for my $class (sort keys %refusal) {
            my ($message, $status) = @{$refusal{$class}};
            $p->script($pair->error($class, $message));
            for my $how (qw(stream post)) {
                my $s = $how eq 'stream' ? $pair->stream($t) : undef;
                $s->read_body if $s;
                my $r = $s ? $s->answer : $pair->post($t);
                my $what = "$class, $how";
                is($r->{status}, $status, "$what: status") or diag($r->{body});
                is($r->{headers}{'content-type'}, 'application/json', "$what: type");
                ok($pair->is_error($r->{json}), "$what: an error of the dialect")
                    or diag($r->{body});
                is($r->{json}{error}{message}, $message, "$what: the words of the provider");
                like(told($r->{json}{error}), $words{ $pair->{client} }{$class}, "$what: its kind");
                my $log = LLM::Pair::next_log($t, \$lines);
                is("$log->{outcome} $log->{error}", "upstream_error $class", "$what: log");
            }
        }

        $p->script($pair->failing(0, 'rate_limit', 'Slow down'));
        my $s = $pair->stream($t);
        $s->read_body;
        my $r = $s->answer;
        cmp_ok($r->{status}, '>=', 400, 'an error as the first event: status');
        ok($pair->is_error($r->{json}), 'as the whole answer') or diag($r->{body});
        like($r->{json}{error}{message} // '', qr/Slow down/, 'its words');
        LLM::Pair::next_log($t, \$lines);

        $p->script($pair->failing(12, 'overloaded', 'Overloaded for now', @long,
            @held));
        is_failed($pair, 'an error inside', qr/Overloaded for now/);
        $p->script($pair->streamed(@long, @held, cut => 12));
        is_failed($pair, 'a stream that ends too early', qr/./);
        $p->script($pair->streamed(@long, sse => [@{$held[1]}, cut_after => 12]));
        is_failed($pair, 'a stream that is cut', qr/./);
        $p->script($pair->streamed(@long, sse => [@{$held[1]}, cut_after => 12, reset => 1]));
        is_failed($pair, 'a stream that is reset', qr/./);

        my $body = LLM::Json::encode_json_o($pair->answer(@long));
        $p->script(answer(body => $body, cut_after => length($body) - 9));
        $r = $pair->post($t);
        is($r->{status}, 502, 'a body that is cut: status');
        ok($pair->is_error($r->{json}), 'an error of the dialect');
        LLM::Pair::next_log($t, \$lines);
    };
}

# Content came, then an error of the client's dialect, and nothing that says: complete.
sub is_failed {
    my ($pair, $what, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $s = $pair->stream($t);
    my @events = $s->next_event;
    $p->release;
    push @events, $s->all_events;
    my $error = $pair->error_event(\@events);
    is($s->status, 200, "$what: status");
    ok($error, "$what: an error event") or diag(join '', map { $_->{raw} // '' } @events);
    like($error ? $error->{message} : '', $message, "$what: says why");
    is_deeply([$pair->check(\@events)], [], "$what: grammar");
    is($events[-1]{event}, 'response.failed', "$what: for every SDK")
        if $pair->{client} eq 'responses' && !$pair->is_same;
    my $all = $pair->assemble(\@events);
    like($all->{text}, qr/\Aword1 /, "$what: the text before it");
    ok(!$all->{done}, "$what: not complete");
    ok(!defined $all->{finish} || $all->{finish} eq 'failed', "$what: no reason for an end");
    my $log = LLM::Pair::next_log($t, \$lines);
    is($log->{outcome}, 'cut', "$what: log");
    return;
}

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
