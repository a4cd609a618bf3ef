#!/usr/bin/env bash
# Goal: the broker runs on bare metal, as far as QEMU is that: its own network card and drive, Debian
# 12's own kernel, and power that goes. Method: standin.c beside machine.sh, in a network namespace
# of its own that a tap device joins to the card.
#
# standin.sh CUTS EXPECTED BROKER-ARGUMENTS... MR_BUILD is the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export MR_BUILD MR_HW_TAP=card

(
    flock 9 # two tests may want to fetch at once
    ./fetch.sh "$MR_BUILD/hw"
    ./initrd.sh "$MR_BUILD/hw" "$MR_BUILD" "$MR_BUILD/hw/initrd"
) 9>"$MR_BUILD/hw.lock"

alone=(unshare --net)
[ "$(id -u)" -eq 0 ] || alone=(unshare --map-root-user --net)
# shellcheck disable=SC2016 # for the inner shell
exec "${alone[@]}" bash -euc '
    ip link set lo up
    ip tuntap add dev "$MR_HW_TAP" mode tap
    ip address add 10.77.0.1/24 dev "$MR_HW_TAP"
    ip link set "$MR_HW_TAP" up
    exec "$@"' standin "$MR_BUILD/tests/hw/standin" ./machine.sh "$1" "$2" 10.77.0.9:9092 \
    --profile /profile.ini \
    --set num.partitions=4 --set log.level=debug "${@:3}"
