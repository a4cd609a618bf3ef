#!/usr/bin/env bash
# What disturbs a producer: its latency alone, beside a reader of old records (larger than the memory,
# so it reads the disk all the time), and beside compaction. The three take turns, and every round
# begins with another one.
# Usage: bench/interference.sh [ROUNDS [MB/S]]   (after a build; needs kcat and curl)
# Prints medians and ranges of the producer's latency, and the ratios to it alone.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} rate=${2:-20}
. bench/lib.sh
admin=127.0.0.1:19644 broker=127.0.0.1:$millrace_port
seconds=4 cold_bytes=$((3 << 30)) compact_records=400000

# set_config TOPIC KEY VALUE: IncrementalAlterConfigs, version 0.
set_config() {
    python3 - "$millrace_port" "$@" <<'PYTHON'
import socket
import struct
import sys

port, topic, key, value = sys.argv[1:]


def text(value):
    return struct.pack('>h', len(value)) + value.encode()


body = struct.pack('>ib', 1, 2) + text(topic) + struct.pack('>i', 1)
body += text(key) + b'\0' + text(value) + b'\0'
head = struct.pack('>hhi', 44, 0, 1) + text('bench')
server = socket.create_connection(('127.0.0.1', int(port)))
server.sendall(struct.pack('>i', len(head) + len(body)) + head + body)
answer = server.recv(4096)
if struct.unpack_from('>h', answer, 16)[0] != 0:
    sys.exit(f'{topic}: {key}={value} is refused')
PYTHON
}

figure() {
    curl -s "http://$admin/metrics" | awk -v name="millrace_$1{" 'index($1, name) == 1 { sum += $2 }
        END { printf "%.0f\n", sum }'
}

# Keyed records of about 1 KB, most of them superseded.
records() {
    awk -v count=$compact_records 'BEGIN {
        value = sprintf("%0900d", 0)
        for (i = 0; i < count; i++) printf "key-%d:%d-%s\n", i % 5000, i, value
    }'
}

make_topics() {
    build/millrace topic create hot --partitions 8 --bootstrap-server "$broker" >/dev/null
    build/millrace topic create cold --partitions 4 --bootstrap-server "$broker" >/dev/null
    while [ "$(figure store_append_bytes_total)" -lt $cold_bytes ]; do
        build/mr_load --bootstrap-server "$broker" --topic cold --connections 4 --seconds 2 \
            --warmup 0 --record-size 1000 --batch-bytes 1000000 >/dev/null
    done
    for round in $(seq "$rounds"); do # nothing is old enough until the round says so
        build/millrace topic create "compact-$round" --bootstrap-server "$broker" \
            --config cleanup.policy=compact --config segment.bytes=16777216 \
            --config min.cleanable.dirty.ratio=0.01 \
            --config min.compaction.lag.ms=86400000 >/dev/null
        records | kcat -b "$broker" -P -t "compact-$round" -p 0 -K : -X batch.size=1000000 \
            -X linger.ms=20
    done
}

# produce SYSTEM: one line of JSON to the results.
produce() {
    build/mr_load --bootstrap-server "$broker" --topic hot --connections 4 --rate-mb "$rate" \
        --record-size 1000 --batch-bytes 16000 --seconds $seconds --warmup 1 --json \
        2>>"$work/warnings" |
        sed "s/^{/{\"system\": \"$1\", \"load\": \"produce\", /" >>"$work/results"
}

beside_reader() {
    local reads
    reads=$(figure store_reads_cold_total)
    build/mr_load --bootstrap-server "$broker" --topic cold --fetch --loop --connections 1 \
        --seconds $((seconds + 3)) >"$work/reader" 2>&1 &
    local reader=$!
    produce cold-reader
    [ "$(figure store_reads_cold_total)" -gt "$reads" ] ||
        echo "WARNING: the reader did not read the disk" >>"$work/warnings"
    wait $reader || true
}

# It reads the topic twice, 64 MiB a second: that takes longer than the producer's run.
beside_compaction() {
    local compactions
    compactions=$(figure store_compactions_total)
    set_config "compact-$1" min.compaction.lag.ms 0
    produce compaction
    [ "$(figure store_compactions_total)" -eq "$compactions" ] ||
        echo "WARNING: the compaction ended before the producer" >>"$work/warnings"
    for _ in $(seq 300); do
        [ "$(figure store_compactions_total)" -eq "$compactions" ] || return 0
        sleep 0.2
    done
    echo "WARNING: nothing was compacted" >>"$work/warnings"
}

start_millrace --set store.bytes=12884901888 --set memory.bytes=536870912 \
    --set admin.listen=$admin --set log.cleaner.backoff.ms=100
wait_for $millrace_port
make_topics
for round in $(seq "$rounds"); do
    for turn in 0 1 2; do
        case $(((round + turn) % 3)) in
        0) produce alone ;;
        1) beside_reader ;;
        2) beside_compaction "$round" ;;
        esac
    done
done
python3 - "$work/results" <<'PYTHON'
import json
import statistics
import sys

runs = {}
for line in open(sys.argv[1]):
    run = json.loads(line)
    runs.setdefault(run['system'], []).append(run['latency_us'])
print('| producer | p50 us | p99 us | p99.9 us | p99 ÷ alone |')
print('|---|---|---|---|---|')
alone = statistics.median(run['p99'] for run in runs['alone'])
for system in ('alone', 'cold-reader', 'compaction'):
    cells = []
    for name in ('p50', 'p99', 'p999'):
        values = [run[name] for run in runs[system]]
        cells.append(f'{statistics.median(values):.0f} [{min(values):.0f}, {max(values):.0f}]')
    ratio = statistics.median(run['p99'] for run in runs[system]) / alone
    print(f'| {system} | ' + ' | '.join(cells) + f' | {ratio:.2f} |')
PYTHON
sort "$work/warnings" | uniq -c
