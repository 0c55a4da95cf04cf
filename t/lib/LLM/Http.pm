# HTTP/1 on the side of the client: building requests and reading answers piece by piece.
#
# build_request(method =>, path =>, headers =>, body =>, chunked =>, http10 =>)   bytes
# header_pairs($hash_or_list)      list of [name, value]
# my $r = LLM::Http->new(method => 'POST');
# $r->feed($bytes); $r->end;       bytes came; the connection ended
# $r->take                         body bytes decoded since the last call
# {head_done, status, reason, version, headers, header_list, raw_head, done, clean, rest}
# $r->all_problems                 what a strict reader objects to; a test fails for each
#
# done: no more of this answer will come. clean: it ended as its own framing says, so it was
# not cut. An answer delimited by the end of the connection is clean by definition.

package LLM::Http;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(build_request header_pairs);

sub header_pairs {
    my ($headers) = @_;

    return () unless $headers;
    if (ref $headers eq 'HASH') {
        return map { my $n = $_; map { [$n, $_] } ref $headers->{$n} ? @{$headers->{$n}}
                                                                    : $headers->{$n} }
               sort keys %$headers;
    }
    return @$headers if @$headers && ref $headers->[0];
    my @flat = @$headers;
    my @pairs;
    push @pairs, [splice @flat, 0, 2] while @flat;
    return @pairs;
}

sub build_request {
    my (%o) = @_;
    my @pairs = grep { defined $_->[1] } header_pairs($o{headers});
    my %given = map { lc $_->[0] => 1 } header_pairs($o{headers});
    my $body = $o{body};
    my @own;

    die "request body with wide characters: encode it first\n"
        if defined $body && !utf8::downgrade($body, 1);
    push @own, ['Host', $o{host} || 'localhost'] unless $given{host};
    if (defined $body) {
        if ($o{chunked}) {
            push @own, ['Transfer-Encoding', 'chunked'] unless $given{'transfer-encoding'};
            my $size = $o{chunked} > 1 ? $o{chunked} : length($body) || 1;
            my $wire = '';
            for (my $at = 0; $at < length $body; $at += $size) {
                my $piece = substr $body, $at, $size;
                $wire .= sprintf("%x\r\n%s\r\n", length $piece, $piece);
            }
            $body = $wire . "0\r\n\r\n";
        } elsif (!$given{'content-length'}) {
            push @own, ['Content-Length', length $body];
        }
    }
    my $version = $o{http10} ? '1.0' : '1.1';
    my $head = "$o{method} $o{path} HTTP/$version\r\n";
    $head .= "$_->[0]: $_->[1]\r\n" for @own, @pairs;
    return $head . "\r\n" . (defined $body ? $body : '');
}

sub new {
    my ($class, %o) = @_;

    return bless {
        method => $o{method} || 'GET', buf => '', body => '', headers => {}, header_list => [],
        problems => [], rest => '', mode => 'head', informational => [],
    }, $class;
}

sub take {
    my ($self) = @_;

    return substr $self->{body}, 0, length $self->{body}, '';
}

sub all_problems {
    my ($self) = @_;

    return (@{$self->{problems}},
        length $self->{rest} ? 'bytes after the end of the answer' : ());
}

sub _problem { push @{$_[0]{problems}}, $_[1]; return }

sub feed {
    my ($self, $bytes) = @_;

    if ($self->{done}) {
        $self->{rest} .= $bytes;
        return;
    }
    $self->{buf} .= $bytes;
    while (!$self->{done}) {
        my $step = "_step_$self->{mode}";
        last unless $self->$step;
    }
    if ($self->{done}) {
        $self->{rest} .= $self->{buf};
        $self->{buf} = '';
    }
    return;
}

# The connection ended, whoever did it.
sub end {
    my ($self) = @_;

    return if $self->{done};
    $self->{done} = 1;
    $self->{clean} = $self->{mode} eq 'close' ? 1 : 0;
    return;
}

sub _finish { @{$_[0]}{qw(done clean)} = (1, 1); return 0 }

