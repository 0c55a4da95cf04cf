# conf-examples/monitoring: alerts and dashboard are well-formed and speak only of metrics, labels
# and outcomes that exist.

use strict;
use warnings;
use Test::More;
use LLM::Json qw(try_json);
use LLM::Metrics;
use LLM::Nginx;

my $repo = LLM::Nginx->repo;
my $folder = "$repo/conf-examples/monitoring";

sub slurp { open my $in, '<', $_[0] or die "$_[0]: $!\n"; local $/; return scalar <$in> }

# name => {label => 1}, as the page has them.
my %metrics;
my $table = slurp("$repo/ngx_llm_module/state/metrics.def") =~ s{^//.*\n}{}mgr;
while ($table =~ /LLM_METRIC\((\w+), "(\w+)", (\w+),\s*"([^"]*)"/g) {
    my ($name, $type, $labels) = ($2, $3, $4);
    my %labels = map { $_ => 1 } split /,/, $labels;
    $metrics{$name} = \%labels;
    next if $type ne 'histogram';
    $metrics{"${name}_bucket"} = { %labels, le => 1 };
    $metrics{"${name}_$_"} = \%labels for qw(sum count);
}
cmp_ok(scalar keys %metrics, '>', 30, 'metrics were read');

my %outcome = map { $_ => 1 } qw(ok client_closed refused upstream_error cut timeout);

# What an expression asks for and nobody counts.
sub unknown {
    my ($expression) = @_;
    my @bad;

    $expression =~ s/label_values\((\w+), (\w+)\)/$1\{$2=""}/;
    while ($expression =~ /\b((?:llm|gen_ai)_\w+)\b(?:\{([^}]*)\})?/g) {
        my ($name, $selectors) = ($1, $2 // '');
        # The labels of "by (...)" look alike.
        next if grep { $_->{$name} } values %metrics;
        push @bad, $name unless $metrics{$name};
        for my $selector ($selectors =~ /(\w+)(?:=~|!=|!~|=)"/g) {
            push @bad, "$name\{$selector}" unless $metrics{$name}{$selector};
        }
        push @bad, grep { !$outcome{$_} } map { split /\|/ } $selectors =~ /outcome=~?"([^"]*)"/g;
    }
    return @bad;
}

subtest 'alerts' => sub {
    my $text = slurp("$folder/alerts.yml");
    my ($status, $output) = LLM::Metrics->check_rules("$folder/alerts.yml");
    is($status, 0, 'promtool check rules') or diag($output);
    my @expressions = $text =~ /^\s+expr: (?:\|\n)?((?:.*\n)+?)(?=\s+(?:for|labels):)/mg;
    cmp_ok(scalar @expressions, '>=', 8, 'alerts were read');
    is_deeply([unknown($_)], [], $_ =~ s/\s+/ /gr) for @expressions;
    for my $wanted (qw(LlmFallbackShare LlmErrorRate LlmSlowFirstContent LlmBudgetNearItsEnd)) {
        like($text, qr/alert: $wanted$/m, $wanted);
    }
};

subtest 'the configuration of Prometheus' => sub {
    my ($status, $output) = LLM::Metrics->check_config("$folder/prometheus.yml");
    is($status, 0, 'promtool check config') or diag($output);
};

subtest 'the dashboard of Grafana' => sub {
    my $dashboard = try_json(slurp("$folder/grafana-dashboard.json"));
    is(ref $dashboard, 'HASH', 'JSON') or return;
    my (%seen, @targets);
    for my $panel (@{ $dashboard->{panels} }) {
        is($seen{ $panel->{id} }++, 0, "$panel->{title}: an id of its own");
        push @targets, map { $_->{expr} } @{ $panel->{targets} };
    }
    cmp_ok(scalar @targets, '>=', 15, 'panels ask for something');
    is_deeply([unknown($_)], [], $_) for @targets,
        map { $_->{type} eq 'query' ? $_->{query} : () } @{ $dashboard->{templating}{list} };
};

done_testing();
