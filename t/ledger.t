# One entry for each request, whatever ends it: what its line in the log says. That the sums of all
# lines are those of everything else is ledger_sums.t.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Metrics;
use LLM::Pair;
use LLM::Json qw(try_json);

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

# A price of round numbers: 1 microdollar in, 3 out, cached 0.1.
my $prices = $t->write_file('prices.json', encode_json_c({ models => { map { $_ =>
    { input => 1, output => 3, cache_read => 0.1, cache_write_5m => 2 } }
    map { ("chat/$_", "messages/$_") } qw(fine bad slow cut held) } }));
$t->http_conf(LLM::Pair::conf($p,
    http => "llm_prices $prices; log_format entry escape=json '{\"outcome\":\"\$llm_outcome\","
        . "\"in\":\$llm_input_tokens,\"out\":\$llm_output_tokens,\"cost\":\"\$llm_cost\","
        . "\"cached\":\$llm_cached_tokens,\"written\":\$llm_cache_write_tokens,"
        . "\"attempts\":\$llm_attempts,\"status\":\$status,\"model\":\"\$llm_model\","
        . "\"fallbacks\":\$llm_fallbacks,\"error\":\"\$llm_error\"}';",
    models => join('', map { "llm_model $_ { deployment chat/$_; } "
        . "llm_model m-$_ { deployment messages/$_; }" } qw(fine bad slow cut held))
        . 'llm_model second { deployment chat/bad order=1 id=s1; deployment chat/fine order=2 id=s2; }',
    server => 'location = /metrics { llm_metrics; }
        location /denied/ { deny all; llm_pass models; access_log logs/entry.log entry; }
        location /small/ { llm_pass models; llm_max_body 1k; access_log logs/entry.log entry; }
        location /own/ { llm_pass chat; access_log logs/entry.log entry; }',
    location => 'access_log logs/entry.log entry; llm_first_token_timeout 150ms;
        llm_idle_timeout 150ms;'));
$t->start;

my $chat_usage = { prompt_tokens => 1000, completion_tokens => 100,
    prompt_tokens_details => { cached_tokens => 600 } };
my $messages_usage = { input_tokens => 300, cache_read_input_tokens => 600,
    cache_creation_input_tokens => 100, output_tokens => 100 };
my %usage = (chat => $chat_usage, messages => $messages_usage);
# 400 + 60 + 300, and 300 + 60 + 200 + 300, in microdollars
my %cost = (chat => '0.00076', messages => '0.00086');
my %pair = map { $_->{provider} => $_ } grep { $_->is_same } LLM::Pair->all;

# The answers: what the provider plays by the model that it is asked for.
for my $pair (values %pair) {
    my $usage = $usage{ $pair->{provider} };
    my @events = $pair->events(usage => $usage, text => ['x' x 40, 'y' x 40, 'z']);
    my $after = $pair->{provider} eq 'chat' ? 3 : 5;
    my @way = (path => $pair->path);
    for my $row (
        ['fine', json(200, $pair->answer(usage => $usage)), sse(@events)],
        ['bad', json(500, $pair->error_body('server_error', 'no')),
            json(500, $pair->error_body('server_error', 'no'))],
        ['slow', silent(), silent()],
        ['cut', json(200, $pair->answer(usage => $usage), cut_after => 20),
            sse(@events, cut_after => $after)],
        ['held', silent(), sse(@events, wait_for_release => $after)],
    ) {
        my ($model, $whole, $stream) = @$row;
        $p->on({ @way, body => qr/"$model".*"stream":true|"stream":true.*"$model"/s }, $stream);
        $p->on({ @way, body => qr/"$model"/ }, $whole);
    }
}

# name => [pair, model, stream, outcome, in, out, cost, way]; no number: any.
my @endings = (
    ['whole', 'fine', 0, 'ok', 1000, 100, 1],
    ['stream', 'fine', 1, 'ok', 1000, 100, 1],
    ['an error of the provider', 'bad', 0, 'upstream_error', 0, 0, 0],
    ['an error before a stream', 'bad', 1, 'upstream_error', 0, 0, 0],
    ['silence', 'slow', 0, 'timeout', 0, 0, 0],
    ['silence before a stream', 'slow', 1, 'timeout', 0, 0, 0],
    ['a body that is cut', 'cut', 0, 'upstream_error', 0, 0, 0],
    ['a stream that is cut', 'cut', 1, 'cut', undef, 20, undef],
    ['no such model', 'nobody', 0, 'refused', 0, 0, 0],
    ['a body that is no JSON', undef, 0, 'refused', 0, 0, 0],
    ['denied by nginx', 'fine', 0, 'refused', 0, 0, 0, '/denied'],
    ['too large', 'fine', 0, 'refused', 0, 0, 0, '/small'],
);

my $seen = 0;

sub entries {
    my ($more) = @_;
    my @lines;

    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/entry.log'); @lines >= $seen + $more },
        20, "$more lines of the log") or return;
    my @new = map { try_json($_) || {} } @lines[$seen .. $#lines];
    is(scalar @new, $more, 'one line each');
    $seen = @lines;
    return @new;
}

sub start {
    my ($pair, $row) = @_;
    my (undef, $model, $stream, undef, undef, undef, undef, $below) = @$row;
    my $name = ($pair->{provider} eq 'messages' ? 'm-' : '') . ($model // '');
    my $question = $pair->question(model => $name, $stream ? (stream => JSON::PP::true()) : (),
        ($below // '') eq '/small' ? (user => 'x' x 2000) : ());

    return $t->stream(($below // '') . $pair->path, defined $model ? $question : '{ broken');
}

for my $name (sort keys %pair) {
    my $pair = $pair{$name};
    subtest "every ending, $name" => sub {
        for my $row (@endings) {
            my ($what, undef, undef, $outcome, $in, $out, $paid) = @$row;
            my $s = start($pair, $row);
            $s->read_body;
            my ($entry) = entries(1) or next;
            is($entry->{outcome}, $outcome, "$what: outcome") or diag(explain($entry));
            is($entry->{in}, $in, "$what: input") if defined $in;
            is($entry->{out}, $out, "$what: output");
            is($entry->{cost}, $paid ? $cost{$name} : '0', "$what: cost") if defined $paid;
            is($entry->{cached}, 600, "$what: cached tokens") if $paid;
            cmp_ok($entry->{cost}, '>', 0, "$what: what was delivered costs") unless defined $paid;
        }
    };
}

subtest 'the client leaves' => sub {
    my $pair = $pair{messages};
    my $before = $p->request_count;
    my $s = $t->stream($pair->path, $pair->question(model => 'm-held'));
    $p->wait_requests($before + 1);
    $s->reset;
    my ($entry) = entries(1);
    is("$entry->{outcome} $entry->{in} $entry->{cost}", 'client_closed 0 0', 'before content');
    $s = $pair->stream($t, model => 'm-held');
    $s->next_event for 1 .. 4;
    $s->reset;
    ($entry) = entries(1);
    is("$entry->{outcome} $entry->{in}", 'client_closed 1000', 'in a stream');
    cmp_ok($entry->{out}, '>=', 10, 'with what was delivered');
};

subtest 'another deployment' => sub {
    $pair{chat}->post($t, model => 'second');
    my ($entry) = entries(1);
    is("$entry->{outcome} $entry->{attempts} $entry->{cost}", "ok 2 $cost{chat}",
        'case 36: the failed attempt costs nothing');
};

subtest 'case 53: SIGTERM in a stream' => sub {
    my $pair = $pair{messages};
    my $before = LLM::Metrics->get($t);
    my $s = $pair->stream($t, model => 'm-held');
    $s->next_event for 1 .. 4;
    my @workers = $t->worker_pids;
    kill 'TERM', @workers;
    my $m;
    $t->wait_for(sub { $m = eval { LLM::Metrics->get($t) };
        $m && $m->sum('llm_requests_total', outcome => 'cut')
            > $before->sum('llm_requests_total', outcome => 'cut') }, 10, 'booked');
    is($m->sum('llm_requests_total', outcome => 'cut'),
        1 + $before->sum('llm_requests_total', outcome => 'cut'), 'once, as cut');
    is($m->sum('llm_tokens_total', gen_ai_token_type => 'input'),
        1000 + $before->sum('llm_tokens_total', gen_ai_token_type => 'input'),
        'with the tokens that were delivered');
};

$t->done;
