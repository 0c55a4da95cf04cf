# /key/*: keys at run time, with the paths and members of LiteLLM's API. Every change holds at once
# in all workers: case 55.

use strict;
use warnings;
use LLM::Test;
use Time::Local qw(timegm);
use Digest::SHA qw(sha256_hex);
use Time::Local qw(timegm);

my $t = LLM::Test->new(workers => 2, access_log => 1);
$t->http_conf(<<"END");
    log_format who '\$status \$llm_key_alias';
    access_log logs/combined.log combined;
    llm_provider mock { }
    llm_model m { deployment mock/m input_cost=1e-9 output_cost=1e-9; alias also; }
    llm_model n { deployment mock/n; }
    llm_master_key sk-master;
    llm_team conf-team { models m; }
    llm_key sk-configured { alias configured; team conf-team; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; }
        location = /health { llm_health; }
        location /open/ {
            llm_pass models;
            llm_auth off;
            access_log logs/combined.log combined;
        }
        location /denied { llm_metrics; deny all; }
        location /denied/key/ { llm_admin; deny all; }
        location /led/ { error_page 401 404 \@elsewhere; llm_pass models; access_log logs/combined.log combined; }
        location \@elsewhere { return 402 no; access_log logs/combined.log combined; }
        location /denied/v1/ {
            llm_pass models;
            deny all;
            access_log logs/combined.log combined;
            access_log logs/who.log who;
        }
        location = /if { if (\$arg_key) { set \$x 1; } llm_metrics; }
    }
END
$t->start;

sub admin {
    my ($path, $body, %o) = @_;
    my $r = $body ? $t->post("/admin$path", $body, headers => { Authorization => 'Bearer sk-master' })
        : $t->get("/admin$path", headers => { Authorization => 'Bearer sk-master' });

    is($r->{status}, $o{status} || 200, $o{what} || $path) or diag($r->{body});
    like($r->{headers}{'content-type'}, qr{\Aapplication/json}, 'is JSON');
    return decode_json($r->{body});
}

