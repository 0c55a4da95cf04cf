# Budgets survive a restart where the zone has a state file: what was spent in a period that still
# runs is not forgotten.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my %key = map { $_ => "sk-kept-$_-0123456789" } qw(day ever rolling model minute);
my ($pair) = grep { $_->{name} eq 'chat to messages' } LLM::Pair->all;

$t->http_conf("llm_zone 4m state=%%DIR%%/llm.state;
    llm_key $key{day} { max_budget 0.15/30d; }
    llm_key $key{ever} { max_budget 0.15; }
    llm_key $key{rolling} { max_budget 0.15/12h; }
    llm_key $key{model} { model_max_budget dear 0.15/30d; }
    llm_key $key{minute} { rpm 1; }\n" . LLM::Pair::conf($p,
    models => 'llm_model dear { deployment messages/claude-x input_cost=0 output_cost=0.0001; }'));
$p->script(json(200, $pair->answer(text => 'hi', usage => { output_tokens => 1000 })));

sub ask {
    return $t->post($pair->path(0), $pair->question(model => 'dear', max_tokens => 100),
        headers => { Authorization => "Bearer $key{$_[0]}" })->{status};
}

sub spent_in { my $text = $t->slurp('llm.state.budgets'); return $text =~ /end\n\z/ ? $text : '' }

$t->start;
is(ask($_), 200, "$_: the first") for qw(day ever rolling model minute);
is(ask('minute'), 429, 'one in a minute');
$t->wait_for(sub { my @n = spent_in() =~ /^(?:sum|window) /mg; @n == 4 }, 5, 'the file')
    or diag($t->slurp('llm.state.budgets'));
unlike(spent_in(), qr/\Q$_/, 'no key stands in it') for values %key;
$t->stop;

$t->start;
is(ask($_), 200, "$_: five cents were left, alone it passes") for qw(day ever rolling model);
is(ask($_), 429, "$_: not one more") for qw(day ever rolling model);
is(ask('minute'), 200, 'counts of a minute begin anew');
$t->stop;

$t->start;
is(ask($_), 429, "$_: after another restart") for qw(day ever rolling model);
$t->stop;

$t->write_file('llm.state.budgets', "key 1 2\nsum 1\n");
my ($code, $output) = (0, '');
eval { $t->start; 1 } or ($code, $output) = (1, $t->log_text . $@);
is($code, 1, 'a damaged file is not taken for an empty one');
like($output, qr/\[emerg\].*llm\.state\.budgets/, 'which is named');
$t->expect_log(qr/\[emerg\].*llm\.state\.budgets/);
$t->done;
