# Names that clients choose freely fill a half of the table of what was spent and no more: what a key
# that is made afterwards spends is booked under its name, and so are team, user and model. Customers
# and tags are such names, and models of which the configuration has a pattern only.

use strict;
use warnings;
use LLM::Test;
use LLM::Json qw(encode_json_c);
use LLM::Limits;
use LLM::Provider;

my $t = LLM::Test->new(workers => 2);
$t->http_conf(<<'END');
    llm_zone 8m;
    keepalive_requests 1000000;
    llm_master_key sk-master;
    llm_provider mock { }
    llm_model m { deployment mock/m reply=hi input_cost=0.001 output_cost=0.001; }
    llm_model late { deployment mock/late reply=hi input_cost=0.001 output_cost=0.001; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
$t->start;

my $conn;

sub ask {
    my ($key, $model, $user, @headers) = @_;
    my $r = $t->post('/v1/chat/completions', { model => $model, messages => [{ role => 'user',
        content => 'hi' }], $user ? (user => $user) : () }, headers => ['x-api-key' => $key,
        @headers], keep => 1, $conn ? (conn => $conn) : ());

    $conn = $r->{conn};
    return $r->{status};
}

sub admin {
    my ($path, $body) = @_;
    my @auth = (headers => { 'x-api-key' => 'sk-master' });
    my $r = $body ? $t->post("/admin$path", $body, @auth) : $t->get("/admin$path", @auth);

    is($r->{status}, 200, $path) or diag($r->{body});
    return $r->{json};
}

my ($customers, $tags) = (2600, 2600);
my %seen;
# The sums that were seen first are those of names that have room.
$seen{ask('sk-master', 'm', "customer-$_")}++ for 1 .. $customers;
$seen{ask('sk-master', 'm', undef, 'x-litellm-tags' => "tag-$_")}++ for 1 .. $tags;
is_deeply(\%seen, { 200 => $customers + $tags }, 'requests with names that are met once');

admin('/team/new', { team_id => 'search' });
for my $n (1 .. 300) {
    my $key = admin('/key/generate', { key => "sk-late-$n-key", team_id => 'search',
        user_id => "user-$n" });
    is(ask("sk-late-$n-key", 'late', 'one-more'), 200, 'asks') for 1 .. 2;
}
my $one = admin('/key/info?key=sk-late-1-key')->{info}{spend};
cmp_ok($one, '>', 0, "the first new key's spend is its own: $one");
is(admin('/key/info?key=sk-late-300-key')->{info}{spend}, $one, "the last one's, too");
my ($team) = grep { $_->{team_id} eq 'search' } @{ admin('/global/spend/teams') };
is(sprintf('%.6f', $team->{total_spend}), sprintf('%.6f', 300 * $one), "the team's");
my %user = map { ($_->{user_id} => $_->{total_spend}) } @{ admin('/global/spend/users?limit=1000') };
is($user{'user-300'}, $one, "a user's");
my %model = map { ($_->{model} => $_->{total_spend}) } @{ admin('/global/spend/models') };
is(sprintf('%.6f', $model{late}), sprintf('%.6f', 300 * $one), "a model's");
my ($other) = grep { $_->{end_user} eq 'other' } @{ admin('/global/spend/customers?limit=1000') };
cmp_ok($other->{log_count}, '>=', $customers - 1430 + 600, 'customers without room are in one sum');
cmp_ok($other->{log_count}, '<', $customers - 1420 + 600, 'those of README have room');
my $warnings = () = $t->log_text =~ /\[warn\].*the table of what was spent is full/g;
ok($warnings == 1 || $warnings == 2, 'one line a day says so');
$t->log_like(qr/\[warn\].*full, further customers are counted as "other"/, 'and of whom');

$t->stop;
$t->cleanup;

LLM::Limits->each_store(sub {
    my ($store) = @_;
    $t = LLM::Test->new(workers => 2);
    $conn = undef;
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf(<<"END");
    llm_zone 2m;
    ${\$store->conf}
    keepalive_requests 1000000;
    llm_master_key sk-master;
    llm_provider mock { }
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; }
    llm_model late { deployment mock/late reply=hi input_cost=0.001 output_cost=0.001; }
    llm_model wild/* { deployment mock/* reply=hi input_cost=0.001 output_cost=0.001; }
    llm_model gone/* { deployment mock/* status=404; num_retries 0; }
    llm_model some/* { deployment chat/* input_cost=0.001 output_cost=0.001; num_retries 0; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
    $t->start;
    my $models = sub { return map { ($_->{model} => $_) } @{ admin('/global/spend/models?limit=1000') } };

    $p->on('/v1/chat/completions' => json(200, chat_answer()));
    is(ask('sk-master', 'some/where'), 200, 'a name that a provider knows');
    $p->on('/v1/chat/completions' => json(404, { error => { message => 'no such model' } }));
    is(ask('sk-master', $_), 404, "then not $_") for 'some/where', 'some/thing';
    my %seen;
    $seen{ask('sk-master', "gone/model-$_")}++ for 1 .. 800;
    is_deeply(\%seen, { 404 => 800 }, 'names that lead nowhere');
    my %known = $models->();
    is_deeply([sort keys %known], ['some/where'], 'only a name that has delivered takes a row');
    is($known{'some/where'}{log_count}, 2, 'which counts all of its requests');
    is(admin('/global/activity')->{sum_api_requests}, 803, 'as the sum of all does');

    %seen = ();
    $seen{ask('sk-master', "wild/model-$_")}++ for 1 .. 800;
    is_deeply(\%seen, { 200 => 800 }, 'names that are met once');
    admin('/team/new', { team_id => 'search' });
    my $one;
    for my $n (1 .. 100) {
        admin('/key/generate', { key => "sk-later-$n-key", team_id => 'search', user_id => "user-$n" });
        is(ask("sk-later-$n-key", 'late'), 200, 'asks');
        $one //= admin('/key/info?key=sk-later-1-key')->{info}{spend};
    }
    admin('/key/generate', { key => 'sk-with-a-name', aliases => { own => 'wild/model' } });
    is(ask('sk-with-a-name', 'own'), 200, "by the key's own name of a model");
    cmp_ok($one, '>', 0, "the first new key's spend is its own: $one");
    is(admin('/key/info?key=sk-later-100-key')->{info}{spend}, $one, "the last one's, too");
    my ($team) = grep { $_->{team_id} eq 'search' } @{ admin('/global/spend/teams') };
    is(sprintf('%.6f', $team->{total_spend}), sprintf('%.6f', 100 * $one), "the team's");
    my %model = $models->();
    is($model{late}{log_count}, 100, 'a model of the configuration has its row');
    is($model{own}{log_count}, 1, "and so has one that a key's record names");
    my $kept = grep { m{^wild/} } keys %model;
    cmp_ok($kept, '>', 300, "$kept names of clients have rows");
    is($model{other}{log_count}, 800 - $kept, 'the others are in one sum');
    my ($day) = @{ admin('/user/daily/activity')->{results} };
    my $some = $day->{breakdown}{models}{'some/where'}{metrics};
    is("$some->{successful_requests} and $some->{failed_requests}", '1 and 1', 'by day, too');
    $t->done;
});

done_testing();
