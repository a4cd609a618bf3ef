#!/usr/bin/env bash
# Goal: what loads the control plane in benchmarks gets through, and counts what it did.
# Method: every mode of mr_control_load for a moment; each figure of its line is above zero, and the
# broker has counted as many group requests as the line tells at least.
. "$(dirname "$0")/lib.sh"
need python3
broker_start --shards 2 --set group.initial.rebalance.delay.ms=0

# figures MODE [OPTION]...: fails where a figure is not above zero.
figures() {
    "$MR_BUILD/mr_control_load" "$@" --bootstrap-server "$BROKER" --seconds 0.2 >"$WORK/line" ||
        fail "mr_control_load $*"
    python3 -c 'import json, sys
row = json.load(open(sys.argv[1]))
sys.exit(not row or any(value <= 0 for value in row.values()))' "$WORK/line" ||
        fail "mr_control_load $*: $(cat "$WORK/line")"
}

figures groups --members 40 --groups 8 --connections 10
figures storm --members 40 --groups 40
figures storm --members 20 --groups 20 --rounds 10
figures topics --partitions 3
figures fill --topics 1200
[ "$("$MR_BUILD/millrace" topic list --bootstrap-server "$BROKER" | grep -c '^fill-')" = 1200 ] ||
    fail "not all topics are there"
if "$MR_BUILD/mr_control_load" groups --members none 2>"$WORK/error"; then
    fail "a number that is none was taken"
fi
grep -q "'none'" "$WORK/error" || fail "what is wrong was not said"
broker_stop
pass
