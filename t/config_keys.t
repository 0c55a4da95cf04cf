# nginx -t refuses every mistake in llm_key, llm_team and llm_master_key with the file and the line
# of the directive at fault, and shows no key while it does.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new(env => { LLM_T_EMPTY => '', LLM_T_KEY => 'sk-secret-env' });
my $dir = $t->dir;
my $same = $t->write_file('key', "sk-secret\n");
my $hash = 'a' x 64;
my $common = "llm_provider p { base_url http://127.0.0.1:9/v1; dialect openai; api_key k; }\n"
    . "llm_model m { deployment p/x; alias also; }\nllm_model w/* { deployment p/*; }\n"
    . "server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }\n";

# The directive at fault stands on the line with the mark HERE.
sub refused {
    my ($conf, $message) = @_;
    my ($code, $output) = $t->config_test("$conf\n$common");
    my $file = "$dir/test$t->{config_tests}.conf";
    my ($before) = $t->slurp($file) =~ /\A(.*?)HERE/s or die "no mark in $conf";
    my $line = 1 + $before =~ tr/\n//;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($what) = $conf =~ /^(.*?)\s*# HERE/m;
    my $good = is($code, 1, "refused: $what");
    $good &= like($output, $message, 'with a message');
    $good &= like($output, qr/ in \Q$file\E:$line\b/, 'that names file and line');
    $good &= unlike($output, qr/sk-secret/, 'and no key');
    diag($output) unless $good;
    return;
}

