# A limit that runs out while a stream is under way: it finishes, or where the location says so it
# ends behind the event that was one too many, with an error in the client's dialect.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;

# Events before the first word.
my %head = (chat => 1, messages => 3, responses => 4);

# The provider sends a word when the client has all those before it: what a busy machine lets pile
# up would come to the gateway as one piece, and that is given or cut as a whole.
sub word_by_word {
    my ($pair, $from) = @_;
    my $head = $head{$pair->{provider}};

    return (wait_for_release => [map { $head + $_ } ($from // 1) .. 100]);
}

# The events of streams whose provider sends word by word.
sub read_all {
    my ($t, $p, $pair, @streams) = @_;
    my @all = map { { stream => $_, events => [], length => 0 } } @streams;
    my @open = @all;

    while (@open) {
        @open = grep { has_more($pair, $_) } @open;
        # One that is cut behind these words is left by the gateway, and holds nothing any more.
        $t->wait_for(sub { $p->held >= @open || $p->open_connections < @open }, 5, 'the next word');
        $p->release(perhaps => 1);
    }
    return map { $_->{events} } @all;
}

sub has_more {
    my ($pair, $s) = @_;
    my $was = $s->{length};

    while (my $event = $s->{stream}->next_data) {
        push @{$s->{events}}, $event;
        return 0 if $pair->error_event([$event]);
        $s->{length} = length($pair->assemble($s->{events})->{text} // '');
        return 1 if $s->{length} > $was;
    }
    return 0;
}

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new;
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf($store->conf . LLM::Pair::conf($p, provider => 'keepalive 0;',
        models => 'llm_model recovered { recover restart; deployment chat/first tpm=100000;
            deployment chat/second order=2 tpm=400; }
            llm_model pool { recover restart; cooldown_time 1h;
            deployment chat/third; deployment chat/fourth order=2; }',
        http => 'log_format cut "$llm_outcome $llm_limit_status";
            log_format times "$llm_outcome $llm_upstream_time $llm_overhead_time";',
        server => 'location /cut/ { llm_pass models; llm_limit $arg_key tpm=200 tokens=output;
            llm_on_limit cut; access_log logs/cut.log cut; access_log logs/times.log times; }',
        location => 'llm_limit $arg_key tpm=200 tokens=output;'));
    $t->start;
    my @words = map { 'twelve bytes' } 1 .. 100;    # 300 tokens at four bytes each

    my $n = 0;
    for my $pair (LLM::Pair->all) {
        my $counted = $pair->{provider} eq 'chat' ? { completion_tokens => 300 }
            : { output_tokens => 300 };
        $p->script(sse($pair->events(text => \@words, usage => $counted), word_by_word($pair)));
        my %q = (stream => 1, max_tokens => 50);
        $n++;
        my $s = $t->stream($pair->path(1) . "?key=f$n", $pair->question(%q));
        my ($events) = read_all($t, $p, $pair, $s);
        ok(!$pair->error_event($events), "$pair->{name}: finishes");
        is(length $pair->assemble($events)->{text}, 1200, "$pair->{name}: with all its text");
        is($t->post($pair->path(0) . "?key=f$n", $pair->question)->{status}, 429,
            "$pair->{name}: what it used is counted");

        $s = $t->stream('/cut' . $pair->path(1) . "?key=c$n", $pair->question(%q));
        ($events) = read_all($t, $p, $pair, $s);
        my $error = $pair->error_event($events);
        ok($error, "$pair->{name}: ends with an error");
        like(encode_json_c($error), qr/rate_limit/, "$pair->{name}: of its class");
        my $text = length $pair->assemble($events)->{text};
        cmp_ok($text, '>', 760, "$pair->{name}: not before the limit");
        cmp_ok($text, '<=', 840, "$pair->{name}: but then");
        ok($p->wait_closed('all'), "$pair->{name}: the provider is left");
        $t->wait_for(sub { $t->slurp('logs/cut.log') =~ tr/\n// >= $n }, 5, 'a line');
    }
    is($t->slurp('logs/cut.log'), "cut cut\n" x $n, 'the log');

    subtest 'the time until then is that of the provider' => sub {
        my ($pair) = LLM::Pair->all;
        my $lines = $t->slurp('logs/times.log') =~ tr/\n//;
        $p->script(sse($pair->events(text => \@words), word_by_word($pair)));
        my $s = $t->stream('/cut' . $pair->path(1) . '?key=times', $pair->question(stream => 1,
            max_tokens => 50));
        $p->wait_held;
        LLM::Port::nap(0.4);  # so long it says nothing
        my ($events) = read_all($t, $p, $pair, $s);
        ok($pair->error_event($events), 'it is cut');
        $t->wait_for(sub { $t->slurp('logs/times.log') =~ tr/\n// > $lines }, 5, 'a line');
        my ($outcome, $upstream, $overhead) = split ' ', (split /\n/, $t->slurp('logs/times.log'))[-1];
        is($outcome, 'cut', 'a line of it');
        cmp_ok($upstream, '>=', 0.39, '$llm_upstream_time');
        cmp_ok($overhead, '<', 0.39, '$llm_overhead_time');
    };

    subtest 'two streams at a time share what is left' => sub {
        my ($pair) = LLM::Pair->all;
        $p->script(sse($pair->events(text => \@words), word_by_word($pair)));
        my @s = map { $t->stream('/cut' . $pair->path(1) . '?key=two',
            $pair->question(stream => 1, max_tokens => 50)) } 1, 2;
        my @text = map { $pair->assemble($_)->{text} } read_all($t, $p, $pair, @s);
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
            @words]), word_by_word($pair, 12)));    # the first said as much as its first 11
        my $s = $t->stream('/cut' . $pair->path(1), $pair->question(stream => 1, max_tokens => 50,
            model => 'recovered'));
        my ($events) = read_all($t, $p, $pair, $s);
        like(encode_json_c($pair->error_event($events) // {}), qr/rate_limit/,
            'it is cut where the second one has no more');
        my $text = length $pair->assemble($events)->{text};
        cmp_ok($text, '>', 600, 'not before the limit');
        cmp_ok($text, '<', 2000, 'but then');
    };

    subtest 'a limit that has run out is no failure of the provider' => sub {
        my ($pair) = LLM::Pair->all;
        $p->clear;
        $p->on({ body => qr/"model":"third"/ },
            sse($pair->events(text => \@words), word_by_word($pair)));
        $p->on({ body => qr/"model":"fourth"/ }, json(503, {}));
        my %q = (stream => 1, max_tokens => 50, model => 'pool');
        my $s = $t->stream('/cut' . $pair->path(1) . '?key=own', $pair->question(%q));
        my ($events) = read_all($t, $p, $pair, $s);
        like(encode_json_c($pair->error_event($events) // {}), qr/rate_limit/, 'the stream is cut');
        my $asked = grep { $_->{body} =~ /"model":"fourth"/ } $p->requests;
        is($asked, 0, 'nobody else is asked to go on');
        $s = $t->stream($pair->path(1) . '?key=other', $pair->question(%q));
        is($s->headers->{'x-llm-deployment'}, 'chat/third', 'and the deployment does not cool');
        $s->close;
    };
    $t->done;
});
done_testing();
