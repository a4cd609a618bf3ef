#!/usr/bin/env bash
# Goal: the stand-in finds lost records where there are some, or it proves nothing. Method: QEMU's drive
# takes forced writes for plain ones; a broker that trusts them acknowledges what a cut takes away.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

status=0
output=$(./standin.sh 8 "durable by FUA" --set drives.flush=fua 2>&1) || status=$?
echo "$output"
case "$status,$output" in
77,*) exit 77 ;;
0,*) echo "FAILED: nothing was lost, or nobody has noticed" ;;
*'is bad but set'* | *', is missing; '* | *'acknowledged was up to'* | *'cannot be opened'*)
    echo "noticed"
    exit 0
    ;;
*) echo "FAILED: ended for another reason" ;;
esac
exit 1
