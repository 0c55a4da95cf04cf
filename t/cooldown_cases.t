# failure-cases.md 29, 30, 31 and 33: every client of chat, messages and Responses, of providers of
# each, streaming and not, with a second deployment of the same and of another dialect. What holds of
# cooling besides is in cooldown.t.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my @kinds = qw(chat messages responses);
my ($models, @rows) = ('');

for my $client (@kinds) {
    for my $d (@kinds) {
        for my $e ($d, $kinds[$d eq 'chat' ? 1 : 0]) {
            for my $how (qw(stream whole)) {
                my $id = "$client-$d-$e-$how";
                push @rows, { id => $id, is_stream => $how eq 'stream',
                    first => LLM::Pair->new($client, $d), second => LLM::Pair->new($client, $e) };
                $models .= "llm_model $_-$id {\n    deployment $d/first id=$_-1-$id;\n"
                    . "    deployment $e/second order=2 id=$_-2-$id; }\n" for qw(named outage late);
            }
        }
    }
}
$t->http_conf(LLM::Pair::conf($p, forms => \@kinds, models => $models, cooldown => '1s',
    server => 'location = /metrics { llm_metrics; }'));
$t->start;

sub answers {
    my ($first, $second) = @_;

    $p->clear->kick;
    $p->on({ body => qr/"model":"first"/ }, ref $first eq 'ARRAY' ? @$first : $first);
    $p->on({ body => qr/"model":"second"/ }, $second);
    return;
}

sub asked { return join ' ', map { $_->{json}{model} } $p->requests }

sub good {
    my ($row, $pair, $text) = @_;

    return $row->{is_stream} ? sse($pair->events(text => $text))
        : json(200, $pair->answer(text => $text));
}

sub ask {
    my ($row, $kind) = @_;
    my $pair = $row->{first};

    return $t->stream($pair->path($row->{is_stream}), $pair->question(
        model => "$kind-$row->{id}", $row->{is_stream} ? (stream => JSON::PP::true()) : ()));
}

# What the client sees: status, text or "error" in its dialect, attempts.
sub seen {
    my ($row, $s) = @_;
    my $pair = $row->{first};

    if ($row->{is_stream} && ($s->status // 0) == 200) {
        my @events = $s->all_events;
        return join ' ', 200, $pair->check(\@events) ? 'grammar' : $pair->assemble(\@events)->{text},
            $s->header('x-llm-attempts');
    }
    $s->read_body;
    my $json = $s->answer->{json};
    return join ' ', $s->status, $s->status == 200
        ? ($pair->read_answer($json)->{text}, $s->header('x-llm-attempts'))
        : $pair->is_error($json) ? 'error' : 'not of the dialect';
}

subtest 'case 29: another one at once, and the first not before the time that it named' => sub {
    for my $row (@rows) {
        answers(json(429, {}, headers => { 'Retry-After' => 40 }), good($row, $row->{second}, 'two'));
        my $began = time;
        is(seen($row, ask($row, 'named')), '200 two 2', "$row->{id}: elsewhere");
        is(asked(), 'first second', "$row->{id}: each was asked once");
        cmp_ok(time - $began, '<', slow(2), "$row->{id}: at once");
        answers(good($row, $row->{first}, 'one'), good($row, $row->{second}, 'two'));
        is(seen($row, ask($row, 'named')), '200 two 1', "$row->{id}: then");
        is(asked(), 'second', "$row->{id}: the first is left alone");
    }
};

subtest 'case 30: nobody is left' => sub {
    for my $row (@rows) {
        answers(json(500, {}), json(429, {}, headers => { 'Retry-After' => 20 }));
        is(seen($row, ask($row, 'named')), '429 error', "$row->{id}: the second has had enough, too");
        $p->clear;
        my $s = ask($row, 'named');
        is(seen($row, $s), '429 error', "$row->{id}: refused in the dialect");
        is(asked(), '', "$row->{id}: nobody was asked");
        my $wait = $s->header('retry-after');
        ok($wait > 5 && $wait <= 20, "$row->{id}: the shortest time that is left") or diag $wait;
    }
};

# Two requests are under way: one hears of a long time, then the other fails with a short one.
subtest 'case 31: a second failure does not shorten' => sub {
    for my $row (@rows) {
        answers([json(503, {}, wait_for_release => 'head'),
            json(429, {}, headers => { 'Retry-After' => 40 })], good($row, $row->{second}, 'two'));
        my $s = ask($row, 'late');
        ok($p->wait_held(1), "$row->{id}: one is under way");
        is(seen($row, ask($row, 'late')), '200 two 2', "$row->{id}: 40 s");
        $p->release;
        is(seen($row, $s), '200 two 2', "$row->{id}: then 1 s");
        answers(good($row, $row->{first}, 'one'), json(429, {}, headers => { 'Retry-After' => 60 }));
        seen($row, ask($row, 'late'));
        $s = ask($row, 'late');
        is(seen($row, $s), '429 error', "$row->{id}: nobody is left");
        my $wait = $s->header('retry-after');
        ok($wait > 20 && $wait <= 40, "$row->{id}: the longer time of the first") or diag $wait;
    }
};

# Puts aside the first of every row, and waits until their time is over.
sub all_cooled {
    my ($attempts, $asked) = @_;

    for my $row (@rows) {
        answers(json(503, {}), good($row, $row->{second}, 'two'));
        is(seen($row, ask($row, 'outage')), "200 two $attempts", "$row->{id}: elsewhere");
        is(asked(), $asked, "$row->{id}: each was asked once");
    }
    my $is_over = sub {
        my $m = LLM::Metrics->get($t);
        return !grep { !$m->value('llm_deployment_state', deployment => "outage-1-$_->{id}") } @rows;
    };
    return ok($t->wait_for($is_over, slow(5), 'their time is over'), 'their time is over');
}

subtest 'case 33: one probe for each period, and back within one' => sub {
    all_cooled(2, 'first second');
    for my $row (@rows) {
        answers(json(503, {}, wait_for_release => 'head'), good($row, $row->{second}, 'two'));
        my $probe = ask($row, 'outage');
        ok($p->wait_held(1), "$row->{id}: the next one tries it");
        is(seen($row, ask($row, 'outage')), '200 two 1', "$row->{id}: others do not wait for that")
            or last;
        $p->release;
        is(seen($row, $probe), '200 two 2', "$row->{id}: nor does it fail itself");
        is(asked(), 'first second second', "$row->{id}: one probe");
    }
    ok($t->wait_for(sub {
        my $m = LLM::Metrics->get($t);
        !grep { !$m->value('llm_deployment_state', deployment => "outage-1-$_->{id}") } @rows;
    }, slow(5), 'the next period'), 'the next period');
    for my $row (@rows) {
        answers(good($row, $row->{first}, 'one'), good($row, $row->{second}, 'two'));
        is(seen($row, ask($row, 'outage')), '200 one 1', "$row->{id}: it is back");
        is(seen($row, ask($row, 'outage')), '200 one 1', "$row->{id}: for all");
        is(asked(), 'first first', "$row->{id}: nobody else was asked");
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
