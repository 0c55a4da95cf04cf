#!/usr/bin/perl
# The rules of the house that no compiler checks. Usage: lint.pl, from anywhere; each rule is one
# line "ok" or "not ok" with what breaks it. A new rule is a row of @RULES and a function that
# returns the complaints, each as "file:line: what".
use strict;
use warnings;
use File::Basename qw(basename dirname);
use File::Find ();

chdir dirname(__FILE__) . '/../..' or die "lint.pl: $!\n";

my $MAX_LINES = 700;

# Which folder may include from which: arrows point one way.
my %MAY_INCLUDE = (
    'ngx_llm_module' =>
        [qw(base conf state redis policy route upstream stream request filter observe admin)],
    'ngx_llm_module/base' => [],
    'ngx_llm_module/conf' => [qw(base)],
    'ngx_llm_module/state' => [qw(base conf)],
    'ngx_llm_module/redis' => [qw(base conf state)],
    'ngx_llm_module/policy' => [qw(base conf state redis)],
    'ngx_llm_module/route' => [qw(base conf state redis policy)],
    'ngx_llm_module/upstream' => [qw(base conf state route)],
    'ngx_llm_module/stream' => [qw(base conf state route upstream)],
    'ngx_llm_module/request' => [qw(base conf state redis policy route upstream stream)],
    'ngx_llm_module/filter' => [qw(base conf state policy route upstream stream request)],
    'ngx_llm_module/observe' =>
        [qw(base conf state redis policy route upstream stream request filter)],
    'ngx_llm_module/admin' =>
        [qw(base conf state redis policy route upstream stream request observe)],
    # core holds the floor (arena, result) and the IR, json stands between: %cycles sees the rest.
    'translators/core' => [qw(json)],
    'translators/json' => [qw(core)],
    'translators/wire' => [qw(core json)],
    'translators/dialect' => [qw(core json wire)],
    'translators/provider' => [qw(core json wire dialect)],
    'translators/pricing' => [qw(core json wire provider)],
);

# The exceptions, each with its reason: file that includes => what it may include beyond that.
my $REQUEST_OBJECT = 'ngx_llm_module/request/(?:llm_request|headers|ledger)\.hpp';
my @MAY_ALSO = (
    # What every part of a request's way works on.
    ['ngx_llm_module/(?:upstream|stream)/\w+\.[ch]pp', $REQUEST_OBJECT],
    # The command table points to the handlers; it is a table, not a layer.
    ['ngx_llm_module/conf/directives\.cpp',
        'ngx_llm_module/(?:request/handler|observe/metrics_handler|admin/admin|state/(?:zone|state_keeper))\.hpp'],
    # An answer that fails before its first content is replied to like any refusal; what a cut one
    # cost is an estimate; one that a provider keeps has a name of the client's own.
    ['ngx_llm_module/stream/answer(?:_whole)?\.cpp',
        'ngx_llm_module/request/(?:reply|pricing|kept_answers)\.hpp'],
);

my @RULES = (
    ['C++ is formatted as .clang-format says', \&check_format],
    ['includes follow the arrows between folders', \&check_arrows],
    ['no file includes itself by a detour', \&check_cycles],
    ['translators/ does not mention nginx', \&check_translators],
    ['simdjson and nginx headers enter at one place each', \&check_doors],
    ['no throw, and none of the headers we avoid', \&check_avoided],
    ['every function given to nginx or OpenSSL goes through guard', \&check_guards],
    ['headers begin with #pragma once', \&check_pragma],
    ["no file is longer than $MAX_LINES lines", \&check_length],
    ['text is ASCII, without blanks at line ends', \&check_text],
    ['scripts parse', \&check_scripts],
    ['the text of the Lua scripts is what their files say', \&check_lua],
    ['the text of the dashboard is what its files say', \&check_dashboard],
    ['README.md is what the tables in the code say', \&check_docs],
);

my (@files, %text);
File::Find::find({ no_chdir => 1, wanted => sub {
    if (m{\A\./(?:build|\.git)\z} || basename($_) eq 'node_modules') {
        $File::Find::prune = 1;
        return;
    }
    push @files, substr $_, 2 if -f;
} }, '.');
@files = sort @files;
my @cpp = grep { /\.[ch]pp\z/ } @files;
my @product = grep { m{\A(?:ngx_llm_module|translators)/} } @cpp;

my ($passed, $failed) = (0, 0);
for my $rule (@RULES) {
    my ($name, $check) = @$rule;
    my @complaints = $check->();
    print @complaints ? 'not ok' : 'ok', " - $name\n";
    print "    $_\n" for @complaints > 30 ? (@complaints[0 .. 29], '...') : @complaints;
    @complaints ? $failed++ : $passed++;
}
print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);

