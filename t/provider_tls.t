# TLS towards providers: the server name, verification of certificate and name, what happens when
# they do not fit, sessions that are used again.

use strict;
use warnings;
use LLM::Test;
use LLM::Provider;
use LLM::TLS;
use Time::HiRes qw(time);

my $t = LLM::Test->new;
my $good = LLM::Provider->new(dir => $t->dir, tls => { names => ['api.test', '*.wild.test'] });
my $stranger = LLM::Provider->new(dir => $t->dir, tls => { names => ['api.test'] });
my $address = LLM::Provider->new(dir => $t->dir, tls => { names => ['127.0.0.1'] });
my $plain = LLM::Provider->new(dir => $t->dir);
my $stalled = LLM::Provider->new(dir => $t->dir);
my $ca = $good->ca->file;

# A certificate that was good until a while ago.
sub expired_pair {
    my $tls = $good->ca;
    my $pair = $tls->server('api.test');

    eval { LLM::TLS::_openssl('x509', '-req', '-in', $pair->{cert} =~ s/pem\z/csr/r, '-CA', $ca,
        '-CAkey', $ca =~ s/pem\z/key/r, '-set_serial', 77, '-days', -1, '-extfile',
        $pair->{cert} =~ s/pem\z/cnf/r, '-extensions', 'ext', '-out', $pair->{cert}); 1 } or return;
    return $pair;
}
my $expired_pair = expired_pair();
my $expired = $expired_pair && LLM::Provider->new(dir => $t->dir, tls => $expired_pair);

# nginx as a provider that tells whether a session was used again.
my $server = LLM::Test->new(module => 0, access_log => 1);
my $pair = $good->ca->server('api.test');
$server->http_conf(<<"END");
    log_format tls '\$ssl_session_reused \$ssl_protocol \$ssl_server_name \$connection';
    access_log logs/tls.log tls;
    server {
        listen 127.0.0.1:%%PORT%% ssl;
        listen 127.0.0.1:%%PORT:other%% ssl;
        ssl_certificate $pair->{cert};
        ssl_certificate_key $pair->{key};
        ssl_session_cache shared:a:1m;
        location /12/ { return 200 ANSWER; }
        location / { return 200 ANSWER; }
    }
END
$server->{http} =~ s/ANSWER/"'" . encode_json_c(chat_answer(text => 'ok')) . "'"/ge;
$server->start;

sub provider {
    my ($name, $p, @more) = @_;
    my $port = ref $p ? $p->port : $p;

    return "llm_provider $name { dialect openai; base_url https://127.0.0.1:$port/v1; api_key k;"
        . " connect_timeout 400ms; @more }\n";
}

my $trust = "ssl_trusted_certificate $ca;";
my $conf = join '', provider('good', $good, $trust, 'ssl_name api.test;'),
    provider('wild', $good, $trust, 'ssl_name x.wild.test;'),
    provider('wrong-name', $good, $trust, 'ssl_name other.test;'),
    provider('deep', $good, $trust, 'ssl_name x.y.wild.test;'),
    provider('no-name', $good, $trust), provider('address', $address,
        "ssl_trusted_certificate ${\$address->ca->file};"),
    provider('stranger', $stranger, $trust, 'ssl_name api.test;'),
    provider('stranger-off', $stranger, 'ssl_verify off;'),
    provider('off-with-name', $stranger, 'ssl_verify off; ssl_name whatever.test;'),
    provider('system', $good, 'ssl_name api.test;'),
    provider('plain', $plain, 'ssl_verify off;'), provider('stalled', $stalled, 'ssl_verify off;'),
    $expired ? (provider('expired', $expired, $trust, 'ssl_name api.test;'),
        provider('expired-off', $expired, 'ssl_verify off;')) : (),
    provider('sessions', $server->port, $trust, 'ssl_name api.test; keepalive 0;'),
    provider('sessions-other', $server->port('other'), $trust, 'ssl_name api.test; keepalive 0;'),
    provider('kept', $server->port, $trust, 'ssl_name api.test;'),
    'llm_model over { deployment stranger/x order=1; deployment good/y order=2; }',
    'server { listen 127.0.0.1:%%PORT%%; location / { llm_pass models; } }';
$t->http_conf($conf);
$t->start;
$_->script(json(200, chat_answer())) for $good, $stranger, $address, $expired ? $expired : ();
$plain->script(answer(status => 400, body => 'no TLS here', early => 'accept'));
$stalled->script(tls_stall());

sub ask {
    my ($model) = @_;

    return $t->post('/v1/chat/completions', { model => $model, messages => [
        { role => 'user', content => 'hi' }] });
}

sub log_since { return substr $t->log_text, $_[0] }

