# What scripts written for LiteLLM's proxy send: records sent back whole, LiteLLM's other places and
# forms of members, and its other paths.

use strict;
use warnings;
use LLM::Test;
use Digest::SHA qw(sha256_hex);
use LLM::Json qw(encode_json_o);

my $t = LLM::Test->new;
$t->http_conf(<<"END");
    llm_provider mock { }
    llm_model m { deployment mock/m input_cost=1e-6 output_cost=1e-6; }
    llm_model n { deployment mock/n; }
    llm_master_key sk-master;
    llm_team conf-team { alias configured; }
    llm_key sk-configured { alias of-conf; team conf-team; }
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
    my ($key, $model) = @_;
    return $t->post('/v1/chat/completions', { model => $model || 'm',
        messages => [{ role => 'user', content => 'x' }] }, headers => { 'x-api-key' => $key })->{status};
}

sub param_of {
    my ($path, $body, $what) = @_;
    return admin($path, $body, status => 400, what => $what)->{error}{param};
}

# Read, change one member, send all of it back.
subtest 'records are sent back whole' => sub {
    my %shared = (models => ['m'], rpm_limit => 100, tpm_limit => 100_000, max_parallel_requests => 7,
        tpm_limit_type => 'output', on_outage => 'deny', max_budget => 0.000001, budget_duration => '7d',
        budget_limits => [{ max_budget => 3, budget_duration => '1d' }], soft_budget => 1e-7,
        model_rpm_limit => { m => 50 }, model_tpm_limit => { m => 5000, n => 7 },
        model_max_parallel_requests => { m => 3 }, model_max_budget => { m => { budget_limit => 2.5,
        time_period => '1d' } }, metadata => { a => [1, { b => undef }] });
    admin('/team/new', { %shared, team_id => 'crew', team_alias => 'the crew' });
    admin('/user/new', { %shared, user_id => 'ada', user_alias => 'Ada', user_email => 'ada@example.org',
        auto_create_key => \0 });
    admin('/customer/new', { (map { $_ => $shared{$_} } grep { $_ ne 'models' } keys %shared),
        user_id => 'shopper', alias => 'S' });
    my $key = admin('/key/generate', { %shared, key_alias => 'whole', team_id => 'crew', user_id => 'ada',
        aliases => { mine => 'm' }, tags => ['t'], duration => '90d',
        permissions => { request_tags => \0 } })->{key};
    my $plain = admin('/key/generate', {})->{token};
    admin('/team/new', { team_id => 'plain' });
    admin('/user/new', { user_id => 'plain', auto_create_key => \0 });
    admin('/customer/new', { user_id => 'plain' });
    my %info = (key => ['/key/info?key=', 'info', 'key_alias'], team => ['/team/info?team_id=', 'team_info',
        'team_alias'], user => ['/user/info?user_id=', 'user_info', 'user_alias'],
        customer => ['/customer/info?end_user_id=', undef, 'alias']);
    for (['key', sha256_hex($key)], ['key', $plain], ['team', 'crew'], ['team', 'plain'], ['user', 'ada'],
        ['user', 'plain'], ['customer', 'shopper'], ['customer', 'plain'])
    {
        my ($kind, $id) = @$_;
        my ($path, $inside, $alias) = @{$info{$kind}};
        my $read = sub {
            my $shown = admin("$path$id");
            return $inside ? $shown->{$inside} : $shown;
        };
        my $before = $read->();
        my $spend = $before->{spend};
        my $changed = { %$before, $alias => "$kind-$id-anew" };
        for my $body ($before, $changed, { %$changed, updated_at => '2020-01-01T00:00:00Z', spend => 17 }) {
            admin("/$kind/update", $body);
            my $after = $read->();
            delete local @$after{qw(updated_at budget_reset_at)};
            delete local @$body{qw(updated_at budget_reset_at spend)};
            is_deeply($after, { %$body, spend => $spend }, "$kind $id is what was sent");
        }
        is(param_of("/$kind/update", { %$before, created_at => '2020-01-01T00:00:00Z' }), 'created_at',
            'when it was made does not change');
    }
    # Whoever sends the key itself beside what is shown of it.
    my $shown = admin("/key/info?key=$key")->{info};
    admin('/key/update', { key => $key, %$shown });
    is(param_of('/key/update', { %$shown, key => $key, token => $plain }), 'token', 'another one is refused');
    is(param_of('/key/update', { %$shown, replaced_by => $plain }), 'replaced_by', 'so is another successor');
    is(param_of('/key/regenerate', { %$shown, key => $key, token => $plain }), 'token', 'and here');
    my $new = admin('/key/regenerate', { %$shown, key => $key })->{key};
    is(admin("/key/info?key=$new")->{info}{key_alias}, $shown->{key_alias}, 'regenerated from all of it');
    admin('/key/update', admin("/key/list?return_full_object=true&key_alias=$shown->{key_alias}")->{keys}[0]);
    admin('/user/update', $_) for @{admin('/user/list')->{users}};
    admin('/customer/update', $_) for @{admin('/customer/list')};
};

