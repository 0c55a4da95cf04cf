# Nothing reaches the client before the first content: until then a stream that fails means
# another deployment, or a true HTTP status.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p,
    models => join('', map { <<"END" } qw(chat messages)),
    llm_model $_-twice {
        deployment $_/the-first-deployment;
        deployment $_/the-second-deployment order=2;
    }
    llm_model $_-hasty {
        deployment $_/the-first-deployment first_token_timeout=500ms;
        deployment $_/the-second-deployment order=2;
    }
    llm_model $_-slow { deployment $_/the-first-deployment first_token_timeout=500ms; }
END
    server => 'location /short/ {
        llm_pass models; llm_timeout 300ms; access_log logs/llm.log pair; }'));
$t->start;

my $lines = 0;
my $is_true = JSON::PP::true();

# The events of an answer that come before its first content.
sub lifecycle {
    my ($pair) = @_;
    my @events = $pair->events(text => 'never seen', id => 'from-the-first');

    return @events[0 .. ($pair->{provider} eq 'chat' ? 0 : 2)];
}

# Sets what the two deployments answer.
sub deployments {
    my ($first, $second) = @_;

    $p->clear;
    $p->on({ body => qr/"model":"the-first-deployment"/ }, $first);
    $p->on({ body => qr/"model":"the-second-deployment"/ }, $second);
    return;
}

sub asked { return join ' ', map { $_->{json}{model} =~ /\Athe-(\w+)/ } $p->requests }

# What must be over 500 ms after the client began to ask is checked at each request, within wide
# bounds: a process of this test may be kept waiting. The best of them all must be within 100 ms.
my @waits;

sub in_time {
    my ($waited, $what) = @_;

    push @waits, $waited;
    cmp_ok($waited, '>=', 0.49, "$what: not before its time");
    cmp_ok($waited, '<=', slow(3), "$what: in time");
    return;
}

sub answered_by_second {
    my ($pair, $s, $what, $attempts) = @_;
    my @events = $s->all_events;
    my $seen = $pair->assemble(\@events);

    is($s->status, 200, "$what: status");
    is_deeply([$pair->check(\@events)], [], "$what: grammar");
    is($seen->{text}, 'of the second', "$what: the second deployment answers");
    unlike($s->body, qr/from-the-first|never seen/, "$what: and nothing of the first is seen");
    like($s->header('x-llm-deployment'), qr{/the-second-deployment(?:#\d)?\z}, "$what: deployment named");
    is($s->header('x-llm-attempts'), 2, "$what: attempts counted");
    is(asked(), 'first second', "$what: each was asked once");
    my $log = LLM::Pair::next_log($t, \$lines);
    is("$log->{outcome} $log->{attempts}", 'ok 2', "$what: log");
    return;
}

subtest 'case 2: lifecycle events are not the first byte' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        deployments(sse(lifecycle($pair), hold(),
            $pair->error_frame('overloaded_error', 'Overloaded'), stall => 1),
            sse($pair->events(text => 'of the second')));
        my $s = $pair->stream($t, model => "$pair->{provider}-twice");
        ok($p->wait_held, "$what: lifecycle events were sent");
        ok(!$s->status(0.05) && $s->timed_out, "$what: and are no answer");
        $p->release;
        answered_by_second($pair, $s, $what);
    }
};

subtest 'case 2: all fail: the client gets the real status' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        my $answer = sse(lifecycle($pair), $pair->error_frame('overloaded_error', 'Too busy'));
        deployments($answer, $answer);
        my $s = $pair->stream($t, model => "$pair->{provider}-twice");
        $s->read_body;
        my $r = $s->answer;
        is($r->{status}, $pair->{client} eq 'chat' ? 503 : 529, "$what: status");
        is($r->{headers}{'content-type'}, 'application/json', "$what: JSON, no stream");
        ok($pair->is_error($r->{json}), "$what: an error of the dialect") or diag $r->{body};
        is($r->{json}{error}{message}, 'Too busy', "$what: the provider's words");
        is(asked(), 'first second', "$what: each was asked once");
        is($r->{headers}{'x-llm-attempts'}, 2, "$what: attempts counted");
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'upstream_error', "$what: log");
        ok(LLM::Pair::wait_idle($t), "$what: nothing is in flight");
    }
};

subtest 'case 2: a stream that ends before its first content' => sub {
    for my $pair (LLM::Pair->all) {
        my %ways = (
            'cut' => sse(lifecycle($pair), drop()),
            'clean end' => sse(lifecycle($pair)),
            'reset' => sse(lifecycle($pair), rst()),
            'no event at all' => sse(),
            'comments only' => sse(raw(": hello\n\n"), raw(": hello\n\n")),
        );
        for my $way (sort keys %ways) {
            my $what = "$pair->{name}, $way";
            deployments($ways{$way}, sse($pair->events(text => 'of the second')));
            answered_by_second($pair, $pair->stream($t, model => "$pair->{provider}-twice"),
                $what);
            deployments($ways{$way}, $ways{$way});
            my $s = $pair->stream($t, model => "$pair->{provider}-twice");
            $s->read_body;
            like($s->status, qr/\A50[02]\z/, "$what, both: status");
            ok($pair->is_error($s->answer->{json}), "$what, both: error of the dialect")
                or diag $s->body;
            LLM::Pair::next_log($t, \$lines);
        }
    }
};

