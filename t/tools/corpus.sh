#!/bin/bash
# Replays the recordings of real traffic in CORPUS through the translators. They are not part of
# the repository: without them this fails, so that nobody takes "not run" for "passed".
set -eu
cd "$(dirname "$0")/../.."

corpus=${CORPUS:-../shared/corpus}
if [ ! -d "$corpus" ]; then
    echo "There are no recordings in $corpus (CORPUS=directory names another place)" >&2
    exit 1
fi
if [ ! -e t/corpus/corpus.cpp ]; then
    echo "The program that replays recordings is missing: t/corpus/corpus.cpp" >&2
    exit 1
fi
