# What is saved once a second is written by any of nginx's threads: a large table of spend costs the
# worker no memory for each of them.

use strict;
use warnings;
use LLM::Test;
use LLM::StateFile;
use LLM::Port qw(is_sanitized);

my $customers = 10_000;
my $t = LLM::Test->new(workers => 1);
my $dir = $t->dir . '/state';
mkdir $dir or die "$dir: $!";
chmod 0777, $dir;
my $state = "$dir/llm.state";

$t->http_conf("llm_zone 64m state=$state;
    llm_provider mock { } llm_model m { deployment mock/m; } llm_master_key sk-master;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }");
LLM::StateFile::write_spend("$state.spend", $customers);
$t->start;
my ($worker) = $t->worker_pids;

# One request, and the file that has it.
sub spend {
    my $before = (stat "$state.spend")[1];

    $t->post('/v1/chat/completions', { model => 'm', messages => [{ role => 'user',
        content => 'x' }] }, headers => { 'x-api-key' => 'sk-master' });
    return $t->wait_for(sub { my $now = (stat "$state.spend")[1]; $now && $now != $before }, 10,
        'it is saved');
}

# Not that of the zone, whose pages count when they are touched first.
sub own_memory {
    my ($shared) = $t->slurp("/proc/$worker/status") =~ /^RssShmem:\s+(\d+) kB/m;

    return $t->worker_rss($worker) - $shared;
}

spend() for 1 .. 3;
my $first = own_memory();
spend() for 1 .. 12;
my $grown = own_memory() - $first;
SKIP: {
    skip 'a sanitizer keeps freed memory', 1 if is_sanitized();
    cmp_ok($grown, '<', 4000, "12 threads later the worker is $grown kB larger");
}
my $size = -s "$state.spend";
cmp_ok($size, '>', $customers * 60, "$size bytes are written each time");
$t->stop;
$t->start;
spend();
my $lines = () = $t->slurp("$state.spend") =~ /^\d+\t4\t1\t0\t10\t5\t0\t0\t10000000\tcustomer-\d+$/mg;
is($lines, 2 * $customers, 'read again and written again, whole');

$t->done;
