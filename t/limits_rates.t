# Requests and tokens in a minute: what is refused, what the caller reads, and what is counted.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;
use LLM::Pair;
use LLM::Provider;
use Time::HiRes qw(time);

LLM::Limits->each_store(sub {
    my ($store) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf($store->conf . LLM::Pair::conf($p, http => "
            log_format limit '\$llm_limit_status';",
        models => 'llm_model small { deployment messages/claude-a rpm=2 order=1 id=first;
                deployment messages/claude-b order=2 id=second; }
            llm_model tiny { deployment messages/claude-a rpm=1 id=only; }',
        server => '
            location /tokens/ { llm_pass models; llm_limit $arg_key tpm=10000; }
            location /out/ { llm_pass models; llm_limit $arg_key tpm=100 tokens=output; }
            location /both/ { llm_pass models; llm_limit $arg_a rpm=2; llm_limit $arg_b rpm=4; }
            location /free/ { llm_pass models; }
            location /paged/ { llm_pass models; llm_limit $arg_key rpm=1;
                error_page 502 503 504 /50x.html; }',
        location => 'llm_limit $arg_key rpm=3; access_log logs/limit.log limit;'));
    $t->start;
    my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;
    my ($same) = grep { $_->{name} eq 'messages to messages' } LLM::Pair->all;
    my $ask = sub {
        my ($prefix, $args, %o) = @_;
        my $by = delete $o{by} || $pair;
        return $t->post($prefix . $by->path(0) . "?$args", $by->question(%o));
    };
    $p->script($pair->whole(text => 'hi'));

    subtest 'requests in a minute' => sub {
        my @left;
        for (1 .. 3) {
            my $r = $ask->('', 'key=a');
            is($r->{status}, 200, "number $_");
            push @left, $r->{headers}{'x-ratelimit-remaining-requests'};
            is($r->{headers}{'x-ratelimit-limit-requests'}, 3, 'the limit');
        }
        is("@left", '2 1 0', 'what is left is told');
        my $r = $ask->('', 'key=a');
        is($r->{status}, 429, 'number 4');
        cmp_ok($r->{headers}{'retry-after'}, '>', 50, 'the first one leaves in a minute');
        cmp_ok($r->{headers}{'retry-after'}, '<=', 60, 'and not later');
        like($r->{headers}{'x-ratelimit-reset-requests'}, qr/^(?:1m0s|5\d(?:\.\d+)?s)$/, 'reset');
        is($r->{headers}{'x-ratelimit-remaining-requests'}, 0, 'nothing is left');
        is($r->{json}{error}{code}, 'rate_limit_exceeded', 'code');
        like($r->{json}{error}{message}, qr/3 requests in 60 seconds/, 'the limit by its numbers');
        my $m = $ask->('', 'key=a', by => $same);
        is($m->{json}{error}{type}, 'rate_limit_error', 'messages: its own words');
        is($m->{headers}{'anthropic-ratelimit-requests-limit'}, 3, 'and headers');
        like($m->{headers}{'anthropic-ratelimit-requests-reset'},
            qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'with a moment');
        is($p->request_count, 3, 'the provider saw three');
        is($ask->('', 'key=b')->{status}, 200, 'another value has its own');
        $ask->('/paged', 'key=p');
        $r = $ask->('/paged', 'key=p');
        is($r->{status}, 429, 'where nginx has error pages of its own');
        ok($r->{headers}{'retry-after'} > 50 && $r->{headers}{'x-ratelimit-limit-requests'},
            'the headers are there as well');
        $t->wait_for(sub { $t->slurp('logs/limit.log') =~ tr/\n// >= 6 }, 5, 'the log');
        is($t->slurp('logs/limit.log'), "passed\n" x 3 . "refused rpm\n" x 2 . "passed\n",
            '$llm_limit_status');
    };

    subtest 'case 21: refused by one limit, counted by none' => sub {
        is($ask->('/both', 'a=x&b=y')->{status}, 200, "number $_") for 1, 2;
        is($ask->('/both', 'a=x&b=y')->{status}, 429, 'the smaller one is reached') for 1 .. 5;
        is($ask->('/both', 'a=z&b=y')->{status}, 200, 'of the larger one two are left') for 1, 2;
        is($ask->('/both', 'a=u&b=y')->{status}, 429, 'and no third');
    };

    subtest 'case 19: what wants more than can be counted reserves all' => sub {
        my $most = 9_223_372_036_854_775_807;
        $p->clear;
        $p->script(json(200, $pair->answer(text => 'hi'), wait_for_release => 'head'));
        my $first = $t->stream('/tokens' . $pair->path(0) . '?key=most',
            $pair->question(max_tokens => $most));
        ok($p->wait_held(1), 'alone it is let in');
        for my $max_tokens (1, 5000, $most) {
            is($ask->('/tokens', 'key=most', max_tokens => $max_tokens)->{status}, 429,
                "it has reserved all there is: $max_tokens");
        }
        $p->release;
        is($first->status, 200, 'it is answered');
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
        $p->clear;
        $p->script($pair->whole(text => 'hi'));
        my $r = $ask->('/tokens', 'key=most', max_tokens => 100);
        is($r->{status}, 200, 'and what it has reserved is there again');
    };

    subtest 'case 19: each of several answers is reserved' => sub {
        my ($both) = grep { $_->{name} eq 'chat to chat' } LLM::Pair->all;
        $p->clear;
        $p->script(json(200, $both->answer(text => 'hi'), wait_for_release => 'head'));
        my $first = $t->stream('/tokens' . $both->path(0) . '?key=several',
            $both->question(max_tokens => 2400, n => 4));
        ok($p->wait_held(1), 'four of 2400');
        is($ask->('/tokens', 'key=several', max_tokens => 1000)->{status}, 429, 'leave no room');
        $p->release;
        is($first->status, 200, 'it is answered');
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
    };

    subtest 'case 19: tokens are reserved before they are used' => sub {
        $p->clear;
        $p->script(json(200, $pair->answer(text => 'hi', usage => { input_tokens => 100,
            output_tokens => 900 }), wait_for_release => 'head'));
        my @streams = map { $t->stream('/tokens' . $pair->path(0) . '?key=a',
            $pair->question(max_tokens => 960)) } 1 .. 100;
        ok($p->wait_held(1), 'some are with the provider');
        $t->wait_for(sub { LLM::Pair::in_flight($t) <= 10 && $p->request_count >= 9 }, 5, 'nine');
        $p->release(always => 1);
        my $passed = grep { $_->status == 200 } @streams;
        cmp_ok($passed, '<=', 10, 'of 100 requests of 1000 tokens at most ten pass');
        cmp_ok($passed, '>=', 9, 'and not many fewer');
        $_->close for @streams;
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
        my $r = $ask->('/tokens', 'key=b', max_tokens => 5000);
        is($r->{status}, 200, 'another one');
        is($r->{headers}{'x-ratelimit-limit-tokens'}, 10000, 'its limit');
        is($r->{headers}{'x-ratelimit-remaining-tokens'}, 9000,
            'what was not used of its reservation is left');
        $store->wait_settled;
        $r = $ask->('/tokens', 'key=b', max_tokens => 100);
        is($r->{headers}{'x-ratelimit-remaining-tokens'}, 8000, 'what was used is not');
    };

    subtest 'case 20: streams are counted though nobody asks for usage' => sub {
        $p->script(sse($pair->events(text => 'hi', usage => { input_tokens => 10,
            output_tokens => 150 })));
        my $s = $t->stream('/out' . $pair->path(1) . '?key=s',
            $pair->question(stream => 1, max_tokens => 50));
        is($s->status, 200, 'the first passes');
        $s->all_events;
        my $r = $ask->('/out', 'key=s', max_tokens => 50);
        is($r->{status}, 429, '150 output tokens are more than 100');
        like($r->{json}{error}{message}, qr/100 output tokens/, 'which is what it says');
    };

    subtest 'cases 22 and 24: what failed gives its tokens back' => sub {
        for my $answer ($pair->error('overloaded', 'x'), $pair->error('invalid_request', 'x'),
            accept_then_close())
        {
            $p->script($answer);
            $ask->('/tokens', 'key=f', max_tokens => 9000) for 1 .. 10;
        }
        $p->script($pair->whole(text => 'hi'));
        my $r = $ask->('/tokens', 'key=f', max_tokens => 100);
        is($r->{status}, 200, 'admitted at once');
        cmp_ok($r->{headers}{'x-ratelimit-remaining-tokens'}, '>', 9800, 'nothing was counted');
    };

    subtest 'deployments have limits of their own' => sub {
        my @served = map { $ask->('/free', '', model => 'small')->{headers}{'x-llm-deployment'} }
            1 .. 4;
        is("@served", 'first first second second', 'what is full is passed over');
        is($ask->('/free', '', model => 'tiny')->{status}, 200, 'the only one');
        my $r = $ask->('', 'key=tiny', model => 'tiny');
        is($r->{status}, 429, 'is full');
        like($r->{json}{error}{message}, qr/limit of deployment only/, 'says so');
        cmp_ok($r->{headers}{'retry-after'}, '>', 50, 'and until when');
        my $h = $r->{headers};
        is("$h->{'x-ratelimit-limit-requests'} $h->{'x-ratelimit-remaining-requests'}", '1 0',
            'the headers tell of it, not of the one that has room');
        like($h->{'x-ratelimit-reset-requests'}, qr/^(?:1m|5\d)/, 'and until when, too');
    };
    $t->done;
});
done_testing();
