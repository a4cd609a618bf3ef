#!/usr/bin/env bash
# Goal: clients over their quotas are held to them (KIP-219), also with connections on several
# shards, and others are not.
# Method: python/quotas.py sends and reads as fast as it may for the ten seconds of the quotas'
# window and counts bytes; with 1 shard and with 4, side by side.
. "$(dirname "$0")/lib.sh"
need python3
export PYTHONDONTWRITEBYTECODE=1

broker_start --shards 4
four=$BROKER CHILDREN+=("$BROKER_PID")
cp "$WORK/broker.log" "$WORK/four.log"
WORK_OF_FOUR=$WORK
mkdir "$WORK/one"
WORK=$WORK/one
broker_start --shards 1
python3 "$COMPAT/python/quotas.py" "${four%:*}" "${four#*:}" >"$WORK/four.out" 2>&1 &
judge=$!
python3 "$COMPAT/python/quotas.py" "${BROKER%:*}" "${BROKER#*:}" || fail "with 1 shard"
wait $judge || { cat "$WORK/four.out"; fail "with 4 shards"; }
cat "$WORK/four.out"
broker_stop
WORK=$WORK_OF_FOUR
pass
