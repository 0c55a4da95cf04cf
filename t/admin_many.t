# Ten thousand keys: each is found as fast as one of a hundred, a list comes in pages, and keys that
# somebody tries at random leave nothing behind.

use strict;
use warnings;
use LLM::Test;
use LLM::StateFile;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $dir = $t->dir . '/state';
mkdir $dir or die "$dir: $!";
chmod 0777, $dir;
$t->http_conf(<<"END");
    llm_zone 32m state=$dir/llm.state;
    keepalive_requests 1000000;
    llm_provider mock { }
    llm_model m { deployment mock/m; }
    llm_master_key sk-master;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END

# The median time of requests that need nothing but the key, in seconds; keys in no order.
sub median {
    my ($count) = @_;
    my (@times, $conn);

    for my $i (1 .. 600) {
        my $key = 'sk-many-' . (1 + ($i * 7919) % $count);
        my $began = time;
        my $r = $t->get('/v1/models', headers => { 'x-api-key' => $key }, keep => 1,
            $conn ? (conn => $conn) : ());
        push @times, time - $began;
        $conn = $r->{conn};
        return fail("$key: $r->{status}") if $r->{status} != 200;
    }
    return (sort { $a <=> $b } @times)[300];
}

sub list {
    my ($query) = @_;
    my $r = $t->get("/admin/key/list?$query", headers => { 'x-api-key' => 'sk-master' });

    is($r->{status}, 200, $query);
    return decode_json($r->{body});
}

LLM::StateFile::write_keys("$dir/llm.state", 100);
$t->start;
my $few = median(100);
$t->stop;
LLM::StateFile::write_keys("$dir/llm.state", 10_000);
$t->start;
my $many = median(10_000);
cmp_ok($many, '<', 3 * $few + 0.0005, sprintf 'found as fast: %.0f and %.0f us', $few * 1e6,
    $many * 1e6);

subtest 'pages' => sub {
    my %seen;
    for my $page (1 .. 21) {
        my $list = list("size=500&page=$page");
        is($list->{total_count}, 10_000, 'of all');
        $seen{$_}++ for @{$list->{keys}};
    }
    is(scalar keys %seen, 10_000, 'each is on a page');
    is((grep { $_ > 1 } values %seen), 0, 'and on one only');
    is(list('team_id=even&size=1')->{total_count}, 5000, 'of a team');
    my $one = list('key_alias=many-77&return_full_object=true');
    is($one->{total_count}, 1, 'by alias');
    is($one->{keys}[0]{metadata}{n}, 77, 'whole');
};

subtest 'keys at random' => sub {
    my $conn;
    my $try = sub {
        for my $i (1 .. $_[0]) {
            my $r = $t->get('/v1/models', keep => 1, $conn ? (conn => $conn) : (),
                headers => { 'x-api-key' => "sk-random-$i-" . rand });
            return fail("status $r->{status}") if $r->{status} != 401;
            $conn = $r->{conn};
        }
    };
    my ($pid) = $t->worker_pids;
    $try->(2000);
    my $before = $t->worker_rss($pid);
    $try->(4000);
    cmp_ok($t->worker_rss($pid) - $before, '<', 300, 'leave nothing in the worker');
    is(list('size=1')->{total_count}, 10_000, 'nor in the zone');
};

subtest 'a team with five thousand keys' => sub {
    my $r = $t->post('/admin/team/delete', { team_ids => ['even'] },
        headers => { 'x-api-key' => 'sk-master' });
    is(decode_json($r->{body})->{deleted_keys}, 5000, 'is deleted with them');
    is(list('size=1')->{total_count}, 5000, 'the others stay');
    is($t->get('/v1/models', headers => { 'x-api-key' => 'sk-many-2' })->{status}, 401, 'no more');
    is($t->get('/v1/models', headers => { 'x-api-key' => 'sk-many-1' })->{status}, 200, 'still');
};

$t->done;
