# Errors of providers before the first content: the caller gets them in its own dialect, with the
# status that its SDK understands, the provider's words without any key, and retry-after.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use LLM::Json qw(ordered);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $next = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, models => <<"END"));
    llm_provider next { dialect openai; base_url ${\$next->url}/v1; api_key k; }
    llm_model two { deployment chat/a order=1; deployment next/b order=2; }
END
$t->start;

# A provider's status and name of the error, then status, type and code as each client gets them.
my @table = (
    # status, type, chat: status type code, messages: status type
    [400, 'invalid_request_error', 400, 'invalid_request_error', undef,
        400, 'invalid_request_error'],
    [401, 'authentication_error', 401, 'invalid_request_error', 'invalid_api_key',
        401, 'authentication_error'],
    [403, 'permission_error', 403, 'invalid_request_error', 'permission_denied',
        403, 'permission_error'],
    [404, 'not_found_error', 404, 'invalid_request_error', 'model_not_found',
        404, 'not_found_error'],
    [408, 'timeout', 504, 'server_error', 'timeout', 504, 'timeout_error'],
    [413, 'request_too_large', 413, 'invalid_request_error', undef, 413, 'request_too_large'],
    [422, 'invalid_request_error', 400, 'invalid_request_error', undef,
        400, 'invalid_request_error'],
    [429, 'rate_limit_error', 429, 'rate_limit_error', 'rate_limit_exceeded',
        429, 'rate_limit_error'],
    [500, 'api_error', 500, 'server_error', undef, 500, 'api_error'],
    [502, 'api_error', 502, 'server_error', undef, 500, 'api_error'],
    [503, 'overloaded_error', 503, 'server_error', 'overloaded', 529, 'overloaded_error'],
    [504, 'timeout_error', 504, 'server_error', 'timeout', 504, 'timeout_error'],
    [529, 'overloaded_error', 503, 'server_error', 'overloaded', 529, 'overloaded_error'],
);

