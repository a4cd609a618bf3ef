#!/usr/bin/env bash
# Goal: our TCP and Linux's move every byte over a wire that loses, delays, reorders and duplicates,
# in both directions, whatever congestion control Linux has.
# Method: three network namespaces: a Linux client, the relay, and a server that is mr_net_serve, once
# over an AF_PACKET device with our TCP and once, to compare, over kernel sockets. mr_net_drive checks
# every byte. Rates are printed beside those of Linux to Linux through the same relay, and not judged.
# Usage: linux.sh quick|all
set -euo pipefail
cd "$(dirname "$0")"
build=$(cd "${MR_BUILD:-../../build}" && pwd)
skip() {
    echo "skipped: $*"
    exit 77
}
fail() {
    echo "FAILED: $*"
    exit 1
}
kind=${1:?quick or all}
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"

client=mr-lc-$$ wire=mr-lw-$$ server=mr-ls-$$
work=$(mktemp -d)
pids=()
cleanup() {
    kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    for name in $client $wire $server; do
        ip netns del "$name" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
ip netns add $client 2>/dev/null || skip "no network namespaces here"
ip netns add $wire
ip netns add $server
# c0 --- wc | relay | ws --- s0
ip link add c0 netns $client type veth peer name wc netns $wire
ip link add s0 netns $server type veth peer name ws netns $wire
for side in "$client c0" "$wire wc" "$wire ws" "$server s0"; do
    set -- $side
    ip netns exec "$1" sysctl -q -w "net.ipv6.conf.$2.disable_ipv6=1"
    ip -n "$1" link set "$2" up
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
done
ip -n $client address add 10.97.0.2/24 dev c0

# start_relay ARGUMENTS...
start_relay() {
    ip netns exec $wire "$build/tests/relay" --delay-us 500 "$@" wc ws >"$work/relay" &
    relay=$!
    pids+=($relay)
}

stop_relay() {
    kill $relay
    wait $relay || true
}

# start_server ours|linux
start_server() {
    local arguments=(--transport kernel --sleep-us 20)
    : >"$work/server"
    ip -n $server address flush dev s0
    ip -n $client neigh flush dev c0
    if [ "$1" = ours ]; then
        arguments=(--transport dpdk --sleep-us 20
            --device net_af_packet0,iface=s0,blocksz=16384,framesz=2048,framecnt=8192,qdisc_bypass=1)
    else
        ip -n $server address add 10.97.0.1/24 dev s0
        ip -n $server route change 10.97.0.0/24 dev s0 src 10.97.0.1 congctl cubic # as ours
    fi
    ip netns exec $server "$build/mr_net_serve" --listen 10.97.0.1:7000 "${arguments[@]}" \
        >"$work/server" 2>"$work/server.log" &
    served=$!
    pids+=($served)
    for _ in $(seq 100); do
        grep -q listening "$work/server" && return
        sleep 0.1
    done
    cat "$work/server.log"
    fail "the server does not start"
}

# Every connection ends, over a wire that loses nothing any more, and every packet is back.
stop_server() {
    local counters
    start_relay
    kill $served
    wait $served || fail "the server has received wrong bytes"
    stop_relay
    counters=$(tail -n 1 "$work/server")
    case "$counters" in
    *"connections 0, buffers "*) ;;
    *) fail "left behind: $counters" ;;
    esac
    set -- ${counters##*buffers }
    [ "$1" = "$3" ] || fail "buffers are missing: $counters"
}

drive() {
    ip netns exec $client "$build/mr_net_drive" --connect 10.97.0.1:7000 "$@"
}

# transfer WHO LOSS-ARGUMENTS DIRECTION CONTROL: the rate goes to $work/rates.
transfer() {
    local result
    result=$(drive --mode "$3" --count "$bytes" --congestion "$4" --timeout 60) ||
        fail "$1, $2, $3, $4: not every byte arrived"
    echo "$2|$3|$4|$1|$(sed 's/.*"mbit_s": \([0-9.]*\).*/\1/' <<<"$result")" >>"$work/rates"
}

case "$kind" in
quick)
    bytes=3000000
    wires=("--loss 0" "--loss 0.01" "--loss 0.01 --burst 4 --reorder 0.01 --duplicate 0.01")
    controls="cubic"
    ;;
all)
    bytes=2000000
    wires=("--loss 0" "--loss 0.001" "--loss 0.01" "--loss 0.03" "--loss 0.001 --burst 4"
        "--loss 0.01 --burst 4" "--loss 0.03 --burst 4"
        "--loss 0.001 --reorder 0.02 --duplicate 0.01")
    controls="cubic bbr reno"
    ;;
esac

for who in linux ours; do
    start_server $who
    for line in "${wires[@]}"; do
        read -ra arguments <<<"$line"
        start_relay "${arguments[@]}"
        for control in $controls; do
            transfer $who "$line" in "$control"
            # What leaves the server does not depend on the client's control: both have CUBIC.
            [ "$control" != cubic ] || transfer $who "$line" out "$control"
        done
        stop_relay
        [ -z "${VERBOSE:-}" ] || cat "$work/relay"
        case "$line" in
        "--loss 0") ;;
        *) grep -q 'lost [1-9]' "$work/relay" || fail "the relay has lost nothing with $line" ;;
        esac
    done
    stop_server
done
printf '%-46s %-4s %-6s %8s %8s %8s\n' wire to sender linux ours ratio
awk -F'|' '{ key = $1 "|" $2 "|" $3; if (!(key in seen)) { seen[key] = 1; order[++n] = key }
    rate[key, $4] = $5 }
    END { for (i = 1; i <= n; i++) { split(order[i], part, "|"); key = order[i]
        printf "%-46s %-4s %-6s %8.1f %8.1f %8.2f\n", part[1], part[2], part[2] == "in" ? part[3] : "server",
            rate[key, "linux"], rate[key, "ours"], rate[key, "ours"] / rate[key, "linux"] } }' "$work/rates"
echo passed
