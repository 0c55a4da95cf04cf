# Faults of a provider, one by one: with num_retries 2, a limit for the first token, one fallback and
# llm_recover continue, the caller gets the whole answer wherever that is possible, and no deployment
# is asked more than three times.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

my $models = '';
my @kinds = qw(chat messages responses);
for my $d (@kinds) {
    for my $f (@kinds) {
        $models .= "llm_model $d-then-$f { deployment $d/primary; fallbacks back-$f; }\n";
    }
    $models .= "llm_model back-$d { deployment $d/claude-sonnet-4-5; }\n";
}
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => $models, http => 'llm_num_retries 2;
    llm_first_token_timeout 600ms; llm_idle_timeout 400ms; llm_recover continue;'));
$t->start;

my @words = map { "word$_" } 1 .. 60;
my $text = join ' ', @words;

sub primary { $p->on({ body => qr/"model":"primary"/ }, @_); return }
sub asked   { return scalar grep { $_->{json}{model} eq $_[0] } $p->requests }

# name => [answers of the primary, how many words it sends before it breaks]
sub faults {
    my ($pair) = @_;
    my @events = $pair->events(text => $text);
    my $head = { chat => 1, messages => 3, responses => 4 }->{$pair->{provider}};  # before the words
    my $good = sse(@events);
    my $until = sub { return @events[0 .. $head + $_[0] - 1] };
    my @without_end = grep { $_ ne '[DONE]' } @events;

    return (
        '429 with Retry-After, then well' =>
            [json(429, {}, headers => { 'Retry-After' => 2 }), $good],
        '429 for ever' => [json(429, {})],
        '500 once' => [json(500, {}), $good],
        '503 for ever' => [json(503, {})],
        'reset before headers' => [accept_then_reset()],
        'accepts and never answers' => ['silent'],
        'headers at once, first token never' => [sse($until->(0), stall())],
        # Asked to go on from what it said, it is down; a restart would be cut again.
        'cut after 40 of 60 tokens' => [sse($until->(40), drop()),
            $pair->{provider} eq 'messages' ? json(503, {}) : ()],
        'silent after 20 tokens' => [sse($until->(20), stall())],
        'a malformed event' => [sse($until->(20), raw("data: {\"id\": \n\n"), raw("event: x\n\n"),
            @events[$head + 20 .. $#events])],
        'no [DONE]' => [sse(@without_end)],
    );
}

# Every client with a primary and a fallback of one dialect, and of two.
for my $client (@kinds) {
    for my $d (@kinds) {
        for my $f ($d, $kinds[$d eq 'chat' ? 1 : $d eq 'messages' ? 2 : 0]) {
            my $pair = LLM::Pair->new($client, $d);
            my $back = LLM::Pair->new($client, $f);
            my %faults = faults($pair);
            # One that its provider keeps is that provider's, and no other can go on with it.
            my @own = $client eq 'responses' ? (store => JSON::PP::false()) : ();

            subtest "$client, $d, then $f" => sub {
                for my $name (sort keys %faults) {
                    $p->clear->kick;
                    primary(@{$faults{$name}});
                    # A fallback that takes a prefill goes on from it.
                    my %more = (text => $text);
                    if ($f eq 'messages' && $name =~ /after (\d+)/) {
                        $more{text} = ' ' . join ' ', @words[$1 .. 59];
                    }
                    $p->on({ body => qr/"model":"claude-sonnet-4-5"/ }, sse($back->events(%more)));
                    my $began = time;
                    my $s = $pair->stream($t, model => "$d-then-$f", @own);
                    my @events = $s->all_events;
                    is($s->status, 200, "$name: status");
                    is_deeply([$pair->check(\@events)], [], "$name: grammar");
                    is($pair->assemble(\@events)->{text}, $text, "$name: the whole answer")
                        unless $name eq 'a malformed event';
                    cmp_ok(time - $began, '<', slow(4), "$name: in time");
                    cmp_ok(asked('primary'), '<=', 3, "$name: at most three attempts");
                    cmp_ok(asked('claude-sonnet-4-5'), '<=', 3, "$name: nor of the fallback");
                }
            };

            subtest "a clean error, $client, $d, then $f" => sub {
                for my $class ('context_length', 'content_filter') {
                    $p->clear;
                    primary($class eq 'context_length'
                        ? $pair->error('context_length', 'context length exceeded')
                        : json(400, $d eq 'messages'
                            ? messages_error('content_filter', 'content_filter')
                            : chat_error('content_filter', type => 'content_filter',
                                code => 'content_filter')));
                    my $r = $pair->post($t, model => "$d-then-$f", stream => JSON::PP::true());
                    is($r->{status}, 400, "$class: status");
                    ok($pair->is_error($r->{json}), "$class: in the caller's dialect");
                    is(asked('primary') . asked('claude-sonnet-4-5'), '10', "$class: asked once");
                }
            };
        }
    }
}

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
