#!/usr/bin/env bash
# Goal: a machine with a network card of its own for DPDK and an NVMe drive, which runs the broker as
# if it were the broker: started with its arguments, ready when it prints so, and killed by SIGKILL,
# which cuts the power. Method: QEMU without virtualisation. Each start that finds the logs of both
# disks first makes of them the disks that the cut has left.
#
# machine.sh --listen HOST:PORT --set admin.listen=HOST:PORT FOLDER ARGUMENTS...: the broker gets the
# address and ARGUMENTS. MR_BUILD is the build folder; MR_HW_TAP a tap device, without which QEMU's
# own network forwards the port of 127.0.0.1 (HOST then is the address that clients are told);
# MR_HW_SEED the seed of the cuts; MR_HW_FORGET=forget for cuts that undo what was flushed, too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
listen=$2 folder=$5
shift 5 # what is left are the broker's own
hw=$MR_BUILD/hw
card=0000:00:05.0
address=10.77.0.9

# disk NAME SIZE: as it is at this start, in NAME.base.
disk() {
    if [ -e "$folder/$1.base" ]; then
        "$here/replay.py" "$folder/$1.log" "$folder/$1.base" "${MR_HW_SEED:-1}$starts" \
            ${MR_HW_FORGET:+"$MR_HW_FORGET"} >>"$folder/cuts"
        return
    fi
    truncate -s "$2" "$folder/$1.base"
    if [ "$1" = metadata ]; then
        mkfs.ext4 -q "$folder/$1.base"
    fi
}

# fresh NAME: the disk that the machine gets, and an empty log beside it.
fresh() {
    cp --sparse=always "$folder/$1.base" "$folder/$1.img"
    : >"$folder/$1.log"
}

# The machine that was cut goes a moment after its script: whoever holds the lock still writes.
exec 9>"$folder/lock"
flock 9
starts=$(($(cat "$folder/starts" 2>/dev/null || echo 0) + 1))
echo $starts >"$folder/starts"
disk store 1G
disk metadata 512M

# What differs from start to start lies in a second, small root file system over the first.
mkdir -p "$folder/over"
printf '%s\n' --listen "$address:${listen##*:}" --advertise "$listen" "$@" >"$folder/over/arguments"
cat >"$folder/over/machine" <<END
CARD=$card
WATCHED='^millrace_requests_total'
END
cp "$here/../../hw-profiles/igb-standin.ini" "$folder/over/profile.ini"
(cat "$hw/initrd"
cd "$folder/over" && find . | "$hw/busybox/bin/busybox" cpio -o -H newc 2>/dev/null) >"$folder/initrd"

if [ -n "${MR_HW_TAP:-}" ]; then
    net=tap,ifname=$MR_HW_TAP,script=no,downscript=no
else
    net=user,restrict=on,net=10.77.0.0/24,hostfwd=tcp:$listen-$address:${listen##*:}
fi

# logged NAME: a disk whose writes and flushes are logged.
logged() {
    echo -blockdev "driver=file,filename=$folder/$1.img,node-name=$1-file" \
        -blockdev "driver=file,filename=$folder/$1.log,node-name=$1-log" \
        -blockdev "driver=blklogwrites,node-name=$1,file=$1-file,log=$1-log,log-sector-size=512"
}

# Ends with this script, however that ends. QEMU's emulation of several CPUs has races of its own (an
# assertion in iotlb_to_section, an interrupt that a busy host is late with): one that dies before the
# broker is started has not begun, and begins again.
# shellcheck disable=SC2046 # words
run() {
    LD_LIBRARY_PATH=$hw/qemu/usr/lib/x86_64-linux-gnu:$hw/qemu/lib/x86_64-linux-gnu \
        setpriv --pdeathsig KILL "$hw/qemu/usr/bin/qemu-system-x86_64" \
        -L "$hw/qemu/usr/share/seabios" -L "$hw/qemu/usr/share/qemu" -L "$hw/qemu/usr/lib/ipxe/qemu" \
        -nodefaults -no-user-config -display none -no-reboot \
        -M q35,kernel-irqchip=split -accel tcg,thread=multi -cpu max -smp 2 -m 2560 \
        -kernel "$hw/kernel/vmlinux" -initrd "$folder/initrd" \
        -append "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off nokaslr audit=0 no_timer_check \
            intel_iommu=on iommu=pt hugepagesz=1G hugepages=1 nvme.poll_queues=1 nvme_core.multipath=N" \
        -chardev "file,id=console,path=$folder/console,append=on" -serial chardev:console -serial stdio \
        -device intel-iommu,intremap=on,device-iotlb=on,aw-bits=48 \
        -netdev "$net,id=net" -device "igb,netdev=net,mac=52:54:00:77:00:09,addr=${card#0000:00:}" \
        $(logged store) -device nvme,serial=store,drive=store,logical_block_size=4096,physical_block_size=4096 \
        $(logged metadata) -device virtio-blk-pci,drive=metadata
}

# begun: whether this start's machine came as far as the broker, and its disk as far as being read: once
# in a while QEMU's fails a write.
begun() {
    local said
    said=$(tail -c +$((before + 1)) "$folder/console")
    grep -q '^starting after' <<<"$said" || return 1
    ! grep -q 'I/O error, dev vda' <<<"$said" ||
        ! grep -q 'cannot be opened (Input/output error)' <<<"$said"
}

touch "$folder/console"
for _ in 1 2 3; do
    before=$(stat -c %s "$folder/console")
    fresh store
    fresh metadata
    run || true
    if begun; then
        break
    fi
done
