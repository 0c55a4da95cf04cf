# One pair of dialects, that of the client and that of the provider: what a test needs to ask
# one question in four ways.
#
#     $t->http_conf(LLM::Pair::conf($p));           # a gateway before the provider $p
#     for my $pair (LLM::Pair->all) {
#         $p->script(sse($pair->events(text => 'hi')));
#         my @events = $pair->stream($t)->all_events;
#         is_deeply([$pair->check(\@events)], [], "$pair->{name}: grammar");
#         is($pair->assemble(\@events)->{text}, 'hi', "$pair->{name}: text");
#     }
#
# $pair->{client}, {provider}   'chat' or 'messages'
# $pair->{name}, {model}        'chat to messages'; the model to ask for, 'on-messages'
# $pair->is_same                one dialect on both sides
# path, question(%o)            what the client sends; question's options are further members
# stream($t, %o), post($t, %o)  ask; {client options} in http => {...}, the rest as question
# check, assemble               of a stream, as the client sees it
# read_answer($json)            the same hash as assemble gives, of a whole answer
# is_error($data)               $data (a decoded body or frame) is an error of the client's form
# error_event(\@events)         the error object that ends a stream of the client, or undef
# events(%o), answer(%o)        what the provider sends: LLM::Provider::Answers
# error_frame($type, $text)     an event for sse(): the provider's error inside a stream
# error_body($type, $text)      the same as a body
#
# conf($p, %o): $p serves both dialects, each with a base_url of its own. Options: models (more
# llm_model blocks), location, server, http (more directives of that level), provider (more
# lines of both providers). next_log reads its access log, in_flight its number of requests.

package LLM::Pair;

use strict;
use warnings;
use LLM::Json qw(ordered try_json);
use LLM::Port qw(nap slow);
use LLM::Provider::Answers qw(chat_answer chat_stream messages_answer messages_stream
    chat_error messages_error);
use LLM::Stream;
use Time::HiRes qw(time);

my @log_fields = qw(model upstream_model deployment outcome error finish_reason attempts stream
    input_tokens output_tokens cached_tokens cache_write_tokens reasoning_tokens
    first_token_time upstream_time);
my %is_number = map { $_ => 1 } qw(attempts stream input_tokens output_tokens cached_tokens
    cache_write_tokens reasoning_tokens first_token_time upstream_time);

