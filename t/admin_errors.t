# The admin API is for the master key alone, and bad input of any shape is a 4xx in JSON that
# changes nothing.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new;
$t->http_conf(<<"END");
    limit_req_zone \$uri zone=one:1m rate=1r/m;
    llm_provider mock { }
    llm_model m { deployment mock/m; }
    llm_master_key sk-master;
    llm_master_key sk-master-two;
    llm_key sk-plain { }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
        location /inside/ { llm_admin; deny all; }
        location /small/ { llm_admin; client_max_body_size 1k; }
        location /if/ { if (\$request_method = PATCH) { return 418; } llm_admin; }
        location /limited/ { limit_req zone=one; limit_req_status 429; llm_admin; }
        location = /exact { llm_admin; }
        location ~ ^/(v2/)?(key|team|user|customer|end_user|spend|global)/ { llm_admin; }
    }
    server {
        listen 127.0.0.1:%%PORT:ours%%;
        access_log logs/early.log;
        location /admin/ { llm_admin; }
        location = /metrics { llm_metrics; }
        location = /health { llm_health; }
    }
    server {
        listen 127.0.0.1:%%PORT:mixed%%;
        access_log logs/early.log;
        location /admin/ { llm_admin; }
        location /html/ { root html; }
    }
END
$t->start;

sub call {
    my ($method, $path, $body, @headers) = @_;

    @headers = (Authorization => 'Bearer sk-master') unless @headers;
    return $t->request($method, "/admin$path", headers => [@headers],
        defined $body ? (body => $body) : ());
}

subtest 'who may' => sub {
    is(call('GET', '/key/list', undef, 'x-api-key' => 'sk-master-two')->{status}, 200, 'a master');
    my $r = call('GET', '/key/list', undef, 'x-none' => 1);
    is($r->{status}, 401, 'not without a key');
    ok($r->{headers}{'www-authenticate'}, 'with a challenge');
    is(call('GET', '/key/list', undef, 'x-api-key' => 'sk-who')->{status}, 401, 'not with any');
    $r = call('POST', '/key/generate', '{}', 'x-api-key' => 'sk-plain');
    is($r->{status}, 403, 'not with a key for models');
    like(decode_json($r->{body})->{error}{message}, qr/master/, 'and says so');
    is(call('GET', '/nothing', undef, 'x-api-key' => 'sk-plain')->{status}, 403, 'nor look around');
    is($t->get('/inside/key/list', headers => { 'x-api-key' => 'sk-master' })->{status}, 403,
        'deny is stronger');
};

subtest 'paths and methods' => sub {
    for (qw(/ /key /key/none /key/list/x /key/a/b/regenerate)) {
        my $r = call('GET', $_);
        is($r->{status}, 404, $_);
        is(decode_json($r->{body})->{error}{code}, 'unknown_url', 'and says that it is the path');
    }
    is(call('GET', '/key/list/')->{status}, 200, 'a slash more');
    is(call('HEAD', '/key/list')->{status}, 200, 'HEAD');
    for (['GET', '/key/generate'], ['POST', '/key/list'], ['PUT', '/key/update'],
        ['DELETE', '/key/delete'])
    {
        my $r = call(@$_, $_->[0] eq 'GET' ? undef : '{}');
        is($r->{status}, 405, "@$_");
        ok($r->{headers}{allow}, 'names what is allowed');
    }
};

