#!/bin/bash
# The nginx of build/asan, as tests start it (see sanitize.sh). It goes under this script's name,
# so that the upgrade of a running nginx, which starts it without its environment, comes here too.
#   - nginx and the module both define ngx_module_names: no odr check.
#   - Tests measure memory: what was freed is given back soon.
#   - A test preloads a clock of its own, before the sanitizer.
#   - nginx -t ends without freeing its configuration, and so does a start that fails (a test puts
#     a file gives-up into the prefix then): leaks are looked for elsewhere.
tools=$(dirname "$0")
export ASAN_OPTIONS=detect_odr_violation=0:quarantine_size_mb=16:allocator_release_to_os_interval_ms=200
ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0
export LSAN_OPTIONS=suppressions=$tools/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1
previous=
for argument in "$@"; do
    if [ "$argument" = -t ] || { [ "$previous" = -p ] && [ -e "$argument/gives-up" ]; }; then
        ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
    fi
    previous=$argument
done
exec -a "$0" "$tools/../../build/asan/objs/nginx" "$@"
