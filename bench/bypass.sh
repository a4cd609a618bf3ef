#!/usr/bin/env bash
# Kernel bypass: the broker over memif, loaded by mr_load on our own TCP in a second process, beside
# the broker on kernel sockets and Apache Kafka 4.3.1, loaded through loopback. The systems take turns;
# each runs alone, on core 0 (Kafka on both), the generator on core 1.
# Usage: bench/bypass.sh [ROUNDS]   (after a build; needs java and mvn). A round takes a minute and a half.
# A memif computes no TCP checksums, as cards with offloads do it and as loopback does without.
# Half load is half of the requests per second that the same system answered in the round before it.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
. bench/lib.sh
socket=$work/socket
client=(--device "net_memif0,role=client,socket=$socket,socket-abstract=no,bsize=2048"
    --address 10.0.0.2 --trusted --spin)

# start SYSTEM: its address goes to $broker, what the generator needs to ${reach[@]}.
start() {
    local flags=(--shards 1 --set log.level=warn --set admin.listen= --set store.bytes=4294967296
        --set memory.bytes=2147483648 --set "cores.spin.us=1000")
    reach=()
    case $1 in
    memif)
        broker=10.0.0.1:9092
        reach=("${client[@]}")
        rm -f "$socket"
        taskset -c 0 build/millraced --data-dir "$work/memif" --listen $broker "${flags[@]}" \
            --set transport=dpdk --set dpdk.address=10.0.0.1 --set dpdk.checksums=false \
            --set "dpdk.device=net_memif0,role=server,socket=$socket,socket-abstract=no,bsize=2048" \
            >"$work/out" 2>"$work/memif.log" &
        pid=$!
        ;;
    kernel)
        broker=127.0.0.1:$millrace_port
        taskset -c 0 build/millraced --data-dir "$work/kernel" --listen $broker "${flags[@]}" \
            >"$work/out" 2>"$work/kernel.log" &
        pid=$!
        ;;
    kafka)
        broker=127.0.0.1:$kafka_port
        start_kafka "log.retention.bytes=1000000000"
        pid=$kafka_pid
        wait_for $kafka_port
        return
        ;;
    esac
    for _ in $(seq 200); do
        grep -qs ready "$work/out" && return
        sleep 0.1
    done
    echo "$1 does not start: $(tail -n 1 "$work/$1.log")" >&2
    exit 1
}

stop() {
    kill $pid
    wait $pid || true
}

# load SYSTEM LOAD FLAGS...
load() {
    local system=$1 load=$2
    shift 2
    # A rate that was not reached is in the figures, and no reason to stop.
    { taskset -c 1 build/mr_load --bootstrap-server $broker "${reach[@]}" --broker-pid $pid --json \
        --partitions 8 --seconds 3 --warmup 1 "$@" 2>>"$work/warnings" || true; } |
        sed "s/^{/{\"system\": \"$system\", \"load\": \"$load\", /" >>"$work/results"
}

# half SYSTEM LOAD FLAGS...: an open loop at half of the rate that the last run of LOAD reached.
half() {
    local rate
    rate=$(tail -n 1 "$work/results" | sed -n 's/.*"requests_per_s": *\([0-9]*\).*/\1/p')
    load "$1" "$2-half" "${@:3}" --rate $((rate / 2))
}

fetch_kafka
for _ in $(seq "$rounds"); do
    for system in memif kernel kafka; do
        start $system
        one=(--topic one --connections 4 --record-size 100 --records-per-batch 1)
        small=(--topic small --connections 4 --record-size 1000 --batch-bytes 16000)
        load $system one "${one[@]}" --in-flight 16
        half $system one "${one[@]}"
        load $system small "${small[@]}" --in-flight 5
        half $system small "${small[@]}"
        load $system fetch --topic small --fetch --loop --connections 4
        stop
        rm -rf "$work/memif" "$work/kernel" "$work/kafka"
    done
done
sed -i 's/"system": "memif"/"system": "millrace"/' "$work/results" # what summary.py divides by
python3 bench/summary.py "$work/results"
sort "$work/warnings" | grep -v "DPDK port" | uniq -c
