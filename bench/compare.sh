#!/usr/bin/env bash
# Millrace beside Apache Kafka 4.3.1 on this machine: the same loads by the same generator, five
# rounds that take turns. Kafka runs as shipped and with topics that flush every message.
# Usage: bench/compare.sh [ROUNDS]   (after ./test.sh or a build; needs java and mvn)
# Millrace may use 10 GiB of memory; Kafka has its 1 GiB heap and the page cache of the whole machine:
# both hold all that is produced here.
# Prints median and range of every figure, and the ratios of the medians.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
. bench/lib.sh

make_topics() {
    for load in big small one; do
        partitions=8
        [ $load = big ] && partitions=1
        build/millrace topic create "$load" --partitions $partitions \
            --bootstrap-server 127.0.0.1:$millrace_port >/dev/null
        build/millrace topic create "$load" --partitions $partitions \
            --bootstrap-server 127.0.0.1:$kafka_port >/dev/null
        build/millrace topic create "$load-durable" --partitions $partitions \
            --config flush.messages=1 --bootstrap-server 127.0.0.1:$kafka_port >/dev/null
    done
}

# run SYSTEM LOAD PORT PID TOPIC FLAGS...: one line of JSON to the results.
run() {
    local system=$1 load=$2 port=$3 pid=$4 topic=$5
    shift 5
    build/mr_load --bootstrap-server "127.0.0.1:$port" --broker-pid "$pid" --topic "$topic" \
        --seconds 3 --warmup 1 --json "$@" 2>>"$work/warnings" |
        sed "s/^{/{\"system\": \"$system\", \"load\": \"$load\", /" >>"$work/results"
}

load() { # NAME FLAGS...
    local name=$1
    shift
    run millrace "$name" $millrace_port "$millrace_pid" "${name%%-*}" "$@"
    run kafka "$name" $kafka_port "$kafka_pid" "${name%%-*}" "$@"
    case "$name" in
    *-fetch) ;;
    *) run kafka-durable "$name" $kafka_port "$kafka_pid" "${name%%-*}-durable" "$@" ;;
    esac
}

fetch_kafka
start_kafka ""
start_millrace --set store.bytes=12884901888 --set memory.bytes=10737418240
wait_for $kafka_port
wait_for $millrace_port
make_topics
for _ in $(seq "$rounds"); do
    load big --connections 1 --in-flight 5 --record-size 1000 --batch-bytes 1000000
    load small --connections 4 --in-flight 5 --record-size 1000 --batch-bytes 16000
    load one --connections 4 --in-flight 16 --record-size 100 --records-per-batch 1
    load small-fetch --fetch --loop --connections 4
done
python3 bench/summary.py "$work/results"
sort "$work/warnings" | uniq -c
