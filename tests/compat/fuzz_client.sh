#!/usr/bin/env bash
# Goal: whatever well-framed requests a client sends, the broker neither ends nor stops answering, and
# what it answers is what the schema says.
# Method: python/fuzz_client.py for so many seconds; in the sanitized build its reports end the broker.
# Usage: fuzz_client.sh SECONDS [SEED]
. "$(dirname "$0")/lib.sh"
need python3
export PYTHONDONTWRITEBYTECODE=1

broker_start --shards 2 --set admin.listen=
python3 "$COMPAT/python/fuzz_client.py" "${BROKER%:*}" "${BROKER#*:}" "$1" "${2:-$RANDOM}" ||
    fail "the client has not come to its end"
if grep -E 'Sanitizer|runtime error|assertion' "$WORK/broker.log"; then
    fail "the broker has a fault"
fi
broker_stop
pass
