# A provider that says itself that its answer ended with an error has failed: before anything was
# said the next deployment is asked, afterwards nobody takes it for a whole answer (gotcha G86).

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(access_log => 1);
my $p = LLM::Provider->new(dir => $t->dir);
my $q = LLM::Provider->new(dir => $t->dir);
$t->http_conf(<<"END");
    llm_provider first { dialect openai; base_url ${\$p->url}/v1; api_key k; }
    llm_provider next { dialect openai; base_url ${\$q->url}/v1; api_key k; }
    llm_model m { deployment first/a order=1; deployment next/b order=2; }
    llm_cooldown_time 0;
    log_format outcome '\$llm_outcome';
    access_log logs/outcome outcome;
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

sub whole {
    my ($reason, $text) = @_;

    return json(200, { id => 'c', object => 'chat.completion', created => 1, model => 'a',
        choices => [{ index => 0, finish_reason => $reason,
            message => { role => 'assistant', content => $text } }],
        usage => { prompt_tokens => 1, completion_tokens => 1, total_tokens => 2 } });
}

sub chunk {
    my ($delta, $reason) = @_;

    return { id => 'c', object => 'chat.completion.chunk', created => 1, model => 'a',
        choices => [{ index => 0, delta => $delta, finish_reason => $reason }] };
}

sub script {
    my ($provider, $answer) = @_;

    $_->clear for $provider == $p ? ($p, $q) : ();
    return $provider->script($answer);
}

my %path = (chat => '/v1/chat/completions', messages => '/v1/messages');

sub body_of {
    my ($client, $streams) = @_;

    return { model => 'm', max_tokens => 9, ($streams ? (stream => JSON::PP::true()) : ()),
        messages => [{ role => 'user', content => 'hi' }] };
}

sub ask { my ($client, $streams) = @_; return $t->post($path{$client}, body_of($client, $streams)) }

my $cut = 0;
for my $reason (qw(error insufficient_system_resource network_error)) {
    for my $client (sort keys %path) {
        for my $text ('', 'Half of') {
            script($p, whole($reason, $text));
            script($q, whole('stop', 'of the second'));
            my $r = ask($client, 0);
            is($r->{status}, 200, "$client, $reason after '$text': status");
            like($r->{body}, qr/of the second/, 'the next deployment has answered');
            unlike($r->{body}, qr/Half of|\Q$reason\E/, 'nothing of the first');
        }
        script($p, sse(chunk({ role => 'assistant', content => '' }), chunk({}, $reason), '[DONE]'));
        script($q, sse(chunk({ role => 'assistant', content => 'of the second' }), chunk({}, 'stop'),
            '[DONE]'));
        my $r = ask($client, 1);
        like($r->{body}, qr/of the second/, "$client, stream, $reason: the next deployment has answered");
        unlike($r->{body}, qr/\Q$reason\E/, 'nothing of the first');

        script($p, sse(chunk({ role => 'assistant', content => 'Half of' }), hold(), chunk({}, $reason),
            '[DONE]'));
        my $s = $t->stream($path{$client}, body_of($client, 1));
        is($s->status, 200, "$client, stream, $reason after a text");
        $p->release;
        my $body = $s->read_body;
        like($body, qr/Half of/, 'that was said');
        unlike($body, qr/"end_turn"|"finish_reason": ?"stop"|event: message_stop/,
            'it does not look whole');
        is($q->request_count, 0, 'nobody else is asked');
        $cut++;
        ok($t->wait_for(sub { $cut == grep { !/^ok/ } split /\n/, $t->slurp($t->dir . '/logs/outcome') }, 5,
            'the log to say so'), 'the log says so') or diag $t->slurp($t->dir . '/logs/outcome');
    }
}

for my $client (sort keys %path) {
    script($p, sse('[DONE]'));
    script($q, sse(chunk({ role => 'assistant', content => 'of the second' }), chunk({}, 'stop'),
        '[DONE]'));
    my $r = ask($client, 1);
    like($r->{body}, qr/of the second/, "$client: a stream that only ends is no answer");
}

$t->stop;
done_testing();
