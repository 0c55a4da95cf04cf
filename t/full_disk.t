# Case 53: the disk of the logs is full. Nothing is lost but the lines: every request is answered and
# booked once, no worker waits or dies, and the error log says so without filling up itself.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;

my $t = LLM::Test->new(workers => 2);
my $full = '/dev/full';
my $n = 60;

$t->http_conf(<<"END");
    llm_master_key sk-master;
    llm_key sk-whole { max_budget 100; max_parallel_requests 4; }
    llm_key sk-stream { max_budget 100; max_parallel_requests 4; }
    llm_provider mock { }
    llm_model m { deployment mock/m "reply=one two three" input_cost=0.001 output_cost=0.002; }
    log_format llm '\$llm_model \$llm_cost';
    server {
        listen 127.0.0.1:%%PORT%%;
        access_log $full llm;
        location / { llm_pass models; llm_log_content $full; }
        location /buffered/ { llm_pass models; access_log $full llm buffer=4k flush=1s; }
        location /dark/ { llm_pass models; llm_log_content $full; error_log $full info; }
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; access_log off; }
    }
END
$t->start;
my @before = sort $t->worker_pids;
my ($cost, %seen) = (0);

for my $i (1 .. $n) {
    my $below = ('', '', '/buffered', '/dark')[$i % 4];
    my $stream = $i % 3 == 0;
    my $r = $t->post("$below/v1/chat/completions", { model => 'm', messages => [{ role => 'user',
        content => 'hi' }], $stream ? (stream => JSON::PP::true()) : () },
        headers => [Authorization => 'Bearer sk-' . ($stream ? 'stream' : 'whole')]);
    my $is_whole = $r->{status} == 200 && $r->{body} =~ ($stream ? qr/data: \[DONE\]\n\n\z/ : qr/three/);
    $seen{$is_whole ? 'whole' : "$r->{status} $r->{body}"}++;
    $cost += $r->{headers}{'x-llm-cost'} // 0;
}
is_deeply(\%seen, { whole => $n }, 'every request has its whole answer');
is("@{[sort $t->worker_pids]}", "@before", 'by the workers of the beginning');

cmp_ok($cost, '>', 0, 'they cost something');
my $m = LLM::Metrics->get($t);
is($m->sum('llm_requests_total', outcome => 'ok'), $n, 'the metrics know them all');
is($m->value('llm_requests_in_flight') // 0, 0, 'none is in flight');
my ($whole, $stream) = map { $t->get("/admin/key/info?key=sk-$_",
    headers => { 'x-api-key' => 'sk-master' })->{json}{info}{spend} } qw(whole stream);
is(sprintf('%.6f', $whole), sprintf('%.6f', $cost), 'what was spent is what the answers said');
cmp_ok($stream, '>', 0, 'streams, too');
is(sprintf('%.6f', $m->sum('llm_cost_dollars_total')), sprintf('%.6f', $whole + $stream),
    'and the metrics say the same');
my @lines = $t->log_text =~ /(llm: writing to "\/dev\/full" failed)/g;
cmp_ok(@lines, '>=', 1, 'the log says that content was not written');
cmp_ok(@lines, '<=', 2, 'once in a while for each worker');
$t->expect_log(qr{write\(\) to "/dev/full" failed \(28: No space left on device\)});
$t->expect_log(qr{llm: writing to "/dev/full" failed \(28: No space left on device\)});
$t->done;
