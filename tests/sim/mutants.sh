#!/usr/bin/env bash
# Goal: the simulators notice each rule of the store that is broken on purpose (enum mr_mutant of
# storage/internal.h). Method: the simulator runs with one of them until a seed fails; the table
# says which. An argument gives the number of seeds to try (220).
# Not noticed so far, hence only shown: PLACE_BEFORE_SET_DURABLE needs write-behind to take a block
# in the very turn in which its set is written, while no older image of it is in the journal.
set -euo pipefail
cd "$(dirname "$0")"
build=${MR_BUILD:-../../build}/tests/sim
seeds=${1:-220}
missed=0
number=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

printf '%-36s %s\n' "rule broken" "noticed after seeds"
for name in $(sed -n '/^enum mr_mutant/,/^}/s/^ *MUTANT_\([A-Z_]*\),/\1/p' \
    ../../storage/internal.h | grep -v '^NONE$'); do
    number=$((number + 1))
    sim=store_sim_mutants
    case $name in SWAP_*) sim=compact_sim_mutants ;; esac
    if timeout 120 "$build/$sim" --mutant $number --seeds "$seeds" >"$out" 2>&1; then
        found=missed
        [ "$name" = PLACE_BEFORE_SET_DURABLE ] || missed=$((missed + 1))
    else
        found=$(sed -n 's/.*sim: seed \([0-9]*\):.*/\1/p' "$out" | tail -n 1)
    fi
    printf '%-36s %s\n' "$name" "${found:-stopped by an assertion or a signal}"
done
if [ $missed -gt 0 ]; then
    echo "$missed mutants were not noticed"
    exit 1
fi
