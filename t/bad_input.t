# Case 69: bodies that are wrong are refused with a 4xx in the dialect of the caller, quickly, and
# no worker is harmed; on paths where nothing is translated just as on those where it is.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key k; }
    llm_model chat { deployment chat/m; }
    llm_model claude { deployment claude/m; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;
# A provider refuses what a pass-through brings it.
$p->on('/v1/chat/completions' => json(400, chat_error('the provider refuses it')));
$p->on('/v1/messages' => json(400, messages_error('invalid_request_error', 'it refuses it')));
my ($worker) = $t->worker_pids;

my @kinds = map { my $client = $_; map { [$client, $_] } qw(chat claude) } qw(chat claude);
my %path = (chat => '/v1/chat/completions', claude => '/v1/messages');
my $limit = 0.010 * ($ENV{LLM_SLOW} || 1);
my @slow;

sub refused {
    my ($kind, $name, $body, %o) = @_;
    my ($client, $provider) = @$kind;
    my $r = $t->post($path{$client}, $body, %o);
    my $ok = $r->{status} >= 400 && $r->{status} < 500;
    my $error = ref $r->{json} eq 'HASH' ? $r->{json}{error} : undef;

    $ok &&= ref $error eq 'HASH' && length $error->{message} && defined $error->{type};
    $ok &&= $client eq 'chat' ? exists $error->{code} && exists $error->{param}
        && !exists $r->{json}{type} : ($r->{json}{type} // '') eq 'error';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($ok, "$client to $provider: $name") or diag("$r->{status} " . substr $r->{body}, 0, 300);
    # One of many may have met a busy machine: asked again, it has to be quick.
    for (1 .. 5) {
        last if $r->{time} < $limit;
        $r = $t->post($path{$client}, $body, %o);
        push @slow, "$client to $provider: $name took $r->{time} s"
            if $_ == 5 && $r->{time} > $limit;
    }
    return $r;
}

sub body_for {
    my ($provider, %o) = @_;
    my %member = (model => "\"$provider\"", max_tokens => 9,
        messages => '[{"role":"user","content":"hi"}]', %o);

    return '{' . join(',', map { "\"$_\":$member{$_}" } grep { defined $member{$_} }
        sort keys %member) . '}';
}

for my $kind (@kinds) {
    my ($client, $provider) = @$kind;
    my $good = body_for($provider);

    subtest "case 69: not JSON, $client to $provider" => sub {
        my %bad = (
            'nothing' => '', 'spaces' => "  \r\n", 'a word' => 'hello', 'a number' => '42',
            'null' => 'null', 'a string' => '"x"', 'an array' => "[$good]", 'no end' => '{',
            'half' => substr($good, 0, length($good) / 2), 'but one byte' => substr($good, 0, -1),
            'two documents' => $good . $good, 'a comma too many' => '{"model":"chat",}',
            'text behind it' => "$good x", 'single quotes' => $good =~ s/"/'/gr,
            'a comment' => "/* a */$good", 'a byte order mark of UTF-16' => "\xff\xfe$good",
            'a NUL byte before' => "\0$good", 'a NUL byte behind' => "$good\0",
            'a NUL byte in a string' => $good =~ s/hi/h\0i/r,
            'a raw line end' => $good =~ s/hi/\n/r, 'invalid UTF-8' => $good =~ s/hi/\xff\xfe/r,
            'a cut character' => $good =~ s/hi/\xe2\x82/r,
            'an overlong character' => $good =~ s/hi/\xc0\x80/r,
            'a surrogate in UTF-8' => $good =~ s/hi/\xed\xa0\x80/r,
            'a lone high surrogate' => $good =~ s/hi/\\ud83d/r,
            'a lone low surrogate' => $good =~ s/hi/\\ude00/r,
            'surrogates in the wrong order' => $good =~ s/hi/\\ude00\\ud83d/r,
            'a bad escape' => $good =~ s/hi/\\x41/r, 'half an escape' => $good =~ s/hi/\\u00/r,
            'NaN' => body_for($provider, temperature => 'NaN'),
            'a number with a zero before' => body_for($provider, max_tokens => '09'),
            'a number with a plus' => body_for($provider, temperature => '+1'),
            'a number without digits' => body_for($provider, temperature => '-'),
            'a hexadecimal number' => body_for($provider, max_tokens => '0x10'),
            'a form' => 'model=chat&messages=hi', 'XML' => '<?xml version="1.0"?><a/>',
            'random bytes' => join('', map { chr(($_ * 7919) % 256) } 1 .. 999),
        );
        refused($kind, $_, $bad{$_}) for sort keys %bad;
        refused($kind, 'a depth bomb of arrays', '[' x 100_000);
        refused($kind, 'a depth bomb of objects', '{"a":' x 100_000);
        refused($kind, 'one in a member', body_for($provider, a => '[' x 100_000 . ']' x 100_000));
        refused($kind, 'one in the messages', body_for($provider,
            messages => '[' x 10_000 . ']' x 10_000));
    };

    subtest "case 69: wrong types, $client to $provider" => sub {
        my @any = ('null', 'true', '17', '-1e9999', '"text"', '[]', '{}', '[null]', '[[]]',
            '{"a":1}', '[1,"a",true]', '""');
        my %wrong = (
            model => ['null', 'true', '17', '[]', '{}', '["chat"]'],
            messages => ['null', 'true', '17', '"hi"', '{}', '{"role":"user"}', '[1]', '["hi"]',
                '[null]', '[[]]', '[{}]', '[{"role":"user"},3]', '[{"role":7,"content":"a"}]',
                '[{"content":"hi"}]'],
            stream => ['"yes"', '1', '[]', '{}', '"true"', '0'],
        );
        for my $member (sort keys %wrong) {
            refused($kind, "$member is $_", body_for($provider, $member => $_))
                for @{$wrong{$member}};
            refused($kind, "no $member", body_for($provider, $member => undef))
                if $member ne 'stream';
        }
        # What is not looked at in a pass-through is for the provider to judge.
        my @inside = qw(content role name tool_calls tool_call_id);
        for my $member (qw(max_tokens temperature top_p tools tool_choice stop stop_sequences
            response_format system metadata n user thinking stream_options))
        {
            for my $value (grep { $_ ne 'null' } @any) {
                $p->on('/v1/chat/completions' => json(200, chat_answer()));
                $p->on('/v1/messages' => json(200, messages_answer()));
                my $r = $t->post($path{$client}, body_for($provider, $member => $value));
                ok($r->{status} == 200 || $r->{status} >= 400 && $r->{status} < 500 && $r->{json}
                    && $r->{json}{error}, "$client to $provider: $member is $value: $r->{status}")
                    or diag($r->{body});
            }
        }
        for my $member (@inside) {
            for my $value (@any) {
                my $r = $t->post($path{$client}, body_for($provider, messages =>
                    "[{\"role\":\"user\",\"content\":\"a\",\"$member\":$value}]"));
                ok($r->{status} == 200 || $r->{status} >= 400 && $r->{status} < 500 && $r->{json}
                    && $r->{json}{error}, "$client to $provider: $member is $value: $r->{status}")
                    or diag($r->{body});
            }
        }
        $p->on('/v1/chat/completions' => json(400, chat_error('the provider refuses it')));
        $p->on('/v1/messages' => json(400, messages_error('invalid_request_error', 'no')));
    };
}

subtest 'case 69: large and odd but well-formed' => sub {
    my %twice = (model => '"chat"', messages => '[{"role":"user","content":"hi"}]',
        stream => 'false,"stream":true');
    $p->on('/v1/chat/completions' => json(200, chat_answer()));
    $p->on('/v1/messages' => json(200, messages_answer()));
    for my $kind (@kinds) {
        my ($client, $provider) = @$kind;
        my $name = "$client to $provider";
        my @many = map { my $role = $_ % 2 ? 'user' : 'assistant';
            qq({"role":"$role","content":"$_"}) } 1 .. 10_000;
        refused($kind, '10,000 messages', body_for($provider, messages =>
            '[' . join(',', @many) . ']'));
        my $r = $t->post($path{$client}, body_for($provider, messages =>
            '[' . join(',', @many[0 .. 998]) . ']'));
        is($r->{status}, 200, "$name: 999 messages") or diag($r->{body});
        my $q = $p->last_request->{json} || {};
        is(scalar @{$q->{messages} || []}, 999, 'all of them arrive');
        # Which of the two counts is anybody's guess, so a rule that looks at one can be fooled.
        refused($kind, "a second $_", body_for($provider) =~ s/\}\z/,"$_":$twice{$_}}/r)
            for sort keys %twice;
        for my $number ('1e400', '-1e400', '9' x 400, '0.' . '1' x 400, '1e-400') {
            $r = $t->post($path{$client}, body_for($provider, temperature => $number));
            ok($r->{status} == 200 || $r->{status} == 400, "$name: " . substr($number, 0, 9)
                . " is $r->{status}") or diag($r->{body});
        }
        my $members = join ',', map { "\"m$_\":$_" } 1 .. 20_000;
        $r = $t->post($path{$client}, body_for($provider, metadata => "{$members}"));
        ok($r->{status} == 200 || $r->{status} == 400, "$name: 20,000 members: $r->{status}");
    }
};

subtest 'quickly, and no worker is harmed' => sub {
    is(scalar @slow, 0, 'each refused within 10 ms') or diag(join "\n", @slow);
    is(join(' ', $t->worker_pids), $worker, 'the same worker');
    is($t->get('/health')->{json}{in_flight}, 0, 'nothing left in flight');
};

$t->done;
