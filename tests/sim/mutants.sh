#!/usr/bin/env bash
# Goal: the simulators notice each rule of the store, and of the coordinator of groups, that is broken
# on purpose (enum mr_mutant of storage/internal.h, enum group_mutant of control/group_internal.h).
# Method: the simulator runs with one of them until a seed fails; the table says which, and by what.
# Only a seed's failure that a simulator reports or an assertion that ends it counts: one that runs
# out of time is missed.
# Usage: mutants.sh store|group [SEEDS]
set -euo pipefail
cd "$(dirname "$0")"
build=${MR_BUILD:-../../build}/tests/sim
seeds=${2:-600}
missed=0
number=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

case $1 in
store) list=../../storage/internal.h:mr_mutant ;;
group) list=../../control/group_internal.h:group_mutant ;;
*) echo "mutants.sh: store or group, not $1" && exit 1 ;;
esac

printf '%-28s %-12s %s\n' "rule broken" "after seeds" "noticed by"
for name in $(sed -n "/^enum ${list#*:} {/,/^}/s/^ *MUTANT_\([A-Z_]*\),.*/\1/p" "${list%:*}" |
    grep -v '^NONE$'); do
    number=$((number + 1))
    case $1-$name in
    store-SWAP_*) sim=compact_sim_mutants arguments=() ;;
    store-*) sim=store_sim_mutants arguments=(--jobs 1) ;;
    group-*) sim=group_sim_mutants arguments=() ;;
    esac
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
if [ $number -eq 0 ]; then
    echo "no mutants in ${list%:*}"
    exit 1
fi
if [ $missed -gt 0 ]; then
    echo "$missed mutants were not noticed"
    exit 1
fi
