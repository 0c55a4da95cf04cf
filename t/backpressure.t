# A client that reads slowly, or not at all, slows its provider down; it costs the worker no
# memory, and the client gets everything when it reads on.

use strict;
use warnings;
use IO::Select;
use LLM::Test;
use LLM::Pair;
use LLM::Port qw(slow);
use LLM::Provider;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, server => <<'END'));
        listen 127.0.0.1:%%PORT:h2c%% http2;
        location /idle/ { llm_pass models; llm_idle_timeout 1500ms; access_log logs/llm.log pair; }
        location /impatient/ {
            llm_pass models; send_timeout 500ms; access_log logs/llm.log pair;
        }
END
$t->start;

my $lines = 0;
my $size = 50_000_000;
my $few_megabytes = 4000;                # in kB

# An answer of $size bytes: the same delta again and again. Returns it, and the length of the
# letters that a client must have got in the end.
sub long_answer {
    my ($pair) = @_;
    my $text = 'Z' x 20_000;
    my @events = $pair->events(text => ['begin ', $text]);
    my $at = $pair->{provider} eq 'chat' ? 2 : 4;
    my $n = int($size / length LLM::Provider::Script::sse_bytes($events[$at]));

    return (sse(@events[0 .. $at - 1], flood($events[$at], $n), @events[$at + 1 .. $#events]),
        $n * length $text);
}

# Reads to the end as fast as Perl can: megabytes are too much for the stream reader. Returns the
# number of letters that came, and whether the answer ended as its framing says.
sub count_letters {
    my ($s) = @_;
    my $sock = $s->{sock};
    my $tail = $s->body;
    my $count = $tail =~ tr/Z//;
    my $deadline = time + slow(60);

    while ($tail !~ /(?:\[DONE\]|"message_stop"\})\s+0\r\n\r\n\z/ && time < $deadline) {
        IO::Select->new($sock)->can_read(slow(10)) or last;
        my $n = sysread $sock, my $buf, 1 << 20;
        last unless $n;
        $count += $buf =~ tr/Z//;
        $tail = substr $tail . $buf, -100;
    }
    return ($count, $tail =~ /0\r\n\r\n\z/);
}

# What the provider could send so far, once it has stopped growing.
sub sent_when_blocked {
    my ($conn) = @_;
    my ($last, $same) = (-1, 0);

    return $t->wait_for(sub {
        my ($c) = grep { $_->{id} == $conn } $p->connections;
        $same = $c->{sent} == $last ? $same + 1 : 0;
        $last = $c->{sent};
        return $same > 20 ? $last : 0;
    }, 10, 'the provider to be blocked');
}

for my $pair (LLM::Pair->all) {
    subtest "a client that stops reading, $pair->{name}" => sub {
        my ($answer, $length) = long_answer($pair);
        my ($worker) = $t->worker_pids;
        $p->script($answer);
        my $before = $t->worker_rss($worker);
        my $s = $t->stream('/idle' . $pair->path, $pair->question(stream => JSON::PP::true()),
            rcvbuf => 32768);
        ok($s->next_event, 'it has begun');
        my $sent = sent_when_blocked($p->last_request->{conn});
        cmp_ok($sent, '<', $size / 2, 'the provider is held up');
        cmp_ok($t->worker_rss($worker) - $before, '<', slow($few_megabytes),
            'the worker holds little of it');
        # The provider's silence is the client's doing.
        my $until = time + 2;
        $t->wait_for(sub { time > $until }, 5, 'longer than the idle timeout');
        is(LLM::Pair::in_flight($t), 1, 'the idle timeout does not count this');

        my ($got, $is_whole) = count_letters($s);
        is($got, $length, 'everything comes when it reads on');
        ok($is_whole, 'and it ends well');
        cmp_ok($t->worker_rss($worker) - $before, '<', slow($few_megabytes),
            'the worker has not grown');
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'ok', 'log');
    };

    subtest "a client that never reads, $pair->{name}" => sub {
        my ($answer) = long_answer($pair);
        $p->script($answer);
        my $s = $t->stream('/impatient' . $pair->path,
            $pair->question(stream => JSON::PP::true()), rcvbuf => 32768);
        ok($p->wait_requests(1), 'the provider was asked');
        my $conn = $p->last_request;
        ok($p->wait_closed($conn, 5), 'send_timeout ends it, the provider is let go');
        is(LLM::Pair::next_log($t, \$lines)->{outcome}, 'client_closed', 'log');
        ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
        $s->reset;
    };
}

# Twenty of them share the worker with a client that reads.
subtest 'many clients that stop reading' => sub {
    my ($worker) = $t->worker_pids;
    my $before = $t->worker_rss($worker);
    my @slow;

    for my $pair (LLM::Pair->all) {
        my ($answer) = long_answer($pair);
        $p->script($answer);
        push @slow, map { $pair->stream($t, http => { rcvbuf => 32768 }) } 1 .. 5;
        $_->next_event for @slow;
    }
    sent_when_blocked($p->last_request->{conn});
    is(LLM::Pair::in_flight($t), 20, 'all in flight');
    cmp_ok($t->worker_rss($worker) - $before, '<', slow(2 * $few_megabytes),
        'the worker holds little of them');
    for my $pair (LLM::Pair->all) {
        $p->script(sse($pair->events(text => 'quick')));
        my @events = $pair->stream($t)->all_events;
        is($pair->assemble(\@events)->{text}, 'quick', "$pair->{name}: others are served");
    }
    $_->reset for @slow;
    ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
};

subtest 'a closed window of HTTP/2' => sub {
    for my $pair (LLM::Pair->all) {
        my ($worker) = $t->worker_pids;
        my ($answer) = long_answer($pair);
        $p->script($answer);
        my $before = $t->worker_rss($worker);
        my $h2 = $t->h2(port => 'h2c', window => 30_000, auto_window => 0);
        my $id = $h2->open(path => '/idle' . $pair->path,
            headers => ['content-type' => 'application/json'],
            body => LLM::Json::encode_json_o($pair->question(stream => JSON::PP::true())));
        ok($h2->wait($id, sub { length $_[0]{body} >= 30_000 }), "$pair->{name}: window filled");
        cmp_ok(sent_when_blocked($p->last_request->{conn}), '<', $size / 2,
            "$pair->{name}: the provider is held up");
        cmp_ok($t->worker_rss($worker) - $before, '<', slow($few_megabytes),
            "$pair->{name}: the worker holds little of it");
        $h2->window($id, 100_000);
        ok($h2->wait($id, sub { length $_[0]{body} >= 130_000 }),
            "$pair->{name}: it goes on when the window opens");
        $h2->rst($id);
        ok($p->wait_closed($p->last_request), "$pair->{name}: and ends with the stream");
        $h2->close;
    }
};

$t->done;
