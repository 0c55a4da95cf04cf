# Case 63: every request carries a word of its own and gets an answer with that word; under aborts,
# time-outs and reused connections no reply ever has the word of another request.

use strict;
use warnings;
use LLM::Test;
use LLM::Port qw(nap);
use LLM::Provider;
use LLM::Pair;

my $total = $ENV{LLM_REQUESTS} || 600;
my $at_once = 30;
my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $yes = JSON::PP::true();
my ($state) = ($ENV{LLM_SEED} || 7);
note("seed $state");

$t->http_conf(LLM::Pair::conf($p, provider => 'header X-Canary $http_x_canary; keepalive 4;',
    server => 'listen 127.0.0.1:%%PORT:h2c%% http2; location /raw/ { llm_pass chat; }',
    location => 'llm_idle_timeout 150ms; llm_ping 20ms;'));
$t->start;
my ($worker) = $t->worker_pids;
my @pairs = LLM::Pair->all;

sub pick {
    my ($n) = @_;

    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    return ($state >> 8) % $n;
}

# A batch of requests: what the provider is to answer to each, and what the client does with it.
sub make_request {
    my ($n) = @_;
    my $pair = $pairs[pick(4)];
    my $canary = sprintf 'canary%05dx', $n;
    my $one = { n => $n, pair => $pair, canary => $canary, stream => pick(3) > 0,
        fate => (qw(read read read leave leave-late cut stall error slow))[pick(9)] };
    my %text = (text => [map { "$canary $_ " } 1 .. 2 + pick(12)], id => "id-$canary",
        reasoning => $pair->{name} eq 'chat to chat' ? "thinking of $canary" : undef,
        model => "model-$canary");
    my $fate = $one->{fate};
    my $events = [$pair->events(%text)];
    my $after = 4 + pick(3);

    $p->on({ head => qr/x-canary: $canary\r/i } => $fate eq 'error' ? json(429 + 71 * pick(2),
            $pair->error_body('rate_limit_error', "$canary has to wait"))
        : !$one->{stream} ? json(200, $pair->answer(%text), $fate eq 'cut' ? (cut_after => 300)
            : $fate =~ /slow|leave/ ? (delay => 0.02) : ())
        : sse($events, headers => { 'X-Request-Id' => "req-$canary" },
            $fate eq 'cut' ? (cut_after => $after) : $fate eq 'stall' ? (cut_after => $after,
                stall => 1) : $fate =~ /slow|leave/ ? (gap => 0.003)
            : pick(2) ? (bytewise => 1) : ()));
    return $one;
}

sub start_request {
    my ($one, $h2) = @_;
    my $pair = $one->{pair};
    my $question = $pair->question($one->{stream} ? (stream => $yes) : (),
        messages => [{ role => 'user', content => "say $one->{canary}" }]);
    my @headers = ('X-Canary' => $one->{canary});

    if ($h2 && pick(3) == 0) {
        $one->{h2} = $h2->open(path => $pair->path, headers => [@headers],
            body => LLM::Json::encode_json_o($question));
    } else {
        $one->{s} = $t->stream($pair->path, $question, headers => [@headers]);
    }
    return;
}

# All bytes that a client got.
sub end_request {
    my ($one, $h2) = @_;
    my $fate = $one->{fate};

    if (my $id = $one->{h2}) {
        $h2->wait($id, sub { length $_[0]{body} }, 0.02) if $fate eq 'leave-late';
        if ($fate =~ /leave/) {
            $h2->rst($id);
            return $h2->data($id);
        }
        my $r = $h2->response($id);
        return join "\n", $r->{body}, map { "@$_" } @{$r->{header_list}};
    }
    my $s = $one->{s};
    $s->next_event(0.02) if $fate eq 'leave-late';
    if ($fate =~ /leave/) {
        pick(2) ? $s->reset : $s->close;
        return $s->body;
    }
    $s->read_body;
    my $all = $s->body . ($s->{http}{raw_head} // '');
    $one->{ok} = $s->status == 200 && $s->clean_end;
    $s->close;
    return $all;
}

my (%met, @foreign, @missing, @not_sent);
for my $round (1 .. $total / $at_once) {
    my $h2 = $t->h2(port => 'h2c');
    my @batch = map { make_request(($round - 1) * $at_once + $_) } 1 .. $at_once;

    start_request($_, $h2) for @batch;
    while (@batch) {
        my ($one) = splice @batch, pick(scalar @batch), 1;
        my $all = end_request($one, $h2);
        $met{$one->{fate}}++;
        my %words = map { $_ => 1 } $all =~ /(canary\d{5}x)/g;
        my $own = delete $words{$one->{canary}};
        push @foreign, "$one->{canary} ($one->{pair}{name}, $one->{fate}) got "
            . join ' ', sort keys %words if %words;
        push @missing, "$one->{canary} ($one->{pair}{name}, $one->{fate})"
            if !$own && $one->{fate} =~ /read|slow|error/;
        nap(pick(3) / 1000) if pick(4) == 0;
    }
    $h2->close;
    last if join(' ', $t->worker_pids) ne $worker;       # nothing is left to be learned
    # The provider's answer to the request of one must carry the words of one.
    for my $request ($p->requests) {
        my %words = map { $_ => 1 } "$request->{raw_head}$request->{body}" =~ /(canary\d{5}x)/g;
        push @not_sent, join ' ', sort keys %words if keys %words != 1;
    }
    $p->clear;
    $p->on({ head => sprintf('(?^i:x-canary: canary%05dx\r)', ($round - 1) * $at_once + $_) })
        for 1 .. $at_once;
}

is(scalar @foreign, 0, "case 63: $total requests, no word of another one")
    or diag(join "\n", @foreign[0 .. ($#foreign > 9 ? 9 : $#foreign)]);
is(scalar @missing, 0, 'every whole reply has its own word') or diag(join "\n", @missing);
is(scalar @not_sent, 0, 'providers got one word a request') or diag(join "\n", @not_sent);
cmp_ok($met{$_} // 0, '>', 10, "met: $_") for qw(read leave leave-late cut stall error slow);
is(join(' ', $t->worker_pids), $worker, 'the same worker');
ok(LLM::Pair::wait_idle($t), 'nothing left in flight');

$t->done;
