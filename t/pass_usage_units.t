# What providers answer without a count of tokens: images, speech and rankings are paid for by the
# image, the letter, the second or the query, texts by an estimate of their tokens, whether the location
# is a provider or the gateway; never silently for nothing.

use strict;
use warnings;
use LLM::Test;
use LLM::Metrics;
use LLM::Provider;
use LLM::Json qw(try_json);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $prices = $t->write_file('prices.json', encode_json_c({ models => {
    'p/draws' => { per => { output_image => 0.04 } },
    'p/hd/1024-x-1792/draws' => { per => { output_image => 0.12 } },
    'p/512-x-512/draws' => { per => { output_image => 0.018 } },
    'p/says' => { per => { input_character => 0.000015 } },
    'p/hears' => { per => { input_second => 0.0001 } },
    'p/ranks' => { per => { query => 0.002 } },
    'p/both' => { input => 1, output => 3, per => { query => 0.002 } },
    'p/tokens' => { input => 1, output => 3 } } }));

$t->http_conf(<<"END");
    llm_prices $prices;
    log_format entry escape=json '{"cost":"\$llm_cost","status":"\$llm_cost_status",'
        '"in":\$llm_input_tokens,"out":\$llm_output_tokens}';
    llm_provider p { dialect openai; base_url $url/v1; api_key k; }
    llm_provider openai { base_url $url/v1; api_key k; }
    llm_model p/* { deployment p/*; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; access_log logs/entry.log entry; }
        location /p/ { llm_pass p; access_log logs/entry.log entry; }
        location /strict/ { llm_pass models; llm_unknown_price refuse; access_log logs/entry.log entry; }
        location /strict/p/ { llm_pass p; llm_unknown_price refuse; access_log logs/entry.log entry; }
        location = /metrics { llm_metrics; }
        location /limited/ { llm_pass models; llm_limit \$arg_by tpm=100; }
        location /limited/p/ { llm_pass p; llm_limit \$arg_by tpm=100; }
    }
END
$t->start;

my $seen = 0;

# What the answer is and costs.
sub costs {
    my ($name, $path, $body, $want, $answer, @type) = @_;
    my @lines;

    $p->script($answer);
    my $r = $t->request('POST', $path, body => ref $body ? encode_json_c($body) : $body,
        headers => ['Content-Type' => @type ? @type : 'application/json']);
    $t->wait_for(sub { @lines = split /\n/, $t->slurp('logs/entry.log'); @lines > $seen }, 5, 'a line');
    my $e = try_json($lines[$seen++]) || {};
    is(join(' ', @$e{qw(cost status in out)}), $want, $name) or diag("$r->{status} $r->{body}");
    return $r;
}

sub images { my ($n) = @_; return json(200, { created => 1, data => [map { { url => "u$_" } } 1 .. $n] }) }

sub form {
    my (%fields) = @_;
    my $form = join '', map { "--xYz\r\nContent-Disposition: form-data; name=\"$_\""
        . ($_ eq 'file' ? '; filename="a.wav"' : '') . "\r\n\r\n$fields{$_}\r\n" } sort keys %fields;

    return "$form--xYz--\r\n";
}

# A second has 16000 bytes.
sub wav {
    my ($seconds) = @_;

    return 'RIFF' . pack('V', 36 + 16000 * $seconds) . 'WAVEfmt ' . pack('VvvVVvv', 16, 1, 1, 8000,
        16000, 2, 16) . 'LIST' . pack('V', 3) . "abc\0" . 'data' . pack('V', 16000 * $seconds) . 'sound';
}

my $audio = answer(status => 200, body => "ID3\0\1", headers => { 'Content-Type' => 'audio/mpeg' });
my $form = 'multipart/form-data; boundary=xYz';

for my $way (['the gateway', '', 'p/'], ['a provider', '/p', '']) {
    my ($where, $at, $prefix) = @$way;
    my $is_raw = $at ne '';
    subtest $where => sub {
        my @draw = ("$at/v1/images/generations", { model => "${prefix}draws", prompt => 'a cat' });
        my $say = sub { ("$at/v1/audio/speech", { model => "${prefix}says", input => $_[0] }) };
        costs('one image', @draw, $is_raw ? '0.04 estimated 0 0' : '0.04 known 0 0', images(1));
        costs('three', $draw[0], { %{$draw[1]}, n => 3 },
            $is_raw ? '0.12 estimated 0 0' : '0.12 known 0 0', images(3));
        costs('two of three came', $draw[0], { %{$draw[1]}, n => 3 },
            $is_raw ? '0.12 estimated 0 0' : '0.08 known 0 0', images(2));
        costs('a price for a size', $draw[0], { %{$draw[1]}, size => '512x512' },
            $is_raw ? '0.018 estimated 0 0' : '0.018 known 0 0', images(1));
        costs('and a quality', $draw[0], { %{$draw[1]}, size => '1024x1792', quality => 'hd' },
            $is_raw ? '0.12 estimated 0 0' : '0.12 known 0 0', images(1));
        costs('an answer with tokens is paid for by them', $draw[0],
            { model => "${prefix}tokens", prompt => 'x' }, '0.00125 known 50 400',
            json(200, { data => [{}], usage => { input_tokens => 50, output_tokens => 400,
                total_tokens => 450 } }));
        costs('edits, a form', "$at/v1/images/edits", form(model => "${prefix}draws", n => 2, file => 'x'),
            $is_raw ? '0.08 estimated 0 0' : '0.08 known 0 0', images(2), $form);
        my $r = costs('letters', $say->("caf\x{e9} \x{1f600}"), '0.00009 known 0 0', $audio);
        is($r->{body}, "ID3\0\1", 'the sound comes as it is');
        costs('none', $say->(''), '0  0 0', $audio);
        costs('seconds of a file', "$at/v1/audio/transcriptions", form(model => "${prefix}hears",
            file => wav(90)), '0.009 known 0 0', json(200, { text => 'hi' }), $form);
        costs('seconds that the answer tells', "$at/v1/audio/transcriptions", form(model =>
            "${prefix}hears", file => wav(90)), '0.00125 known 0 0', json(200, { text => 'hi',
            usage => { type => 'duration', seconds => 12.5 } }), $form);
        costs('seconds that nobody tells', "$at/v1/audio/transcriptions", form(model =>
            "${prefix}hears", file => 'ID3'), '0 unpriced 0 0', json(200, { text => 'hi' }), $form);
        costs('tokens of a recording', "$at/v1/audio/transcriptions", form(model => "${prefix}tokens",
            file => 'ID3'), '0.00125 known 50 400', json(200, { text => 'hi', usage => {
            type => 'tokens', input_tokens => 50, output_tokens => 400, total_tokens => 450 } }), $form);
        costs('a recording that is refused', "$at/v1/audio/transcriptions", form(model =>
            "${prefix}hears", file => 'ID3'), '0  0 0', json(400, { error => { message => 'no' } }), $form);
        costs('a failure', @draw, '0  0 0', json(400, { error => { message => 'no' } }));
        costs('no price for images', $draw[0], { model => "${prefix}tokens", prompt => 'x' },
            '0 unpriced 0 0', images(1));
    };
}
$t->expect_log(qr/the price of p\/tokens is not known/);
$t->expect_log(qr/the price of p\/nobody is not known, its requests count as 0/);
$t->expect_log(qr/the price of p\/nobody is not known, it is not asked/);
$t->expect_log(qr/the length of a recording of p\/hears is not known/);

subtest 'the length of a translated recording' => sub {
    costs('verbose_json', '/v1/audio/translations', form(model => 'p/hears', file => 'ID3'),
        '0.00125 known 0 0', json(200, { text => 'hi', duration => 12.5 }), $form);
};

# OpenAI's list says 0.04 and 0.08 dollars, the table so much for a pixel; 0.00003 for a letter.
subtest 'the built-in prices' => sub {
    my $draw = sub { ('/v1/images/generations', { model => 'openai/dall-e-3', prompt => 'x', @_ }) };
    costs('dall-e-3', $draw->(), '0.039999924 known 0 0', images(1));
    costs('hd', $draw->(quality => 'hd'), '0.079995863 known 0 0', images(1));
    costs('tts-1-hd', '/v1/audio/speech', { model => 'openai/tts-1-hd', input => 'x' x 100 },
        '0.003 known 0 0', $audio);
};

subtest 'it is in the metrics' => sub {
    my $m = LLM::Metrics->get($t);
    cmp_ok($m->sum('llm_unpriced_requests_total'), '==', 4, 'without a price, or a length');
    cmp_ok($m->sum('llm_estimated_requests_total'), '==', 6, 'estimated')
        or diag(grep { /estimated/ } $m->text);
};

for my $way (['the gateway', '', 'p/'], ['a provider', '/p', '']) {
    my ($where, $at, $prefix) = @$way;
    my $is_raw = $at ne '';
    subtest "texts, $where" => sub {
        my $ask = sub {
            my ($name, $path, $model, $want, $answer) = @_;
            my $body = { model => "$prefix$model", input => 'x' x 3000 };
            my $bytes = length encode_json_c($body);
            my $tokens = int(($bytes + 3) / 4);
            my $cost = sprintf '%.6f', $tokens / 1e6;
            $want =~ s/COST/$cost =~ s,0+\z,,r/e;
            return costs("$name of $model", "$at/v1/$path", $body, $want =~ s/TOKENS/$tokens/r, $answer);
        };
        my $list = json(200, { object => 'list', data => [] });
        $ask->('embeddings', 'embeddings', 'tokens', 'COST estimated TOKENS 0', $list);
        $ask->('moderations', 'moderations', 'tokens', 'COST estimated TOKENS 0', $list);
        $ask->('an answer that is no JSON', 'embeddings', 'tokens', 'COST estimated TOKENS 0',
            answer(status => 200, body => 'vectors', headers => { 'Content-Type' => 'text/plain' }));
        $ask->('a price that is not known', 'embeddings', 'nobody', '0 unpriced TOKENS 0', $list);
        $ask->('a failure', 'embeddings', 'tokens', '0  0 0', json(400, { error => { message => 'no' } }));
        my $ranked = { results => [{ index => 0, relevance_score => 0.5 }] };
        my $billed = { %$ranked, meta => { billed_units => { search_units => 3 } } };
        $ask->('a ranking', 'rerank', 'ranks', '0.002 estimated TOKENS 0', json(200, $ranked));
        $ask->('of several queries', 'rerank', 'ranks',
            ($is_raw ? '0.002' : '0.006') . ' estimated TOKENS 0', json(200, $billed));
        $ask->('by tokens', 'rerank', 'tokens', 'COST estimated TOKENS 0', json(200, $ranked));
        $ask->('by both', 'rerank', 'both', '0.00202 known 20 0',
            json(200, { %$ranked, usage => { total_tokens => 20 } }));
        $ask->('without a price', 'rerank', 'nobody', '0 unpriced TOKENS 0', json(200, $ranked));
        my $before = $p->request_count;
        my $r = $t->post("/strict$at/v1/embeddings", { model => "${prefix}nobody", input => 'x' });
        is($r->{status}, 403, 'refused where unknown prices are');
        like($r->{json}{error}{message}, qr/price of the model is not known/, 'with the reason');
        is($p->request_count, $before, 'nobody was asked');
        $seen++;
    };
}
subtest 'what names no model has no price' => sub {
    costs('a file', '/strict/p/v1/files', 'bytes' x 100, '0  0 0', json(200, { id => 'f' }), 'text/plain');
};

# Limits count what the log says: a recording is no text, however long it is.
subtest 'files and recordings are no tokens' => sub {
    my $form = qq(--b\r\nContent-Disposition: form-data; name="model"\r\n\r\np/hears\r\n--b\r\n)
        . qq(Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n)
        . 'x' x 100_000 . "\r\n--b--\r\n";
    $p->script(json(200, { text => 'hello' }));
    for my $path ('/limited/v1/audio/transcriptions', '/limited/p/v1/audio/transcriptions',
        '/limited/p/v1/files')
    {
        is($t->request('POST', "$path?by=$path", body => $form, headers => ['Content-Type' =>
            'multipart/form-data; boundary=b'])->{status}, 200, "$path $_") for 1 .. 3;
    }
};

$t->done;
