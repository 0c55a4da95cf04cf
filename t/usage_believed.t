# What a provider says of its tokens is not believed when it cannot be: a number that is none, is
# negative, has a fraction or is beyond all sense counts as missing. What is missing is estimated, and
# the other part stands as it was told. In every dialect, whole and streamed, passed and translated.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Json qw(encode_json_o try_json);
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @forms = LLM::Forms::providers();

$t->http_conf(LLM::Pair::conf($p, forms => \@forms,
    http => q(log_format believed escape=json '{"status":"$llm_cost_status","cost":$llm_cost,)
        . q("in":$llm_input_tokens,"out":$llm_output_tokens}';),
    location => 'access_log logs/believed.log believed;'));
$t->start;

my $seen = 0;

sub logged {
    my @lines;

    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/believed.log'); @lines > $seen }, 5,
        'a line of the log') or return {};
    return try_json($lines[$seen++]) || {};
}

my %names = (
    in => join('|', qw(prompt_tokens input_tokens inputTokens promptTokenCount prompt_eval_count)),
    out => join('|', qw(completion_tokens output_tokens outputTokens candidatesTokenCount eval_count)),
);

# The same JSON with these texts in place of its counts.
sub told {
    my ($json, %of) = @_;
    my $text = ref $json ? encode_json_o($json) : $json;

    for my $part (sort keys %of) {
        $text =~ s/("(?:$names{$part})":\s*)\d+(?:\.\d+)?/$1$of{$part}/g;
    }
    return $text;
}

sub told_event {
    my ($event, %of) = @_;

    return raw(told($event->[1], %of)) if ref($event) =~ /Step/;
    return ref $event eq 'ARRAY' ? [$event->[0], told($event->[1], %of)]
        : ref $event ? told($event, %of) : $event;
}

# [input, output, what stands of them]; undef: an estimate.
my @cases = (
    ['1e308', '1e308', undef, undef], ['-1', '"5"', undef, undef],
    ['99999999999999999999', '12', undef, 12], ['null', '12', undef, 12],
    ['33', '7.9', 33, undef], ['33', '-2', 33, undef], ['1e3', '12.0', 1000, 12],
);

sub check {
    my ($name, $in, $out, %o) = @_;
    my $line = logged();

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($line->{status}, defined $in && defined $out ? 'known' : 'estimated', "$name: status");
    defined $in ? is($line->{in}, $in, "$name: input as told")
        : ok($line->{in} > 2 && $line->{in} < 100, "$name: an estimate of the input")
        || diag(explain($line));
    defined $out ? is($line->{out}, $out, "$name: output as told")
        : ok($line->{out} > 0 && $line->{out} < 100, "$name: an estimate of the output")
        || diag(explain($line));
    cmp_ok($line->{cost}, '>', 0, "$name: it costs something") unless $o{is_free};
    return;
}

for my $pair (map { my $to = $_; map { LLM::Pair->new($_, $to) } 'chat', 'messages', 'gemini' } @forms) {
    my @free = (is_free => $pair->{provider} eq 'ollama');
    my $text = 'some words that somebody has to pay for';
    subtest $pair->{name} => sub {
        for my $case (@cases) {
            my ($in, $out, @stands) = @$case;
            my %of = (in => $in, out => $out);
            $p->script(answer(status => 200, headers => { 'Content-Type' => 'application/json' },
                body => told($pair->answer(text => $text), %of)));
            is($pair->post($t)->{status}, 200, "whole $in $out");
            check("whole $in $out", @stands, @free);
            next if $pair->{to}{type};  # no text
            $p->script(sse(map { told_event($_, %of) } $pair->events(text => $text)));
            $pair->stream($t)->all_events;
            check("stream $in $out", @stands, @free);
        }
    };
}

# A start without an output, and an end without an input, are how a stream of messages is.
subtest 'counts in parts' => sub {
    my $pair = LLM::Pair->new('messages', 'messages');
    my @events = $pair->events(text => 'hello', usage => { input_tokens => 33, output_tokens => 12 });
    for my $event (grep { ref eq 'ARRAY' } @events) {
        my $message = $event->[1]{message};
        delete $message->{usage}{output_tokens} if $message && $message->{usage};
        $event->[1]{usage} = { output_tokens => 12 } if $event->[1]{usage};
    }
    $p->script(sse(@events));
    $pair->stream($t)->all_events;
    check('a stream', 33, 12);
};

$t->done;
