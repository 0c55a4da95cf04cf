# A thousand streams at once, of all dialects, while deployments fail at random in every way, second
# attempts run beside late ones, and clients leave at random: every answer is whole or says that it is
# not, no byte of one is in another, every line of the log is true, and nothing stays behind.
# LLM_SEED repeats a run.

use strict;
use warnings;
use LLM::Test;
use LLM::Json qw(try_json);
use LLM::Metrics;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $seed = $ENV{LLM_SEED} // time ^ $$;
my $n = $ENV{LLM_SOAK} // 1500;
srand $seed;

my $t = LLM::Test->new(workers => 2);
my @p = map { LLM::Provider->new(dir => $t->dir) } 1 .. 4;  # the work for one is too much
my @kinds = qw(chat messages responses);
my @modes = ('recover restart', 'recover continue', 'recover off',
    'recover restart; hedge after=300ms max=50%');

my $models = '';
for my $k (0 .. $#p) {
    my $url = $p[$k]->url;
    for my $d (@kinds) {
        my $dialect = { chat => 'openai', messages => 'anthropic' }->{$d} || $d;
        $models .= "    llm_provider $d$k { dialect $dialect; base_url $url/v1; api_key k; }\n"
            . "    llm_model back-$d$k { deployment $d$k/claude-sonnet-4-5; }\n";
        for my $e (@kinds) {
            $models .= "    llm_model $d-$e-$_-$k { $modes[$_]; deployment $d$k/a; "
                . "deployment $e$k/b; deployment $d$k/c order=2; fallbacks back-$e$k; }\n"
                for 0 .. $#modes;
        }
    }
}
my $first = slow(1) > 1 ? 8 : 5;
my $idle = $first - 1;
$t->http_conf(LLM::Pair::conf($p[0], forms => \@kinds, models => $models, cooldown => '50ms',
    server => 'location = /metrics { llm_metrics; }',
    location => 'access_log logs/soak.log soak; llm_limit all max_parallel_requests=2000;',
    http => <<"END"));
    log_format soak escape=json '{"id":"\$llm_request_id","outcome":"\$llm_outcome",'
        '"attempts":\$llm_attempts,"hedge":"\$llm_hedge","out":\$llm_output_tokens}';
    llm_num_retries 2;
    llm_first_token_timeout ${first}s;
    llm_idle_timeout ${idle}s;
    llm_timeout 60s;
    llm_ping 500ms;
    llm_all_cooled try;
END
$t->start;

sub one_of { return $_[rand @_] }
sub canary { return sprintf 'canary%05dx', $_[0] }

# Ways to fail, of a provider that would have said this.
sub failure {
    my ($pair, $text) = @_;
    my $head = { chat => 1, messages => 3, responses => 4 }->{$pair->{provider}};
    my @events = $pair->events(text => $text);
    my @some = @events[0 .. $head + int rand 4];

    return one_of(json(503, {}), json(429, {}), json(500, {}), json(529, {}),
        json(429, {}, headers => { 'Retry-After' => 1 }), 'silent', accept_then_reset(),
        sse(@some, wait_s(0.2), drop()), sse(@some, wait_s(0.2), rst()), sse(@some, stall()),
        sse(@events[0 .. $head - 1], stall()), sse(@events[0 .. $head - 1], drop()),
        sse(@some, raw("data: {\"half\": \n\n"), drop()), json(200, $pair->answer(text => $text),
            cut_after => 30), $pair->failing($head + 3, 'overloaded', 'Too busy', text => $text),
        $pair->error('context_length', 'context length exceeded'));
}

my %path = (chat => '/v1/chat/completions', messages => '/v1/messages',
    responses => '/v1/responses');
my (@asked, %text);
for my $i (1 .. $n) {
    my ($client, $d, $e) = map { one_of(@kinds) } 1 .. 3;
    my $word = canary($i);
    $text{$i} = join ' ', 'Well,', map { "$word.$_" } 1 .. 4;
    my $p = $p[$i % @p];
    my $failures = one_of(0, 0, 1, 1, 2, 3);
    for my $kind ($d, $d eq $e ? () : $e) {
        my $pair = LLM::Pair->new($client, $kind);
        $p->on({ path => $path{$kind}, body => qr/ask-$i-/ },
            (map { failure($pair, $text{$i}) } 1 .. $failures),
            sse($pair->events(text => $text{$i}), gap => 0.9, rand() < 0.2 ? (delay => 0.7) : ()));
    }
    push @asked, [$i, LLM::Pair->new($client, $d), "$d-$e-" . int(rand @modes) . '-' . $i % @p];
}

