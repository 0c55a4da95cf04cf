# Case 58: a reload, or a new binary, in the middle of a hundred streams cuts none of them; new
# requests see the new configuration, and the counters go on.

use strict;
use warnings;
use LLM::Test;
use LLM::Port;
use LLM::Provider;
use LLM::Pair;

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my @pairs = LLM::Pair->all;
my $where = 'location = /count { default_type text/plain; return 200 $llm_in_flight; }';

sub conf {
    my (%o) = @_;

    return LLM::Pair::conf($p, server => $where, %o);
}

# Streams of all pairs, begun and held.
sub open_streams {
    my ($t, $n) = @_;
    my @streams;

    for my $pair (@pairs) {
        my $path = $pair->{provider} eq 'chat' ? '/v1/chat/completions' : '/v1/messages';
        $p->on($path => sse($pair->events(text => 'one two three four'),
            wait_for_release => [5, 6]));
    }
    for my $i (1 .. $n) {
        my $pair = $pairs[$i % @pairs];
        my $s = $pair->stream($t);
        my $first = $s->next_event or die 'no stream: ' . $s->body;
        push @streams, { pair => $pair, s => $s, events => [$first] };
    }
    return @streams;
}

# How many of them end as they should, with the whole text.
sub whole_ones {
    my (@streams) = @_;
    my $n = 0;

    # The second hold shows that events still come one by one.
    $p->wait_held(scalar @streams);
    $p->release;
    push @{$_->{events}}, $_->{s}->next_event // () for @streams;
    $p->wait_held(scalar @streams);
    $p->release;
    for my $one (@streams) {
        push @{$one->{events}}, $one->{s}->all_events;
        my @faults = $one->{pair}->check($one->{events});
        diag("$one->{pair}{name}: @faults") if @faults;
        $n++ if !@faults && $one->{pair}->assemble($one->{events})->{text} eq 'one two three four'
            && $one->{s}->clean_end;
        # nginx would linger for a client that stays.
        $one->{s}->close;
    }
    return $n;
}

sub old_workers_end {
    my ($t, $n) = @_;

    return $t->wait_for(sub { $t->worker_pids(all => 1) == $n }, 10, 'the end of old workers');
}

$t->http_conf(conf());
$t->start;

