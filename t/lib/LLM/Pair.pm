# One pair of dialects, that of the client and that of the provider: what a test needs to ask
# one question in many ways. What each dialect is like stands in LLM::Forms.
#
#     $t->http_conf(LLM::Pair::conf($p));           # a gateway before the provider $p
#     for my $pair (LLM::Pair->all) {               # chat and messages; LLM::Pair->every: all
#         $p->script($pair->streamed(text => 'hi'));
#         my @events = $pair->stream($t)->all_events;
#         is_deeply([$pair->check(\@events)], [], "$pair->{name}: grammar");
#         is($pair->assemble(\@events)->{text}, 'hi', "$pair->{name}: text");
#     }
#
# $pair->{client}, {provider}   names of LLM::Forms
# $pair->{name}, {model}        'chat to messages'; the model to ask for, 'on-messages'
# $pair->is_same                one dialect on both sides
# path($is_stream)              what the client asks
# question(%o)                  what it sends; question's options are further members
# stream($t, %o), post($t, %o)  ask; {client options} in http => {...}, the rest as question
# check, assemble               of a stream, as the client sees it
# read_answer($json)            the same hash as assemble gives, of a whole answer
# counts($all)                  input and output tokens of either, 'IN OUT'
# signature($data)              one of Anthropic as the client gets it
# is_error($data)               $data (a decoded body or frame) is an error of the client's form
# error_event(\@events)         the error object that ends a stream of the client, or undef
# finish($n)                    the client's word for the end, a cut by length, calls (0, 1, 2)
# answer(%o), events(%o)        what the provider sends: a body; events for sse()
# whole(%o), streamed(%o)       the same as answers for script(); sse => [options of sse()],
#                               cut => N: only the first N events
# stream_of(\@events, %sse)     a stream of these events
# failing($n, $class, $text)    a stream that fails behind its first $n events
# is_stream_asked($request)     the provider was asked for a stream
# error($class, $text)          an answer that is an error of the provider, see LLM::Forms
# error_frame($type, $text)     an event for sse(): the provider's error inside a stream
# error_body($type, $text)      the same as a body; both only for chat and messages
#
# conf($p, %o): $p serves every dialect, each with a base_url of its own. Options: forms (names of
# providers; chat and messages), models (more llm_model blocks), location, server, http (more
# directives of that level), provider (more lines of all providers), cooldown (llm_cooldown_time; 0:
# every request of a test finds every deployment). next_log reads its access
# log, in_flight its number of requests.

package LLM::Pair;

use strict;
use warnings;
use LLM::Forms;
use LLM::Json qw(ordered try_json);
use LLM::Port qw(nap slow);
use LLM::Provider::Answers qw(chat_error messages_error);
use LLM::Provider::Script qw(json sse);
use Time::HiRes qw(time);

my @log_fields = qw(model upstream_model deployment outcome error finish_reason attempts stream
    input_tokens output_tokens cached_tokens cache_write_tokens reasoning_tokens
    first_token_time upstream_time hedge);
my %is_number = map { $_ => 1 } qw(attempts stream input_tokens output_tokens cached_tokens
    cache_write_tokens reasoning_tokens first_token_time upstream_time);

