#!/usr/bin/env bash
# Consumer groups of Millrace beside those of Apache Kafka 4.3.1: rebalances, heartbeats, commits, by
# mr_control_load, taking turns. Both without the initial rebalance delay.
# Usage: bench/groups.sh [ROUNDS [MEMBERS]]   (after a build; needs java and mvn)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} members=${2:-1000}
. bench/lib.sh

fetch_kafka
start_kafka group.initial.rebalance.delay.ms=0
start_millrace --set group.initial.rebalance.delay.ms=0 --set max.connections=8192
wait_for $kafka_port
wait_for $millrace_port
for _ in $(seq "$rounds"); do
    for system in millrace kafka; do
        port=${system}_port
        build/mr_control_load groups --bootstrap-server "127.0.0.1:${!port}" --members "$members" |
            sed "s/^{/{\"system\": \"$system\", /" >>"$work/results"
    done
done
python3 - "$work/results" <<'PYTHON'
import json
import statistics
import sys

runs = [json.loads(line) for line in open(sys.argv[1])]
print('| | Millrace | Kafka | ratio |')
print('|---|---|---|---|')
for field in runs[0]:
    if field == 'system':
        continue
    cells, medians = [], []
    for system in ('millrace', 'kafka'):
        values = [run[field] for run in runs if run['system'] == system]
        medians.append(statistics.median(values))
        cells.append(f'{medians[-1]:g} [{min(values):g}, {max(values):g}]')
    print(f'| {field} | {cells[0]} | {cells[1]} | {medians[0] / medians[1]:.2f} |')
PYTHON
