# llm_zone state=FILE: what was made at run time is there again after a restart and a reload; a torn
# end of the journal is dropped, any other damage keeps nginx from starting with less than there was,
# and so does a file that is empty or gone and cannot be.

use strict;
use warnings;
use LLM::Test;

my $t = LLM::Test->new(workers => 2);
my $dir = $t->dir . '/state';
mkdir $dir or die "$dir: $!";
chmod 0777, $dir;
my $state = "$dir/llm.state";

sub conf {
    my (%o) = @_;
    my $size = $o{size} || '4m';
    return <<"END";
    llm_zone $size state=$state;
    llm_provider mock { }
    llm_model m { deployment mock/m; }
    llm_master_key sk-master;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { llm_pass models; }
        location /admin/ { llm_admin; }
    }
END
}

sub admin {
    my ($path, $body) = @_;
    my @auth = (headers => { 'x-api-key' => 'sk-master' });
    my $r = $body ? $t->post("/admin$path", $body, @auth) : $t->get("/admin$path", @auth);

    is($r->{status}, 200, $path) or diag($r->{body});
    return decode_json($r->{body});
}

sub opens {
    my ($key) = @_;
    return $t->post('/v1/chat/completions', { model => 'm',
        messages => [{ role => 'user', content => 'x' }] },
        headers => { 'x-api-key' => $key })->{status} == 200;
}

sub contents { return -e $_[0] ? $t->slurp($_[0]) : '' }

sub write_state {
    my ($file, $bytes) = @_;
    open my $out, '>', $file or die "$file: $!";
    print $out $bytes;
    close $out or die "$file: $!";
    chmod 0666, $file;
    return;
}

$t->http_conf(conf())->start;
my $one = admin('/key/generate', { key_alias => 'one', max_budget => 1.25,
    budget_duration => '12h', model_max_parallel_requests => { m => 3 }, model_rpm_limit => { m => 1000 },
    model_max_budget => { m => { budget_limit => 0.5, time_period => '1d' } } })->{key};
my $two = admin('/key/generate', { key_alias => 'two' })->{key};
admin('/key/block', { key => $two });
my $three = admin('/key/generate', {})->{key};
admin('/key/delete', { keys => [$three] });
admin('/team/new', { team_id => 'crew', models => ['m'] });
admin('/customer/new', { user_id => 'c1', max_budget => 2 });
my $list = admin('/key/list?return_full_object=true');

sub is_all_there {
    my ($what) = @_;
    subtest $what => sub {
        ok(opens($one), 'a key');
        ok(!opens($two), 'a blocked one');
        ok(!opens($three), 'not one that was deleted');
        is_deeply(admin('/key/list?return_full_object=true'), $list, 'all that is known of them');
        is(admin('/team/info?team_id=crew')->{team_info}{models}[0], 'm', 'a team');
        is(admin('/customer/info?end_user_id=c1')->{max_budget}, 2, 'a customer');
    };
    return;
}

is_all_there('at first');
unlike(contents("$state.journal"), qr/\Q$one\E/, 'the file has no key');
is((stat "$state.journal")[2] & 0077, 0, 'and is for its owner only');
$t->reload;
is_all_there('after a reload');
$t->stop;
$t->start;
is_all_there('after a restart');
$t->stop;

my $journal = contents("$state.journal");
my @lines = split /(?<=\n)/, $journal;
cmp_ok(scalar @lines, '>=', 7, 'a line for each change');

subtest 'a torn last line is dropped' => sub {
    # A process leaves a beginning, a machine maybe a file that has grown, with sectors that were not
    # written and some behind them that were.
    for my $torn (substr($lines[-1], 0, 30), 'x', "\0" x 50, substr($lines[-1], 0, -1),
        "\0" x 1100 . "}}]\n", substr($lines[-1], 0, 30) . "\0" x 1100 . "}}]\n") {
        write_state("$state.journal", $journal . $torn);
        $t->start;
        ok(opens($one), 'what was acknowledged is there');
        $t->log_like(qr/\[warn\].*the last line of .* was cut off by a crash/, 'and it is said');
        my $more = admin('/key/generate', {})->{key};
        $t->stop;
        $t->start;
        ok(opens($more), 'what comes behind it is not lost');
        admin('/key/delete', { keys => [$more] });
        $t->stop;
    }
};

