# Every dialect as a test needs it, one row each: a further dialect is a row here.
#
# LLM::Forms::client($name)     how a client of it asks and reads:
#     path($model, $is_stream), question($is_stream, %more), tool($name) (members that declare a
#     tool; undef: it has none), check, assemble, read_answer, is_error, error_event,
#     finish => [end, cut by length, calls] (its words), usage (members of input and output)
# LLM::Forms::provider($name)   how a provider of it is configured and answers:
#     lines (URL is its address), deployment, answer(%o), events(%o) (for sse()), type (of its
#     streams), error($class, $text) => [status, body, headers], frame($class, $text) (inside a
#     stream), finish => [end, cut by length, calls] (its words, for the options), count =>
#     [path, member] (where it counts tokens, and the number's name; not there: it cannot),
#     has_sentinel (its streams say that they are over, before they are)
# clients, providers            the names, in order
#
# Classes of errors: rate_limit, context_length, overloaded, invalid_request.

package LLM::Forms;

use strict;
use warnings;
use LLM::Client::Completions;
use LLM::Client::Gemini;
use LLM::Client::Responses;
use LLM::Json qw(ordered);
use LLM::Provider::Answers qw(chat_answer chat_error chat_stream messages_answer
    messages_error messages_stream);
use LLM::Provider::Aws qw(aws_exception converse_answer converse_stream invoke_stream);
use LLM::Provider::Others qw(completions_answer completions_stream cohere_answer cohere_stream
    gemini_answer gemini_event gemini_stream json_line ollama_answer ollama_stream
    responses_answer responses_stream);
use LLM::Stream;

my $schema = ordered(type => 'object', properties => { x => { type => 'integer' } });
my @ask = (messages => [ordered(role => 'user', content => 'Say something.')]);

# Errors of clients

sub _is_openai_error {
    my ($data) = @_;
    my $error = ref $data eq 'HASH' ? $data->{error} : undef;

    return ref $error eq 'HASH' && !exists $data->{type} && defined $error->{message}
        && defined $error->{type} && exists $error->{code} && exists $error->{param} ? 1 : 0;
}

