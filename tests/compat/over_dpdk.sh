#!/usr/bin/env bash
# Runs another test of this folder with the broker on a DPDK device and our own TCP: the broker is in a
# network namespace, with no kernel address on its end of a pair of veth devices, the test and its
# clients are in another.
# Usage: over_dpdk.sh af_packet|af_xdp SHARDS SCRIPT [ARGUMENTS...]
. "$(dirname "$0")/lib.sh"
need ip ethtool
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
device=$1 shards=$2 script=$3
shift 3
MR_FETCH_ONLY=yes "$COMPAT/$script" "$@" >/dev/null || fail "$script cannot be prepared"
server=mr-os-$$ client=mr-oc-$$

ip netns add "$server" 2>/dev/null || skip "no network namespaces here"
trap 'ip netns del $server; ip netns del $client 2>/dev/null; cleanup' EXIT
ip netns add "$client"
ip link add mrs$$ netns "$server" type veth peer name mrc$$ netns "$client"
for side in "$server mrs$$" "$client mrc$$"; do
    set -- $side "$@"
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
    shift 2
done
ip -n "$client" address add 10.99.0.2/24 dev mrc$$
case $device in
af_packet) vdev=net_af_packet0,iface=mrs$$,blocksz=16384,framesz=2048,framecnt=4096,qdisc_bypass=1,qpairs=$shards ;;
af_xdp) vdev=net_af_xdp0,iface=mrs$$ ;;
esac
MR_BROKER_HOST=10.99.0.1 MR_BROKER_IN="ip netns exec $server" \
    MR_BROKER_FLAGS="$MR_BROKER_FLAGS --shards $shards --set transport=dpdk --set dpdk.address=10.99.0.1 --set dpdk.device=$vdev" \
    ip netns exec "$client" "$COMPAT/$script" "$@" || {
    [ $? -eq 77 ] && skip "the test is skipped, see above"
    fail "over $device, $shards shards"
}
pass