my $before = call('GET', '/key/list')->{body};
subtest 'bodies' => sub {
    for my $body ('[]', '"x"', '{', 'x', 'null', "{}\0", '{"a":1}{}', '[' x 1000,
        map({ qq({$_}) } '"rpm_limit":-1', '"rpm_limit":"5x"', '"rpm_limit":1.5', '"rpm_limit":1e99',
            '"tpm_limit":{}', '"max_parallel_requests":[1]', '"max_budget":-0.01',
            '"max_budget":"many"', '"max_budget":1e300',
            '"max_budget":1,"budget_duration":"soon"', '"max_budget":1,"budget_duration":5',
            '"budget_limits":{}', '"budget_limits":[1]',
            '"budget_limits":[{"max_budget":1,"budget_duration":"1d"},'
                . '{"max_budget":2,"budget_duration":"1d"}]',
            map({ ('"rpm_limit":"' . $_ . '"', '"max_budget":"' . $_ . '"',
                '"model_tpm_limit":{"m":"' . $_ . '"}') } '-1', '+5', ' 5', '5 ', '.5', '5.', '1e3',
                '1.2.3', '0x5', 'Infinity', '99999999999999999999'), '"rpm_limit":"1.5"',
            map({ qq("$_":"") } qw(rpm_limit tpm_limit max_parallel_requests max_budget soft_budget
                budget_duration duration expires tpm_limit_type rpm_limit_type on_outage key_type blocked
                models tags metadata aliases permissions model_rpm_limit model_max_budget budget_limits)),
            '"budget_duration":"soon"', '"model_rpm_limit":{"m":""}', '"model_max_budget":{"m":""}',
            '"models":"m"', '"models":[1]', '"models":["nosuch"]', '"models":[["m"]]',
            '"aliases":{"a":"nosuch"}', '"aliases":{"a":1}', '"aliases":{"":"m"}', '"aliases":[]x',
            '"model_rpm_limit":{"nosuch":1}', '"model_rpm_limit":{"m":-1}', '"model_tpm_limit":5',
            '"model_max_parallel_requests":{"nosuch":1}', '"model_max_parallel_requests":{"m":-1}',
            '"model_max_parallel_requests":{"m":1,"m":2}', '"model_max_parallel_requests":4',
            map({ qq("model_max_budget":$_) } '{"nosuch":1}', '{"m":-1}', '{"m":"many"}', '{"m":[[]]}',
                '5', '["m"]', '{"m":{}}', '{"m":{"budget_limit":-1}}', '{"m":{"time_period":"1d"}}',
                '{"m":{"budget_limit":1,"time_period":"soon"}}', '{"m":{"budget_limit":1,"spend":2}}',
                '{"m":1,"m":2}', '{"m":{"budget_limit":1,"budget_limit":2}}', '{"m":[1,2]}'),
            '"metadata":"x"', '"metadata":[]', '"tags":"a"', '"blocked":"yes"', '"blocked":1',
            '"duration":"tomorrow"', '"duration":-5', '"expires":"tomorrow"', '"key":5',
            '"key":"short"', '"key":"sk with blanks"', '"key_alias":"a\nb"', '"key_alias":5',
            '"team_id":"nosuch"', '"rpm_limits":5', '"guardrails":["x"]', '"spend":5',
            '"allowed_routes":["/x"]', '"permissions":{"fly":true}', '"permissions":{"customers":"no"}',
            '"expires":"2020-01-01T00:00:00Z"', '"expires":0', '"expires":"1970-01-01T00:00:00Z"',
            '"expires":"2099-01-01","duration":"1d"', '"expires":"2099-01-01","duration":"-1"',
            '"tpm_limit_type":"guaranteed_throughput"', '"tpm_limit_type":"dynamic"',
            '"rpm_limit_type":"guaranteed_throughput"', '"rpm_limit_type":"dynamic"',
            '"rpm_limit_type":5', '"budget_limits":[{"max_budget":1,"time_period":"1d"}]',
            '"budget_limits":[{"max_budget":1,"max_budget":2}]',
            '"rpm_limit":5,"rpm_limit":6', '"key_alias":"' . 'x' x 300 . '"',
            '"metadata":{"a":"' . 'x' x 20_000 . '"}'))
    {
        my $r = call('POST', '/key/generate', $body);
        my $shown = length $body > 60 ? substr($body, 0, 60) . '...' : $body;
        is($r->{status}, 400, $shown =~ s/[\0\n]/?/gr) or diag($r->{body});
        ok(decode_json($r->{body})->{error}{message}, 'says why');
    }
    my $key = decode_json(call('POST', '/key/generate', '{"key_alias":"odd"}')->{body});
    for my $row (['/team/new', 'team_id'], ['/user/new', 'user_id'], ['/customer/new', 'user_id'],
        ['/user/new', 'user_role'], ["/key/$key->{token}/regenerate", 'new_key'],
        ["/key/$key->{token}/regenerate", 'grace_period'], ['/team/update', 'team_id'],
        ['/team/block', 'team_id'], ['/team/delete', 'team_ids'], ['/user/update', 'user_id'],
        ['/user/delete', 'user_ids'], ['/customer/update', 'user_id'], ['/customer/block', 'user_ids'],
        ['/customer/delete', 'user_ids'], ['/key/update', 'key'], ['/key/block', 'key'],
        ['/key/delete', 'keys'], ['/key/delete', 'key_aliases'])
    {
        my ($path, $name) = @$row;
        for my $odd (5, -1.5, 'true', '["x",[]]', '{"a":1}', '[5]', '[null]', '"nosuch\\u0000"') {
            my $r = call('POST', $path, qq({"$name":$odd}));
            like($r->{status}, qr/\A40[04]\z/, "$path $name $odd") or diag($r->{body});
        }
    }
    # Members that would have no effect.
    call('POST', '/team/new', '{"team_id":"effects"}');
    call('POST', '/customer/new', '{"user_id":"effects"}');
    call('POST', '/user/new', '{"user_id":"effects","auto_create_key":false}');
    for (['/key/block', { key => $key->{key}, metadata => { a => 1 } }, 'metadata'],
        ['/key/unblock', { key => $key->{key}, duration => '1d' }, 'duration'],
        ['/key/delete', { keys => [$key->{key}], dry_run => \1 }, 'dry_run'],
        ['/team/block', { team_id => 'effects', keys => ['x'] }, 'keys'],
        ['/team/unblock', { team_id => 'effects', blocked => \1 }, 'blocked'],
        ['/team/delete', { team_ids => ['effects'], keep_keys => \1 }, 'keep_keys'],
        ['/user/update', { user_id => 'effects', duration => '1d' }, 'duration'],
        ['/user/update', { user_id => 'effects', auto_create_key => \1 }, 'auto_create_key'],
        ['/user/new', { auto_create_key => \0, duration => '1d' }, 'duration'],
        ['/user/delete', { user_ids => ['effects'], keep_keys => \1 }, 'keep_keys'],
        ['/customer/update', { user_id => 'effects', duration => '1d' }, 'duration'],
        ['/customer/update', { user_id => 'effects', user_email => 'a@example.org' }, 'user_email'],
        ['/customer/new', { user_id => 'more', user_role => 'internal_user' }, 'user_role'],
        ['/customer/block', { user_ids => ['effects'], reason => 'x' }, 'reason'],
        ['/customer/delete', { user_ids => ['effects'], force => \1 }, 'force'],
        ["/key/$key->{token}/regenerate", { key => 'sk-another-key' }, 'key'])
    {
        my ($path, $body, $param) = @$_;
        my $r = call('POST', $path, encode_json_c($body));
        is($r->{status}, 400, "$path, $param") or diag($r->{body});
        is(decode_json($r->{body})->{error}{param}, $param, 'is named');
    }
    call('POST', '/team/delete', '{"team_ids":["effects"]}');
    call('POST', "/$_/delete", '{"user_ids":["effects"]}') for qw(user customer);
    is(call('POST', '/key/delete', '{"key_aliases":["odd"]}')->{status}, 200, 'the key is still there');
};

