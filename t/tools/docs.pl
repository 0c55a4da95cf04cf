#!/usr/bin/perl
# Fills the reference sections of README.md from the tables in the code:
#
#     <!-- directives: begin --> ... <!-- directives: end -->   conf/directives.def
#     <!-- variables: begin -->  ... <!-- variables: end -->    observe/variables.def
#     <!-- metrics: begin -->    ... <!-- metrics: end -->      state/metrics.def
#     <!-- providers: begin -->  ... <!-- providers: end -->    provider/providers*.def
#
# Usage: docs.pl [--check] FILE. What stands between the markers is replaced; with --check
# nothing is written, and the exit status is 1 when something would change. A marker that is
# missing is an error: the reference would be incomplete without anybody seeing it.
use strict;
use warnings;
use File::Basename qw(dirname);

chdir dirname(__FILE__) . '/../..' or die "docs.pl: $!\n";
my $only_check = @ARGV && $ARGV[0] eq '--check' && shift;
my $file = shift // die "usage: docs.pl [--check] FILE\n";

my %section = (
    directives => \&directives,
    variables => \&variables,
    metrics => \&metrics,
    providers => \&providers,
);

my $old = slurp($file);
my $new = $old;
my @missing;
for my $name (sort keys %section) {
    my $text = $section{$name}->();
    $new =~ s/(<!-- $name: begin -->\n).*?(<!-- $name: end -->)/$1\n$text\n$2/s
        or push @missing, $name;
}
if (@missing) {
    die "$file lacks the markers of: @missing (see the head of t/tools/docs.pl)\n";
}
exit 0 if $new eq $old;
die "$file is not what the tables in the code say: make docs\n" if $only_check;
open my $out, '>', $file or die "docs.pl: $file: $!\n";
print {$out} $new;
close $out or die "docs.pl: $file: $!\n";
print "$file: filled anew\n";

# --- sections --------------------------------------------------------------------------------

# In the shape of nginx's own reference.
sub directives {
    my @parts;
    for my $row (rows('ngx_llm_module/conf/directives.def', 'LLM_DIRECTIVE', 8)) {
        my ($name, undef, undef, undef, $syntax, $default, $context, $text) = @$row;
        $_ .= $_ eq '-' || /\}\z/ ? '' : ';' for $syntax, $default;
        push @parts, "### $name\n\n```\nSyntax:  $syntax\nDefault: $default\n"
            . "Context: $context\n```\n\n" . wrap($text);
    }
    return join "\n", @parts;
}

sub variables {
    my @rows = rows('ngx_llm_module/observe/variables.def', 'LLM_VARIABLE', 3);

    return table(['Variable', 'Meaning'], map { ["`\$$_->[0]`", $_->[2]] } @rows);
}

sub metrics {
    my @rows = rows('ngx_llm_module/state/metrics.def', 'LLM_METRIC', 6);

    return table(['Metric', 'Type', 'Labels', 'Meaning'], map {
        my (undef, $name, $type, $labels, undef, $help) = @$_;
        ["`$name`", $type, $labels =~ s/(\w+)(,?)/`$1`$2/gr =~ s/,/, /gr, $help];
    } @rows);
}