subtest 'whatever a crash has left of the journal starts' => sub {
    my $end = length $journal;
    my @cuts = (0, 1, 9, $end - 1, length $lines[0], length($lines[0]) - 1, map { int rand $end } 1 .. 8);
    for my $cut (@cuts) {
        write_state("$state.journal", substr $journal, 0, $cut);
        is(($t->config_test(conf()))[0], 0, "the first $cut bytes");
    }
    write_state("$state.journal", join '', $lines[0], "\0" x 1100, @lines[1 .. $#lines]);
    is(($t->config_test(conf()))[0], 1, 'but not one with a hole before its last line');
    write_state("$state.journal", $journal);
};

subtest 'any other damage is an error' => sub {
    my $broken = $journal;
    substr($broken, 40, 1) = substr($broken, 40, 1) eq 'a' ? 'b' : 'a';
    my $flipped = $journal;
    substr($flipped, -20, 1) = chr(1 ^ ord substr $flipped, -20, 1);
    my @cases = (['.journal', $broken, 'a changed byte'],
        ['.journal', $flipped, 'one in the last line'],
        ['.journal', substr($journal, 0, -1) . "\x0b", 'the last one of all'],
        ['.journal', "${journal}00000000 []\n", 'a wrong sum at the end'],
        ['.journal', "$journal\0\n", 'a line of nothing'],
        ['.journal', join('', @lines[0, 1], "junk\n", @lines[2 .. $#lines]), 'junk in between'],
        ['', 'junk', 'junk in the snapshot'], ['', "junk\n", 'a line of junk'],
        ['', $lines[0], 'no header'], ['', "00000000 {}\n", 'a wrong sum']);
    for my $case (@cases) {
        my ($ending, $bytes, $what) = @$case;
        write_state("$state.journal", $journal);
        write_state("$state$ending", $bytes);
        my ($code, $output) = $t->config_test(conf());
        is($code, 1, $what);
        like($output, qr/\[emerg\].*the state in "\Q$state$ending\E" is (?:damaged.*restore it, or remove both|not from this)/,
            'says so') or diag($output);
        is(contents("$state$ending"), $bytes, 'and leaves it as it is');
        unlink $state;
    }
    write_state("$state.journal", $journal);
    unlink "$state.new";
    mkdir $state;
    my ($code, $output) = $t->config_test(conf());
    is($code, 1, 'a directory in its place');
    like($output, qr{\[emerg\].*"\Q$state\E" of state= is a directory in .*\d$}m, 'says so');
    rmdir $state;
};

subtest 'a snapshot takes the place of a long journal' => sub {
    $t->start;
    my $padding = 'x' x 15_000;
    for (1 .. 80) {
        admin('/key/update', { key => $one, metadata => { n => $_, padding => $padding } });
    }
    $t->wait_for(sub { -s $state && -s "$state.journal" < 500_000 }, 20, 'a snapshot');
    admin('/key/update', { key => $one, metadata => { n => 81 } });
    $t->stop;
    $t->start;
    is(admin("/key/info?key=$one")->{info}{metadata}{n}, 81, 'with all there was');
    ok(!opens($three), 'and nothing that was deleted');
    ok($t->wait_for(sub { -s "$state.spend" }, 5, 'what was spent'), 'there is a section, too');
    $t->stop;
};

subtest 'a file that is empty or gone' => sub {
    my %all = map { $_ => contents("$state$_") } '', '.journal', '.spend';
    my $refused = sub {
        my ($ending, $what, $remedy) = @_;
        my ($code, $output) = $t->config_test(conf());
        is($code, 1, "$state$ending $what");
        like($output, qr/\[emerg\].*the state in "\Q$state$ending\E" is $what.*restore it, or $remedy/,
            'says so') or diag($output);
    };
    my $both = qr/remove both "\Q$state\E" and "\Q$state.journal\E"/;
    write_state($state, '');
    $refused->('', 'empty', $both);
    unlink $state;
    $refused->('', 'missing', $both);
    # The journal as an older version left it, which said nothing of the snapshot.
    write_state($state, $all{''});
    write_state("$state.journal", '');
    $t->start;
    $t->stop;
    unlink $state;
    $refused->('', 'missing', $both);
    write_state($state, $all{''});
    write_state("$state.journal", $all{'.journal'});
    write_state("$state.spend", '');
    $refused->('.spend', 'empty', 'remove it');
    unlink "$state.spend";
    $t->start;
    is(admin("/key/info?key=$one")->{info}{metadata}{n}, 81, 'without the section: what else there was');
    $t->stop;
    unlink "$state.journal";
    $t->start;
    is(admin("/key/info?key=$one")->{info}{metadata}{n} > 0, 1, 'a copy of the snapshot alone');
    $t->log_like(qr/\[warn\].*"\Q$state.journal\E" is missing/, 'and it is said');
    $t->stop;

    # To begin anew, maybe with a file that somebody has made for us.
    unlink $state, "$state.journal";
    write_state($state, '');
    $t->start;
    ok(!opens($one), 'both removed: it begins anew');
    my $new = admin('/key/generate', {})->{key};
    $t->stop;
    $t->start;
    ok(opens($new), 'and goes on');
    $t->stop;
    write_state("$state$_", $all{$_}) for keys %all;
};

subtest 'a zone that is too small' => sub {
    my $line = contents("$state.journal");
    $t->http_conf(conf(size => '4m'))->start;
    my $status = 200;
    my $count = 0;
    while ($status == 200 && $count++ < 400) {
        $status = $t->post('/admin/key/generate', { metadata => { x => 'y' x 15_000 } },
            headers => { 'x-api-key' => 'sk-master' })->{status};
    }
    is($status, 507, 'says that it is full');
    ok(opens($one), 'and goes on');
    $t->log_like(qr/\[error\].*llm_zone is full/, 'in the log, too');
    $t->stop;
    my ($code, $output) = $t->config_test(conf(size => '2m'));
    is($code, 1, 'the state does not fit');
    like($output, qr/needs a larger size/, 'says so');
};

subtest 'what the configuration has lost' => sub {
    unlink glob "$state*";
    my $more = 'llm_model gone { deployment mock/gone; } llm_team left { }';
    $t->http_conf(conf() . $more)->start;
    my $key = admin('/key/generate', { models => ['gone'], team_id => 'left', aliases => { x => 'gone' },
        model_rpm_limit => { gone => 5 } })->{key};
    admin('/team/new', { team_id => 'tt', models => ['gone'] });
    admin('/user/new', { user_id => 'uu', models => ['gone'], auto_create_key => \0 });
    $t->stop;
    $t->http_conf(conf())->start;
    is(admin('/key/update', { key => $key, max_budget => 5 })->{max_budget}, 5, 'a key goes on');
    $key = admin('/key/regenerate', { key => $key })->{key};
    ok($key, 'and gets another value');
    admin('/team/update', { team_id => 'tt', rpm_limit => 5 });
    admin('/user/update', { user_id => 'uu', blocked => \1 });
    for my $body ({ models => ['gone', 'nosuch'] }, { aliases => { x => 'nosuch' } }, { team_id => 'nosuch' }) {
        my $r = $t->post('/admin/key/update', { key => $key, %$body }, headers => { 'x-api-key' => 'sk-master' });
        is($r->{status}, 400, 'what is new must be there');
    }
    $t->stop;
};

$t->done;