subtest 'good ones pass' => sub {
    my ($code, $output) = $t->config_test(<<"END" . $common);
        llm_zone 2m;
        llm_master_key sk-one; llm_master_key sha256:$hash;
        llm_team crew {
            alias "the-crew"; models m w/* p/*; rpm 0; tpm 5; max_parallel_requests 1;
            model_rpm m 5; model_tpm m 6; model_rpm w/a 1; count_tokens output;
            model_max_parallel_requests m 0; model_max_parallel_requests w/* 3;
            model_max_budget m 0.5; model_max_budget m 0.1/1d; model_max_budget w/a 1/30d/rolling;
            max_budget 1; max_budget 0.5/1d; max_budget 2/7d; max_budget 3.25/30d;
            max_budget 4/12h; max_budget 5/30d/rolling; max_budget 6/3d; max_budget 7/2w;
            max_budget 8/3mo; soft_budget 1.5; on_outage deny; blocked off; metadata a b; metadata "c d" '"e"';
        }
        llm_key sk-a { team crew; user ada; alias a; models m also w/x w/* p/y * all-team-models;
            expires 2030-02-28; tags a b; model_alias fast m; model_alias other p/z;
            customers off; request_tags off; }
        llm_key sk-b { expires 2030-12-31T01:02:03Z; } llm_key sk-c { expires 1900000000; }
        llm_key env:LLM_T_KEY { } llm_key file:$same { } llm_key sk-d { }
END
    is($code, 0, 'accepted') or diag($output);
};

for my $case (
    ['llm_key sha256:abc { } # HERE', qr/64 hexadecimal/],
    ['llm_key env:LLM_T_NONE { } # HERE', qr/LLM_T_NONE" is not set/],
    ['llm_key env:LLM_T_EMPTY { } # HERE', qr/LLM_T_EMPTY" is not set/],
    ["llm_key file:$dir/none { } # HERE", qr/cannot read the secret/],
    ['llm_key $arg_key { } # HERE', qr/cannot have variables/],
    ['llm_key "sk secret" { } # HERE', qr/blank/],
    ['llm_key "" { } # HERE', qr/empty/],
    ["llm_key sk-secret { }\nllm_key file:$same { } # HERE", qr/duplicate key/],
    ["llm_master_key sk-secret;\nllm_key sk-secret { } # HERE", qr/the key is the master key/],
    ["llm_master_key sk-secret;\nllm_master_key sk-secret; # HERE", qr/duplicate master key/],
    ["llm_team a { }\nllm_team a { } # HERE", qr/duplicate team "a"/],
    (map { my ($line, $message) = @$_; ["llm_key sk-secret {\n$line # HERE\n}", $message] }
        ['models m nosuch;', qr/unknown model "nosuch"/],
        ['models nosuch/*;', qr{unknown model "nosuch/\*"}],
        ['models p;', qr/unknown model "p"/],
        ['models a*b;', qr/invalid model name/],
        ['models;', qr/number of arguments/],
        ['model_rpm nosuch 5;', qr/unknown model "nosuch"/],
        ['model_tpm m -1;', qr/invalid number "-1"/],
        ['model_max_parallel_requests nosuch 5;', qr/unknown model "nosuch"/],
        ['model_max_parallel_requests m 1.5;', qr/invalid number "1\.5"/],
        ['model_max_parallel_requests m;', qr/number of arguments/],
        ['model_max_budget nosuch 5;', qr/unknown model "nosuch"/],
        ['model_max_budget a*b 5;', qr/invalid model name/],
        ['model_max_budget m -5/1d;', qr/invalid amount "-5"/],
        ['model_max_budget m 5/month;', qr/invalid period/],
        ['model_max_budget m;', qr/number of arguments/],
        ['model_max_budget m 5/1d; model_max_budget m 6/1d;', qr/second budget/],
        # The second one on a line of its own: that is the one at fault.
        (map { ["$_ 5;\n$_ 5;", qr/"\Q$_\E" is duplicate/] }
            qw(rpm tpm max_parallel_requests soft_budget),
            'model_rpm m', 'model_tpm m', 'model_max_parallel_requests m', 'model_rpm w/*'),
        ['model_alias fast nosuch;', qr/unknown model "nosuch"/],
        ['team nosuch;', qr/unknown team "nosuch"/],
        ['rpm -1;', qr/invalid number "-1"/],
        ['rpm 1.5;', qr/invalid number/],
        ['tpm many;', qr/invalid number "many"/],
        ['max_parallel_requests 1k;', qr/invalid number/],
        ['rpm 99999999999999999999;', qr/invalid number/],
        ['on_outage hope;', qr/invalid on_outage "hope", expected local, allow or deny/],
        ['max_budget -5/30d;', qr/invalid amount/],
        ['max_budget much;', qr/invalid amount/],
        ['max_budget 5/;', qr/invalid period/],
        ['max_budget 5/month;', qr/invalid period/],
        ['max_budget 5/0d;', qr/invalid period/],
        ['max_budget 5/30d/slow;', qr/invalid period/],
        ['max_budget 5/30d; max_budget 6/1mo;', qr/second budget/],
        ['soft_budget x;', qr/invalid amount/],
        ['expires tomorrow;', qr/invalid time/],
        ['expires 2030-02-30;', qr/invalid time/],
        ['expires 2030-01-01T25:00:00Z;', qr/invalid time/],
        ['blocked yes;', qr/expected on or off/],
        ['customers maybe;', qr/expected on or off/],
        ['count_tokens all;', qr/expected total, input or output/],
        ['alias "a b";', qr/invalid name/],
        ['metadata a;', qr/number of arguments/],
        ['metadata a b; metadata a c;', qr/duplicate metadata "a"/],
        ['colour red;', qr/unknown directive "colour" in llm_key/]),
    ["llm_team a {\nmodels nosuch; # HERE\n}", qr/unknown model "nosuch"/],
    (map { ["llm_team a {\n$_ 0;\nmodels m;\n$_ 1; # HERE\n}", qr/"\Q$_\E" is duplicate/] }
        'rpm', 'soft_budget', 'model_tpm m'),
    ["llm_team a {\nmax_budget 5;\nmax_budget 6; # HERE\n}", qr/second budget/],
    ["llm_team a {\nteam b; # HERE\n}", qr/unknown directive "team" in llm_team/],
) {
    refused(@$case);
}

$t->done;
