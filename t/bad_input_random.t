# Case 69 by chance: hundreds of bodies made from good ones by a seeded loop. Whatever comes out,
# the answer is a 200 or a 4xx in the dialect of the caller, and no worker is harmed. A failure
# prints the seed; LLM_SEED=N repeats it, LLM_ROUNDS=N makes more.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::Json qw(ordered encode_json_o);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;
my $rounds = $ENV{LLM_ROUNDS} || 600;
my $seed = $ENV{LLM_SEED} || 20250607;

$t->http_conf(<<"END");
    llm_provider chat { dialect openai; base_url $url/v1; api_key k; }
    llm_provider claude { dialect anthropic; base_url $url/v1; api_key k; }
    llm_model chat { deployment chat/model-of-the-provider; }
    llm_model claude { deployment claude/model-of-the-provider; }
    llm_model mock { deployment mock/m; }
    llm_provider mock { }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_drop_params on; llm_pass models; } }
END
$t->start;
$p->on('/v1/chat/completions' => json(200, chat_answer()));
$p->on('/v1/messages' => json(200, messages_answer()));
my ($worker) = $t->worker_pids;

# A generator of our own: the one of Perl differs from build to build.
my $state = $seed;

sub pick {
    my ($n) = @_;

    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    return $n ? ($state >> 8) % $n : 0;
}

my $tool = ordered(type => 'function', function => ordered(name => 'f', description => 'does f',
    parameters => ordered(type => 'object', properties => ordered(a => { type => 'string' }),
        required => ['a'])));
my $image = ordered(type => 'image_url', image_url => { url => 'data:image/png;base64,iVBORw0K' });
my $cache = { cache_control => { type => 'ephemeral' } };
my %good = (
    chat => ordered(
        model => 'chat',
        messages => [
            ordered(role => 'system', content => 'be brief'),
            ordered(role => 'user', content => [ordered(type => 'text', text => "caf\x{e9}"),
                $image]),
            ordered(role => 'assistant', content => undef, tool_calls => [ordered(id => 'call_1',
                type => 'function', function => ordered(name => 'f', arguments => '{"a":"b"}'))]),
            ordered(role => 'tool', tool_call_id => 'call_1', content => 'done'),
        ],
        max_completion_tokens => 100, temperature => 0.5, stop => ['x', 'y'], tools => [$tool],
        tool_choice => ordered(type => 'function', function => { name => 'f' }),
        response_format => ordered(type => 'json_schema', json_schema => ordered(name => 's',
            schema => ordered(type => 'object'), strict => JSON::PP::true())),
        stream => JSON::PP::false(), metadata => { a => 'b' }, user => 'u', seed => 5,
    ),
    claude => ordered(
        model => 'claude', max_tokens => 2000,
        system => [ordered(type => 'text', text => 'be brief', %$cache)],
        messages => [
            ordered(role => 'user', content => [ordered(type => 'text', text => 'hi', %$cache),
                ordered(type => 'image', source => ordered(type => 'base64',
                    media_type => 'image/png', data => 'iVBORw0K'))]),
            ordered(role => 'assistant', content => [
                ordered(type => 'thinking', thinking => 'hm', signature => 'c2ln'),
                ordered(type => 'tool_use', id => 'toolu_1', name => 'f', input => { a => 1 })]),
            ordered(role => 'user', content => [ordered(type => 'tool_result',
                tool_use_id => 'toolu_1', content => [ordered(type => 'text', text => 'ok')])]),
        ],
        tools => [ordered(name => 'f', input_schema => ordered(type => 'object'))],
        tool_choice => ordered(type => 'auto'), thinking => ordered(type => 'enabled',
            budget_tokens => 1024), stop_sequences => ['x'], stream => JSON::PP::false(),
    ),
);
my %path = (chat => '/v1/chat/completions', claude => '/v1/messages');

# What takes the place of a value, as text.
my @odd = ('null', 'true', 'false', '0', '-1', '1e999', '9' x 30, '""', '"x"', '[]', '{}', '[[]]',
    '[null]', '{"":null}', '"\ud800"', '"\u0000"', "\"\x01\"", "\"\xff\"", '01', '-', '.5', 'nul',
    '{"type":"text"}', '{"type":"image"}', '{"type":7}', '[{"type":"text","text":7}]', '"system"',
    '{"role":"user","content":[]}', ('[' x 60) . (']' x 60), '"' . 'long ' x 3000 . '"', '', ',',
    '{', ']', '"model":"chat"', '"data:image/png;base64,***"', '"http://[::1"',
    '18446744073709551616');