# LiteLLM keeps the limits of models in metadata.
subtest 'limits of models in metadata' => sub {
    my $made = admin('/key/generate', { metadata => { a => [1, 2], model_rpm_limit => { m => 0 },
        model_tpm_limit => { n => 5000 } } });
    is(status($made->{key}), 429, 'they hold');
    is_deeply([@$made{qw(model_rpm_limit model_tpm_limit metadata)}], [{ m => 0 }, { n => 5000 },
        { a => [1, 2] }], 'and are shown where they can be changed, and nowhere else');
    my $info = sub { admin("/key/info?key=$made->{token}")->{info} };
    admin('/key/update', { %{$info->()}, model_rpm_limit => { m => 100 } });
    is(status($made->{key}), 200, 'changed there');
    admin('/key/update', { key => $made->{key}, metadata => { model_rpm_limit => { m => 0 } } });
    is(status($made->{key}), 429, 'or by metadata again');
    is_deeply([@{$info->()}{qw(model_tpm_limit metadata)}], [{ n => 5000 }, {}],
        'what it does not say stays, other metadata is replaced');
    admin('/key/update', { key => $made->{key}, metadata => { model_rpm_limit => {} } });
    is(status($made->{key}), 200, 'none is none there, too');
    my $both = { model_rpm_limit => { m => 5, n => 6 } };
    is_deeply(admin('/key/generate', { %$both, metadata => $both })->{model_rpm_limit},
        $both->{model_rpm_limit}, 'twice the same');
    is_deeply(admin('/key/generate', { model_rpm_limit => undef, metadata => $both })->{model_rpm_limit},
        $both->{model_rpm_limit}, 'in one place');
    for my $kind (qw(key team user)) {
        my $path = $kind eq 'key' ? '/key/generate' : "/$kind/new";
        is(param_of($path, { metadata => { model_tpm_limit => $_->[0] }, model_tpm_limit => $_->[1] }),
            'model_tpm_limit', "$kind: $_->[2]") for [{ m => 5 }, { m => 6 }, 'two that differ'],
            [{ m => 5, n => 7 }, { m => 5 }, 'one that says more'], [{ m => -1 }, undef, 'no limit'],
            [5, undef, 'no object'], [{ nosuch => 1 }, undef, 'no model'];
    }
    my $team = admin('/team/new', { metadata => { model_rpm_limit => { m => 0 } } })->{team_id};
    is(status(admin('/key/generate', { team_id => $team })->{key}), 429, 'of a team');
    my $user = admin('/user/new', { metadata => { model_rpm_limit => { m => 0 } } });
    is(status($user->{key}), 429, 'of a user');
};

# What LiteLLM's own clients send and its proxy takes.
subtest 'other forms of members' => sub {
    my $made = admin('/key/generate', { max_budget => '10.50', rpm_limit => '5', tpm_limit => '0',
        soft_budget => '0.25', model_rpm_limit => { m => '7' }, budget_limits =>
        [{ max_budget => '3', budget_duration => '1d' }], permissions => { pii => \0, customers => \0,
        more => undef } });
    is_deeply([@$made{qw(max_budget rpm_limit tpm_limit soft_budget model_rpm_limit budget_limits)}],
        [10.5, 5, 0, 0.25, { m => 7 }, [{ max_budget => 3, budget_duration => '1d' }]],
        'numbers that are texts');
    is(status($made->{key}), 429, 'hold');
    is_deeply([sort keys %{$made->{permissions}}], ['customers'], 'a right that nobody has can be taken away');
    my $texts = { key_alias => '', team_id => '', user_id => '', key => '' };
    my $empty = admin('/key/generate', $texts);
    is_deeply([@$empty{qw(key_alias team_id user_id)}], [undef, undef, undef], 'an empty text is none');
    my $of = admin('/key/generate', { key_alias => 'to be emptied', user_id => 'u' })->{key};
    my $after = admin('/key/update', { key => $of, key_alias => '' });
    is_deeply([@$after{qw(key_alias user_id)}], [undef, 'u'], 'also in an update');
    is(param_of('/key/update', { key => $of, $_ => '' }), $_, "an empty $_ is no text and no number")
        for qw(rpm_limit max_budget budget_duration duration);
    is(param_of('/key/regenerate', { key => $of, grace_period => '' }), 'grace_period', 'nor a time');
    is(admin("/key/info?key=$of")->{info}{key_alias}, undef, 'nothing else was changed');
};

