# The dashboard of llm_admin with ten thousand keys, each of which has spent something: see
# dashboard_many.mjs.

use strict;
use warnings;
use File::Basename ();
use LLM::Test;
use LLM::Crowd;
use LLM::StateFile;

my $here = File::Basename::dirname(__FILE__);
my ($chromium) = grep { -x } qw(/usr/bin/chromium /usr/bin/chromium-browser);
BAIL_OUT('Chromium is not installed: t/tools/deps.sh test') unless $chromium;
BAIL_OUT('playwright-core is not installed: npm ci in t/clients')
    unless -d "$here/node_modules/playwright-core";

my $keys = 10_000;
my $t = LLM::Test->new(workers => 2);
my $dir = $t->dir . '/state';
mkdir $dir or die "$dir: $!";
chmod 0777, $dir;
LLM::StateFile::write_keys("$dir/llm.state", $keys);
$t->http_conf(<<"END");
    llm_zone 64m state=$dir/llm.state;
    llm_master_key sk-the-master-key;
    llm_provider mock { }
    llm_model m { deployment mock/m reply=yes input_cost=0 output_cost=0.001; }
    server {
        listen 127.0.0.1:%%PORT%%;
        keepalive_requests 100000;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
$t->start;

sub job {
    my ($n) = @_;

    return { path => '/v1/chat/completions', headers => [Authorization => "Bearer sk-many-$n"],
        body => '{"model":"m","messages":[{"role":"user","content":"hi"}]}' };
}

# One of them twice: it spends most.
my @answers = LLM::Crowd::ask($t, [map { job($_) } 1 .. $keys, 7777], at_once => 32);
is(scalar(grep { $_->{status} == 200 } @answers), $keys + 1, 'every key has spent');

local @ENV{qw(PORT MASTER CHROMIUM KEYS)} = ($t->port, 'sk-the-master-key', $chromium, $keys);
my $checks = 0;
open my $node, '-|', 'node', "$here/dashboard_many.mjs" or die "node: $!\n";
while (my $line = <$node>) {
    chomp $line;
    if ($line =~ /^(ok|not ok) - (.*)/) {
        $checks++;
        ok($1 eq 'ok', $2);
    } else {
        diag($line) if $line ne 'done';
    }
}
close $node;
is($?, 0, 'node ended well');
is($checks, 5, 'all checks ran');

$t->done;
