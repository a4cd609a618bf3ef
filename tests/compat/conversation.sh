#!/usr/bin/env bash
# Goal: what the other tests take for the answers of Apache Kafka 4.3.1 are its answers.
# Method: python/conversation.py talks to Apache Kafka, which this test starts, and compares with
# python/conversation.golden. `conversation.sh record` writes that file anew.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need java python3
export PYTHONDONTWRITEBYTECODE=1

golden=$COMPAT/python/conversation.golden
fetch_jars $NEW
start_kafka group.initial.rebalance.delay.ms=0
wait_until 60 "Apache Kafka serves" kafka_serves
if [ "${1:-}" = record ]; then
    python3 "$COMPAT/python/conversation.py" "${KAFKA%:*}" "${KAFKA#*:}" >"$WORK/golden"
    mv "$WORK/golden" "$golden"
else
    python3 "$COMPAT/python/conversation.py" "${KAFKA%:*}" "${KAFKA#*:}" "$golden" kafka ||
        fail "Apache Kafka answers otherwise"
fi
pass
