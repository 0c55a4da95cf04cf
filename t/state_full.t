# A disk that is full: a change that cannot be written is refused, and is not there; what was there
# stays; when there is room again all goes on. A limit on the size of files stands for the disk: the
# write that crosses it ends in the middle of a line, the next one fails.

use strict;
use warnings;
use LLM::Test;

$SIG{XFSZ} = 'IGNORE';  # what nginx inherits: the write fails, as on a full disk
my $t = LLM::Test->new(workers => 1);
my $dir = $t->dir . '/state';
mkdir $dir or die "$dir: $!";
chmod 0777, $dir;
my $journal = "$dir/llm.state.journal";

$t->http_conf("llm_zone 4m state=$dir/llm.state;
    llm_provider mock { } llm_model m { deployment mock/m; } llm_master_key sk-master;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }");
$t->start;

sub admin {
    my ($path, $body) = @_;
    my @auth = (headers => { 'x-api-key' => 'sk-master' });

    return $body ? $t->post("/admin$path", $body, @auth) : $t->get("/admin$path", @auth);
}

sub opens {
    my ($key) = @_;

    return $t->post('/v1/chat/completions', { model => 'm',
        messages => [{ role => 'user', content => 'x' }] }, headers => { 'x-api-key' => $key })->{status};
}

sub room {
    my ($size) = @_;

    for my $pid ($t->worker_pids) {
        is(system("prlimit --pid=$pid --fsize=$size:"), 0, 'the limit is set');
    }
    return;
}

# The journal is longer than any log of this test.
my %padding = (metadata => { padding => 'x' x 15_000 });
my @keys = map { admin('/key/generate', { %padding })->{json}{key} } 1 .. 10;
my ($blocked) = splice @keys, 0, 1;
is(opens($blocked), 200, 'a key');
my $list = admin('/key/list?return_full_object=true')->{body};
my $size = -s $journal;

for my $room (0, 1, 200) {
    room($size + $room);
    my $r = admin('/key/generate', { %padding, key => "sk-that-has-no-room-$room" });
    is($r->{status}, 500, "$room bytes are left: an error");
    like($r->{json}{error}{message}, qr/could not be|cannot be/, 'that says so');
    is(opens("sk-that-has-no-room-$room"), 401, 'the key is not there');
    is(admin('/key/update', { key => $blocked, %padding, blocked => \1 })->{status}, 500, 'a change');
    is(opens($blocked), 200, 'which does not hold');
    is(admin('/key/list?return_full_object=true')->{body}, $list, 'all is as it was');
    is(-s $journal, $size, 'the journal has no piece of a line');
}
$t->log_like(qr/\[(?:error|crit|alert)\].*llm\.state/, 'the log names the file');

room('unlimited');
is(admin('/key/block', { key => $blocked })->{status}, 200, 'room again: a change');
my $more = admin('/key/generate', { key_alias => 'more' })->{json}{key};
$t->stop;
$t->start;
is(opens($_), 200, 'after a restart a key that was acknowledged is there') for @keys, $more;
is(opens($blocked), 401, 'as is the change');
is(opens("sk-that-has-no-room-$_"), 401, 'what was refused is not') for 0, 200;
$t->done;
