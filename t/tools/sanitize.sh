#!/bin/bash
# An nginx with AddressSanitizer, our module in it with UndefinedBehaviorSanitizer as well, and
# tests on them. Usage: sanitize.sh build | sanitize.sh run COMMAND...
# UndefinedBehaviorSanitizer is for our objects only: nginx itself would not start with it.
# NGX_DEBUG_PALLOC makes each pool allocation a malloc of its own, so that a write past its end
# is seen. Everything is in build/asan; nginx's own objects are compiled once.
set -eu
cd "$(dirname "$0")/../.."

root=$PWD
dir=$root/build/asan
objs=$dir/objs

# --- the source of Debian's nginx, with its security patches ----------------------------------

# The sources that apt knows, newest first.
versions() {
    apt-cache madison nginx | awk -F ' *[|] *' '/ Sources$/ {print $2}' | sort -rV | uniq
}

# Debian's own entries once more, for sources.
add_source_entries() {
    local list=/etc/apt/sources.list.d
    if [ "$(id -u)" != 0 ]; then
        echo "apt has no deb-src entry. As root, please: make sanitize, or add one" >&2
        exit 1
    fi
    if [ -e $list/debian.sources ]; then
        sed 's/^Types:.*/Types: deb-src/' $list/debian.sources > $list/debian-src.sources
    fi
    if [ -s /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > $list/debian-src.list
    fi
    apt-get update -q
}

# The newest version may be listed and yet not be on the mirror: then an older one serves as well.
fetch_source() {
    local version unpacked
    if compgen -G "$dir/nginx-*/configure" > /dev/null; then
        return
    fi
    if [ -z "$(versions)" ]; then
        add_source_entries
    fi
    mkdir -p "$dir"
    for version in $(versions); do
        echo "nginx source, $version"
        if (cd "$dir" && apt-get source -q --only-source "nginx=$version" > fetch.log 2>&1); then
            return
        fi
        tail -3 "$dir/fetch.log"
        unpacked=$(compgen -G "$dir/nginx-*/") && rm -rf "$unpacked"
    done
    echo "The source of nginx cannot be fetched" >&2
    exit 1
}

# --- building ---------------------------------------------------------------------------------

# As in the Makefile: configure again when a source file comes or goes, and keep what did not
# change, so that nginx is not compiled anew for it.
configure() {
    local source file
    source=$(echo "$dir"/nginx-*/configure)
    source=${source%/configure}
    { echo "$source"; cat config config.make t/tools/sanitize.sh
        find ngx_llm_module translators -name '*.cpp' | LC_ALL=C sort; } > "$dir/inputs.new"
    if [ -e "$objs/Makefile" ] && cmp -s "$dir/inputs.new" "$dir/inputs"; then
        return
    fi
    for file in ngx_auto_config.h ngx_auto_headers.h; do
        if [ -e "$objs/$file" ]; then cp -p "$objs/$file" "$objs/$file.old"; fi
    done
    (cd "$source" &&
        LLM_CXXFLAGS="-fsanitize=undefined -fno-sanitize-recover=undefined -D_GLIBCXX_ASSERTIONS -DLLM_CHECK_LOCKS" \
        ./configure --with-compat --with-debug --with-threads --with-http_ssl_module \
            --with-http_v2_module --with-http_realip_module --with-http_stub_status_module \
            --with-http_sub_module --with-http_auth_request_module \
            --with-cc-opt="-O1 -g1 -fno-omit-frame-pointer -fsanitize=address -DNGX_DEBUG_PALLOC=1" \
            --with-ld-opt="-fsanitize=address,undefined" \
            --add-dynamic-module="$root" --builddir="$objs") > "$dir/configure.log" 2>&1 ||
        { tail -20 "$dir/configure.log"; rm -f "$objs/Makefile"; exit 1; }
    for file in ngx_auto_config.h ngx_auto_headers.h; do
        if cmp -s "$objs/$file.old" "$objs/$file"; then mv "$objs/$file.old" "$objs/$file"; fi
    done
    mv "$dir/inputs.new" "$dir/inputs"
}

build() {
    local source
    mkdir -p "$dir"
    exec 9> "$dir/lock"
    flock 9
    fetch_source
    configure
    source=$(echo "$dir"/nginx-*/configure)
    (cd "${source%/configure}" &&
        make -j"$(nproc)" -s -f "$objs/Makefile" binary modules > "$dir/make.log" 2>&1) ||
        { tail -40 "$dir/make.log"; exit 1; }
    echo "Built build/asan/objs/nginx and its module"
}

# --- running ----------------------------------------------------------------------------------

run() {
    export NGINX_BINARY=$root/t/tools/asan_nginx.sh
    export LLM_MODULE=$objs/ngx_http_llm_module.so
    export LLM_SLOW=${LLM_SLOW:-4}
    export LLM_SANITIZED=1
    exec "$@"
}

case ${1:-} in
build) build ;;
run) shift; run "$@" ;;
*) echo "usage: sanitize.sh build | sanitize.sh run COMMAND..." >&2; exit 2 ;;
esac
