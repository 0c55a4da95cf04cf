# Case 12: every event reaches the client as soon as it is there, whatever nginx is configured
# to do with other answers.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;
use LLM::Port qw(slow);
use LLM::TLS;
use Socket qw(IPPROTO_TCP);
use Time::HiRes qw(time);

use constant TCP_QUICKACK => 12;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $keys = LLM::TLS->new(dir => $t->dir)->server('localhost', '127.0.0.1');

$t->http_conf(LLM::Pair::conf($p,
    http => <<'END',
    gzip on;
    gzip_types *;
    gzip_min_length 0;
    gzip_proxied any;
    gzip_http_version 1.0;
    gzip_buffers 32 64k;
    postpone_output 1460;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay off;
    output_buffers 2 64k;
    charset utf-8;
    charset_types *;
    add_header X-Of-The-Operator yes always;
END
    server => <<"END"));
        listen 127.0.0.1:%%PORT:tls%% ssl http2;
        listen 127.0.0.1:%%PORT:h2c%% http2;
        ssl_certificate $keys->{cert};
        ssl_certificate_key $keys->{key};
END
$t->start;

# Ways to ask: each returns the headers, a reader of one event, and whether the end was clean.
my %client = ('accept-encoding' => 'gzip, deflate, br, zstd', accept => 'application/json');

sub by_h1 {
    my ($pair, %o) = @_;
    my $s = $pair->stream($t, $pair->thinking, http => { headers => \%client, %o });

    return (sub { $s->headers }, sub { $s->next_event }, sub { $s->clean_end }, $s);
}

sub by_h2 {
    my ($pair, %o) = @_;
    my $h2 = $t->h2(%o);
    my $id = $h2->open(path => $pair->path, content_length => 1,
        headers => { %client, 'content-type' => 'application/json' },
        body => LLM::Json::encode_json_o($pair->question($pair->thinking,
            stream => JSON::PP::true())));

    return (sub { $h2->wait($id, sub { $_[0]{status} }); $h2->stream($id)->{headers} },
        sub { $h2->next_event($id) }, sub { $h2->response($id)->{ended} }, $h2);
}

my %ways = (
    'HTTP/1.1' => sub { by_h1(@_) },
    'HTTP/1.0' => sub { by_h1(@_, http10 => 1) },
    'TLS' => sub { by_h1(@_, port => 'tls', tls => 1) },
    'HTTP/2' => sub { by_h2(@_, port => 'h2c') },
    'HTTP/2 over TLS' => sub { by_h2(@_, port => 'tls', tls => 1) },
);

# Every piece of content is held until the client has seen the one before.
my @reasoning = ('Well', ', let', ' me', ' see');
my @text = ('One', ' two', ' three', ' four');
my $args = ['{"a', '":', '"x"', '}'];

sub is_content {
    my ($event) = @_;
    my $data = ref $event eq 'ARRAY' ? $event->[1] : ref $event ? $event : return 0;
    my $delta = ref $data->{choices} eq 'ARRAY' ? ($data->{choices}[0] || {})->{delta}
        : $data->{delta};

    return 0 unless $delta;
    my $call = ($delta->{tool_calls} || [{}])->[0]{function} || {};
    return grep { length($_ // '') } @$delta{qw(content reasoning_content text thinking
        partial_json)}, $call->{arguments};
}

for my $pair (LLM::Pair->all) {
    for my $way (sort keys %ways) {
        subtest "case 12, gotchas 9, 10, 104: $pair->{name}, $way" => sub {
            my @events = map { ($_, is_content($_) ? hold() : ()) } $pair->events(
                reasoning => \@reasoning, text => \@text,
                tools => [{ name => 'f', args => $args }]);
            $p->script(sse(@events));
            my ($headers, $next, $is_clean) = $ways{$way}->($pair);
            my $n = 0;
            my @seen;
            for my $piece (@reasoning, @text, @$args) {
                while (1) {
                    my $event = $next->() or last;
                    push @seen, $event;
                    last if ($event->{data} // '') =~ /\Q@{[in_json($piece)]}\E"/;
                }
                my $all = $pair->assemble(\@seen);
                my $got = join '', $all->{reasoning}, $all->{text},
                    map { $_->{args} } @{$all->{tools}};
                is($got, join('', (@reasoning, @text, @$args)[0 .. $n++]),
                    "'$piece' is there while the next is held") or last;
                $p->release;
            }
            while (my $event = $next->()) {
                push @seen, $event;
            }
            is_deeply([$pair->check(\@seen)], [], 'grammar');
            ok($is_clean->(), 'a clean end');

            my $h = $headers->();
            is($h->{'content-type'}, 'text/event-stream; charset=utf-8', 'content-type');
            is($h->{'cache-control'}, 'no-cache', 'cache-control');
            is($h->{'x-accel-buffering'}, 'no', 'x-accel-buffering');
            is($h->{'x-of-the-operator'}, 'yes', 'headers of the operator are added');
            is(join(' ', grep { exists $h->{$_} } qw(content-length content-encoding etag
                accept-ranges last-modified)), '', 'and nothing that contradicts a stream');
        };
    }
}

sub in_json {
    my ($text) = @_;

    return LLM::Json::encode_json_c($text) =~ s/\A"|"\z//gr;
}

# A client that acknowledges late (most do, by 40 ms) makes Nagle's algorithm hold every second piece
# back so long. A busy machine may do so with a few.
subtest 'case 12: no piece waits until the one before is acknowledged' => sub {
    my ($pair) = LLM::Pair->all;
    my @pieces = map { "piece $_." } 1 .. 20;
    for my $way (sort keys %ways) {
        $p->script(sse(map { ($_, is_content($_) ? hold() : ()) } $pair->events(text => \@pieces)));
        # An update of a window would acknowledge the piece.
        my ($headers, $next, $is_clean, $client) = $ways{$way}->($pair, auto_window => 0);
        my $late = 0;
        for my $piece (@pieces) {
            my $before = time;
            while (my $event = $next->()) {
                last if $event->{data} =~ /\Q$piece\E/;
            }
            $late++ if time - $before > slow(0.03);
            setsockopt($client->{sock}, IPPROTO_TCP, TCP_QUICKACK, pack 'i', 0);
            $p->release;
        }
        cmp_ok($late, '<', 5, "$way: at once");
    }
};

# The same configuration does its work where nothing has to be immediate.
subtest 'whole answers are compressed as the operator says' => sub {
    for my $pair (LLM::Pair->all) {
        $p->script(json(200, $pair->answer(text => 'word ' x 1000)));
        my $r = $pair->post($t, http => { headers => \%client });
        is($r->{status}, 200, "$pair->{name}: status");
        is($r->{headers}{'content-encoding'}, 'gzip', "$pair->{name}: compressed");
        ok(!exists $r->{headers}{'content-length'}, "$pair->{name}: no stale length");
        require IO::Uncompress::Gunzip;
        my $plain;
        IO::Uncompress::Gunzip::gunzip(\$r->{body} => \$plain);
        is($pair->read_answer(LLM::Json::try_json($plain))->{text}, 'word ' x 1000,
            "$pair->{name}: and whole");
    }
};

$t->done;