# Positions of values in a JSON text that we wrote ourselves: no blanks between its tokens.
sub value_spans {
    my ($text) = @_;
    my @spans;

    while ($text =~ /[:\[,]("(?:[^"\\]|\\.)*"(?!:)|-?[\d.]+|true|false|null)/g) {
        push @spans, [$-[1], $+[1] - $-[1]];
    }
    return @spans;
}

my @mutations = (
    sub { my @s = value_spans($_[0]); my $s = $s[pick(scalar @s)] || [0, 0];
        substr $_[0], $s->[0], $s->[1], $odd[pick(scalar @odd)] },
    sub { substr $_[0], pick(length $_[0]), 1, chr pick(256) },                # another byte
    sub { substr $_[0], pick(length $_[0]), 1 + pick(20), '' },                 # some are lost
    sub { substr $_[0], pick(length $_[0]), 0, chr pick(256) },                 # one more
    sub { my $at = pick(length $_[0]); my $part = substr $_[0], $at, 1 + pick(200);
        substr $_[0], pick(length $_[0]), 0, $part },                           # some twice
    sub { $_[0] = substr $_[0], 0, pick(length $_[0]) },                        # cut
    sub { my @n = $_[0] =~ /"(\w+)":/g or return;                             # another name
        my $n = $n[pick(scalar @n)]; my $m = $n[pick(scalar @n)]; $_[0] =~ s/"\Q$n\E":/"$m":/ },
);

sub question {
    my ($client) = @_;
    my $text = encode_json_o($good{$client});
    # The prefix decides where it goes, so that all pairs are met.
    my $to = (qw(chat claude mock))[pick(3)];

    $text =~ s/\A\{"model":"\w+"/{"model":"$to"/;
    $text =~ s/"stream":false/"stream":true/ if pick(3) == 0;
    return ($text, $to);
}

my (%seen, @bad);
for my $round (1 .. $rounds) {
    my $client = (qw(chat claude))[pick(2)];
    my $from = $state;
    my ($text, $to) = question($client);
    # Half of them stay JSON, and so reach what is behind the parser.
    $mutations[pick(2) ? 0 : pick(scalar @mutations)]->($text) for 1 .. 1 + pick(2);
    my $r = $t->post($path{$client}, $text);
    my $status = $r->{status};
    my $error = ref $r->{json} eq 'HASH' ? $r->{json}{error} : undef;
    my $well = $status == 200 || $status >= 400 && $status < 500 && ref $error eq 'HASH'
        && length($error->{message} // '') && ($client eq 'chat' ? exists $error->{code}
            : $r->{json}{type} eq 'error');

    $seen{"$client to $to: $status"}++;
    # The provider sent one whole answer: a stream of it has to be a true one, too.
    $well &&= $r->{clean};
    push @bad, "round $round, state $from: $status " . substr($r->{body}, 0, 200) . "\nof $text"
        unless $well;
    last if @bad > 5;
}
is(scalar @bad, 0, "$rounds bodies, seed $seed: each a 200 or a 4xx in the caller's dialect")
    or diag(join "\n", map { substr $_, 0, 1500 } @bad);
note("$_: $seen{$_}") for sort keys %seen;
for my $client (sort keys %path) {
    my ($text) = (encode_json_o($good{$client}));
    is($t->post($path{$client}, $text)->{status}, 200, "unchanged, the body of $client is good");
    for my $status (200, 400) {
        my @met = grep { /\A$client .*: $status/ } keys %seen;
        cmp_ok(scalar @met, '>=', 2, "$client: met $status");
    }
}
# A request that the provider got has to be JSON.
my @broken = grep { !defined $_->{json} } $p->requests;
is(scalar @broken, 0, 'providers got nothing but JSON') or diag($broken[0]{body});
is(join(' ', $t->worker_pids), $worker, 'the same worker');
is($t->get('/health')->{json}{in_flight}, 0, 'nothing left in flight');

$t->done;
