#!/bin/bash
# Installs the Debian packages of the purposes named as arguments, those that are missing.
# Usage: deps.sh build|run|test|lint|sanitize ...
# Asks dpkg only, so that an ordinary user needs root (and the network) only if one is missing.
set -eu

packages_of() {
    case $1 in
    build) echo nginx nginx-dev dpkg-dev g++ make libhiredis-dev libsimdjson-dev libssl-dev zlib1g-dev ;;
    run) echo ca-certificates curl ;;
    test) echo ca-certificates clang-14 curl libclang-rt-14-dev libgtest-dev \
        libio-socket-ssl-perl openssl perl prometheus chromium redis-server "$(node_packages)" ;;
    lint) echo clang-format-14 perl ;;
    sanitize) echo ca-certificates dpkg-dev ;;
    *) echo "deps.sh: unknown purpose '$1'" >&2; exit 2 ;;
    esac
}

# Any Node.js from 18 on will do, wherever it came from.
node_packages() {
    local major
    major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p') || true
    if [ "${major:-0}" -lt 18 ]; then
        echo nodejs npm
    elif ! command -v npm > /dev/null; then
        echo npm
    fi
}

wanted=()
for purpose in "$@"; do
    list=$(packages_of "$purpose")
    read -ra names <<< "$list"
    wanted+=("${names[@]}")
done

missing=()
for name in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || true
    if [ "$state" != installed ]; then
        missing+=("$name")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing. As root, please:" >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# Debian starts a service when it is installed; nobody asked for an nginx on port 80.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
