#!/usr/bin/perl
# Writes the tables of prices and limits anew from facts about models:
#
#     prices.pl SHARED/spec      (models.json and providers.json in it)
#
#     translators/pricing/prices.def        the different sets of prices, each once
#     translators/pricing/prices_models.def providers and their models, sorted, with their set
#
# Only providers that have a preset are in the tables. The ids of the facts are the names of the
# presets; what differs is in %PRICED_AS. `make prices` runs this.
#
# Amounts are whole femto-dollars (1e-15): for a token that is the same number as nano-dollars for
# a million of them. All that the facts say is a whole number of these but prices of pixels, which
# stand for 1000 pixels. An amount that would be cut is an error here.
use strict;
use warnings;
use Digest::MD5 ();
use File::Basename qw(dirname);
use JSON::PP ();

my $facts = shift // die "usage: prices.pl SPEC_DIRECTORY\n";
# Numbers as they are written: JSON::PP gives big ones as objects, so the text is kept aside.
my $models = JSON::PP->new->utf8->decode(numbers_as_text(slurp("$facts/models.json")));
my $providers = JSON::PP->new->utf8->decode(slurp("$facts/providers.json"));
chdir dirname(__FILE__) . '/../..' or die "prices.pl: $!\n";
my $FOLDER = 'translators/pricing';

# --- what the facts do not say ---------------------------------------------------------------

# Presets that are another way to a provider in the facts.
my %PRICED_AS = (
    'azure-anthropic' => ['azure_ai', 'azure', 'anthropic'], azure => ['azure_ai', 'openai'],
    azure_ai => ['azure', 'openai'], 'bedrock-invoke' => ['bedrock'],
    'bedrock-mantle-anthropic' => ['bedrock_mantle', 'bedrock'], bedrock_mantle => ['bedrock'],
    qwen_ai_platform => ['dashscope'], qwencloud => ['dashscope'], vertex_ai => ['gemini'],
    'vertex-anthropic' => ['vertex_ai', 'anthropic'],
);

# Servers that people run themselves cost nothing for a token, unless the facts have prices. Not
# this: it is a gateway to others.
my %NOT_FREE = (litellm_proxy => 1);

my @TOKEN = qw(in out cache_read cache_write_5m cache_write_1h reasoning audio_in audio_out
    audio_cache_read audio_cache_write image_in image_out video_out citation);
my @UNIT = qw(image_in image_out second_in second_out audio_second_in video_second_in
    video_second_out second_out_1080p char_in char_out pixel_in pixel_out query request page
    page_annotation credit session web_search);
my @FACTOR = qw(us fast region_eu region_us);

# --- the work --------------------------------------------------------------------------------

my $presets = join '', map { slurp("translators/provider/$_") } qw(providers.def providers_own.def);
my %is_preset = map { $_ => 1 } $presets =~ /^LLM_PROVIDER\(\s*"([^"]+)"/mg;
my (%rows, %sets);

