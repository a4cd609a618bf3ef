#!/usr/bin/env bash
# Goal: clients that mean harm, or that come in numbers, stop no other client and not the broker.
# Method: hostile.py, against brokers with 1 shard and with 2. Arguments: parts of checks' names.
. "$(dirname "$0")/lib.sh"
need python3
export PYTHONDONTWRITEBYTECODE=1

for shards in 1 2; do
    broker_start --shards $shards
    python3 "$COMPAT/hostile.py" "${BROKER%:*}" "${BROKER#*:}" "$@" ||
        fail "checks have failed with $shards shards"
    begun=$SECONDS
    broker_stop # some of its connections are full of waiting fetches
    [ $((SECONDS - begun)) -le 3 ] || fail "stopping took $((SECONDS - begun)) s"
done
pass
