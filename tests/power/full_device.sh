#!/usr/bin/env bash
# Gives full_device a block device of 512 MB, a file of this folder behind a loop device. Afterwards
# the device is dumped, and must not be taken by a broker that has no metadata for it, nor, when
# something else is on it, be made a store.
# Usage: full_device.sh FULL_DEVICE BROKER MILLRACE
set -euo pipefail
full_device=$1 broker=$2 millrace=$3
skip() {
    echo "skipped: $*"
    exit 77
}
[ "$(id -u)" -eq 0 ] || skip "loop devices need root"
command -v losetup >/dev/null || skip "losetup is not installed"
work=$(mktemp -d "$PWD/loop.XXXXXX")
device=
trap '[ -z "$device" ] || losetup --detach "$device"; rm -rf "$work"' EXIT
truncate --size 512M "$work/medium"
device=$(losetup --find --show --direct-io=on "$work/medium") ||
    skip "this machine gives out no loop device"

# refused WHY ARGUMENTS...: a broker on the device ends by itself and says why.
refused() {
    local why=$1 status=0
    shift
    timeout 30 "$broker" --data-dir "$device" --listen 127.0.0.1:19 --shards 1 --set admin.listen= \
        "$@" >"$work/said" 2>&1 || status=$?
    if [ $status -ne 1 ] || ! grep -q "$why" "$work/said"; then
        tail -n 3 "$work/said"
        echo "FAILED: status $status, expected 1 and: $why"
        exit 1
    fi
}

refused "set metadata.log.dir"
"$full_device" "$broker" "$device"
"$millrace" log dump "$device" >"$work/said"
grep -q 'closed cleanly' "$work/said" || { echo "FAILED: the dump says otherwise"; exit 1; }
refused "has stores, but there is no metadata" --set metadata.log.dir="$work/metadata-1"
dd if=/dev/zero of="$device" bs=1M count=1 conv=fsync status=none
echo "a file system, say" | dd of="$device" bs=1 seek=65536 conv=fsync status=none
refused "holds something that is not ours" --set metadata.log.dir="$work/metadata-2"
