# What only some of OpenAI's speakers have, for clients of other dialects: OpenRouter's
# reasoning_details come back to it whole (failure case 38), free text tools reach and leave clients
# of both of OpenAI's dialects as free text, while it is said.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider openrouter { base_url $url/api/v1; api_key k; dialect openai; }
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider anthropic { base_url $url/v1; api_key k; }
    llm_model router { deployment openrouter/anthropic/claude-haiku-4.5; }
    llm_model chat { deployment chat/m; }
    llm_model claude { deployment anthropic/claude-sonnet-4-5; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

my @details = (
    { type => 'reasoning.text', text => 'Hm.', format => 'anthropic-claude-v1', index => 0,
        signature => 'S+/=' },
    { type => 'reasoning.encrypted', data => 'D==', id => 'rs_1', index => 1 },
);
my @question = ({ role => 'user', content => 'hi' });
my @ask = (max_tokens => 3000, thinking => { type => 'enabled', budget_tokens => 1024 });

# As recorded: the text in two members, its signature later.
sub details_stream {
    my @events = chat_stream(text => 'Four.');
    my $chunk = sub {
        my (%delta) = @_;
        return { id => 'c', object => 'chat.completion.chunk', model => 'm', choices => [{ index => 0,
            delta => { content => '', %delta }, finish_reason => undef }] };
    };
    my ($text, $hidden) = @details;
    my %common = map { $_ => $text->{$_} } qw(type format index);
    splice @events, 1, 0,
        $chunk->(reasoning => 'H', reasoning_details => [{ %common, text => 'H' }]),
        $chunk->(reasoning => 'm.', reasoning_details => [{ %common, text => 'm.' }]),
        $chunk->(reasoning_details => [{ %common, signature => $text->{signature} }]),
        $chunk->(reasoning_details => [$hidden]);
    return @events;
}

# The content of a messages stream, as a client puts it together.
sub content_of {
    my ($s) = @_;
    my @content;

    for my $event (grep { defined } map { $_->{json} } $s->all_events) {
        my $delta = $event->{delta} || {};
        push @content, { %{$event->{content_block}} } if $event->{type} eq 'content_block_start';
        for my $member (qw(text thinking signature)) {
            $content[-1]{$member} .= $delta->{$member} if defined $delta->{$member};
        }
    }
    return \@content;
}

subtest 'case 38: details come back to their provider, and to nobody else' => sub {
    my $whole = chat_answer(text => 'Four.');
    @{$whole->{choices}[0]{message}}{qw(reasoning reasoning_details)} = ('Hm.', \@details);
    $p->script(json(200, $whole));
    my $r = $t->post('/v1/messages', { model => 'router', messages => \@question, @ask });
    is($r->{status}, 200, 'status') or diag($r->{body});
    $p->script(sse(details_stream()));
    my $s = $t->stream('/v1/messages',
        { model => 'router', messages => \@question, @ask, stream => JSON::PP::true() });
    my %content = (whole => $r->{json}{content}, stream => content_of($s));

    for my $how (sort keys %content) {
        is(join(' ', map { $_->{type} } @{$content{$how}}), 'thinking redacted_thinking text',
            "$how: what the client has");
        my @next = (@ask, messages => [@question,
            { role => 'assistant', content => $content{$how} }, { role => 'user', content => 'so?' }]);
        $p->script(json(200, chat_answer(text => 'x')));
        $t->post('/v1/messages', { model => 'router', @next });
        is_deeply($p->last_request->{json}{messages}[1]{reasoning_details}, \@details,
            "$how: back as they were given");
        $p->script(json(200, chat_answer(text => 'x')));
        $t->post('/v1/messages', { model => 'chat', @next });
        unlike($p->last_request->{body}, qr{S\+|D==|gw1|reasoning_details}, "$how: none for another");
        $p->script(json(200, messages_answer(text => 'x')));
        my $other = $t->post('/v1/messages', { model => 'claude', @next });
        is($other->{status}, 200, "$how: nor does it disturb Anthropic");
        unlike($p->last_request->{body}, qr{S\+|D==|gw1}, "$how: which gets none either");
    }
};

my $text = "*** Begin\n+\"caf\x{e9}\"";
my @tool = (tools => [{ type => 'custom', name => 'patch', description => 'Patches.' }]);

subtest 'gotcha 104: a free text tool of a Responses client at a provider without such' => sub {
    my @pieces = ('{"inp', 'ut": "*** Be', 'gin\\', 'n+\\"caf', "\x{e9}", '\\""}');
    for my $model ('chat', 'claude') {
        my %answer = (tools => [{ id => 'call_1', name => 'patch', args => \@pieces }]);
        my @script = $model eq 'chat' ? chat_stream(%answer) : messages_stream(%answer);
        $p->script(sse(@script));
        my $s = $t->stream('/v1/responses', { model => $model, input => 'hi', @tool,
            stream => JSON::PP::true() });
        my @events = map { $_->{json} } grep { $_->{json} } $s->all_events;
        my @deltas = map { $_->{delta} }
            grep { $_->{type} eq 'response.custom_tool_call_input.delta' } @events;
        cmp_ok(scalar @deltas, '>=', 3, "$model: in pieces");
        is(join('', @deltas), $text, "$model: the text");
        my ($item) = @{$events[-1]{response}{output}};
        is("$item->{type} $item->{name} $item->{input}", "custom_tool_call patch $text",
            "$model: the item");
        ok(!grep({ $_->{type} =~ /function_call/ } @events), "$model: and no function");
        my $sent = $p->last_request->{json}{tools}[0];
        is($sent->{type} || 'custom', $model eq 'chat' ? 'function' : 'custom', "$model: asked for");

        # The second round: the call and its result.
        $p->script(json(200, $model eq 'chat' ? chat_answer(text => 'Done.')
            : messages_answer(text => 'Done.')));
        my $r = $t->post('/v1/responses', { model => $model, @tool, input => [
            { role => 'user', content => 'hi' }, $item,
            { type => 'custom_tool_call_output', call_id => $item->{call_id}, output => 'ok' }] });
        is($r->{json}{output}[0]{content}[0]{text}, 'Done.', "$model: the second round")
            or diag($r->{body});
        my $turn = $p->last_request->{json}{messages}[1];
        my $input = $model eq 'chat'
            ? LLM::Json::try_json(do { my $x = $turn->{tool_calls}[0]{function}{arguments};
                utf8::encode($x); $x })
            : $turn->{content}[0]{input};
        is($input->{input}, $text, "$model: has the text in it");
    }
};

$t->done;
