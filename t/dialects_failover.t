# A model whose deployments speak eight dialects: for every client the next one is asked, in its own
# words, until one answers; the client's own dialect is just one of them. Also the mock, which
# answers every client.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @forms = LLM::Forms::providers();
my %deployment = map { $_ => "$_/" . LLM::Forms::provider($_)->{deployment} } @forms;
my $models = '';

# One model for each of them to be the last.
for my $last (@forms) {
    my $order = 0;
    $models .= "llm_model last-$last {\n" . join('', map { $order++;
        "deployment $deployment{$_} order=$order;\n" } (grep { $_ ne $last } @forms), $last) . "}\n";
}
$t->http_conf(LLM::Pair::conf($p, forms => \@forms,
    models => "$models llm_provider mock { } llm_model mocked { deployment mock/m reply=Well; }"));
$t->start;

my $lines = 0;

# What tells the requests of the providers apart.
my %line = (chat => qr{^POST /v1/chat/completions}, messages => qr{^POST /v1/messages},
    responses => qr{^POST /v1/responses}, gemini => qr{^POST /v1beta/}, bedrock => qr{converse},
    'bedrock-invoke' => qr{/invoke}, cohere => qr{^POST /v2/chat}, ollama => qr{^POST /api/chat});

sub refuse_all_but {
    my ($last) = @_;

    for my $form (grep { $_ ne $last } @forms) {
        $p->on($line{$form} => LLM::Pair->new('chat', $form)->error('rate_limit', "No, $form"));
    }
    return;
}

for my $last (@forms) {
    refuse_all_but($last);
    subtest "$last is the last" => sub {
        for my $pair (grep { $_->{provider} eq $last } LLM::Pair->every) {
            $pair->{model} = "last-$last";
            my $asked = $p->request_count;
            $p->on($line{$last} => $pair->whole(text => 'Well'));
            my $r = $pair->post($t);
            is($r->{status}, 200, "$pair->{name}: status") or diag($r->{body});
            is($pair->read_answer($r->{json} || {})->{text}, 'Well', "$pair->{name}: text");
            is($p->request_count - $asked, 8, "$pair->{name}: all were asked");
            my $log = LLM::Pair::next_log($t, \$lines);
            like("$log->{attempts} $log->{input_tokens} $log->{deployment}",
                qr/\A8 21 \Q$deployment{$last}\E#\d\z/, "$pair->{name}: log");
            $p->on($line{$last} => $pair->streamed(text => 'Well'));
            my @events = $pair->stream($t)->all_events;
            is_deeply([$pair->check(\@events)], [], "$pair->{name}: stream");
            is($pair->assemble(\@events)->{text}, 'Well', "$pair->{name}: its text");
            LLM::Pair::next_log($t, \$lines);
            $p->on($line{$last} => $pair->error('rate_limit', "No, $last"));
            $r = $pair->post($t);
            is($r->{status}, 429, "$pair->{name}: nobody can");
            is($r->{json}{error}{message}, "No, $last", "$pair->{name}: the last one's words");
            LLM::Pair::next_log($t, \$lines);
        }
    };
}

subtest 'the mock' => sub {
    for my $pair (grep { $_->{provider} eq 'chat' } LLM::Pair->every) {
        $pair->{model} = 'mocked';
        my $r = $pair->post($t);
        is($r->{status}, 200, "$pair->{client}: status") or diag($r->{body});
        is($pair->read_answer($r->{json} || {})->{text}, 'Well', "$pair->{client}: text");
        my @events = $pair->stream($t)->all_events;
        is_deeply([$pair->check(\@events)], [], "$pair->{client}: stream");
        is($pair->assemble(\@events)->{text}, 'Well', "$pair->{client}: its text");
    }
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
