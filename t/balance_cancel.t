# A thousand streams that are cancelled at random moments, over HTTP/1.1, HTTP/2 and TLS, while the
# configuration is reloaded again and again: afterwards nothing is in flight, every connection to
# the provider was closed, and no old worker stays behind. LLM_STREAMS=N makes it another number.

use strict;
use warnings;
use LLM::Test;
use LLM::Port qw(nap);
use LLM::Provider;
use LLM::Pair;
use LLM::TLS;
use Time::HiRes qw(time);

my $total = $ENV{LLM_STREAMS} || 1000;
my $batch = 50;
my $t = LLM::Test->new(workers => 2);
my $p = LLM::Provider->new(dir => $t->dir);
my $cert = LLM::TLS->new(dir => $t->dir)->server('localhost');

$t->http_conf(LLM::Pair::conf($p, provider => 'keepalive 0;',
    server => "listen 127.0.0.1:%%PORT:h2c%% http2;
        listen 127.0.0.1:%%PORT:tls%% ssl;
        listen 127.0.0.1:%%PORT:h2%% ssl http2;
        ssl_certificate $cert->{cert};
        ssl_certificate_key $cert->{key};
        location = /count { default_type text/plain; return 200 \$llm_in_flight; }"));
$t->start;
$p->on('/v1/chat/completions' => sse(chat_stream(text => [map { "word $_ " } 1 .. 40]),
    gap => 0.004));
$p->on('/v1/messages' => sse(messages_stream(text => [map { "word $_ " } 1 .. 40]), gap => 0.004));

my @pairs = LLM::Pair->all;
my @kinds = qw(h1 h1 tls h2c h2);
my ($state, %seen) = ($ENV{LLM_SEED} || 42);
note("seed $state");

sub pick {
    my ($n) = @_;

    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    return ($state >> 8) % $n;
}

# One stream: how to look whether it has begun, and how to end it.
sub open_one {
    my ($h2) = @_;
    my $pair = $pairs[pick(scalar @pairs)];
    my $kind = $kinds[pick(scalar @kinds)];
    my $way = pick(4);

    $seen{"$kind, $pair->{name}"}++;
    if ($kind =~ /\Ah2/) {
        my $conn = $h2->{$kind};
        my $id = $conn->open(path => $pair->path, headers => ['content-type' => 'application/json'],
            body => LLM::Json::encode_json_o($pair->question(stream => JSON::PP::true())));
        # Streams of one connection that go with it are the fourth way.
        return { end => sub { $conn->rst($id, $way % 2 ? 8 : 0) if $way < 3 } };
    }
    my $s = $pair->stream($t, http => $kind eq 'tls' ? { tls => 1, port => 'tls' } : {});
    # One that was read is a client that listens; the others have not looked at anything yet.
    return { end => sub { $s->next_event(0.001) if $way == 0; $way == 1 ? $s->close : $s->reset } };
}

my $began = time;
for my $round (1 .. $total / $batch) {
    my %h2 = map { $_ => $t->h2(port => $_, tls => $_ eq 'h2') } qw(h2c h2);
    my @streams = map { open_one(\%h2) } 1 .. $batch;

    # Some leave before their request was read, some in the middle, some after the last event.
    while (@streams) {
        my ($one) = splice @streams, pick(scalar @streams), 1;
        $one->{end}->();
        nap(pick(8) / 1000);
    }
    pick(2) ? $_->drop : $_->close for values %h2;
    ok($t->reload, "reload in round $round") if $round % 5 == 0;
}
my $took = time - $began;

# The last packets of the clients are on their way to the workers.
my $deadline = time + LLM::Port::slow(0.5);
my $count;
do { $count = $t->get('/count')->{body} } until $count eq '0' || time > $deadline;
is($count, '0', sprintf '%d streams in %.1f s: nothing is in flight', $total, $took);
my $json = $t->get('/health/readiness')->{json};
is_deeply([grep { $_->{in_flight} } @{$json->{deployments}}], [], 'at no deployment');
ok($p->wait_closed('all', 2), 'the provider saw every connection close');
my @connections = $p->connections;
my $asked = $p->request_count;
cmp_ok($asked, '>', $total / 2, "$asked requests reached the provider");
cmp_ok(scalar(grep { $_->{closed_by_peer} } @connections), '>', $asked / 2,
    'most were closed before their end');
ok($t->wait_for(sub { $t->worker_pids(all => 1) == 2 }, 10, 'the end of the old workers'),
    'no old worker stays');
cmp_ok(scalar(keys %seen), '>=', 12, 'of all kinds') or diag(join "\n", sort keys %seen);

$p->on($_) for '/v1/chat/completions', '/v1/messages';
for my $pair (@pairs) {
    $p->script(json(200, $pair->answer(text => 'after all that')));
    my $r = $pair->post($t);
    is($pair->read_answer($r->{json})->{text}, 'after all that', "$pair->{name} works");
}
is($t->get('/count')->{body}, '0', 'and is counted right');

$t->done;