subtest 'the duration of a budget that comes later' => sub {
    for (['/key/generate', '/key/update', 'key', sub { $_[0] }], ['/team/new', '/team/update', 'team_id',
        sub { $_[0]{data} }], ['/customer/new', '/customer/update', 'user_id', sub { $_[0] }])
    {
        my ($new, $update, $name, $inside) = @$_;
        my $made = admin($new, { budget_duration => '7d', $name eq 'user_id' ? (user_id => 'late') : () });
        my $is = sub {
            my ($given, $amount, $duration, $what) = @_;
            my $r = $inside->(admin($update, { $name => $made->{$name}, %$given }));
            is_deeply([@$r{qw(max_budget budget_duration)}], [$amount, $duration], "$name: $what");
        };
        is_deeply([@$made{qw(max_budget budget_duration)}], [undef, '7d'], 'is kept');
        $is->({ rpm_limit => 5 }, undef, '7d', 'and stays');
        $is->({ max_budget => 5 }, 5, '7d', 'until there is one');
        $is->({ max_budget => undef }, undef, '7d', 'and when that is taken away');
        $is->({ budget_duration => '30d' }, undef, '30d', 'another one');
        $is->({ max_budget => undef, budget_duration => '12h' }, undef, '12h', 'both said');
        $is->({ max_budget => 2 }, 2, '12h', 'it is what was said last');
        $is->({ max_budget => undef, budget_duration => undef }, undef, undef, 'none');
        $is->({ max_budget => 3 }, 3, undef, 'for ever');
    }
    my $key = admin('/key/generate', { budget_duration => '1d', budget_limits =>
        [{ max_budget => 3, budget_duration => '1d' }] })->{key};
    is(status($key), 200, 'it limits nothing');
    is(param_of('/key/update', { key => $key, max_budget => 3 }), 'max_budget', 'two for one duration');
};

