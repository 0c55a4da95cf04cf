# SDKs as clients of the gateway, and through it of providers of four dialects: OpenAI's chat,
# Anthropic's messages, Gemini, and Bedrock's Converse with its binary streams and signatures.
# What a user of an SDK sees is checked in the scripts beside this file; here are the providers
# that they talk to, and what these must have seen. `npm ci` in this folder comes first.

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use File::Basename ();
use LLM::Test;
use LLM::Json qw(ordered);
use LLM::Port qw(slow);
use LLM::Provider;

my $here = File::Basename::dirname(__FILE__);
BAIL_OUT('the SDKs are not installed: npm ci in t/clients') unless -d "$here/node_modules";
my ($node_major) = (`node --version` || '') =~ /\Av(\d+)/;
BAIL_OUT('the SDKs want Node 20: make sdk brings it') if ($node_major || 0) < 20;

my $aws_secret = 'wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY';
my $t = LLM::Test->new(workers => 2);
my %provider = map { $_ => LLM::Provider->new(dir => $t->dir) } qw(chat messages gemini bedrock);
my $chat = $provider{chat};
my $messages = $provider{messages};

$t->http_conf(<<"END");
    llm_cooldown_time 0;  # each check is told by the provider itself
    llm_provider chat-side {
        preset openai;
        base_url http://127.0.0.1:${\$chat->port}/v1;
        api_key chat-side-key;
    }
    llm_provider chat-only {
        dialect openai;
        base_url http://127.0.0.1:${\$chat->port}/v1;
        api_key chat-side-key;
    }
    llm_provider messages-side {
        preset anthropic;
        base_url http://127.0.0.1:${\$messages->port}/v1;
        api_key messages-side-key;
    }
    llm_provider gemini-side {
        preset gemini;
        base_url http://127.0.0.1:${\$provider{gemini}->port}/v1beta;
        api_key gemini-side-key;
    }
    llm_provider bedrock-side {
        preset bedrock;
        base_url http://127.0.0.1:${\$provider{bedrock}->port};
        region eu-central-1;
        aws_access_key_id AKIDEXAMPLE;
        aws_secret_access_key $aws_secret;
    }
    llm_provider mock { preset mock; }
    llm_model gpt { deployment chat-side/gpt-4o-mini; }
    llm_model gpt-chat { deployment chat-only/gpt-4o-mini; }
    llm_model claude { deployment messages-side/claude-sonnet-4-5; }
    llm_model claude-older { deployment messages-side/claude-3-5-haiku-latest; }
    llm_model gemini { deployment gemini-side/gemini-3-pro-preview; }
    llm_model bedrock {
        deployment bedrock-side/eu.anthropic.claude-sonnet-4-5-20250929-v1:0;
    }
    llm_model mock { deployment mock/anything; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

# As in checks.mjs.
my $text = "The harbour is calm, caf\x{e9}s are open \x{2615}.";
my $trip = '{"city":"Bergen","days":3}';
my $signature = 'c2lnbmF0dXJlLW9mLXRoaW5raW5n';
my @thinking = (text => $text, reasoning => 'A question of weather.',
    signature => $signature);
my @calls = (text => 'I shall look.', tools => [
    { name => 'get_weather', args => '{"city":"Oslo","units":"C"}' },
    { name => 'get_time',
        args => ['{"zo', 'ne":"Europe/Oslo","note":"caf', '\u00', 'e9 \"quo', 'ted\""}'] },
]);
my %usage = (
    chat => { prompt_tokens => 30, prompt_tokens_details => { cached_tokens => 10 } },
    messages => { input_tokens => 20, cache_read_input_tokens => 10 },
    gemini => { promptTokenCount => 30, cachedContentTokenCount => 10 },
    bedrock => { inputTokens => 20, cacheReadInputTokens => 10 },
);

# For each provider: what a request for a stream looks like, and how answers are made.
my %side = (
    chat => { streamed => { path => '/v1/chat/completions', body => qr/"stream":\s*true/ },
        whole => { path => '/v1/chat/completions' },
        make_stream => \&chat_stream, make_whole => \&chat_answer, send => \&sse },
    messages => { streamed => { path => '/v1/messages', body => qr/"stream":\s*true/ },
        whole => { path => '/v1/messages' },
        make_stream => \&messages_stream, make_whole => \&messages_answer, send => \&sse },
    gemini => {
        streamed => { path => '/v1beta/models/gemini-3-pro-preview:streamGenerateContent?alt=sse' },
        whole => { path => '/v1beta/models/gemini-3-pro-preview:generateContent' },
        make_stream => \&LLM::Provider::Answers::gemini_stream, make_whole => \&LLM::Provider::Answers::gemini_answer, send => \&sse },
    bedrock => { streamed => { line => qr{^POST /model/[\w.%-]+/converse-stream\z} },
        whole => { line => qr{^POST /model/[\w.%-]+/converse\z} },
        make_stream => \&LLM::Provider::Answers::converse_stream, make_whole => \&LLM::Provider::Answers::converse_answer,
        send => \&eventstream },
);

# A request plays the scenario that its first message names; the results of tools end it.
sub scenario {
    my ($name, %o) = @_;

    for my $dialect (sort keys %side) {
        my $side = $side{$dialect};
        my @content = (usage => $usage{$dialect}, @{$o{$dialect} || $o{content}});
        my $word = "scenario:$name\\b" . ($o{also} ? "(?=.*$o{also})" : '');
        my $marked = $side->{streamed}{body} || qr//;
        $provider{$dialect}->on(
            { %{$side->{streamed}}, body => qr/\A(?=.*$marked).*$word/s },
            $side->{send}->($side->{make_stream}->(@content), @{$o{how} || []}));
        $provider{$dialect}->on({ %{$side->{whole}}, body => qr/$word/s },
            json(200, $side->{make_whole}->(@content)));
    }
    return;
}

# Errors as each provider tells them: {dialect => [status, type]}.
sub refusal {
    my ($name, $told, %o) = @_;
    my $message = 'told by the provider';
    my $body = qr/scenario:$name\b/;
    my ($status, $type);

    $chat->on({ body => $body }, json($told->{chat}, chat_error($message), %o));
    ($status, $type) = @{$told->{messages}};
    $messages->on({ body => $body }, json($status, messages_error($type, $message), %o));
    ($status, $type) = @{$told->{gemini}};
    $provider{gemini}->on({ body => $body },
        json($status, gemini_error($status, $type, $message), %o));
    ($status, $type) = @{$told->{bedrock}};
    $provider{bedrock}->on({ body => $body }, json($status, { message => $message },
        headers => { 'x-amzn-errortype' => "$type:http://internal/", %{$o{headers} || {}} }));
    return;
}

scenario('tools', also => '4 degrees', content => [text => 'It is 4 degrees at 12:30.']);
scenario('tools', content => \@calls, gemini => [@calls, signature => $signature]);
scenario('signed', also => '4 degrees', content => [text => 'It is 4 degrees at 12:30.']);
scenario('signed', content => [@calls, @thinking[2 .. 5]]);
scenario('patch', also => 'patched', content => [text => 'It is 4 degrees at 12:30.']);
scenario('patch', content => [tools => [{ name => 'patch',
    args => ['{"inp', 'ut":"*** Be', 'gin\\n+', '\\"caf\\u00', 'e9\\""}'] }]]);
scenario('text', content => [text => $text]);
scenario('thinking', content => \@thinking);
scenario('structured', also => 'json_tool_call', content => [],
    messages => [tools => [{ name => 'json_tool_call', args => $trip }]]);
scenario('structured', content => [text => [$trip =~ /(.{1,8})/g]]);
scenario('endless', content => [text => $text], how => [wait_for_release => 5]);
scenario('cut', content => [text => $text], how => [cut_after => 5, wait_for_release => 5]);
refusal('bad-request', { chat => 400, messages => [400, 'invalid_request_error'],
    gemini => [400, 'INVALID_ARGUMENT'], bedrock => [400, 'ValidationException'] });
refusal('no-permission', { chat => 403, messages => [403, 'permission_error'],
    gemini => [403, 'PERMISSION_DENIED'], bedrock => [403, 'AccessDeniedException'] });
refusal('rate-limit', { chat => 429, messages => [429, 'rate_limit_error'],
    gemini => [429, 'RESOURCE_EXHAUSTED'], bedrock => [429, 'ThrottlingException'] },
    headers => { 'Retry-After' => 7 });
refusal('overloaded', { chat => 503, messages => [529, 'overloaded_error'],
    gemini => [503, 'UNAVAILABLE'], bedrock => [503, 'ServiceUnavailableException'] });

# An error that comes with the first content is no error in mid-stream: wait for the client.
sub fails_in_stream {
    my ($dialect, $begun, $error) = @_;
    my $side = $side{$dialect};
    my @events = $side->{make_stream}->(text => $text);

    $provider{$dialect}->on({ body => qr/scenario:error-event\b/ },
        $side->{send}->(@events[0 .. $begun - 1], hold(), $error));
    return;
}

fails_in_stream('chat', 4, chat_error('gone', type => 'server_error'));
fails_in_stream('messages', 5, ['error', messages_error('overloaded_error', 'gone')]);
fails_in_stream('gemini', 3, gemini_error(503, 'UNAVAILABLE', 'gone'));
fails_in_stream('bedrock', 4,
    ['exception:serviceUnavailableException', { message => 'gone' }]);

# Runs a script; hands every line to $on_line, makes a test of each check.
sub node {
    my ($script, @arguments) = @_;
    my ($finished, $checks) = (0, 0);

    local $ENV{PORT} = $t->port;
    my $pid = open my $out, '-|', 'node', "$here/$script", @arguments
        or return fail("node: $!");
    local $SIG{ALRM} = sub { kill 'KILL', $pid };
    alarm slow(300);
    while (my $line = <$out>) {
        chomp $line;
        if ($line =~ /\A(not )?ok - (.*)/) {
            my ($bad, $name) = ($1, $2);
            ok(!$bad, $name);
            $checks++;
            after_abort($name) if $name =~ /abort/;
        } elsif ($line =~ /\Arelease (\S+)/) {
            provider_of($1)->release;
        } elsif ($line eq 'done') {
            $finished = 1;
        } else {
            diag($line);
        }
    }
    alarm 0;
    close $out;
    is($?, 0, "$script exits well");
    ok($finished && $checks > 10, "$script ran to its end");
    return;
}

sub provider_of {
    my ($model) = @_;

    return $model =~ /claude/ ? $messages : $provider{$model} || $chat;
}

# The script that aborted runs on: it is not its end that closed anything.
sub after_abort {
    my ($name) = @_;
    my $asked = 0;

    for my $provider (values %provider) {
        for my $request (grep { $_->{body} =~ /scenario:endless/ } $provider->requests) {
            $asked++;
            ok($provider->wait_closed($request), "$name: the provider's connection is closed");
        }
    }
    ok($asked, "$name: a provider was asked");
    return;
}

# The last request that has $word in its body.
sub seen {
    my ($provider, $word) = @_;
    my @found = grep { $_->{body} =~ $word } $provider->requests;

    return $found[-1]{json} || {};
}

# What a second turn must hold, in common terms: who speaks; the calls as [id, name, arguments];
# the results as [id, text].
my %turns_of = (
    chat => sub {
        my ($q) = @_;
        my @turns = @{$q->{messages} || []};
        return ([map { $_->{role} } @turns],
            [map { [$_->{id}, $_->{function}{name}, decode_json_text($_->{function}{arguments})] }
                map { @{$_->{tool_calls} || []} } @turns],
            [map { [$_->{tool_call_id}, text_of($_->{content})] }
                grep { $_->{role} eq 'tool' } @turns]);
    },
    messages => sub {
        my ($q) = @_;
        my @turns = @{$q->{messages} || []};
        my @blocks = map { ref $_->{content} ? @{$_->{content}} : () } @turns;
        return ([map { $_->{role} } @turns],
            [map { [@$_{qw(id name input)}] } grep { $_->{type} eq 'tool_use' } @blocks],
            [map { [$_->{tool_use_id}, text_of($_->{content})] }
                grep { $_->{type} eq 'tool_result' } @blocks]);
    },
    gemini => sub {
        my ($q) = @_;
        my @turns = @{$q->{contents} || []};
        my @parts = map { @{$_->{parts}} } @turns;
        my @answers = map { $_->{functionResponse} || () } @parts;
        return ([map { $_->{role} } @turns],
            [map { [@$_{qw(name name args)}] } map { $_->{functionCall} || () } @parts],
            [map { [$_->{name}, text_of($_->{response})] } @answers]);
    },
    bedrock => sub {
        my ($q) = @_;
        my @turns = @{$q->{messages} || []};
        my @blocks = map { @{$_->{content}} } @turns;
        return ([map { $_->{role} } @turns],
            [map { [@$_{qw(toolUseId name input)}] } map { $_->{toolUse} || () } @blocks],
            [map { [$_->{toolUseId}, text_of($_->{content})] }
                map { $_->{toolResult} || () } @blocks]);
    },
);
# What is signed, at its place in the assistant's turn: the thoughts before all else, as they
# were told (or the signature does not fit them), or the first call.
my %signed_of = (
    chat => sub {
        my ($turn) = grep { $_->{tool_calls} } @{$_[0]{messages}};
        return [@$turn{qw(thinking_blocks reasoning_content extra_content)}];
    },
    messages => sub { return [@{$_[0]{messages}[1]{content}[0]}{qw(thinking signature)}] },
    gemini => sub {
        my ($call) = grep { $_->{functionCall} } @{$_[0]{contents}[1]{parts}};
        return [$call->{thoughtSignature}];
    },
    bedrock => sub {
        my $reasoning = $_[0]{messages}[1]{content}[0]{reasoningContent}{reasoningText};
        return [@{$reasoning || {}}{qw(text signature)}];
    },
);
my %signed = (
    chat => [undef, undef, undef],
    messages => ['A question of weather.', $signature],
    gemini => [$signature],
    bedrock => ['A question of weather.', $signature],
);
my %speakers = (
    chat => qr/\A(?:system )?user assistant tool tool\z/,
    messages => qr/\Auser assistant user\z/,
    gemini => qr/\Auser model user\z/,
    bedrock => qr/\Auser assistant user\z/,
);

# The text of a result, which some clients wrap into an object that names the tool.
sub text_of {
    my ($content) = @_;

    $content = join '', map { $_->{json} ? return text_of($_->{json}) : $_->{text} } @$content
        if ref $content eq 'ARRAY';
    $content = LLM::Json::try_json($content) if !ref $content && $content =~ /\A\{/;
    return $content unless ref $content;
    return defined $content->{content} ? $content->{content} : join '', values %$content;
}

sub decode_json_text {
    my ($text) = @_;

    utf8::encode($text);
    return LLM::Json::try_json($text);
}

sub check_tool_turns {
    my ($name, @dialects) = @_;
    my @wanted = (['get_weather', { city => 'Oslo', units => 'C' }],
        ['get_time', { zone => 'Europe/Oslo', note => "caf\x{e9} \"quoted\"" }]);

    for my $dialect (@dialects) {
        my @requests = grep { $_->{body} =~ /4 degrees/ } $provider{$dialect}->requests;
        cmp_ok(scalar @requests, '>=', 2, "$name, $dialect: second turns");
        for my $request (@requests) {
            my ($roles, $calls, $results) = $turns_of{$dialect}->($request->{json});
            like("@$roles", $speakers{$dialect}, "$name, $dialect: who speaks");
            is_deeply([map { [@$_[1, 2]] } @$calls], \@wanted, "$name, $dialect: the calls");
            is_deeply($results, [[$calls->[0][0], '4 degrees'], [$calls->[1][0], '12:30']],
                "$name, $dialect: and the results behind them");
            my $shown = $signed_of{$dialect}->($request->{json});
            is_deeply($shown, $signed{$dialect}, "$name, $dialect: signed as the provider did")
                || diag($request->{body}) if $request->{body} =~ /scenario:signed/;
            like($shown->[0], qr/\A(?:$signature|skip_thought_signature_validator)\z/,
                "$name, $dialect: no call without a signature") if $dialect eq 'gemini';
        }
    }
    return;
}

# What AWS would calculate for a request that it got: Signature Version 4.
sub signature_of_aws {
    my ($request) = @_;
    my $headers = $request->{headers};
    my ($scope, $signed) = $headers->{authorization}
        =~ m{Credential=[^/]+/(\S+),.*SignedHeaders=([\w;-]+)};
    my ($path, $query) = split /\?/, $request->{path}, 2;
    my $key = "AWS4$aws_secret";

    $path =~ s/([^A-Za-z0-9\-._~\/])/sprintf '%%%02X', ord $1/ge;     # once more than sent
    my $canonical = join "\n", $request->{method}, $path, defined $query ? $query : '',
        (map { "$_:$headers->{$_}" } split /;/, $signed), '', $signed,
        sha256_hex($request->{body});
    my $text = join "\n", 'AWS4-HMAC-SHA256', $headers->{'x-amz-date'}, $scope,
        sha256_hex($canonical);
    $key = hmac_sha256($_, $key) for split m{/}, $scope;
    return hmac_sha256_hex($text, $key);
}

# The client's key never reaches a provider; each is shown what it takes.
sub check_credentials {
    my %form = (
        chat => [authorization => qr/\ABearer chat-side-key\z/],
        messages => ['x-api-key' => qr/\Amessages-side-key\z/],
        gemini => ['x-goog-api-key' => qr/\Agemini-side-key\z/],
        bedrock => [authorization => qr{\AAWS4-HMAC-SHA256\ Credential=AKIDEXAMPLE/\d{8}/
            eu-central-1/bedrock/aws4_request,\ SignedHeaders=(?:[\w-]+;)*host;(?:[\w-]+;)*
            x-amz-date(?:;[\w-]+)*,\ Signature=[0-9a-f]{64}\z}x],
    );

    for my $dialect (sort keys %form) {
        my ($header, $regex) = @{$form{$dialect}};
        my @requests = $provider{$dialect}->requests;
        my @bad = grep { ($_->{headers}{$header} || '') !~ $regex } @requests;
        ok(@requests && !@bad, "$dialect: every request shows the credential of the account")
            or diag(map { "$header: " . ($_->{headers}{$header} || '') . "\n" } @bad);
    }
    my @forged = grep { signature_of_aws($_) ne ($_->{headers}{authorization} =~ /(\w+)\z/)[0] }
        $provider{bedrock}->requests;
    ok(!@forged, 'bedrock: every signature is that of the request as it came');
    my @paths = map { $_->{path} } $provider{bedrock}->requests;
    is(scalar(grep { !m{/eu\.anthropic\.claude-sonnet-4-5-20250929-v1%3A0/} } @paths), 0,
        'bedrock: the colon of a model is escaped');
    return;
}

# One script, and what the providers saw of its second turns.
sub clients_of {
    my ($name, $script, @models) = @_;
    my %dialect = map { (/claude/ ? 'messages' : /gpt/ ? 'chat' : $_) => 1 } @models;

    $_->clear for values %provider;
    node($script, @models);
    check_tool_turns($name, sort keys %dialect);
    return;
}

subtest 'openai SDK' => sub {
    clients_of('openai SDK', 'openai.mjs', qw(gpt claude claude-older gemini bedrock));
    ok(seen($messages, qr/json_tool_call/)->{tool_choice}, 'an older model is made to call');
    like(seen($messages, qr/output_config/)->{model}, qr/4-5/, 'a newer one is told the schema');
    check_credentials();
};

subtest 'anthropic SDK' => sub {
    clients_of('anthropic SDK', 'anthropic.mjs', qw(gpt claude gemini bedrock));
    is(seen($chat, qr/"response_format"/)->{response_format}{type}, 'json_schema',
        'the chat provider is told the schema');
    my $turns = seen($messages, qr/in the evening/)->{messages} || [{}, {}];
    is_deeply([map { $_->{type} } @{$turns->[1]{content}}], ['thinking', 'text'],
        'thinking is back at the provider');
    is($turns->[1]{content}[0]{signature}, $signature, 'with its signature');
    $turns = seen($provider{gemini}, qr/in the evening/)->{contents} || [{}, {}];
    is($turns->[1]{parts}[-1]{thoughtSignature}, $signature,
        'that of a text at Gemini, too');
    $turns = seen($provider{bedrock}, qr/in the evening/)->{messages} || [{}, {}];
    is_deeply($turns->[1]{content}[0]{reasoningContent}{reasoningText},
        { text => 'A question of weather.', signature => $signature },
        'and at Bedrock');
    unlike(join('', map { $_->{body} } grep { $_->{body} =~ /in the evening/ } $chat->requests),
        qr/signature/, 'and none goes to the other provider');
};

subtest 'openai SDK, Responses' => sub {
    clients_of('openai SDK, Responses', 'responses.mjs', qw(gpt-chat claude gemini bedrock));
};

subtest 'genai SDK' => sub {
    clients_of('genai SDK', 'genai.mjs', qw(gpt claude gemini bedrock));
    check_credentials();
};

subtest 'ai SDK' => sub {
    clients_of('ai SDK', 'vercel.mjs', qw(gpt-chat claude gemini bedrock));
    check_credentials();
};

subtest 'LangChain' => sub {
    clients_of('LangChain', 'langchain.mjs', qw(gpt-chat claude gemini bedrock));
    check_credentials();
};

for my $script ('readme_openai.mjs', 'readme_anthropic.mjs') {
    local $ENV{PORT} = $t->port;
    like(scalar `node $here/$script`, qr/mock provider/, "$script prints the answer");
    is($?, 0, "$script exits well");
}

$t->done;
