# A hundred thousand names of models, customers and tags that clients think of: the series of the
# metrics and the rows of what was spent stay few, and their sums lose nothing.

use strict;
use warnings;
use LLM::Test;
use LLM::Crowd;
use LLM::Metrics;
use List::Util qw(sum0);

my $requests = 100_000;
my $t = LLM::Test->new(workers => 2);

$t->http_conf(<<"END");
    llm_zone 4m;
    llm_master_key sk-master;
    llm_key sk-one { alias one; }
    llm_provider mock {}
    llm_model any/* { deployment mock/* input_cost=0.000001 output_cost=0.000001 reply=yes; }
    server {
        listen 127.0.0.1:%%PORT%%;
        keepalive_requests 100000;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; }
    }
END
$t->start;

sub admin {
    my $r = $t->get("/admin$_[0]", headers => [Authorization => 'Bearer sk-master']);
    is($r->{status}, 200, $_[0]);
    return $r->{json};
}

# Each has three names that nobody has used before.
sub job {
    my ($n) = @_;

    return { path => '/v1/chat/completions', body => qq({"model":"any/m-$n","user":"customer-$n",)
        . '"messages":[{"role":"user","content":"hi"}]}', headers => [Authorization => 'Bearer sk-one',
            'x-litellm-tags' => "tag-$n"] };
}

my $bad = 0;
for my $from (map { $_ * 20_000 } 0 .. $requests / 20_000 - 1) {
    my @answers = LLM::Crowd::ask($t, [map { job($from + $_) } 1 .. 20_000], at_once => 32);
    $bad += grep { $_->{status} != 200 } @answers;
}
is($bad, 0, 'all are answered');

subtest 'case 60: the metrics' => sub {
    my $m;
    $t->wait_for(sub { $m = LLM::Metrics->get($t); $m->sum('llm_requests_total') >= $requests }, 10,
        'booked');
    is($m->sum('llm_requests_total'), $requests, 'none is lost');
    my @models = $m->labels('llm_requests_total', 'gen_ai_request_model');
    cmp_ok(scalar @models, '<', 1000, 'models');
    cmp_ok($m->sum('llm_requests_total', gen_ai_request_model => 'other'), '>', $requests * 0.9,
        'the overflow label');
    my @series = grep { /^\w/ } split /\n/, $m->text;
    cmp_ok(scalar @series, '<', 60_000, 'lines of the page');
    unlike($m->text, qr/customer-\d|tag-\d/, 'customers and tags are no labels');
    is($m->sum('llm_key_requests_total', key => 'one'), $requests, 'of the key');
};

subtest 'case 60: what was spent' => sub {
    my $all = admin('/global/spend')->{spend};
    cmp_ok($all, '>', 0, 'something');
    for my $case (['customers', 'end_user'], ['tags', 'individual_request_tag'], ['models', 'model']) {
        my ($path, $name) = @$case;
        my $rows = admin("/global/spend/$path?limit=1000");
        my ($other) = grep { $_->{$name} eq 'other' } @$rows;
        cmp_ok(scalar @$rows, '<', 1000, "$path: few rows");
        cmp_ok($other->{log_count} // 0, '>', $requests * 0.9, 'the others are in one');
        is(sum0(map { $_->{log_count} } @$rows), $requests, 'and all are there');
    }
    my ($key) = @{ admin('/global/spend/keys') };
    is("$key->{total_spend} $key->{log_count}", "$all $requests", 'the key has all of it');
    my ($day) = @{ admin('/user/daily/activity')->{results} };
    my $models = $day->{breakdown}{models};
    cmp_ok(scalar keys %$models, '<', 3000, 'rows of a day');
    is(sum0(map { $_->{metrics}{api_requests} } values %$models), $day->{metrics}{api_requests},
        'which are all of its requests');
};

$t->done;
