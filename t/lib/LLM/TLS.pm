# Certificates for tests, and the TLS side of the harness's clients.
#
#     my $ca = LLM::TLS->new(dir => $t->dir);          # a CA below DIR/tls
#     my $pair = $ca->server('localhost', '127.0.0.1');  # {cert, key}: files
#     $ca->file                                        # what a client should trust
# connect_tls($socket, %o) wraps a connected socket; options: tls (1 or a hash of
# IO::Socket::SSL options), ca (verify against this file), servername, alpn => [...], timeout.
# It returns undef on failure; last_error() says why.

package LLM::TLS;

use strict;
use warnings;

my $serial = 0;

sub new {
    my ($class, %o) = @_;
    my $dir = "$o{dir}/tls" . (++$serial);
    my $self = bless { dir => $dir, n => 0 }, $class;

    mkdir $dir or die "$dir: $!";
    $self->_config('ca', "basicConstraints = critical, CA:TRUE\n"
        . "keyUsage = keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n");
    _openssl('req', '-x509', '-new', '-nodes', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:prime256v1', '-days', 30, '-subj', "/CN=Test CA $serial $$",
        '-config', "$dir/ca.cnf", '-extensions', 'ext', '-keyout', "$dir/ca.key",
        '-out', "$dir/ca.pem");
    return $self;
}

sub file { return "$_[0]{dir}/ca.pem" }

sub server {
    my ($self, @names) = @_;
    my $base = "$self->{dir}/server" . ++$self->{n};
    my $list = join ',', map { (/\A[\d.]+\z|:/ ? 'IP:' : 'DNS:') . $_ } @names;

    $self->_config("server$self->{n}", "basicConstraints = CA:FALSE\nsubjectAltName = $list\n"
        . "extendedKeyUsage = serverAuth, clientAuth\nauthorityKeyIdentifier = keyid\n");
    _openssl('req', '-new', '-nodes', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:prime256v1', '-subj', "/CN=$names[0]", '-config', "$base.cnf",
        '-keyout', "$base.key", '-out', "$base.csr");
    _openssl('x509', '-req', '-in', "$base.csr", '-CA', $self->file, '-CAkey',
        "$self->{dir}/ca.key", '-set_serial', 1000 + $self->{n}, '-days', 30,
        '-extfile', "$base.cnf", '-extensions', 'ext', '-out', "$base.pem");
    return { cert => "$base.pem", key => "$base.key", ca => $self->file, names => \@names };
}

# A configuration of our own: the one of the machine may be missing or have other defaults.
sub _config {
    my ($self, $name, $extensions) = @_;

    open my $fh, '>', "$self->{dir}/$name.cnf" or die "$self->{dir}/$name.cnf: $!";
    print {$fh} "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = test\n"
        . "[ext]\n$extensions";
    close $fh;
    return;
}

sub _openssl {
    my (@args) = @_;

    open my $pipe, '-|', 'sh', '-c', 'exec openssl "$@" 2>&1', 'openssl', @args
        or die "openssl: $!";
    my $output = do { local $/; <$pipe> };
    close $pipe or die "openssl @args failed:\n" . ($output // '');
    return;
}

sub last_error {
    no warnings 'once';
    return $IO::Socket::SSL::SSL_ERROR || "$!";
}

sub connect_tls {
    my ($sock, %o) = @_;

    require IO::Socket::SSL;
    return IO::Socket::SSL->start_SSL($sock,
        SSL_verify_mode => $o{ca} ? IO::Socket::SSL::SSL_VERIFY_PEER()
            : IO::Socket::SSL::SSL_VERIFY_NONE(),
        SSL_hostname => $o{servername} || 'localhost', Timeout => $o{timeout} || 10,
        $o{ca} ? (SSL_ca_file => $o{ca}, SSL_verifycn_name => $o{servername} || 'localhost',
            SSL_verifycn_scheme => 'http') : (),
        $o{alpn} ? (SSL_alpn_protocols => $o{alpn}) : (),
        ref $o{tls} ? %{$o{tls}} : (),
    );
}

1;
