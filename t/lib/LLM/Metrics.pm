# Reads a page of llm_metrics.
#
#     my $m = LLM::Metrics->get($t, '/metrics');
#     $m->value('llm_requests_total', outcome => 'ok')    # of the one line with these labels
#     $m->sum('llm_tokens_total', gen_ai_token_type => 'input')   # of all lines that have them
#     $m->labels('llm_requests_total', 'outcome')         # the values of a label
#     my ($status, $output) = LLM::Metrics->check($text); # what promtool says of a page; also
#     check_rules($file), check_config($file)

package LLM::Metrics;

use strict;
use warnings;
use Test::More ();

sub get {
    my ($class, $t, $path) = @_;
    my $r = $t->get($path // '/metrics');

    return $class->parse($r->{body});
}

# A line that is neither a comment nor a sample is a failure of the test.
sub parse {
    my ($class, $text) = @_;
    my $self = bless { text => $text, lines => {} }, $class;

    for my $line (split /\n/, $text) {
        next if $line =~ /^# (?:HELP|TYPE) \w+ \S/;
        my ($name, $labels, $value) = $line =~
            /^([a-zA-Z_:]\w*)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)+)\})? (-?[\d.]+)$/
            or Test::More::fail("a line of the page: $line"), next;
        my %labels = ($labels // '') =~ /(\w+)="((?:[^"\\]|\\.)*)"/g;
        push @{ $self->{lines}{$name} }, { labels => \%labels, value => $value };
    }
    return $self;
}

sub text { return $_[0]{text} }

sub _lines {
    my ($self, $name, %labels) = @_;

    return grep {
        my $have = $_->{labels};
        !grep { ($have->{$_} // '') ne $labels{$_} } keys %labels;
    } @{ $self->{lines}{$name} || [] };
}

sub value {
    my ($self, $name, %labels) = @_;
    my @lines = $self->_lines($name, %labels);

    Test::More::fail("$name has " . @lines . ' such lines') if @lines > 1;
    return @lines ? $lines[0]{value} : undef;
}

# Dollars have nine digits: the sum is taken in whole nano-dollars.
sub sum {
    my ($self, $name, %labels) = @_;
    my $sum = 0;

    for my $line ($self->_lines($name, %labels)) {
        my ($whole, $part) = split /\./, $line->{value};
        $sum += $whole * 1_000_000_000 + substr(($part // '') . '0' x 9, 0, 9);
    }
    return $sum / 1_000_000_000;
}

sub labels {
    my ($self, $name, $label) = @_;
    my %seen = map { $_->{labels}{$label} // '' => 1 } @{ $self->{lines}{$name} || [] };

    return sort keys %seen;
}

sub promtool {
    my ($found) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH} . ':/usr/bin';

    return $found;
}

sub check {
    my ($class, $text) = @_;

    return _run('check metrics', $text);
}

sub check_rules  { return _run("check rules $_[1]", '') }
sub check_config { return _run("check config $_[1]", '') }

# promtool with what it is given; its output is both streams.
sub _run {
    my ($command, $text) = @_;
    my $tool = promtool() or return (-1, 'promtool is missing: t/tools/deps.sh test');
    my $file = "/tmp/llm-metrics-$$";

    local $SIG{PIPE} = 'IGNORE';
    open my $out, '|-', "$tool $command > $file 2>&1" or return (-1, "$command: $!");
    print {$out} $text;
    close $out;
    my $status = $? >> 8;
    open my $in, '<', $file or return (-1, "$file: $!");
    my $output = join '', <$in>;
    close $in;
    unlink $file;
    return ($status, $output);
}

1;
