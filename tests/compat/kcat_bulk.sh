#!/usr/bin/env bash
# Goal: large numbers of records come back complete, unchanged and in order.
# Method: kcat writes 1,000,000 records of 100 B, partitioned by key, and 100,000 records of 10 KB
# to given partitions; then each partition is read from its beginning. Offset, key and value of each
# record, in order, make one checksum per partition, compared with that of what was written.
# Which partition a key goes to is the client's choice: it is taken from what was read, and each key
# must be found in one partition only.
# Arguments: pairs of SIZE:SHARDS, with SIZE `small` or `large`.
. "$(dirname "$0")/lib.sh"
need kcat python3
fetched

PARTITIONS=4
SMALL_COUNT=1000000
LARGE_COUNT=25000 # in each partition

kcat_produce() {
    kcat -b "$BROKER" -P -X acks=all -X queue.buffering.max.kbytes=262144 "$@"
}

# Reads one partition: offset, key and value, a line each.
kcat_consume() {
    local topic=$1 partition=$2
    kcat -b "$BROKER" -C -t "$topic" -p "$partition" -o beginning -e -q -f '%o %k:%s\n'
}

# 100 B in each value: a sequence number and text that changes with it. 10,000 keys.
small_records() {
    awk -v n=$SMALL_COUNT 'BEGIN {
        srand(1);
        for (i = 0; i < 64; i++) {
            text[i] = "";
            while (length(text[i]) < 89) text[i] = text[i] sprintf("%08x", int(rand() * 2 ^ 31));
            text[i] = substr(text[i], 1, 89);
        }
        for (i = 0; i < n; i++) printf "k%04d:%010d %s\n", (i * 7919) % 10000, i, text[i % 64];
    }'
}

small() {
    local shards=$1 partition expected found
    broker_start --shards "$shards" --set num.partitions=$PARTITIONS
    small_records >"$WORK/written"
    kcat_produce -t small -K : -l "$WORK/written"
    for ((partition = 0; partition < PARTITIONS; partition++)); do
        kcat_consume small $partition >"$WORK/read.$partition"
    done
    # What each partition should hold, by the keys that were found in it.
    for ((partition = 0; partition < PARTITIONS; partition++)); do
        expected=$(awk -F: -v of="$WORK/read.$partition" '
            BEGIN { while ((getline line < of) > 0) {
                split(line, part, /[ :]/); mine[part[2]] = 1; } }
            $1 in mine { print n++ + 0 " " $0 }' "$WORK/written" | sum)
        found=$(sum <"$WORK/read.$partition")
        same "small, $shards shards, partition $partition" "$expected" "$found"
    done
    same "small, $shards shards: records in all" $SMALL_COUNT \
        "$(cat "$WORK"/read.* | wc -l | tr -d ' ')"
    rm -f "$WORK"/read.* "$WORK/written"
    broker_stop
    echo "small, $shards shards: $SMALL_COUNT records of 100 B in order ($SECONDS s)"
}

# 10,240 B in each value.
large_records() {
    awk -v n=$LARGE_COUNT -v partition="$1" 'BEGIN {
        srand(partition + 1);
        while (length(text) < 20480) text = text sprintf("%08x", int(rand() * 2 ^ 31));
        for (i = 0; i < n; i++)
            printf "p%d:%010d %s\n", partition, i, substr(text, i % 10000 + 1, 10229);
    }'
}

large() {
    local shards=$1 partition expected found
    broker_start --shards "$shards" --set num.partitions=$PARTITIONS
    for ((partition = 0; partition < PARTITIONS; partition++)); do
        large_records $partition | kcat_produce -t large -p $partition -K :
    done
    for ((partition = 0; partition < PARTITIONS; partition++)); do
        expected=$(large_records $partition | awk '{ print NR - 1 " " $0 }' | sum)
        found=$(kcat_consume large $partition | sum)
        if [ "$expected" != "$found" ]; then
            echo "--- expected (<) and found (>), offset and start of each record:"
            diff <(large_records $partition | awk '{ print NR - 1 " " $0 }' | cut -c1-40) \
                <(kcat_consume large $partition | cut -c1-40) | head -n 40 || true
        fi
        same "large, $shards shards, partition $partition" "$expected" "$found"
    done
    broker_stop
    echo "large, $shards shards: $((LARGE_COUNT * PARTITIONS)) records of 10 KB in order ($SECONDS s)"
}

for run in "$@"; do
    case $run in
    small:*) small "${run#small:}" ;;
    large:*) large "${run#large:}" ;;
    *) fail "unknown run $run" ;;
    esac
done
pass
