#!/usr/bin/env bash
# Goal: `millrace probe` says what a machine has and what to change, and the profile that it writes
# starts the broker here. Method: this machine; and two that are made of files, a server with a
# ConnectX and NVMe drives, and one whose E810 and drives are not ready.
. "$(dirname "$0")/../compat/lib.sh"
need python3

# put FILE TEXT: a file of the machine that is being made in $ROOT.
put() {
    mkdir -p "$(dirname "$ROOT$1")"
    printf '%s\n' "$2" >"$ROOT$1"
}

# cpus COUNT NODES: two threads a core, nodes one after the other.
cpus() {
    local cpu half=$(($1 / 2)) node each
    each=$((half / $2))
    put /sys/devices/system/cpu/online "0-$(($1 - 1))"
    for ((cpu = 0; cpu < $1; cpu++)); do
        put /sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list \
            "$((cpu % half)),$((cpu % half + half))"
    done
    for ((node = 0; node < $2; node++)); do
        put /sys/devices/system/node/node$node/cpulist \
            "$((node * each))-$((node * each + each - 1)),$((half + node * each))-$((half + node * each + each - 1))"
    done
}

# card PCI VENDOR DEVICE NODE DRIVER INTERFACE MBITS QUEUES
card() {
    local folder=/sys/bus/pci/devices/$1 queue
    put "$folder/class" 0x020000
    put "$folder/vendor" "$2"
    put "$folder/device" "$3"
    put "$folder/numa_node" "$4"
    ln -s "../../drivers/$5" "$ROOT$folder/driver"
    ln -s "../../../kernel/iommu_groups/7" "$ROOT$folder/iommu_group"
    mkdir -p "$ROOT/sys/kernel/iommu_groups/7" "$ROOT$folder/net/$6"
    put "/sys/class/net/$6/mtu" 9000
    put "/sys/class/net/$6/speed" "$7"
    put "/sys/class/net/$6/operstate" up
    for ((queue = 0; queue < $8; queue++)); do
        mkdir -p "$ROOT/sys/class/net/$6/queues/rx-$queue"
    done
}

# drive NAME BLOCK FUA POLL
drive() {
    local folder=/sys/block/$1
    put "$folder/size" 7501476528
    put "$folder/device/model" "DataCenter 3.84TB    "
    put "$folder/device/numa_node" 0
    put "$folder/queue/logical_block_size" "$2"
    put "$folder/queue/write_cache" "write back"
    put "$folder/queue/fua" "$3"
    put "$folder/queue/io_poll" "$4"
    put "$folder/queue/atomic_write_max_bytes" 16384
    mkdir -p "$ROOT$folder/holders" "$ROOT/sys/class/nvme-generic/ng${1#nvme}"
}

# machine PAGES_1G: what both have.
machine() {
    ROOT=$WORK/$1
    put /proc/sys/kernel/osrelease 6.1.0-50-amd64
    put /proc/meminfo "MemTotal:       263000000 kB"
    printf 'MemAvailable:   100000000 kB\n' >>"$ROOT/proc/meminfo"
    put /proc/self/limits "Max locked memory         8388608              8388608              bytes"
    put /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages "$2"
    put /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages "$2"
    put /proc/self/mounts "/dev/nvme0n1p2 / ext4 rw 0 0"
}

# says TEXT: the table that was printed last has a line with it.
says() {
    grep -qF -- "$1" "$WORK/table" || fail "no '$1' in: $(cat "$WORK/table")"
}

probe() {
    "$MR_BUILD/millrace" probe "$@" >"$WORK/table" || fail "millrace probe $*"
}

# ---- a server that is ready ----------------------------------------------------------------------
machine ready 68
cpus 32 2
card 0000:3b:00.0 0x15b3 0x1019 1 mlx5_core ens1 100000 16
mkdir -p "$ROOT/dev/vfio" "$ROOT/sys/bus/pci/drivers/vfio-pci"
touch "$ROOT/dev/vfio/vfio"
put /sys/module/nvme/parameters/poll_queues 8
drive nvme0n1 512 1 1
put /sys/block/nvme0n1/nvme0n1p2/size 1000
for name in nvme1n1 nvme2n1; do
    drive $name 4096 1 1
done
probe --root "$ROOT" --write "$WORK/ready.ini"
says "32 CPUs, 16 cores, 2 NUMA nodes"
says "68 of 68 of 1 GiB"
says "15b3:1019, mlx5_core, ens1, 100000 Mbit/s, 16 queues, node 1"
says "drive nvme0n1"
says "in use: its file system"
says "blocks 4096, volatile cache, FUA, 8 polled queues, NVMe commands, atomic 16384 bytes"
cat >"$WORK/expected" <<'END'
[cores]
shards = 7
cpus = 9,10,11,12,13,14,15

[idle]
policy = spin

[nic]
transport = dpdk
driver = mlx5_pci
device = 0000:3b:00.0
queues = 7
packets = 8192
; the address of the port: change it to one of your network
address = 10.0.0.1

[drives]
; each is taken whole; one that holds anything is refused
paths = /dev/nvme1n1
paths = /dev/nvme2n1
metadata = /var/lib/millrace
block_bytes = 4096
flush = fua
polled = true
passthrough = true

[hugepages]
pages_1g = 68

[memory]
END
grep -v '^bytes\|^; Written' "$WORK/ready.ini" | sed 1d >"$WORK/written"
same_file "the profile of a server" "$WORK/expected" "$WORK/written"
quiet "$MR_BUILD/millraced" --check-profile "$WORK/ready.ini"
if "$MR_BUILD/millrace" probe --root "$ROOT" --write "$WORK/ready.ini" >/dev/null 2>&1; then
    fail "a profile that was there is overwritten"
fi

# ---- one that is not -----------------------------------------------------------------------------
machine raw 0
cpus 8 1
card 0000:18:00.0 0x8086 0x1592 0 ice ens2 100000 8
drive nvme1n1 512 0 0
probe --root "$ROOT" --write "$WORK/raw.ini"
says "for DPDK: modprobe vfio-pci; cd /sys/bus/pci/devices/0000:18:00.0;"
says "nvme.poll_queues=8 at boot"
says "hugepagesz=1G hugepages=N at boot"
says "vfio-pci is not loaded"
says "no FUA (flush)"
grep -q '^transport' "$WORK/raw.ini" && fail "a card of the kernel's is given to DPDK"
grep -qx 'flush = flush' "$WORK/raw.ini" || fail "a drive without FUA is trusted"
quiet "$MR_BUILD/millraced" --check-profile "$WORK/raw.ini"

# ---- this one ------------------------------------------------------------------------------------
probe --write "$WORK/here.ini"
says "io_uring"
"$MR_BUILD/millrace" probe --json | python3 -c '
import json, os, sys
machine = json.load(sys.stdin)
assert len(machine["cpus"]) == os.cpu_count(), machine["cpus"]
assert machine["findings"] and machine["memory_bytes"] > 0' || fail "the JSON is wrong"
broker_start --profile "$WORK/here.ini" --set admin.listen=
quiet "$MR_BUILD/millrace" topic create probed --bootstrap-server "$BROKER"
broker_stop
pass
