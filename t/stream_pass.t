# One dialect on both sides: the provider reads the client's own bytes, but for the model, and the
# client reads the provider's own bytes.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, models => <<'END'));
    llm_model short { deployment chat/m; deployment chat/m2 order=2; }
    llm_model short-messages { deployment messages/m; }
    llm_model gpt-4o-the-same-name { deployment chat/gpt-4o-the-same-name; }
END
$t->start;

my @same = grep { $_->is_same } LLM::Pair->all;
my %upstream = (chat => 'gpt-4o', messages => 'claude-sonnet-4-5');

# A body as no serialiser writes it. %s: the model, and what else is to be said.
my %template = (
    chat => qq(\r\n{"messages" : [\n\t{"content":"caf\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00 <\\u007f>")
        . qq(,"role":"user", "name":null}, {"role":"assistant","content":null,"tool_calls":[{"id":)
        . qq("call_1","type":"function","function":{"name":"f","arguments":"{ \\"a\\" : 1}"}}]},)
        . qq({"role":"tool","tool_call_id":"call_1","content":""}],"max_tokens":10,)
        . qq("max_completion_tokens":1e1,"temperature":-0.0,"seed":12345678901234567890123,)
        . qq("unknown_field":{"model":"not this","b":[1.50,true,null,{}],"a":"\\u0000"},)
        . qq("\\u006dodel2":"x","model" :%s, "store":false,"empty":{},"list":[ ]%s}\n \n),
    messages => qq({"max_tokens" : 1024,"unknown":{"model":"not this","n":1E2,"z":null},\n"system":)
        . qq([{"type":"text","text":"Be \\u00fcber\\/brief","cache_control":{"type":"ephemeral",)
        . qq("ttl":"1h","scope":"odd"}}],"messages":[{"role":"user","content":[{"type":"text",)
        . qq("text":"\xe2\x98\x95 \\t"}]},{"role":"assistant","content":[{"type":"thinking",)
        . qq("thinking":"","signature":"RXFr"},{"type":"redacted_thinking","data":"x+/="},)
        . qq({"type":"tool_use","id":"toolu_1","name":"f","input":{"a" : [1.0 , 2]}}]},)
        . qq({"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[],)
        . qq("cache_control":{"type":"ephemeral"}}]}, {"role":"system","content":"and more"}],)
        . qq( "model":%s,"top_k" : 5%s}),
);

sub body {
    my ($pair, $model, $more) = @_;

    return sprintf $template{$pair->{client}}, $model, $more // '';
}

sub raw_ask {
    my ($pair, $body, %headers) = @_;
    my $s = $t->stream($pair->path, $body, headers => \%headers);

    return ($s, $s->read_body);
}

subtest 'case 45: the request arrives as it was sent' => sub {
    for my $pair (@same) {
        for my $o (['', 'whole'], [' "stream" : false', 'no stream'],
            [' "stream" : true', 'streamed']) {
            my ($more, $how) = @$o;
            my $streams = $how eq 'streamed';
            $more = ",$more" if $more;
            $more .= ',"stream_options":{"include_usage":true}'
                if $streams && $pair->{client} eq 'chat';
            $p->script($streams ? sse($pair->events) : json(200, $pair->answer));
            my ($s) = raw_ask($pair, body($pair, qq("$pair->{model}"), $more));
            is($s->status, 200, "$pair->{name}, $how: status") or diag $s->body;
            is($p->last_request->{body},
                body($pair, qq("$upstream{$pair->{provider}}"), $more),
                "$pair->{name}, $how: nothing but the model differs");
        }
    }
};

subtest 'the model, however it is written' => sub {
    my ($chat) = @same;
    $p->script(json(200, $chat->answer));
    my %asks = ('"on\u002dchat"' => '"gpt-4o"', '"\u006fn-chat"' => '"gpt-4o"',
        '"short"' => '"m"',
        '"gpt-4o-the-same-name"' => '"gpt-4o-the-same-name"');
    for my $model (sort keys %asks) {
        my ($s) = raw_ask($chat, body($chat, $model));
        is($s->status, 200, "$model: status") or diag $s->body;
        is($p->last_request->{body}, body($chat, $asks{$model}), "$model: replaced");
    }
    my $messages = $same[1];
    $p->script(json(200, $messages->answer));
    my ($s) = raw_ask($messages, body($messages, '"short-messages"'));
    is($p->last_request->{body}, body($messages, '"m"'), 'a short model name');
};

