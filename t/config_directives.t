# Every directive of directives.def is accepted in each context that its row names, is refused in
# the others, and refuses a bad value, a second time and the wrong number of arguments.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new;
my $p = 'base_url http://127.0.0.1:9; dialect openai; api_key k;';

# The rows of the table: name, flags, setter, offset, syntax, default, context, text.
my $text = $t->slurp($t->repo . '/ngx_llm_module/conf/directives.def');
$text =~ s{^\s*//.*$}{}gm;
my @rows;
while ($text =~ /LLM_DIRECTIVE\("(\w+)",\s*([^"]*),\s*((?:"(?:[^"\\]|\\.)*"[,\s]*)+)\)/g) {
    my ($name, $rest, @strings) = ($1, $3);
    # Adjacent literals are one string, as in C.
    while ($rest =~ /\G((?:"(?:[^"\\]|\\.)*"\s*)+),?\s*/g) {
        push @strings, join '', $1 =~ /"((?:[^"\\]|\\.)*)"/g;
    }
    push @rows, { name => $name, syntax => $strings[0], default => $strings[1],
        context => [split /,\s*/, $strings[2]], doc => $strings[3] };
}
my %row = map { $_->{name} => $_ } @rows;

# A good use of each, and uses that are refused wherever they stand.
my $prices = $t->write_file('prices.json', '{"models": {"a": {"input": 1}}}');
my @bad_time = ('soon', '-1', '1x', '', '1s 2s');
my %sample = (
    llm_zone => ['4m', '4m state=', '4m state=a b', '4m file=x', '0', '512k', '1m-', '', '4m 4m'],
    llm_limit => ['$remote_addr rpm=1', '', '$remote_addr', '$remote_addr rpm=x', '$remote_addr rpm=-1',
        '$remote_addr max_budget=x', '$remote_addr max_budget=1/x',
        '$remote_addr max_budget=1/1d max_budget=2/1d', '$remote_addr rpm=1 rpm=1', '$remote_addr x=1',
        '$remote_addr tokens=all rpm=1', '$uri tokens=input', '$uri on_outage=deny',
        '$uri rpm=1 on_outage=hope'],
    llm_on_limit => ['cut', 'stop', '', 'cut cut'],
    llm_reserve_tokens => ['0', '-1', 'x', '', '1 2'],
    llm_limit_free_models => ['on', 'yes', '', 'on off'],
    llm_scope_headers => ['on', 'yes', '', 'on off'],
    llm_timezone => ['Europe/Berlin', 'Nowhere/City', '../passwd', '/etc/passwd', '', 'UTC UTC'],
    llm_provider => ["q { $p }", '', 'q r'],
    llm_redis => ['redis://127.0.0.1', '', 'http://a', 'redis://a speed=1'],
    llm_model => ['n { deployment p/x; }', '', 'n o'],
    llm_pass => ['models', 'nosuch', '', 'p p'],
    llm_ping => ['0', @bad_time],
    llm_stream_usage => ['on', 'yes', '1', '', 'on off'],
    llm_drop_params => ['on', 'true', '', 'on off'],
    llm_max_body => ['10m', 'big', '-1', '1.5m', '', '1m 1m'],
    llm_health => ['', 'x'],
    llm_admin => ['', 'x'],
    llm_metrics => ['', 'x'],
    llm_log_content => ['logs/content.log', 'logs/content.log max=0', 'logs/content.log 5', '',
        'off max=5'],
    llm_prices => [$prices, "$prices.none", '', "$prices $prices"],
    llm_master_key => ['sk-m', '', 'env:LLM_T_NONE', 'sha256:12', '$arg_key', 'a b'],
    llm_key => ['k { rpm 5; }', '', 'sha256:xy { }', 'k'],
    llm_team => ['t { rpm 5; }', '', 't', '"a b" { }'],
    llm_auth => ['optional', 'on', '', 'off off'],
    llm_unknown_price => ['refuse', 'maybe', '', 'count count'],
    llm_num_retries => ['2', '-1', 'two', '1.5', '', '1 2'],
    llm_max_fallbacks => ['0', '-1', 'some', '', '1 2'],
    llm_allowed_fails => ['3', '-1', 'few', '', '1 2'],
    llm_cooldown_time => ['30s', @bad_time],
    llm_default_fallbacks => ['p/x', 'nosuch', 'p/x nosuch', ''],
    llm_all_cooled => ['try', 'wait', '', 'try try'],
    llm_recover => ['restart', 'on', '', 'off off'],
    map({ ("llm_${_}timeout" => ['5s', @bad_time]) } '', qw(connect_ first_token_ idle_)),
);

# Where each context is, %s being the directive.
my %place = (
    main => ['', '%s', ''],
    http => ['%s', '', ''],
    server => ['', '', '%s'],
    location => ['', '', 'location /a/ { %s }'],
    'if in location' => ['', '', 'location /a/ { if ($arg_a) { %s } }'],
    'if in server' => ['', '', 'if ($arg_a) { %s }'],
    'limit_except' => ['', '', 'location /a/ { limit_except GET { %s } }'],
    upstream => ['upstream u { server 127.0.0.1:9; %s }', '', ''],
    llm_provider => ["llm_provider z { $p %s }", '', ''],
    llm_model => ["llm_model z { deployment p/x; %s }", '', ''],
);