my ($left, $peak, @open) = (0, 0);
for (@asked) {
    my ($i, $pair, $model) = @$_;
    my $is_stream = rand() < 0.9;
    # Three silent attempts take a while: llm_timeout is the end of it.
    my $s = $t->stream($pair->path($is_stream), $pair->question(model => $model,
        $is_stream ? (stream => JSON::PP::true()) : (),
        $pair->{client} eq 'responses' && rand() < 0.7 ? (store => JSON::PP::false()) : (),
        $pair->{client} eq 'responses' ? (input => "ask-$i-")
            : (messages => [{ role => 'user', content => "ask-$i-" }])), timeout => 70);
    if (rand() < 0.15) {
        $left++;
        rand() < 0.5 ? $s->close : $s->reset;
        next;
    }
    push @open, [$i, $pair, $s, $is_stream, rand() < 0.1];
    if ($i % ($n / 10) == 0) {
        my $now = LLM::Metrics->get($t)->value('llm_requests_in_flight');
        $peak = $now if $now > $peak;
    }
}
cmp_ok($peak, '>', $n / 3, 'many at once');

my (%count, %outcome_of, @foreign, @wrong);
for (@open) {
    my ($i, $pair, $s, $is_stream, $leaves) = @$_;
    if ($leaves) {
        $left++;
        $s->next_event if $is_stream;
        rand() < 0.5 ? $s->close : $s->reset;
        next;
    }
    my @events = $is_stream ? $s->all_events : ();
    $s->read_body;
    my $body = $s->body // '';
    my $own = canary($i);
    push @foreign, grep { $_ ne $own } $body =~ /(canary\d+x)/g;
    my $id = $s->header('x-llm-request-id') // '';
    my $is_whole;
    if (($s->status // 0) == 200 && $is_stream) {
        my $error = $pair->error_event(\@events);
        my @complaints = $pair->check(\@events);
        my $got = $pair->assemble(\@events)->{text};
        $is_whole = !$error && $got eq $text{$i};
        push @wrong, "$i: more than once: $got" if $got =~ /$own\.1\b.*$own\.1\b/s;
        # Where nothing is translated a malformed event goes on as it came.
        @complaints = grep { !/"half"/ } @complaints;
        push @wrong, "$i: @complaints" if @complaints;
        push @wrong, "$i: neither whole nor an error" if !$error && !$is_whole;
    } elsif (($s->status // 0) == 200) {
        $is_whole = $pair->read_answer($s->answer->{json})->{text} eq $text{$i};
        push @wrong, "$i: not whole" if !$is_whole;
    } else {
        push @wrong, "$i: no error of the dialect: $body" if !$pair->is_error($s->answer->{json});
    }
    $count{$is_whole ? 'whole' : ($s->status // 0) == 200 ? 'cut' : 'refused'}++;
    $outcome_of{$id} = $is_whole ? qr/\Aok\z/ : ($s->status // 0) == 200 ? qr/\A(?:cut|timeout)\z/
        : qr/\A(?:upstream_error|timeout|refused)\z/;
}
is_deeply([@foreign[0 .. ($#foreign < 5 ? $#foreign : 5)]], [], 'nothing of other answers');
is_deeply([@wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]], [], 'every answer is whole or says so')
    or diag "LLM_SEED=$seed";
note explain { %count, left => $left, peak => $peak };
cmp_ok($count{whole} // 0, '>=', $n / 5, 'many are answered');

ok($t->wait_for(sub { LLM::Metrics->get($t)->value('llm_requests_in_flight') == 0 }, 10, 'no slot'),
    'nothing is in flight');
my $m = LLM::Metrics->get($t);
is($m->sum('llm_deployment_requests_in_flight'), 0, 'at no deployment');
is($m->sum('llm_limit_cells', kind => 'requests_used'), 0, 'no lease is held');
is($m->value('llm_stream_buffer_bytes'), 0, 'no byte waits');
cmp_ok($m->sum('llm_hedges_total'), '>', 0, 'there were second attempts');

$t->wait_for(sub { my @l = split /\n/, $t->slurp('logs/soak.log'); @l >= $n }, 5, 'the log');
my @log = map { try_json($_) } split /\n/, $t->slurp('logs/soak.log');
is(scalar @log, $n, 'one line for each request');
my @lies = grep { my $want = $outcome_of{$_->{id}}; $want && $_->{outcome} !~ $want } @log;
is_deeply([@lies[0 .. ($#lies < 5 ? $#lies : 5)]], [], 'every line is true')
    or diag "LLM_SEED=$seed";
my @gone = grep { !$outcome_of{$_->{id}} } @log;
is(scalar @gone, $left, 'the others are those whose clients left');
is(scalar(grep { $_->{outcome} eq '' } @log), 0, 'every line has an outcome');
$t->done;
