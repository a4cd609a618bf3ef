#!/usr/bin/env bash
# Produce latency while the control plane is busy, of Millrace and of Apache Kafka 4.3.1: an open loop
# of one-record requests alone, beside 1,000 groups that rebalance twice a second and without a pause,
# beside topics of 10 partitions that are created and deleted. Rounds take turns. Then Millrace with
# 80,000 partitions in 8 topics: alone, and beside topics of 1,000 partitions; and in 80,000 topics.
# Usage: bench/storm.sh [ROUNDS]   (after a build; needs java and mvn)
# Prints medians and ranges, and the ratio of the disturbed p99 to the one alone.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
. bench/lib.sh

# produce SYSTEM LOAD: one line of JSON to the results.
produce() {
    local port=${1}_port
    build/mr_load --bootstrap-server "127.0.0.1:${!port}" --topic load --rate 2000 --connections 4 \
        --record-size 1000 --records-per-batch 1 --seconds 4 --warmup 1 --json 2>/dev/null |
        sed "s/^{/{\"system\": \"$1\", \"load\": \"$2\", /" >>"$work/results"
}

# storm SYSTEM LOAD MODE...: mr_control_load; its line of JSON goes to the storms.
storm() {
    local system=$1 load=$2 port=${1}_port
    shift 2
    build/mr_control_load "$@" --bootstrap-server "127.0.0.1:${!port}" |
        sed "s/^{/{\"system\": \"$system\", \"load\": \"$load\", /" >>"$work/storms"
}

# beside SYSTEM LOAD MODE...: produces while a storm goes on.
beside() {
    local storm
    storm "$@" --seconds 6 &
    storm=$!
    sleep 1
    produce "$1" "$2"
    wait $storm
}

fetch_kafka
start_kafka group.initial.rebalance.delay.ms=0
start_millrace --set group.initial.rebalance.delay.ms=0 --set max.connections=8192
for port in $kafka_port $millrace_port; do
    wait_for "$port"
    build/millrace topic create load --partitions 8 --bootstrap-server "127.0.0.1:$port" >/dev/null
done
for _ in $(seq "$rounds"); do
    for system in millrace kafka; do
        produce $system alone
        beside $system paced storm --groups 1000 --rounds 2
        beside $system groups storm --groups 1000
        beside $system topics topics
    done
done
for number in $(seq 8); do
    build/millrace topic create "wide-$number" --partitions 10000 \
        --bootstrap-server "127.0.0.1:$millrace_port" >/dev/null
done
for _ in $(seq "$rounds"); do
    produce millrace many
    beside millrace wide topics --partitions 1000
done
for number in $(seq 8); do
    build/millrace topic delete "wide-$number" --bootstrap-server "127.0.0.1:$millrace_port" >/dev/null
done
sleep 10 # deleted partitions count until their stores have deleted them
storm millrace fill fill --topics 80000
for _ in $(seq "$rounds"); do
    beside millrace full topics
done
python3 - "$work/results" "$work/storms" <<'PYTHON'
import json
import statistics
import sys


def rows(path):
    return [json.loads(line) for line in open(path)]


def cell(values):
    return f'{statistics.median(values):g} [{min(values):g}, {max(values):g}]'


produced, storms = map(rows, sys.argv[1:])
print('| | Millrace | Kafka |')
print('|---|---|---|')
ratios = {}
for load, base in (('alone', 'alone'), ('paced', 'alone'), ('groups', 'alone'),
                   ('topics', 'alone'), ('many', 'many'), ('wide', 'many'), ('full', 'many')):
    cells = []
    for system in ('millrace', 'kafka'):
        p99 = [row['latency_us']['p99'] / 1e3 for row in produced
               if (row['system'], row['load']) == (system, load)]
        if not p99:
            cells.append('')
            continue
        ratios[system, load] = statistics.median(p99)
        text = cell([round(value, 2) for value in p99])
        cells.append(f"{text}, {ratios[system, load] / ratios[system, base]:.2f}x alone")
    print(f'| produce p99 ms, {load} | {cells[0]} | {cells[1]} |')
for load, field in (('paced', 'rebalances_s'), ('groups', 'rebalances_s'), ('topics', 'topics_s'),
                    ('topics', 'create_p50_ms'), ('topics', 'create_p99_ms'),
                    ('wide', 'topics_s'), ('wide', 'create_p50_ms'), ('wide', 'create_p99_ms'),
                    ('fill', 'filled_s'), ('full', 'topics_s'), ('full', 'create_p50_ms'),
                    ('full', 'create_p99_ms')):
    found = [[row[field] for row in storms if (row['system'], row['load']) == (system, load)]
             for system in ('millrace', 'kafka')]
    cells = [cell(values) if values else '' for values in found]
    print(f'| {field}, {load} | {cells[0]} | {cells[1]} |')
PYTHON
