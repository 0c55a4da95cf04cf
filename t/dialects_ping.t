# Case 13 for every dialect: a silent stream is kept alive by something that the client's SDK
# ignores; in an array of Gemini it is still JSON in the end.

use strict;
use warnings;
use LLM::Test;
use LLM::Client::Gemini;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()],
    location => 'llm_ping 20ms;'));
$t->start;

# An event that says nothing.
sub is_ping {
    my ($event) = @_;

    return defined $event->{comment} || ($event->{event} // '') eq 'ping';
}

# Where the first word is said and the second is not.
my %at = (chat => 2, messages => 4, responses => 5, gemini => 1, bedrock => 2,
    'bedrock-invoke' => 4, cohere => 3, ollama => 1);

subtest 'pings' => sub {
    for my $pair (LLM::Pair->every) {
        $p->script($pair->streamed(text => ['one', ' two'],
            sse => [wait_for_release => $at{ $pair->{provider} }]));
        my $s = $pair->stream($t);
        my ($pings, @seen) = (0);
        while ($pings < 3) {
            my $event = $s->next_event or last;
            push @seen, $event;
            $pings = is_ping($event) ? $pings + 1 : 0;
        }
        is($pings, 3, "$pair->{name}: pings");
        is($pair->assemble(\@seen)->{text}, 'one', "$pair->{name}: behind the first content");
        $p->release;
        push @seen, $s->all_events;
        is_deeply([$pair->check(\@seen)], [], "$pair->{name}: grammar");
        my $all = $pair->assemble(\@seen);
        is("$all->{text} $all->{done}", 'one two 1', "$pair->{name}: nothing else is changed");
    }
};

subtest 'in an array' => sub {
    for my $pair (grep { $_->{client} eq 'gemini' } LLM::Pair->every) {
        $p->script($pair->streamed(text => ['one', ' two'],
            sse => [wait_for_release => $at{ $pair->{provider} }]));
        my $s = $t->stream("/v1beta/models/$pair->{model}:streamGenerateContent",
            $pair->question);
        $t->wait_for(sub { $s->next_event(0.01); $s->body =~ /one/ }, 5, 'the first element');
        my $size = length $s->body;
        $t->wait_for(sub { $s->next_event(0.01); length $s->body > $size + 1 }, 5, 'pings');
        like(substr($s->body, $size), qr/\A\s+\z/, "$pair->{name}: white space");
        $p->release;
        $s->read_body;
        my $events = LLM::Client::Gemini::array_events($s->body);
        ok($events, "$pair->{name}: an array") or diag($s->body);
        my $all = LLM::Client::Gemini::assemble($events || []);
        is("$all->{text} $all->{done}", 'one two 1', "$pair->{name}: the answer");
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
