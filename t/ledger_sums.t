# Ten thousand requests of all kinds and endings over two workers: log lines, metrics, the spend API
# and what the provider itself has seen and given are equal to the unit.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Crowd;
use LLM::Metrics;
use LLM::Pair;
use LLM::Json qw(try_json);
use List::Util qw(sum0 shuffle);

my $requests = 10_000;
my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = qw(fine bad slow cut long);
my %letter = (chat => '', messages => 'm-', bedrock => 'b-', cohere => 'c-', ollama => 'o-');
my @providers = sort keys %letter;
my $prices = $t->write_file('prices.json', encode_json_c({ models => { map { $_ =>
    { input => 1, output => 3, cache_read => 0.1, cache_write_5m => 2 } }
    map { my $provider = $_; map { "$provider/$_" } @kinds, qw(silent told fine-late bad-late) }
    @providers } }));
# Whose first attempt is late: it stays silent; it has told its input, and no more; it answers, and
# it fails, when another one was asked. The next one after that.
my %hedged = (silent => ['silent', 'fine'], told => ['told', 'fine-late'],
    lost => ['fine-late', 'silent'], fails => ['bad-late', 'bad']);

sub models_of {
    my ($provider) = @_;
    my $letter = $letter{$provider};
    my $one = sub { my ($name, $more) = @_;
        return "llm_model $letter$name { deployment $provider/$name; $more }\n" };
    my $two = sub { my ($name, $first, $second, $more) = @_;
        return "llm_model $letter$name { $more deployment $first order=1 id=$letter$name-1;
            deployment $provider/$second order=2 id=$letter$name-2; }\n" };

    return join '', (map { $one->($_, $_ eq 'slow' ? 'first_token_timeout 100ms;' : '') } @kinds),
        $two->('second', "$provider/bad", 'fine', ''),
        map { my ($first, $second) = @{$hedged{$_}};
            $two->("hedged-$_", ($_ eq 'told' ? 'messages' : $provider) . "/$first", $second,
                'hedge after=30ms max=100%;') } sort keys %hedged;
}

$t->http_conf(LLM::Pair::conf($p, forms => \@providers,
    http => "llm_zone 32m; llm_prices $prices; llm_master_key sk-master;
        llm_team crew { alias crew; }
        llm_key sk-one { alias one; team crew; user ada; }
        llm_key sk-two { alias two; tags often; }
        log_format entry escape=json '{\"outcome\":\"\$llm_outcome\",\"in\":\$llm_input_tokens,"
        . "\"out\":\$llm_output_tokens,\"cost\":\"\$llm_cost\",\"cached\":\$llm_cached_tokens,"
        . "\"written\":\$llm_cache_write_tokens,\"attempts\":\$llm_attempts,\"model\":\"\$llm_model\","
        . "\"key\":\"\$llm_key_alias\",\"provider\":\"\$llm_provider\",\"hedge\":\"\$llm_hedge\","
        . "\"bytes\":\"\$content_length\",\"stream\":\$llm_stream}';",
    models => join('', map { models_of($_) } @providers),
    server => 'llm_auth optional; location = /metrics { llm_metrics; }
        location /admin/ { llm_admin; }
        location /denied/ { deny all; llm_pass models; access_log logs/entry.log entry; }
        location /own/ { llm_pass chat; access_log logs/entry.log entry; }
        location /small/ { llm_pass models; llm_max_body 1k; access_log logs/entry.log entry; }',
    location => 'access_log logs/entry.log entry;'));
$t->start;

# What the provider says of each answer: 1000 in, 100 out; 600 of the input cached where it can be.
my %usage = (
    chat => { prompt_tokens => 1000, completion_tokens => 100,
        prompt_tokens_details => { cached_tokens => 600 } },
    messages => { input_tokens => 300, cache_read_input_tokens => 600,
        cache_creation_input_tokens => 100, output_tokens => 100 },
    map { $_ => [1000, 100] } qw(bedrock cohere ollama));
# Nano-dollars of it, and of what one has told of itself that stayed silent then.
my %cost = (chat => 760_000, messages => 860_000, map { $_ => 1_300_000 } qw(bedrock cohere ollama));
my %told = (in => 1000, out => 1, cached => 600, written => 100, cost => 563_000);