sub conf {
    my ($p, %o) = @_;
    my ($models, $location, $server, $http, $provider) =
        map { $o{$_} // '' } qw(models location server http provider);
    my $url = ref $p ? $p->url : $p;
    my $cooldown = $o{cooldown} // 0;
    my $log = join ',', map { my $v = "\$llm_$_"; qq("$_":) . ($is_number{$_} ? $v : qq("$v")) }
        @log_fields;

    my $providers = join '', map {
        my $form = LLM::Forms::provider($_);
        my $lines = $form->{lines} =~ s/URL/$url/r;
        "    llm_provider $_ { $lines $provider }\n"
            . "    llm_model on-$_ { deployment $_/$form->{deployment}; }\n";
    } @{$o{forms} || ['chat', 'messages']};

    return <<"END";
$providers
    $models
    llm_cooldown_time $cooldown;
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

# Every client of every provider.
sub every {
    my ($class) = @_;

    return map { my $client = $_; map { $class->new($client, $_) } LLM::Forms::providers() }
        LLM::Forms::clients();
}

sub new {
    my ($class, $client, $provider) = @_;

    return bless { client => $client, provider => $provider, name => "$client to $provider",
        model => "on-$provider", from => LLM::Forms::client($client),
        to => LLM::Forms::provider($provider) }, $class;
}

# The provider's answers reach the client as they are.
sub is_same { return $_[0]{client} eq ($_[0]{to}{is_same} || $_[0]{provider}) }
sub path    { return $_[0]{from}{path}->($_[0]{model}, $_[1]) }

sub question {
    my ($self, %o) = @_;
    my $is_stream = delete $o{stream};
    my $q = $self->{from}{question}->($self->{model}, $is_stream);

    for my $name (sort keys %o) {
        $q->{$name} = $o{$name};
    }
    return $q;
}

# Thinking is shown to clients of messages only when they ask for it.
sub thinking {
    my ($self) = @_;

    return $self->{client} ne 'messages' ? () : (max_tokens => 4096,
        thinking => ordered(type => 'enabled', budget_tokens => 1024));
}

# Members that declare a tool of this name, where the client has them.
sub tool {
    my ($self, $name) = @_;

    return $self->{from}{tool} ? $self->{from}{tool}->($name) : ();
}

# Members that ask for the usage of a stream.
sub usage_asked { return @{$_[0]{from}{usage_asked} || []} }

sub stream {
    my ($self, $t, %o) = @_;
    my %http = %{delete $o{http} || {}};

    return $t->stream($self->path(1), $self->question(%o, stream => 1), %http);
}

sub post {
    my ($self, $t, %o) = @_;
    my %http = %{delete $o{http} || {}};

    return $t->post($self->path(0), $self->question(%o), %http);
}

# What the client reads

sub check       { return $_[0]{from}{check}->($_[1]) }
sub assemble    { return $_[0]{from}{assemble}->($_[1]) }
sub read_answer { return $_[0]{from}{read_answer}->($_[1]) }
sub is_error    { return $_[0]{from}{is_error}->($_[1]) }
sub error_event { return $_[0]{from}{error_event}->($_[1]) }
sub finish      { return $_[0]{from}{finish}[$_[1]] }

sub counts {
    my ($self, $all) = @_;

    return join ' ', map { $all->{usage}{$_} // 'none' } @{$self->{from}{usage}};
}

# A signature of Anthropic as the client gets it: others get whose it is as well.
sub signature { return ($_[0]{client} eq 'messages' ? '' : 'gw1.anthropic.') . $_[1] }

# What the provider sends

sub events { my ($self, %o) = @_; return $self->{to}{events}->(%o) }
sub answer { my ($self, %o) = @_; return $self->{to}{answer}->(%o) }
sub whole  { my ($self, %o) = @_; return json(200, $self->answer(%o)) }

sub streamed {
    my ($self, %o) = @_;
    my @options = @{delete $o{sse} || []};
    my $cut = delete $o{cut};
    my @events = $self->events(%o);

    @events = @events[0 .. $cut - 1] if defined $cut;
    return $self->stream_of(\@events, @options);
}

# These very events; options of sse() behind them.
sub stream_of {
    my ($self, $events, @options) = @_;

    push @options, headers => { 'Content-Type' => $self->{to}{type} } if $self->{to}{type};
    return sse(@$events, @options);
}

sub error {
    my ($self, $class, $text) = @_;
    my ($status, $body, $headers) = @{$self->{to}{error}->($class, $text)};

    return json($status, $body, $headers ? (headers => $headers) : ());
}

# True when the provider was asked for a stream, in its own way.
sub is_stream_asked {
    my ($self, $q) = @_;

    return 1 if $self->{to}{is_stream_default} && !exists $q->{json}{stream};
    return $q->{path} =~ /stream/i || $q->{json}{stream} ? 1 : 0;
}

# A stream that fails behind its first $n events; sse => [options of sse()].
sub failing {
    my ($self, $n, $class, $text, %o) = @_;
    my @options = @{delete $o{sse} || []};
    my @events = $self->events(%o);

    return $self->stream_of([@events[0 .. $n - 1], $self->{to}{frame}->($class, $text)],
        @options);
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
