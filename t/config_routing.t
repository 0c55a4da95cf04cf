# nginx -t refuses what could not work when a provider fails: unknown strategies, fallbacks that do
# not exist or lead in a circle. It names the file and the line of the word at fault.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new;
my $dir = $t->dir;
my $head = "llm_provider p { base_url http://127.0.0.1:9/v1; dialect openai; api_key k; }\n"
    . "server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }\n";

# The directive at fault stands on the line with the mark HERE.
sub refused {
    my ($what, $conf, $message) = @_;
    my ($code, $output) = $t->config_test("$head$conf\n");
    my $file = "$dir/test$t->{config_tests}.conf";
    my ($before) = $t->slurp($file) =~ /\A(.*?)HERE/s or die "no mark in $what";
    my $line = 1 + $before =~ tr/\n//;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $good = is($code, 1, "$what is refused");
    $good &= like($output, $message, 'with a message');
    $good &= like($output, qr/ in \Q$file\E:$line\b/, 'that names file and line');
    diag($output) unless $good;
    return;
}

sub line_of_model { return "llm_model m {\n$_[0] # HERE\ndeployment p/x; }" }

subtest 'what is fine' => sub {
    my ($code, $output) = $t->config_test("$head
        llm_num_retries 2; llm_max_fallbacks 3; llm_cooldown_time 30s; llm_allowed_fails 3;
        llm_all_cooled try; llm_recover restart; llm_default_fallbacks c p/anything;
        llm_model a { deployment p/x tags=eu,cheap cooldown_time=1m; deployment p/y;
            strategy latency-based buffer=0.5; affinity on; num_retries 1; allowed_fails 0;
            cooldown_time 10s; recover continue; hedge after=auto;
            fallbacks b c; context_window_fallbacks x/large; content_policy_fallbacks also-c; }
        llm_model b { deployment p/b; fallbacks c; hedge after=1500ms max=12.5%; strategy least-busy; }
        llm_model c { deployment p/c; alias also-c; strategy usage-based; }
        llm_model x/* { deployment p/*; fallbacks b p/z; strategy cost-based; }
        llm_model d { deployment p/d; context_window_fallbacks a; strategy round-robin; }
        llm_model e { deployment p/e; content_policy_fallbacks d; strategy simple-shuffle; }
        llm_provider m { preset mock; }
        llm_provider v { dialect openai; base_url http://127.0.0.1:9/v1; api_key k; header x-id \$request_id; }
        llm_model f { deployment p/f; deployment m/x; deployment v/y; probe 30s; }
        llm_model g/* { deployment p/*; probe 1m models timeout=500ms; }");
    is($code, 0, 'nginx -t') or diag($output);
};

subtest 'words' => sub {
    refused('an unknown strategy', line_of_model('strategy best;'), qr/unknown strategy "best"/);
    refused('an empty strategy', line_of_model('strategy "";'), qr/unknown strategy ""/);
    refused("strategy $_", line_of_model("strategy $_;"), qr/invalid parameter/)
        for 'least-busy buffer=1', 'latency-based buffer=', 'latency-based buffer=-1',
            'latency-based buffer=1x', 'latency-based wide', 'latency-based buffer=nan';
    refused('affinity maybe', line_of_model('affinity maybe;'), qr/expected on or off/);
    refused("num_retries $_", line_of_model("num_retries $_;"), qr/invalid number/)
        for '-1', 'x', '1.5', '""';
    refused('allowed_fails few', line_of_model('allowed_fails few;'), qr/invalid number/);
    refused('cooldown_time soon', line_of_model('cooldown_time soon;'), qr/invalid time/);
    refused('recover on', line_of_model('recover on;'), qr/expected off, restart or continue/);
    refused("hedge $_", line_of_model("hedge $_;"), qr/invalid parameter .* of hedge/)
        for 'after=', 'after=soon', 'after=0', 'after=-1s', 'soon', 'after=1s max=5', 'after=1s max=0%',
            'after=1s max=101%', 'after=1s max=%', 'after=1s max=1.234%', 'after=1s max=1.%',
            'after=1s max=-1%', 'after=1s max=x%', 'after=1s max=100.01%', 'after=1s max=.5%';
    refused('hedge max=5%', line_of_model('hedge max=5%;'), qr/hedge needs after=/);
    refused('hedge alone', line_of_model('hedge;'), qr/invalid number of arguments/);
    refused("probe $_", line_of_model("probe $_;"), qr/invalid time .* of probe, at least 1s/)
        for '0', '999ms', 'soon', '-1s', '""';
    refused("probe 30s $_", line_of_model("probe 30s $_;"), qr/invalid parameter .* of probe/)
        for 'list', 'timeout=', 'timeout=0', 'timeout=soon', 'path=/';
    refused('probe alone', line_of_model('probe;'), qr/invalid number of arguments/);
    refused("tags=$_", line_of_model("deployment p/y tags=$_;"), qr/invalid tags/)
        for '', ',', 'a,', 'a,,b', '*';
    refused('no fallback', line_of_model('fallbacks;'), qr/number of arguments/);
    refused("fallbacks $_", line_of_model("fallbacks $_;"), qr/invalid model name/)
        for '""', 'a*', '"a b"';
};

subtest 'what cannot be probed' => sub {
    my $probe = sub {
        my ($provider, $target, $words) = @_;
        my $name = $target =~ s/\*\z// ? 'y/*' : 'y';
        return "llm_provider q { $provider }\nllm_model $name {\nprobe 30s $words; # HERE\ndeployment q/$target"
            . ($name eq 'y' ? '' : '*') . ';}';
    };
    my $dialect = 'dialect openai; base_url http://127.0.0.1:9/v1;';
    my $variable = qr/deployment "q\/x" cannot be probed: a credential .* variable/;
    refused("$_", $probe->("$dialect $_", 'x', ''), $variable)
        for 'api_key $http_x_key;', 'header authorization "Bearer $http_x_key";';
    refused('AWS by variables', $probe->('preset bedrock; region us-east-1; aws_access_key_id a;
        aws_secret_access_key $http_x_key;', 'x', ''), $variable);
    refused('a pattern', $probe->("$dialect api_key k;", '*', ''),
        qr/deployment "q\/\*" cannot be probed: it is a pattern/);
    refused('no list', $probe->('preset bedrock; region us-east-1; api_key k;', 'x', 'models'),
        qr/where provider "q" lists its models is not known/);
    refused('completions alone', $probe->('dialect completions; base_url http://127.0.0.1:9/v1;
        api_key k;', 'x', ''), qr/speaks only what clients pass through/);
};

subtest 'fallbacks' => sub {
    for my $list (qw(fallbacks context_window_fallbacks content_policy_fallbacks)) {
        refused("$list: a model that does not exist", line_of_model("$list nosuch;"),
            qr/fallback "nosuch" of model "m" does not exist/);
        refused("$list: itself", line_of_model("$list m;"), qr/leads back to model "m"/);
        refused("$list: itself by an alias", line_of_model("alias n; $list n;"),
            qr/leads back to model "m"/);
        refused("$list: a circle", "llm_model a { deployment p/x; $list b; }
            llm_model b { deployment p/x; $list c; }
            llm_model c { deployment p/x; $list a; } # HERE", qr/leads back to model "a"/);
    }
    refused('a pattern that fits itself', "llm_model y/* { deployment p/*; fallbacks y/z; } # HERE",
        qr{leads back to model "y/\*"});
    refused('default fallbacks', 'llm_default_fallbacks nosuch; # HERE',
        qr/default fallback "nosuch" does not exist/);
};

$t->done;
