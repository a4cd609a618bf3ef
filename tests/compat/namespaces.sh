# Sourced after lib.sh by the tests over a DPDK device: a network namespace for the broker, $SERVER, and
# one for its clients, $CLIENT. Both go when the test ends.
need ip ethtool
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
SERVER=mr-server-$$ CLIENT=mr-client-$$
ip netns add "$SERVER" 2>/dev/null || skip "no network namespaces here"
trap 'ip netns del $SERVER; ip netns del $CLIENT 2>/dev/null; cleanup' EXIT
ip netns add "$CLIENT"
ip -n "$SERVER" link set lo up
ip -n "$CLIENT" link set lo up

# wire NUMBER NET: a pair of devices, sNUMBER at the broker's end and cNUMBER at the clients', who have
# NET.2 there. The kernel has no address at the broker's end.
wire() {
    local side
    ip link add "s$1" netns "$SERVER" type veth peer name "c$1" netns "$CLIENT"
    for side in "$SERVER s$1" "$CLIENT c$1"; do
        ip -n ${side% *} link set "${side#* }" up
        ip netns exec ${side% *} ethtool -K "${side#* }" tx off tso off gso off gro off >/dev/null
    done
    ip -n "$CLIENT" address add "$2.2/24" dev "c$1"
}
