#!/usr/bin/perl
# Writes the catalogue of providers anew from facts about them:
#
#     catalogue.pl SHARED/spec/providers.json
#
#     translators/provider/providers.def          rows and aliases
#     translators/provider/providers_refused.def  what needs code that is not there, or is gone
#
# Rows that need more than those facts stand in translators/provider/providers_own.def, by hand;
# their names are left out here. What the facts have in words only, or too wide, is in the tables
# below. `make catalogue` runs this; `make docs` then fills the list in README.md.
use strict;
use warnings;
use File::Basename qw(dirname);
use JSON::PP ();

my $facts = shift // die "usage: catalogue.pl PROVIDERS.JSON\n";
my $json = JSON::PP->new->utf8->decode(slurp($facts));
chdir dirname(__FILE__) . '/../..' or die "catalogue.pl: $!\n";
my $FOLDER = 'translators/provider';

# --- what the facts do not say ---------------------------------------------------------------

# Quirks that are known from recorded answers or stand in a note.
my %MORE_QUIRKS = (
    groq => ['kStrictMembers'],
    cerebras => ['kStrictMembers', 'kMaxCompletionTokens'],
    mistral => ['kStrictMembers', 'kMistral'],
    codestral => ['kMistral'],
    openrouter => ['kReasoningDetails'],
    vercel_ai_gateway => ['kReasoningDetails'],
);

# Further dialects that such a service speaks for some of its models only: a client's request
# would fail for the others, so they are not used.
my %NOT_ALSO = (
    cloudflare => ['responses'], databricks => ['responses'], huggingface => ['responses'],
    opencode => ['messages', 'responses'], snowflake => ['messages'],
);

# Headers that are no constants: they are the key, or one of several words.
my %NOT_A_HEADER = (
    sarvam => ['api-subscription-key'],
    snowflake => ['X-Snowflake-Authorization-Token-Type'],
);

# An exchange of tokens is code of its own, but for these the operator can bring a token.
my %TAKES_A_TOKEN = (snowflake => 1);

my %DIALECT = (
    'openai-chat' => 'openai', 'azure-openai' => 'openai', 'openai-responses' => 'responses',
    'anthropic-messages' => 'anthropic', 'gemini' => 'gemini', 'cohere-v2' => 'cohere',
    'ollama' => 'ollama',
);

# Where the path of a dialect is left to the dialect: the rest of the address is the base URL.
my %PATH = (
    openai => '/chat/completions', anthropic => '/messages', responses => '/responses',
    completions => '/completions', gemini => '/models/{model}:generateContent',
);

# The key in `paths` that is the main one of a dialect.
my %MAIN = (anthropic => 'messages', responses => 'responses');

# --- the work --------------------------------------------------------------------------------

my %own = map { $_ => 1 }
    slurp("$FOLDER/providers_own.def") =~ /^LLM_PROVIDER(?:_ALIAS)?\("([^"]+)"/mg;
my (@rows, @aliases, @refused, %is_row, %env);

