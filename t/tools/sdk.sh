#!/bin/bash
# Tests with the real SDKs from npm: t/clients. Installs what its package-lock.json pins, then
# runs its *.t (Perl programs that start a gateway), or `npm test` when it has none.
set -eu
cd "$(dirname "$0")/../.."

if [ ! -e t/clients/package.json ]; then
    echo "t/clients is not there: nothing to do"
    exit 0
fi
if [ ! t/clients/node_modules/.package-lock.json -nt t/clients/package-lock.json ]; then
    (cd t/clients && npm ci --no-audit --no-fund --loglevel=error)
    touch t/clients/node_modules/.package-lock.json
fi

shopt -s nullglob
tests=(t/clients/*.t)
if [ ${#tests[@]} -gt 0 ]; then
    exec prove -It/lib "${tests[@]}"
fi
cd t/clients
exec npm test --silent
