# Budgets of a calendar period, in either store: a request is paid for in the period in which it ends,
# what it holds counts in each that it lives in, and a new period begins with nothing.

use strict;
use warnings;
use LLM::Test;
use LLM::Clock;
use LLM::Metrics;
use LLM::Provider;
use LLM::Redis;
use File::Temp ();

my $day = 86_400;
my $dir = File::Temp::tempdir('llm-clock-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);

# Each answer costs one dollar, and so much is reserved for it.
sub with_store {
    my ($name, $clock, $line) = @_;
    my $t = LLM::Test->new(env => { $clock->env });
    my $p = LLM::Provider->new(dir => $t->dir);

    $t->http_conf(<<"END");
    llm_zone 8m; $line llm_timezone Europe/Berlin; llm_reserve_tokens 1000;
    llm_key sk-client { alias client; max_budget 1.5/1d; }
    llm_provider chat { dialect openai; base_url ${\$p->url}/v1; }
    llm_model m { deployment chat/m input_cost=0 output_cost=0.001; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location = /metrics { llm_metrics; }
    }
END
    $t->start;
    my %question = (model => 'm', messages => [{ role => 'user', content => 'hi' }]);
    my @key = (headers => { 'x-api-key' => 'sk-client' });
    my %usage = (usage => { prompt_tokens => 1, completion_tokens => 1000 });
    $p->on({ body => qr/"stream":true/ }, sse(chat_stream(text => 'one two', %usage),
        wait_for_release => 2));
    $p->on({ path => '/v1/chat/completions' }, json(200, chat_answer(%usage)));
    my $ask = sub { return $t->post('/v1/chat/completions', { %question, @_ }, @key) };
    my $left = sub {
        my ($wanted, $name) = @_;
        my $value = '';
        $t->wait_for(sub {
            $value = LLM::Metrics->get($t)->value('llm_budget_remaining_dollars', scope => 'key',
                name => 'client', period => '1d') // '';
            $value eq $wanted;
        }, 20, $name);
        is($value, $wanted, $name);
    };

    is($ask->(max_tokens => 10)->{status}, 200, 'the first of a day');
    $left->('0.5', 'a third is left');
    my $s = $t->stream('/v1/chat/completions', { %question, stream => JSON::PP::true(), max_tokens => 10 },
        @key);
    is($s->status, 200, 'another one begins');
    $clock->pass($day);
    is($ask->(max_tokens => 1500)->{status}, 429, 'the next day: what it holds is held');
    $p->release;
    $s->read_body;
    $left->('0.5', 'it is paid for on the day on which it ends, with nothing of the day before');
    is($ask->(max_tokens => 10)->{status}, 200, 'there is room for one');
    my $r = $ask->(max_tokens => 10);
    is($r->{status}, 429, 'and for no more');
    cmp_ok($r->{headers}{'retry-after'}, '<=', 25 * 3600, 'until midnight');
    $clock->pass($day);
    is($ask->(max_tokens => 10)->{status}, 200, 'which comes');
    $left->('0.5', 'and begins with nothing');
    $t->stop;
    $t->cleanup;
    return;
}

subtest 'in the zone' => sub { with_store('zone', LLM::Clock->new($dir), '') };

subtest 'in Redis' => sub {
    my $clock = LLM::Clock->new($dir);
    my $redis = do { local %ENV = (%ENV, $clock->env); LLM::Redis->new };
    with_store('redis', $clock, "llm_redis ${\$redis->url} timeout=2s;");
    $redis->stop;
};

done_testing();
