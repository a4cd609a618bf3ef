#!/usr/bin/env bash
# Goal: stock clients use the broker over a DPDK device and our own TCP as they use it over sockets.
# Method: broker and clients in two network namespaces that a pair of veth devices joins; the broker
# has its end through AF_PACKET and no kernel address on it. kcat sends and reads small and large
# records in every codec, a consumer group reads once more, contents are compared; two shards with a
# queue each; SIGTERM ends it cleanly while clients are connected.
. "$(dirname "$0")/lib.sh"
need kcat ping python3
. "$COMPAT/namespaces.sh"
wire 0 10.99.0
BROKER=10.99.0.1:9092

client() {
    timeout 60 ip netns exec "$CLIENT" "$@"
}

# start SHARDS
start() {
    : >"$WORK/broker.out"
    rm -rf "$WORK/data"
    ip netns exec "$SERVER" "$MR_BUILD/millraced" --data-dir "$WORK/data" --listen $BROKER \
        --shards "$1" --set transport=dpdk --set dpdk.address=10.99.0.1 --set admin.listen= \
        --set "dpdk.device=net_af_packet0,iface=s0,blocksz=16384,framesz=2048,framecnt=4096,qdisc_bypass=1,qpairs=$1" \
        >"$WORK/broker.out" 2>"$WORK/broker.log" &
    BROKER_PID=$!
    wait_until 30 "the broker is ready" broker_said
    kill -0 $BROKER_PID 2>/dev/null || fail "the broker does not start"
}

# round_trip TOPIC FILE CODEC
round_trip() {
    client kcat -q -P -b $BROKER -t "$1" -p 0 -z "$3" <"$2" || fail "producing to $1"
    client kcat -q -C -b $BROKER -t "$1" -p 0 -o beginning -e >"$WORK/back" || fail "reading $1"
    same "$1 by $3" "$(sum <"$2")" "$(sum <"$WORK/back")"
}

seq 20000 >"$WORK/small"
python3 -c 'import random
random.seed(1)
for i in range(5000): print(i, "x" * random.randrange(20, 9000))' >"$WORK/large"
for shards in 1 2; do
    start $shards
    same "answers to echo requests" 3 "$(client ping -c 3 -i 0.2 -W 2 10.99.0.1 | grep -c 'bytes from')"
    round_trip small-$shards "$WORK/small" none
    for codec in none gzip snappy lz4 zstd; do
        round_trip large-$shards-$codec "$WORK/large" $codec
    done
    client "$MR_BUILD/millrace" consume large-$shards-none --group g --from-beginning \
        --exit-at-end --bootstrap-server $BROKER >"$WORK/back"
    same "read by a group" "$(sum <"$WORK/large")" "$(sum <"$WORK/back")"
    client kcat -q -C -b $BROKER -t small-$shards -o end >/dev/null 2>&1 &
    CHILDREN=($!)
    sleep 0.5 # connected or not, both must be survived
    broker_stop
    kill "${CHILDREN[@]}" 2>/dev/null || true
    CHILDREN=()
done
pass
