#!/usr/bin/env bash
# Goal: what loads the control plane in benchmarks gets through, and counts what it did.
# Method: every mode of mr_control_load for a moment; each figure of its line is above zero, and the
# broker has counted as many requests as the line tells at least.
. "$(dirname "$0")/lib.sh"
need python3 curl
SECONDS_EACH=0.2
ADMIN=127.0.0.1:$(free_port)
broker_start --shards 2 --set group.initial.rebalance.delay.ms=0 --set admin.listen="$ADMIN"

# figures MODE [OPTION]...: fails where a figure is not above zero.
figures() {
    "$MR_BUILD/mr_control_load" "$@" --bootstrap-server "$BROKER" --seconds $SECONDS_EACH \
        >"$WORK/line" ||
        fail "mr_control_load $*"
    python3 -c 'import json, sys
row = json.load(open(sys.argv[1]))
sys.exit(not row or any(value <= 0 for value in row.values()))' "$WORK/line" ||
        fail "mr_control_load $*: $(cat "$WORK/line")"
}

# counted API LEAST: fails where the broker has received fewer of these requests.
counted() {
    local count
    count=$(curl -sf "http://$ADMIN/metrics" | awk -v api="api=\"$1\"}" \
        'index($0, "millrace_requests_total{") == 1 && index($0, api) { n += $NF } END { print n + 0 }')
    [ "$count" -ge "$2" ] || fail "$count $1 requests, not $2: $(cat "$WORK/line")"
}

# told FIELD: how many that rate of the line makes, rounded down.
told() {
    python3 -c 'import json, sys
row = json.load(open(sys.argv[1]))
print(int(max(0, row[sys.argv[2]] - 1) * float(sys.argv[3])))' "$WORK/line" "$1" $SECONDS_EACH
}

figures groups --members 300 --groups 60 --connections 300
counted JoinGroup $((300 * 4))
counted Heartbeat "$(told heartbeats_s)"
counted OffsetCommit "$(told commits_s)"
figures storm --members 40 --groups 40
figures storm --members 20 --groups 20 --rounds 10
figures topics --partitions 3
counted DeleteTopics "$(told topics_s)"
figures fill --topics 1200
[ "$("$MR_BUILD/millrace" topic list --bootstrap-server "$BROKER" | grep -c '^fill-')" = 1200 ] ||
    fail "not all topics are there"
if "$MR_BUILD/mr_control_load" groups --members none 2>"$WORK/error"; then
    fail "a number that is none was taken"
fi
grep -q "'none'" "$WORK/error" || fail "what is wrong was not said"
broker_stop
pass
