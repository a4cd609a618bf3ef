#!/usr/bin/env bash
# Direct routing on ÷ off: two brokers of two shards take turns at one-record requests, closed loop,
# over kernel sockets; and the share of requests' parts that crossed a core.
# Usage: bench/direct.sh [ROUNDS]   (after a build)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
. bench/lib.sh

# broker NAME PORT ADMIN-PORT FLAGS...
broker() {
    local name=$1 port=$2 admin=$3
    shift 3
    build/millraced --data-dir "$work/$name" --listen "127.0.0.1:$port" --shards 2 \
        --set log.level=warn --set "admin.listen=127.0.0.1:$admin" "$@" >"$work/$name.log" 2>&1 &
    wait_for "$port"
    build/millrace topic create load --partitions 8 --bootstrap-server "127.0.0.1:$port" >/dev/null
}

load() { # NAME PORT
    build/mr_load --bootstrap-server "127.0.0.1:$2" --topic load --connections 8 --in-flight 8 \
        --record-size 100 --records-per-batch 1 --seconds 3 --warmup 1 --json 2>/dev/null |
        sed "s/^{/{\"system\": \"$1\", \"load\": \"one\", /" >>"$work/results"
}

crossed() { # ADMIN-PORT: the share of parts that crossed a core
    curl -sf "http://127.0.0.1:$1/metrics" | awk '
        /^millrace_parts_local_total/ { local += $NF }
        /^millrace_parts_remote_total/ { remote += $NF }
        END { printf "%.3f\n", remote / (local + remote) }'
}

broker millrace 19392 19394 --set direct.routing=true
broker indirect 19492 19494
for _ in $(seq "$rounds"); do
    load millrace 19392
    load indirect 19492
done
python3 bench/summary.py "$work/results" requests_per_s latency_us.p50 latency_us.p99
echo "parts that crossed a core: $(crossed 19394) with direct routing, $(crossed 19494) without"