# What a client reads an error from: an object with these members, whoever refuses.
sub is_json_error {
    my ($r, $status, $what) = @_;
    my $error = eval { decode_json($r->{body})->{error} } || {};

    is($r->{status}, $status, $what);
    is($r->{headers}{'content-type'}, 'application/json', 'as JSON');
    is(join(' ', sort keys %$error), 'code message param type', 'in the form of others')
        or diag($r->{body});
    ok($error->{message}, 'with a message');
    return;
}

subtest "nginx's own refusals" => sub {
    my @auth = (headers => { 'x-api-key' => 'sk-master' });
    my $large = '{"x":"' . 'y' x 1_100_000 . '"}';
    for my $how ([], [chunked => 100_000]) {
        is_json_error($t->request('POST', '/admin/key/generate', @auth, body => $large, @$how), 413,
            "too large, @$how");
        is_json_error($t->request('POST', '/small/key/generate', @auth, body => '{"x":"' . 'y' x 2000
            . '"}', @$how), 413, "client_max_body_size, @$how");
    }
    is_json_error($t->get('/inside/key/list', @auth), 403, 'deny');
    is($t->get('/limited/key/list', @auth)->{status}, 200, 'limit_req lets one pass');
    is_json_error($t->get('/limited/key/list', @auth), 429, 'and no second one');
    is($t->get('/if/key/list', @auth)->{status}, 200, 'beside an if');
    is_json_error($t->request('PATCH', '/if/key/list', @auth), 418, 'a return in it');
    is_json_error($t->request('PUT', '/admin/key/update', @auth, body => '{}'), 405, 'a method');
    is_json_error($t->get('/admin/nosuch', @auth), 404, 'a path');
    is_json_error($t->get('/admin/key/list'), 401, 'no key');
    my $question = { model => 'm', messages => [{ role => 'user', content => 'y' x 1_500_000 }] };
    is($t->post('/admin/explain', $question, @auth)->{status}, 200,
        'what is explained may be as large as what is asked');
};
is(call('GET', '/key/list')->{body}, $before, 'nothing was made');

