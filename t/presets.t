# Every preset passes nginx -t with the variables and the credentials that it needs; without them,
# and for providers that are known but cannot be served, nginx -t says what is missing and where.
# What a preset makes of a request is in t/golden/providers.txt; here, that it gets onto the wire.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

delete @ENV{grep { /\A(?:AWS|GOOGLE|BEDROCK)_/ } keys %ENV};
my $t = LLM::Test->new;
my $dir = $t->dir;
my $server = "server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }\n";
my %account = (type => 'service_account', client_email => 'g@p.test',
    private_key => scalar `openssl genpkey -algorithm RSA 2>/dev/null`,
    token_uri => 'https://oauth.test/token');
$t->write_file('account.json', encode_json_c(\%account));

# The tables as text: name => what is in braces in its addresses, and the rest of the row.
my ($presets, $aliases, $refused) = tables();

sub tables {
    my (%row, %alias, %no);

    for my $file (qw(providers providers_own providers_refused)) {
        my $text = $t->slurp($t->repo . "/translators/provider/$file.def");
        $text =~ s{^//.*\n}{}mg;
        $row{$1} = $2 while $text =~ /^LLM_PROVIDER\("([^"]+)",(.*(?:\n .*)*)/mg;
        $alias{$1} = $2 while $text =~ /^LLM_PROVIDER_ALIAS\("([^"]+)", "([^"]+)"\)/mg;
        $no{$1} = $2 while $text =~ /^LLM_PROVIDER_REFUSED\("([^"]+)",\s*"([^"\\]{1,30})/mg;
    }
    return (\%row, \%alias, \%no);
}

# What a preset needs in its block. A path that can do without a variable does not count.
sub needs {
    my ($name) = @_;
    my $row = $presets->{$name};
    my ($base) = $row =~ /\A\s*"[^"]*",\s*\w+,\s*"([^"]*)"/ or die $name;
    my ($path) = $row =~ /\.chat_path =\s*"([^"]*)"/;
    $path = '' if !defined $path || $row =~ /\.plain_path/;
    my %seen = (model => 1);
    my @variables = grep { !$seen{$_}++ }
        map { $_ eq 'vertex_host' ? 'region' : $_ } "$base$path" =~ /\{(\w+)\}/g;
    my %named = map { $_ => 1 } qw(region project resource api_version);
    my @lines = map {
        my $value = /base_url\z/ ? 'https://own.test' : 'some-value';
        $named{$_} ? "$_ $value;" : "var $_ $value;";
    } @variables;

    push @lines, 'base_url http://127.0.0.1:9/v1;' if $base eq '' && $name ne 'mock';
    push @lines, 'aws_access_key_id AK; aws_secret_access_key SK;' if $row =~ /sigv4\(/;
    push @lines, 'service_account file:account.json;' if $row =~ /kGoogleOauth/;
    return @lines;
}

sub provider { my ($name, @lines) = @_; return "llm_provider \"p-$name\" {\npreset $name;\n"
    . join('', map { "$_\n" } @lines) . "}\n" }

sub refused {
    my ($what, $conf, $line, $message) = @_;
    my ($code, $output) = $t->config_test("$conf$server");
    my ($before) = $t->slurp("test$t->{config_tests}.conf") =~ /\A(.*?)\Q$conf\E/s or die $what;
    $line += $before =~ tr/\n//;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $good = is($code, 1, "$what is refused");
    $good &= like($output, $message, 'with a message');
    $good &= like($output, qr/ in \S+:$line\b/, 'that names file and line');
    diag($output) unless $good;
    return;
}

my @here = sort keys %$presets;

subtest 'all of them at once' => sub {
    my @all = ((map { provider($_, needs($_)) } @here),
        map { provider($_, needs($aliases->{$_})) } sort keys %$aliases);
    my ($code, $output) = $t->config_test(join '', @all, $server);
    cmp_ok(scalar @all, '>', 180, 'a catalogue');
    is($code, 0, 'nginx -t takes every preset') or diag($output);
    unlike($output, qr/\[(?:emerg|alert|crit|error)\]/, 'without a complaint');
};

subtest 'names that need no preset directive' => sub {
    my ($code, $output) = $t->config_test("llm_provider groq { }\nllm_provider together { }\n"
        . $server);
    is($code, 0, 'the name of a preset, and an alias') or diag($output);
};

subtest 'what is missing' => sub {
    for my $name (@here) {
        my @lines = needs($name);
        for my $i (grep { $lines[$_] !~ /\Aservice_account|\Aaws_/ } 0 .. $#lines) {
            my ($what) = $lines[$i] =~ /\A((?:var )?\w+)/;
            refused("$name without $what", provider($name, @lines[grep { $_ != $i } 0 .. $#lines]),
                1, qr/"p-\Q$name\E" needs (?:a )?"\Q$what\E"/);
        }
    }
};

subtest 'known and refused' => sub {
    for my $name (sort keys %$refused) {
        refused($name, provider($name), 2,
            qr/preset "\Q$name\E" is not available: \Q$refused->{$name}\E/);
    }
    refused('watsonx by its name', "llm_provider watsonx {\n}\n", 1,
        qr/"watsonx" is no preset: its dialect "watsonx" is not implemented/);
    my ($code) = $t->config_test("llm_provider watsonx { dialect openai; "
        . "base_url http://127.0.0.1:9; }\n$server");
    is($code, 0, 'the name alone is free');
};

subtest 'variables' => sub {
    my @base = ('var host a.test;');
    refused('a variable that the preset does not have', provider('databricks', @base,
        'var hosts a.test;'), 4, qr/"p-databricks" has no use for "hosts"/);
    refused('a region for a preset without', provider('groq', 'region x;'), 3,
        qr/has no use for "region"/);
    refused('a variable twice', provider('databricks', @base, @base), 4, qr/"host" is duplicate/);
    refused("the value $_", provider('databricks', "var host $_;"), 3, qr/host|secret is empty/)
        for '"a b"', 'a@b', '"a?b"', '"a#b"', '""', '"a{b}"', '$host', '"a%2f"';
    $ENV{LLM_T_HOST} = 'env.test';
    is(($t->config_test(provider('databricks', 'var host env:LLM_T_HOST;') . $server))[0], 0,
        'from the environment');
};

subtest 'credentials' => sub {
    my @region = ('region eu-west-1;');
    my $needs = qr/needs "aws_access_key_id" and "aws_secret_access_key"/;
    refused('no keys for Amazon', provider('bedrock-invoke', @region), 1, $needs);
    refused('half of them', provider('bedrock-invoke', @region, 'aws_access_key_id a;'), 1, $needs);
    refused('keys of Amazon for others', provider('groq', 'aws_access_key_id a;',
        'aws_secret_access_key b;'), 1, qr/no use for keys of AWS/);
    refused('a secret that is not there', provider('bedrock-invoke', @region,
        'aws_access_key_id env:LLM_T_NOSUCH;'), 4, qr/"LLM_T_NOSUCH" is not set/);
    is(($t->config_test(provider('bedrock-invoke', @region, 'api_key k;') . $server))[0], 0,
        'a key of Bedrock is enough');
    refused('both', provider('bedrock-invoke', needs('bedrock-invoke'), 'api_key k;'), 1,
        qr/either "api_key" or other credentials/);
    {
        local @ENV{qw(AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION)} = qw(a b us-east-1);
        is(($t->config_test(provider('bedrock-invoke') . $server))[0], 0,
            'keys and region of the environment');
    }
    my @place = ('region eu;', 'project p;');
    refused('no account for Google', provider('vertex-anthropic', @place), 1,
        qr/needs a "service_account"/);
    refused('an account that is no file', provider('vertex-anthropic', @place,
        'service_account env:X;'), 5, qr/service_account must be file:PATH/);
    refused('an account that is not there', provider('vertex-anthropic', @place,
        'service_account file:nosuch.json;'), 5, qr/nosuch\.json/);
    for my $member (qw(type client_email private_key token_uri)) {
        $t->write_file('bad.json', encode_json_c({ %account,
            $member => $member eq "client_email" ? "" : "canary" }));
        refused("a bad $member", provider('vertex-anthropic', @place,
            'service_account file:bad.json;'), 5, qr/key file of a service account.*"$member"/);
    }
    refused('an account for others', provider('groq', 'service_account file:account.json;'), 1,
        qr/no use for a service_account/);
    {
        local $ENV{GOOGLE_APPLICATION_CREDENTIALS} = "$dir/account.json";
        is(($t->config_test(provider('vertex-anthropic', @place) . $server))[0], 0,
            'the account of the environment');
    }
};

subtest 'on the wire' => sub {
    my $p = LLM::Provider->new(dir => $t->dir);
    my $url = $p->url;
    $t->http_conf(<<"END");
        llm_provider azure { base_url $url; api_version 2024-10-21; api_key k-azure; }
        llm_provider newer { preset azure; base_url $url; api_key k-azure; }
        llm_provider deepseek { base_url $url; api_key k-deep; }
        llm_provider chat-only { preset deepseek; base_url $url; api_key k-deep; dialect openai; }
        llm_provider zai { base_url $url/v4; api_key k-zai; }
        llm_provider vertex-anthropic { base_url $url; api_key k-google; region eu; project p; }
        llm_provider bedrock-invoke {
            base_url $url; region eu-west-1; aws_access_key_id AK; aws_secret_access_key SK;
        }
        llm_provider with-token { preset bedrock-invoke; base_url $url; api_key k-bedrock; }
        server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
    $t->start;
    my $ask = sub {
        my ($path, $model, %more) = @_;
        $t->post($path, { model => $model, max_tokens => 5, %more,
            messages => [{ role => 'user', content => 'hi' }] });
        return $p->last_request;
    };
    $p->on($_ => json(200, chat_answer()))
        for map { $_, "/v1$_" } '/openai/deployments/my%2Fgpt/chat/completions',
            '/openai/v1/chat/completions', '/chat/completions';
    $p->on($_ => json(200, messages_answer())) for '/anthropic/v1/messages';

    my $q = $ask->('/v1/chat/completions', 'azure/my/gpt');
    is($q->{path}, '/openai/deployments/my%2Fgpt/chat/completions?api-version=2024-10-21',
        'the deployment is in the path, the version behind it');
    is($q->{headers}{'api-key'} . ($q->{headers}{authorization} // ''), 'k-azure',
        'the key in its own header, and nowhere else');
    $q = $ask->('/v1/chat/completions', 'newer/my/gpt');
    is("$q->{path} $q->{json}{model}", '/openai/v1/chat/completions my/gpt', 'the newer address');
    $q = $ask->('/v1/messages', 'deepseek/x');
    is("$q->{path} $q->{headers}{authorization}", '/anthropic/v1/messages Bearer k-deep',
        'a client of another dialect that the provider speaks is connected in it');
    is($q->{headers}{'anthropic-version'}, '2023-06-01', 'with the version');
    $q = $ask->('/v1/chat/completions', 'deepseek/x');
    is($q->{path}, '/chat/completions', 'as is one of the main dialect');
    is($ask->('/v1/messages', 'chat-only/x')->{path}, '/chat/completions',
        'unless `dialect` leaves one');
    is($ask->('/v1/messages', 'zai/x')->{path}, '/v4/chat/completions',
        'an address of the operator does not lead to another one of the provider');
    $q = $ask->('/v1/messages', 'vertex-anthropic/claude@1');
    is("$q->{path} $q->{headers}{'x-goog-api-key'}", '/models/claude%401:rawPredict k-google',
        'Vertex: the method is in the path');
    is($q->{headers}{'anthropic-version'}, undef, 'and the version is not in the headers');
    $q = $ask->('/v1/messages', 'vertex-anthropic/claude@1', stream => JSON::PP::true());
    is($q->{path}, '/models/claude%401:streamRawPredict', 'streams have their own');

    my %body = (model => 'bedrock-invoke/claude-x:0', max_tokens => 5,
        messages => [{ role => 'user', content => 'hi' }]);
    my $beta = ['anthropic-beta' => 'no-such-flag, context-1m-2025-08-07'];
    $t->post('/v1/messages', \%body, headers => $beta);
    $q = $p->last_request;
    is($q->{path}, '/model/claude-x%3A0/invoke', 'Bedrock: the model is in the path');
    like($q->{headers}{authorization}, qr{\A AWS4-HMAC-SHA256 [ ]
        Credential=AK/\d{8}/eu-west-1/bedrock/aws4_request, [ ]?
        SignedHeaders=\S+, [ ]? Signature=[0-9a-f]{64} \z}x, 'a signed request');
    is($q->{json}{model}, undef, 'and not in the body');
    is($q->{json}{anthropic_version}, 'bedrock-2023-05-31', 'which has the version');
    is("@{ $q->{json}{anthropic_beta} // [] }", 'context-1m-2025-08-07', 'and the flags it knows');
    is($q->{headers}{$_}, undef, "no $_") for 'anthropic-beta', 'anthropic-version', 'x-api-key';
    is($ask->('/v1/messages', 'with-token/claude-x')->{headers}{authorization}, 'Bearer k-bedrock',
        'a key of Bedrock is sent as it is');
};

$t->done;
