#!/bin/bash
# The nginx of build/asan, as tests start it (see sanitize.sh). `nginx -t` ends without freeing
# its configuration: leaks are looked for where a master or a worker ends.
for argument in "$@"; do
    if [ "$argument" = -t ]; then
        export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
    fi
done
exec "$(dirname "$0")/../../build/asan/objs/nginx" "$@"