# --- rules -----------------------------------------------------------------------------------

sub check_format {
    my $program = `sh -c 'command -v clang-format-14'` =~ /(\S+)/ ? $1 : return 'no clang-format-14';
    my %places;

    open my $output, '-|', "$program --dry-run -Werror @cpp 2>&1" or return "$program: $!";
    while (<$output>) {
        $places{$1}++ if /^([^\s:]+):\d+:\d+: error:/;
    }
    close $output;
    return map { "$_: $places{$_} places (make format)" } sort keys %places;
}

sub check_arrows {
    my @found;

    for my $file (@product) {
        my ($house, $folder) = (dirname($file) =~ m{\A(\w+)(?:/(\w+))?});
        my $from = dirname($file);
        my $allowed = $MAY_INCLUDE{$from};
        if (!$allowed) {
            push @found, "$file:1: $from has no row in %MAY_INCLUDE of t/tools/lint.pl";
            next;
        }
        for my $include (includes($file)) {
            my ($to, $line) = @$include;
            next if dirname($to) eq $from || $to =~ m{\A\Q$from\E/\w+/\w+\.inc\z}
                || $house eq 'ngx_llm_module' && $to =~ m{\Atranslators/};
            next if $to =~ m{\A$house/(\w+)/} && grep { $_ eq $1 } @$allowed;
            next if grep { $file =~ /\A$_->[0]\z/ && $to =~ /\A$_->[1]\z/ } @MAY_ALSO;
            push @found, "$file:$line: $from must not include $to";
        }
    }
    return @found;
}