subtest 'case 3: a silent provider' => sub {
    for my $pair (LLM::Pair->all) {
        for my $streams (1, 0) {
            my $what = $pair->{name} . ($streams ? ', stream' : ', whole');
            deployments('silent', $streams ? sse($pair->events(text => 'of the second'))
                : json(200, $pair->answer(text => 'of the second')));
            my $began = time;
            my $model = "$pair->{provider}-hasty";
            if ($streams) {
                answered_by_second($pair, $pair->stream($t, model => $model), $what);
            } else {
                my $r = $pair->post($t, model => $model);
                is($pair->read_answer($r->{json} || {})->{text}, 'of the second', $what);
                is(asked(), 'first second', "$what: each was asked once");
                LLM::Pair::next_log($t, \$lines);
            }
            my ($first, $second) = $p->requests;
            in_time($second->{at} - $began, $what);
            ok($p->wait_closed($first), "$what: the silent connection is closed");

            deployments('silent', 'silent');
            $began = time;
            my $r = $pair->post($t, model => "$pair->{provider}-slow",
                $streams ? (stream => $is_true) : ());
            in_time(time - $began, "$what, all silent");
            is($r->{status}, 504, "$what: all silent");
            ok($pair->is_error($r->{json}), "$what: an error of the dialect");
            ok($p->wait_requests(1), "$what: asked");
            is(asked(), 'first', "$what: not asked again");
            is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'timeout', "$what: log");
        }
    }
    my ($best) = sort { $a <=> $b } splice @waits;
    cmp_ok($best, '<=', 0.5 + slow(0.1), 'within 100 ms of its time');
};

subtest 'case 4: a slow first token' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        my @slow = (lifecycle($pair), (raw(": still thinking\n\n")) x 60);
        deployments(sse(@slow, gap => 0.1, stall => 1), sse($pair->events(text => 'of the second')));
        my $began = time;
        answered_by_second($pair, $pair->stream($t, model => "$pair->{provider}-hasty"), $what);
        my ($first, $second) = $p->requests;
        in_time($second->{at} - $began, "$what: events without content do not prolong it");
        ok($p->wait_closed($first), "$what: the slow connection is closed");
    }
    my ($best) = sort { $a <=> $b } splice @waits;
    cmp_ok($best, '<=', 0.5 + slow(0.1), 'within 100 ms of its time');
};

# Somebody pays for an image: it must not be asked for twice.
subtest 'case 4: an image is content' => sub {
    my $url = 'data:image/png;base64,QUJD';
    my $image = { id => 'c', object => 'chat.completion.chunk', created => 1, model => 'm',
        choices => [{ index => 0, finish_reason => undef, delta => { role => 'assistant',
            content => '', images => [{ type => 'image_url', image_url => { url => $url } }] } }] };
    my $end = { %$image, choices => [{ index => 0, delta => {}, finish_reason => 'stop' }] };
    my %ask = (
        '/v1/chat/completions' => { model => 'chat-twice', stream => $is_true,
            messages => [{ role => 'user', content => 'draw' }] },
        '/v1beta/models/chat-twice:streamGenerateContent?alt=sse' =>
            { contents => [{ role => 'user', parts => [{ text => 'draw' }] }] },
    );
    for my $path (sort keys %ask) {
        deployments(sse($image, hold(), $end, raw("data: [DONE]\n\n")), 'silent');
        my $s = $t->stream($path, $ask{$path});
        my $seen = '';
        while ($seen !~ /QUJD/ && defined(my $event = $s->next_data)) { $seen .= $event->{data} }
        like($seen, qr/QUJD/, "$path: it is there while the provider goes on");
        $p->release;
        $s->read_body;
        is($s->header('x-llm-attempts'), 1, "$path: one attempt");
        is(asked(), 'first', "$path: asked once");
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'ok', "$path: log");
    }
};

subtest 'llm_timeout bounds the call with all its attempts' => sub {
    for my $pair (LLM::Pair->all) {
        my $what = $pair->{name};
        deployments('silent', sse($pair->events(text => 'of the second')));
        my $began = time;
        my $r = $t->post('/short' . $pair->path, $pair->question(stream => $is_true,
            model => "$pair->{provider}-hasty"));
        push @waits, time - $began;
        cmp_ok($waits[-1], '<=', slow(3), "$what: in time");
        is($r->{status}, 504, "$what: status");
        ok($pair->is_error($r->{json}), "$what: an error of the dialect");
        ok($p->wait_requests(1), "$what: asked");
        is(asked(), 'first', "$what: there was no time for another");
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'timeout', "$what: log");
        ok($p->wait_closed($p->last_request), "$what: connection closed");
    }
    my ($best) = sort { $a <=> $b } splice @waits;
    cmp_ok($best, '<=', 0.3 + slow(0.1), 'within 100 ms of its time');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