for my $m (@{ $models->{models} }) {
    my $provider = $m->{provider};
    next if !$is_preset{$provider} || $m->{mode} eq 'price_class' || $m->{mode} eq 'search';
    my $name = lc $m->{model};
    $name =~ /[^\x21-\x7e]|["\\]/ and next;  # no name of a model
    my @items = $m->{suspect} ? () : items($m);
    my $context = whole($m->{max_input} // $m->{context});
    my $output = whole($m->{max_output});
    next if !@items && !$context && !$output;
    my $row = [$name, $context, $output, set_of(@items)];
    my $known = $rows{$provider}{$name};
    die "prices.pl: $provider/$name: two prices\n" if $known && "@$known" ne "@$row";
    $rows{$provider}{$name} = $row;
    $NOT_FREE{$provider} = 1 if grep { !/ 0\)\z/ } @items;
}

my @sets = map { "LLM_PRICES($_, " . join(', ', @{ $sets{$_} }) . ")\n" } sort keys %sets;
my $item_count = 0;
$item_count += @$_ for values %sets;
write_file('prices.def', <<'HEAD', map { folded($_) } @sets);
// Sets of prices, each once. Written by t/tools/prices.pl (make prices).
//
// LLM_PRICES(name, items), an item is P(section, what, amount): whole femto-dollars for one token
// or unit (1000 pixels for pixels), which for tokens is nano-dollars for a million. `above` is a
// number of tokens, `factor` thousandths.

HEAD

my @text;
my $row_count = 0;
for my $provider (sort keys %rows) {
    push @text, "LLM_PRICED_PROVIDER(\"$provider\")\n";
    for my $name (sort keys %{ $rows{$provider} }) {
        my ($shown, $context, $output, $set) = @{ $rows{$provider}{$name} };
        push @text, "LLM_PRICED_MODEL(\"$shown\", $context, $output, $set)\n";
        $row_count++;
    }
}
push @text, "\n";
for my $preset (sort keys %PRICED_AS) {
    $is_preset{$preset} or die "prices.pl: $preset is no preset\n";
    $rows{$_} or die "prices.pl: $_ has no models\n" for @{ $PRICED_AS{$preset} };
    push @text, map { "LLM_PRICED_AS(\"$preset\", \"$_\")\n" } @{ $PRICED_AS{$preset} };
}
my @free = grep { $is_preset{$_} && !$NOT_FREE{$_} }
    map { $_->{id} } grep { $_->{self_hosted} } @{ $providers->{providers} };
push @text, "\n", map { "LLM_FREE_PROVIDER(\"$_\")\n" } sort 'mock', @free;
write_file('prices_models.def', <<'HEAD', @text);
// Models, what they cost and how much they take. Written by t/tools/prices.pl (make prices).
// Providers and the models of each are sorted by the bytes of their names (lower case).
//
// LLM_PRICED_PROVIDER(preset): the rows up to the next one are its models
// LLM_PRICED_MODEL(name, input tokens, output tokens (0: not known), set of prices in prices.def)
// LLM_PRICED_AS(preset, provider): where a model is looked for as well, in this order
// LLM_FREE_PROVIDER(preset): run by its user, nothing is to be paid for a token

HEAD
printf "%d providers, %d models, %d sets of %d prices\n", scalar keys %rows, $row_count,
    scalar keys %sets, $item_count;

# --- one model -------------------------------------------------------------------------------

sub items {
    my ($m) = @_;
    my @items = tokens('base', $m->{price});
    my $number = 0;

    for my $tier (sort { whole($a->{above}) <=> whole($b->{above}) } @{ $m->{tiers} // [] }) {
        $number++;
        $number <= 3 or die "prices.pl: $m->{model} has more than three tiers\n";
        push @items, "P(tier$number, above, " . whole($tier->{above}) . ')',
            tokens("tier$number", $tier);
    }
    push @items, tokens($_, $m->{$_}) for qw(batch priority flex);
    my $unit = $m->{unit} // {};
    for my $what (@UNIT) {
        my $value = $unit->{$what} // next;
        $value = $value->{medium} if ref $value;  # how much is searched: what is asked by default
        push @items, "P(unit, $what, " . scaled($value, $what =~ /\Apixel/ ? 18 : 15) . ')';
    }
    for my $what (@FACTOR) {
        push @items, "P(factor, $what, " . scaled($m->{multiplier}{$what}, 3) . ')'
            if defined $m->{multiplier}{$what};
    }
    my %known = map { $_ => 1 } @UNIT;
    $known{$_} or die "prices.pl: unknown unit $_\n" for keys %$unit;
    return @items;
}

sub tokens {
    my ($section, $price) = @_;
    my %known = map { $_ => 1 } @TOKEN, 'above';

    return if !$price;
    $known{$_} or die "prices.pl: unknown price $_\n" for keys %$price;
    return map { "P($section, $_, " . scaled($price->{$_}, 9) . ')' }
        grep { defined $price->{$_} } @TOKEN;
}

# The name of a set is made of what is in it: a new model changes its own lines only.
sub set_of {
    my @items = @_;

    return 'none' if !@items;
    my $name = 's' . substr Digest::MD5::md5_hex("@items"), 0, 8;
    die "prices.pl: two sets are called $name\n" if $sets{$name} && "@{ $sets{$name} }" ne "@items";
    $sets{$name} = \@items;
    return $name;
}

# --- numbers ---------------------------------------------------------------------------------

# "1.25e-7" with 15 digits behind the point, as a whole number, exactly.
sub scaled {
    my ($number, $digits) = @_;
    my ($whole, $part, $exponent) = $number =~ /\A#(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?\z/
        or die "prices.pl: not a price: $number\n";

    $part //= '';
    my $shift = $digits + ($exponent // 0) - length $part;
    my $all = $whole . $part;
    if ($shift < 0) {
        $all = ('0' x -$shift) . $all;
        my $cut = substr $all, $shift, -$shift, '';
        $cut =~ /\A0+\z/ or die "prices.pl: $number is cut\n";
    } else {
        $all .= '0' x $shift;
    }
    $all =~ s/\A0+(?=\d)//;
    length $all <= 18 or die "prices.pl: $number is too large\n";
    return $all;
}

sub whole {
    my ($number) = @_;

    return 0 if !defined $number;
    my $whole = scaled($number, 0);
    return $whole < 2**32 ? $whole : 2**32 - 1;
}

# A number becomes a text that begins with #, so that no digit is lost.
sub numbers_as_text {
    my ($text) = @_;

    $text =~ s{("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)}
        { defined $1 ? $1 : "\"#$2\"" }ge;
    return $text;
}

# --- files -----------------------------------------------------------------------------------

sub folded {
    my ($line) = @_;
    my @lines = ('');

    for my $word (split /(?<=,) (?=P)/, $line) {
        push @lines, '   ' if length("$lines[-1] $word") > 100;
        $lines[-1] .= ($lines[-1] eq '' ? '' : ' ') . $word;
    }
    return join "\n", @lines;
}

sub write_file {
    my ($name, @text) = @_;

    open my $out, '>', "$FOLDER/$name" or die "prices.pl: $FOLDER/$name: $!\n";
    print {$out} @text;
    close $out or die "prices.pl: $FOLDER/$name: $!\n";
    return;
}

sub slurp {
    my ($path) = @_;

    open my $fh, '<', $path or die "prices.pl: $path: $!\n";
    local $/;
    return scalar <$fh>;
}
