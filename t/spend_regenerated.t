# What a key has spent that was regenerated: all pages show one key, by the token and the alias that
# /key/list has, and find what it spent before by that token, too.

use strict;
use warnings;
use LLM::Test;
use LLM::Limits;

my $t;

sub ask {
    my ($key) = @_;
    my $r = $t->post('/v1/chat/completions', { model => 'm', messages => [{ role => 'user',
        content => 'hi' }] }, headers => { 'x-api-key' => $key });

    is($r->{status}, 200, 'asks');
    return;
}

sub admin {
    my ($path, $body, $status) = @_;
    my @auth = (headers => { 'x-api-key' => 'sk-master' });
    my $r = $body ? $t->post("/admin$path", $body, @auth) : $t->get("/admin$path", @auth);

    is($r->{status}, $status // 200, $path) or diag($r->{body});
    return $r->{json};
}

# "TOKEN ALIAS REQUESTS"
sub keys_shown {
    return sort map { "$_->{api_key} $_->{key_alias} $_->{log_count}" } @{ admin('/global/spend/keys') };
}

LLM::Limits->each_store(sub {
    my ($store) = @_;

    $t = LLM::Test->new(workers => 2);
    $t->http_conf(<<"END");
    ${\$store->conf}
    llm_master_key sk-master;
    llm_key sk-of-conf { alias conf; }
    llm_provider mock { }
    llm_model m { deployment mock/m reply=hi input_cost=0.001 output_cost=0.001; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
    $t->start;
    ask('sk-of-conf');
    my $other = admin('/key/generate', { key_alias => 'other' });
    ask($other->{key});
    my $first = admin('/key/generate', { key_alias => 'turn' });
    ask($first->{key}) for 1 .. 2;
    my $second = admin('/key/regenerate', { key => $first->{key} });
    ask($second->{key});
    my $third = admin('/key/regenerate', { key => $second->{key}, grace_period => '1h' });
    ask($_) for $second->{key}, $third->{key};
    my ($token) = map { $_->{token} } @{ admin('/key/list?return_full_object=true&key_alias=turn'
        . "&key_hash=$third->{token}")->{keys} };
    is($token, $third->{token}, 'the token of the list');

    my @of_others = map { "$_->[0] $_->[1] 1" } [$other->{token}, 'other'],
        map { [$_->{token}, 'conf'] } @{ admin('/key/list?return_full_object=true&key_alias=conf')->{keys} };
    $t->wait_for(sub { @{ admin('/spend/logs') } == 7 }, 5, 'all are booked');
    is_deeply([keys_shown()], [sort "$token turn 5", @of_others], 'the sums of keys');
    my $spend = admin("/key/info?key=$token")->{info}{spend};
    for my $asked ($token, $third->{key}, $first->{token}, $second->{token}) {
        my $logs = admin("/spend/logs?api_key=$asked");
        is_deeply([map { $_->{api_key} } @$logs], [($token) x 5], 'requests of all of its time');
        my ($day) = @{ admin("/global/spend/logs?api_key=$asked") };
        is($day->{spend}, $spend, 'a day');
    }
    is(scalar @{ admin("/spend/logs?api_key=$other->{token}") }, 1, 'of another key its own');
    my ($day) = @{ admin('/user/daily/activity')->{results} };
    my $of_keys = $day->{breakdown}{api_keys};
    is_deeply([sort map { "$_ $of_keys->{$_}{metadata}{key_alias} $of_keys->{$_}{metrics}{api_requests}" }
        keys %$of_keys], [sort "$token turn 5", @of_others], 'the keys of a day');

    admin('/key/delete', { keys => [$third->{key}] });
    is_deeply([keys_shown()], [sort "$first->{token}  5", @of_others], 'the sum of a deleted key stays');
    $t->done;
});

done_testing();
