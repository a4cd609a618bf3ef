#!/usr/bin/env bash
# The transport suite over DPDK: a network namespace with a veth pair, one end for the transport
# through AF_PACKET, the other for its peers' kernel sockets. The peers retransmit early, so that what
# waits for memory is not waited for long.
# Usage: transport_dpdk.sh TEST [ARGUMENTS...]
set -euo pipefail
skip() {
    echo "skipped: $*"
    exit 77
}
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
if [ "${MR_NAMESPACE:-}" != inside ]; then
    unshare --net true 2>/dev/null || skip "no network namespaces here"
    MR_NAMESPACE=inside exec unshare --net "$0" "$@"
fi
ip link set lo up
ip link add mrt0 type veth peer name mrt1 || skip "no veth devices here"
for side in mrt0 mrt1; do
    sysctl -q -w "net.ipv6.conf.$side.disable_ipv6=1"
    ip link set $side up
    ethtool -K $side tx off tso off gso off gro off >/dev/null
done
ip address add 10.98.0.2/24 dev mrt1
ip route change 10.98.0.0/24 dev mrt1 src 10.98.0.2 rto_min 5ms
exec "$1" dpdk "${@:2}"
