# nginx -t refuses every wrong llm_provider and llm_model block, and names the file and the line
# of the directive at fault, so that nobody learns of a mistake from the first request.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new(env => { LLM_T_EMPTY => '' });
my $dir = $t->dir;
$t->write_file('empty', "\n");
$t->write_file('control', "sk-\x01key\n");
$t->write_file('huge', 'x' x 100_000);
$t->write_file('junk.pem', "no certificate\n");

my $server = "server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }\n";
my $ok = "base_url http://127.0.0.1:9/v1; dialect openai; api_key k;";

# The directive at fault stands on the line with the mark HERE.
sub refused {
    my ($what, $conf, $message) = @_;
    my ($code, $output) = $t->config_test("$conf\n$server");
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

sub plain { return $_[0] eq '""' ? '' : $_[0] }

sub provider_line { return "llm_provider p {\n$ok\n$_[0] # HERE\n}" }
sub model_line    { return "llm_provider p { $ok }\nllm_model m {\n$_[0] # HERE\n"
    . "deployment p/y; }" }

subtest 'a zone with fewer rows for what was spent than there are keys' => sub {
    my $keys = join '', map { "llm_key sk-of-many-$_ { }\n" } 1 .. 3000;
    my ($code, $output) = $t->config_test("\nllm_zone 2m;\n$keys$server");
    is($code, 0, 'is taken');
    like($output, qr{\[warn\].*no room .* each of 3000 keys, .* spent, llm_zone (\d+)m has in \S+\.conf:\d+$}m,
        'with a warning') or return;
    my ($size) = $output =~ /llm_zone (\d+)m has/;
    unlike(($t->config_test("\nllm_zone ${size}m;\n$keys$server"))[1], qr/\[warn\]/, 'that size has it');
    $size--;
    like(($t->config_test("\nllm_zone ${size}m;\n$keys$server"))[1], qr/\[warn\]/, 'a smaller one has not');
    like(($t->config_test(join('', map { "llm_key sk-of-many-$_ { }\n" } 1 .. 9000) . $server))[1],
        qr/\[warn\].*no room .* each of 9000 keys/, 'nor has the default one, for more');
};

subtest 'the place of the state' => sub {
    mkdir "$dir/state" or die $!;
    mkdir "$dir/$_" or die $! for qw(state/as-dir state/one.journal);
    symlink '/dev/null', "$dir/state/null" or die $!;
    my %wrong = ('none/llm.state' => qr{directory "\Q$dir\E/none/" of state= .*No such file},
        'empty/llm.state' => qr{directory "\Q$dir\E/empty/" of state= .*Not a directory},
        'state/as-dir' => qr{"\Q$dir\E/state/as-dir" of state= is a directory},
        'state/one' => qr{"\Q$dir\E/state/one.journal" of state= is a directory},
        'state/null' => qr{"\Q$dir\E/state/null" of state= is no regular file},
        'state/gone' => qr{"\Q$dir\E/state/gone" of state= is a link to a file that is not there},
        'state/round' => qr{"\Q$dir\E/state/round" of state= cannot be used .*symbolic links},
        'state/beside' => qr{"\Q$dir\E/state/beside.journal" of state= is a link to a file that is not},
        'state/' . 'x' x 250 => qr{/state/x+\.journal" of state= cannot be used .*name too long}i,
        'state/' . 'x' x 300 . '/y' => qr{of state= cannot be found .*name too long}i);
    symlink $_->[0], "$dir/state/$_->[1]" or die $! for ['nowhere', 'gone'], ['round', 'round'],
        ['nowhere', 'beside.journal'];
    refused($_, "\nllm_zone 8m $_; # HERE", qr/state= names no file/) for 'state=', '"state="';
    refused("state=$_", "\nllm_zone 8m state=$dir/$_; # HERE", $wrong{$_}) for sort keys %wrong;
    my $conf = "\nllm_zone 8m state=$dir/state/fine;\n$server";
    my ($code, $output) = $t->config_test($conf);
    is($code, 0, 'a good one');
    unlike($output, qr/\[warn\]/, 'without a word') or diag($output);
    SKIP: {
        skip 'for root', 5 if $> != 0;
        my ($nobody, $group) = (getpwnam 'nobody')[2, 3];
        $t->main_conf("user nobody ${\scalar getgrgid $group};\n");
        ($code, $output) = $t->config_test($conf);
        is($code, 0, 'one where the workers may not write');
        like($output, qr{\[warn\].*"\Q$dir\E/state/" of state= must be writable.* in \Q$dir\E/test\d+\.conf:\d},
            'is told, with file and line');
        for (sub { chmod 0777, "$dir/state" }, sub { chmod 0700, "$dir/state";
            chown $nobody, -1, "$dir/state" },
            sub { chmod 0770, "$dir/state"; chown 0, $group, "$dir/state" })
        {
            $_->();
            ($code, $output) = $t->config_test($conf);
            unlike($output, qr/\[warn\]/, 'unless they may') or diag($output);
        }
        $t->main_conf('');
    }
    is_deeply([glob "$dir/state/fine*"], [], 'the test makes nothing');
};

subtest 'good configurations pass' => sub {
    my $fine = "
        llm_zone 2m;
        llm_provider openai { api_key sk-a; api_key sk-b; keepalive 0; }
        llm_provider anthropic { api_key file:$dir/key; header x-a \$http_x_b; }
        llm_provider pool {
            preset vllm; base_url http://127.0.0.1:8000/v1; base_url http://[::1]:8001;
            api_key \$http_x_provider_key; param temperature 0.5;
            param stop '[\"a\", null]'; param user '\"me\"';
            connect_timeout 1s; first_token_timeout 500ms; idle_timeout 1m; timeout 1h;
            ssl_verify off; ssl_name api.test;
        }
        llm_provider later { llm_connect_timeout 2s; dialect anthropic; base_url https://unknown.host.invalid/v1; }
        llm_provider mock { }
        llm_model a {
            deployment openai/gpt weight=3 id=one; deployment openai/gpt weight=0;
            deployment openai/gpt order=2 timeout=1s connect_timeout=10 idle_timeout=5
                first_token_timeout=2s;
            alias b c; alias d; drop_params on; timeout 10s; llm_idle_timeout 9s;
        }
        llm_model x/* { deployment later/*; deployment pool/fixed; }
        llm_model x/y* { deployment later/z*; }
        llm_model * { deployment mock/any 'reply=Hi there' chunks=3 interval=1ms status=200
            cut_after=2 delay=0; }
        $server";
    $t->write_file('key', "sk-from-file\r\n");
    my ($code, $output) = $t->config_test($fine);
    is($code, 0, 'all directives of the blocks') or diag($output);
    unlike($output, qr/\[(?:emerg|alert|crit|error)\]/, 'without a complaint');
    is(($t->config_test("llm_provider p {\n}\n"))[0], 1, 'but an empty block of no preset is not');
    is(($t->config_test("llm_provider mock { }\nserver { listen 127.0.0.1:%%PORT%%; location / "
        . "{ llm_pass mock; } }"))[0], 0, 'a gateway without llm_model');
    is(($t->config_test("server { listen 127.0.0.1:%%PORT%%; }"))[0], 0, 'nothing of ours at all');
    is(($t->config_test("$server llm_provider late { $ok } llm_model m { deployment late/x; }"))[0],
        0, 'providers and models below the server that uses them');
};

subtest 'llm_provider' => sub {
    refused('an unknown preset', provider_line('preset nosuch;'), qr/unknown preset "nosuch"/);
    refused('an unknown dialect', "llm_provider p {\ndialect latin; # HERE\n}", qr/unknown dialect "latin"/);
    refused('an unknown directive', provider_line('colour blue;'),
        qr/unknown directive "colour"/);
    refused("another block's directive", provider_line('deployment p/x;'),
        qr/unknown directive "deployment"/);
    refused('no argument', provider_line('preset;'), qr/number of arguments in "preset"/);
    refused('too many arguments', provider_line('header a b c;'), qr/arguments in "header"/);
    refused('no base_url', "llm_provider p { # HERE\ndialect openai; }", qr/"p".*base_url/);
    refused('no dialect', "llm_provider p { # HERE\nbase_url http://127.0.0.1:9; }",
        qr/"p".*dialect/);
    refused('a preset without an address', "llm_provider vllm { # HERE\n}", qr/"vllm".*base_url/);
    refused('a duplicate', "llm_provider p { $ok }\nllm_provider p { # HERE\n$ok }",
        qr/duplicate provider "p"/);
    refused("the name $_", "llm_provider $_ { # HERE\n$ok }", qr/invalid provider name/)
        for 'models', 'a/b', 'a*', '"a b"', '""';
    refused("the number $_", provider_line("keepalive $_;"), qr/invalid number "\Q${\plain($_)}\E"/)
        for '-1', 'many', '1.5', '99999999999999999999', '""';
    for my $name (qw(connect_timeout first_token_timeout idle_timeout timeout llm_timeout)) {
        refused("$name $_", provider_line("$name $_;"), qr/invalid time "\Q${\plain($_)}\E"/)
            for 'soon', '-1s', '5x', '""';
    }
    refused("ssl_verify $_", provider_line("ssl_verify $_;"),
        qr/"\Q${\plain($_)}\E", expected on or off/)
        for 'yes', '1', '""';
    refused("header $_", provider_line("header $_ v;"), qr/invalid header name/)
        for '"a b"', 'a:b', '""', '"a@"';
    refused('a header value with a line end', provider_line("header a 'b\nc'; # HERE"),
        qr/control character/);
    # They belong to the framing of the request: two of them would disagree.
    refused("header $_", provider_line("header $_ 5;"), qr/header.*"\Q$_\E"/)
        for 'content-length', 'Transfer-Encoding', 'connection';
    refused("a param $_", provider_line("param $_ 1;"), qr/invalid param name/)
        for q('a"b'), '.a', 'a.', 'a.b.c';
    refused("$_->[0] twice", provider_line("$_->[0];\n$_->[1]; # HERE"),
        qr/"@{[$_->[1] =~ m{(\w+)}]}" is duplicate/)
        for ['keepalive 1', 'keepalive 2'],
        ['cost_factor 1', 'cost_factor 1'], ['region a', 'region b'],
        ['idle_timeout 1s', 'llm_idle_timeout 1s'], ['ssl_verify on', 'ssl_verify off'];
    refused("param $_ twice", provider_line("param $_ 1;\nparam temperature 1;\nparam $_ 2; # HERE"),
        qr/duplicate param "\Q$_\E"/) for 'a', 'options.num_ctx';
    refused("params $_->[0] and $_->[1]", provider_line("param $_->[0] 1; param $_->[1] 1; # HERE"),
        qr/param "\Q$_->[1]\E" stands beside "\Q$_->[0]\E"/) for ['a', 'a.b'], ['a.b', 'a'];
    refused("param $_", provider_line("param a $_;"), qr/param "a" is not JSON/)
        for 'text', "'{'", "''", "'1 2'", "'[1,]'";
    refused('a param without a value', provider_line('param a;'), qr/arguments in "param"/);
};

subtest 'base_url' => sub {
    my %bad = (
        'ftp://host' => qr/must begin with/, 'host:80' => qr/must begin with/,
        'http://' => qr/no host/, 'https:///v1' => qr/no host/, 'http://:80/' => qr/no host/,
        'http://h:0' => qr/invalid port/, 'http://h:65536/v1' => qr/invalid port/,
        'http://h:port' => qr/invalid port/, 'http://h:' => qr/invalid port/,
        'http://[::1' => qr/missing "]"/, 'http://[::1]8' => qr/invalid port/,
        'http://u:p@h' => qr/credentials/, 'http://h/?a=b' => qr/query or fragment/,
        'http://h/#a' => qr/query or fragment/, '"http://h/a b"' => qr/invalid character/,
    );

    refused("base_url $_", "llm_provider p {\ndialect openai;\nbase_url $_; # HERE\n}", $bad{$_})
        for sort keys %bad;
};

subtest 'secrets' => sub {
    local $ENV{LLM_T_CONTROL} = "a\tb";
    my %bad = (
        'env:LLM_T_NOSUCH' => qr/environment variable "LLM_T_NOSUCH" is not set/,
        'env:LLM_T_EMPTY' => qr/environment variable "LLM_T_EMPTY" is not set/,
        'env:' => qr/environment variable "" is not set/,
        'env:LLM_T_CONTROL' => qr/control character/,
        "file:$dir/nosuch" => qr{cannot read the secret in "\Q$dir\E/nosuch".*No such file},
        'file:nosuch' => qr{cannot read the secret in "\Q$dir\E/nosuch"},
        "file:$dir" => qr/cannot read the secret.*Is a directory/,
        "file:$dir/empty" => qr/the secret is empty/, "file:$dir/control" => qr/control character/,
        "file:$dir/huge" => qr/cannot read the secret/, '""' => qr/the secret is empty/,
    );

    refused("api_key $_", provider_line("api_key $_;"), $bad{$_}) for sort keys %bad;
    my ($code, $output) = $t->config_test(provider_line('api_key $llm_nosuch_variable;') . $server);
    is($code, 1, 'an unknown variable is refused');
    like($output, qr/unknown "llm_nosuch_variable" variable/, 'by name');
    $ENV{LLM_T_SECRET} = "sk-canary\x01";
    ($code, $output) = $t->config_test(provider_line('api_key env:LLM_T_SECRET;') . $server);
    unlike($output, qr/canary/, 'no secret in a message');
    delete $ENV{LLM_T_SECRET};
};

subtest 'llm_model' => sub {
    refused('no deployment', "llm_model m {\nalias a;\n} # HERE", qr/model "m" has no deployment/);
    refused('an unknown provider', model_line('deployment q/x;'),
        qr{deployment "q/x": unknown provider "q"});
    refused("deployment $_", model_line("deployment $_;"), qr{must have the form PROVIDER/MODEL})
        for 'p', 'p/', '/x', '""';
    refused('a wildcard in a plain model', model_line('deployment p/*;'), qr/has a wildcard/);
    refused('an unknown parameter', model_line('deployment p/x heavy=1;'),
        qr/unknown parameter "heavy=1"/);
    refused('a parameter without a value', model_line('deployment p/x weight;'),
        qr/invalid parameter "weight"/);
    refused('an empty parameter', model_line('deployment p/x "";'), qr/invalid parameter ""/);
    refused("deployment p/x $_", model_line("deployment p/x $_;"), qr/invalid number/)
        for 'weight=-1', 'weight=', 'weight=x', 'order=-1', 'order=1.5', 'chunks=0', 'status=100',
            'cut_after=-1';
    refused("$_ twice", model_line("deployment p/x $_=1 $_=2;"), qr/"$_" is duplicate/)
        for qw(rpm tpm max_parallel_requests weight order id tags timeout reply);
    refused("$_->[0] twice", model_line("$_->[0];\n$_->[1]; # HERE"),
        qr/"@{[$_->[1] =~ m{(\w+)}]}" is duplicate/)
        for ['strategy round-robin', 'strategy round-robin'], ['timeout 1s', 'llm_timeout 1s'],
        ['llm_num_retries 1', 'num_retries 2'], ['recover off', 'recover restart'];
    refused('another rule', model_line('deployment p/x rpm=1 on_outage=hope;'),
        qr/invalid on_outage "hope", expected local, allow or deny/);
    refused('status=600', model_line('deployment p/x status=600;'), qr/invalid status "600"/);
    refused("deployment p/x $_", model_line("deployment p/x $_;"), qr/invalid time/)
        for 'timeout=x', 'connect_timeout=', 'idle_timeout=-1', 'first_token_timeout=1x',
            'interval=x', 'delay=-1';
    refused("$_ of another provider than mock", model_line("deployment p/x $_;"),
        qr/for the preset mock/)
        for 'reply=hi', 'chunks=2', 'interval=1s', 'status=503', 'cut_after=0', 'delay=1';
    refused('an empty id', model_line('deployment p/x id=;'), qr/id/);
    refused('drop_params maybe', model_line('drop_params maybe;'), qr/expected on or off/);
    refused('timeout never', model_line('timeout never;'), qr/invalid time "never"/);
    refused('an unknown directive', model_line('api_key k;'), qr/unknown directive "api_key"/);
    refused("the name $_", "llm_provider p { $ok }\nllm_model $_ { # HERE\ndeployment p/x; }",
        qr/invalid model name/) for '"a b"', 'a*b', '**', '""', q('a"b');
};

subtest 'names that must be unique' => sub {
    my $p = "llm_provider p { $ok }\n";
    my $model = sub { "llm_model $_[0] { deployment p/x; }\n" };

    refused('a duplicate model', $p . $model->('m') . "llm_model m { # HERE\ndeployment p/y; }",
        qr/duplicate model name "m"/);
    refused('a duplicate pattern', $p . $model->('m/*')
        . "llm_model m/* { # HERE\ndeployment p/y; }", qr{duplicate model name "m/\*"});
    refused('an alias that is a model', $p . $model->('m')
        . "llm_model n {\ndeployment p/y;\nalias a m; # HERE\n}", qr/duplicate model name "m"/);
    refused('a model that is an alias before', $p
        . "llm_model n { deployment p/y; alias m; }\nllm_model m { # HERE\ndeployment p/z; }",
        qr/duplicate model name "m"/);
    refused('the same alias twice', $p . "llm_model n { deployment p/y;\nalias a a; # HERE\n}",
        qr/duplicate model name "a"/);
    refused('a duplicate id', $p . "llm_model m {\ndeployment p/x id=i;\n"
        . "deployment p/y id=i; # HERE\n}", qr/duplicate deployment id "i"/);
    refused('a duplicate id in another model', $p . "llm_model m { deployment p/x id=i; }\n"
        . "llm_model n {\ndeployment p/y id=i; # HERE\n}", qr/duplicate deployment id "i"/);
    refused('an id that another deployment has by default', $p . "llm_model m { deployment p/x; }\n"
        . "llm_model n {\ndeployment p/y id=p/x; # HERE\n}", qr{duplicate deployment id "p/x"});
};

subtest 'TLS' => sub {
    my $tls = sub { "llm_provider p {\nbase_url https://127.0.0.1:9;\ndialect openai;\n$_[0]\n}" };

    refused('certificates that are not there',
        $tls->("ssl_trusted_certificate $dir/nosuch.pem; # HERE"), qr/nosuch\.pem/);
    refused('certificates that are none', $tls->("ssl_trusted_certificate junk.pem; # HERE"),
        qr/junk\.pem/);
};

$t->done;
