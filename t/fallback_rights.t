# case 28: a fallback opens no door: a key that may not use it does not get it, whoever names it.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p, models => <<'END',
    llm_model a { deployment chat/of-a; fallbacks b c; alias also-a; }
    llm_model b { deployment chat/of-b; alias also-b; }
    llm_model c { deployment chat/of-c; }
    llm_default_fallbacks c;
    llm_key sk-only-a { alias only-a; models a; }
    llm_key sk-a-and-c { alias a-and-c; models also-a c; }
    llm_key sk-all { alias all; }
END
));
$t->start;

sub ask {
    my ($key, %o) = @_;
    my $pair = LLM::Pair->new('chat', 'chat');

    $p->clear;
    $p->on({ body => qr/"model":"of-a"/ }, json(503, {}));
    $p->on({ body => qr/"model":"of-[bc]"/ }, json(200, $pair->answer(text => 'another')));
    my $r = $pair->post($t, model => 'a', %o,
        http => { headers => { Authorization => "Bearer $key" } });
    return ($r->{status}, join ' ', map { $_->{json}{model} } $p->requests);
}

is_deeply([ask('sk-all')], [200, 'of-a of-b'], 'a key without a list');
is_deeply([ask('sk-only-a')], [503, 'of-a'], 'a key that may use the model only');
is_deeply([ask('sk-only-a', model => 'also-a')], [503, 'of-a'], 'an alias is its model');
is_deeply([ask('sk-a-and-c')], [200, 'of-a of-c'], 'what is not allowed is passed over');
is_deeply([ask('sk-only-a', fallbacks => ['b', 'also-b', 'chat/of-b'])], [503, 'of-a'],
    'a list of the client');
is_deeply([ask('sk-only-a', model => 'nobody-has-this-name')], [403, ''],
    'a name that nobody has');
$t->done;