subtest 'queries' => sub {
    my $wrong = sub {
        my ($method, $path, $name) = @_;
        my $r = call($method, $path, $method eq 'POST' ? '{}' : undef);
        is($r->{status}, 400, "$method $path") or diag($r->{body});
        is(eval { decode_json($r->{body})->{error}{param} }, $name, "names $name");
    };
    for (['/user/list?team=fa', 'team'], ['/user/list?sort_by=rpm', 'sort_by'], ['/key/list?organization_id=zz', 'organization_id'],
        ['/key/list?team_id=a&status=deleted', 'status'], ['/team/list?user_id=fa', 'user_id'],
        ['/team/info?team_id=a&x=1', 'x'], ['/customer/list?page=2', 'page'],
        ['/spend/logs?apikey=typo', 'apikey'], ['/spend/logs?api_key=a&summarize=true', 'summarize'],
        ['/key/list?key=sk-other', 'key'], ['/key/list?Team_id=a', 'Team_id'],
        ['/key/list?team%5Fid=a', 'team%5Fid'], ['/key/list?a"b=c', 'a"b'], ['/key/list?=x', '='],
        ['/key/list?&&x=1', 'x'], ['/user/daily/activity?api_key=x', 'api_key'],
        ['/global/spend?start_date=2026-01-01', 'start_date'], ['/global/spend/keys?page=1', 'page'],
        (map { ["/spend/logs?start_date=$_", 'start_date'] } qw(22.11.2026 2026-02-30 2026-13-01
            2026-1-1 20261122 yesterday 2026-11-22x 2026-11-22T25:00:00)),
        (map { ["$_?end_date=x", 'end_date'] } qw(/spend/logs /global/spend/logs /global/activity
            /user/daily/activity)),
        (map { ["/spend/logs?limit=$_", 'limit'] } qw(-1 0 x 1001 1.5 99999999999999999999)),
        ['/global/spend/keys?limit=-1', 'limit'], ['/user/list?page=0', 'page'],
        ['/user/daily/activity?page=0', 'page'], ['/key/list?page_size=0', 'page_size'],
        ['/user/list?page_size=1001', 'page_size'], ['/key/list?size=0', 'size'],
        ['/key/list?size=5&page_size=5', 'page_size'],
        (map { ["/key/list?return_full_object=$_", 'return_full_object'] } qw(maybe 2 -1)),
        ['/key/list?include_team_keys=x', 'include_team_keys'],
        ['/key/info?key=sk-a-key&key=sk-b-key', 'key'], ['/key/list?team_id=a&team_id=b', 'team_id'],
        ['/key/list?page=1&page=1', 'page'], (map { ["/key/list?$_=", $_] } qw(team_id user_id key_alias
            key_hash size sort_by return_full_object)), ['/key/list?team_id', 'team_id'],
        ['/key/info?key=', 'key'], ['/user/list?user_ids=', 'user_ids'],
        ['/user/list?user_email=', 'user_email'], ['/spend/logs?api_key=&limit=5', 'api_key'],
        ['/global/activity?start_date=', 'start_date'], ['/team/info?team_id=', 'team_id'],
        ['/customer/info?end_user_id=', 'end_user_id'])
    {
        $wrong->('GET', @$_);
    }
    for (['/key/list', 'team_id'], ['/user/list', 'user_email'], ['/global/spend', 'start_date']) {
        my $r = call('GET', $_->[0], qq({"$_->[1]":"x"}));
        is($r->{status}, 400, "GET $_->[0] with a body");
        is(decode_json($r->{body})->{error}{param}, $_->[1], "names $_->[1]");
    }
    is(call('GET', '/key/list', $_)->{status}, 200, "a body of '$_' says nothing") for '{}', '', 'null';
    is(call('GET', '/key/list', $_)->{status}, 400, "one of '$_' does") for '5', '[]', 'nul';
    $wrong->('POST', @$_) for ['/explain?path=', 'path'], ['/explain?key=a&key=b', 'key'],
        ['/key/generate?max_budget=5', 'max_budget'], ['/explain?keys=a', 'keys'];
    is(call('HEAD', '/key/list?team=a')->{status}, 400, 'HEAD, too');
    is(call('GET', '/key/list?team=a', undef, 'x-api-key' => 'sk-plain')->{status}, 403, 'a stranger');
    for ('/key/list?page=1&size=5&return_full_object=true&include_team_keys=true&sort_by=created_at'
        . '&sort_order=desc&include_created_by_keys=true&expand=user',
        '/user/list?page=1&page_size=25&sort_by=spend&sort_order=asc&organization=',
        '/spend/logs?summarize=false&start_date=2026-01-01&end_date=2026-01-02&limit=1000',
        '/spend/logs?start_date=2026-01-01+00:00:00&end_date=2026-01-02T00:00:00Z',
        '/user/daily/activity?start_date=2026-01-01&end_date=2026-01-02&page=1&page_size=1000',
        '/global/spend/provider?limit=1000', '/team/list?', '/dashboard?from=mail')
    {
        is(call('GET', $_)->{status}, 200, $_);
    }
    is($t->get('/admin/key/list?key=sk-master')->{status}, 200, 'the key of the caller');
    is($t->get('/admin/key/list?key=sk-master&kye=1')->{status}, 400, 'and a mistake');
};