sub providers {
    my $folder = 'translators/provider';
    my @files = ("$folder/providers_own.def", "$folder/providers.def");
    my (%names, @list);

    for my $alias (map { rows($_, 'LLM_PROVIDER_ALIAS', 2) } @files) {
        push @{ $names{ $alias->[1] } }, $alias->[0];
    }
    for my $row (map { rows($_, 'LLM_PROVIDER', 5, 'or more') } @files) {
        my ($name, $title, $dialect, $url, $keys, @more) = @$row;
        my $more = join ', ', @more;
        my @names = map { "`$_`" } $name, sort @{ $names{$name} // [] };
        my @dialects = ($dialect, map { $_ eq 'messages' ? 'anthropic' : $_ }
            $more =~ /\b(messages|responses|completions)\(/g);
        $url = $url ne '' ? "`$url`" : $name eq 'mock' ? 'none' : 'to be configured';
        $url =~ s/\{vertex_host\}/{region}-aiplatform.googleapis.com/;
        my @keys = map { "`$_`" } split ' ', $keys;
        push @keys, '`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`' if $more =~ /sigv4/;
        push @keys, '`GOOGLE_APPLICATION_CREDENTIALS`' if $more =~ /kGoogleOauth/;
        push @list, [join(', ', @names), $title, join(', ', @dialects), $url,
            credential($more), @keys ? join(', ', @keys) : '-'];
    }
    return table(['Preset', 'Provider', 'Dialects', '`base_url`', 'Credential', 'Taken from'],
        sort { $a->[0] =~ tr/`//dr cmp $b->[0] =~ tr/`//dr } @list) . "\nKnown, but refused:\n\n" . refused();
}

sub credential {
    my ($more) = @_;

    return '-' if $more =~ /kNoAuth/;
    return '`service_account`' if $more =~ /kGoogleOauth/;
    return '`aws_access_key_id`, or `Authorization: Bearer`' if $more =~ /sigv4\(/;
    return $more =~ /key_header\((\S+?)(?:, (.*?) *)?\)/
        ? '`' . $1 . ($2 ? ": $2" : '') . '`' : '`Authorization: Bearer`';
}

sub refused {
    my @rows = rows('translators/provider/providers_refused.def', 'LLM_PROVIDER_REFUSED', 2);

    return table(['Provider', 'Why'], map { ["`$_->[0]`", $_->[1]] } @rows);
}

# --- reading the tables ----------------------------------------------------------------------

# The rows MACRO(field, ...) of a .def file: neighbouring C strings are one text, everything else
# is taken as it stands.
sub rows {
    my ($path, $macro, $count, $or_more) = @_;
    my $text = slurp($path);
    my @rows;

    $text =~ s{^\s*//.*\n}{}mg;
    while ($text =~ /^$macro\(/mg) {
        my @fields = ('');
        my $depth = 0;
        while (1) {
            if ($text =~ /\G\s+/gc) {
                $fields[-1] .= ' ' if $fields[-1] =~ /\w\z/ && $text =~ /\G(?=\w)/;
            } elsif ($text =~ /\G"((?:[^"\\]|\\.)*)"/gcs) {
                $fields[-1] .= unescape($1);
            } elsif ($depth == 0 && $text =~ /\G,/gc) {
                push @fields, '';
            } elsif ($depth == 0 && $text =~ /\G\)/gc) {
                last;
            } elsif ($text =~ /\G(.)/gcs) {
                $depth += $1 eq '(' ? 1 : $1 eq ')' ? -1 : 0;
                $fields[-1] .= $1;
            } else {
                die "$path: the row of $fields[0] has no end\n";
            }
        }
        @fields == $count || $or_more && @fields > $count or die "$path: $fields[0] has " . @fields . " fields, not $count\n";
        push @rows, \@fields;
    }
    @rows or die "$path: no $macro rows\n";
    return @rows;
}

sub unescape {
    my ($text) = @_;

    $text =~ s/\\n/\n/g;
    $text =~ s/\\(["\\])/$1/g;
    return $text;
}

# --- writing ---------------------------------------------------------------------------------

sub table {
    my ($head, @rows) = @_;
    my @lines;

    for my $row ($head, [map { '---' } @$head], @rows) {
        my @cells = @$row;
        s/\|/\\|/g for @cells;
        push @lines, '| ' . join(' | ', @cells) . " |\n";
    }
    return join '', @lines;
}

# Paragraphs of at most 100 columns, not broken within `code`.
sub wrap {
    my ($text) = @_;
    my @lines = ('');

    for my $word ($text =~ /((?:`[^`]*`|[^`\s])+)/g) {
        if ($lines[-1] ne '' && length("$lines[-1] $word") > 100) {
            push @lines, '';
        }
        $lines[-1] .= ($lines[-1] eq '' ? '' : ' ') . $word;
    }
    return join("\n", @lines) . "\n";
}

sub slurp {
    my ($path) = @_;

    open my $fh, '<', $path or die "docs.pl: $path: $!\n";
    local $/;
    return scalar <$fh>;
}
