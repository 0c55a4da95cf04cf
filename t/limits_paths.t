# Case 26: every path that reaches a provider meets the same limits.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new;
    my $p = LLM::Provider->new(dir => $t->dir);
    my $master = 'sk-master-0123456789abcdef';
    my $serial = 0;
    my @keys = map { "sk-path-$_-0123456789abcdef" } 1 .. 12;

    $t->http_conf($store->conf . "llm_master_key $master;\n"
        . join('', map { "llm_key $_ { rpm 1; }\n" } @keys)
        . LLM::Pair::conf($p, server => '
            location /provider/ { llm_pass messages; }
            location /openai/ { llm_pass chat; }'));
    $t->start;
    $p->script(json(200, messages_answer(text => 'hi')));
    $p->on('/v1/chat/completions' => json(200, chat_answer(text => 'hi')));
    $p->on('/v1/messages/count_tokens' => json(200, { input_tokens => 3 }));

    my $message = { model => 'on-messages', max_tokens => 5,
        messages => [{ role => 'user', content => 'x' }] };
    my $direct = { %$message, model => 'claude-sonnet-4-5' };
    my @paths = (
        ['chat', '/v1/chat/completions', $message],
        ['messages', '/v1/messages', $message],
        ['responses', '/v1/responses', { model => 'on-messages', input => 'x' }],
        ['Gemini', '/v1beta/models/on-messages:generateContent',
            { contents => [{ role => 'user', parts => [{ text => 'x' }] }] }],
        ['completions', '/v1/completions', { model => 'on-chat', prompt => 'x' }],
        ['count_tokens', '/v1/messages/count_tokens', $message],
        ['PROVIDER/MODEL', '/v1/chat/completions', { %$message, model => 'messages/claude-x' }],
        ['a provider\'s location', '/provider/v1/messages', $direct],
        ['in another dialect', '/provider/v1/chat/completions', $direct],
        ['count_tokens, forwarded', '/provider/v1/messages/count_tokens', $direct],
        ['forwarded unread', '/openai/v1/embeddings', { model => 'e', input => 'x' }],
    );
    for my $row (@paths) {
        my ($name, $path, $body) = @$row;
        my $key = shift @keys;
        my $ask = sub {
            return $t->post($path, $body, headers => { Authorization => "Bearer $_[0]" });
        };
        my $r = $ask->($key);
        is($r->{status}, 200, "$name: the first") or diag($r->{body});
        my $before = $p->request_count;
        $r = $ask->($key);
        is($r->{status}, 429, "$name: the second is refused");
        is($p->request_count, $before, "$name: the provider does not see it");
        like($r->{body}, qr/limit of key is reached: 1 requests/, "$name: a reason");
        is($ask->($master)->{status}, 200, "$name: the master key is not limited") for 1, 2;
    }
    my $list = $t->get('/v1/models', headers => { Authorization => "Bearer $keys[0]" });
    is($list->{status}, 200, 'what reaches no provider is not counted') for 1, 2;
    $t->done;
});
done_testing();