sub _step_head {
    my ($self) = @_;

    $self->{buf} =~ /\r\n\r\n/ or return 0;
    my $head = substr $self->{buf}, 0, $+[0], '';
    my ($line, @fields) = split /\r\n/, $head;
    unless ($line =~ m{\AHTTP/(1\.[01]) (\d{3})(?: (.*))?\z}) {
        $self->_problem("status line '$line'");
        $self->{status} = 0;
        return $self->_finish;
    }
    my ($version, $status, $reason) = ($1, $2, $3);
    if ($status >= 100 && $status < 200 && $status != 101) {
        push @{$self->{informational}}, $status;
        return 1;
    }
    @$self{qw(version status reason raw_head)} = ($version, $status, $reason, $head);
    for my $field (@fields) {
        unless ($field =~ /\A([!#\$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\z/s) {
            $self->_problem("header line '$field'");
            next;
        }
        my ($name, $value) = ($1, $2);
        $self->_problem("control character in header $name") if $value =~ /[\x00-\x08\x0a-\x1f]/;
        push @{$self->{header_list}}, [$name, $value];
        my $slot = \$self->{headers}{lc $name};
        $self->_problem("two headers $name")
            if defined $$slot && $name =~ /\A(?:content-length|transfer-encoding|content-type)\z/i;
        $$slot = defined $$slot ? "$$slot, $value" : $value;
    }
    $self->{head_done} = 1;
    return $self->_framing;
}

sub _framing {
    my ($self) = @_;
    my ($te, $cl) = @{$self->{headers}}{qw(transfer-encoding content-length)};

    $self->_problem('both Content-Length and Transfer-Encoding') if defined $te && defined $cl;
    if ($self->{method} eq 'HEAD' || $self->{status} == 204 || $self->{status} == 304) {
        return $self->_finish;
    }
    if (defined $te) {
        $self->_problem("Transfer-Encoding '$te'") if lc $te ne 'chunked';
        $self->{mode} = 'chunk_size';
    } elsif (defined $cl) {
        $self->_problem("Content-Length '$cl'") if $cl !~ /\A\d+\z/;
        $self->{mode} = 'length';
        $self->{left} = $cl =~ /\A(\d+)/ ? $1 : 0;
        return $self->_finish if $self->{left} == 0;
    } else {
        $self->{mode} = 'close';
    }
    return 1;
}

sub _step_length {
    my ($self) = @_;

    return 0 if $self->{buf} eq '';
    my $piece = substr $self->{buf}, 0, $self->{left}, '';
    $self->{left} -= length $piece;
    $self->{body} .= $piece;
    return $self->{left} ? 0 : $self->_finish;
}

sub _step_close {
    my ($self) = @_;

    $self->{body} .= $self->{buf};
    $self->{buf} = '';
    return 0;
}

sub _step_chunk_size {
    my ($self) = @_;

    $self->{buf} =~ /\A([^\n]*)\r\n/ or return 0;
    my $line = $1;
    substr $self->{buf}, 0, $+[0], '';
    unless ($line =~ /\A([0-9A-Fa-f]{1,15})(?:[ \t]*;.*)?\z/) {
        $self->_problem("chunk size '$line'");
        $self->{done} = 1;
        $self->{clean} = 0;
        return 0;
    }
    $self->{left} = hex $1;
    $self->{mode} = $self->{left} ? 'chunk_data' : 'trailer';
    return 1;
}

sub _step_chunk_data {
    my ($self) = @_;

    return 0 if $self->{buf} eq '';
    if ($self->{left}) {
        my $piece = substr $self->{buf}, 0, $self->{left}, '';
        $self->{left} -= length $piece;
        $self->{body} .= $piece;
        return $self->{buf} ne '' if !$self->{left};
        return 0;
    }
    return 0 if length $self->{buf} < 2;
    my $end = substr $self->{buf}, 0, 2, '';
    $self->_problem('chunk without line end') if $end ne "\r\n";
    $self->{mode} = 'chunk_size';
    return 1;
}

sub _step_trailer {
    my ($self) = @_;

    $self->{buf} =~ /\A([^\n]*)\r\n/ or return 0;
    my $line = $1;
    substr $self->{buf}, 0, $+[0], '';
    return $line eq '' ? $self->_finish : 1;
}

1;