for my $pair (LLM::Pair->all) {
    subtest "statuses, $pair->{name}" => sub {
        for my $row (@table) {
            my ($status, $type, @want) = @$row;
            my ($s, $y, $code) = $pair->{client} eq 'chat' ? @want[0 .. 2] : @want[3, 4];
            for my $stream (0, 1) {
                $p->script(json($status, $pair->error_body($type, "the provider says $status")));
                my $r = $pair->post($t, $stream ? (stream => JSON::PP::true()) : ());
                my $name = "$status" . ($stream ? ' to a stream' : '');
                is($r->{status}, $s, "$name: status $s") or diag($r->{body});
                is($r->{headers}{'content-type'}, 'application/json', 'JSON, not a stream');
                ok($pair->is_error($r->{json}), 'an error of its dialect') or diag($r->{body});
                my $error = $r->{json}{error};
                is($error->{type}, $y, "type $y");
                is($error->{message}, "the provider says $status", 'in the words of the provider');
                # A code that the provider gives in the client's own dialect stays.
                is($error->{code}, $code, 'code') if $pair->{name} eq 'chat to messages' && $code;
                like($r->{json}{request_id} // '', qr/\Areq_/, 'an id')
                    if $pair->{client} eq 'messages';
            }
        }
    };

    subtest "retry-after, $pair->{name}" => sub {
        for my $status (429, 503, 529) {
            $p->script(json($status, $pair->error_body('rate_limit_error', 'later'),
                headers => { 'Retry-After' => '17' }));
            is($pair->post($t)->{headers}{'retry-after'}, 17, "with a $status");
        }
        $p->clear;
        $p->script(json(200, $pair->answer, headers => { 'Retry-After' => '17' }));
        my $good = $pair->post($t);
        is($good->{headers}{'retry-after'}, undef, 'not with a good answer');
        is("$good->{status} " . $p->request_count, '200 1', 'gotcha 98: which is one');
        $p->script(json(429, $pair->error_body('rate_limit_error', 'later'), headers => {
            'Retry-After' => 'Wed, 21 Oct 2026 07:28:00 GMT' }));
        is($pair->post($t)->{headers}{'retry-after'}, 'Wed, 21 Oct 2026 07:28:00 GMT', 'a date');
    };

    subtest "keys in error texts are masked, $pair->{name}" => sub {
        my $key = "sk-of-$pair->{provider}";
        for my $text ("Incorrect API key provided: $key. Find yours at https://example.test",
            "key \"$key\" is blocked", "Bearer $key", $key)
        {
            $p->script(json(401, $pair->error_body('authentication_error', $text)));
            my $r = $pair->post($t);
            is($r->{status}, 401, substr $text, 0, 20);
            unlike($r->{raw_headers} . $r->{body}, qr/\Q$key\E/, 'no key in the answer');
        }
        $p->script(json(401, $pair->error_body('authentication_error',
            'Incorrect API key provided: sk-proj-abcdefghijklmnopqrstuvwxyz0123456789. Look.')));
        my $r = $pair->post($t);
        unlike($r->{body}, qr/abcdefghijklmnop/, 'nor one that is not ours');
        like($r->{json}{error}{message}, qr/Incorrect API key/, 'the rest of the text stays');
    };

    subtest "bodies of any shape, $pair->{name}" => sub {
        my %shape = (
            'a string' => [{ error => 'in a string' }, qr/in a string/],
            'FastAPI' => [{ detail => 'in detail' }, qr/in detail/],
            'FastAPI, a list' => [{ detail => [{ loc => ['body'], msg => 'field required' }] },
                qr/field required/],
            'only a message' => [{ message => 'by itself' }, qr/by itself/],
            'Google' => [[{ error => { code => 429, message => 'quota', status => 'X' } }],
                qr/quota/],
            'text' => ['upstream connect error', qr/upstream connect error/],
            'HTML' => ['<html><h1>502 Bad Gateway</h1></html>', qr/./],
            'nothing' => ['', qr/./],
            'an empty object' => [{}, qr/./],
            'half of JSON' => ['{"error":{"message":"cut', qr/./],
            'no UTF-8' => ["{\"error\":{\"message\":\"\xff\xfe\"}}", qr/./],
            'a number as message' => [{ error => { message => 7, type => {} } }, qr/./],
            'a megabyte' => ['x' x 1_000_000, qr/./],
            'a depth bomb' => ['[' x 50_000, qr/./],
            'control characters' => ["a\0b\x1b[31m", qr/./],
        );
        for my $name (sort keys %shape) {
            my ($body, $want) = @{$shape{$name}};
            $p->script(ref $body ? json(429, $body) : answer(status => 429, body => $body,
                headers => { 'Content-Type' => 'text/html' }));
            my $r = $pair->post($t);
            is($r->{status}, 429, "$name: the status counts") or diag($r->{body});
            ok($pair->is_error($r->{json}), 'a well-formed error') or diag($r->{body});
            like($r->{json}{error}{message} // '', $want, 'with what can be told');
            cmp_ok(length $r->{body}, '<', 10_000, 'of a sensible length');
        }
    };
}

subtest 'what only words tell' => sub {
    my ($chat) = grep { $_->{name} eq 'messages to chat' } LLM::Pair->all;
    my ($messages) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;

    $p->script(json(400, ordered(type => 'error', error => ordered(type => 'invalid_request_error',
        message => 'prompt is too long: 212345 tokens > 200000 maximum'))));
    my $r = $messages->post($t);
    is("$r->{status} $r->{json}{error}{code}", '400 context_length_exceeded', 'context length');
    like($r->{json}{error}{message}, qr/\Aprompt is too long/, 'the words that clients look for');
    $p->script(json(400, chat_error('This model\'s maximum context length is 8192 tokens.',
        code => 'context_length_exceeded')));
    $r = $chat->post($t);
    is("$r->{status} $r->{json}{error}{type}", '400 invalid_request_error', 'the other way');
    $p->script(json(429, chat_error('You exceeded your quota', type => 'insufficient_quota',
        code => 'insufficient_quota')));
    $r = $chat->post($t);
    is("$r->{status} $r->{json}{error}{type}", '402 billing_error', 'out of credit');
    $p->script(json(400, messages_error('invalid_request_error',
        'Your credit balance is too low to access the API.')));
    $r = $messages->post($t);
    is("$r->{status} $r->{json}{error}{code}", '429 insufficient_quota', 'the other way');
    # A good status with an error inside is an error, not an empty answer.
    for my $pair (LLM::Pair->all) {
        for my $stream (0, 1) {
            $p->script(json(200, $pair->error_body('overloaded_error', 'busy')));
            $r = $pair->post($t, $stream ? (stream => JSON::PP::true()) : ());
            is($r->{status}, $pair->{client} eq 'chat' ? 503 : 529, "200 with an error inside, "
                . "$pair->{name}, stream $stream") or diag($r->{body});
        }
    }
};

subtest 'code and param of the same dialect stay' => sub {
    my ($pair) = LLM::Pair->all;
    $p->script(json(400, chat_error('Invalid value', type => 'invalid_request_error',
        param => 'messages[0].content', code => 'string_above_max_length')));
    is_deeply($pair->post($t)->{json}, { error => { message => 'Invalid value',
        type => 'invalid_request_error', param => 'messages[0].content',
        code => 'string_above_max_length' } }, 'the error of the provider');
};

# What nginx, load balancers and CDNs before a provider say; the status for a client of chat, and
# whether it is the request's fault.
subtest 'odd statuses' => sub {
    my @odd = ([418, 400, 1], [451, 400, 1], [460, 502, 0], [499, 502, 0], (map { [$_, 502, 0] }
        520 .. 523, 525 .. 527, 530), [524, 504, 0], [529, 503, 0], [598, 504, 0], [599, 504, 0],
        [600, 502, 0], [999, 502, 0], ['000', 502, 0]);
    my @clients = map { LLM::Pair->new($_, 'chat') } LLM::Forms::clients();
    for my $row (@odd) {
        my ($status, $shown, $is_request) = @$row;
        my @body = ("HTTP/1.1 $status Odd\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n",
            'odd', 'end');
        for my $pair (@clients) {
            $p->script(raw_answer(@body));
            my $r = $pair->post($t);
            is($r->{status}, $shown, "$status: $shown for $pair->{client}")
                if $pair->{client} eq 'chat';
            isnt($r->{status}, $status, 'not as it is') if $status ne '529';
            ok($pair->is_error($r->{json}), "$status: an error of $pair->{client}") or diag($r->{body});
            my $error = $r->{json}{error};
            ok(length($error->{message} // ''), 'that says something');
            ok(length($error->{$pair->{client} eq 'gemini' ? 'status' : 'type'} // ''),
                'with a name') or diag($r->{body});
        }
        $next->clear;
        $next->script(json(200, chat_answer(text => 'of the next')));
        my $r = $t->post('/v1/chat/completions', { model => 'two',
            messages => [{ role => 'user', content => 'hi' }] });
        is("$r->{status} " . $next->request_count, $is_request ? "$shown 0" : '200 1', "$status: "
            . ($is_request ? 'nobody else is asked' : 'the next deployment answers'));
    }
};

# The time-outs are those of an installation that says nothing: minutes.
subtest 'peers that speak something else are given up at once' => sub {
    my %peers = ('SSH' => "SSH-2.0-OpenSSH_9.2p1\r\n", 'TLS' => "\x15\x03\x01\0\x02\x02\x46",
        'a line' => "hello\n", 'a byte' => 'x',
        'HTTP/2' => "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff",
        '101' => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        '101 and an answer' => "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    for my $name (sort keys %peers) {
        $p->script(raw_answer($peers{$name}, 'stall'));
        my ($chat, $messages) = (LLM::Pair->all)[0, 3];
        for my $pair ($chat, $messages) {
            my $r = $pair->post($t, http => { timeout => 5 });
            is($r->{status}, 502, "$name: status for $pair->{client}") or next;
            ok($pair->is_error($r->{json}), 'an error of the dialect') or diag($r->{body});
        }
        $next->clear;
        $next->script(json(200, chat_answer(text => 'of the next')));
        my $r = $t->post('/v1/chat/completions', { model => 'two',
            messages => [{ role => 'user', content => 'hi' }] }, timeout => 5);
        is("$r->{status} " . $next->request_count, '200 1', "$name: the next deployment answers");
    }
};

subtest 'the body of an error may never end' => sub {
    my $head = "Content-Type: application/json\r\n";
    my $text = '{"error":{"message":"later","type":"rate_limit_error","code":null}}';
    my %endless = (
        'a length that does not come' => [429, "${head}Content-Length: 100000\r\n\r\n$text"],
        'chunks without an end' => [429, "${head}Transfer-Encoding: chunked\r\n\r\n"
            . sprintf("%x\r\n%s\r\n", length $text, $text)],
        'a connection that stays open' => [429, "$head\r\n$text"],
        'nothing' => [500, "${head}Content-Length: 10\r\n\r\n"],
    );
    # All at once, each at a provider of its own name: it is a time that passes.
    my %asked;
    for my $name (sort keys %endless) {
        my ($status, $rest) = @{$endless{$name}};
        $p->on({ body => qr/"user":"\Q$name\E"/ }, raw_answer("HTTP/1.1 $status No\r\n$rest", 'stall'));
        $asked{$name} = { map { my $model = $_; $model => $t->stream('/v1/chat/completions',
            { model => $model, user => $name, messages => [{ role => 'user', content => 'hi' }] }) }
            'on-chat', 'two' };
    }
    # One that trickles is no better than one that is silent.
    $p->on({ body => qr/"user":"a byte now and then"/ }, json(503, { error => { message => 'x' x 500 } },
        byte_gap => 0.1, bytewise => 1));
    my $slow = $t->stream('/v1/chat/completions', { model => 'on-chat', user => 'a byte now and then',
        messages => [{ role => 'user', content => 'hi' }] });
    for my $name (sort keys %endless) {
        my $s = $asked{$name}{'on-chat'};
        $s->read_body(20);
        is($s->status // 'none', $endless{$name}[0], "$name: the status is told");
        like($s->body, qr/"message": ?"later"/, 'with what was there') if $endless{$name}[0] == 429;
        $s = $asked{$name}{two};
        $s->read_body(20);
        is($s->status // 'none', 200, "$name: the next deployment answers");
        $p->on({ body => qr/"user":"\Q$name\E"/ });
    }
    $slow->read_body(20);
    is($slow->status // 'none', 503, 'a byte now and then: the status is told');
    $p->on({ body => qr/"user":"a byte now and then"/ });
};

subtest 'redirects are not followed' => sub {
    for my $pair (LLM::Pair->all) {
        $p->script(answer(status => 302, body => 'elsewhere',
            headers => { Location => $p->url . '/elsewhere' }));
        my $before = $p->request_count;
        my $r = $pair->post($t);
        cmp_ok($r->{status}, '>=', 500, "$pair->{name}: an error") or diag($r->{body});
        is($p->request_count, $before + 1, 'the key goes nowhere else');
        is($r->{headers}{location}, undef, 'nor does the client');
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing left in flight');
$t->done;
