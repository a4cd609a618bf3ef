#!/usr/bin/env bash
# Durable appends by the store beside the drive's own: fio with one sequential stream and one flush
# after each write, and fio with writes of a batch's size and one flush for each group, both with the
# same payload for each flush, on the same file, taking turns.
# Usage: bench/append.sh [ROUNDS [PARTITIONS... x BYTES|MIN-MAX...]]   (after a build; needs fio)
# Examples: bench/append.sh 5 1 8 64 1000 x 1024 16384 65536 1048576; bench/append.sh 5 64 x 70-1048576
# The whole table, in less than ten minutes:
#   MR_APPEND_SECONDS=0.4 bench/append.sh 5 1 8 64 1000 x 1024 16384 65536 1048576 70-1048576
# MR_APPEND_MB: size of the file that it makes (4096). MR_APPEND_SECONDS: of each run (2).
# MR_APPEND_JOURNAL: MiB of the store's journal (64, the broker's default).
# MIN-MAX: sizes are random, log-uniform; fio then writes the mean at a time in one stream, and
# blocks of each power of two with the same share beside it.
# Prints medians and ranges, and the ratio to the better of the two: with one group after the other, and
# with the next one filling while one is on its way. Amplification: what was written per byte of batches
# over whole laps of the journal (their number behind it; 0: less than one, within three seconds), in the
# first round, by the store's count and by the kernel's for the whole drive.
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
seconds=${MR_APPEND_SECONDS:-2}
file_mb=${MR_APPEND_MB:-4096}
journal=${MR_APPEND_JOURNAL:-64}
milliseconds=$(python3 -c 'import sys; print(round(float(sys.argv[1]) * 1000))' "$seconds")
work=$(mktemp -d "$PWD/build/append.XXXXXX")
trap 'rm -rf "$work"' EXIT
file=$work/store
dd if=/dev/zero of="$file" bs=1M count=$file_mb conv=fsync status=none

# fio_line NAME BLOCKS WRITES-PER-FLUSH PAYLOAD-PER-FLUSH PARTITIONS BYTES: BLOCKS is fio's option.
fio_line() {
    fio --name=f --filename="$file" --rw=write "$2" --size=$((file_mb / 2))M --direct=1 \
        --ioengine=io_uring --iodepth="$(($3 < 64 ? $3 : 64))" --fdatasync="$3" --time_based \
        --runtime=${milliseconds}ms --overwrite=1 --output-format=json 2>/dev/null |
        python3 -c '
import json, sys
name, per_flush, payload, partitions, size = sys.argv[1:]
write = json.load(sys.stdin)["jobs"][0]["write"]
rate = write["total_ios"] / int(per_flush) * float(payload) / write["runtime"] / 1e3
print(json.dumps({"system": name, "partitions": int(partitions), "batch_bytes": size, "mb_s": rate}))
' "$1" "$3" "$4" "$5" "$6" >>"$work/results"
}

# mean_of MIN-MAX: of the log-uniform distribution.
mean_of() {
    python3 -c '
import math, sys
low, high = map(int, sys.argv[1].split("-"))
print(low if low == high else round((high - low) / math.log(high / low)))' "$1"
}

# blocks_of MIN-MAX: fio's option for writes of these sizes.
blocks_of() {
    python3 -c '
import math, sys
low, high = map(int, sys.argv[1].split("-"))
blocks = {}
for i in range(1000):
    size = low * (high / low) ** ((i + 0.5) / 1000)
    block = 4096 if low != high else (low + 4095) // 4096 * 4096
    while block < size:
        block *= 2
    blocks[block] = blocks.get(block, 0) + 0.1
shares = {block: int(share) for block, share in blocks.items()}
shares[max(shares, key=shares.get)] += 100 - sum(shares.values())
print("--bs=%d" % max(blocks) if len(blocks) == 1 else
      "--bssplit=" + ":".join("%d/%d" % pair for pair in shares.items()))' "$1"
}

for round in $(seq "$rounds"); do
    laps=$((round == 1 ? 3 : 0))
    for p in "${partitions[@]}"; do
        for b in "${sizes[@]}"; do
            case $b in *-*) sizes_of=$b ;; *) sizes_of=$b-$b ;; esac
            payload=$((p * $(mean_of "$sizes_of")))
            group=$(((payload + 4095) / 4096 * 4096))
            build/mr_append "$file" "$p" "$b" $seconds 1 $laps $journal |
                sed 's/^{/{"system": "millrace", /' >>"$work/results"
            build/mr_append "$file" "$p" "$b" $seconds 2 0 $journal |
                sed 's/^{/{"system": "filling", /' >>"$work/results"
            if [ $group -le $((64 << 20)) ]; then
                fio_line fio-stream "--bs=$group" 1 "$payload" "$p" "$sizes_of"
            fi
            fio_line fio-writes "$(blocks_of "$sizes_of")" "$p" "$payload" "$p" "$sizes_of"
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


def order(item):
    partitions, size = item[0]
    return partitions, [int(bound) for bound in size.split('-')]


print('| partitions x bytes | MB/s | p50 us | p99 us | p99.9 us | amplification (laps) | of the drive |'
      ' MB/s, next group filling | fio one stream MB/s | fio same writes MB/s | ÷ the better |')
print('|---|---|---|---|---|---|---|---|---|---|---|')
for (partitions, size), cell in sorted(cells.items(), key=order):
    ours = cell['millrace']
    fio = [cell[name] for name in ('fio-stream', 'fio-writes') if name in cell]
    best = max(statistics.median(run['mb_s'] for run in runs) for runs in fio)
    rates = [statistics.median(run['mb_s'] for run in cell[name]) for name in ('millrace', 'filling')]
    low, high = size.split('-')
    name = low if low == high else size
    print(f'| {partitions} x {name} | {show(ours, "mb_s")} | {show(ours, "p50_us")} |'
          f' {show(ours, "p99_us")} | {show(ours, "p999_us")} | {ours[0]["amplification"]:.2f} ({ours[0]["laps"]}) |'
          f' {ours[0]["device_amplification"]:.2f} | {show(cell["filling"], "mb_s")} |'
          f' {show(cell["fio-stream"], "mb_s") if "fio-stream" in cell else "-"} |'
          f' {show(cell["fio-writes"], "mb_s")} | {rates[0] / best:.2f}, {rates[1] / best:.2f} |')
PYTHON