sub conf {
    my ($p, %o) = @_;
    my ($models, $location, $server, $http, $provider) =
        map { $o{$_} // '' } qw(models location server http provider);
    my $url = ref $p ? $p->url : $p;
    my $log = join ',', map { my $v = "\$llm_$_"; qq("$_":) . ($is_number{$_} ? $v : qq("$v")) }
        @log_fields;

    return <<"END";
    llm_provider chat {
        dialect openai;
        base_url $url/v1;
        api_key sk-of-chat;
        $provider
    }
    llm_provider messages {
        dialect anthropic;
        base_url $url/v1;
        api_key sk-of-messages;
        $provider
    }
    llm_model on-chat { deployment chat/gpt-4o; }
    llm_model on-messages { deployment messages/claude-sonnet-4-5; }
    $models
    log_format pair escape=json '{"status":\$status,$log}';
    $http
    server {
        listen 127.0.0.1:%%PORT%%;
        $server
        location = /health/readiness { llm_health; }
        location / {
            llm_pass models;
            access_log logs/llm.log pair;
            $location
        }
    }
END
}

sub all {
    my ($class) = @_;

    return map { $class->new(@$_) } ['chat', 'chat'], ['messages', 'messages'],
        ['chat', 'messages'], ['messages', 'chat'];
}

sub new {
    my ($class, $client, $provider) = @_;

    return bless { client => $client, provider => $provider, name => "$client to $provider",
        model => "on-$provider" }, $class;
}

sub is_same { return $_[0]{client} eq $_[0]{provider} }
sub path    { return $_[0]{client} eq 'chat' ? '/v1/chat/completions' : '/v1/messages' }

sub question {
    my ($self, %o) = @_;
    my $q = ordered(model => $self->{model});

    $q->{max_tokens} = 1024 if $self->{client} eq 'messages';
    $q->{messages} = [ordered(role => 'user', content => 'Say something.')];
    for my $name (sort keys %o) {
        $q->{$name} = $o{$name};
    }
    return $q;
}

# Thinking is shown to clients of messages only when they ask for it.
sub thinking {
    my ($self) = @_;

    return $self->{client} eq 'chat' ? () : (max_tokens => 4096,
        thinking => ordered(type => 'enabled', budget_tokens => 1024));
}

sub stream {
    my ($self, $t, %o) = @_;
    my %http = %{delete $o{http} || {}};

    return $t->stream($self->path, $self->question(%o, stream => JSON::PP::true()), %http);
}

sub post {
    my ($self, $t, %o) = @_;
    my %http = %{delete $o{http} || {}};

    return $t->post($self->path, $self->question(%o), %http);
}

# What the client reads

sub check {
    my ($self, $events) = @_;

    return $self->{client} eq 'chat' ? LLM::Stream::check_chat($events)
        : LLM::Stream::check_messages($events);
}

sub assemble {
    my ($self, $events) = @_;

    return $self->{client} eq 'chat' ? LLM::Stream::assemble_chat($events)
        : LLM::Stream::assemble_messages($events);
}

sub read_answer {
    my ($self, $json) = @_;
    my %all = (id => $json->{id}, model => $json->{model}, usage => $json->{usage},
        text => '', reasoning => '', tools => []);

    if ($self->{client} eq 'chat') {
        my $choice = $json->{choices}[0] || {};
        my $message = $choice->{message} || {};
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
    for my $block (@{$json->{content} || []}) {
        $all{text} .= $block->{text} if $block->{type} eq 'text';
        $all{reasoning} .= $block->{thinking} if $block->{type} eq 'thinking';
        $all{signature} = $block->{signature} if $block->{type} eq 'thinking';
        push @{$all{tools}}, { id => $block->{id}, name => $block->{name},
            args => LLM::Json::encode_json_c($block->{input}) } if $block->{type} eq 'tool_use';
    }
    $all{finish} = $json->{stop_reason};
    return \%all;
}

sub is_error {
    my ($self, $data) = @_;
    my $error = ref $data eq 'HASH' ? $data->{error} : undef;

    return 0 unless ref $error eq 'HASH' && defined $error->{message} && defined $error->{type};
    return !exists $data->{type} && exists $error->{code} && exists $error->{param} ? 1 : 0
        if $self->{client} eq 'chat';
    return ($data->{type} // '') eq 'error' && !exists $error->{code} ? 1 : 0;
}

sub error_event {
    my ($self, $events) = @_;
    my ($last) = reverse grep { !defined $_->{comment} } @$events;

    return undef unless $last && $self->is_error($last->{json});
    return undef if $self->{client} eq 'messages' && ($last->{event} // '') ne 'error';
    return $last->{json}{error};
}

# What the provider sends

sub events {
    my ($self, %o) = @_;

    return $self->{provider} eq 'chat' ? chat_stream(%o) : messages_stream(%o);
}

sub answer {
    my ($self, %o) = @_;

    return $self->{provider} eq 'chat' ? chat_answer(%o) : messages_answer(%o);
}

sub error_body {
    my ($self, $type, $message) = @_;

    return $self->{provider} eq 'chat' ? chat_error($message, type => $type, code => $type)
        : messages_error($type, $message);
}

sub error_frame {
    my ($self, $type, $message) = @_;
    my $body = $self->error_body($type, $message);

    return $self->{provider} eq 'chat' ? $body : ['error', $body];
}

# What the gateway says of itself

# Waits for the line of the access log after those that $seen (a reference to a number) counts
# already; a line that is no JSON gives an empty hash.
sub next_log {
    my ($t, $seen) = @_;
    my $deadline = time + slow(5);
    my $n = $$seen++;

    while (1) {
        my @lines = split /^/, $t->slurp('logs/llm.log');
        return try_json($lines[$n]) || {} if @lines > $n && $lines[$n] =~ /\n\z/;
        return {} if time > $deadline;
        nap(0.005);
    }
}

sub in_flight {
    my ($t) = @_;
    my $r = $t->get('/health/readiness');

    return $r->{json} ? $r->{json}{in_flight} : undef;
}

# True when nothing is in flight any more within $timeout.
sub wait_idle {
    my ($t, $timeout) = @_;
    my $deadline = time + slow($timeout // 2);

    while (1) {
        my $n = in_flight($t);
        return 1 if defined $n && $n == 0;
        return 0 if time > $deadline;
        nap(0.003);
    }
}

1;
