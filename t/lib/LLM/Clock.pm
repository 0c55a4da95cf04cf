# A clock for nginx and Redis that a test sets, so that a budget's day can end.
#
#     my $clock = LLM::Clock->new($dir);         # a directory that the test removes
#     LLM::Test->new(env => { $clock->env });    # also: local %ENV = (%ENV, $clock->env)
#     $clock->pass(86400)                        # from now on it is that much later

package LLM::Clock;

use strict;
use warnings;
use Cwd ();
use File::Basename ();

my $source = Cwd::abs_path(File::Basename::dirname(__FILE__)) . '/clock.c';

sub new {
    my ($class, $dir) = @_;
    my $self = bless { dir => $dir, ahead => 0 }, $class;
    my @command = ('cc', '-shared', '-fPIC', '-O1', '-o', "$dir/clock.so", $source);

    $self->pass(0);
    system(@command) == 0 or die "@command: status $?\n";
    return $self;
}

sub env {
    my ($self) = @_;

    return (LD_PRELOAD => "$self->{dir}/clock.so", LLM_CLOCK => "$self->{dir}/clock");
}

# The file is changed in its place: it is mapped.
sub pass {
    my ($self, $seconds) = @_;
    my $mode = -e "$self->{dir}/clock" ? '+<' : '>';

    open my $fh, "$mode:raw", "$self->{dir}/clock" or die "$self->{dir}/clock: $!";
    print {$fh} pack 'q', $self->{ahead} += $seconds;
    close $fh or die $!;
    return;
}

1;
