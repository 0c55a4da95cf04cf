# Case 15: an error inside a stream, or in the body of an answer with status 200, before any
# content: its type and code decide the status that the client gets and whether another
# deployment is asked.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

my @kinds = qw(chat messages responses);
my @pairs = map { my $client = $_; map { LLM::Pair->new($client, $_) } @kinds } @kinds;
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => join '', map { <<"END" } @kinds));
    llm_model $_-twice {
        deployment $_/the-first-deployment;
        deployment $_/the-second-deployment order=2;
    }
END
$t->start;

# What the provider says; status for a client of OpenAI's dialects, for a messages client; asked
# elsewhere?
my %errors = (
    messages => [
        [{ type => 'overloaded_error' }, 503, 529, 1],
        [{ type => 'rate_limit_error' }, 429, 429, 1],
        [{ type => 'api_error' }, 502, 500, 1],
        [{ type => 'timeout_error' }, 504, 504, 1],
        [{ type => 'authentication_error' }, 401, 401, 1],
        [{ type => 'permission_error' }, 403, 403, 1],
        [{ type => 'not_found_error' }, 404, 404, 1],
        [{ type => 'billing_error' }, 429, 402, 1],
        [{ type => 'invalid_request_error' }, 400, 400, 0],
        [{ type => 'request_too_large' }, 413, 413, 0],
        [{ type => 'invalid_request_error', message => 'prompt is too long: 9 > 8' },
            400, 400, 0],
    ],
    responses => [
        [{ code => 'server_error' }, 502, 500, 1],
        [{ code => 'timeout' }, 504, 504, 1],
        [{ code => 'rate_limit_exceeded' }, 429, 429, 1],
        [{ code => 'overloaded' }, 503, 529, 1],
        [{ code => 'insufficient_quota' }, 429, 402, 1],
        [{ code => 'vector_store_timeout' }, 504, 504, 1],
        [{ code => 'invalid_prompt' }, 400, 400, 0],
        [{ code => 'image_parse_error' }, 400, 400, 0],
        [{ code => 'bio_policy' }, 400, 400, 0],
        [{ code => 'context_length_exceeded' }, 400, 400, 0],
    ],
    chat => [
        [{ type => 'server_error', code => undef }, 502, 500, 1],
        [{ type => 'server_error', code => 'timeout' }, 504, 504, 1],
        [{ type => 'invalid_request_error', code => 'rate_limit_exceeded' }, 429, 429, 1],
        [{ type => 'invalid_request_error', code => 'timeout' }, 504, 504, 1],
        [{ type => 'server_error', code => 'overloaded' }, 503, 529, 1],
        [{ type => 'upstream_error', code => 'insufficient_quota' }, 429, 402, 1],
        [{ code => 503 }, 503, 529, 1],
        [{ code => '529' }, 503, 529, 1],
        [{ code => 429 }, 429, 429, 1],
        [{ type => 'rate_limit_error', code => undef }, 429, 429, 1],
        [{ type => 'invalid_request_error', code => undef }, 400, 400, 0],
        [{ code => 'tool_use_failed', status_code => 400 }, 400, 400, 0],
        [{ type => 'invalid_request_error', code => 'context_length_exceeded' }, 400, 400, 0],
    ],
);

sub told {
    my ($say) = @_;

    return join ' ', map { "$_=" . ($say->{$_} // 'null') } sort keys %$say;
}

# The forms in which a provider may put it: the one for a stream, and the one for a body.
sub forms {
    my ($pair, $say) = @_;
    my $error = { message => 'No.', %$say };
    return forms_of_responses($pair, $error) if $pair->{provider} eq 'responses';
    my $body = $pair->{provider} eq 'chat' ? { error => $error }
        : { type => 'error', error => $error };
    my @lifecycle = ($pair->events)[0];

    return (
        ['stream', 1, sse(@lifecycle, $pair->{provider} eq 'chat' ? $body : ['error', $body])],
        ['stream, alone', 1, sse(['error', $body])],
        ['body to a stream', 1, json(200, $body)],
        ['whole', 0, json(200, $body)],
    );
}

sub forms_of_responses {
    my ($pair, $error) = @_;
    my $failed = { %{$pair->answer}, status => 'failed', error => $error, output => [] };
    my @lifecycle = ($pair->events)[0 .. 1];

    return (
        ['stream, an error event', 1, sse(@lifecycle, ['error', { type => 'error', %$error,
            param => undef, sequence_number => 2 }])],
        ['stream, response.failed', 1, sse(@lifecycle, ['response.failed', {
            type => 'response.failed', response => $failed, sequence_number => 2 }])],
        ['body to a stream', 1, json(200, { error => $error })],
        ['whole, failed', 0, json(200, $failed)],
        ['whole', 0, json(200, { error => $error })],
    );
}

sub request {
    my ($pair, $streams) = @_;

    return $pair->post($t, model => "$pair->{provider}-twice",
        $streams ? (stream => JSON::PP::true()) : ());
}

for my $pair (@pairs) {
    subtest "case 15: $pair->{name}" => sub {
        for my $row (@{$errors{$pair->{provider}}}) {
            my ($say, $chat_status, $messages_status, $elsewhere) = @$row;
            my $status = $pair->{client} eq 'messages' ? $messages_status : $chat_status;
            for my $form (forms($pair, $say)) {
                my ($name, $streams, $answer) = @$form;
                my $what = told($say) . ", $name";
                $p->clear;
                $p->script($answer);
                my $r = request($pair, $streams);
                is($r->{status}, $status, "$what: status");
                ok($pair->is_error($r->{json}), "$what: an error of the dialect")
                    or diag $r->{body};
                # Clients of messages look for these words when the prompt does not fit.
                my $words = $say->{message} // 'No.';
                $words = "prompt is too long: $words" if $pair->{client} eq 'messages'
                    && ($say->{code} // '') eq 'context_length_exceeded';
                is(($r->{json} || {})->{error}{message}, $words, "$what: the provider's words");
                is($p->request_count, $elsewhere ? 2 : 1, "$what: deployments asked");
            }
        }
    };
}

subtest 'errors in other places of a chat stream' => sub {
    my %forms = (
        'in the choice' => { id => 'x', object => 'chat.completion.chunk', created => 1,
            model => 'm', choices => [{ index => 0, delta => { content => '' },
                finish_reason => 'error', error => { code => 429, message => 'Slow down' } }] },
        'as text' => { error => 'Slow down' },
        'with empty choices' => { id => 'x', choices => [],
            error => { code => 429, message => 'Slow down' } },
        'in an array' => [{ error => { code => 429, message => 'Slow down' } }],
    );

    for my $pair (grep { $_->{provider} eq 'chat' } LLM::Pair->all) {
        for my $form (sort keys %forms) {
            for my $after ([], ['[DONE]']) {
                my $what = "$pair->{name}, $form" . (@$after ? ', then [DONE]' : '');
                $p->clear;
                # The first element must be no reference: a list of events would be meant.
                $p->script([sse(($pair->events)[0], raw('data: '
                    . LLM::Json::encode_json_o($forms{$form}) . "\n\n"), @$after),
                    sse($pair->events(text => 'of the second'))]);
                my @events = $pair->stream($t, model => "$pair->{provider}-twice")->all_events;
                is($pair->assemble(\@events)->{text}, 'of the second', "$what: goes elsewhere");
                is_deeply([$pair->check(\@events)], [], "$what: grammar");
                is($p->request_count, 2, "$what: deployments asked");
            }
        }
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
