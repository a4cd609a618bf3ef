#!/usr/bin/env bash
# Durable appends by the store beside the drive's own: fio with one sequential stream and one flush
# after each write, and fio with writes of a batch's size and one flush for each group, both with the
# same payload for each flush, on the same file, taking turns.
# Usage: bench/append.sh [ROUNDS [PARTITIONS... x BYTES...]]   (after a build; needs fio)
# Example: bench/append.sh 5 1 64 x 1024 65536
# Prints medians and ranges, and the ratio to the better of the two.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
shift || true
partitions=() sizes=()
while [ $# -gt 0 ] && [ "$1" != x ]; do
    partitions+=("$1")
    shift
done
shift || true
sizes=("$@")
[ ${#partitions[@]} -gt 0 ] || partitions=(1 64)
[ ${#sizes[@]} -gt 0 ] || sizes=(1024 16384 65536)
seconds=2
file_mb=4096
work=$(mktemp -d "$PWD/build/append.XXXXXX")
trap 'rm -rf "$work"' EXIT
file=$work/store
dd if=/dev/zero of="$file" bs=1M count=$file_mb conv=fsync status=none

# fio_line NAME BLOCK WRITES-PER-FLUSH PARTITIONS BYTES
fio_line() {
    fio --name=f --filename="$file" --rw=write --bs="$2" --size=$((file_mb / 2))M --direct=1 \
        --ioengine=io_uring --iodepth="$(($3 < 64 ? $3 : 64))" --fdatasync="$3" --time_based \
        --runtime=$seconds --overwrite=1 --output-format=json 2>/dev/null |
        python3 -c '
import json, sys
name, block, partitions, size = sys.argv[1], *map(int, sys.argv[2:5])
payload = partitions * size
write = json.load(sys.stdin)["jobs"][0]["write"]
per_block = int(sys.argv[5])
rate = write["total_ios"] / per_block * payload / write["runtime"] / 1e3
print(json.dumps({"system": name, "partitions": partitions, "batch_bytes": size, "mb_s": rate}))
' "$1" "$2" "$4" "$5" "$3" >>"$work/results"
}

for _ in $(seq "$rounds"); do
    for p in "${partitions[@]}"; do
        for b in "${sizes[@]}"; do
            group=$(((p * b + 4095) / 4096 * 4096))
            each=$(((b + 4095) / 4096 * 4096))
            build/mr_append "$file" "$p" "$b" $seconds |
                sed 's/^{/{"system": "millrace", /' >>"$work/results"
            if [ $group -le $((64 << 20)) ]; then
                fio_line fio-stream $group 1 "$p" "$b"
            fi
            fio_line fio-writes $each "$p" "$p" "$b"
        done
    done
done
python3 - "$work/results" <<'PYTHON'
import json
import statistics
import sys

cells = {}
for line in open(sys.argv[1]):
    run = json.loads(line)
    cells.setdefault((run['partitions'], run['batch_bytes']), {}).setdefault(run['system'], []).append(run)


def show(runs, field, digits=0):
    values = [run[field] for run in runs]
    return f'{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]'


print('| partitions x bytes | MB/s | p50 us | p99 us | p99.9 us | written ÷ payload |'
      ' fio one stream MB/s | fio same writes MB/s | ÷ the better |')
print('|---|---|---|---|---|---|---|---|---|')
for (partitions, size), cell in sorted(cells.items()):
    ours = cell['millrace']
    fio = [cell[name] for name in ('fio-stream', 'fio-writes') if name in cell]
    best = max(statistics.median(run['mb_s'] for run in runs) for runs in fio)
    rate = statistics.median(run['mb_s'] for run in ours)
    print(f'| {partitions} x {size} | {show(ours, "mb_s")} | {show(ours, "p50_us")} |'
          f' {show(ours, "p99_us")} | {show(ours, "p999_us")} | {show(ours, "amplification", 2)} |'
          f' {show(cell["fio-stream"], "mb_s") if "fio-stream" in cell else "-"} |'
          f' {show(cell["fio-writes"], "mb_s")} | {rate / best:.2f} |')
PYTHON
