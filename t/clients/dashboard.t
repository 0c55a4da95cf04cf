# The dashboard of llm_admin in Chromium: see dashboard.mjs. Here are the gateway, its traffic and
# its keys.

use strict;
use warnings;
use File::Basename ();
use LLM::Test;
use LLM::Provider;

my $here = File::Basename::dirname(__FILE__);
my ($chromium) = grep { -x } qw(/usr/bin/chromium /usr/bin/chromium-browser);
BAIL_OUT('Chromium is not installed: t/tools/deps.sh test') unless $chromium;
BAIL_OUT('playwright-core is not installed: npm ci in t/clients')
    unless -d "$here/node_modules/playwright-core";

my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_master_key sk-the-master-key;
    llm_team crew { max_budget 4/30d; }
    llm_key sk-of-the-spender { alias spender; team crew; max_budget 1/1d; max_budget 50; }
    llm_key sk-of-the-saver { alias saver; }
    llm_provider chat { dialect openai; base_url $url/v1; }
    llm_model good { deployment chat/gpt-4o id=good-one; }
    llm_model broken { deployment chat/broken id=broken-one; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /the-admin/ { llm_admin; }
    }
END
$t->start;
$p->on({ body => qr/"broken"/ }, json(500, {}));
$p->on({ body => qr/gpt-4o/ }, json(200, chat_answer(usage => { prompt_tokens => 10_000,
    completion_tokens => 1000 })));

my $sent = 0;
for my $case (['spender', 'good', 20], ['saver', 'good', 2], ['saver', 'broken', 4]) {
    my ($who, $model, $times) = @$case;
    for (1 .. $times) {
        $t->post('/v1/chat/completions', { model => $model, messages =>
            [{ role => 'user', content => 'hi' }] },
            headers => [Authorization => "Bearer sk-of-the-$who"]);
        $sent++;
    }
}

my $shot = $ENV{LLM_SHOT} // $t->dir . '/dashboard.png';
local @ENV{qw(PORT ADMIN MASTER SHOT CHROMIUM)} =
    ($t->port, '/the-admin/', 'sk-the-master-key', $shot, $chromium);
my $checks = 0;
open my $node, '-|', 'node', "$here/dashboard.mjs" or die "node: $!\n";
my $name;
while (my $line = <$node>) {
    chomp $line;
    if ($line =~ /^(ok|not ok) - (.*)/) {
        $checks++;
        ok($1 eq 'ok', $2);
    } else {
        diag($line);
    }
}
close $node;
is($?, 0, 'node ended well');
cmp_ok($checks, '>=', 12, 'all checks ran');
ok(-s $shot, 'a picture of the page');

$t->done;