sub timegm_of {
    my ($y, $mo, $d, $h, $mi, $s) = $_[0] =~ /\A(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z\z/
        or return 0;
    return timegm($s, $mi, $h, $d, $mo - 1, $y);
}

# Asked so often that each worker is: a change holds everywhere at once.
sub status {
    my ($key, $model) = @_;
    my %seen;

    for (1 .. 12) {
        $seen{$t->post('/v1/chat/completions', { model => $model || 'm',
            messages => [{ role => 'user', content => 'x' }] },
            headers => { 'x-api-key' => $key })->{status}}++;
    }
    return join ' ', sort keys %seen;
}

my $made = admin('/key/generate', { key_alias => 'first', models => ['m'], rpm_limit => 100_000,
    max_budget => 12.5, budget_duration => '30d', metadata => { 'a b' => [1, { c => 'd "e"' }] },
    budget_limits => [{ budget_duration => '1d', max_budget => 1 }], duration => '1h',
    model_rpm_limit => { m => 50_000 }, tags => ['t1'], aliases => { mine => 'm' }, blocked => \0,
    permissions => {}, team_id => undef, guardrails => [] });
my $key = $made->{key};

subtest 'generate' => sub {
    like($key, qr/\Ask-[\w-]{32}\z/, 'a key');
    is($made->{token}, sha256_hex($key), 'and its hash');
    is(substr($key, -4), substr($made->{key_name}, -4), 'and its end');
    is($made->{max_budget}, 12.5, 'as it was asked for');
    is_deeply($made->{budget_limits}, [{ budget_duration => '1d', max_budget => 1 }], 'budgets');
    is_deeply($made->{metadata}, { 'a b' => [1, { c => 'd "e"' }] }, 'metadata');
    is($made->{tpm_limit}, undef, 'no limit is null');
    like($made->{expires}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, 'expires');
    is(status($key), 200, 'it opens the door');
    is(status($key, 'mine'), 200, 'under a name of its own, too');
    is(status($key, 'n'), 403, 'to its models only');
    my $own = admin('/key/generate', { key => 'sk-chosen-by-me' });
    is(status('sk-chosen-by-me'), 200, 'a key that was chosen');
    admin('/key/generate', { key => 'sk-chosen-by-me' }, status => 409, what => 'not twice');
    admin('/key/generate', { key => $_ }, status => 409, what => "nor $_")
        for qw(sk-master sk-configured);
};

subtest 'info' => sub {
    for my $name ($key, $made->{token}) {
        my $info = admin("/key/info?key=$name");
        is($info->{key}, $made->{token}, 'by key and by hash');
        is($info->{info}{key_alias}, 'first', 'its alias');
        is_deeply($info->{info}{models}, ['m'], 'its models');
        is($info->{info}{key}, undef, 'the key itself is not known any more');
    }
    is(admin('/key/info?key=sk-configured')->{info}{source}, 'configuration', 'of llm_key');
    for my $of (['1d', 1, 86400], ['7d', 1, 7 * 86400], ['30d/rolling', 0], [undef, 0]) {
        my ($duration, $begins, $most) = @$of;
        my $one = admin('/key/generate', { max_budget => 5, budget_duration => $duration })->{key};
        my $at = admin("/key/info?key=$one")->{info}{budget_reset_at};
        if (!$begins) {
            is($at, undef, ($duration // 'no duration') . ': begins anew at no moment');
            next;
        }
        my @n = ($at // '') =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/;
        my $left = @n ? timegm(@n[5, 4, 3, 2], $n[1] - 1, $n[0]) - time : 0;
        ok(@n && $left > -5 && $left <= $most, "$duration: begins anew within that time") or diag($at);
        admin('/key/update', { key => $one, budget_reset_at => $at });
    }
    admin('/key/info?key=sk-none', undef, status => 404);
    admin('/key/info', undef, status => 400);
};

subtest 'update' => sub {
    admin('/key/update', { key => $key, models => ['n'], rpm_limit => undef });
    is(status($key), 403, 'case 55: holds at once in every worker');
    is(status($key, 'n'), 200, 'in both ways');
    my $info = admin("/key/info?key=$key")->{info};
    is($info->{rpm_limit}, undef, 'null takes a limit away');
    is($info->{max_budget}, 12.5, 'what is not named stays');
    admin('/key/update', { key => $key, max_budget => 3 });
    is(admin("/key/info?key=$key")->{info}{budget_duration}, '30d', 'the other half, too');
    admin('/key/update', { key => $key, models => [] });
    admin('/key/update', { key => 'sk-configured', models => [] }, status => 400);
    admin('/key/update', { key => 'sk-none', models => [] }, status => 404);
    admin('/key/update', { models => [] }, status => 400);
};

subtest 'limits of a model' => sub {
    my %budgets = (m => { budget_limit => 0, time_period => '1d' },
        n => [{ budget_limit => 2.5, time_period => '7d' }, { budget_limit => 9, time_period => undef }]);
    my $made = admin('/key/generate', { key_alias => 'by model', model_max_budget => \%budgets,
        model_max_parallel_requests => { n => 1000 }, models => [] });
    is_deeply($made->{model_max_budget}, \%budgets, 'as they were given');
    is_deeply($made->{model_max_parallel_requests}, { n => 1000 }, 'both');
    my $of = $made->{key};
    is(status($of), 429, 'nothing may be spent for m');
    is(status($of, 'n'), 200, 'n is not meant');
    admin('/key/update', { key => $of, model_max_parallel_requests => { n => 0 } });
    is(status($of, 'n'), 429, 'case 55: not one request at a time');
    admin('/key/update', { key => $of, model_max_budget => { also => '1.50', m => 5 } });
    is(status($of), 200, 'five dollars');
    my $info = admin("/key/info?key=$of")->{info};
    is_deeply($info->{model_max_budget}, { m => { budget_limit => 5, time_period => undef },
        also => { budget_limit => 1.5, time_period => undef } }, 'a bare number, too');
    is($info->{max_budget}, undef, 'which is not the key\'s');
    cmp_ok($info->{spend}, '<', 0.01, 'nor what was spent');
    my ($listed) = grep { ($_->{key_alias} // '') eq 'by model' }
        @{admin('/key/list?return_full_object=true&size=100')->{keys}};
    is_deeply($listed->{model_max_budget}, $info->{model_max_budget}, 'in the list');
    admin('/key/update', { key => $of, model_max_budget => undef, model_max_parallel_requests => {} });
    is(status($of, $_), 200, "taken away, $_") for qw(m n);
    $info = admin("/key/info?key=$of")->{info};
    is_deeply([@$info{qw(model_max_budget model_max_parallel_requests)}], [{}, {}], 'both');
    my $r = admin('/key/update', { key => $of, model_max_budget => { nosuch => 1 } }, status => 400);
    is($r->{error}{param}, 'model_max_budget', 'what is wrong');
    like($r->{error}{message}, qr/does not exist/, 'and why');
};

subtest 'a list of budgets' => sub {
    my @list = ({ budget_duration => '1d', max_budget => 5 }, { budget_duration => '30d', max_budget => 0 });
    my $of = admin('/key/generate', { budget_limits => \@list })->{key};
    my $shown = sub {
        my $info = admin("/key/info?key=$of")->{info};
        return { map { $_ => $info->{$_} } qw(max_budget budget_duration budget_limits) };
    };
    my $given = { max_budget => undef, budget_duration => undef, budget_limits => \@list };
    is_deeply($shown->(), $given, 'is shown as it was given');
    is(status($of), 429, 'and holds');
    for my $body ({ budget_limits => \@list }, $shown->(), { max_budget => undef }) {
        admin('/key/update', { key => $of, %$body });
        is_deeply($shown->(), $given, 'sent again: nothing changes');
    }
    is(status($of), 429, 'all of it holds');
    admin('/key/update', { key => $of, budget_limits => [$list[0]] });
    is_deeply($shown->()->{budget_limits}, [$list[0]], 'another one takes its place');
    is(status($of), 200, 'and that holds');
    admin('/key/update', { key => $of, max_budget => 0, budget_duration => '7d' });
    is(status($of), 429, 'a budget of its own beside it');
    admin('/key/update', { key => $of, %{$shown->()} });
    admin('/key/update', { key => $of, budget_limits => $_ }) for [@list], [], undef;
    is_deeply($shown->(), { max_budget => 0, budget_duration => '7d', budget_limits => [] },
        'which stays when the list goes');
    is(status($of), 429, 'and holds');
    admin('/key/update', { key => $of, max_budget => undef });
    is(status($of), 200, 'until it is taken away');
};

subtest 'block and unblock' => sub {
    is(status($key), 200, 'open');
    ok(admin('/key/block', { key => $key })->{blocked}, 'blocked');
    is(status($key), 401, 'case 55: at once');
    admin('/key/unblock', { key => $made->{token} });
    is(status($key), 200, 'open again');
};

subtest 'expiry' => sub {
    my $short = admin('/key/generate', { duration => '1s' })->{key};
    is(status($short), 200, 'before');
    $t->wait_for(sub { status($short) eq '401' }, 5, 'it ends');
    admin('/key/update', { key => $short, duration => '1h' });
    is(status($short), 200, 'for longer');
    admin('/key/update', { key => $short, expires => '2001-01-01T00:00:00Z' });
    is(status($short), 401, 'ended by date');
    my $r = admin("/key/$short/regenerate", {}, status => 400)->{error};
    is($r->{param}, 'expires', 'a new value would be good for nothing');
    my $new = admin("/key/$short/regenerate", { duration => '1h' })->{key};
    is(status($new), 200, 'unless it ends later');
    admin('/key/update', { key => $new, duration => undef });
    is(status($new), 200, 'for ever');
    my $end = '2099-01-01T00:00:00Z';
    is(admin('/key/generate', { duration => undef, expires => $end })->{expires}, $end,
        'null says nothing beside a time');
};

subtest 'regenerate' => sub {
    my $old = admin('/key/generate', { key_alias => 'turn' })->{key};
    my $new = admin('/key/regenerate', { key => $old })->{key};
    is(status($old), 401, 'the old one is no more');
    is(status($new), 200, 'the new one is in its place');
    admin('/key/generate', { key => $old }, status => 409, what => 'two keys would share a count');
    is(admin("/key/info?key=$new")->{info}{key_alias}, 'turn', 'with all that it had');
    my $third = admin("/key/$new/regenerate", { grace_period => '1s', new_key => 'sk-third-key',
        models => ['m'] })->{key};
    is($third, 'sk-third-key', 'chosen');
    is(status($new), 200, 'the old one is good for a while');
    is(status($third, 'n'), 403, 'the new one is changed');
    $t->wait_for(sub { status($new) eq '401' }, 5, 'its end');
    admin('/key/regenerate', { key => $third, grace_period => 'soon' }, status => 400);
};

# Until its end the old one is the same key: whoever takes the new one away means both.
subtest 'regenerate: the old one is another name of the new one' => sub {
    my $first = admin('/key/generate', { key_alias => 'of two' })->{key};
    my $second = admin('/key/regenerate', { key => $first, grace_period => '1h' })->{key};
    admin('/key/block', { key => $second });
    is(status($first), 401, 'blocked with it');
    admin('/key/unblock', { key => $second });
    is(status($first), 200, 'and open with it');
    admin('/key/update', { key => $second, models => ['n'] });
    is(status($first, 'm'), 403, 'it may use what the new one may');
    for my $call ('block', 'update', 'regenerate') {
        my $error = admin("/key/$call", { key => $first }, status => 400)->{error};
        like($error->{message}, qr/was regenerated/, "$call: the new one is to be named");
    }
    my $third = admin('/key/regenerate', { key => $second })->{key};
    is(status($second), 401, 'the second one has no grace');
    is(status($first, 'n'), 200, 'what the first one has does not end with that');
    admin('/key/delete', { key_aliases => ['of two'] });
    is(status($third), 401, 'deleted');
    is(status($first), 401, 'and the first one with it');
    admin("/key/info?key=$first", undef, status => 404, what => 'nothing is left of it');
};

# LiteLLM refuses a second key with an alias: whoever finds keys by it finds one.
subtest 'an alias is one key\'s' => sub {
    my $one = admin('/key/generate', { key_alias => 'only one' });
    my $two = admin('/key/generate', { key_alias => 'another' });
    my $refused = sub {
        my ($path, $body) = @_;
        my $error = admin($path, $body, status => 400)->{error};
        is($error->{param}, 'key_alias', 'names it');
        like($error->{message}, qr/already exists/, 'and says why');
    };
    $refused->('/key/generate', { key_alias => $_ }) for 'only one', 'configured';
    $refused->('/key/update', { key => $two->{key}, key_alias => $_ }) for 'only one', 'configured';
    $refused->('/key/regenerate', { key => $two->{key}, key_alias => 'only one' });
    $refused->('/user/new', { key_alias => 'only one', user_id => 'nobody' });
    admin('/user/info?user_id=nobody', undef, status => 404, what => 'nor is the user made');
    is(admin("/key/info?key=$two->{key}")->{info}{key_alias}, 'another', 'nothing was changed');
    admin('/key/update', { key => $one->{key}, key_alias => 'only one', rpm_limit => 7 });
    admin('/key/generate', {}) for 1, 2;    # none is no alias
    my $next = admin('/key/regenerate', { key => $one->{key}, grace_period => '1h' });
    is($next->{key_alias}, 'only one', 'a new key of the same one keeps it');
    admin('/key/update', { key => $next->{key}, key_alias => 'only one' });
    my $third = admin('/key/regenerate', { key => $next->{key}, key_alias => 'only one' });
    admin('/key/update', { key => $third->{key}, key_alias => 'renamed' });
    admin('/key/delete', { keys => [$one->{key}] });
    $two = admin('/key/update', { key => $two->{key}, key_alias => 'only one' });
    is($two->{key_alias}, 'only one', 'what nobody has any more is free');
    admin('/key/delete', { key_aliases => ['only one'] });
    admin('/key/generate', { key_alias => 'only one' });
    is(admin('/key/delete', { key_aliases => ['configured'] }, status => 400)->{error}{param},
        'key_aliases', 'a key of the configuration stays');

    # Of many at a time, in two workers, one is made.
    my @streams = map { $t->stream('/admin/key/generate', { key_alias => 'race' }, headers =>
        { 'x-api-key' => 'sk-master' }) } 1 .. 20;
    my %seen;
    $seen{$_->status}++ for @streams;
    is_deeply(\%seen, { 200 => 1, 400 => 19 }, 'also of many that come at once');
};

subtest 'how long' => sub {
    my $made = admin('/key/generate', { duration => '-1' });
    is($made->{expires}, undef, '-1 is for ever');
    my $seconds = sub {
        my $expires = admin('/key/update', { key => $made->{key}, duration => $_[0] })->{expires};
        return timegm_of($expires) - time;
    };
    my %length = ('30s' => 30, '30m' => 1800, '30h' => 108_000, '30d' => 2_592_000,
        '1w' => 604_800, '1mo' => 2_592_000);
    for (sort keys %length) {
        my $got = $seconds->($_);
        ok(abs($got - $length{$_}) <= 5, "$_ is $got seconds");
    }
    is(admin('/key/update', { key => $made->{key}, duration => -1 })->{expires}, undef,
        'for ever again');
    for (qw(-2 30x 1y d 0d), '1 d', '') {
        is(admin('/key/update', { key => $made->{key}, duration => $_ }, status => 400)->{error}{param},
            'duration', "not $_");
    }
    my $at = sub { admin('/key/update', { key => $made->{key}, expires => $_[0] })->{expires} };
    is($at->('2030-01-31T00:30:00+02:00'), '2030-01-30T22:30:00Z', 'a time with a zone');
    is($at->('2030-12-31T23:00:00.123456-01:30'), '2031-01-01T00:30:00Z', 'west of Greenwich');
    is($at->($_), '2030-01-31T12:00:00Z', $_) for qw(2030-01-31T12:00:00Z 2030-01-31t12:00:00z
        2030-01-31T12:00:00), '2030-01-31 12:00:00+00:00';
    for (qw(2030-01-31T12:00:00+2 2030-01-31T12:00:00+0200 2030-01-31T12:00:00+24:00
        2030-01-31T12:00:00+02:60 2030-01-31T12:00:00CET 1970-01-01T00:00:00+01:00)) {
        admin('/key/update', { key => $made->{key}, expires => $_ }, status => 400, what => "not $_");
    }
};

subtest 'list' => sub {
    my $team = admin('/team/new', { team_id => 'pages' })->{team_id};
    admin('/key/generate', { key_alias => "page-$_", team_id => $team,
        user_id => $_ % 2 ? 'odd' : 'even' }) for 1 .. 25;
    my $list = admin('/key/list?size=10&page=3&team_id=pages');
    is($list->{total_count}, 25, 'all');
    is($list->{total_pages}, 3, 'in pages');
    is(scalar @{$list->{keys}}, 5, 'the last one');
    my %seen;
    $seen{$_}++ for map { @{admin("/key/list?size=10&page=$_&team_id=pages")->{keys}} } 1 .. 4;
    is(scalar keys %seen, 25, 'each on one page');
    is(admin('/key/list?user_id=odd')->{total_count}, 13, 'of a user');
    is(admin('/key/list?user_id=odd&key_alias=page-3')->{total_count}, 1, 'by alias');
    is(admin('/key/list?user_id=odd&key_alias=page-4')->{total_count}, 0, 'all filters hold');
    is(admin('/key/list?key_hash=' . sha256_hex($key))->{keys}[0], sha256_hex($key), 'by hash');
    is(admin('/key/list?team_id=conf-team')->{total_count}, 1, 'of a team, configured ones, too');
    my $full = admin('/key/list?return_full_object=true&key_alias=first');
    is($full->{keys}[0]{key_alias}, 'first', 'whole records');
    admin("/key/list?$_", undef, status => 400) for qw(page=0 page=x size=0 size=100000 page=-1);
};

subtest 'sorted lists' => sub {
    admin('/team/new', { team_id => 'sorted' });
    my %of = (beta => { max_budget => 20 }, Alpha => { max_budget => 3.5 }, gamma => {},
        delta => { max_budget => 100 }, '' => { max_budget => 1 });
    my %key = map { $_ => admin('/key/generate', { %{$of{$_}}, team_id => 'sorted',
        length $_ ? (key_alias => $_) : () })->{key} } sort keys %of;
    status($key{gamma});
    $t->post('/v1/chat/completions', { model => 'm', max_tokens => 5, messages =>
        [{ role => 'user', content => 'x' x 5000 }] }, headers => { 'x-api-key' => $key{Alpha} });
    my $order = sub {
        my $list = admin("/key/list?team_id=sorted&return_full_object=true&$_[0]");
        is($list->{total_count}, 5, 'all of them');
        return join ' ', map { $_->{key_alias} // '-' } @{$list->{keys}};
    };
    is($order->('sort_by=key_alias&sort_order=asc'), 'Alpha beta delta gamma -', 'by alias');
    is($order->('sort_by=max_budget'), 'gamma delta beta Alpha -',
        'the largest first, no limit is the largest');
    is($order->('sort_by=max_budget&sort_order=ASC'), '- Alpha beta delta gamma', 'or the least');
    like($order->('sort_by=spend&size=2'), qr/\AAlpha gamma\z/, 'who spent most');
    is($order->('sort_by=max_budget&size=2&page=2'), 'beta Alpha', 'a page of it');
    my @hashes = sort map { sha256_hex($_) } values %key;
    is_deeply(admin('/key/list?team_id=sorted&sort_by=token')->{keys}, [reverse @hashes], 'by hash');
    is_deeply(admin('/key/list?team_id=sorted&sort_by=token&sort_order=asc')->{keys}, \@hashes,
        'the other way');
    my $made = time;
    $t->wait_for(sub { time > $made }, 5, 'the next second');
    my $last = admin('/key/generate', { key_alias => 'late', team_id => 'sorted' })->{token};
    is(admin('/key/list?team_id=sorted&sort_by=created_at&sort_order=desc')->{keys}[0], $last,
        'the newest first');
    my $mine = sub { (grep { ($_->{source} // '') ne 'configuration' } @{admin("/key/list?size=1000&"
        . "return_full_object=true$_[0]")->{keys}})[0]{token} };
    is($mine->($_), $last, "as usual: $_") for '', '&team_id=sorted';
    is(admin('/key/list?team_id=sorted&sort_order=asc')->{keys}[-1], $last, 'or the last one');
    is(admin('/key/list?size=1&return_full_object=true')->{keys}[0]{source}, 'configuration',
        'keys of llm_key, which have no such time, come first');
    for (['sort_by=nosuch', 'sort_by'], ['sort_by=spend&sort_order=up', 'sort_order']) {
        is(admin("/key/list?$_->[0]", undef, status => 400)->{error}{param}, $_->[1], "not $_->[0]");
    }
};

subtest 'delete' => sub {
    my @keys = map { admin('/key/generate', { key_alias => "gone-$_" })->{key} } 1 .. 3;
    is_deeply(admin('/key/delete', { keys => [$keys[0]] })->{deleted_keys}, [$keys[0]], 'by key');
    is(status($keys[0]), 401, 'case 55: at once');
    admin('/key/delete', { keys => [$keys[1], 'sk-none'] }, status => 404);
    is(status($keys[1]), 200, 'all of them or none');
    admin('/key/delete', { key_aliases => ['gone-2', 'gone-3'] });
    is(status($keys[1]), 401, 'by alias');
    is(status($keys[2]), 401, 'both');
    admin('/key/delete', {}, status => 400);
    admin('/key/generate', { key => $keys[0] });
    is(status($keys[0]), 200, 'it can be made again');
};

subtest 'case 67: no key in the log' => sub {
    my $chosen = 'chosen-without-the-usual-begin';
    my $hash = sha256_hex('some key');
    admin('/key/generate', { key => $chosen });
    admin('/spend/logs?limit=5&api_key=sk-raw-key-of-logs&user_id=x');
    admin('/global/spend/logs?api_key=sk-raw-key-of-days');
    admin('/key/list?key_hash=sk-raw-key-of-list');
    admin('/key/list?nosuch=sk-raw-key-of-nothing', undef, status => 400);
    admin("/key/$chosen/regenerate?x=", { new_key => 'chosen-again' });
    admin('/key/chosen%2Dagain/regenerate', { new_key => 'sk-at-the-end' });
    admin('/key/delete', { keys => ['sk-at-the-end'] });
    admin("/key/sk-raw-key-of-an-other-method/regenerate", undef, status => 405);
    admin($_, undef, status => 404)
        for '/key/sk-raw-key-of-none', '/KEY/%73k-raw-key-of-none/x', '/key/info;key=sk-raw-key-of-none';
    admin('/key/info?key%3Dsk-raw-key-of-none', undef, status => 400);
    is($t->get("/$_?key=sk-raw-key-of-a-page&api_key=raw-chosen-without&x=sk-raw-key")->{status},
        200, $_) for qw(health metrics if);
    # nginx itself writes an error log of what it refuses early.
    is($t->get("/$_?key=sk-early")->{status}, 403, $_) for qw(denied denied/key/sk-early denied/v1/models);
    is($t->get('/denied/v1/models?key=sk-configured')->{status}, 403, 'a key that is known');
    # Whatever a key looks like: those of providers begin otherwise.
    admin($_->[0], $_->[1], status => $_->[2]) for ['/key/AIzaRaw-method/regenerate', undef, 405],
        ['/key/AIzaRaw-word/regenerat', {}, 404], ['/key/AIzaRaw-alone', {}, 404],
        ['//key//AIzaRaw-slashes/regenerate?x=', {}, 404], ['/%6Bey/AIzaRaw-escaped/regenerate', {}, 404],
        ['/key/AIzaRaw=a&b;c/regenerate', {}, 404], ["/key/$hash/regenerate", undef, 405],
        ['/key/list/', undef, 200];
    is($t->get("/denied/key/$_")->{status}, 403, $_) for 'AIzaRaw-denied/regenerate', 'AIzaRaw-denied';
    my $named = join '&', 'api_key=RawNamed-1', 'KEY=RawNamed-2', 'access_token=RawNamed-3',
        'Api-Key=RawNamed-4', '%6Bey=RawNamed-5', 'other=stays', 'x=sk-RawNamed-6';
    is($t->get("/$_?$named")->{status}, $_ eq 'open/v1/models' ? 200 : $_ =~ /denied/ ? 403 : 401, $_)
        for qw(v1/models denied/v1/models open/v1/models);
    # Also in the error log, and where an error_page leads elsewhere.
    is($t->get("/$_?other=led&api_key=RawLed-1&KEY=RawLed-2&x=sk-RawLed-3")->{status}, 401, $_)
        for qw(led/v1/models led/v1/nosuch);
    is($t->get('/led/v1/nosuch?other=led&api_key=RawLed-4', headers => { 'x-api-key' => 'sk-master' })
        ->{status}, 404, 'a good key');
    $t->wait_for(sub { 3 == (() = $t->slurp('logs/combined.log') =~ /other=led/g) }, 5, 'the log');
    unlike($_, qr/RawLed/, 'none that an error_page has to do with') for $t->log_text,
        $t->slurp('logs/combined.log');
    $t->wait_for(sub { $t->slurp('logs/who.log') =~ /^403 configured$/m }, 5, 'whose it is is logged');
    is($t->request('TRACE', '/v1/models?key=sk-early')->{status}, 405, 'TRACE');
    $t->wait_for(sub { $t->slurp('logs/combined.log') =~ m{/key/\*+/regenerate HTTP.*TRACE}s }, 5,
        'the log');
    for my $text ($t->log_text, $t->slurp('logs/combined.log')) {
        unlike($text, qr/sk-raw-key|chosen-without|chosen%2Dagain/, 'not of what was asked for');
    }
    unlike($t->slurp('logs/combined.log'), qr/sk-early|sk-configured/, 'nor of what was refused early');
    unlike($t->slurp('logs/combined.log'), qr/AIzaRaw|RawNamed/, 'nor of other keys');
    like($t->slurp('logs/combined.log'), qr{/key/$hash/regenerate}, 'a hash stays');
    like($t->slurp('logs/combined.log'), qr{/key/list/ }, 'and so does a word');
    is(() = $t->slurp('logs/combined.log') =~ /&other=stays&/g, 3, 'and what has another name');
    like($t->slurp('logs/combined.log'), qr{spend/logs\?limit=5&api_key=\*+&user_id=x},
        'the rest is there');
    $t->wait_for(sub { $t->slurp('logs/combined.log') =~ m{/key/delete} }, 5, 'the log');
    for my $text ($t->log_text, $t->slurp('logs/combined.log')) {
        unlike($text, qr/\Q$key\E|sk-master|sk-third-key/, 'none');
    }
    like($t->slurp('logs/combined.log'), qr{/key/info\?key=\*+}, 'only stars');
};

$t->done;
