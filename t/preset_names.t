# A provider that has the name of a preset but speaks another dialect at an address of its own is not
# that preset; and the base URL of Cohere may end in the version or not.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);
my $url = $p->url;

$t->http_conf(<<"END");
    llm_provider openai { dialect anthropic; base_url $url/own/v1; api_key sk-own; }
    llm_provider groq { dialect openai; base_url $url/groq; api_key sk-groq; }
    llm_provider cohere { base_url $url; api_key sk-co; }
    llm_provider versioned { preset cohere; base_url $url/x/v2; api_key sk-co; }
    llm_provider bare { dialect cohere; base_url $url/y; api_key sk-co; }
    llm_provider both { dialect cohere; base_url $url/z/v2; api_key sk-co; }
    server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }
END
$t->start;

sub where {
    my ($model) = @_;
    $p->script(json(500, {}));
    $t->post('/v1/chat/completions',
        { model => $model, messages => [{ role => 'user', content => 'hi' }] });
    return $p->last_request;
}

my $q = where('openai/claude');
is("$q->{path} $q->{headers}{'x-api-key'}", '/own/v1/messages sk-own', 'not OpenAI');
is($q->{headers}{authorization}, undef, 'nor with its kind of key');
$q = where('groq/llama');
is("$q->{path} $q->{headers}{authorization}", '/groq/chat/completions Bearer sk-groq',
    'the preset, elsewhere');
for my $o (['cohere', ''], ['versioned', '/x'], ['bare', '/y'], ['both', '/z']) {
    is(where("$o->[0]/command")->{path}, "$o->[1]/v2/chat", $o->[0]);
}
$t->done;
