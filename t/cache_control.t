# Case 39: marks of the prompt cache reach a provider of messages from clients of both dialects,
# with their ttl; a provider of chat, which would refuse them, never sees one.

use strict;
use warnings;
use LLM::Test;
use LLM::Pair;
use LLM::Provider;

my $t = LLM::Test->new;
my $p = LLM::Provider->new(dir => $t->dir);

$t->http_conf(LLM::Pair::conf($p));
$t->start;

my $mark = { type => 'ephemeral', ttl => '1h' };
my @mark = (cache_control => $mark);
my $png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5'
    . 'ErkJggg==';
my $pdf = 'JVBERi0xLjQKJSVFT0YK';

# One question for each place of a mark, so that none is over the provider's limit of four. The
# pieces of a conversation: the named one is marked.
sub question {
    my ($client, $place) = @_;
    my $of = sub { return $_[0] eq $place ? @mark : () };

    if ($client eq 'messages') {
        return (
            system => [{ type => 'text', text => 'Be brief.', $of->('system') }],
            tools => [{ name => 'f', input_schema => { type => 'object' }, $of->('tool') }],
            messages => [
                { role => 'user', content => [
                    { type => 'text', text => 'Look.', $of->('text') },
                    { type => 'image', source => { type => 'base64', media_type => 'image/png',
                        data => $png }, $of->('image') },
                    { type => 'document', source => { type => 'base64',
                        media_type => 'application/pdf', data => $pdf }, $of->('document') },
                ] },
                { role => 'assistant', content => [{ type => 'tool_use', id => 'toolu_1',
                    name => 'f', input => {}, $of->('tool_use') }] },
                { role => 'user', content => [{ type => 'tool_result', tool_use_id => 'toolu_1',
                    content => 'sunny', $of->('tool_result') }] },
            ],
        );
    }
    return (
        tools => [{ type => 'function', function => { name => 'f',
            parameters => { type => 'object' } }, $of->('tool') }],
        messages => [
            { role => 'system', content => [
                { type => 'text', text => 'Be brief.', $of->('system') }] },
            { role => 'user', content => [
                { type => 'text', text => 'Look.', $of->('text') },
                { type => 'image_url', image_url => { url => "data:image/png;base64,$png" },
                    $of->('image') },
                { type => 'file', file => { filename => 'a.pdf',
                    file_data => "data:application/pdf;base64,$pdf" }, $of->('document') },
            ] },
            { role => 'assistant', content => undef, tool_calls => [{ id => 'toolu_1',
                type => 'function', function => { name => 'f', arguments => '{}' },
                $of->('tool_use') }] },
            { role => 'tool', tool_call_id => 'toolu_1', content => [
                { type => 'text', text => 'sunny', $of->('tool_result') }] },
        ],
    );
}

# Where a request to a provider of messages has marks.
sub marks {
    my ($body) = @_;
    my %at;
    my $see = sub {
        my ($place, $block) = @_;
        $at{$place} = $block->{cache_control} if ref $block eq 'HASH' && $block->{cache_control};
    };

    $see->('system', $_) for ref $body->{system} ? @{$body->{system}} : ();
    $see->('tool', $_) for @{$body->{tools}};
    for my $message (@{$body->{messages}}) {
        for my $block (ref $message->{content} ? @{$message->{content}} : ()) {
            $see->($block->{type}, $block);
            next if $block->{type} ne 'tool_result' || !ref $block->{content};
            $see->('tool_result', $_) for @{$block->{content}};
        }
    }
    return \%at;
}

my @places = qw(system tool text image document tool_use tool_result);

for my $pair (LLM::Pair->all) {
    subtest $pair->{name} => sub {
        $p->script(json(200, $pair->answer));
        for my $place (@places) {
            my $r = $pair->post($t, question($pair->{client}, $place));
            is($r->{status}, 200, "$place: status") or diag $r->{body};
            my $request = $p->last_request;
            if ($pair->{provider} eq 'messages') {
                is_deeply(marks($request->{json}), { $place => $mark }, "$place: there")
                    or diag $request->{body};
                is(() = $request->{body} =~ /cache_control/g, 1, "$place: once");
            } elsif (!$pair->is_same) {
                unlike($request->{body}, qr/cache_control|ephemeral/, "$place: left out");
            }
        }
    };
}

subtest 'no more than four' => sub {
    my $pair = LLM::Pair->new('chat', 'messages');
    my @texts = map { { type => 'text', text => "part $_", @mark } } 1 .. 6;
    $p->script(json(200, $pair->answer));
    my $r = $pair->post($t, messages => [{ role => 'user', content => \@texts }]);
    is($r->{status}, 200, 'status');
    my @kept = map { $_->{text} } grep { $_->{cache_control} }
        @{$p->last_request->{json}{messages}[0]{content}};
    is("@kept", 'part 3 part 4 part 5 part 6', 'the last ones are kept');
};

# The same beginning has to give the same bytes on every turn, or nothing is ever cached.
subtest 'a conversation that grows keeps its bytes' => sub {
    for my $pair (grep { !$_->is_same } LLM::Pair->all) {
        my %first = question($pair->{client}, 'system');
        my %second = (%first, messages => [@{$first{messages}},
            { role => 'assistant', content => 'Done.' }, { role => 'user', content => 'More.' }]);
        $p->script(json(200, $pair->answer));
        my @bodies;
        for my $o (\%first, \%first, \%second) {
            $pair->post($t, %$o);
            push @bodies, $p->last_request->{body};
        }
        is($bodies[1], $bodies[0], "$pair->{name}: asked twice");
        my ($turns) = $bodies[0] =~ /("messages":\[.*?sunny")/s;
        ok(length $turns && index($bodies[2], $turns) >= 0, "$pair->{name}: one turn more");
    }
};

$t->done;
