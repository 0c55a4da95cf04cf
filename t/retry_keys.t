# Several keys and addresses of one provider: a key that is refused is followed by the next and left
# alone for a while, an address that cannot be reached by the next.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $dead = LLM::Provider->dead_port;
my $url = $p->url;

$t->http_conf(LLM::Pair::conf($p, models => <<"END"));
    llm_provider keys { base_url $url/v1; dialect openai;
        api_key good-key; api_key dead-key; api_key poor-key; api_key barred-key; }
    llm_provider urls { base_url http://127.0.0.1:$dead/v1; base_url $url/v1; dialect openai;
        api_key good-key; }
    llm_model keys { deployment keys/m; }
    llm_model urls { deployment urls/m; }
END
$t->start;

my $pair = LLM::Pair->new('chat', 'chat');
my $good = json(200, $pair->answer(text => 'fine'));

subtest 'case 34: a key that is refused' => sub {
    $p->on({ head => qr/good-key/ }, $good);
    $p->on({ head => qr/dead-key/ }, json(401, {}));
    $p->on({ head => qr/poor-key/ }, json(402, {}));
    $p->on({ head => qr/barred-key/ }, json(403, {}));
    for (1 .. 40) {
        my $r = $pair->post($t, model => 'keys');
        is($r->{status}, 200, 'answered') or last;
    }
    my %seen;
    for my $request ($p->requests) {
        $seen{$request->{headers}{authorization} =~ /(\w+)-key/ ? $1 : ''}++;
    }
    is($seen{good}, 40, 'the good key served all');
    cmp_ok($seen{$_} // 0, '<=', 1, "the $_ key was asked with once at most")
        for qw(dead poor barred);
};

subtest 'when all are refused the client is told' => sub {
    $p->clear;
    $p->on({ head => qr/$_-key/ }, json(401, $pair->error_body('invalid_api_key', 'Bad key.')))
        for qw(good dead poor barred);
    my $r = $pair->post($t, model => 'keys');
    is($r->{status}, 401, 'status');
    is($p->request_count, 4, 'each key was tried once');
    $p->on({ head => qr/$_-key/ }) for qw(good dead poor barred);
};

subtest 'an address that cannot be reached' => sub {
    $p->clear;
    $p->script($good);
    is($pair->post($t, model => 'urls')->{status}, 200, 'answered by the other') for 1 .. 10;
    is($p->request_count, 10, 'once each');
};

$t->log_unlike(qr/good-key|dead-key|poor-key/, 'case 67: no key in the log');
$t->done;
