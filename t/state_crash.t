# A crash at any moment loses nothing that was acknowledged: nginx is killed with all its workers in
# the middle of 200 changes, again and again, and comes back with every one that was answered with
# 200, a file that can be read, and at most one change more for each client that was waiting.

use strict;
use warnings;
use LLM::Test;
use IO::Socket::INET;
use POSIX ();

my $t = LLM::Test->new(workers => 2);
my $dir = $t->dir . '/state';
mkdir $dir or die "$dir: $!";
chmod 0777, $dir;

$t->http_conf(<<"END");
    llm_zone 8m state=$dir/llm.state;
    llm_provider mock { }
    llm_model m { deployment mock/m; }
    llm_master_key sk-master;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END

my $clients = 4;
my $rounds = 10;
my $writes = 5;                         # of a client in a round: 200 in all
my @auth = (headers => { 'x-api-key' => 'sk-master' });
my $acknowledged = $t->dir . '/acknowledged';

# A client in a process of its own notes every key that it was promised, as soon as it was.
sub client {
    my ($number, $round) = @_;
    my $pid = fork;

    die "fork: $!" unless defined $pid;
    return $pid if $pid;
    open my $out, '>>', "$acknowledged-$number" or POSIX::_exit(1);
    $out->autoflush(1);
    for my $write (1 .. $writes) {
        my $key = "sk-client-$number-round-$round-write-$write";
        my $body = encode_json_c({ key => $key, metadata => { filler => 'x' x (500 * $number) } });
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or last;
        print $socket "POST /admin/key/generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            . "x-api-key: sk-master\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
        my $answer = do { local $/; <$socket> };
        last unless ($answer // '') =~ m{\AHTTP/1\.1 200 };
        print $out "$key\n";
    }
    POSIX::_exit(0);
}

sub promised { return map { split /\n/, -e $_ ? $t->slurp($_) : "" }
    map { "$acknowledged-$_" } 1 .. $clients }

my $total = 0;
for my $round (1 .. $rounds) {
    $t->start;
    my @pids = map { client($_, $round) } 1 .. $clients;
    # Killed at another moment each time: when so many promises were made.
    my $enough = $total + int($clients * $writes * ($round - 1) / ($rounds - 1));
    $t->wait_for(sub { promised() >= $enough || !grep { kill 0, $_ } @pids }, 20, 'promises');
    $t->crash_nginx;
    waitpid $_, 0 for @pids;
    $total = () = promised();
    $t->start;
    my @lost = grep { $t->get("/admin/key/info?key=$_", @auth)->{status} != 200 } promised();
    is("@lost", '', "round $round: none of $total acknowledged keys is lost");
    my $list = decode_json($t->get('/admin/key/list', @auth)->{body});
    cmp_ok($list->{total_count}, '<=', $total + $clients * $round, 'and hardly more are there');
    $t->crash_nginx;
}
cmp_ok($total, '>=', $rounds * $clients * $writes / 3, 'there was something to lose');

subtest 'two workers at once' => sub {
    $t->start;
    my $before = $total;
    my @pids = map { client($_, 'last') } 1 .. $clients;
    waitpid $_, 0 for @pids;
    $total = () = promised();
    is($total - $before, $clients * $writes, 'all were written');
    $t->post('/admin/key/generate', { key => 'sk-counter', metadata => { n => 0 } }, @auth);
    $t->crash_nginx;
    $t->start;
    my @lost = grep { $t->get("/admin/key/info?key=$_", @auth)->{status} != 200 } promised();
    is("@lost", '', 'and are there');
};

$t->done;
