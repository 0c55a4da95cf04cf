# What was spent, as the admin API tells it: by key, team, user, customer, tag, model, provider and
# day, in LiteLLM's words; booked once, and there again after a restart and a killed worker.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Json qw(try_json);
use List::Util qw(sum0);
use POSIX qw(strftime);

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $dir = $t->dir;
mkdir "$dir/state";
chmod 0777, "$dir/state";

$t->http_conf(<<"END");
    llm_zone 8m state=$dir/state/llm.state;
    llm_master_key sk-master;
    llm_team search { alias search; }
    llm_key sk-one { alias one; team search; user ada; }
    llm_key sk-two { alias two; }
    llm_provider chat { dialect openai; base_url $url/v1; }
    llm_model a { deployment chat/gpt-4o input_cost=0.000001 output_cost=3e-6; }
    llm_model b { deployment chat/other input_cost=0.00001 output_cost=0; }
    llm_model bad { deployment chat/bad input_cost=0.001 output_cost=0.001; }
    log_format spent '\$llm_key_alias \$llm_cost \$llm_input_tokens \$llm_output_tokens \$llm_outcome';
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; access_log logs/spent.log spent; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; allow 127.0.0.1; deny all; }
    }
END
$t->start;
$p->on({ body => qr/"bad"/ }, json(500, {}));
$p->on({ body => qr/gpt-4o|other/ }, json(200, chat_answer(usage => { prompt_tokens => 1000,
    completion_tokens => 100 })));

sub ask {
    my ($key, $model, %o) = @_;

    return $t->post('/v1/chat/completions', { model => $model, messages =>
        [{ role => 'user', content => 'hi' }], $o{user} ? (user => $o{user}) : () },
        headers => [Authorization => "Bearer sk-$key", $o{tags} ? ('x-litellm-tags', $o{tags}) : ()]);
}

sub admin {
    my ($path) = @_;
    my $r = $t->get("/admin$path", headers => [Authorization => 'Bearer sk-master']);

    is($r->{status}, 200, $path) or diag($r->{body});
    return $r->{json};
}

# {name => [dollars, requests]}
sub sums {
    my ($path, $name) = @_;

    return { map { ($_->{$name} => "$_->{total_spend} $_->{log_count}") } @{ admin($path) } };
}

ask('one', 'a', tags => 'x, y, x') for 1 .. 3;
ask('one', 'b', tags => 'y');
ask('two', 'a', user => 'customer-7') for 1 .. 2;
ask('two', 'bad');
ask('two', 'nobody');
my $today = strftime('%Y-%m-%d', gmtime);
my $all = '0.0165';        # 5 x 0.0013 + 0.01

subtest 'sums' => sub {
    $t->wait_for(sub { @{ admin('/spend/logs') } >= 7 }, 5, 'all are booked');
    is(admin('/global/spend')->{spend}, $all, 'all');
    is_deeply([sort values %{ sums('/global/spend/keys', 'key_alias') }], ['0.0026 3', '0.0139 4'],
        'keys; what was refused by us is no activity');
    is_deeply(sums('/global/spend/models', 'model'), { a => '0.0065 5', b => '0.01 1',
        bad => '0 1' }, 'models');
    is_deeply(sums('/global/spend/teams', 'team_id'), { search => '0.0139 4' }, 'teams');
    is_deeply(sums('/global/spend/users', 'user_id'), { ada => '0.0139 4' }, 'users');
    is_deeply(sums('/global/spend/customers', 'end_user'), { 'customer-7' => '0.0026 2' },
        'customers');
    is_deeply(sums('/global/spend/tags', 'individual_request_tag'), { x => '0.0039 3',
        y => '0.0139 4' }, 'tags, each once');
    is_deeply(sums('/global/spend/provider', 'provider'), { chat => "$all 7" }, 'providers');
    my $keys = admin('/global/spend/keys?limit=1');
    is(scalar @$keys, 1, 'no more than asked for');
    is($keys->[0]{key_alias}, 'one', 'the dearest first');
};

subtest 'days' => sub {
    is_deeply(admin('/global/spend/logs'), [{ date => $today, spend => $all }], 'spend')
        if strftime('%Y-%m-%d', gmtime) eq $today;
    my $activity = admin('/user/daily/activity');
    my ($day) = @{ $activity->{results} };
    is("$day->{metrics}{spend} $day->{metrics}{api_requests} $day->{metrics}{failed_requests}",
        "$all 7 1", 'activity');
    is($day->{breakdown}{models}{b}{metrics}{spend}, '0.01', 'of a model');
    is($day->{breakdown}{providers}{chat}{metrics}{prompt_tokens}, 6000, 'of a provider');
    is($activity->{metadata}{total_spend}, $all, 'their sum');
    is_deeply(admin('/user/daily/activity?end_date=2001-01-01')->{results}, [], 'other days');
    is(admin('/global/activity')->{sum_total_tokens}, 6600, 'tokens');
};

subtest 'recent requests' => sub {
    my $list = admin('/spend/logs');
    is(scalar @$list, 7, 'all');
    is("$list->[0]{model} $list->[0]{status} $list->[0]{error}", 'bad failure upstream', 'the last')
        or diag(explain($list->[0]));
    my ($one) = @{ admin("/spend/logs?request_id=$list->[1]{request_id}") };
    is("$one->{key_alias} $one->{spend} $one->{total_tokens}", 'two 0.0013 1100', 'by id');
    is(scalar @{ admin('/spend/logs?api_key=sk-one') }, 4, 'of a key');
    is($t->get('/admin/spend/logs')->{status}, 401, 'not without the master key');
};

subtest 'case 53: nothing is lost or booked twice' => sub {
    my @lines = split /\n/, $t->slurp('logs/spent.log');
    is(sprintf('%.7f', sum0(map { (split)[1] } @lines)), sprintf('%.7f', $all), 'the log agrees');
    $t->reload;
    is(admin('/global/spend')->{spend}, $all, 'after a reload');
    my ($pid) = $t->worker_pids;
    $t->expect_log(qr/worker process $pid exited on signal 9/);
    $t->kill_worker('KILL', $pid);
    $t->wait_for(sub { eval { $t->get('/metrics')->{status} } // 0 == 200 }, 10, 'a new worker');
    is(admin('/global/spend')->{spend}, $all, 'after a worker was killed');
    $t->stop;
    $t->start;
    is(admin('/global/spend')->{spend}, $all, 'after a restart');
    is_deeply(sums('/global/spend/tags', 'individual_request_tag'), { x => '0.0039 3',
        y => '0.0139 4' }, 'with all names');
    ask('one', 'a');
    $t->wait_for(sub { admin('/global/spend')->{spend} eq '0.0178' }, 5, 'and it goes on');
};

$t->done;
