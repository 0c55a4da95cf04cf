# /team/*, /user/* and /customer/*: what several keys share, who owns keys, and whom requests are
# for. A team or user that is deleted takes its keys along; case 55.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new(workers => 2);
$t->http_conf(<<"END");
    llm_provider mock { }
    llm_model m { deployment mock/m input_cost=1e-9 output_cost=1e-9; }
    llm_model n { deployment mock/n; }
    llm_master_key sk-master;
    llm_team conf-team { models m; }
    llm_key sk-of-conf-team { team conf-team; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
$t->start;

sub admin {
    my ($path, $body, %o) = @_;
    my @auth = (headers => { 'x-api-key' => 'sk-master' });
    my $r = $body ? $t->post("/admin$path", $body, @auth) : $t->get("/admin$path", @auth);

    is($r->{status}, $o{status} || 200, $o{what} || $path) or diag($r->{body});
    return decode_json($r->{body});
}

sub status {
    my ($key, $model, %more) = @_;
    my %seen;

    for (1 .. 12) {
        $seen{$t->post('/v1/chat/completions', { model => $model || 'm', %more,
            messages => [{ role => 'user', content => 'x' }] },
            headers => { 'x-api-key' => $key })->{status}}++;
    }
    return join ' ', sort keys %seen;
}

subtest 'teams' => sub {
    my $team = admin('/team/new', { team_alias => 'one', models => ['m'], max_budget => 5 });
    my $id = $team->{team_id};
    like($id, qr/\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/, 'an id of its own');
    my $key = admin('/key/generate', { team_id => $id, models => [qw(m n)] })->{key};
    is(status($key), 200, 'a key of the team');
    is(status($key, 'n'), 403, 'has no more models than the team');
    my %none = (model_max_budget => { m => { budget_limit => 0, time_period => '30d' } });
    is_deeply(admin('/team/update', { team_id => $id, %none })->{data}{model_max_budget},
        $none{model_max_budget}, 'a budget of a model');
    is(status($key), 429, 'holds for its keys');
    admin('/team/update', { team_id => $id, models => ['n'], model_max_budget => undef });
    is(status($key, 'n'), 200, 'case 55: a change holds at once');
    is(status($key), 403, 'in both ways');
    my $info = admin("/team/info?team_id=$id");
    is($info->{team_info}{team_alias}, 'one', 'info');
    is(scalar @{$info->{keys}}, 1, 'with its keys');
    ok(admin('/team/block', { team_id => $id })->{data}{blocked}, 'blocked');
    is(status($key, 'n'), 401, 'with its keys');
    admin('/team/unblock', { team_id => $id });
    is(status($key, 'n'), 200, 'and open again');
    is_deeply([sort map { $_->{team_id} } @{admin('/team/list')}], [sort $id, 'conf-team'],
        'list, configured ones, too');
    is(admin('/team/delete', { team_ids => [$id] })->{deleted_keys}, 1, 'deleted with its key');
    is(status($key, 'n'), 401, 'case 55: at once');
    admin('/team/new', { team_id => $id });
    is(status($key, 'n'), 401, 'a team of the same name does not bring the key back');
    is(admin('/team/new', { team_id => $id }, status => 400)->{error}{message}, 'team_id already exists',
        'not twice');
    admin('/team/new', { team_id => 'conf-team' }, status => 400);
    admin('/team/update', { team_id => 'conf-team', models => [] }, status => 400);
    admin('/team/delete', { team_ids => ['conf-team'] }, status => 400);
    admin('/team/delete', { team_ids => [$id, 'none'] }, status => 404);
    admin("/team/info?team_id=$id", undef, what => 'all or none');
    admin('/team/info?team_id=none', undef, status => 404);
    admin('/key/generate', { team_id => 'none' }, status => 400);
    my $conf = admin('/key/generate', { team_id => 'conf-team' })->{key};
    is(status($conf, 'n'), 403, 'a new key of a configured team');
    is(scalar @{admin('/team/info?team_id=conf-team')->{keys}}, 2, 'is shown with the others');
};

subtest 'users' => sub {
    my $user = admin('/user/new', { user_id => 'ada@example.org', user_email => 'ada@example.org',
        models => ['m'] });
    is($user->{user_id}, 'ada@example.org', 'made');
    is(status($user->{key}), 200, 'with a key');
    is(status($user->{key}, 'n'), 403, 'for the models of the user');
    my $other = admin('/user/new', { auto_create_key => \0, user_role => 'internal_user' });
    is($other->{key}, undef, 'or without one');
    admin('/user/update', { user_id => 'ada@example.org', model_max_parallel_requests => { m => 0 } });
    is(status($user->{key}), 429, 'parallel requests of a model');
    admin('/user/update', { user_id => 'ada@example.org', models => [], blocked => \1,
        model_max_parallel_requests => {} });
    is(status($user->{key}), 401, 'blocked');
    admin('/user/update', { user_id => 'ada@example.org', blocked => \0 });
    is(status($user->{key}, 'n'), 200, 'changed');
    my $info = admin('/user/info?user_id=ada%40example.org');
    is($info->{user_info}{user_email}, 'ada@example.org', 'info');
    is(scalar @{$info->{keys}}, 1, 'with keys');
    is(admin('/user/list?page_size=1&page=2')->{total}, 2, 'list');
    my $error = admin('/user/new', { user_id => 'ada@example.org' }, status => 409)->{error};
    like($error->{message}, qr/already exists/, 'not twice');
    admin('/user/info?user_id=bob', undef, status => 404);
    is(admin('/user/delete', { user_ids => ['ada@example.org'] })->{deleted_keys}, 1, 'deleted');
    is(status($user->{key}), 401, 'with the key');
};

# LiteLLM's /user/new takes what its key is to have, too, and answers with both.
subtest 'a new user and the key' => sub {
    my $user = admin('/user/new', { user_id => 'eve', user_email => 'eve@example.org', user_alias => 'E',
        key_alias => 'key of eve', team_id => 'conf-team', duration => '30d', max_budget => 20,
        budget_duration => '1d', aliases => { mine => 'm' }, permissions => { customers => \0 } });
    is_deeply([@$user{qw(user_id user_email user_alias max_budget budget_duration key_alias team_id)}],
        ['eve', 'eve@example.org', 'E', 20, '1d', 'key of eve', 'conf-team'], 'both are shown');
    like($user->{expires}, qr/\A20/, 'when the key ends');
    like($user->{key}, qr/\Ask-/, 'and the key');
    my $key = admin("/key/info?key=$user->{key}")->{info};
    is_deeply([@$key{qw(user_id key_alias team_id expires aliases max_budget)}],
        ['eve', 'key of eve', 'conf-team', $user->{expires}, { mine => 'm' }, undef],
        'the key has its own, the budget is the user\'s');
    is(status($user->{key}, 'mine'), 200, 'it opens its models');
    is(status($user->{key}, 'n'), 403, 'and none that the team lacks');
    is(admin('/user/info?user_id=eve')->{user_info}{max_budget}, 20, 'the user');
    for (['teams', ['conf-team']], ['team_id', 'none'], ['aliases', { a => 'none' }],
        ['organizations', ['o']], ['send_invite_email', \1], ['sso_user_id', 'x'],
        ['key_alias', 'key of eve'], ['duration', 'soon'], ['auto_create_key', 'no'])
    {
        my ($name, $value) = @$_;
        is(admin('/user/new', { user_id => 'no', $name => $value }, status => 400)->{error}{param}, $name,
            "$name is named");
    }
    is(admin('/user/new', { user_id => 'no', auto_create_key => \0, team_id => 'conf-team' },
        status => 400)->{error}{param}, 'team_id', 'what no key can have');
    admin('/user/info?user_id=no', undef, status => 404, what => 'none of them was made');
    is(admin('/user/new', { user_id => 'plain', auto_create_key => \0, teams => [], key_alias => '' })
        ->{key}, undef, 'without a key');
    my $users = sub { join ' ', map { $_->{user_id} } @{admin("/user/list?$_[0]")->{users}} };
    is($users->('user_ids=plain,nobody,eve'), 'eve plain', 'some');
    is($users->('user_ids=ev'), '', 'by whole names');
    is($users->('user_email=EVE%40'), 'eve', 'by a part of the address');
    is($users->('user_ids=plain,eve&sort_by=user_alias&sort_order=desc'), 'plain eve', 'in an order');
    is($users->('user_ids=plain,eve&sort_by=spend&sort_order=desc'), 'eve plain', 'by what they spent');
    admin('/user/list?sort_by=max_parallel_requests', undef, status => 400);
    admin('/user/delete', { user_ids => ['eve', 'plain'] });
};

subtest 'customers' => sub {
    is(status('sk-of-conf-team', 'm', user => 'shopper'), 200, 'anybody');
    admin('/customer/new', { user_id => 'shopper', alias => 'S', max_budget => 3,
        budget_duration => '30d' });
    my $info = admin('/customer/info?end_user_id=shopper');
    is($info->{alias}, 'S', 'info');
    is($info->{max_budget}, 3, 'with a budget');
    admin('/end_user/update', { user_id => 'shopper', max_budget => 4 });
    is(admin('/end_user/list')->[0]{max_budget}, 4, 'changed, by the other name');
    admin('/customer/block', { user_ids => ['shopper', 'stranger'] });
    is(status('sk-of-conf-team', 'm', user => 'shopper'), 403, 'case 55: blocked at once');
    is(status('sk-of-conf-team', 'm', user => 'stranger'), 403, 'also one without a record');
    is(status('sk-of-conf-team', 'm', user => 'else'), 200, 'others are not');
    admin('/customer/unblock', { user_ids => ['shopper'] });
    is(status('sk-of-conf-team', 'm', user => 'shopper'), 200, 'open again');
    admin('/customer/delete', { user_ids => ['shopper'] });
    admin('/customer/info?end_user_id=shopper', undef, status => 404);
    admin('/customer/new', {}, status => 400);
    admin('/customer/new', { user_id => 'stranger' }, status => 400, what => 'a second one');
    for (['/user/info', undef, 'user_id'], ['/customer/info', undef, 'end_user_id'],
        ['/user/update', { user_email => 'ada@example.org' }, 'user_id'])
    {
        my ($path, $body, $param) = @$_;
        is(admin($path, $body, status => 400)->{error}{message}, "$param must be given", $path);
    }
    admin('/customer/update', { user_id => 'shopper' }, status => 404);
};

$t->done;
