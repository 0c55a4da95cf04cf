# A limit that runs out while a stream is under way: it finishes, or where the location says so it
# ends behind the event that was one too many, with an error in the client's dialect.

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

    $t->http_conf($store->conf . LLM::Pair::conf($p, provider => 'keepalive 0;',
        models => 'llm_model recovered { recover restart; deployment chat/first tpm=100000;
            deployment chat/second order=2 tpm=400; }
            llm_model pool { recover restart; cooldown_time 1h;
            deployment chat/third; deployment chat/fourth order=2; }',
        http => 'log_format cut "$llm_outcome $llm_limit_status";',
        server => 'location /cut/ { llm_pass models; llm_limit $arg_key tpm=200 tokens=output;
            llm_on_limit cut; access_log logs/cut.log cut; }',
        location => 'llm_limit $arg_key tpm=200 tokens=output;'));
    $t->start;
    my @words = map { 'twelve bytes' } 1 .. 100;    # 300 tokens at four bytes each

    my $n = 0;
    for my $pair (LLM::Pair->all) {
        my $counted = $pair->{provider} eq 'chat' ? { completion_tokens => 300 }
            : { output_tokens => 300 };
        $p->script(sse($pair->events(text => \@words, usage => $counted), gap => 0.001));
        my %q = (stream => 1, max_tokens => 50);
        $n++;
        my $s = $t->stream($pair->path(1) . "?key=f$n", $pair->question(%q));
        my @events = $s->all_events;
        ok(!$pair->error_event(\@events), "$pair->{name}: finishes");
        is(length $pair->assemble(\@events)->{text}, 1200, "$pair->{name}: with all its text");
        is($t->post($pair->path(0) . "?key=f$n", $pair->question)->{status}, 429,
            "$pair->{name}: what it used is counted");

        $s = $t->stream('/cut' . $pair->path(1) . "?key=c$n", $pair->question(%q));
        @events = $s->all_events;
        my $error = $pair->error_event(\@events);
        ok($error, "$pair->{name}: ends with an error");
        like(encode_json_c($error), qr/rate_limit/, "$pair->{name}: of its class");
        my $text = length $pair->assemble(\@events)->{text};
        cmp_ok($text, '>', 700, "$pair->{name}: not before the limit");
        cmp_ok($text, '<=', 1100, "$pair->{name}: but then");
        ok($p->wait_closed('all'), "$pair->{name}: the provider is left");
        $t->wait_for(sub { $t->slurp('logs/cut.log') =~ tr/\n// >= $n }, 5, 'a line');
    }
    is($t->slurp('logs/cut.log'), "cut cut\n" x $n, 'the log');

    subtest 'two streams at a time share what is left' => sub {
        my ($pair) = LLM::Pair->all;
        $p->script(sse($pair->events(text => \@words), gap => 0.002));
        my @s = map { $t->stream('/cut' . $pair->path(1) . '?key=two',
            $pair->question(stream => 1, max_tokens => 50)) } 1, 2;
        my @text = map { my @e = $_->all_events; $pair->assemble(\@e)->{text} } @s;
        # 200 tokens are 800 bytes; each may have one event more.
        cmp_ok(length("@text"), '<=', 800 + 3 * 12 * 2, 'no more than the limit and an event each');
        cmp_ok(length("@text"), '>=', 600, 'and not much less');
    };
    subtest 'a stream that breaks while it asks for more goes on within the next limit' => sub {
        my ($pair) = LLM::Pair->all;
        $p->clear;
        my @broken = $pair->events(text => ['twelve bytes' x 40, 'twelve bytes' x 10]);
        $p->on({ body => qr/"model":"first"/ }, sse(@broken[0 .. 2], drop()));
        $p->on({ body => qr/"model":"second"/ }, sse($pair->events(text => ['twelve bytes' x 40,
            map { 'twelve bytes' } 1 .. 200]), gap => 0.002));
        my $s = $t->stream('/cut' . $pair->path(1), $pair->question(stream => 1, max_tokens => 50,
            model => 'recovered'));
        my @events = $s->all_events;
        like(encode_json_c($pair->error_event(\@events) // {}), qr/rate_limit/,
            'it is cut where the second one has no more');
        my $text = length $pair->assemble(\@events)->{text};
        cmp_ok($text, '>', 600, 'not before the limit');
        cmp_ok($text, '<', 2000, 'but then');
    };

    subtest 'a limit that has run out is no failure of the provider' => sub {
        my ($pair) = LLM::Pair->all;
        $p->clear;
        $p->on({ body => qr/"model":"third"/ },
            sse($pair->events(text => \@words), gap => 0.001));
        $p->on({ body => qr/"model":"fourth"/ }, json(503, {}));
        my %q = (stream => 1, max_tokens => 50, model => 'pool');
        my $s = $t->stream('/cut' . $pair->path(1) . '?key=own', $pair->question(%q));
        my @events = $s->all_events;
        like(encode_json_c($pair->error_event(\@events) // {}), qr/rate_limit/, 'the stream is cut');
        my $asked = grep { $_->{body} =~ /"model":"fourth"/ } $p->requests;
        is($asked, 0, 'nobody else is asked to go on');
        $s = $t->stream($pair->path(1) . '?key=other', $pair->question(%q));
        is($s->headers->{'x-llm-deployment'}, 'chat/third', 'and the deployment does not cool');
        $s->all_events;
    };
    $t->done;
});
done_testing();
