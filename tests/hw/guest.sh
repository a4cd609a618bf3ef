#!/bin/sh
# What runs in the stand-in machine as its first process: mounts, modules, the card to
# vfio-pci, the second disk's file system; then the broker with the arguments in /arguments. The
# second serial line tells the host that it serves; what each shard has done goes to the console
# every few seconds.
export PATH=/bin HOME=/ LD_LIBRARY_PATH=/usr/lib:/lib64
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/hugepages /var
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
ln -s /run /var/run

while read -r module; do
    insmod "/lib/modules/$module" || echo "the module $module does not load"
done </lib/modules/order

ip link set lo up
. /machine # CARD, WATCHED
mount -t hugetlbfs -o pagesize=1G huge /dev/hugepages
echo vfio-pci >"/sys/bus/pci/devices/$CARD/driver_override"
echo "$CARD" >/sys/bus/pci/drivers_probe
mount -t ext4 /dev/vda /mnt || echo "the second disk is not mounted"

set --
while read -r argument; do
    set -- "$@" "$argument"
done </arguments
echo "starting after $(cut -d' ' -f1 /proc/uptime) s"
millraced "$@" >/tmp/out 2>/dev/console &
broker=$!
while kill -0 $broker 2>/dev/null && ! grep -q '^millraced ready' /tmp/out; do
    sleep 0.1
done
echo "ready after $(cut -d' ' -f1 /proc/uptime) s"
if kill -0 $broker 2>/dev/null; then
    cat /tmp/out >/dev/ttyS1
fi
while kill -0 $broker 2>/dev/null; do
    wget -q -O - http://127.0.0.1:9644/metrics | grep "$WATCHED"
    sleep 2
done
echo "the broker has ended"
poweroff -f
