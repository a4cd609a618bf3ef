#!/usr/bin/env bash
# Goal: the root file system of the stand-in machine: busybox, the broker with the libraries that
# ldd names and the drivers that DPDK loads, and the kernel's modules in the order of their needs.
#
# initrd.sh FOLDER BUILD OUT, where FOLDER is fetch.sh's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(realpath "$1") build=$(realpath "$2") out=$(realpath "$3")
tree=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$tree"' EXIT
busybox=$folder/busybox/bin/busybox
modules=$(echo "$folder"/kernel/lib/modules/*)
plugins=/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0

mkdir -p "$tree"/{bin,dev,etc,lib64,lib/modules,mnt,proc,run,sys,tmp,usr/lib,"$plugins"}
cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do
    [ -e "$tree/bin/$applet" ] || ln -s busybox "$tree/bin/$applet"
done

# libraries FILE: copies what it is linked with; the loader has a place of its own.
libraries() {
    local library target
    while read -r library; do
        target=$tree/usr/lib/$(basename "$library")
        case $library in /lib64/*) target=$tree/lib64/$(basename "$library") ;; esac
        [ -e "$target" ] || cp -L "$library" "$target"
    done < <(ldd "$1" | grep -oE '/[^ ]+')
}

strip -o "$tree/bin/millraced" "$build/millraced"
libraries "$build/millraced"

# The EAL loads every file of its plugin folder. A driver that others depend on is found in /usr/lib
# as well: it must be the same file, or it registers twice.
for driver in bus_pci bus_vdev mempool_ring net_e1000; do
    cp -L "$plugins/librte_$driver.so.23" "$tree/usr/lib/"
    libraries "$plugins/librte_$driver.so.23"
    ln -s "/usr/lib/librte_$driver.so.23" "$tree/$plugins/librte_$driver.so"
done

# module NAME: with what it depends on before it; one that the kernel has built in needs no file.
module() {
    local file name
    file=$(find "$modules" -name "${1//_/-}.ko*" -o -name "${1//-/_}.ko*" | head -n 1)
    if [ -z "$file" ]; then
        grep -qE "/(${1//-/_}|${1//_/-})\.ko" "$modules/modules.builtin" && return
        echo "the kernel has no module $1" >&2
        exit 1
    fi
    name=$(basename "${file%.xz}")
    grep -qx "$name" "$tree/lib/modules/order" 2>/dev/null && return
    case $file in
    *.xz) xz -dc "$file" >"$tree/lib/modules/$name" ;;
    *) cp "$file" "$tree/lib/modules/$name" ;;
    esac
    for needed in $(strings "$tree/lib/modules/$name" | sed -n 's/^depends=//p' | tr , ' '); do
        module "$needed"
    done
    echo "$name" >>"$tree/lib/modules/order"
}
for name in vfio-pci vfio_iommu_type1 nvme virtio_pci virtio_blk ext4; do
    module "$name"
done

cp "$here/guest.sh" "$tree/init"
chmod +x "$tree/init"
(cd "$tree" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$out.new"
mv "$out.new" "$out"
