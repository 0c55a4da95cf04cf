# Nobody is given what was made for another: the same prompt of two keys is two calls of the provider,
# and no cache in front keeps an answer. Case 64.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $dir = $t->dir;

$t->http_conf(LLM::Pair::conf($p, forms => ['chat'], models => <<"END", server => <<'END'));
    llm_model secret { deployment chat/gpt; }
    llm_key sk-a { }
    llm_key sk-b { models on-chat; }
    llm_key sk-c { }
    proxy_cache_path $dir/cache keys_zone=cache:1m;
END
        location /chat/ { llm_pass chat; }
        # A cache that keeps what it may, and does not look who asks.
        location /front/ {
            proxy_pass http://127.0.0.1:%%PORT%%/;
            proxy_cache cache;
            proxy_cache_key $request_method$request_uri$request_body;
            proxy_cache_methods GET POST;
            proxy_cache_valid any 1h;
        }
END
$t->start;

sub as { return (headers => ['x-api-key' => "sk-$_[0]"]) }

# The question is asked anew for each of them.
sub three_answers {
    my ($what, $path, $ask, @keys) = @_;
    my $before = $p->request_count;

    for my $key (@keys ? @keys : qw(a b a)) {
        my $mine = sprintf 'Answer%d.', $p->request_count;
        my $r = $ask->($path, $mine, as($key));
        ok(index($r->{body}, $mine) >= 0, "$what, $key: its own answer") or diag($r->{body});
    }
    is($p->request_count - $before, 3, "$what: three calls");
}

for my $client (LLM::Forms::clients()) {
    my $pair = LLM::Pair->new($client, 'chat');
    for my $front ('', '/front') {
        three_answers("$client$front", $front . $pair->path(0), sub {
            my ($path, $mine, %key) = @_;
            $p->script($pair->whole(text => $mine));
            return $t->post($path, $pair->question, %key);
        });
        three_answers("$client$front, streamed", $front . $pair->path(1), sub {
            my ($path, $mine, %key) = @_;
            $p->script($pair->streamed(text => $mine));
            return $t->post($path, $pair->question(stream => 1), %key);
        });
    }
}

three_answers('a file', '/front/chat/v1/files/f1/content', sub {
    my ($path, $mine, %key) = @_;
    $p->script({ status => 200, headers => ['Content-Type' => 'text/plain'], body => $mine });
    return $t->get($path, %key);
}, qw(a c a));

for my $path ('/v1/models', '/v1/models/secret', '/front/v1/models', '/front/v1/models/secret') {
    like($t->get($path, as('a'))->{body}, qr/secret/, "$path: a sees the model");
    unlike($t->get($path, as('b'))->{body}, qr/"secret"/, "$path: b does not");
}

# Nor is one key's refusal another one's, or what a provider would have caches share.
for my $path ('/front/v1/models', '/front/chat/v1/files') {
    my @shared = ('Cache-Control' => 'public, max-age=600, s-maxage=900');
    $p->script({ status => 200, headers => ['Content-Type' => 'text/plain', @shared], body => 'file' });
    is(join(' ', map { $t->get($path, as($_))->{status} } qw(nobody a nobody)), '401 200 401', $path);
}
is($t->get('/chat/v1/files', as('a'))->{headers}{'cache-control'}, 'private, max-age=600',
    'the caller itself may keep it');
$t->done;
