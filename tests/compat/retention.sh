#!/usr/bin/env bash
# Goal: a running broker keeps the limits of its topics: retention.bytes and retention.ms move the
# log start, cleanup.policy=compact leaves the last record of each key, and a consumer from the
# beginning ends with the right map; after a restart, too.
# Method: kcat writes to topics with small segments while the checks run every few hundred ms.
. "$(dirname "$0")/lib.sh"
need kcat python3

millrace=$MR_BUILD/millrace
SETTINGS=(--set log.retention.check.interval.ms=300 --set log.cleaner.backoff.ms=200)
KEYS=500
ROUNDS=120

# start_of TOPIC: its first offset.
start_of() {
    kcat -b "$BROKER" -Q -t "$1:0:-2" | sed -n 's/.*offset //p'
}

started_behind() {
    [ "$(start_of "$1")" -gt "$2" ]
}

# Round by round all keys, each with a value of about 100 bytes; in the last one every tenth key
# gets a tombstone.
records() {
    awk -v keys=$KEYS -v rounds=$ROUNDS 'BEGIN {
        for (r = 0; r < rounds; r++)
            for (k = 0; k < keys; k++)
                if (r == rounds - 1 && k % 10 == 0)
                    printf "key-%d:\n", k;
                else
                    printf "key-%d:round-%d-of-key-%d-%080d\n", k, r, k, r * k;
    }'
}

# The map that a consumer from the beginning ends with, and how many records it saw.
consumed_map() {
    kcat -b "$BROKER" -C -t compacted -p 0 -o beginning -e -q -f '%k=%s\n' -Z |
        python3 -c '
import sys
table, count = {}, 0
for line in sys.stdin:
    key, _, value = line.rstrip("\n").partition("=")
    count += 1
    table.pop(key, None)
    if value != "NULL":
        table[key] = value
print("\n".join(sorted(f"{k}={v}" for k, v in table.items())))
print(count, file=sys.stderr)' 2>"$WORK/count"
}

expected_map() {
    awk -v keys=$KEYS -v r=$((ROUNDS - 1)) 'BEGIN {
        for (k = 0; k < keys; k++)
            if (k % 10) printf "key-%d=round-%d-of-key-%d-%080d\n", k, r, k, r * k;
    }' | sort
}

few_are_left() {
    consumed_map >"$WORK/map"
    [ "$(cat "$WORK/count")" -lt $((KEYS * ROUNDS / 2)) ]
}

broker_start "${SETTINGS[@]}"
at="--bootstrap-server $BROKER"
# shellcheck disable=SC2086 # $at is two words
{
    "$millrace" topic create by-size $at --config segment.bytes=1048576 \
        --config retention.bytes=2097152 >/dev/null
    "$millrace" topic create by-time $at --config retention.ms=500 >/dev/null
    "$millrace" topic create compacted $at --config cleanup.policy=compact \
        --config segment.bytes=1048576 --config min.cleanable.dirty.ratio=0.1 >/dev/null
}
records | kcat -b "$BROKER" -P -t by-size -p 0 -K : -X batch.size=65536
wait_until 20 "retention.bytes has taken segments" started_behind by-size 0
head -c 100000 /dev/zero | tr '\0' x | fold -w 100 | kcat -b "$BROKER" -P -t by-time -p 0
wait_until 20 "retention.ms has taken everything" started_behind by-time 999
records | kcat -b "$BROKER" -P -t compacted -p 0 -K : -Z -X batch.size=65536
wait_until 30 "compaction has left few records" few_are_left
diff <(expected_map) "$WORK/map" >/dev/null || fail "the map of a consumer differs"
size=$(start_of by-size)
kill -KILL "$BROKER_PID"
wait "$BROKER_PID" 2>/dev/null || true
BROKER_PID=
broker_again "${SETTINGS[@]}"
[ "$(start_of by-size)" -ge "$size" ] || fail "the log start fell from $size to $(start_of by-size)"
few_are_left || fail "compacted records are there again"
diff <(expected_map) "$WORK/map" >/dev/null || fail "the map of a consumer differs after a kill"
broker_stop

# A broker that compacts once a day is told to do so all the time.
broker_start --set log.retention.check.interval.ms=86400000 --set log.cleaner.backoff.ms=86400000
"$millrace" topic create compacted --bootstrap-server "$BROKER" --config cleanup.policy=compact \
    --config segment.bytes=1048576 --config min.cleanable.dirty.ratio=0.1 >/dev/null
records | kcat -b "$BROKER" -P -t compacted -p 0 -K : -Z -X batch.size=65536
few_are_left && fail "it was compacted too early"
"$millrace" config alter broker --bootstrap-server "$BROKER" \
    --config log.cleaner.backoff.ms=200 >/dev/null
wait_until 30 "compaction has begun" few_are_left
broker_stop
pass