# A service has one row, which knows the variables of all its names.
for my $p (@{ $json->{providers} }) {
    push @{ $env{ $p->{alias_of} // $p->{id} } }, [!defined $p->{alias_of}, $p->{env}{key}];
}
for my $p (sort { $a->{id} cmp $b->{id} } @{ $json->{providers} }) {
    my $id = $p->{id};
    next if $own{$id};
    if (my $reason = why_not($p)) {
        push @refused, [$id, $reason];
    } elsif (!$p->{alias_of}) {
        push @rows, row($p);
        $is_row{$id} = 1;
    }
}
for my $p (sort { $a->{id} cmp $b->{id} } @{ $json->{providers} }) {
    my ($id, $of) = @$p{qw(id alias_of)};
    next if !defined $of || $own{$id} || grep { $_->[0] eq $id } @refused;
    if ($is_row{$of} || $own{$of}) {
        push @aliases, "LLM_PROVIDER_ALIAS(" . quoted($id) . ", " . quoted($of) . ")\n";
    } else {
        die "catalogue.pl: $id is an alias of $of, which has no row\n";
    }
}

write_file('providers.def', <<"HEAD", @rows, "\n", @aliases);
// Provider presets: everything that makes `preset NAME` enough in a configuration. Written by
// t/tools/catalogue.pl (make catalogue): changes belong there, or into providers_own.def.
//
// LLM_PROVIDER(name, title, dialect, base URL (empty: must be configured), environment variables
//              that usually hold the key (a blank between), further members of ProviderPreset)
// LLM_PROVIDER_ALIAS(name, preset)

HEAD
write_file('providers_refused.def', <<"HEAD",
// Providers that are known and no preset, and why. Written by t/tools/catalogue.pl
// (make catalogue).
//
// LLM_PROVIDER_REFUSED(name, reason)

HEAD
    map { call('LLM_PROVIDER_REFUSED', quoted($_->[0]), quoted($_->[1])) } @refused);
printf "%d providers, %d aliases, %d refused\n", scalar @rows, scalar @aliases, scalar @refused;

# --- one provider ----------------------------------------------------------------------------

# Why a provider cannot be a preset; nothing when it can.
sub why_not {
    my ($p) = @_;

    if ($p->{defunct}) {
        (my $reason = $p->{defunct_reason}) =~ s/; LiteLLM .*//;
        return "it is gone: $reason";
    }
    my $own = $p->{own_code} // '';
    if (my ($name) = $p->{dialect} =~ /\Acustom:(.*)/) {
        return $name eq 'internal' ? "it is no network service ($own)"
            : "its dialect is not implemented ($own)";
    }
    if (!$DIALECT{ $p->{dialect} }) {
        return "its dialect \"$p->{dialect}\" is not implemented ($own)";
    }
    if ($p->{auth}{exchange} && !$TAKES_A_TOKEN{ $p->{id} }) {
        return "it wants a token exchange that is not implemented ($own)";
    }
    if ($p->{auth}{type} !~ /\A(?:bearer|header|none)\z/) {
        return "its credentials ($p->{auth}{type}) are not implemented";
    }
    # The facts about these are themselves in doubt, or the dialect is only a likeness.
    if ($own =~ /polling|not verified/) {
        return "it needs code of its own ($own)";
    }
    return;
}

sub row {
    my ($p) = @_;
    my $dialect = $DIALECT{ $p->{dialect} };
    my $path = $p->{paths}{ $MAIN{$dialect} // 'chat' } // $PATH{$dialect};
    my ($base, $chat) = split_url($p->{base_url}, $path, $dialect);
    my @more;

    push @more, auth($p->{auth});
    if (my @quirks = $dialect eq 'openai' ? quirks($p) : ()) {
        push @more, '.quirks = ' . join ' | ', @quirks;
    }
    push @more, '.chat_path = ' . quoted($chat) if $chat ne '';
    push @more, headers($p);
    push @more, refusals($p) if $dialect eq 'openai';
    push @more, also($p, $dialect, $base);
    return call('LLM_PROVIDER', quoted($p->{id}), quoted($p->{name}), $dialect, quoted($base),
        quoted(keys_of($p->{id})), @more);
}

sub keys_of {
    my ($id) = @_;
    my %seen;

    return join ' ', grep { !$seen{$_}++ }
        map { @{ $_->[1] } } sort { $b->[0] <=> $a->[0] } @{ $env{$id} };
}

# Base URL and the path where that is not the dialect's own. The base is all before the dialect's
# path, so that an operator's base_url is what other clients call by that name as well; what
# depends on the model cannot be in it.
sub split_url {
    my ($base, $path, $dialect) = @_;
    my $usual = $PATH{$dialect} // '';

    return ('', $path eq $usual ? '' : $path) if !defined $base;
    my $all = $path =~ /\Ahttp/ ? $path : $base . $path;
    if ($usual ne '' && $all =~ /\A(.*)\Q$usual\E\z/ && $1 !~ /\{model\}/) {
        return ($1, '');
    }
    if ($base =~ m{\A(.*?)(/[^/]*\{model\}.*)\z}) {
        return ($1, $2 . $path);
    }
    die "catalogue.pl: $base: a full URL as the main path\n" if $path =~ /\Ahttp/;
    return ($base, $path);
}

sub auth {
    my ($auth) = @_;

    return '.auth = kNoAuth' if $auth->{type} eq 'none';
    my ($name, $prefix) = (lc $auth->{header}, $auth->{prefix} // '');
    return if $name eq 'authorization' && $prefix eq 'Bearer ';
    return '.auth = key_header(' . quoted($name) . ($prefix ne '' ? ', ' . quoted($prefix) : '')
        . ')';
}

sub quirks {
    my ($p) = @_;
    my $q = $p->{quirks};
    my @reasoning = @{ $q->{reasoning_in} // [] };
    my $choice = $q->{tool_choice};
    my %is = map { $_ => 1 } @{ $MORE_QUIRKS{ $p->{id} } // [] };
    my %unsupported = map { $_ => 1 } @{ $q->{unsupported} // [] };

    $is{kStrictMembers} ||= $q->{supported} || ($q->{null_fields} // '') =~ /extra_forbidden/;
    $is{kNoStreamOptions} ||= ($q->{stream_usage} // '') =~ /\Aalways/
        || $unsupported{stream_options}
        || $q->{supported} && !grep { $_ eq 'stream_options' } @{ $q->{supported} };
    $is{kMaxCompletionTokens} ||= ($q->{max_tokens} // '') eq 'max_completion_tokens'
        || ($q->{rename}{max_tokens} // '') eq 'max_completion_tokens';
    $is{kWantsReasoningContent} ||= ($q->{reasoning_replay} // '') =~ /\Arequired/;
    $is{kMistral} ||= ($q->{tool_ids} // '') =~ /9 characters/;
    $is{kStringContent} ||= ($q->{content} // '') =~ /\Astring_only/;
    $is{kNoStrictTools} ||= defined $q->{strict_tools} && !$q->{strict_tools};
    $is{kNoToolChoiceRequired} ||= ref $choice eq 'ARRAY' && !grep { /\Arequired\z/i } @$choice;
    for my $way (@reasoning) {  # the first that is one of ours
        $is{kThinkingSwitch} = 1, last if $way eq 'thinking.type';
        $is{kEnableThinking} = 1, last if $way eq 'enable_thinking';
    }
    # A text here says which others are allowed, too.
    $is{kUserLast} ||= ($q->{user_last} // '') eq '1';
    return grep { $is{$_} } qw(kStrictMembers kNoStreamOptions kMaxCompletionTokens
        kWantsReasoningContent kMistral kStringContent kNoStrictTools kNoToolChoiceRequired
        kThinkingSwitch kEnableThinking kUserLast kReasoningDetails);
}

# Parameters that are refused, clamped or, for the model's name, written in another way.
sub refusals {
    my ($p) = @_;
    my $q = $p->{quirks};
    my @all = slurp('translators/dialect/chat_parameters.def') =~ /^LLM_CHAT_PARAMETER\("(\w+)"/mg;
    my %known = map { $_ => 1 } @all;
    my %supported = map { $_ => 1 } @{ $q->{supported} // \@all };
    my %refused = map { $_ => 1 } @{ $q->{unsupported} // [] }, grep { !$supported{$_} } @all;
    my $by_model = $q->{unsupported_by_model} // {};
    my (@more, @models);

    # The older names are not in every list that has the newer.
    delete @refused{qw(functions function_call)} if $q->{supported} && $supported{tools};
    my $set = sub { 'chat_parameters(' . join(', ', map { quoted($_) } grep { $known{$_} } @_) . ')' };
    if (my @names = grep { $refused{$_} } @all) {
        push @more, '.refuses = ' . $set->(@names);
    }
    for my $models (sort keys %$by_model) {
        push @models, '{' . quoted($models) . ', ' . $set->(@{ $by_model->{$models} }) . '}';
    }
    @models > 2 and die "catalogue.pl: $p->{id} has more rules for models than ProviderPreset\n";
    push @more, '.refuses_for = {' . join(', ', @models) . '}' if @models;
    push @more, '.temperature_max = ' . quoted("$q->{temperature_max}") if $q->{temperature_max};
    push @more, '.model_prefix = ' . quoted($q->{model_prefix}) if $q->{model_prefix};
    return @more;
}

sub headers {
    my ($p) = @_;
    my %not = map { lc $_ => 1 } @{ $NOT_A_HEADER{ $p->{id} } // [] }, 'anthropic-version';
    my @list = map { '{' . quoted(lc $_) . ', ' . quoted($p->{headers}{$_}) . '}' }
        grep { !$not{ lc $_ } } sort keys %{ $p->{headers} };

    @list > 2 and die "catalogue.pl: $p->{id} has more headers than ProviderPreset\n";
    return @list ? '.headers = {' . join(', ', @list) . '}' : ();
}

# Further dialects. Not those that no source tells of; and not of servers that people run
# themselves: what these speak depends on their version, and `dialect` in the configuration says it.
sub also {
    my ($p, $main, $base) = @_;
    my %not = map { $_ => 1 } @{ $NOT_ALSO{ $p->{id} } // [] }, @{ $p->{paths_unverified} // [] };
    my @list;

    return if $p->{self_hosted} || !defined $p->{base_url};
    for my $way (['messages', 'anthropic'], ['responses', 'responses'],
        ['completions', 'completions'])
    {
        my ($key, $dialect) = @$way;
        my $path = $p->{paths}{$key};
        next if !defined $path || $not{$key} || $dialect eq $main;
        my ($all) = ($path =~ /\Ahttp/ ? $path : $p->{base_url} . $path)
            =~ /\A(.*)\Q$PATH{$dialect}\E\z/ or next;
        next if $all =~ m{/fim\z|\{model\}};
        my $where = $all eq $base ? '' : $all =~ m{\A\Q$base\E(/.*)} ? $1 : $all;
        push @list, "$key(" . ($where ne '' ? quoted($where) : '') . ')';
    }
    return @list ? '.also = further(' . join(', ', @list) . ')' : ();
}

# --- writing ---------------------------------------------------------------------------------

sub quoted {
    my ($text) = @_;

    $text =~ /[^\x20-\x7e]/ and die "catalogue.pl: not ASCII: $text\n";
    $text =~ s/(["\\])/\\$1/g;
    return "\"$text\"";
}

# A call within 100 columns.
sub call {
    my ($macro, @fields) = @_;
    my $indent = ' ' x (length($macro) + 1);
    my @lines = ("$macro(");
    my $room = 98;  # for what follows a field

    for my $i (0 .. $#fields) {
        my $field = $fields[$i];
        if (length("$lines[-1] $field") > $room) {
            push @lines, $indent if $i > 0;
            # What does not even begin on this line: `further(` with a long address.
            if ($field =~ /\A(\.\w+ = \w+\()(\S{60,}.*)/ && length("$lines[-1]$field") > $room) {
                $lines[-1] .= $1;
                $field = "    $2";
                push @lines, $indent;
            }
            while (length("$lines[-1]$field") > $room) {
                my $cut = rindex $field, ' ', $room - length($lines[-1]) - 2;
                my $is_text = $field =~ /\A"/;
                if ($cut < ($is_text ? 2 : 20)) {  # `.name = ` stays with its value
                    $cut = index $field, ' ', 20;
                    last if $is_text || $cut < 0;
                }
                $lines[-1] .= substr($field, 0, $cut + 1) . ($is_text ? '"' : '');
                $field = ($is_text ? '"' : '    ') . substr $field, $cut + 1;
                push @lines, $indent;
            }
        } elsif ($i > 0) {
            $lines[-1] .= ' ';
        }
        $lines[-1] .= $field . ($i < $#fields ? ',' : ')');
    }
    s/ +\z// for @lines;
    return join("\n", @lines) . "\n";
}

sub write_file {
    my ($name, @text) = @_;

    open my $out, '>', "$FOLDER/$name" or die "catalogue.pl: $FOLDER/$name: $!\n";
    print {$out} @text;
    close $out or die "catalogue.pl: $FOLDER/$name: $!\n";
    return;
}

sub slurp {
    my ($path) = @_;

    open my $fh, '<', $path or die "catalogue.pl: $path: $!\n";
    local $/;
    return scalar <$fh>;
}