subtest 'several keys at a time' => sub {
    my @keys = map { admin('/key/generate', { key_alias => "some-$_", rpm_limit => 100 + $_ })->{key} } 1 .. 3;
    my $asked = [$keys[2], 'sk-nobody-has-it', sha256_hex($keys[0]), 'sk-configured'];
    my $answer = admin('/v2/key/info', { keys => $asked });
    is_deeply($answer->{key}, $asked, 'as they were asked for');
    is_deeply([map { "$_->{key_alias} " . ($_->{rpm_limit} // '') } @{$answer->{info}}],
        ['some-3 103', 'some-1 101', 'of-conf '], 'those that are known');
    is(param_of('/v2/key/info', $_->[0]), $_->[1], "$_->[1] is wrong") for [{}, 'keys'], [{ keys => [] }, 'keys'],
        [{ keys => [5] }, 'keys'], [{ keys => $asked, page => 2 }, 'page'];
};

subtest 'a regenerated key in lists' => sub {
    admin('/user/new', { user_id => 'turner', auto_create_key => \0 });
    my $made = admin('/key/generate', { key_alias => 'turned', team_id => 'conf-team', user_id => 'turner',
        metadata => { replaced_by => 'nobody' } });
    my $next = admin('/key/regenerate', { key => $made->{key}, grace_period => '1h' });
    for my $list ('/key/list?size=1000', '/key/list?key_alias=turned', '/key/list?team_id=conf-team',
        '/key/list?sort_by=spend&size=1000')
    {
        my %is_there = map { $_ => 1 } @{admin($list)->{keys}};
        ok($is_there{ $next->{token} }, "$list: it is there");
        ok(!$is_there{ $made->{token} }, 'its former value is no other key');
    }
    for my $info ('/team/info?team_id=conf-team', '/user/info?user_id=turner') {
        my $text = encode_json_o(admin($info));
        like($text, qr/$next->{token}/, "$info: it is there");
        unlike($text, qr/$made->{token}/, 'without its former value');
    }
    is_deeply(admin("/key/list?key_hash=$made->{token}")->{keys}, [$made->{token}], 'asked for, it is shown');
    admin('/key/delete', { keys => [$next->{key}] });
};

subtest 'aliases of keys' => sub {
    my $old = admin('/key/generate', { key_alias => 'Alias of b', team_id => 'conf-team' })->{key};
    admin('/key/regenerate', { key => $old, grace_period => '1h' });
    admin('/key/generate', { key_alias => 'alias of A' });
    admin('/key/generate', {});
    is_deeply(admin('/key/aliases?search=ALIAS')->{aliases}, ['Alias of b', 'alias of A'],
        'each once, those that have one');
    my $all = admin('/key/aliases');
    ok((grep { $_ eq 'of-conf' } @{$all->{aliases}}), 'configured ones, too');
    is_deeply([map { $all->{$_} } qw(total_count current_page total_pages size)],
        [scalar @{$all->{aliases}}, 1, 1, 50], 'a page');
    is_deeply(admin('/key/aliases?search=alias+of&size=1&page=2')->{aliases}, ['alias of A'], 'another');
    is_deeply(admin('/key/aliases?team_id=conf-team')->{aliases}, ['Alias of b', 'of-conf'], 'of a team');
    admin('/key/aliases?key_alias=x', undef, status => 400, what => 'not filtered by what is not known');
};

subtest 'teams in pages' => sub {
    admin('/team/new', { team_id => "paged-$_->[0]", team_alias => "Paged $_->[1]" })
        for [1, 'c'], [2, 'a'], [3, 'b'];
    my $ids = sub {
        my $answer = admin("/v2/team/list?team_alias=paged&$_[0]");
        is($answer->{total}, 3, 'of three');
        return join ' ', map { $_->{team_id} } @{$answer->{teams}};
    };
    is($ids->('sort_by=team_alias'), 'paged-2 paged-3 paged-1', 'by alias');
    is($ids->('sort_by=team_id&sort_order=desc'), 'paged-3 paged-2 paged-1', 'by id');
    is($ids->('sort_by=team_id&page_size=2&page=2'), 'paged-3', 'a page');
    my $one = admin('/v2/team/list?team_id=conf-team');
    is_deeply([map { $one->{$_} } qw(total page page_size total_pages)], [1, 1, 10, 1], 'one');
    is($one->{teams}[0]{source}, 'configuration', 'which is configured');
    is(admin("/v2/team/list?$_->[0]", undef, status => 400)->{error}{param}, $_->[1], "not $_->[0]")
        for ['user_id=x', 'user_id'], ['sort_by=spend', 'sort_by'], ['page=0', 'page'];
};

subtest 'the key of a team and of no user' => sub {
    my $made = admin('/key/service-account/generate', { team_id => 'conf-team', user_id => 'ada',
        key_alias => 'service' });
    is_deeply([@$made{qw(team_id user_id key_alias)}], ['conf-team', undef, 'service'], 'made');
    is(status($made->{key}), 200, 'and good');
    is(param_of('/key/service-account/generate', {}), 'team_id', 'not without a team');
    is(param_of('/key/service-account/generate', { team_id => 'nosuch' }), 'team_id', 'nor with any');
};

subtest 'what users spent' => sub {
    my %key = map { $_ => admin('/user/new', { user_id => "spender-$_" })->{key} } 1 .. 3;
    status($key{2}) for 1 .. 2;
    status($key{3});
    my @users = grep { $_->{user_id} =~ /^spender/ } @{admin('/spend/users')};
    is_deeply([map { $_->{user_id} } @users], [qw(spender-2 spender-3 spender-1)], 'who most, first');
    cmp_ok($users[0]{spend}, '>', $users[1]{spend}, 'with what it is');
    # Not 200 for what has no effect: budgets do not begin anew.
    is(param_of($_->[0], { %{$_->[1]}, spend => 0 }), 'spend', "$_->[0]: that is not taken back")
        for ['/user/update', { user_id => 'spender-2' }], ['/key/update', { key => $key{2} }];
    is_deeply([map { $_->{user_id} } @{admin('/spend/users?user_id=spender-1')}], ['spender-1'], 'one');
};

# Also of those that are made within a second.
subtest 'lists in the order in which records were made' => sub {
    my @names = map { "row-$_" } 1 .. 12;
    my @keys;
    for my $name (@names) {
        push @keys, admin('/key/generate', { key_alias => $name, team_id => 'conf-team' })->{token};
        admin('/team/new', { team_id => $name, team_alias => 'in a row' });
        admin('/user/new', { user_id => $name, auto_create_key => \0 });
    }
    my %mine = map { $_ => 1 } @keys;
    for (['size=100', [reverse @keys]], ['team_id=conf-team&sort_order=asc&size=100', \@keys]) {
        is_deeply([grep { $mine{$_} } @{admin("/key/list?$_->[0]")->{keys}}], $_->[1], "keys, $_->[0]");
    }
    is_deeply([map { $_->{team_id} } @{admin('/v2/team/list?team_alias=row&page_size=12')->{teams}}],
        [reverse @names], 'teams');
    admin('/team/update', { team_id => 'row-3', rpm_limit => 5 });
    is_deeply([map { $_->{team_id} } @{admin('/v2/team/list?team_alias=row&sort_by=created_at&page_size=12')
        ->{teams}}], \@names, 'the first first, also when one was changed');
    my $users = admin('/user/list?sort_by=created_at&page_size=100&user_ids=' . join ',', @names);
    is_deeply([map { $_->{user_id} } @{$users->{users}}], \@names, 'users');
};

$t->done;
