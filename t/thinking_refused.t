# A provider that cannot read the reasoning of earlier turns (another account signed it, or it was
# cut on its way) is asked once more without any, whatever it has said first. Case 48, gotcha 59.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, forms => [LLM::Forms::providers()]));
$t->start;

# The refusal, then an answer: what were the two requests?
sub twice {
    my ($pair, $message, %o) = @_;
    my $before = $p->request_count;

    $p->script([json(400, { type => 'error', error => { type => 'invalid_request_error',
        code => 400, message => $message } }), $pair->whole(text => 'Well')]);
    my $r = $pair->post($t, %o);
    my @seen = ($p->requests)[$before .. $p->request_count - 1];
    return ($r, @seen);
}

my $signed = { type => 'thinking', thinking => 'Hm', signature => 'c2lnbmVk' };
my @calls = (
    { role => 'user', content => 'hi' },
    { role => 'assistant', content => [$signed, { type => 'redacted_thinking', data => 'eA==' },
        { type => 'tool_use', id => 'toolu_1', name => 'f', input => {} }] },
    { role => 'user', content => [{ type => 'tool_result', tool_use_id => 'toolu_1',
        content => 'x' }] },
);

subtest 'messages' => sub {
    my $pair = LLM::Pair->new('messages', 'messages');
    my @ask = (messages => \@calls, max_tokens => 2000,
        thinking => { type => 'enabled', budget_tokens => 1024 });
    my ($r, @seen) = twice($pair, 'messages.1.content.0: Invalid `signature` in `thinking` block',
        @ask);
    is("$r->{status} " . @seen, '200 2', 'answered, at the second attempt') or diag($r->{body});
    is_deeply($seen[0]{json}{messages}[1]{content}[0], $signed, 'first as it was sent');
    is_deeply([map { $_->{type} } @{$seen[1]{json}{messages}[1]{content}}], ['tool_use'],
        'then without thoughts');
    is($seen[1]{json}{thinking}{type}, 'disabled', 'and without the wish for new ones');
    is($r->{headers}{'x-llm-attempts'}, 2, 'both are told');
    ($r, @seen) = twice($pair, 'max_tokens: must be positive', @ask);
    is("$r->{status} " . @seen, '400 1', 'any other refusal is the client\'s');
    $p->script(json(400, { type => 'error', error => { type => 'invalid_request_error',
        message => 'Invalid `signature` in `thinking` block' } }));
    my $before = $p->request_count;
    is($pair->post($t, @ask)->{status}, 400, 'the same refusal again');
    is($p->request_count - $before, 2, 'is the end');
};

subtest 'gotcha 59: responses' => sub {
    my $pair = LLM::Pair->new('responses', 'responses');
    my ($r, @seen) = twice($pair, 'The encrypted content for item rs_1 could not be verified.',
        input => [{ role => 'user', content => 'hi' },
            { type => 'reasoning', id => 'rs_1', summary => [], encrypted_content => 'x+/=' },
            { role => 'assistant', content => 'Hm' }, { role => 'user', content => 'go on' }]);
    is("$r->{status} " . @seen, '200 2', 'answered') or diag($r->{body});
    is_deeply([map { $_->{type} // $_->{role} } @{$seen[0]{json}{input}}],
        [qw(user reasoning assistant user)], 'first as it was sent');
    is_deeply([map { $_->{type} // $_->{role} } @{$seen[1]{json}{input}}],
        [qw(user assistant user)], 'then without');
};

subtest 'translated' => sub {
    my $pair = LLM::Pair->new('chat', 'messages');
    my @history = ({ role => 'user', content => 'hi' },
        { role => 'assistant', content => 'Hm',
            thinking_blocks => [{ %$signed, signature => 'gw1.anthropic.c2lnbmVk' }] },
        { role => 'user', content => 'go on' });
    my ($r, @seen) = twice($pair, 'messages.1.content.0: Invalid `signature` in `thinking` block',
        messages => \@history, reasoning_effort => 'low');
    is("$r->{status} " . @seen, '200 2', 'answered') or diag($r->{body});
    like($seen[0]{body}, qr/c2lnbmVk/, 'first with the signature');
    unlike($seen[1]{body}, qr/c2lnbmVk|"type":"thinking","thinking"/, 'then without');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
