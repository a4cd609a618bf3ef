# Sourced by the tests of this folder: network namespaces, and mr_net_serve and mr_net_drive in them.
# $server and $client are the names of the two namespaces; $work is a temporary folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
build=$(cd "${MR_BUILD:-../../build}" && pwd)
server=mr-ns-$$ client=mr-nc-$$
work=$(mktemp -d)
namespaces=()
pids=()

skip() {
    echo "skipped: $*"
    exit 77
}

fail() {
    echo "FAILED: $*"
    exit 1
}

cleanup() {
    local name
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    for name in ${namespaces[@]+"${namespaces[@]}"}; do
        ip netns del "$name" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"

namespace() {
    ip netns add "$1" 2>/dev/null || skip "no network namespaces here"
    namespaces+=("$1")
}

# end_of NAMESPACE DEVICE: up, without what would make frames that no wire carries.
end_of() {
    ip netns exec "$1" sysctl -q -w "net.ipv6.conf.$2.disable_ipv6=1"
    ip -n "$1" link set "$2" up
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
}

# join NAMESPACE DEVICE NAMESPACE DEVICE: a pair of veth devices.
join() {
    ip link add "$2" netns "$1" type veth peer name "$4" netns "$3" || skip "no veth devices here"
    end_of "$1" "$2"
    end_of "$3" "$4"
}

# serve ADDRESS ARGUMENTS...: mr_net_serve on port 7000 of the address, in the server's namespace.
serve() {
    local address=$1
    shift
    : >"$work/server"
    ip netns exec "$server" "$build/mr_net_serve" --listen "$address:7000" --sleep-us 20 "$@" \
        >"$work/server" 2>"$work/server.log" &
    served=$!
    pids+=("$served")
    for _ in $(seq 100); do
        grep -q listening "$work/server" && return
        sleep 0.1
    done
    fail "the server does not start: $(cat "$work/server.log")"
}

# Over our TCP, through the device s0.
serve_ours() {
    serve "$1" --transport dpdk \
        --device net_af_packet0,iface=s0,blocksz=16384,framesz=2048,framecnt=8192,qdisc_bypass=1 "${@:2}"
}

# Every connection ends, and every packet is back.
stop_serving() {
    local counters free of all
    kill "$served"
    wait "$served" || fail "the server has received wrong bytes"
    counters=$(tail -n 1 "$work/server")
    case "$counters" in
    *"connections 0, buffers "*) ;;
    *) fail "connections are left: $counters" ;;
    esac
    read -r free of all <<<"${counters##*buffers }"
    [ "$free" = "$all" ] || fail "buffers are missing: $counters"
}

# drive ADDRESS ARGUMENTS...
drive() {
    ip netns exec "$client" "$build/mr_net_drive" --connect "$1:7000" --timeout 60 "${@:2}"
}

# start_relay ARGUMENTS...: the wire between client and server, in the namespace $wire.
start_relay() {
    ip netns exec "$wire" "$build/tests/relay" --delay-us 500 "$@" wc ws >"$work/relay" &
    relay=$!
    pids+=("$relay")
}

stop_relay() {
    kill "$relay"
    wait "$relay" || true
}

# start_server ours|linux: at $address, both with CUBIC.
start_server() {
    ip -n "$server" address flush dev s0
    ip -n "$client" neigh flush dev c0
    if [ "$1" = ours ]; then
        serve_ours $address
    else
        ip -n "$server" address add $address/24 dev s0
        ip -n "$server" route change 10.97.0.0/24 dev s0 src $address congctl cubic
        serve $address --transport kernel
    fi
}