my @pairs = map { my $client = $_; map { LLM::Pair->new($client, $_) } @providers } qw(chat messages);

# Where a model is asked, with or without a stream.
sub at_provider {
    my ($provider, $model, $is_stream) = @_;
    my %path = (chat => '/v1/chat/completions', messages => '/v1/messages', cohere => '/v2/chat',
        ollama => '/api/chat', bedrock => "/model/$model/converse" . ($is_stream ? '-stream' : ''));
    my $name = qr/"model":"$model"/;

    return { path => $path{$provider}, $provider eq 'bedrock' ? ()
        : (body => $is_stream ? qr/\A(?=.*$name).*"stream":true/s : $name) };
}

for my $pair (grep { $_->{client} eq 'chat' } @pairs) {
    my ($provider, $usage) = ($pair->{provider}, $usage{ $pair->{provider} });
    my @events = $pair->events(usage => $usage, text => ['x' x 40, 'y' x 40, 'z']);
    # So many events until some content was said.
    my $after = { messages => 5, cohere => 4 }->{$provider} // 3;
    my $whole = json(200, $pair->answer(usage => $usage));
    my @bad = (json(500, $pair->error('overloaded', 'no')->{json})) x 2;
    for my $row (
        ['fine', $whole, $pair->stream_of(\@events)],
        ['bad', @bad],
        ['slow', silent(), silent()],
        ['cut', { %$whole, cut_after => 20 }, $pair->stream_of(\@events, cut_after => $after)],
        ['long', silent(), $pair->stream_of(\@events, wait_for_release => $after)],
        ['silent', silent(), silent()],
        ['told', silent(), $pair->stream_of([$events[0]], stall => 1)],
        ['fine-late', { %$whole, delay => 0.08 }, $pair->stream_of(\@events, delay => 0.08)],
        ['bad-late', map { { %$_, delay => 0.08 } } @bad],
    ) {
        my ($model, @answers) = @$row;
        # The first rule that fits: streams before whole answers.
        $p->on(at_provider($provider, $model, $_), $answers[$_]) for 1, 0;
    }
}

# [model, stream, more of a job]
my @endings = ((map { ['fine', $_], ['second', $_] } 0, 0, 1, 1), ['bad', 0], ['bad', 1], ['slow', 0],
    ['slow', 1], ['cut', 0], ['cut', 1], ((['long', 1, leave => 40]) x 2), ['nobody', 0], [undef, 0],
    (map { ["hedged-$_", 0], ["hedged-$_", 1] } sort keys %hedged),
    ['fine', 0, below => '/denied'], ['fine', 0, below => '/small'],
    ['fine', 0, headers => [Authorization => 'Bearer sk-nobody']]);
my @who = ([], [Authorization => 'Bearer sk-one'], [Authorization => 'Bearer sk-two',
    'x-litellm-tags' => 'often, now']);

sub job {
    my ($pair, $who, $row) = @_;
    my ($model, $stream, %more) = @$row;
    my $below = delete $more{below} // '';
    my $body = defined $model ? encode_json_c($pair->question(
        model => $letter{ $pair->{provider} } . $model,
        $stream ? (stream => JSON::PP::true()) : (),
        $below eq '/small' ? (filler => 'x' x 2000) : ())) : '{ broken';

    return { path => $below . $pair->path, body => $body, headers => $who, %more };
}

# Other clients, other endpoints, and what is forwarded below a provider's own location.
my @hi = (messages => [{ role => 'user', content => 'hi' }]);
my $contents = { contents => [{ role => 'user', parts => [{ text => 'hi' }] }] };
my @stream = (stream => JSON::PP::true());
my @others = map { my $model = $_;
    (['/v1/responses', { model => $model, input => 'hi' }],
        ['/v1/responses', { model => $model, input => 'hi', @stream }],
        ["/v1beta/models/$model:generateContent", $contents],
        ["/v1beta/models/$model:streamGenerateContent?alt=sse", $contents],
        ["/v1beta/models/m-$model:generateContent", $contents],
        ['/v1/embeddings', { model => $model, input => 'hi' }],
        ['/own/v1/embeddings', { model => $model, input => 'hi' }],
        ['/own/v1/chat/completions', { model => $model, @hi }],
        ['/own/v1/chat/completions', { model => $model, @hi, @stream }]) } qw(fine bad cut);
