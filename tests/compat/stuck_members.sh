#!/usr/bin/env bash
# Goal: 10,000 members in 1,000 groups are served, and members that hang stall nobody else's group.
# Method: stuck_members.py: in a tenth of the groups one member falls silent during a rebalance. All
# other groups settle while those wait; then those settle without it; no member loses its place.
# Usage: stuck_members.sh MEMBERS GROUPS SESSION_MS
. "$(dirname "$0")/lib.sh"
need python3
ulimit -n "$(ulimit -Hn)"
# Every connection has two ends, the broker's in a process of its own.
[ "$(ulimit -n)" -gt $(($1 + 500)) ] || skip "only $(ulimit -n) open files are allowed"
broker_start --shards 2 --set max.connections="$1" --set memory.bytes=2147483648 \
    --set group.initial.rebalance.delay.ms=3000 # all are there in the first generation
timeout 240 python3 "$COMPAT/python/stuck_members.py" "$BROKER" "$@" || fail "see above"
broker_stop
pass