subtest 'the member that is wrong' => sub {
    for (['{"max_budget":"5 dollars"}', 'max_budget'], ['{"max_budget":5,"budget_duration":"x"}', 'budget_duration'],
        ['{"budget_duration":""}', 'budget_duration'], ['{"duration":""}', 'duration'], ['{"max_budget":5,"budget_limits":{}}',
        'budget_limits'], ['{"max_budget":5,"budget_limits":[{"max_budget":-1}]}', 'budget_limits'],
        ['{"key_type":"management"}', 'key_type'], ['{"key_type":"read_only"}', 'key_type'])
    {
        my ($body, $param) = @$_;
        my $r = call('POST', '/key/generate', $body);
        is($r->{status}, 400, $body);
        is(decode_json($r->{body})->{error}{param}, $param, "is $param");
    }
    is(call('POST', '/key/generate', qq({"key_type":$_}))->{status}, 200, $_)
        for '"llm_api"', '"default"', 'null';
};

# Scripts for LiteLLM know one address, for both.
subtest 'at the paths of the models' => sub {
    my @auth = (headers => { 'x-api-key' => 'sk-master' });
    my $key = decode_json($t->post('/key/generate', { key_alias => 'root' }, @auth)->{body})->{key};
    is(decode_json($t->get("/key/info?key=$key", @auth)->{body})->{info}{key_alias}, 'root', 'info');
    is(scalar @{decode_json($t->post('/v2/key/info', { keys => [$key] }, @auth)->{body})->{info}}, 1, 'v2');
    is($t->post('/v1/chat/completions', { model => 'm', messages => [{ role => 'user', content => 'x' }] },
        headers => { 'x-api-key' => $key })->{status}, 200, 'and what it is for');
    is($t->post("/key/$key/regenerate", {}, @auth)->{status}, 200, 'regenerate');
    is($t->get('/global/spend/report', @auth)->{status}, 404, 'an unknown path');
};