$p->on({ path => '/v1/embeddings', body => qr/"fine"/ }, json(200, { object => 'list', model => 'fine',
    data => [{ object => 'embedding', index => 0, embedding => [0.5] }], usage => $usage{chat} }));
$p->on({ path => '/v1/embeddings', body => qr/"(?:bad|cut)"/ }, json(500, {}));

my @all = map { my $pair = $_; map { my $who = $_; map { job($pair, $who, $_) } @endings } @who }
    @pairs;
push @all, map { my $who = $_; map { { path => $_->[0], body => encode_json_c($_->[1]),
    headers => $who, is_fine => ($_->[0] . ($_->[1]{model} // '')) =~ /fine/ ? 1 : 0 } } @others } (@who) x 3;
my @jobs = shuffle(map { $all[$_ % @all] } 0 .. $requests - 1);
my @answers = LLM::Crowd::ask($t, \@jobs);
is(scalar(grep { $_ } @answers), $requests, 'every request has its answer');
my @fine = grep { $jobs[$_]{is_fine} } 0 .. $#jobs;
cmp_ok(scalar @fine, '>', 500, 'other clients and endpoints');
is(scalar(grep { $answers[$_]{status} != 200 || !$answers[$_]{clean} } @fine), 0, 'are answered');
cmp_ok(scalar(grep { $_->{left} } @answers), '>', 300, 'some clients left');

my @entries;
$t->wait_for(sub { @entries = split /\n/, $t->slurp('logs/entry.log'); @entries >= $requests }, 20,
    'the log');
@entries = map { try_json($_) || {} } @entries;
is(scalar @entries, $requests, 'one line each');
my @asked = grep { $_->{attempts} > 0 } @entries;

sub nano { my ($whole, $part) = split /\./, $_[0]; return $whole * 1e9 + substr(($part // '') . '0' x 9, 0, 9) }
sub of_lines { my ($name, @lines) = @_; return sum0(map { $name eq 'cost' ? nano($_->{cost}) : $_->{$name} } @lines) }

# What a request costs whose answer came whole. The loser of a hedge is paid for: for what it told,
# or else for its input, four bytes a token.
sub of_whole {
    my ($line) = @_;
    my $is_messages = $line->{provider} eq 'messages';
    my %is = (in => 1000, out => 100, cost => $cost{ $line->{provider} },
        cached => $cost{ $line->{provider} } < 1_000_000 ? 600 : 0, written => $is_messages ? 100 : 0);
    my $guess = int($line->{bytes} / 4) + 1;
    my %lost = $line->{hedge} eq '' ? () : $line->{model} =~ /told/ && $line->{stream} ? %told
        : (in => $guess, cost => 1000 * $guess);

    return map { $is{$_} + ($lost{$_} // 0) } qw(in out cached written cost);
}

subtest 'the provider' => sub {
    my @seen = $p->requests;
    is(of_lines('attempts', @entries), scalar @seen, 'attempts are what it has seen');
    # What it gave in full, and to whom.
    my %path = ('/v1/chat/completions' => 'chat', '/v1/embeddings' => 'chat',
        '/v1/messages' => 'messages', '/v2/chat' => 'cohere', '/api/chat' => 'ollama');
    my (%fine, %lines);
    $fine{ $path{ $_->{path} } // 'bedrock' }++
        for grep { "$_->{path} $_->{body}" =~ m{["/]fine(?:-late)?["/]} } @seen;
    my @ok = grep { $_->{outcome} eq 'ok' } @entries;
    $lines{ $_->{provider} }++ for @ok;
    is_deeply(\%lines, \%fine, 'each whole answer is one line');
    cmp_ok($fine{$_}, '>', 400, "$_: whole answers") for @providers;
    my @names = qw(in out cached written cost);
    my @sums = map { of_lines($_, @ok) } @names;
    my @wanted = map { my $i = $_; sum0(map { (of_whole($_))[$i] } @ok) } 0 .. $#names;
    is("@sums", "@wanted", "@names");
    # Those beside which another one was asked.
    for my $result (qw(won lost)) {
        my @hedged = grep { $_->{hedge} eq $result } @ok;
        cmp_ok(scalar @hedged, '>', 100, "$result");
        is(scalar(grep { $_->{attempts} != 2 } @hedged), 0, "$result: two attempts each");
    }
    my $told = grep { $_->{body} =~ /"told"/ && $_->{body} =~ /"stream":true/ } @seen;
    is(scalar(grep { $_->{hedge} eq 'won' && $_->{stream} && $_->{model} =~ /told/ } @ok), $told,
        'each that told its input lost');
};

subtest 'metrics' => sub {
    my $m;
    $t->wait_for(sub { $m = LLM::Metrics->get($t); $m->sum('llm_requests_total') >= $requests }, 5,
        'all are booked');
    for my $outcome (qw(ok client_closed refused upstream_error cut timeout)) {
        my $lines = grep { $_->{outcome} eq $outcome } @entries;
        cmp_ok($lines, '>', 100, "$outcome is among the endings");
        is($m->sum("llm_${_}requests_total", outcome => $outcome), $lines, "$_$outcome")
            for '', 'key_';
    }
    for my $name ('', 'key_') {
        is($m->sum("llm_${name}tokens_total", gen_ai_token_type => 'input'),
            of_lines('in', @entries), "${name}input");
        is($m->sum("llm_${name}tokens_total", gen_ai_token_type => 'output'),
            of_lines('out', @entries), "${name}output");
        is(sprintf('%.0f', 1e9 * $m->sum("llm_${name}cost_dollars_total")),
            of_lines('cost', @entries), "${name}nano-dollars");
    }
    is($m->sum('llm_token_parts_total', part => 'cache_read'), of_lines('cached', @entries), 'cached');
    is($m->sum('llm_token_parts_total', part => 'cache_write'), of_lines('written', @entries),
        'written to the cache');
    is($m->sum('llm_attempts_total'), of_lines('attempts', @entries), 'attempts');
    is($m->sum('gen_ai_server_request_duration_seconds_count'),
        $requests - grep({ $_->{status} == 401 || $_->{status} == 403 } @answers),
        'durations of all that came through the access phase');
    is($m->sum('llm_requests_in_flight'), 0, 'nothing is in flight');
};

sub admin {
    my $r = $t->get("/admin$_[0]", headers => [Authorization => 'Bearer sk-master']);
    is($r->{status}, 200, $_[0]);
    return $r->{json};
}

# "nano-dollars tokens requests" of some lines, and of a row.
sub of_group { return join ' ', of_lines('cost', @_), of_lines('in', @_) + of_lines('out', @_), scalar @_ }
sub of_row { my ($r) = @_; return join ' ', nano($r->{total_spend}), @$r{qw(total_tokens log_count)} }

subtest 'the spend API' => sub {
    is(nano(admin('/global/spend')->{spend}), of_lines('cost', @entries), 'nano-dollars');
    my $sum = admin('/user/daily/activity')->{metadata};
    is(nano($sum->{total_spend}), of_lines('cost', @entries), 'of all days');
    is($sum->{total_prompt_tokens}, of_lines('in', @entries), 'input');
    is($sum->{total_completion_tokens}, of_lines('out', @entries), 'output');
    is($sum->{total_api_requests}, scalar @asked, 'requests that a provider was asked for');
    is($sum->{total_failed_requests}, scalar(grep { $_->{outcome} ne 'ok' } @asked), 'failed');
    for my $case (['keys', 'key_alias', 'key'], ['models', 'model', 'model'],
        ['provider', 'provider', 'provider'])
    {
        my ($path, $member, $name) = @$case;
        my %wanted;
        $_->{$name} ne '' and push @{ $wanted{ $_->{$name} } }, $_ for @asked;
        is_deeply({ map { $_->{$member} => of_row($_) } @{ admin("/global/spend/$path") } },
            { map { $_ => of_group(@{ $wanted{$_} }) } keys %wanted }, $path);
    }
    my @one = grep { $_->{key} eq 'one' } @asked;
    my @two = grep { $_->{key} eq 'two' } @asked;
    is(of_row(admin('/global/spend/teams')->[0]), of_group(@one), 'the team of one key');
    is(of_row(admin('/global/spend/users')->[0]), of_group(@one), 'its user');
    is_deeply([map { of_row($_) } @{ admin('/global/spend/tags') }], [of_group(@two), of_group(@two)],
        'tags of the other');
};

$t->done;
