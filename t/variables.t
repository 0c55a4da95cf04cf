# Every $llm_* variable in a JSON log line: valid JSON with the right numbers, however a request
# ends, also one that nginx refused before the gateway saw it.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use LLM::Json qw(try_json);
use IO::Socket::INET;
use POSIX ();

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $dead = LLM::Provider->dead_port;

# A name server that knows no name, and answers nothing of one that is slow.
my $dns = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or die "dns: $!";
my $dns_pid = fork // die "fork: $!";
if (!$dns_pid) {
    while (defined(my $from = $dns->recv(my $query, 512))) {
        next if $query =~ /slow/;
        substr $query, 2, 2, "\x81\x83";
        $dns->send($query, 0, $from);
    }
    POSIX::_exit(0);
}
END { kill 'KILL', $dns_pid if $dns_pid }

# The variables of the table, as the module has them.
my $table = $t->slurp($t->repo . '/ngx_llm_module/observe/variables.def') =~ s{//.*}{}gr;
my @names = $table =~ /LLM_VARIABLE\("llm_(\w+)"/g;
my %is_number = map { $_ => 1 } qw(attempts fallbacks cost list_cost stream in_flight),
    grep { /_tokens\z|_time\z/ } @names;
my $format = join ',', map { $is_number{$_} ? "\"$_\":\$llm_$_" : "\"$_\":\"\$llm_$_\"" } @names;

my $conf = LLM::Pair::conf($p,
    http => "resolver 127.0.0.1:${\$dns->sockport} ipv6=off;
        log_format vars escape=json '{\"status\":\$status,$format"
        . join('', map { ",\"up_$_\":\"\$upstream_$_\"" } qw(addr status bytes_sent bytes_received
        response_length connect_time header_time response_time)) . "}';",
    models => "llm_provider away { dialect openai; base_url http://127.0.0.1:$dead; }
        llm_model over { deployment away/x order=1 id=one; deployment chat/y order=2 id=two; }
        llm_model four { deployment away/x order=1; deployment chat/busy order=2;
            deployment chat/silent order=3; deployment chat/good order=4; }
        llm_provider unknown { dialect openai; base_url http://nobody.test:81; }
        llm_provider slow { dialect openai; base_url http://slow.test; connect_timeout 100ms; }
        llm_model named { deployment unknown/x order=1; deployment slow/x order=2;
            deployment chat/good order=3; }
        llm_model gone { deployment away/x id=three; }
        llm_model drops { deployment messages/claude-x; drop_params on; }",
    server => 'location /denied/ { deny all; llm_pass models; access_log logs/vars.log vars; }
        location /local { return 200 "$llm_model|$llm_attempts|$llm_outcome|$llm_input_tokens"; }
        location = /plain { access_log logs/vars.log vars; return 204; }
        location /own/ { llm_pass chat; access_log logs/vars.log vars; }
        location /before/ { proxy_intercept_errors on; error_page 404 502 503 = @llm;
            access_log logs/vars.log vars; proxy_pass http://127.0.0.1:' . $dead . '/; }
        location @llm { rewrite ^/before(.*) $1 break; llm_pass models; llm_num_retries 0; access_log logs/vars.log vars; }
        location /behind/ { llm_pass models; error_page 502 = @proxy; access_log logs/vars.log vars; }
        location @proxy { access_log logs/vars.log vars; proxy_pass ' . $p->url . '; }
        location /added/ { add_header X-Outcome $llm_provider; llm_pass models; }',
    location => 'access_log logs/vars.log vars; llm_first_token_timeout 100ms;
        llm_idle_timeout 200ms;');
$t->http_conf($conf);
$t->start;

my $seen = 0;

# The next line of the log.
sub logged {
    my @lines;

    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/vars.log'); @lines > $seen }, 5,
        'a line of the log') or return {};
    my $text = $lines[$seen++];
    my $line = try_json($text);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(ref $line eq 'HASH', 'a line of JSON') or diag($text);
    is_deeply([sort grep { !exists $line->{$_} } @names], [], 'with all variables');
    # A number that is quoted, empty or a dash would not be JSON or not this.
    my @bad = grep { $is_number{$_} && $text !~ /"$_":\d+(?:\.\d+)?[,}]/ } @names;
    is("@bad", '', 'numbers are numbers');
    return $line || {};
}

sub is_line {
    my ($line, $name, %want) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply({ map { $_ => $line->{$_} } keys %want }, \%want, $name) or diag(explain($line));
    return;
}

my %usage = (chat => { prompt_tokens => 120, completion_tokens => 34,
    prompt_tokens_details => { cached_tokens => 100 },
    completion_tokens_details => { reasoning_tokens => 20 } },
    messages => { input_tokens => 15, cache_read_input_tokens => 100,
        cache_creation_input_tokens => 5, output_tokens => 34 });
my %tokens = (input_tokens => 120, output_tokens => 34, cached_tokens => 100);

for my $pair (LLM::Pair->all) {
    my $from = $pair->{provider};
    my $served = $from eq 'chat' ? 'gpt-4o' : 'claude-sonnet-4-5';
    my %always = (model => $pair->{model}, provider => $from, deployment => "$from/$served",
        dialect => $pair->{client} eq 'chat' ? 'openai' : 'anthropic', in_flight => 0);

    for my $stream (0, 1) {
        subtest "answered, $pair->{name}, stream $stream" => sub {
            my %o = (usage => $usage{$from}, model => 'the-real-one', text => 'one two three');
            $p->script($stream ? sse($pair->events(%o), gap => 0.002)
                : json(200, $pair->answer(%o)));
            my $r = $pair->post($t, $stream ? (stream => JSON::PP::true()) : ());
            my $line = logged();
            is_line($line, 'the numbers of the provider', %always, %tokens, status => 200,
                upstream_model => 'the-real-one', stream => $stream, attempts => 1, outcome => 'ok',
                error => '', finish_reason => $from eq 'chat' ? 'stop' : 'end_turn',
                request_id => $r->{headers}{'x-llm-request-id'}, dropped_params => '',
                reasoning_tokens => $from eq 'chat' ? 20 : 0,
                cache_write_tokens => $from eq 'chat' ? 0 : 5);
            cmp_ok($line->{upstream_time}, '<', 5, 'time of the provider');
            cmp_ok($line->{first_token_time}, '<=', $line->{upstream_time}
                + $line->{overhead_time} + 0.002, 'the first token is before the end');
        };
    }

    subtest "not answered, $pair->{name}" => sub {
        $p->script(json(429, $pair->error_body('rate_limit_error', 'no')));
        $pair->post($t);
        my %none = (input_tokens => 0, output_tokens => 0, cached_tokens => 0);
        is_line(logged(), 'refused by the provider', %always, %none, status => 429, attempts => 1,
            outcome => 'upstream_error', error => 'rate_limit', stream => 0, finish_reason => '',
            upstream_model => $served, first_token_time => 0);
        $pair->post($t, messages => 'nonsense');
        is_line(logged(), 'refused by the gateway', %none, status => 400, attempts => 0,
            outcome => 'refused', error => 'invalid_request', provider => '', deployment => '',
            upstream_time => 0, dialect => $always{dialect}) if !$pair->is_same;
        logged() if $pair->is_same;
        $p->script(silent());
        $pair->post($t);
        my $line = logged();
        is_line($line, 'silent', %always, %none, status => 504, outcome => 'timeout',
            error => 'timeout');
        cmp_ok($line->{upstream_time}, '>=', 0.09, 'the time that was waited');

        my $cut = $from eq 'chat' ? 3 : 5;
        $p->script(sse($pair->events(text => 'one two three'), cut_after => $cut));
        $pair->stream($t)->all_events;
        is_line(logged(), 'cut', %always, status => 200, outcome => 'cut', stream => 1,
            error => 'stream_truncated',
            # Told at the begin by one of the two, by the other at the end only.
            $from eq 'messages' ? (input_tokens => 21) : ());
        $p->script(sse($pair->events(text => 'one two three'), stall => 1, cut_after => $cut));
        $pair->stream($t)->all_events;
        is_line(logged(), 'stalled', %always, status => 200, outcome => 'timeout',
            error => 'timeout');

        $p->script(sse($pair->events(text => 'one two three'), wait_for_release => 5));
        my $s = $pair->stream($t);
        $s->next_event;
        $s->reset;
        is_line(logged(), 'the client left', %always, status => 200, outcome => 'client_closed');
        $p->script(silent());
        my $before = $p->request_count;
        $s = $pair->stream($t);
        $p->wait_requests($before + 1);
        $s->reset;
        is_line(logged(), 'the client left before the first byte', %always, status => 499,
            outcome => 'client_closed');
    };
}

subtest 'routing' => sub {
    $p->script(json(200, chat_answer()));
    my $ask = { model => 'over', messages => [{ role => 'user', content => 'hi' }] };
    $t->post('/v1/chat/completions', $ask);
    is_line(logged(), 'failover', attempts => 2, deployment => 'two', provider => 'chat',
        outcome => 'ok', error => 'upstream', model => 'over');
    $t->post('/v1/chat/completions', { %$ask, model => 'gone' });
    is_line(logged(), 'unreachable', attempts => 1, deployment => 'three', status => 502,
        outcome => 'upstream_error', error => 'upstream');
    $t->post('/v1/chat/completions', { %$ask, model => 'no "such" model' });
    is_line(logged(), 'an unknown model with quotes', model => 'no "such" model', status => 404,
        attempts => 0, outcome => 'refused', error => 'not_found', upstream_model => '');
    $p->script(json(200, messages_answer()));
    $t->post('/v1/chat/completions', { %$ask, model => 'drops', seed => 1, n => 2 });
    is_line(logged(), 'dropped parameters', outcome => 'ok', dropped_params => 'seed,n');
    $t->get('/v1/models');
    is_line(logged(), 'the list of models', status => 200, outcome => 'ok', attempts => 0);
    $t->get('/nowhere');
    is_line(logged(), 'an unknown path', status => 404, outcome => 'refused');
    $p->script(json(200, { ok => 1 }));
    $t->post('/own/v1/embeddings', '{}');
    is_line(logged(), 'forwarded unread', status => 200, outcome => 'ok', provider => 'chat',
        attempts => 1, model => '');
};

# What nginx's own proxy would log, one value for each attempt.
subtest 'the variables of nginx for several attempts' => sub {
    my $body = LLM::Json::encode_json_o(chat_answer(text => 'of the fourth'));
    $p->on({ body => qr/"model":"busy"/ } => answer(status => 503, body => '{"error":{"message":"no"}}'));
    $p->on({ body => qr/"model":"silent"/ } => silent());
    $p->on({ body => qr/"model":"good"/ } => answer(body => $body, delay => 0.03,
        headers => { 'Content-Type' => 'application/json' }));
    my @names = qw(addr status bytes_sent bytes_received response_length connect_time header_time
        response_time);
    for my $round ('new connections', 'kept ones') {
        $p->kick if $round eq 'new connections';
        $p->clear;
        my $r = $t->post('/v1/chat/completions', { model => 'four', messages =>
            [{ role => 'user', content => 'hi' }] });
        is($r->{status}, 200, "$round: the fourth answers") or diag $r->{body};
        my ($line) = (logged());
        my %is = map { $_ => [split /, /, $line->{"up_$_"}] } @names;
        my @sent = map { length($_->{raw_head}) + length $_->{body} } $p->requests;
        is(scalar @{$is{$_}}, 4, "four of $_") or diag "@{$is{$_}}" for @names;
        is("@{$is{addr}}", join(' ', "127.0.0.1:$dead", ($p->addr) x 3), 'addresses');
        is("@{$is{status}}", '502 503 504 200', 'statuses');
        is("@{$is{bytes_sent}}", "0 @sent", 'bytes of the requests');
        is("@{$is{response_length}}", '0 26 0 ' . length $body, 'bytes of the bodies');
        is("@{$is{bytes_received}}[0, 2]", '0 0', 'nothing came of two');
        cmp_ok($is{bytes_received}[$_], '>', $is{response_length}[$_] + 15, 'with the heads') for 1, 3;
        like("@{$is{connect_time}}", qr/\A- \d\.\d{3} \d\.\d{3} \d\.\d{3}\z/, 'times to connect');
        like("@{$is{header_time}}", qr/\A- \d\.\d{3} - \d\.\d{3}\z/, 'times to the head');
        cmp_ok($is{header_time}[3], '>=', 0.029, 'of the one that takes its time');
        like("@{$is{response_time}}", qr/\A\d\.\d{3}(?: \d\.\d{3}){3}\z/, 'times of all');
        cmp_ok($is{response_time}[2], '>=', 0.09, 'that which was waited');
        cmp_ok($is{response_time}[3], '<', 0.09 + $is{header_time}[3], 'each by itself');
    }
    $p->on({ body => qr/"model":"$_"/ }) for qw(busy silent good);
};

subtest 'a provider whose name is not known' => sub {
    $p->script(json(200, chat_answer()));
    my $r = $t->post('/v1/chat/completions', { model => 'named', messages =>
        [{ role => 'user', content => 'hi' }] });
    is($r->{status}, 200, 'the third answers') or diag $r->{body};
    my $line = logged();
    is_line($line, 'an entry for each', attempts => 3, up_status => '502, 504, 200',
        up_addr => 'nobody.test, slow.test, ' . $p->addr);
    like($line->{up_connect_time}, qr/\A-, -, \d/, 'two were not connected to');
    $t->log_like(qr/address is not known, nobody\.test/, 'whose it is stands in the log');
};

subtest 'nginx and the gateway in turn' => sub {
    $p->script(json(200, chat_answer()));
    my %ask = (messages => [{ role => 'user', content => 'hi' }]);
    my $good = $p->addr;
    my $dead_addr = "127.0.0.1:$dead";

    is($t->post('/before/v1/chat/completions', { model => 'over', %ask })->{status}, 200, 'behind nginx');
    is_line(logged(), 'nginx, then two attempts', up_addr => "$dead_addr : $dead_addr, $good",
        up_status => '502 : 502, 200', attempts => 2);
    $t->post('/before/v1/chat/completions', { model => 'nosuch', %ask });
    is_line(logged(), 'none of the gateway', up_addr => $dead_addr, up_status => 502, attempts => 0);
    is($t->post('/behind/v1/chat/completions', { model => 'gone', %ask })->{status}, 200, 'before nginx');
    is_line(logged(), 'an attempt, then nginx', up_addr => "$dead_addr : $good",
        up_status => '502 : 200');
};

subtest 'other clients' => sub {
    $p->script(json(200, chat_answer(usage => $usage{chat})));
    for my $case (['responses', '/v1/responses', { input => 'hi' }],
        ['gemini', '/v1beta/models/on-chat:generateContent',
            { contents => [{ role => 'user', parts => [{ text => 'hi' }] }] }],
        ['completions', '/v1/completions', { prompt => 'hi' }]) {
        my ($dialect, $path, $body) = @$case;
        $t->post($path, { $dialect eq 'gemini' ? () : (model => 'on-chat'), %$body });
        is_line(logged(), $dialect, %tokens, dialect => $dialect, model => 'on-chat', outcome => 'ok',
            reasoning_tokens => 20, attempts => 1);
    }
};

subtest 'requests that the gateway never saw' => sub {
    my $id = $t->post('/denied/v1/chat/completions', {})->{headers}{'x-llm-request-id'};
    is_line(logged(), 'denied by nginx', status => 403, outcome => 'refused', attempts => 0, model => '',
        input_tokens => 0, upstream_time => 0, stream => 0, request_id => $id // '');
    $t->get('/plain');
    is_line(logged(), 'another location', status => 204, outcome => '', attempts => 0);
    is($t->get('/local')->{body}, '|0||0', 'in a return');
    $p->script(json(200, chat_answer()));
    is($t->post('/added/v1/chat/completions', { model => 'on-chat', messages => [{ role => 'user',
        content => 'hi' }] })->{headers}{'x-outcome'}, 'chat', 'in add_header');
};

$t->done;
