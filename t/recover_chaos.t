# Many streams at once while deployments fail in all ways and clients leave: no byte of one answer in
# another, nothing stays in flight, and every line of the log says what happened.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);

my $models = join '', map { <<"END" } qw(chat messages);
    llm_model chaos-$_ { deployment $_/a; deployment $_/b; deployment $_/c order=2; }
END
$t->http_conf(LLM::Pair::conf($p, cooldown => '50ms', models => $models,
    http => 'llm_num_retries 2; llm_recover restart; llm_first_token_timeout 1s;
        llm_idle_timeout 1s; llm_all_cooled try;'));
$t->start;

my @pairs = LLM::Pair->all;
my $n = 120;
my (%text, @open);

# Each request has a word of its own that only its answers hold.
for my $i (1 .. $n) {
    my $pair = $pairs[$i % @pairs];
    my $canary = sprintf 'canary%04dx', $i;
    $text{$i} = join ' ', 'Well', map { "$canary.$_" } 1 .. 12;
    my @events = $pair->events(text => $text{$i});
    my @ways = (json(503, {}), json(429, {}), json(500, {}), sse(@events[0 .. 6], drop()),
        sse(@events[0 .. 8], rst()), sse(@events[0 .. 7], stall()), 'silent',
        json(200, $pair->answer(text => $text{$i}), cut_after => 30));
    $p->on({ body => qr/ask-$i-/ }, $ways[$i % @ways], sse(@events, gap => 0.002));
}
for my $i (1 .. $n) {
    my $pair = $pairs[$i % @pairs];
    my $s = $t->stream($pair->path, $pair->question(stream => 1,
        model => "chaos-$pair->{provider}", messages => [{ role => 'user',
            content => "ask-$i-" }]));
    push @open, [$i, $pair, $s];
    if ($i % 7 == 0) {  # this client leaves
        (pop @open)->[2]->close;
    }
}
my %count;
for (@open) {
    my ($i, $pair, $s) = @$_;
    my @events = $s->all_events;
    my $body = $s->body;
    my $own = sprintf 'canary%04dx', $i;
    my @foreign = grep { $_ ne $own } $body =~ /(canary\d+x)/g;
    is_deeply(\@foreign, [], "$i: nothing of other answers");
    if (($s->status // 0) == 200) {
        my $seen = $pair->assemble(\@events);
        my $is_error = $pair->error_event(\@events);
        $count{$is_error ? 'cut' : 'whole'}++;
        ok($is_error || $seen->{text} eq $text{$i}, "$i: whole, or an error says so")
            or diag $body;
    } else {
        $count{refused}++;
        ok($pair->is_error($s->answer->{json}), "$i: an error of the dialect");
    }
}
cmp_ok($count{whole} // 0, '>=', $n / 2, 'most are answered') or diag explain \%count;
ok(LLM::Pair::wait_idle($t, 5), 'nothing is in flight');
$t->wait_for(sub { my @l = split /\n/, $t->slurp('logs/llm.log'); @l >= $n }, 5, 'the log');
my %outcome;
$outcome{LLM::Json::try_json($_)->{outcome}}++ for split /\n/, $t->slurp('logs/llm.log');
cmp_ok($outcome{ok} // 0, '>=', $count{whole}, 'the log has at least as many whole answers');
ok(!$outcome{''}, 'every line has an outcome');
$t->done;