# The blocks take some settings under the name that they have outside, too.
my %also = (
    map({ ("llm_${_}timeout" => ['llm_provider', 'llm_model']) }
        '', 'connect_', 'first_token_', 'idle_'),
    map({ ($_ => ['llm_model']) } qw(llm_drop_params llm_num_retries llm_allowed_fails
        llm_cooldown_time llm_recover)),
);

# Runs nginx -t with the directive in a place; returns its status, output, and the line's number.
sub try_in {
    my ($where, $name, $value) = @_;
    my $directive = $value =~ /\}\z/ ? "$name $value" : length $value ? "$name $value;" : "$name;";
    my ($http, $main, $server) = map { s/%s/\n$directive # HERE\n/r } @{$place{$where}};

    $t->main_conf($main);
    my ($code, $output) = $t->config_test("$http\nllm_provider p { $p }\nserver { listen "
        . "127.0.0.1:%%PORT%%; $server\nlocation / { return 200; } }");
    my $file = $t->dir . "/test$t->{config_tests}.conf";
    my ($before) = $t->slurp($file) =~ /\A(.*?)HERE/s;
    return ($code, $output, "$file:" . (1 + $before =~ tr/\n//));
}

cmp_ok(scalar @rows, '>=', 13, 'rows were read');
is_deeply([grep { !$sample{$_} } sort keys %row], [], 'every directive has a sample here');
is_deeply([grep { !$row{$_} } sort keys %sample], [], 'every sample is a directive');

for my $row (@rows) {
    my ($name, $sample) = ($row->{name}, $sample{$row->{name}});
    next unless $sample;

    subtest $name => sub {
        my ($good, @bad) = @$sample;
        my %allowed = map { $_ => 1 } @{$row->{context}}, @{$also{$name} || []};

        like($row->{syntax}, qr/\A$name\b/, 'its syntax begins with its name');
        ok(length $row->{doc}, 'it is described');
        is_deeply([grep { !$place{$_} } keys %allowed], [], 'its contexts are known');
        for my $where (sort keys %place) {
            my ($code, $output, $line) = try_in($where, $name, $good);
            if ($allowed{$where}) {
                is($code, 0, "allowed in $where") or diag($output);
            } else {
                is($code, 1, "refused in $where") or diag($output);
                # nginx itself refuses blocks in blocks of ours.
                like($output, qr/"$name" (?:directive is not allowed here )?in |unexpected "\{"/,
                    'by name');
                like($output, qr/\Q$line\E\b/, 'and by line');
            }
        }
        my ($where) = @{$row->{context}};
        for my $value (@bad) {
            my ($code, $output, $line) = try_in($where, $name, $value);
            is($code, 1, "\"$name $value\" is refused") or diag($output);
            like($output, qr/\Q$line\E\b/, 'by line');
        }
    };
}

subtest 'the default is a value' => sub {
    for my $row (grep { $_->{default} ne '-' } @rows) {
        my ($value) = $row->{default} =~ /\A$row->{name} (\S+)\z/ or fail("of $row->{name}");
        my ($code, $output) = try_in($row->{context}[0], $row->{name}, $value);
        is($code, 0, $row->{default}) or diag($output);
    }
};

subtest 'twice in one place' => sub {
    for my $row (@rows) {
        my ($name, $good) = ($row->{name}, $sample{$row->{name}}[0]);
        # A second block is another object; a handler may be set again, as nginx's own; a second file
        # of prices adds to the first, and so does a second limit.
        next if $good =~ /\}\z/ || !length $good || $name eq 'llm_prices' || $name eq 'llm_limit';
        my ($code, $output, $line) = try_in($row->{context}[0], $name, "$good; $name $good");
        is($code, 1, "$name twice is refused") or diag($output);
        like($output, qr/duplicate.*\Q$line\E\b/s, 'as a duplicate') if $code;
    }
};

subtest 'open ends' => sub {
    my ($code, $output) = $t->config_test("llm_provider p { $p\n");
    is($code, 1, 'an open block');
    like($output, qr/unexpected end of file, expecting "}" in .*:\d+/, 'says so');
    $t->main_conf('');
    ($code, $output) = $t->config_test("llm_provider p { $p }\nserver { listen 127.0.0.1:%%PORT%%;"
        . "\nlocation / { llm_pass \$llm_nosuch; } }");
    is($code, 1, 'llm_pass of an unknown variable');
    like($output, qr/unknown "llm_nosuch" variable/, 'by name');
    ($code, $output) = $t->config_test("map \$uri \$target { default p; }\nllm_provider p { $p }\n"
        . "server { listen 127.0.0.1:%%PORT%%; location / { llm_pass \$target; } }");
    is($code, 0, 'llm_pass of a variable') or diag($output);
};

$t->done;
