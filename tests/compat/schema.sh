#!/usr/bin/env bash
# Goal: the schema of the wire codec is Kafka's, field by field, and so are the advertised versions
# and the keys of topics' and brokers' configurations.
# Method: python/config_keys.py asks both brokers for these; python/schema_check.py reads the definitions inside the kafka-clients 4.3.1 jar and asks a
# Millrace and an Apache Kafka broker what they advertise.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need java python3
export PYTHONDONTWRITEBYTECODE=1

fetch_jars $NEW
start_kafka
broker_start
wait_until 60 "Apache Kafka serves" kafka_serves
python3 "$COMPAT/python/schema_check.py" "$CACHE/jars-$NEW/kafka-clients-$NEW.jar" \
    "${BROKER%:*}" "${BROKER#*:}" "${KAFKA%:*}" "${KAFKA#*:}" || fail "the schema is not Kafka's"
python3 "$COMPAT/python/config_keys.py" "${BROKER%:*}" "${BROKER#*:}" "${KAFKA%:*}" "${KAFKA#*:}" ||
    fail "the keys are not described as Kafka's"
broker_stop
pass
