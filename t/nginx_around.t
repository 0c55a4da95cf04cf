# What nginx's own directives do around llm_pass: a body that another module reads before or after it,
# an error_page that leads away, the text of a return, preconditions, variables afterwards.

use strict;
use warnings;
use Compress::Zlib ();
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new(access_log => 1);
my $p = LLM::Provider->new(dir => $t->dir);
my $q = LLM::Provider->new(dir => $t->dir);
my $dead = LLM::Provider->dead_port;
$t->http_conf(<<"END");
    llm_provider p { dialect openai; base_url ${\$p->url}/v1; api_key k; }
    llm_provider q { dialect openai; base_url ${\$q->url}/v1; api_key k; }
    llm_provider dead { dialect openai; base_url http://127.0.0.1:$dead/v1; api_key k; }
    llm_model p { deployment p/a; }
    llm_model p/* { deployment p/*; }
    llm_model dead { deployment dead/x; }
    llm_cooldown_time 0; llm_num_retries 0; llm_allowed_fails 1000;
    log_format llm '\$uri \$llm_model \$llm_outcome \$llm_attempts';
    access_log logs/seen llm;
    client_body_buffer_size 16k;
    llm_key sk-of-ada { alias ada; }
    llm_key sk-of-bob { alias bob; }
    llm_key sk-of-eve { alias eve; models dead; }
    limit_req_zone \$llm_key_alias zone=by_key:1m rate=1r/m;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /mirrored/ { mirror /copy; llm_pass models; }
        location /raw/ { mirror /copy; llm_pass p; }
        location = /copy { internal; return 204; }
        location /own-first/ { proxy_pass http://127.0.0.1:$dead; error_page 502 = \@gateway; }
        location \@gateway { rewrite ^/own-first(/.*)\$ \$1 break; llm_pass models; }
        location /spare/ { error_page 502 503 = \@spare; llm_pass models; }
        location \@spare { rewrite ^/spare(/.*)\$ \$1 break; proxy_pass ${\$q->url}; }
        location /odd/ { llm_max_body 1k; error_page 400 413 = \@keeper; llm_pass models; }
        location \@keeper { rewrite ^/odd(/.*)\$ \$1 break; proxy_pass ${\$q->url}; }
        location /any/ { satisfy any; allow 127.0.0.1; llm_pass models; }
        location /any-by-key/ {
            satisfy any; allow 127.0.0.1; limit_req zone=by_key burst=9 nodelay; llm_pass models;
        }
        location /twice/ { error_page 502 503 = \@second; llm_pass p; }
        location \@second { rewrite ^/twice(/.*)\$ \$1 break; llm_pass q; }
        location /page/ { error_page 502 /page.txt; llm_pass models; }
        location = /page.txt { return 200 "sorry"; }
        location /by-key/ { limit_req zone=by_key; limit_req_status 429; llm_pass models; }
        location /return/ {
            if (\$http_x_ban) { return 403 '{"ask":"ops"}'; }
            if (\$http_x_bare) { return 403; }
            llm_pass models;
        }
    }
END
$t->start;

my $hi = [{ role => 'user', content => 'hi' }];
my $long = [{ role => 'user', content => 'long ' x 20_000 }];

sub ask {
    my ($where, $model, $messages, %headers) = @_;

    return $t->post("$where/v1/chat/completions", { model => $model, messages => $messages },
        headers => { Authorization => 'Bearer sk-of-ada', %headers });
}

# What the provider was asked.
sub said {
    my ($provider) = @_;

    return $provider->last_request->{json}{messages}[0]{content};
}

for ([short => $hi], [long => $long]) {
    my ($how, $messages) = @$_;
    my $text = $messages->[0]{content};
    subtest "a $how body that others read, too" => sub {
        $p->on({}, json(200, chat_answer()));
        is(ask('/mirrored', 'p', $messages)->{status}, 200, 'mirror before');
        is(said($p), $text, 'the whole body');
        is(ask('/raw', 'a', $messages)->{status}, 200, 'mirror before llm_pass PROVIDER');
        is(said($p), $text, 'the whole body');
        is(ask('/own-first', 'p', $messages)->{status}, 200, 'a proxy_pass before');
        is(said($p), $text, 'the whole body');

        $q->on({}, json(200, { served => 'elsewhere' }));
        my $r = ask('/spare', 'dead', $messages);
        is("$r->{status} $r->{json}{served}", '200 elsewhere', 'a proxy_pass as spare');
        is(said($q), $text, 'the whole body');
        $r = $t->request('POST', '/spare/v1/chat/completions',
            body => Compress::Zlib::memGzip(JSON::PP::encode_json({ model => 'dead', messages => $messages })),
            headers => { 'Content-Type' => 'application/json', 'Content-Encoding' => 'gzip',
            Authorization => 'Bearer sk-of-ada' });
        is($r->{status}, 200, 'of a compressed body');
        is(said($q), $text, 'what it says');
        $_->clear for $p, $q;
        $p->on({}, json(503, {}));
        $q->on({}, json(200, chat_answer()));
        $r = ask('/twice', 'a', $messages);
        is($r->{status}, 200, 'another llm_pass as spare');
        is(said($q), $text, 'the whole body');
        $_->clear for $p, $q;
    };
}

subtest 'a body that we could not read' => sub {
    $q->on({}, json(200, { served => 'elsewhere' }));
    for my $framing ({}, { chunked => 1 }) {
        my $r = $t->request('POST', '/odd/v1/chat/completions', body => 'x' x 4000, %$framing,
            headers => { Authorization => 'Bearer sk-of-ada', 'Content-Type' => 'application/json' });
        is($r->{status}, 200, 'too large: the spare is asked');
        is($q->last_request->{body}, '', 'and gets no part of it as the whole');
    }
    my $damaged = substr Compress::Zlib::memGzip('{"model":"p"}' x 9), 0, 30;
    my $r = $t->request('POST', '/odd/v1/chat/completions', body => $damaged,
        headers => { Authorization => 'Bearer sk-of-ada', 'Content-Type' => 'application/json',
            'Content-Encoding' => 'gzip' });
    is($r->{status}, 200, 'damaged: the spare is asked');
    is($q->last_request->{body}, $damaged, 'and gets what the client sent');
    is($q->last_request->{headers}{'content-encoding'}, 'gzip', 'in its coding');
    $q->clear;
};

subtest 'what the operator wrote stays' => sub {
    my $r = ask('/return', 'p', $hi, 'X-Ban' => 1);
    is("$r->{status} $r->{body}", '403 {"ask":"ops"}', 'the text of a return');
    $r = ask('/return', 'p', $hi, 'X-Bare' => 1);
    is("$r->{status} $r->{json}{error}{code}", '403 permission_denied', 'without a text: in the dialect');
};

subtest 'an answer is not a file' => sub {
    $p->on({}, json(200, chat_answer(text => 'an answer')));
    for my $header (['If-Match', '"x"'], ['If-Unmodified-Since', 'Sun, 06 Nov 1994 08:49:37 GMT'],
        ['If-None-Match', '*'])
    {
        my $r = ask('', 'p', $hi, @$header);
        is($r->{status}, 200, $header->[0]);
        like($r->{body}, qr/an answer/, 'is answered');
    }
    $p->clear;
};

subtest 'variables know the request after an error_page' => sub {
    is(ask('/page', 'dead', $hi)->{body}, 'sorry', 'the page');
    my $regex = qr{^/page\.txt dead (\w+) 1$}m;
    $t->wait_for(sub { $t->slurp($t->dir . '/logs/seen') =~ $regex }, 5, 'the log');
    like($t->slurp($t->dir . '/logs/seen'), $regex, 'the log names the model and its attempts');
};

subtest 'limit_req knows whose key it is' => sub {
    $p->on({}, json(200, chat_answer()));
    is(ask('/by-key', 'p', $hi)->{status}, 200, 'the first of a key');
    is(ask('/by-key', 'p', $hi)->{status}, 429, 'the second');
    is(ask('/by-key', 'p', $hi, Authorization => 'Bearer sk-of-bob')->{status}, 200, 'another key');
    $p->clear;
};

subtest 'who is in by address is not asked for a key, whatever else looks at it' => sub {
    $p->on({}, json(200, chat_answer()));
    for my $where ('/any', '/any-by-key') {
        is(ask($where, 'p', $hi, Authorization => 'Bearer sk-of-eve')->{status}, 200, $where);
    }
    is(ask('', 'p', $hi, Authorization => 'Bearer sk-of-eve')->{status}, 403, 'with no such rule');
    $p->clear;
};

subtest 'a client writes no line of the error log' => sub {
    $p->on({}, json(200, chat_answer(model => 'nobody-knows')));
    is(ask('', "p/x\n2026/01/01 00:00:00 [notice] 1#1: forged\e[31m", $hi)->{status}, 200, 'served');
    my $shown = qr/the price of p\/x\\n2026\S* .*forged\\u001b/;
    ok($t->wait_for(sub { $t->log_text =~ $shown }, 5, 'the warning'), 'it is warned of, escaped');
    unlike($t->log_text, qr/^2026\/01\/01 00:00:00/m, 'no line of its own');
};

$t->stop;
done_testing();