subtest 'good' => sub {
    is(ask('good/m')->{status}, 200, 'the right name');
    is($good->last_request->{tls_sni}, 'api.test', 'the server was told');
    is(ask('wild/m')->{status}, 200, 'a wildcard');
    is($good->last_request->{tls_sni}, 'x.wild.test', 'with its name');
    is(ask('address/m')->{status}, 200, 'an address in the certificate');
    is($address->last_request->{tls_sni}, undef, 'is no server name');
    is(ask('stranger-off/m')->{status}, 200, 'ssl_verify off');
    is(ask('off-with-name/m')->{status}, 200, 'with another name');
    is($stranger->last_request->{tls_sni}, 'whatever.test', 'which is sent');
    is(ask('expired-off/m')->{status}, 200, 'ssl_verify off takes an expired one') if $expired;
};

subtest 'not good' => sub {
    my %bad = (
        'wrong-name' => qr/is not for "other\.test"/, deep => qr/is not for "x\.y\.wild\.test"/,
        'no-name' => qr/is not for "127\.0\.0\.1"/, stranger => qr/is not trusted: unable to/,
        system => qr/is not trusted/, plain => qr/SSL/i,
        $expired ? (expired => qr/is not trusted: certificate has expired/) : (),
    );
    for my $name (sort keys %bad) {
        my $at = length $t->log_text;
        my $seen = $stranger->request_count + $good->request_count + $plain->request_count;
        my $r = ask("$name/m");
        is($r->{status}, 502, "$name: 502") or diag($r->{body});
        is($r->{json}{error}{type}, 'server_error', 'in the dialect');
        like(log_since($at), qr/\[error\] .*$bad{$name}/, 'the log says why');
        is($stranger->request_count + $good->request_count + $plain->request_count, $seen,
            'nothing of the request was sent');
    }
    my $began = time;
    is(ask('stalled/m')->{status}, 504, 'a handshake that never ends');
    my $took = time - $began;
    cmp_ok($took, '>=', 0.35, "takes the time to connect: $took s");
    cmp_ok($took, '<', 0.4 + 1 * ($ENV{LLM_SLOW} || 1), 'and no more');
    ok($stalled->wait_closed('all'), 'it is closed');
};

subtest 'the next deployment' => sub {
    my $r = ask('over');
    is("$r->{status} $r->{headers}{'x-llm-deployment'}", '200 good/y', 'is asked');
    is($r->{headers}{'x-llm-attempts'}, 2, 'as the second');
};

# Lines of nginx's log: [r or ., protocol, name, connection].
my $lines = 0;

sub logged {
    my ($n) = @_;
    my @lines;

    $server->wait_for(sub { @lines = split /\n/, $server->slurp('logs/tls.log');
        @lines >= $lines + $n }, 5, 'lines of the provider');
    my @new = map { [split ' '] } @lines[$lines .. $lines + $n - 1];
    $lines += $n;
    return @new;
}

subtest 'sessions are used again' => sub {
    is(ask('sessions/m')->{status}, 200, 'answered') for 1 .. 6;
    my @log = logged(6);
    my %connections = map { $_->[3] => 1 } @log;
    is(scalar keys %connections, 6, 'six connections');
    is($log[0][0], '.', 'the first is a whole handshake');
    cmp_ok(scalar(grep { $_->[0] eq 'r' } @log), '>=', 4, "the others are not ($log[1][1])");
    is(ask('sessions-other/m')->{status}, 200, 'another address');
    is((logged(1))[0][0], '.', 'begins anew');
    is(ask('kept/m')->{status}, 200, 'kept') for 1 .. 3;
    my %kept = map { $_->[3] => 1 } logged(3);
    is(scalar keys %kept, 1, 'with keepalive there is one handshake in all');
};

subtest 'sessions of TLS 1.2' => sub {
    $server->{http} =~ s/ssl_session_cache/ssl_protocols TLSv1.2; ssl_session_cache/;
    ok($server->reload, 'the provider has nothing newer now');
    is(ask('sessions/m')->{status}, 200, 'answered') for 1 .. 5;
    my @log = logged(5);
    is($log[4][1], 'TLSv1.2', 'with the older one');
    cmp_ok(scalar(grep { $_->[0] eq 'r' } @log), '>=', 3, 'sessions are used again');
};

subtest 'a certificate that was changed' => sub {
    $t->http_conf($conf =~ s/\Q$ca\E/$stranger->ca->file/ger);
    ok($t->reload, 'reload');
    is(ask('good/m')->{status}, 502, 'who was trusted is not');
    is(ask('stranger/m')->{status}, 200, 'who was not is');
};

$server->stop;
$server->cleanup;
$t->done;
