#!/usr/bin/env bash
# Goal: the simulators notice each rule of the store that is broken on purpose (enum mr_mutant of
# storage/internal.h). Method: the simulator runs with one of them until a seed fails; the table says
# which, and by what. Only a seed's failure that a simulator reports or an assertion that ends it
# counts: one that runs out of time is missed. An argument gives the number of seeds to try.
set -euo pipefail
cd "$(dirname "$0")"
build=${MR_BUILD:-../../build}/tests/sim
seeds=${1:-600}
missed=0
number=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

printf '%-28s %-12s %s\n' "rule broken" "after seeds" "noticed by"
for name in $(sed -n '/^enum mr_mutant/,/^}/s/^ *MUTANT_\([A-Z_]*\),.*/\1/p' \
    ../../storage/internal.h | grep -v '^NONE$'); do
    number=$((number + 1))
    sim=store_sim_mutants arguments=(--jobs 1)
    case $name in SWAP_*) sim=compact_sim_mutants arguments=() ;; esac
    status=0
    timeout 240 "$build/$sim" --mutant $number --seeds "$seeds" "${arguments[@]}" >"$out" 2>&1 ||
        status=$?
    found=$(sed -n 's/.*sim: seed \([0-9]*\): .*/\1/p' "$out" | tail -n 1)
    by=$(sed -n 's/.*sim: seed [0-9]*: \(.*\)/\1/p' "$out" | tail -n 1)
    if grep -q 'assertion failed' "$out"; then
        by=$(grep 'assertion failed' "$out" | tail -n 1)
    fi
    if [ $status -eq 0 ] || [ $status -eq 124 ] || [ -z "$found" ]; then
        found=missed by="status $status"
        missed=$((missed + 1))
    fi
    printf '%-28s %-12s %.100s\n' "$name" "$found" "$by"
done
if [ $missed -gt 0 ]; then
    echo "$missed mutants were not noticed"
    exit 1
fi
