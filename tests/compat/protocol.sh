#!/usr/bin/env bash
# Goal: the broker says on the wire what Apache Kafka 4.3.1 says, also to bad requests.
# Method: python/dialogue.py speaks raw bytes to a broker with 1 shard and to one with 4; each of its
# checks has a name. python/conversation.py compares the answers of every administrative API, in all
# versions, with those that Apache Kafka gave (conversation.golden; conversation.sh asks it again).
# Arguments: parts of the names of the checks to run.
. "$(dirname "$0")/lib.sh"
need python3
export PYTHONDONTWRITEBYTECODE=1

for shards in 1 4; do
    broker_start --shards $shards
    python3 "$COMPAT/python/dialogue.py" "${BROKER%:*}" "${BROKER#*:}" "$@" ||
        fail "checks have failed with $shards shards"
    broker_stop
    broker_start --shards $shards --set group.initial.rebalance.delay.ms=0
    python3 "$COMPAT/python/conversation.py" "${BROKER%:*}" "${BROKER#*:}" \
        "$COMPAT/python/conversation.golden" || fail "other answers than Kafka's"
    broker_stop
done
pass
