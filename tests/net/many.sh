#!/usr/bin/env bash
# Goal: a flood of SYNs, ten thousand connections and connections that come and go take bounded
# memory and leave nothing behind, and established connections go on beside them.
# Method: mr_net_serve with our TCP over an AF_PACKET device, Linux clients in a namespace of their
# own. Round trips beside each load are printed as a ratio to those alone, and not judged; that they
# all arrive is, and that the server's memory stays as it was and every packet is back.
# Usage: many.sh SYNS CONNECTIONS SECONDS-OF-CHURN
. "$(dirname "$0")/lib.sh"
syns=$1 connections=$2 seconds=$3
address=10.96.0.1

ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" -gt $((connections + 100)) ] || skip "only $(ulimit -n) open files are allowed"
namespace "$client"
namespace "$server"
join "$client" c0 "$server" s0
ip -n "$client" address add 10.96.0.2/24 dev c0
# Ports of closed connections are used again after a second, not after a minute.
ip netns exec "$client" sysctl -q -w net.ipv4.tcp_tw_reuse=1 \
    net.ipv4.ip_local_port_range="1024 65000"
mac=$(ip netns exec "$server" cat /sys/class/net/s0/address)
serve_ours $address --connections $((connections + 2000))

# echoes NAME FLAGS...: round trips; p50 and p99 go to NAME.
echoes() {
    local name=$1
    shift
    drive $address --mode echo --count 5000 "$@" >"$work/$name" || fail "an established connection, $name"
}

resident_kb() {
    awk '/VmRSS/ { print $2 }' "/proc/$served/status"
}

# beside NAME: prints the round trips beside a load, and the ratio to those alone.
beside() {
    python3 -c 'import json, sys
alone, beside = (json.load(open(path)) for path in sys.argv[1:3])
print("%s: round trip p50 %.1f us, p99 %.1f us; alone %.1f and %.1f; ratio %.2f and %.2f" % (
    sys.argv[3], beside["p50_us"], beside["p99_us"], alone["p50_us"], alone["p99_us"],
    beside["p50_us"] / alone["p50_us"], beside["p99_us"] / alone["p99_us"]))' \
        "$work/alone" "$work/$1" "$1"
}

echoes warm
echoes alone
before=$(resident_kb)

ip netns exec "$client" "$build/tests/flood" c0 "$mac" $address 7000 "$syns" &
flood=$!
echoes flood
wait $flood || fail "the flood"
beside flood
after=$(resident_kb)
echo "flood: $syns SYNs; resident $before kB before, $after kB after"
[ "$after" -lt $((before + 16384)) ] || fail "the flood took memory"

echoes connections --hold "$connections"
beside connections
echo "connections: $connections; resident $(resident_kb) kB"

for i in 1 2 3; do
    drive $address --mode churn --count "$seconds" >"$work/churn$i" &
    churn[i]=$!
done
echoes churn
for i in 1 2 3; do
    wait "${churn[i]}" || fail "connections that come and go"
done
beside churn
cat "$work"/churn[123] | python3 -c 'import json, sys
print("churn: %d connections a second" % sum(json.loads(line)["connections_s"] for line in sys.stdin))'
stop_serving
tail -n 1 "$work/server"
echo passed