subtest 'case 58: a reload during 100 streams' => sub {
    my @streams = open_streams($t, 100);
    is($t->get('/count')->{body}, '100', 'a hundred are on');
    my %old = map { $_ => 1 } $t->worker_pids;
    $t->http_conf(conf(models => 'llm_model new-name { deployment chat/new; alias newer; }
        llm_provider third { dialect openai; base_url ' . $p->url . '/third; api_key sk-third; }'));
    ok($t->reload, 'reload');
    ok(!grep({ $old{$_} } $t->worker_pids), 'new workers');
    is($t->get('/count')->{body}, '100', 'the streams of the old ones are still counted');
    my $json = $t->get('/health/readiness')->{json};
    my %by_id = map { $_->{id} => $_->{in_flight} } @{$json->{deployments}};
    is("$json->{in_flight} $by_id{'chat/gpt-4o'} $by_id{'messages/claude-sonnet-4-5'} "
        . $by_id{'chat/new'}, '100 50 50 0', 'for each deployment, by its name');

    like($t->get('/v1/models')->{body}, qr/"new-name".*"newer"/, 'the new configuration is known');
    $p->on('/third/chat/completions' => json(200, chat_answer()));
    my $ask = { messages => [{ role => 'user', content => 'hi' }] };
    is($t->post('/v1/chat/completions', { %$ask, model => 'third/x' })->{status}, 200, 'and used');
    is($p->last_request->{headers}{authorization}, 'Bearer sk-third', 'with its keys');

    is(whole_ones(@streams), 100, 'all of them end whole');
    is($t->get('/count')->{body}, '0', 'and nothing is in flight');
    ok(old_workers_end($t, 2), 'the old workers are gone');
    $t->log_unlike(qr/\[(?:alert|crit)\]/, 'nothing bad in the log');
};

subtest 'reloads one after the other' => sub {
    my @streams;
    $t->http_conf(conf());
    for my $round (1 .. 4) {
        push @streams, open_streams($t, 10);
        ok($t->reload, "reload $round");
        is($t->get('/count')->{body}, 10 * $round, 'all are counted');
    }
    is(whole_ones(@streams), 40, 'streams of four generations end whole');
    is($t->get('/count')->{body}, '0', 'nothing is in flight');
    ok(old_workers_end($t, 2), 'one generation is left');
};

subtest 'a configuration that is wrong' => sub {
    my @streams = open_streams($t, 8);
    $t->http_conf(conf(models => 'llm_model broken { deployment nosuch/x; }'));
    ok(!$t->reload(may_fail => 1), 'is refused');
    $t->expect_log(qr/\[emerg\] .*unknown provider "nosuch".* in .*nginx\.conf:\d+/);
    is($t->get('/count')->{body}, '8', 'nothing is forgotten');
    is(whole_ones(@streams), 8, 'nothing is cut');
    $t->http_conf(conf());
};

subtest 'more deployments, fewer deployments' => sub {
    my @streams = open_streams($t, 8);
    my $many = join "\n", map { "llm_model many-$_ { deployment chat/many-$_; }" } 1 .. 200;
    $t->http_conf(conf(models => $many));
    ok($t->reload, 'two hundred more');
    my $json = $t->get('/health')->{json};
    is(scalar @{$json->{deployments}}, 202, 'are known');
    is($json->{in_flight}, 8, 'streams are counted');
    $t->http_conf(conf());
    ok($t->reload, 'and gone again');
    is($t->get('/health')->{json}{in_flight}, 8, 'streams are counted');
    is(whole_ones(@streams), 8, 'and end whole');
    is($t->get('/count')->{body}, '0', 'nothing is in flight');
};

subtest 'worker_shutdown_timeout' => sub {
    my $s = LLM::Test->new;
    $s->main_conf('worker_shutdown_timeout 300ms;');
    $s->http_conf(conf());
    $s->start;
    my @streams = open_streams($s, 4);
    my ($old) = $s->worker_pids;
    ok($s->reload, 'reload');
    ok($s->wait_for(sub { !LLM::Port::alive($old) }, 5, 'its end'), 'the old worker ends in time');
    for my $one (@streams) {
        push @{$one->{events}}, $one->{s}->all_events;
        ok($one->{s}->eof, 'the client is told');
        ok(!grep({ ($_->{data} // '') eq '[DONE]' || ($_->{event} // '') eq 'message_stop' }
            @{$one->{events}}), 'but not that this was all');
    }
    is($s->get('/count')->{body}, '0', 'nothing is in flight');
    $s->log_unlike(qr/open socket .* left in connection/, 'no connection was forgotten');
    $s->stop;
    $s->cleanup;
};

# Begins streams, starts a new binary, and looks that nothing is lost.
sub upgrade {
    my ($d, $n, $check) = @_;
    my @streams = open_streams($d, $n);
    my @old = ($d->{pid}, $d->worker_pids);
    my $trouble = $d->upgrade_binary(streams => 1);

    is($trouble, '', 'it takes over') or diag($d->log_tail);
    $check->() if $trouble eq '';
    is(whole_ones(@streams), $n, 'all streams end whole');
    ok($d->wait_for(sub { !grep { LLM::Port::alive($_) } @old }, 5, 'the end of the old'),
        'the old one is gone') if $trouble eq '';
    is($d->get('/count')->{body}, '0', 'nothing is in flight');
    $d->stop;
    $d->cleanup;
    return;
}

subtest 'case 58: a new binary' => sub {
    my $d = LLM::Test->new(daemon => 1, workers => 2);
    $d->http_conf(conf());
    $d->start;
    upgrade($d, 40, sub {
        is($d->get('/count')->{body}, '40', 'what the old one still serves is counted');
        $p->on('/v1/chat/completions' => json(200, chat_answer()));
        is($pairs[0]->post($d)->{status}, 200, 'the new one serves');
    });
};

subtest 'a new binary, keys of the environment' => sub {
    # nginx hands on only what `env` names: an operator who has named a key for us need not know.
    local $ENV{LLM_T_RELOAD_KEY} = 'sk-of-the-environment';
    my $d = LLM::Test->new(daemon => 1);
    $d->http_conf(conf(models => 'llm_provider env { dialect openai; base_url ' . $p->url
        . '/env; api_key env:LLM_T_RELOAD_KEY; }'));
    $d->start;
    $p->on('/env/chat/completions' => json(200, chat_answer()));
    upgrade($d, 4, sub {
        is($d->post('/v1/chat/completions', { model => 'env/x', messages => [{ role => 'user',
            content => 'hi' }] })->{status}, 200, 'the new one serves');
        is($p->last_request->{headers}{authorization}, 'Bearer sk-of-the-environment', 'the key');
    });
};

$t->done;
