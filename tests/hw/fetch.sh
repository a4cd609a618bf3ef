#!/usr/bin/env bash
# Goal: what the stand-in machine consists of, in a folder: QEMU (Debian's backports, for its igb),
# busybox and Debian 12's own cloud kernel, unpacked from their packages; nothing is installed.
#
# fetch.sh FOLDER. What is there already stays. Exit status 77: the packages cannot be had.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"/{lists/partial,archives/partial,packages,qemu,busybox,kernel}
cd "$1"
root=$PWD

cat >debian.sources <<'END'
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END

# Debian's archive with apt's state of our own, so that an ordinary user may ask it.
apt() {
    local tool=$1
    shift
    "$tool" -o Dir::Etc::sourcelist="$root/debian.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$root/lists" \
        -o Dir::Cache="$root" -o APT::Sandbox::User= -o APT::Update::Error-Mode=any \
        -o Acquire::Retries=3 -o Acquire::http::Timeout=20 "$@"
}

# unpack FOLDER APT-ARGUMENTS...: downloads packages and unpacks them there.
unpack() {
    local folder=$1 package
    shift
    rm -f packages/*.deb
    (cd packages && apt apt-get -qq download "$@" >&2) || return
    for package in packages/*.deb; do
        dpkg -x "$package" "$folder"
    done
}

# QEMU and those of its libraries that this machine does not have.
fetch_qemu() {
    local wanted
    wanted=$(apt apt-get install --no-install-recommends -s -t bookworm-backports qemu-system-x86 |
        awk '/^Inst/ { print $2 }') || return
    # shellcheck disable=SC2086 # a list
    unpack qemu -t bookworm-backports ${wanted:-qemu-system-x86}
}

fetch_kernel() {
    local package
    package=$(apt apt-cache depends linux-image-cloud-amd64 |
        awk '/Depends: linux-image/ { print $2; exit }') || return
    unpack kernel "$package" || return
    python3 "$here/extract_vmlinux.py" kernel/boot/vmlinuz-* kernel/vmlinux.new &&
        mv kernel/vmlinux.new kernel/vmlinux
}

cannot() {
    echo "skipped: the packages of $1 cannot be had"
    exit 77
}

if [ ! -e complete ]; then
    command -v apt-get >/dev/null || cannot "Debian"
    apt apt-get -qq update >&2 || cannot "Debian"
    fetch_qemu || cannot "QEMU"
    unpack busybox busybox-static || cannot "busybox"
    fetch_kernel || cannot "the kernel"
    rm -rf packages archives lists
    touch complete
fi
