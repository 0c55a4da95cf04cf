# The official SDKs of both dialects against the gateway, and through it against providers of
# both dialects. The checks are in openai.mjs and anthropic.mjs; here are the providers that
# they talk to, and what these must have seen. `npm ci` in this folder comes first.

use strict;
use warnings;
use File::Basename ();
use LLM::Test;
use LLM::Json qw(ordered);
use LLM::Port qw(slow);
use LLM::Provider;

my $here = File::Basename::dirname(__FILE__);
BAIL_OUT('the SDKs are not installed: npm ci in t/clients') unless -d "$here/node_modules";

my $t = LLM::Test->new(workers => 2);
my $chat = LLM::Provider->new(dir => $t->dir);
my $messages = LLM::Provider->new(dir => $t->dir);

$t->http_conf(<<"END");
    llm_provider chat-side {
        preset openai;
        base_url http://127.0.0.1:${\$chat->port}/v1;
        api_key chat-side-key;
    }
    llm_provider messages-side {
        preset anthropic;
        base_url http://127.0.0.1:${\$messages->port}/v1;
        api_key messages-side-key;
    }
    llm_provider mock { preset mock; }
    llm_model gpt { deployment chat-side/gpt-4o-mini; }
    llm_model claude { deployment messages-side/claude-sonnet-4-5; }
    llm_model claude-older { deployment messages-side/claude-3-5-haiku-latest; }
    llm_model mock { deployment mock/anything; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

# As in checks.mjs.
my $text = "The harbour is calm, caf\x{e9}s are open \x{2615}.";
my $trip = '{"city":"Bergen","days":3}';
my @thinking = (text => $text, reasoning => 'A question of weather.',
    signature => 'c2lnbmF0dXJlLW9mLXRoaW5raW5n');
my @calls = (text => 'I shall look.', tools => [
    { name => 'get_weather', args => '{"city":"Oslo","units":"C"}' },
    { name => 'get_time',
        args => ['{"zo', 'ne":"Europe/Oslo","note":"caf', '\u00', 'e9 \"quo', 'ted\""}'] },
]);
my %usage = (
    chat => { prompt_tokens => 30, prompt_tokens_details => { cached_tokens => 10 } },
    messages => { input_tokens => 20, cache_read_input_tokens => 10 },
);

# A request plays the scenario that its first message names; the results of tools end it.
sub scenario {
    my ($name, %o) = @_;

    for my $side ([$chat, '/v1/chat/completions', \&chat_answer, \&chat_stream, 'chat'],
        [$messages, '/v1/messages', \&messages_answer, \&messages_stream, 'messages'])
    {
        my ($provider, $path, $whole, $stream, $dialect) = @$side;
        my @content = (usage => $usage{$dialect}, @{$o{$dialect} || $o{content}});
        my $word = "scenario:$name\\b" . ($o{also} ? "(?=.*$o{also})" : '');
        $provider->on({ path => $path, body => qr/\A(?=.*"stream":\s*true).*$word/s },
            sse($stream->(@content), @{$o{how} || []}));
        $provider->on({ path => $path, body => qr/$word/s }, json(200, $whole->(@content)));
    }
    return;
}

sub refusal {
    my ($name, $chat_status, $messages_status, $type, %o) = @_;
    my $message = 'told by the provider';

    $chat->on({ body => qr/scenario:$name\b/ },
        json($chat_status, chat_error($message), %o));
    $messages->on({ body => qr/scenario:$name\b/ },
        json($messages_status, messages_error($type, $message), %o));
    return;
}

scenario('tools', also => '4 degrees', content => [text => 'It is 4 degrees at 12:30.']);
scenario('tools', content => \@calls);
scenario('text', content => [text => $text]);
scenario('thinking', content => \@thinking);
scenario('structured', also => 'json_tool_call', content => [],
    messages => [tools => [{ name => 'json_tool_call', args => $trip }]]);
scenario('structured', content => [text => [$trip =~ /(.{1,8})/g]]);
scenario('endless', content => [text => $text], how => [wait_for_release => 5]);
scenario('cut', content => [text => $text], how => [cut_after => 5, wait_for_release => 5]);
refusal('bad-request', 400, 400, 'invalid_request_error');
refusal('no-permission', 403, 403, 'permission_error');
refusal('rate-limit', 429, 429, 'rate_limit_error', headers => { 'Retry-After' => 7 });
refusal('overloaded', 503, 529, 'overloaded_error');

# An error that comes with the first content is no error in mid-stream: wait for the client.
my @begun = chat_stream(text => $text);
$chat->on({ body => qr/scenario:error-event\b/ },
    sse(@begun[0 .. 3], hold(), chat_error('gone', type => 'server_error')));
@begun = messages_stream(text => $text);
$messages->on({ body => qr/scenario:error-event\b/ },
    sse(@begun[0 .. 4], hold(), ['error', messages_error('overloaded_error', 'gone')]));

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
            ($1 =~ /claude/ ? $messages : $chat)->release;
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

# The script that aborted runs on: it is not its end that closed anything.
sub after_abort {
    my ($name) = @_;
    my $asked = 0;

    for my $provider ($chat, $messages) {
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

sub check_tool_turns {
    my ($name) = @_;

    my $q = seen($chat, qr/4 degrees/);
    my ($call, @results) = @{$q->{messages} || []}[-3, -2, -1];
    is(join(' ', map { $_->{function}{name} } @{$call->{tool_calls}}), 'get_weather get_time',
        "$name: chat provider got the calls");
    is_deeply([map { "$_->{role} $_->{tool_call_id} $_->{content}" } @results],
        ["tool $call->{tool_calls}[0]{id} 4 degrees", "tool $call->{tool_calls}[1]{id} 12:30"],
        "$name: and the results behind them");
    $q = seen($messages, qr/4 degrees/);
    my @turns = @{$q->{messages} || []};
    is(join(' ', map { $_->{role} } @turns), 'user assistant user',
        "$name: messages provider got alternating turns");
    my @uses = grep { $_->{type} eq 'tool_use' } @{$turns[1]{content}};
    is(join(' ', map { $_->{name} } @uses), 'get_weather get_time', "$name: the calls");
    is($uses[1]{input}{note}, "caf\x{e9} \"quoted\"", "$name: arguments as an object");
    is(join(' ', map { $_->{tool_use_id} } @{$turns[2]{content}}),
        join(' ', map { $_->{id} } @uses), "$name: both results in one turn");
    return;
}

subtest 'openai SDK' => sub {
    node('openai.mjs', 'gpt', 'claude', 'claude-older');
    check_tool_turns('openai SDK');
    ok(seen($messages, qr/json_tool_call/)->{tool_choice}, 'an older model is made to call');
    like(seen($messages, qr/output_config/)->{model}, qr/4-5/, 'a newer one is told the schema');
};

$_->clear for $chat, $messages;

subtest 'anthropic SDK' => sub {
    node('anthropic.mjs', 'gpt', 'claude');
    check_tool_turns('anthropic SDK');
    is(seen($chat, qr/"response_format"/)->{response_format}{type}, 'json_schema',
        'the chat provider is told the schema');
    my $turns = seen($messages, qr/in the evening/)->{messages} || [{}, {}];
    is_deeply([map { $_->{type} } @{$turns->[1]{content}}], ['thinking', 'text'],
        'thinking is back at the provider');
    is($turns->[1]{content}[0]{signature}, 'c2lnbmF0dXJlLW9mLXRoaW5raW5n', 'with its signature');
    unlike(join('', map { $_->{body} } grep { $_->{body} =~ /in the evening/ } $chat->requests),
        qr/signature/, 'and none goes to the other provider');
};

for my $script ('readme_openai.mjs', 'readme_anthropic.mjs') {
    local $ENV{PORT} = $t->port;
    like(scalar `node $here/$script`, qr/mock provider/, "$script prints the answer");
    is($?, 0, "$script exits well");
}

$t->done;
