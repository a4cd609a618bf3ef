#!/usr/bin/env bash
# Millrace beside Apache Kafka 4.3.1 on this machine: the same loads by the same generator, five
# rounds that take turns. Kafka runs as shipped and with topics that flush every message.
# Usage: bench/compare.sh [ROUNDS]   (after ./test.sh or a build; needs java and mvn)
# Prints median and range of every figure, and the ratios of the medians.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
work=$(mktemp -d)
jars=build/bench/kafka-4.3.1
kafka_port=19292 millrace_port=19392
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

fetch_kafka() {
    [ -d "$jars" ] && return
    mkdir -p "$jars"
    cat >"$work/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>b</groupId><artifactId>b</artifactId>
<version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
POM
    mvn -q -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$PWD/$jars"
}

start_kafka() {
    cat >"$work/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:19293
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:19293
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
controller.listener.names=CONTROLLER
log.dirs=$work/kafka
offsets.topic.replication.factor=1
PROPERTIES
    java -cp "$jars/*" kafka.tools.StorageTool format --standalone -t 4L6g3nShT-eMCtK--X86sw \
        -c "$work/server.properties" >/dev/null
    java -Xmx1G -cp "$jars/*" kafka.Kafka "$work/server.properties" >"$work/kafka.log" 2>&1 &
    kafka_pid=$!
}

start_millrace() {
    build/millraced --data-dir "$work/millrace" --listen 127.0.0.1:$millrace_port \
        --set log.level=warn --set store.bytes=12884901888 >"$work/millrace.log" 2>&1 &
    millrace_pid=$!
}

wait_for() {
    for _ in $(seq 600); do
        build/millrace broker api-versions --bootstrap-server "127.0.0.1:$1" >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "no broker on port $1" >&2
    exit 1
}

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
start_kafka
start_millrace
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
