# What two machines say of records while Redis is late: whatever was acknowledged is at both, whatever
# was refused is at none, whichever worker hands in what, and whatever is not answered in time.

use strict;
use warnings;
use LLM::Test;
use LLM::Crowd;
use LLM::Json qw(decode_json encode_json_o);
use LLM::Port qw(nap slow);
use LLM::Redis;
use LLM::RedisProxy;
use Time::HiRes qw(time);

my $redis = LLM::Redis->new;
my $proxy = LLM::RedisProxy->new($redis);
my $master = 'sk-master-of-two-machines';
my @auth = (headers => [Authorization => "Bearer $master"]);

sub machine {
    my ($url, $timeout, $has_file) = @_;
    my $t = LLM::Test->new(workers => 2);
    my $state = $has_file ? 'state=' . $t->dir . '/llm.state' : '';
    chmod 0777, $t->dir if $has_file;
    $t->http_conf("llm_zone 8m $state; llm_redis $url timeout=$timeout; llm_master_key $master;
        llm_provider mock { } llm_model m { deployment mock/m; }
        server { listen 127.0.0.1:%%PORT%% reuseport; add_header x-worker \$pid always;
            location / { llm_pass models; } location /admin/ { llm_admin; } }");
    $t->start;
    return $t;
}

# The one that is late waits for Redis as long as a subtest needs.
my ($late, $other) = (machine($proxy->url, '60s'), machine($redis->url, '5s'));
$late->wait_for(sub { $proxy->seen->{looks} }, 5, 'one of its workers to follow Redis');

sub admin { my ($t, $path, $body) = @_; return $t->post("/admin$path", $body, @auth) }
sub info  { my ($t, $key) = @_; return $t->get("/admin/key/info?key=$key", @auth) }

sub tokens_of {
    my ($t, $alias) = @_;
    my $r = $t->get("/admin/key/list?return_full_object=true&key_alias=$alias", @auth);
    return map { $_->{token} } @{$r->{json}{keys}};
}

# Soon: the worker that follows Redis has to hear of it first.
sub is_changed {
    my ($t, $key, %members) = @_;
    return $t->wait_for(sub { admin($t, '/key/update', { key => $key, %members })->{status} == 200 },
        10, 'it');
}

# In Redis: who has the alias, and all records that say so.
sub in_redis {
    my ($alias) = @_;
    my %data = @{$redis->cmd('HGETALL', 'llm:{records}:data')};
    return [$redis->cmd('HGET', 'llm:{records}:aliases', $alias),
        sort grep { $data{$_} =~ /"key_alias":"\Q$alias\E"/ } keys %data];
}

# Soon: who has heard of the other key refuses without asking Redis.
sub is_held {
    my ($wanted) = @_;
    my $end = time + slow(0.5);
    nap(0.005) while $proxy->seen->{held} != $wanted && time < $end;
    return $proxy->seen->{held};
}

# The worker that follows Redis loses its connection, and hands in what Redis may lack. True when it
# has, and has asked for more since: Redis has done it.
sub hands_in_all {
    my $before = $proxy->seen;
    $proxy->cut;
    $late->wait_for(sub { $proxy->seen->{pushes} > $before->{pushes} }, 10, 'all to be handed in');
    my $looks = $proxy->seen->{looks};
    return $late->wait_for(sub { $proxy->seen->{looks} > $looks + 1 }, 10, 'a look behind it');
}

# One worker's change is on its way while the other one hands in all that the machine has.
for my $what (qw(asks answers)) {
    subtest "a second key of an alias, Redis is late: its $what" => sub {
        my ($alias, $kept, $asked);
        # Another try when it came to the worker that follows Redis, or that has heard of the first.
        for my $try (1 .. 40) {
            $alias = "al-$what-$try";
            $proxy->hold($what => qq("key_alias":"$alias"));
            $kept = admin($other, '/key/generate', { key_alias => $alias }) if $what eq 'answers';
            $asked = $late->stream('/admin/key/generate', { key_alias => $alias }, @auth);
            is_held(1);
            $kept = admin($other, '/key/generate', { key_alias => $alias }) if $what eq 'asks';
            my $seen = $proxy->seen;
            last if $seen->{held} && !$seen->{is_looker_held};
            $proxy->release;
            is($asked->status, 400, 'a second one is refused');
            $asked->close;
            undef $asked;
        }
        ok($asked, 'one is on its way') or return;
        is($kept->{status}, 200, 'the first one');
        ok(hands_in_all(), 'all the rest is handed in');
        my @first = tokens_of($other, $alias);
        $proxy->release;
        is($asked->status, 400, 'the second one is refused, once Redis is heard')
            or diag($asked->read_body);
        $asked->close;
        my $looks = $proxy->seen->{looks};
        $late->wait_for(sub { $proxy->seen->{looks} > $looks + 2 }, 10, 'both to know');
        is(scalar @first, 1, 'there is one');
        is_deeply([tokens_of($_, $alias)], \@first, 'at both machines') for $late, $other;
        is(info($_, $kept->{json}{key})->{status}, 200, 'the one that was acknowledged') for $late, $other;
        is_deeply(in_redis($alias), [("key:$first[0]") x 2], 'and in Redis');
        hands_in_all();
        is_deeply(in_redis($alias), [("key:$first[0]") x 2], 'for good');
    };
}
# Nobody hears what became of its key. Both machines say the same, and an alias stays one key's.
for my $rival (0, 1) {
    my $name = 'a worker is killed on its way' . ($rival ? ', its alias goes to another key' : '');
    subtest $name => sub {
        my ($alias, $asked);
        for my $try (1 .. 40) {
            $alias = "killed-$rival-$try";
            $proxy->hold(asks => qq("key_alias":"$alias"));
            $asked = $late->stream('/admin/key/generate', { key_alias => $alias }, @auth);
            is_held(1);
            last if !$proxy->seen->{is_looker_held};
            $proxy->release;
            is($asked->status, 200, 'made');
            $asked->close;
        }
        hands_in_all();
        is(scalar(tokens_of($other, $alias)), 0, 'nobody else hands in what is on its way');
        my $kept = $rival && admin($other, '/key/generate', { key_alias => $alias });
        is($kept->{status}, 200, 'another key gets the alias') if $rival;
        $late->expect_log(qr/exited on signal 9/);
        for my $pid (reverse $late->worker_pids) {
            $late->kill_worker('KILL', $pid);
            $late->wait_for(sub { !grep { $_ == $pid } $late->worker_pids }, 5, 'it to be gone');
            last if !is_held(0);
        }
        is($proxy->seen->{held}, 0, 'the worker is gone');
        my $agree = sub { my @all = tokens_of($late, $alias);
            return @all == 1 && "@all" eq join ' ', tokens_of($other, $alias) };
        ok($late->wait_for($agree, 10, 'one'), 'there is one key, the same at both')
            or diag join ' ', map { "[@{[tokens_of($_, $alias)]}]" } $late, $other;
        my ($token) = tokens_of($late, $alias);
        is($token, $kept->{json}{token}, 'the one that was acknowledged') if $rival;
        hands_in_all();
        is_deeply(in_redis($alias), [("key:$token") x 2], 'and in Redis, for good');
        ok(is_changed($late, $token, rpm_limit => 9), 'it can be changed');
    };
}

$late->stop;
$late->cleanup;
$late = machine($proxy->url, '1s');

sub limits_of {
    my ($t, $key) = @_;
    my $info = info($t, $key)->{json}{info} || {};
    return join ' ', map { $_ // 'none' } @$info{qw(rpm_limit tpm_limit max_parallel_requests)};
}

sub new_key {
    my $key = admin($other, '/key/generate', {})->{json}{key};
    ok($late->wait_for(sub { info($late, $key)->{status} == 200 }, 5, 'it'), 'both know a key');
    return $key;
}

sub both_say {
    my ($key, $wanted, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $t ($late, $other) {
        ok($t->wait_for(sub { limits_of($t, $key) eq $wanted }, 10, 'it'), $name)
            or diag limits_of($t, $key);
    }
    return;
}

for my $what (qw(asks answers)) {
    subtest "changes that end without an answer: $what" => sub {
        my $key = new_key();
        $proxy->hold($what => '{records}', 1);
        is(admin($other, '/key/update', { key => $key, tpm_limit => 70_000 })->{status}, 200,
            'a change at one machine');
        my @asked = map { $late->stream("/admin/key/$_->[0]", $_->[1], @auth) }
            ['update', { key => $key, rpm_limit => 7 }], ['generate', { key_alias => "lost-$what" }];
        for my $s (@asked) {
            is($s->status, 500, 'one at the machine that Redis does not answer');
            like(decode_json($s->read_body)->{error}{message}, qr/Redis did not answer: .* withdrawn/,
                'says what is known');
        }
        is(limits_of($late, $key), 'none none none', 'was taken back');
        is(admin($late, '/key/update', { key => $key, rpm_limit => 8 })->{status}, 409,
            'no change is made of what may not hold');
        $proxy->release;
        # Of what it had before it would undo what the other one has had acknowledged.
        ok(is_changed($late, $key, max_parallel_requests => 3), 'Redis answers again: the next one is made');
        both_say($key, 'none 70000 3', 'what was acknowledged is there, what was refused is not');
        hands_in_all();
        is(limits_of($_, $key), 'none 70000 3', 'and stays') for $late, $other;
        is(scalar(tokens_of($_, "lost-$what")), 0, 'there is no new key') for $late, $other;
        ok($other->wait_for(sub { admin($other, '/key/generate', { key_alias => "lost-$what" })->{status}
            == 200 }, 5, 'its alias'), 'its alias is free');
        is(scalar(tokens_of($other, "lost-$what")), 1, 'for another one');
    };

    subtest "nobody waits for a change any more: $what" => sub {
        my $key = new_key();
        $proxy->hold($what => '{records}', 1);
        my $asked = $late->stream('/admin/key/update', { key => $key, rpm_limit => 7 }, @auth);
        ok($late->wait_for(sub { limits_of($late, $key) eq '7 none none' }, 5, 'it'), 'it is on its way');
        $asked->close;
        ok($late->wait_for(sub { limits_of($late, $key) eq 'none none none' }, 5, 'it'), 'it is taken back');
        $proxy->release;
        ok(is_changed($late, $key, max_parallel_requests => 3), 'the next one is made');
        both_say($key, 'none none 3', 'of what was there before');
    };

    subtest "a change that is not answered in time is asked for again: $what" => sub {
        my $key = new_key();
        my $lost = () = $late->log_text =~ /it does not answer in time/g;
        $proxy->hold($what => '{records}', 1);
        my $asked = $late->stream('/admin/key/update', { key => $key, rpm_limit => 7 }, @auth);
        my $made = $late->stream('/admin/key/generate', { key_alias => "again-$what" }, @auth);
        is_held(2);
        is(admin($other, '/key/update', { key => $key, tpm_limit => 70_000 })->{status}, 200,
            'one at another machine beside it');
        ok($late->wait_for(sub { (() = $late->log_text =~ /it does not answer in time/g) > $lost }, 10,
            'it'), 'Redis is late');
        $proxy->release;
        is($_->status, 200, 'it is made') || diag $_->read_body for $asked, $made;
        both_say($key, '7 70000 none', 'so is the other one');
        my ($token, $more) = tokens_of($late, "again-$what");
        is($more, undef, 'a new key is made once');
        ok($other->wait_for(sub { join(' ', tokens_of($other, "again-$what")) eq $token }, 5, 'it'),
            'for both machines');
    };
}

# No change is made of one of which nobody knows yet whether it holds.
subtest 'workers of one machine, and of two, change one key at once' => sub {
    my $here = machine($redis->url, '5s');
    my $key = admin($here, '/key/generate', {})->{json}{token};
    ok($here->wait_for(sub { info($other, $key)->{status} == 200 }, 5, 'the key'), 'both have it');
    my @members = qw(rpm_limit tpm_limit max_parallel_requests max_budget soft_budget);
    my (%statuses, %wanted);
    for my $round (1 .. 40) {
        my @jobs = map { { path => '/admin/key/update', headers => $auth[1],
            body => encode_json_o({ key => $key, $members[$_] => $round }) } } 0 .. $#members;
        my @answers = LLM::Crowd::ask($here, \@jobs, at_once => scalar @jobs);
        $statuses{$_->{status}}++ for @answers;
        %wanted = map { $_ => $round } @members;
        my $info = info($here, $key)->{json}{info};
        is_deeply({ map { $_ => $info->{$_} } @members }, \%wanted, "round $round") or last;
    }
    is_deeply(\%statuses, { 200 => 40 * @members }, 'all of them are made');
    ok($here->wait_for(sub { my $info = info($other, $key)->{json}{info};
        !grep { ($info->{$_} // 0) != $wanted{$_} } @members }, 5, 'both'), 'at the other machine, too');

    # What is answered with 200 holds, whichever machine answers, and nothing else.
    for my $round (41 .. 60) {
        my %held = %wanted;
        my (@streams, %asked);
        for my $n (0 .. 3) {
            my $at = $n % 2 ? $here : $other;
            $asked{$members[$n]} = $at->stream('/admin/key/update',
                { key => $key, $members[$n] => $round }, @auth);
        }
        for my $member (sort keys %asked) {
            my $s = $asked{$member};
            $s->read_body;
            is($s->status, 200, "$member is taken");
            $wanted{$member} = $s->status == 200 ? $round : $held{$member};
        }
        my $agree = sub { my ($t) = @_; my $info = info($t, $key)->{json}{info};
            return !grep { ($info->{$_} // 0) != $wanted{$_} } @members };
        ok($here->wait_for(sub { $agree->($here) && $agree->($other) }, 5, 'both'), "round $round")
            or do { diag(explain([map { info($_, $key)->{json}{info} } $here, $other], \%wanted)); last };
    }
    $here->done;
};

# A machine that is away takes changes, as long as it keeps them in a file. Whoever is to be locked out
# stays out, whichever machine said so.
subtest 'two machines change one record, one of them away' => sub {
    $late->stop;
    $late->cleanup;
    $late = machine($proxy->url, '100ms', 1);
    my @keys = map { new_key() } 0 .. 5;
    $proxy->hold(asks => '', 1);
    my %there = (0 => 'block', 1 => 'delete', 2 => 'update');
    my $change = sub {
        my ($t, $what, $key) = @_;
        my $r = admin($t, "/key/$what", $what eq 'delete' ? { keys => [$key] } : { key => $key,
            $what eq 'update' ? (tpm_limit => 70_000) : () });
        is($r->{status}, 200, "$what is taken");
    };
    # The first one waits until Redis is really away.
    $change->($late, 'update', $keys[$_]) for 0, 1;
    $change->($other, $there{$_}, $keys[$_]) for 0, 1, 2;
    is(admin($late, '/key/update', { key => $keys[2], rpm_limit => 7 })->{status}, 200, 'a later one here');
    $change->($late, 'block', $keys[3]);
    $change->($late, 'delete', $keys[4]);
    $change->($other, 'update', $keys[$_]) for 3, 4;
    $change->($late, 'block', $keys[5]);
    $proxy->release;
    my $shown = sub {
        my ($t, $key) = @_;
        my $r = info($t, $key);
        return $r->{status} == 200 ? ($r->{json}{info}{blocked} ? 'blocked' : 'open') : 'gone';
    };
    my @wanted = ('blocked', 'gone', 'open', 'blocked', 'gone', 'blocked');
    for my $t ($late, $other) {
        ok($t->wait_for(sub { join(' ', map { $shown->($t, $_) } @keys) eq "@wanted" }, 10, 'all'),
            'what was blocked or deleted anywhere is so') or diag join ' ', map { $shown->($t, $_) } @keys;
    }
    both_say($keys[2], '7 none none', 'of two other changes the later one holds');
    is(admin($other, '/key/unblock', { key => $keys[0] })->{status}, 200, 'unblocked by who knows');
    ok($late->wait_for(sub { $shown->($late, $keys[0]) eq 'open' }, 5, 'it'), 'it is open');
    hands_in_all();
    is($shown->($_, $keys[0]), 'open', 'and stays so') for $late, $other;
};

subtest 'a key for a team that another machine has deleted' => sub {
    for my $round (1 .. 3) {
        admin($other, '/team/new', { team_id => "short-$round" });
        ok($late->wait_for(sub { $late->get("/admin/team/info?team_id=short-$round", @auth)->{status}
            == 200 }, 5, 'it'), 'both know a team');
        admin($other, '/team/delete', { team_ids => ["short-$round"] });
        my $r = admin($late, '/key/generate', { team_id => "short-$round" });
        is($r->{status}, 400, 'no key comes to it');
        is($r->{json}{error}{param}, 'team_id', 'by name');
    }
};
$late->stop;

done_testing();
