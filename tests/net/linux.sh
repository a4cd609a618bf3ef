#!/usr/bin/env bash
# Goal: our TCP and Linux's move every byte over a wire that loses, delays, reorders and duplicates,
# in both directions, whatever congestion control Linux has.
# Method: three network namespaces: a Linux client, the relay, and a server that is mr_net_serve, once
# over an AF_PACKET device with our TCP and once, to compare, over kernel sockets. mr_net_drive checks
# every byte. Rates are printed beside those of Linux to Linux through the same relay, and not judged.
# Usage: linux.sh quick|all
. "$(dirname "$0")/lib.sh"
kind=${1:?quick or all}
wire=mr-nw-$$
address=10.97.0.1

namespace "$client"
namespace "$wire"
namespace "$server"
# c0 --- wc | relay | ws --- s0
join "$client" c0 "$wire" wc
join "$server" s0 "$wire" ws
ip -n "$client" address add 10.97.0.2/24 dev c0

# What is left on its way arrives over a wire that loses nothing any more.
stop_server() {
    start_relay
    stop_serving
    stop_relay
}

# transfer WHO LOSS-ARGUMENTS DIRECTION CONTROL: the rate goes to $work/rates.
transfer() {
    local result
    result=$(drive $address --mode "$3" --count "$bytes" --congestion "$4") ||
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
