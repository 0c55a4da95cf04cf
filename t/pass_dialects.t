# llm_pass PROVIDER before providers of the newer dialects: the location is that provider, for its
# own clients, for those of other dialects, and for paths that nobody here reads.

use strict;
use warnings;
use LLM::Test;
use LLM::Forms;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my @forms = LLM::Forms::providers();

$t->http_conf(LLM::Pair::conf($p, forms => \@forms, server => join '', map {
    "location /$_/ { llm_pass $_; access_log logs/llm.log pair; }\n" } @forms));
$t->start;

my $lines = 0;

# A pair that asks below the location of the provider.
sub below {
    my ($pair) = @_;
    my $path = $pair->{from}{path};

    $pair->{model} = 'some-model';
    $pair->{from} = { %{$pair->{from}}, path => sub { "/$pair->{provider}" . $path->(@_) } };
    return $pair;
}

subtest 'every client' => sub {
    for my $pair (map { below($_) } LLM::Pair->every) {
        $p->script($pair->whole(text => 'Well'));
        my $r = $pair->post($t);
        is($r->{status}, 200, "$pair->{name}: status") or diag($r->{body});
        is($pair->read_answer($r->{json} || {})->{text}, 'Well', "$pair->{name}: text");
        my $q = $p->last_request;
        like("$q->{path} $q->{body}", qr/some-model/, "$pair->{name}: the model as it was asked");
        $p->script($pair->streamed(text => 'Well'));
        my @events = $pair->stream($t)->all_events;
        is_deeply([$pair->check(\@events)], [], "$pair->{name}: stream");
        is($pair->assemble(\@events)->{text}, 'Well', "$pair->{name}: its text");
        LLM::Pair::next_log($t, \$lines) for 1 .. 2;
    }
};

subtest 'paths that are forwarded unread' => sub {
    for my $case (
        ['gemini', 'GET', '/v1beta/models', '/v1beta/models'],
        ['gemini', 'GET', '/v1beta/models?pageSize=2&key=AIzaX', '/v1beta/models?pageSize=2'],
        ['gemini', 'POST', '/v1beta/models/emb:embedContent', '/v1beta/models/emb:embedContent'],
        ['gemini', 'POST', '/models/emb:embedContent', '/v1beta/models/emb:embedContent'],
        ['gemini', 'GET', '/v1beta/models/gemini-2.5-flash', '/v1beta/models/gemini-2.5-flash'],
        ['gemini', 'POST', '/v1beta/cachedContents', '/v1beta/cachedContents'],
        ['cohere', 'POST', '/v2/rerank', '/v2/rerank'],
        ['cohere', 'POST', '/v1/models?page=2', '/v1/models?page=2'],
        ['ollama', 'GET', '/api/tags', '/api/tags'],
        ['ollama', 'POST', '/api/chat', '/api/chat'],
        ['responses', 'GET', '/v1/responses/r_1', '/v1/responses/r_1'],
        ['responses', 'POST', '/v1/embeddings', '/v1/embeddings'],
        ['bedrock', 'POST', '/model/m%3A0/invoke', '/model/m%3A0/invoke'],
        ['bedrock', 'POST', '/model/a%2Fb/converse', '/model/a%2Fb/converse'],
        ['bedrock', 'POST', '/model//a%2fb/./converse', '/model/a/b/converse'],
        ['ollama', 'POST', '/api/blobs/sha256%3Aab%20%c3%a9', '/api/blobs/sha256%3Aab%20%c3%a9'],
        ['ollama', 'GET', '/v1/x', '/v1/x'], ['gemini', 'GET', '/v1betas/x', '/v1beta/v1betas/x'],
    ) {
        my ($form, $method, $path, $want) = @$case;
        $p->script(json(200, { any => 1 }));
        my $r = $t->request($method, "/$form$path", $method eq 'POST' ? (body => '{"x":1}') : ());
        is("$r->{status} $r->{body}", '200 {"any":1}', "$form, $method $path");
        my $q = $p->last_request;
        is("$q->{method} $q->{path}", "$method $want", 'where');
        is($q->{body}, $method eq 'POST' ? '{"x":1}' : '', 'what');
        LLM::Pair::next_log($t, \$lines);
    }
};

subtest 'their own clients are forwarded with the query, but for keys' => sub {
    my $pair = below(LLM::Pair->new('gemini', 'gemini'));
    $p->script($pair->whole);
    $t->post('/gemini/v1beta/models/g:generateContent?key=AIzaX&a=b', $pair->question);
    is($p->last_request->{path}, '/v1beta/models/g:generateContent?a=b', 'Gemini');
    $p->script($pair->streamed);
    $t->stream('/gemini/v1beta/models/g:streamGenerateContent?key=AIzaX&alt=sse',
        $pair->question)->read_body;
    is($p->last_request->{path}, '/v1beta/models/g:streamGenerateContent?alt=sse', 'streamed');
    $p->script(json(200, { totalTokens => 3 }));
    my $r = $t->post('/gemini/v1beta/models/g:countTokens', { contents => [] });
    is($r->{json}{totalTokens}, 3, 'counting');
    is($p->last_request->{path}, '/v1beta/models/g:countTokens', 'is the provider\'s');
};

ok(LLM::Pair::wait_idle($t), 'nothing is in flight');
$t->done;