# What nginx refuses before it looks for a location: the server says JSON when all of its locations
# are the gateway's.
subtest 'before there is a location' => sub {
    my %raw = (400 => "GET /admin/key/list HTTP/1.1\r\n\r\n", 414 => 'GET /admin/' . 'x' x 20_000
        . " HTTP/1.1\r\nHost: a\r\n\r\n", 405 => "TRACE /admin/key/list?key=sk-of-trace HTTP/1.1\r\n"
        . "Host: a\r\n\r\n");
    for my $status (sort keys %raw) {
        is_json_error($t->request(undef, undef, raw => $raw{$status}, port => 'ours'), $status,
            "$status, ours alone");
        my $r = $t->request(undef, undef, raw => $raw{$status}, port => 'mixed');
        is($r->{status}, $status, "$status, beside others");
        like($r->{headers}{'content-type'}, qr{text/html}, 'is theirs as well');
    }
    like($t->get('/none', port => 'ours')->{headers}{'content-type'}, qr{text/html},
        'files are nginx\'s own business');
    for (qw(CONNECT TRACE)) {
        my $r = $t->request($_, '/admin/key/list', port => 'ours');
        is_json_error($r, $r->{status}, "$_ is $r->{status}");
        like($r->{status}, qr/\A40[05]\z/, 'a refusal');
    }
    is_json_error($t->request($_, '/admin/key/list', port => 'ours', headers => { 'x-api-key' =>
        'sk-master' }), 405, $_) for qw(PROPFIND OPTIONS DELETE MKCOL);
    $t->wait_for(sub { $t->slurp('logs/early.log') =~ /TRACE/ }, 5, 'the log');
    ok($t->slurp('logs/early.log') !~ /sk-of-trace/, 'without a key');
};

subtest 'odd but good' => sub {
    is(call('POST', '/key/generate', '')->{status}, 200, 'no body');
    is(call('POST', '/key/generate', '{ }')->{status}, 200, 'nothing asked for');
    is(call('POST', '/key/generate', '{"guardrails":[],"config":{},"budget_id":null,"x":false,'
        . '"spend":0}')->{status}, 200, 'what says nothing may be unknown');
    is(call('POST', '/key/generate', '{"spend":0.0,"rpm_limit":null}')->{status}, 200, 'no spend');
    is(call('POST', '/key/generate', '{"rpm_limit":0,"max_budget":0}')->{status}, 200, 'zero');
    my $typed = decode_json(call('POST', '/key/generate', '{"rpm_limit_type":"best_effort_throughput",'
        . '"tpm_limit_type":"best_effort_throughput","key_type":"llm_api","key_name":"x"}')->{body});
    like($typed->{key}, qr/\Ask-/, 'what LiteLLM sends and what is so anyway');
    is(decode_json(call('GET', "/key/list?return_full_object=$_")->{body})->{keys}[0]{models}
        ? 'objects' : '', 'objects', "return_full_object=$_") for qw(true True 1 yes);
    is(ref(decode_json(call('GET', "/key/list?return_full_object=$_")->{body})->{keys}[0]), '',
        "return_full_object=$_") for qw(false False 0 no);
    my $r = call('POST', '/key/generate', qq({"key_alias":"\xc3\xa9\\u00e9\\"\\\\","metadata":{ "a" )
        . qq(: [ 1 ,\n 2 ], "b \\" c" : "d  e" } }));
    my $key = decode_json($r->{body});
    is_deeply($key->{metadata}, { a => [1, 2], 'b " c' => 'd  e' }, 'metadata');
    my $info = decode_json(call('GET', "/key/info?key=$key->{key}")->{body})->{info};
    is($info->{key_alias}, $key->{key_alias}, 'text comes back as it was');
    is_deeply($info->{metadata}, $key->{metadata}, 'and metadata');
};

$t->done;
