# llm_log_content: what was asked and answered, in a log of its own, bounded and without keys; off,
# there is nothing anywhere.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Pair;
use LLM::Json qw(try_json);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $secret = 'provider-secret-0123456789';
my $client = 'client-secret-0123456789';

$t->http_conf(LLM::Pair::conf($p, provider => "api_key $secret;", server => '
    location /logged/ { llm_pass models; llm_log_content logs/content.log; }
    location /short/ { llm_pass models; llm_log_content logs/content.log max=100; }
    location /silent/ { llm_pass models; llm_log_content off; }'));
$t->start;

my $seen = 0;

sub entry {
    my @lines;

    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/content.log'); @lines > $seen }, 5,
        'a line of the log') or return {};
    my $entry = try_json($lines[$seen++]);
    is(ref $entry, 'HASH', 'a line of JSON');
    return $entry || {};
}

sub ask {
    my ($path, $text, %o) = @_;

    return $t->post("$path/v1/chat/completions", { model => 'on-chat', %o,
        messages => [{ role => 'user', content => $text }] },
        headers => [Authorization => "Bearer $client"]);
}

subtest 'a whole answer' => sub {
    $p->script(json(200, chat_answer(text => 'the answer')));
    my $r = ask('/logged', "a \"question\" \x{263a}");
    my $e = entry();
    utf8::encode(my $request = $e->{request});
    is(try_json($request)->{messages}[0]{content}, "a \"question\" \x{263a}", 'request');
    is($e->{answer}, $r->{body}, 'answer, as the client got it');
    is($e->{answer_bytes}, length $r->{body}, 'its size');
    is("$e->{id} $e->{model} $e->{outcome}", "$r->{headers}{'x-llm-request-id'} on-chat ok", 'whose');
};

subtest 'a stream' => sub {
    $p->script(sse(chat_stream(text => ['one ', 'two'])));
    my $r = ask('/logged', 'hi', stream => JSON::PP::true());
    is(entry()->{answer}, $r->{body}, 'all of it');
};

subtest 'keys are taken out' => sub {
    my @keys = ($client, $secret, 'sk-ant-REDACTME0123456789', 'AIza' . 'B' x 35,
        'AKIA' . 'C' x 16);
    $p->script(json(200, chat_answer(text => "yours is $keys[2] or $keys[1]")));
    ask('/logged', "mine are @keys and sk-short");
    my $e = entry();
    unlike("$e->{request}$e->{answer}", qr/\Q$_\E/, "not $_") for @keys;
    like($e->{request}, qr/mine are \[key\] \[key\] \[key\] \[key\] \[key\] and sk-short/, 'but said');
};

subtest 'it is bounded' => sub {
    $p->script(json(200, chat_answer(text => 'y' x 5000)));
    ask('/short', 'x' x 5000);
    my $e = entry();
    is(length $e->{request}, 100, 'request');
    is(length $e->{answer}, 100, 'answer');
    cmp_ok($e->{request_bytes}, '>', 5000, 'the size tells');
};

subtest 'what fails' => sub {
    $p->script(json(500, {}));
    ask('/logged', 'hi');
    my $e = entry();
    is($e->{outcome}, 'upstream_error', 'is there, too');
    like($e->{answer}, qr/"error"/, 'with the reply');
};

subtest 'off' => sub {
    $p->script(json(200, chat_answer(text => 'ANSWER7301')));
    ask($_, 'PROMPT7301') for '/silent', '';
    ask('/logged', 'the last');
    like(entry()->{request}, qr/the last/, 'not in this log');
    for my $file (glob $t->dir . '/logs/*') {
        next if $file =~ /content\.log/;
        unlike($t->slurp($file), qr/PROMPT7301|ANSWER7301/, "nor in $file");
    }
};

$t->done;
