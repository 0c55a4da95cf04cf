# A zone without a free byte: no new key has room, and every key that is there can be blocked,
# unblocked, updated and deleted, with a state file and without one, and after a restart, which leaves
# the metrics as much room as the state does not need.

use strict;
use warnings;
use LLM::Test;

sub conf {
    my ($state, $size) = @_;

    return 'llm_zone ' . ($size // '3m') . " $state;
        keepalive_requests 1000000;
        llm_provider mock { } llm_model m { deployment mock/m; } llm_master_key sk-master;
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { llm_pass models; }
            location /admin/ { llm_admin; }
            location = /metrics { llm_metrics; }
        }";
}

for my $has_state (0, 1) {
    subtest $has_state ? 'with a state file' : 'without one' => sub {
        my $t = LLM::Test->new(workers => 2);
        my $dir = $t->dir . '/state';
        mkdir $dir or die "$dir: $!";
        chmod 0777, $dir;
        $t->http_conf(conf($has_state ? "state=$dir/llm.state" : ''))->start;
        my $conn;
        my $admin = sub {
            my ($path, $body) = @_;
            my $r = $t->post("/admin$path", $body, headers => { 'x-api-key' => 'sk-master' },
                keep => 1, $conn ? (conn => $conn) : ());

            $conn = $r->{conn};
            return $r;
        };
        my $status = sub {
            my ($key) = @_;

            return $t->post('/v1/chat/completions', { model => 'm', messages =>
                [{ role => 'user', content => 'x' }] }, headers => { 'x-api-key' => $key })->{status};
        };
        # Small and large ones, until neither has room: of every size of block there is none.
        my (@keys, %refused);
        for my $turn ((map { [$_, 64] } 0, 64, 200, 600, 1200), [3000, 20], [9000, 20],
            map { [$_, 20_000] } 9000, 3000, 1200, 600, 200, 64, 0) {
            my ($padding, $most) = @$turn;
            my $failed = 0;
            # Sizes on either side of where a larger block is needed, until none of them has room.
            for my $n (1 .. $most) {
                my $key = sprintf 'sk-full-%d-%06d', $padding, scalar @keys;
                my $r = $admin->('/key/generate', { key => $key, rpm_limit => 100000,
                    metadata => { padding => 'x' x ($padding + $n % 64) } });
                $refused{$padding} = $r->{status};
                $failed = $r->{status} == 200 ? 0 : $failed + 1;
                last if $failed == 64;
                push @keys, [$key, $padding] if $r->{status} == 200;
            }
        }
        is_deeply([sort values %refused], [(507) x 7], scalar(@keys) . ' keys, then no room');
        $t->expect_log(qr/llm_zone is full, a record could not be stored/);
        my ($other, @some);
        for my $size (9000, 3000, 1200, 600, 200, 64, 0) {
            my @of = map { $_->[0] } grep { $_->[1] == $size } @keys;
            $other = shift @of;
            push @some, @of;
        }
        my $all = sub {
            my ($path, $more, $wanted) = @_;
            my %statuses;

            for my $key (@some) {
                $statuses{$admin->($path, { key => $key, %$more })->{status}}++;
            }
            is_deeply(\%statuses, { 200 => scalar @some }, "$path of " . scalar @some);
            my %opens;
            $opens{$status->($_)}++ for @some;
            is_deeply(\%opens, { $wanted => scalar @some }, "then $wanted");
        };
        $all->('/key/block', {}, 401);
        $all->('/key/unblock', {}, 200);
        $all->('/key/update', { rpm_limit => 99999 }, 200);
        is($admin->('/key/generate', { key => 'sk-one-more', rpm_limit => 100000,
            metadata => { padding => 'x' x 20 } })->{status}, 507, 'it is full still');
        my $one = $some[0];
        for my $more ({}, { grace_period => '1h' }, { new_key => 'sk-in-its-place', rpm_limit => 7 }) {
            my $r = $admin->('/key/regenerate', { key => $one, %$more });
            is($r->{status}, 507, join ' ', 'no room for a second record, regenerate', %$more);
            like(decode_json($r->{body})->{error}{message}, qr/llm_zone is full/, 'and why');
            is($status->($one), 200, 'the key is good as before');
        }
        is($status->('sk-in-its-place'), 401, 'there is no new one');
        my $info = decode_json($t->get("/admin/key/info?key=$one",
            headers => { 'x-api-key' => 'sk-master' })->{body})->{info};
        is_deeply([@$info{qw(rpm_limit expires)}], [99999, undef], 'and the old one is unchanged');
        $all->('/key/block', {}, 401);
        if ($has_state) {
            $conn = undef;
            $t->stop;
            $t->start;
            my %opens;
            $opens{$status->($_)}++ for @some;
            is_deeply(\%opens, { 401 => scalar @some }, 'blocked after a restart');
            my $page = $t->get('/metrics');
            is($page->{status}, 200, 'metrics have their room');
            like($page->{body}, qr/^llm_requests_total\{/m, 'and count');
            $all->('/key/unblock', {}, 200);

            $t->stop;
            $t->http_conf(conf("state=$dir/llm.state", '4m'))->start;
            $conn = undef;
            my @more = map { "sk-more-$_" } 1 .. 12;
            my @added = grep { $_ != 200 } map { $admin->('/key/generate', { key => $_,
                metadata => { padding => 'x' x 9000 } })->{status} } @more;
            is("@added", '', 'a larger zone has room');
            $conn = undef;
            $t->stop;
            $t->http_conf(conf("state=$dir/llm.state"))->start;
            is_deeply([grep { $status->($_) != 200 } @some, @more], [], 'all are in the smaller one');
            like($t->get('/metrics')->{body}, qr/^llm_requests_total\{/m, 'and smaller metrics');
        }
        is($admin->('/key/delete', { keys => \@some })->{status}, 200, 'all are deleted at once');
        my %opens;
        $opens{$status->($_)}++ for @some;
        is_deeply(\%opens, { 401 => scalar @some }, 'and open nothing');
        is($status->($other), 200, 'others are as they were');
        $t->done;
    };
}
done_testing();
