# Answers that a provider keeps, below llm_pass models: clients know them by names that tell where
# they are kept, so that what is said next, and what reads or deletes them, finds the same deployment.
# Case 48: what belongs to one account is never sent to another.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $one = LLM::Provider->new(dir => $t->dir);
my $two = LLM::Provider->new(dir => $t->dir);
my ($url_one, $url_two) = ($one->url, $two->url);

$t->http_conf(<<"END");
    llm_provider one { preset openai; base_url $url_one/v1; api_key sk-one; }
    llm_provider two { preset openai; base_url $url_two/v1; api_key sk-two; }
    llm_provider chat { dialect openai; base_url $url_one/chat; api_key sk-chat; }
    llm_model gpt { deployment one/gpt-5; deployment two/gpt-5; }
    llm_model mini { deployment two/gpt-5-mini; }
    llm_model stateless { deployment chat/gpt-4o; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

my $pair = LLM::Pair->new('responses', 'responses');
my %of = (one => $one, two => $two);

sub body {
    my ($id, %o) = @_;
    return { %{$pair->answer(text => 'Well')}, id => $id, %o };
}

# The deployment that answered, and the client's name of the answer.
sub ask {
    my (%o) = @_;
    my $r = $t->post('/v1/responses', { model => 'gpt', input => 'hi', %o });
    return ($r->{headers}{'x-llm-provider'}, $r->{json}{id}, $r);
}

$one->on('/v1/responses' => json(200, body('resp_abc')));
$two->on('/v1/responses' => json(200, body('resp_abc')));
my (%name, %seen);
for (1 .. 200) {
    my ($where, $id, $r) = ask();
    is($r->{status}, 200, 'asked') or last;
    $name{$where} = $id;
    last if keys %name == 2;
}
like($name{$_}, qr/\Aresp_gw1_[0-9a-f]{32}_resp_abc\z/, "a name that tells of $_") for qw(one two);
isnt($name{one}, $name{two}, 'of one deployment each');

subtest 'the next turn goes where the last one is kept' => sub {
    for my $where (qw(one two)) {
        my $before = $of{$where}->request_count;
        for (1 .. 6) {
            my ($there, $id, $r) = ask(previous_response_id => $name{$where});
            is("$r->{status} $there", "200 $where", "to $where");
            is($of{$where}->last_request->{json}{previous_response_id}, 'resp_abc', 'by its name');
        }
        is($of{$where}->request_count, $before + 6, 'all of them');
    }
    my ($there) = ask(model => 'mini', previous_response_id => $name{two});
    is($there, 'two', 'another model of the same provider');
    my ($nowhere, $id, $r) = ask(model => 'mini', previous_response_id => $name{one});
    is("$r->{status} $r->{json}{error}{code} $r->{json}{error}{param}",
        '400 previous_response_not_found previous_response_id', 'but not of another provider');
    for my $wrong ($name{one} =~ s/_resp_abc/_resp_abd/r, $name{one} =~ s/gw1_(.)/'gw1_' . ($1 eq 'a' ? 'b' : 'a')/er)
    {
        ($nowhere, $id, $r) = ask(previous_response_id => $wrong);
        is("$r->{status} $r->{json}{error}{code}", '400 previous_response_not_found',
            'a name that nobody was given');
    }
    ($nowhere, $id, $r) = ask(model => 'stateless', previous_response_id => 'resp_raw');
    is("$r->{status} $r->{json}{error}{code}", '400 unsupported_parameter',
        'a provider that keeps nothing');
};

subtest 'read, listed, cancelled, deleted' => sub {
    my %before = map { $_ => $of{$_}->request_count } keys %of;
    for my $case (
        ['GET', '', '', body('resp_abc', previous_response_id => 'resp_before')],
        ['GET', '', '?include[]=x&key=secret', body('resp_abc')],
        ['GET', '/input_items', '?limit=2', { object => 'list', data => [{ id => 'msg_1' }] }],
        ['POST', '/cancel', '', body('resp_abc', status => 'cancelled')],
        ['DELETE', '', '', { id => 'resp_abc', object => 'response.deleted', deleted => \1 }],
    ) {
        my ($method, $rest, $query, $answer) = @$case;
        my $sent = $query =~ s/&key=secret//r;
        $two->on("/v1/responses/resp_abc$rest$sent" => json(200, $answer));
        my $r = $t->request($method, "/v1/responses/$name{two}$rest$query");
        is($r->{status}, 200, "$method $rest$query") or diag($r->{body});
        is($r->{json}{id}, exists $answer->{id} ? $name{two} : undef, 'by the client\'s name');
        my $q = $two->last_request;
        is("$q->{method} $q->{path} $q->{headers}{authorization}",
            "$method /v1/responses/resp_abc$rest$sent Bearer sk-two",
            'at its keeper');
        like($r->{json}{previous_response_id}, qr/\Aresp_gw1_\w+_resp_before\z/, 'both names')
            if $answer->{previous_response_id};
        is($r->{headers}{'x-llm-cost'}, undef, 'and not paid again');
    }
    is($one->request_count, $before{one}, 'nobody else was asked');
    for my $wrong ('resp_abc', 'resp_gw1_', $name{two} . 'x', 'resp_gw1_' . 'g' x 32 . '_resp_abc')
    {
        for my $method (qw(GET DELETE)) {
            my $r = $t->request($method, "/v1/responses/$wrong");
            is("$r->{status} $r->{json}{error}{type}", '404 invalid_request_error',
                "$method $wrong: there is no such response");
        }
    }
    for my $o (['POST', ''], ['GET', '/cancel'], ['DELETE', '/input_items']) {
        my $r = $t->request($o->[0], "/v1/responses/$name{two}$o->[1]",
            $o->[0] eq 'POST' ? (body => '{}') : ());
        is($r->{status}, 405, "$o->[0] $o->[1]");
    }
    is($t->get("/v1/responses/$name{two}/nosuch")->{status}, 404, 'another path');
};

subtest 'streams' => sub {
    my @events = $pair->events(text => 'Hello');
    $one->on('/v1/responses' => sse(@events));
    $two->on('/v1/responses' => sse(@events));
    my @got = $t->stream('/v1/responses', { model => 'gpt', input => 'hi', stream => \1 })->all_events;
    my @ids = map { $_->{json}{response} ? $_->{json}{response}{id} : () } @got;
    cmp_ok(scalar @ids, '>=', 2, 'events with the answer');
    is(scalar(grep { /\Aresp_gw1_/ && $_ eq $ids[0] } @ids), scalar @ids, 'all by one name');
    is_deeply([map { $_->{json}{type} } @got],
        [map { LLM::Json::decode_json((LLM::Provider::Script::sse_bytes($_) =~ /^data: (.*)$/m)[0])->{type} } @events],
        'the same events');
    my @kept = $t->stream('/v1/responses', { model => 'gpt', input => 'hi', stream => \1, store => \0 })
        ->all_events;
    my ($id) = map { $_->{json}{response} ? $_->{json}{response}{id} : () } @kept;
    unlike($id, qr/gw1/, 'what is not kept has the provider\'s own name');
    $two->on('/v1/responses/resp_abc?stream=true&starting_after=1' => sse(@events));
    my $r = $t->get("/v1/responses/$name{two}?stream=true&starting_after=1");
    is("$r->{status} $r->{headers}{'content-type'}", '200 text/event-stream; charset=utf-8',
        'a stream that is taken up again') or diag($r->{body});
    like($r->{body}, qr/"resp_gw1_/, 'by the client\'s name');
};

subtest 'a stream that breaks' => sub {
    my @events = $pair->events(text => join ' ', 1 .. 40);
    for my $n (5, 9) {
        $two->on('/v1/responses' => sse(@events[0 .. $n - 1], drop()));
        my @got = $t->stream('/v1/responses', { model => 'mini', input => 'hi', stream => \1 })
            ->all_events;
        is(scalar @got, $n + 1, "$n events and the end");
        is($got[-1]{json}{type}, 'error', 'which is an error');
        is($got[-1]{json}{sequence_number}, $n, 'numbered like those before it');
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
