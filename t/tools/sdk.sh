#!/bin/bash
# Tests with the real SDKs from npm: t/clients. Installs what its package-lock.json pins, then
# runs its *.t (Perl programs that start a gateway), or `npm test` when it has none.
set -eu
cd "$(dirname "$0")/../.."

if [ ! -e t/clients/package.json ]; then
    echo "t/clients is not there: nothing to do"
    exit 0
fi
# Some of the SDKs want Node 20. Where it is older (Debian 12 has 18), a newer one comes from npm
# as well, for these tests alone.
major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
omit=--omit=optional
if [ "$major" -lt 20 ]; then
    omit=
fi
stamp=t/clients/node_modules/.package-lock.json
if [ ! $stamp -nt t/clients/package-lock.json ] ||
    [ -z "$omit" -a ! -e t/clients/node_modules/node-linux-*/bin/node ]; then
    (cd t/clients && npm ci $omit --no-audit --no-fund --loglevel=error)
    touch $stamp
fi
if [ -z "$omit" ]; then
    for bin in t/clients/node_modules/node-linux-*/bin; do
        PATH=$PWD/$bin:$PATH
    done
fi

shopt -s nullglob
tests=(t/clients/*.t)
if [ ${#tests[@]} -gt 0 ]; then
    exec prove -It/lib "${tests[@]}"
fi
cd t/clients
exec npm test --silent