sub _is_messages_error {
    my ($data) = @_;
    my $error = ref $data eq 'HASH' ? $data->{error} : undef;

    return ref $error eq 'HASH' && defined $error->{message} && defined $error->{type}
        && ($data->{type} // '') eq 'error' && !exists $error->{code} ? 1 : 0;
}

sub _last_error {
    my ($is_error, $events, $name) = @_;
    my ($last) = reverse grep { !defined $_->{comment} } @$events;

    return undef unless $last && $is_error->($last->{json}) && ($last->{event} // '') eq $name;
    return $last->{json}{error};
}

sub _chat_message {
    my ($json) = @_;
    my $choice = $json->{choices}[0] || {};
    my $message = $choice->{message} || {};
    my %all = (id => $json->{id}, model => $json->{model}, usage => $json->{usage});

    @all{qw(text reasoning refusal)} =
        map { $_ // '' } @$message{qw(content reasoning_content refusal)};
    $all{tools} = [map { { id => $_->{id}, name => $_->{function}{name},
        args => $_->{function}{arguments} } } @{$message->{tool_calls} || []}];
    $all{finish} = $choice->{finish_reason};
    for my $block (@{$message->{thinking_blocks} || []}) {
        $all{signature} = $block->{signature} if defined $block->{signature};
    }
    return \%all;
}

sub _message {
    my ($json) = @_;
    my %all = (id => $json->{id}, model => $json->{model}, usage => $json->{usage},
        text => '', reasoning => '', tools => [], finish => $json->{stop_reason});

    for my $block (@{$json->{content} || []}) {
        $all{text} .= $block->{text} if $block->{type} eq 'text';
        $all{reasoning} .= $block->{thinking} if $block->{type} eq 'thinking';
        $all{signature} = $block->{signature} if $block->{type} eq 'thinking';
        push @{$all{tools}}, { id => $block->{id}, name => $block->{name},
            args => LLM::Json::json_text($block->{input}) } if $block->{type} eq 'tool_use';
    }
    return \%all;
}

sub _stream_member { return $_[0] ? (stream => JSON::PP::true()) : () }

my @client_order = qw(chat messages responses gemini completions);
my %client = (
    chat => {
        path => sub { '/v1/chat/completions' },
        question => sub { ordered(model => $_[0], @ask, _stream_member($_[1])) },
        tool => sub { (tools => [ordered(type => 'function',
            function => ordered(name => $_[0], parameters => $schema))]) },
        usage_asked => [stream_options => { include_usage => JSON::PP::true() }],
        check => \&LLM::Stream::check_chat, assemble => \&LLM::Stream::assemble_chat,
        read_answer => \&_chat_message, is_error => \&_is_openai_error,
        error_event => sub { _last_error(\&_is_openai_error, $_[0], '') },
        finish => [qw(stop length tool_calls)], usage => [qw(prompt_tokens completion_tokens)],
    },
    messages => {
        path => sub { '/v1/messages' },
        question => sub { ordered(model => $_[0], max_tokens => 1024, @ask,
            _stream_member($_[1])) },
        tool => sub { (tools => [ordered(name => $_[0], input_schema => $schema)]) },
        check => \&LLM::Stream::check_messages, assemble => \&LLM::Stream::assemble_messages,
        read_answer => \&_message, is_error => \&_is_messages_error,
        error_event => sub { _last_error(\&_is_messages_error, $_[0], 'error') },
        finish => [qw(end_turn max_tokens tool_use)], usage => [qw(input_tokens output_tokens)],
    },
    responses => {
        path => sub { '/v1/responses' },
        question => sub { ordered(model => $_[0], input => 'Say something.',
            _stream_member($_[1])) },
        tool => sub { (tools => [ordered(type => 'function', name => $_[0],
            parameters => $schema, strict => JSON::PP::false())]) },
        check => \&LLM::Client::Responses::check,
        assemble => \&LLM::Client::Responses::assemble,
        read_answer => \&LLM::Client::Responses::read_answer, is_error => \&_is_openai_error,
        error_event => \&LLM::Client::Responses::error_event,
        finish => [qw(completed max_output_tokens completed)],
        usage => [qw(input_tokens output_tokens)],
    },
    gemini => {
        path => sub { "/v1beta/models/$_[0]:"
            . ($_[1] ? 'streamGenerateContent?alt=sse' : 'generateContent') },
        question => sub { ordered(contents => [ordered(role => 'user',
            parts => [{ text => 'Say something.' }])]) },
        tool => sub { (tools => [{ functionDeclarations => [ordered(name => $_[0],
            parameters => $schema)] }]) },
        check => \&LLM::Client::Gemini::check, assemble => \&LLM::Client::Gemini::assemble,
        read_answer => \&LLM::Client::Gemini::read_answer,
        is_error => \&LLM::Client::Gemini::is_error,
        error_event => \&LLM::Client::Gemini::error_event,
        finish => [qw(STOP MAX_TOKENS STOP)],
        usage => [qw(promptTokenCount candidatesTokenCount)],
    },
    completions => {
        path => sub { '/v1/completions' },
        question => sub { ordered(model => $_[0], prompt => 'Say something.', max_tokens => 100,
            _stream_member($_[1])) },
        usage_asked => [stream_options => { include_usage => JSON::PP::true() }],
        check => \&LLM::Client::Completions::check,
        assemble => \&LLM::Client::Completions::assemble,
        read_answer => \&LLM::Client::Completions::read_answer, is_error => \&_is_openai_error,
        error_event => sub { _last_error(\&_is_openai_error, $_[0], '') },
        finish => [qw(stop length stop)], usage => [qw(prompt_tokens completion_tokens)],
    },
);

# Providers

my %status = (rate_limit => 429, context_length => 400, overloaded => 503,
    invalid_request => 400);

sub _chat_failure {
    my ($class, $text) = @_;
    my %code = (rate_limit => 'rate_limit_exceeded', context_length => 'context_length_exceeded',
        overloaded => 'overloaded');

    return chat_error($text, code => $code{$class},
        type => $status{$class} == 400 ? 'invalid_request_error' : $class);
}

sub _messages_failure {
    my ($class, $text) = @_;

    return messages_error($status{$class} == 400 ? 'invalid_request_error' : "${class}_error",
        $text);
}

sub _google_failure {
    my ($class, $text) = @_;
    my %name = (rate_limit => 'RESOURCE_EXHAUSTED', context_length => 'INVALID_ARGUMENT',
        overloaded => 'UNAVAILABLE', invalid_request => 'INVALID_ARGUMENT');

    return { error => ordered(code => $status{$class}, message => $text,
        status => $name{$class}) };
}

my %exception = (rate_limit => 'ThrottlingException', context_length => 'ValidationException',
    overloaded => 'ServiceUnavailableException', invalid_request => 'ValidationException');

sub _aws_error {
    my ($class, $text) = @_;

    return [$status{$class}, { message => $text },
        { 'x-amzn-ErrorType' => "$exception{$class}:http://internal.amazon.com/coral/" }];
}

sub _plain_error {
    my ($failure) = @_;

    return sub { [$status{$_[0]}, $failure->(@_)] };
}

my $event_stream = 'application/vnd.amazon.eventstream';
my $claude = 'anthropic.claude-sonnet-4-5-20250929-v1:0';
my $aws_count = ['/model/' . ($claude =~ s/:/%3A/r) . '/count-tokens', 'inputTokens'];
my $aws_keys = 'region eu-west-1; aws_access_key_id AKIDTEST; aws_secret_access_key s3cr3t/+;';

my @provider_order = qw(chat messages responses gemini bedrock bedrock-invoke cohere ollama);
my %provider = (
    chat => {
        lines => 'dialect openai; base_url URL/v1; api_key sk-of-chat;',
        deployment => 'gpt-4o', answer => \&chat_answer, events => \&chat_stream,
        error => _plain_error(\&_chat_failure), frame => \&_chat_failure,
        finish => [qw(stop length tool_calls)], has_sentinel => 1,
    },
    messages => {
        lines => 'dialect anthropic; base_url URL/v1; api_key sk-of-messages;',
        deployment => 'claude-sonnet-4-5', answer => \&messages_answer,
        events => \&messages_stream, error => _plain_error(\&_messages_failure),
        frame => sub { ['error', _messages_failure(@_)] },
        count => ['/v1/messages/count_tokens', 'input_tokens'],
        finish => [qw(end_turn max_tokens tool_use)], has_sentinel => 1,
    },
    responses => {
        lines => 'dialect responses; base_url URL/v1; api_key sk-of-responses;',
        deployment => 'gpt-5-mini', answer => \&responses_answer, events => \&responses_stream,
        error => _plain_error(\&_chat_failure),
        frame => sub { ['error', ordered(type => 'error', code => _chat_failure(@_)->{error}{code},
            message => $_[1], param => undef, sequence_number => 99)] },
        count => ['/v1/responses/input_tokens', 'input_tokens'],
        finish => ['completed', 'max_output_tokens', 'completed'], has_sentinel => 1,
    },
    gemini => {
        lines => 'preset gemini; base_url URL/v1beta; api_key key-of-gemini;',
        deployment => 'gemini-2.5-flash', answer => \&gemini_answer, events => \&gemini_stream,
        error => _plain_error(\&_google_failure),
        frame => sub { gemini_event(_google_failure(@_)) },
        count => ['/v1beta/models/gemini-2.5-flash:countTokens', 'totalTokens'],
        finish => [qw(STOP MAX_TOKENS STOP)],
    },
    bedrock => {
        lines => "preset bedrock; base_url URL; $aws_keys",
        deployment => $claude, answer => \&converse_answer,
        events => \&converse_stream, type => $event_stream, error => \&_aws_error,
        frame => sub { aws_exception(lcfirst $exception{$_[0]}, $_[1]) },
        finish => [qw(end_turn max_tokens tool_use)], count => $aws_count,
    },
    'bedrock-invoke' => {
        lines => "preset bedrock-invoke; base_url URL; $aws_keys",
        deployment => $claude, answer => \&messages_answer,
        events => sub { invoke_stream(messages_stream(@_)) }, type => $event_stream,
        error => \&_aws_error, frame => sub { aws_exception(lcfirst $exception{$_[0]}, $_[1]) },
        finish => [qw(end_turn max_tokens tool_use)], is_same => 'messages', count => $aws_count,
        has_sentinel => 1,
    },
    cohere => {
        lines => 'preset cohere; base_url URL; api_key key-of-cohere;',
        deployment => 'command-a-03-2025', answer => \&cohere_answer, events => \&cohere_stream,
        error => _plain_error(sub { ordered(id => 'e-1', message => $_[1]) }),
        frame => sub { ['message-end', ordered(type => 'message-end', delta => ordered(
            finish_reason => 'ERROR', error => $_[1]))] },
        finish => [qw(COMPLETE MAX_TOKENS TOOL_CALL)], has_sentinel => 1,
    },
    ollama => {
        lines => 'dialect ollama; base_url URL;',
        deployment => 'llama3.1', answer => \&ollama_answer, events => \&ollama_stream,
        type => 'application/x-ndjson', error => _plain_error(sub { { error => $_[1] } }),
        frame => sub { json_line({ error => $_[1] }) },
        finish => [qw(stop length stop)], is_stream_default => 1, has_sentinel => 1,
    },
);

sub clients   { return @client_order }
sub providers { return @provider_order }
sub client    { return $client{$_[0]} || die "no client '$_[0]'" }
sub provider  { return $provider{$_[0]} || die "no provider '$_[0]'" }

1;
