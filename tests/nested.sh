#!/usr/bin/env bash
# Builds the tree another way in a folder of its own and runs some of its tests there. Where one of
# these is skipped, so is the whole: what was not run is not passed.
# Usage: nested.sh FOLDER "CMAKE ARGUMENTS" "TARGETS" CTEST-ARGUMENTS...
set -euo pipefail
folder=$1 cmake_arguments=$2 targets=$3
shift 3
source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck disable=SC2086 # both are lists of words
cmake -S "$source" -B "$folder" -G Ninja $cmake_arguments >/dev/null
# shellcheck disable=SC2086
ninja -C "$folder" $targets | tail -n 3
output=$folder/nested.out
ctest --test-dir "$folder" --output-on-failure --no-tests=error "$@" | tee "$output"
if grep '\*\*\*Skipped' "$output" >/dev/null; then
    echo "skipped: a test of this build was"
    exit 77
fi