subtest 'case 51: a stream is asked for its usage, and nothing else is changed' => sub {
    my ($chat) = @same;
    $p->script(sse($chat->events));
    for my $options ('', '"stream_options":null', '"stream_options":{}',
        '"stream_options" : { "other": [1 ] }', '"stream_options":{"include_usage":false}',
        '"stream_options":{"include_usage" : null,"other":{"include_usage":false}}')
    {
        my $more = ',"stream":true' . ($options ? ", $options" : '');
        my ($s) = raw_ask($chat, body($chat, '"on-chat"', $more));
        is($s->status, 200, "$options: status");
        my $q = $p->last_request;
        ok($q->{json}{stream_options}{include_usage}, "$options: asked for")
            or diag $q->{body};
        is_deeply($q->{json}{stream_options}{other}, LLM::Json::try_json("{$options}" || '{}')
            ->{stream_options}{other}, "$options: its other members") if $options =~ /other/;
        # Without what was put in, the client's bytes.
        my $left = $q->{body};
        $left =~ s/("stream_options"\s*:\s*(?:null|\{(?:[^{}]|\{[^{}]*\})*\})),?//;
        my $sent = body($chat, '"gpt-4o"', $more);
        $sent =~ s/("stream_options"\s*:\s*(?:null|\{(?:[^{}]|\{[^{}]*\})*\})),?//;
        is($left, $sent, "$options: the rest is untouched");
    }
};

subtest 'case 46: flags in headers go on' => sub {
    my @flags = ('anthropic-beta: one-2025-01-01, two-2025-02-02', 'Anthropic-Beta: three');
    my $pair = $same[1];
    my $body = body($pair, '"on-messages"');
    $p->script(json(200, $pair->answer));
    my $r = $t->request(undef, undef, raw => "POST /v1/messages?beta=true HTTP/1.1\r\n"
        . "Host: x\r\nContent-Length: " . length($body) . "\r\nanthropic-version: 2024-10-22\r\n"
        . join('', map { "$_\r\n" } @flags) . "Connection: close\r\n\r\n$body");
    is($r->{status}, 200, 'status');
    my $h = $p->last_request->{headers};
    is($h->{'anthropic-beta'}, 'one-2025-01-01,two-2025-02-02,three', 'anthropic-beta');
    is($h->{'anthropic-version'}, '2024-10-22', "the client's anthropic-version");
};

subtest 'the answer arrives as it was sent' => sub {
    for my $pair (@same) {
        my $odd = LLM::Json::encode_json_o($pair->answer(text => 'x'));
        $odd =~ s/\A\{/ \r\n{ "unknown" : {"b":1.50,"a":null,"c":"\\u00e9\xc3\xa9\\\/"},\n\t/;
        $odd .= "\n\n";
        for my $o ({}, { chunked => 1 }, { bytewise => 1 }) {
            $p->script(answer(body => $odd, %$o));
            my $r = $pair->post($t);
            is($r->{body}, $odd, join ' ', "$pair->{name}, whole", keys %$o);
        }
        my @events = $pair->events(reasoning => "Hm\x{2026}", text => "caf\x{e9} au lait",
            tools => [{ name => 'f', args => { x => 1 } }]);
        my $bytes = join '', ": hello\n\n", map { LLM::Provider::Script::sse_bytes($_) } @events;
        $bytes =~ s/^data: \{/data:  { "unknown" : [1.0, "\\u00e9\\\/"], /gm;
        $bytes =~ s/\n\n/\n: more\n\n/;
        my %usage = $pair->{client} eq 'chat'
            ? (stream_options => { include_usage => JSON::PP::true() }) : ();
        for my $o ({}, { content_length => 1 }, { bytewise => 1 }) {
            $p->script(sse(raw($bytes), %$o));
            is($pair->stream($t, %usage)->read_body, $bytes,
                join ' ', "$pair->{name}, stream", keys %$o);
        }
    }
};

subtest "case 51: the gateway's own usage chunk is hidden" => sub {
    my ($chat) = @same;
    my @events = $chat->events(text => 'one two');
    my $bytes = join '', map { LLM::Provider::Script::sse_bytes($_) } @events;
    my $without = join '', map { LLM::Provider::Script::sse_bytes($_) }
        grep { !ref $_ || @{$_->{choices}} } @events;
    for my $o ({}, { bytewise => 1 }, { content_length => 1 }) {
        $p->script(sse(raw($bytes), %$o));
        is($chat->stream($t)->read_body, $without, join ' ', 'that chunk only', keys %$o);
    }
};

$t->done;
