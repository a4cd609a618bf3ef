#!/usr/bin/env bash
# Goal: every profile that comes with the broker is in order, and a wrong one ends the start with one
# line that names the file, the line and the way out. Method: --check-profile for what holds on any
# machine, a start for what contradicts this one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
profile=$work/wrong.ini
count=0

fail() {
    echo "FAILED: $*"
    exit 1
}

# refused LINE FAULT HINT ARGUMENTS...: the profile on stdin; all of it in one line of stderr.
refused() {
    local line=$1 fault=$2 hint=$3
    shift 3
    cat >"$profile"
    if timeout 30 "$MR_BUILD/millraced" "$@" "$profile" >"$work/out" 2>"$work/err"; then
        fail "'$(cat "$profile")' is taken"
    fi
    grep -v ' INFO \| WARN ' "$work/err" >"$work/said" || true
    [ "$(wc -l <"$work/said")" -eq 1 ] || fail "not one line: $(cat "$work/said")"
    grep -qF "$profile:$line: " "$work/said" || fail "no line $line in: $(cat "$work/said")"
    grep -qF -- "$fault" "$work/said" || fail "no '$fault' in: $(cat "$work/said")"
    grep -qF -- "$hint" "$work/said" || fail "no '$hint' in: $(cat "$work/said")"
    count=$((count + 1))
}

wrong() {
    refused "${@:2}" --check-profile < <(printf '%b' "$1")
}

# What this machine does not have.
contradicts() {
    refused "${@:2}" --data-dir "$work/data" --profile < <(printf '%b' "$1")
}

for file in hw-profiles/*.ini; do
    "$MR_BUILD/millraced" --check-profile "$file" >/dev/null || fail "$file is not in order"
done

nic='[nic]\ntransport = dpdk\naddress = 10.0.0.1\n'
wrong '[cores]\nshard = 2\n' 2 "unknown setting '[cores] shard'" "'[cores] shards'"
wrong '[core]\nshards = 2\n' 2 "unknown setting '[core] shards'" "'[cores] shards'"
wrong 'shards = 2\n' 1 "unknown setting" "did you mean"
wrong '[cores\nshards = 2\n' 1 "neither [section] nor name = value" ""
wrong '[cores]\nshards\n' 2 "neither [section] nor name = value" ""
wrong '[cores]\nshards = two\n' 2 "'two'" "a whole number"
wrong '[cores]\nshards = 128\n' 2 "shards=128" "between 1 and 127"
wrong '[cores]\nshards = -1\n' 2 "shards=-1" "between 1 and 127"
wrong '[cores]\nshards = 2\ncpus = 1\n' 3 "1 CPU for 2 shards" "set shards"
wrong '[cores]\nshards = 2\ncpus = 1,1\n' 3 "cores.cpus=1,1" "once"
wrong '[cores]\nshards = 2\ncpus = 2-1\n' 3 "cores.cpus=2-1" "such as 1-7,9"
wrong '[cores]\ncontrol = first\n' 2 "cores.control=first" "such as 0,8"
wrong '[idle]\npolicy = nap\n' 2 "cores.idle=nap" "spin-then-sleep"
wrong '[idle]\npolicy = spin\nspin_us = 10\n' 3 "only spin-then-sleep" "leave it out"
wrong '[idle]\nspin_us = -5\n' 2 "'-5'" "between 0"
wrong '[hugepages]\npages_2m = 16\n[memory]\nbytes = 536870912\n' 2 "32 MiB in all" "lower memory.bytes"
wrong '[hugepages]\npages_1g = -1\n' 2 "'-1'" "between 0"
wrong '[nic]\ntransport = rdma\n' 2 "transport=rdma" "kernel or dpdk"
wrong '[nic]\ntransport = dpdk\n' 2 "dpdk.device is missing" "0000:3b:00.0"
wrong "${nic}device = eth0\n" 4 "dpdk.device=eth0" "net_..."
wrong "${nic}device = 0000:3B:00.0\n" 4 "dpdk.device=0000:3B:00.0" "in small letters"
wrong '[nic]\ntransport = dpdk\naddress = here\ndevice = net_tap0\n' 3 "dpdk.address=here" "IPv4"
wrong "${nic}device = net_tap0\npackets = 100\n" 5 "dpdk.packets=100" "between 1024"
wrong "${nic}device = net_tap0\nmtu = 9001\n" 5 "dpdk.mtu=9001" "0 for the device's"
wrong "${nic}device = net_tap0\nchecksums = false\n" 5 "dpdk.checksums=false" "leave it out"
wrong "${nic}device = net_memif0;net_tap0\nchecksums = false\n" 5 "dpdk.checksums=false" "leave it out"
wrong "[cores]\nshards = 4\n${nic}device = 0000:3b:00.0\nqueues = 2\n" 7 "4 shards" "pairs of queues"
wrong "${nic}device = net_tap0\ndriver = net_ice\n" 4 "net_ice drives a PCI device" "0000:3b:00.0"
wrong "${nic}device = 0000:3b:00.0\ndriver = net_memif\n" 4 "begins with net_memif0" ""
wrong "${nic}device = 0000:3b:00.0\ndriver = net_none\n" 5 "no driver that is known" "leave it out"
wrong '[drives]\nflush = sometimes\n' 2 "drives.flush=sometimes" "fua or flush"
wrong '[drives]\npaths = /dev/nvme0n1\n' 2 "hold no metadata" "metadata.log.dir"
wrong '[drives]\npaths = /srv/data\npassthrough = true\n' 3 "no NVMe namespace" "/dev/nvme0n1"
wrong '[drives]\nblock_bytes = 520\n' 2 "drives.block.bytes=520" "512 or 4096"
wrong '[drives]\ndiscard = sometimes\n' 2 "'sometimes'" "true"
wrong '[drives]\nqueue_depth = 70000\n' 2 "'70000'" "between 0 and 65536"
wrong '[memory]\nbytes = 0\n' 2 "'memory.bytes'" "between 1"

contradicts '[cores]\nshards = 1\ncpus = 4000\n' 3 "there is no CPU 4000" "name some of those"
contradicts '[cores]\ncontrol = 4000\n' 2 "there is no CPU 4000" "name some of those"
contradicts "[cores]\nshards = $(nproc --all)\n[idle]\npolicy = spin\n" 4 "cores.idle=spin" "lower shards"
contradicts '[hugepages]\npages_2m = 1000000\n' 2 "are free" "echo 1000000 >/sys/kernel/mm"
contradicts '[memory]\nbytes = 900000000000000\n' 2 "this machine has" "give the broker less"
contradicts '[cores]\nshards = 1\n[memory]\nbytes = 1000000\n' 4 "too small" "are needed"
contradicts "${nic}device = ffff:ff:1f.7\n" 4 "no network card there" "millrace probe"
contradicts "${nic}device = net_af_packet0,iface=none9\n" 4 "no network interface none9" "ip link"
contradicts '[stores]\nbytes = 1048576\njournal_bytes = 1048576\n' 3 "journal.bytes=1048576" "half of"
[ ! -e "$work/data/metadata.log" ] || fail "a start that was refused has left metadata"
refused 2 "there is no /dev/nvme99n1" "millrace probe" --profile \
    < <(printf '[drives]\npaths = /dev/nvme99n1\nmetadata = %s/metadata\n' "$work")
echo "$count wrong profiles are refused"
