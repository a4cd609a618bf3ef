#!/usr/bin/env bash
# Goal: every compression codec and every kind of acknowledgement works, with 1 shard and with 4.
# Method: kcat writes 20,000 records to 3 partitions in turn; each partition is read back and
# compared, offset, key and value, by checksum; and the batches in it are looked at on the wire, for
# a client may leave a codec out without a word. Then topics with a codec of their own keep their batches
# in it.
# Arguments: `short` (each codec with acks=all; each acks and the idempotent producer with lz4) or
# `full` (the product).
. "$(dirname "$0")/lib.sh"
need kcat python3
export PYTHONDONTWRITEBYTECODE=1

COUNT=20000
PARTITIONS=3

records() {
    awk -v n=$COUNT -v of=$PARTITIONS -v partition="$1" 'BEGIN {
        for (i = partition; i < n; i += of)
            printf "key-%d:%08d the quick brown fox jumps over the lazy dog %d\n", i % 97, i, i * i;
    }'
}

ends_at() {
    kcat -b "$BROKER" -Q -t "$1:$2:-1" | grep -q "offset $3\$"
}

# one_run SHARDS CODEC ACKS, with ACKS 0, 1, all or `idempotent`.
one_run() {
    local shards=$1 codec=$2 acks=$3 topic=$2-$3 partition count expected found
    local settings=(-X "acks=$3")
    if [ "$acks" = idempotent ]; then
        settings=(-X acks=all -X enable.idempotence=true)
    fi
    for ((partition = 0; partition < PARTITIONS; partition++)); do
        # Lingering makes batches large enough to be worth compressing.
        records $partition | kcat -b "$BROKER" -P -t "$topic" -p $partition -K : -z "$codec" \
            -X linger.ms=20 "${settings[@]}"
    done
    for ((partition = 0; partition < PARTITIONS; partition++)); do
        count=$(records $partition | wc -l)
        wait_until 20 "$topic [$partition] ends at $count" ends_at "$topic" $partition "$count"
        expected=$(records $partition | awk '{ print NR - 1 " " $0 }' | sum)
        found=$(kcat -b "$BROKER" -C -t "$topic" -p $partition -o beginning -e -q \
            -f '%o %k:%s\n' | sum)
        same "$topic, $shards shards, partition $partition" "$expected" "$found"
    done
    python3 "$COMPAT/python/codecs_of.py" "${BROKER%:*}" "${BROKER#*:}" "$topic" $PARTITIONS \
        "$codec" || fail "$topic, $shards shards: not the batches that were meant"
}

# kept_in CODEC NAME: a topic that keeps its batches in a codec, NAME in the producer's list, whatever
# they come in.
kept_in() {
    local topic=kept-$1 codec
    quiet "$MR_BUILD/millrace" topic create "$topic" --partitions 1 --config "compression.type=$1" \
        --bootstrap-server "$BROKER"
    for codec in none gzip lz4; do
        records 0 | kcat -b "$BROKER" -P -t "$topic" -p 0 -K : -z $codec -X linger.ms=20
    done
    same "$topic" "$(for codec in none gzip lz4; do records 0; done | awk '{ print NR - 1 " " $0 }' | sum)" \
        "$(kcat -b "$BROKER" -C -t "$topic" -p 0 -o beginning -e -q -f '%o %k:%s\n' | sum)"
    python3 "$COMPAT/python/codecs_of.py" "${BROKER%:*}" "${BROKER#*:}" "$topic" 1 "$2" ||
        fail "$topic is kept in other codecs"
}

broker_start --shards 1
kept_in uncompressed none
for codec in gzip snappy lz4 zstd; do
    kept_in $codec $codec
done
broker_stop
for shards in 1 4; do
    broker_start --shards $shards --set num.partitions=$PARTITIONS
    case ${1:-short} in
    short)
        for codec in none gzip snappy lz4 zstd; do
            one_run $shards $codec all
        done
        for acks in 0 1 idempotent; do
            one_run $shards lz4 $acks
        done
        ;;
    full)
        for codec in none gzip snappy lz4 zstd; do
            for acks in 0 1 all idempotent; do
                one_run $shards $codec $acks
            done
        done
        ;;
    *) fail "unknown run $1" ;;
    esac
    broker_stop
    echo "$shards shards: every run complete and in order ($SECONDS s)"
done
pass