sub check_cycles {
    my (%state, @path, @found);
    my $visit;

    $visit = sub {
        my ($file) = @_;
        $state{$file} = 'open';
        push @path, $file;
        for my $include (includes($file)) {
            my $to = $include->[0];
            next unless -e $to;
            if (($state{$to} // '') eq 'open') {
                push @found, join ' -> ', @path, $to;
            } elsif (!$state{$to}) {
                $visit->($to);
            }
        }
        pop @path;
        $state{$file} = 'done';
    };
    $visit->($_) for grep { !$state{$_} } @product;
    return @found;
}

sub check_translators {
    return matches([grep { m{\Atranslators/} } @files], qr/ngx_/, 'mentions nginx', raw => 1);
}

sub check_doors {
    my @no_json = grep { $_ ne 'translators/json/reader.cpp' } @cpp;
    my @no_nginx = grep { $_ ne 'ngx_llm_module/base/ngx_cxx.hpp' } @cpp;

    return (
        matches(\@no_json, qr/#\s*include\s*[<"]simdjson/, 'only json/reader.cpp includes simdjson'),
        matches(\@no_nginx, qr/#\s*include\s*[<"]ngx_\w+\.h[>"]/,
            'only base/ngx_cxx.hpp includes nginx headers'),
    );
}

sub check_avoided {
    return (
        matches(\@product, qr/\bthrow\b/, 'throw'),
        matches(\@product, qr/#\s*include\s*<(?:iostream|regex|thread|future)>/, 'not here'),
    );
}

# Callbacks are assigned, registered with OpenSSL, or stand in the module tables. Allowed without
# guard: nginx's own functions, what was guarded where it came from, and what is noexcept.
sub check_guards {
    my @found;
    my $slot = qr/\w*handler|init|get_handler|set_handler|ngx_http_top_\w+/;

    for my $file (grep { $_ ne 'ngx_llm_module/base/guard.hpp' } @product) {
        my $code = code($file);
        while ($code =~ /(?:\b(?:ngx_http_top_\w+)|(?:->|\.)$slot)\s*=(?!=)\s*([^;]+);/g) {
            my ($value, $line) = ($1, line_at($code, $-[1]));
            push @found, "$file:$line: a callback without guard: $value"
                unless is_safe_callback($value, $code);
        }
        while ($code =~ /\b(SSL_\w+_cb|SSL_\w*callback|qsort|ngx_qsort|ngx_sort)\s*\(/g) {
            my ($name, $rest, $line) = ($1, substr($code, pos $code, 300), line_at($code, pos $code));
            push @found, "$file:$line: $name without guard" if $rest !~ /\A[^;]*\bguard</;
        }
        while ($code =~ /\bngx_(?:http_)?module_t\s+\w+\s*=\s*\{(.*?)\};/gs) {
            my ($body, $line) = ($1, line_at($code, $-[1]));
            # Commas within <> belong to an entry.
            1 while $body =~ s/<([^<>]*),([^<>]*)>/<$1;$2>/;
            for my $entry (grep { /\S/ } split /,/, $body) {
                push @found, "$file:$line: a row of a module table without guard: $entry"
                    unless $entry =~ /\A\s*(?:(?:llm::)?guard<.*>|nullptr|&\w+|NGX_\w+|llm::directives)\s*\z/s;
            }
        }
    }
    return @found;
}

sub is_safe_callback {
    my ($value, $code) = @_;

    return 1 if $value =~ /\A(?:llm::)?guard(?:_conf)?</ || $value =~ /\A(?:nullptr|ngx_\w+)\z/;
    return 1 if $value =~ /\A\[\][^{]*\bnoexcept\b/;
    return 1 if $value =~ /\A(?:\w+(?:\(\w*\))?(?:->|\.))+\w*handler\z/;
    return 1 if $value =~ /\A\w+\z/ && $code =~ /\b$value\s*\([^)]*\)\s*noexcept\b/;
    return 1 if $value =~ /\Anext_\w+\z/;
    return 0;
}

sub check_pragma {
    return map { "$_:1: no #pragma once" } grep { code($_) !~ /\A\s*#pragma once\b/ }
        grep { /\.hpp\z/ } @cpp;
}

sub check_length {
    my @found;

    for my $file (grep { m{\A(?:ngx_llm_module|translators|t/(?!bench/|golden/))} && /\.\w+\z/ }
        grep { !/\.(?:json|sse|inc)\z|corpus|pricing\/prices\w*\.def\z/ } @files)
    {
        my $lines = () = text($file) =~ /\n/g;
        push @found, "$file:$lines: two subjects?" if $lines > $MAX_LINES;
    }
    return @found;
}

sub check_text {
    my @written = grep { /\.(?:[ch]pp|def|pl|pm|t|sh|conf|mjs|md|supp)\z|\Aconfig(?:\.make)?\z|Makefile\z|run\z/ }
        grep { !m{\At/(?:golden|fuzz/corpus)/} } @files;

    return (
        matches(\@written, qr/[^\x00-\x7f]/, 'not ASCII', raw => 1),
        matches(\@written, qr/[ \t]\r?$/, 'blanks at the end of the line', raw => 1),
        matches([grep { /\.(?:[ch]pp|def|pl|pm|t|sh|conf|mjs)\z/ } @written], qr/\t/, 'a tab', raw => 1),
    );
}

sub check_scripts {
    my @found;

    for my $file (grep { /\.(?:sh|pl)\z|\A\.ci\/run\z/ } @files) {
        my $command = $file =~ /\.pl\z/ ? "perl -It/lib -c $file" : "bash -n $file";
        my $output = `$command 2>&1`;
        push @found, "$file: $output" if $?;
        push @found, "$file: not executable" if !-x $file && text($file) =~ /\A#!/;
    }
    return @found;
}

sub check_docs {
    return 'there is no README.md' unless -e 'README.md';
    my $output = `perl t/tools/docs.pl --check README.md 2>&1`;
    return $? ? $output =~ /(\S.*)/ : ();
}

sub check_lua {
    my $output = `perl t/tools/texts.pl scripts --check 2>&1`;
    return $? ? $output =~ /(\S.*)/ : ();
}

sub check_dashboard {
    my $output = `perl t/tools/texts.pl dashboard --check 2>&1`;
    return $? ? $output =~ /(\S.*)/ : ();
}

# --- reading ---------------------------------------------------------------------------------

sub text {
    my ($file) = @_;

    return $text{$file} //= do {
        open my $fh, '<', $file or die "lint.pl: $file: $!\n";
        local $/;
        scalar(<$fh>) // '';
    };
}

# The file without comments and without the contents of strings; lines stay where they are.
# Includes keep their names.
sub code {
    my ($file) = @_;
    my $code = text($file);

    $code =~ s{(^[ \t]*\#[ \t]*include[^\n]*)
        | //[^\n]* | /\*(.*?)\*/
        | R"(\w*)\((.*?)\)\3"
        | "(?:[^"\\\n]|\\.)*" | (?<!\w)'(?:[^'\\\n]|\\.)+'}
        { $1 // do { my $gone = $&; $gone =~ s/[^\n]//g; ($& =~ m{\A[R"']} ? '""' : '') . $gone } }gexms;
    return $code;
}

sub includes {
    my ($file) = @_;
    my @found;
    my $code = code($file);

    while ($code =~ /^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/mg) {
        push @found, [$1, line_at($code, $-[1])];
    }
    return @found;
}

sub matches {
    my ($files, $regex, $what, %o) = @_;
    my @found;

    for my $file (@$files) {
        my $text = $o{raw} ? text($file) : code($file);
        my $number = 0;
        for my $line (split /\n/, $text) {
            $number++;
            push @found, "$file:$number: $what" if $line =~ $regex;
        }
    }
    return @found;
}

sub line_at {
    my ($text, $at) = @_;

    return 1 + (substr($text, 0, $at) =~ tr/\n//);
}
