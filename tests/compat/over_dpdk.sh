#!/usr/bin/env bash
# Runs another test of this folder with the broker on a DPDK device and our own TCP: the broker is in a
# network namespace, with no kernel address on its end of a pair of veth devices, the test and its
# clients are in another.
# Usage: over_dpdk.sh af_packet|af_xdp|af_xdp_each SHARDS SCRIPT [ARGUMENTS...]
. "$(dirname "$0")/lib.sh"
device=$1 shards=$2 script=$3
shift 3
MR_FETCH_ONLY=yes "$COMPAT/$script" "$@" >/dev/null || fail "$script cannot be prepared"
. "$COMPAT/namespaces.sh"
wire 0 10.99.0
address=10.99.0.1
case $device in
af_packet) vdev=net_af_packet0,iface=s0,blocksz=16384,framesz=2048,framecnt=4096,qdisc_bypass=1,qpairs=$shards ;;
af_xdp) vdev=net_af_xdp0,iface=s0 ;;
af_xdp_each) # a device with one queue for each shard, which only direct routing makes known
    wire 1 10.98.0
    vdev="net_af_xdp0,iface=s0;net_af_xdp1,iface=s1"
    address=10.99.0.1,10.98.0.1
    MR_BROKER_FLAGS="$MR_BROKER_FLAGS --set direct.routing=true"
    ;;
esac
MR_BROKER_HOST=10.99.0.1 MR_BROKER_IN="ip netns exec $SERVER" \
    MR_BROKER_FLAGS="$MR_BROKER_FLAGS --shards $shards --set transport=dpdk --set dpdk.address=$address --set dpdk.device=$vdev" \
    ip netns exec "$CLIENT" "$COMPAT/$script" "$@" || {
    [ $? -eq 77 ] && skip "the test is skipped, see above"
    fail "over $device, $shards shards"
}
pass
