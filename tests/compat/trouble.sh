#!/usr/bin/env bash
# Goal: trouble on the wire of a DPDK device ends well: connections recover or close, every pool is
# back as it was at the start, and other clients go on.
# Method: broker and clients in two network namespaces, AF_PACKET and our own TCP between them. The
# link goes down for ten seconds under a transfer; a client vanishes with its connections open; one
# has a larger MTU than the broker's; a flood of frames meets a full descriptor ring; consumers that
# do not read take all they can get. After each the broker's own figures are compared with those of
# the start.
. "$(dirname "$0")/lib.sh"
need kcat python3 curl
. "$COMPAT/namespaces.sh"
ADMIN=127.0.0.1:9644
wire 0 10.99.0
ip -n "$CLIENT" address add 10.99.0.3/24 dev c0
BROKER=10.99.0.1:9092
DEVICE=net_af_packet0,iface=s0,blocksz=16384,framesz=2048,framecnt=1024,qdisc_bypass=1
ip netns exec "$SERVER" "$MR_BUILD/millraced" --data-dir "$WORK/data" --listen $BROKER --shards 1 \
    --set transport=dpdk --set dpdk.address=10.99.0.1 --set dpdk.device=$DEVICE \
    --set dpdk.packets=2048 --set admin.listen=$ADMIN --set connections.max.idle.ms=15000 \
    >"$WORK/broker.out" 2>"$WORK/broker.log" &
BROKER_PID=$!
wait_until 30 "the broker is ready" broker_said

client() {
    timeout 120 ip netns exec "$CLIENT" "$@"
}

# The figures of everything that is lent.
pools() {
    ip netns exec "$SERVER" curl -sf "http://$ADMIN/metrics" | grep -E \
        '^millrace_(connections|request_contexts|frame_memory_bytes|fetches_parked|credits_used|receive_buffers_free|store_pinned_bytes)\{'
}

as_at_the_start() {
    pools >"$WORK/now" && cmp -s "$WORK/start" "$WORK/now"
}

# back WHAT: all is back, and a client is served.
back() {
    wait_until 90 "every pool is back after $1" as_at_the_start
    same "a client after $1" "$(sum <"$WORK/records")" \
        "$(client kcat -q -C -b $BROKER -t records -p 0 -o beginning -c 20000 -e | sum)"
    wait_until 90 "its client is gone" as_at_the_start
    echo "well after $1"
}

seq 20000 >"$WORK/records"
client kcat -q -P -b $BROKER -t records -p 0 <"$WORK/records"
for _ in $(seq 8); do head -c 1000000 /dev/zero | tr '\0' x; echo; done >"$WORK/large"
sleep 2 # the first client has gone
pools >"$WORK/start"

# The link is gone for ten seconds in the middle of a transfer.
(for i in $(seq 200); do echo "$i $(head -c 500 /dev/zero | tr '\0' y)"; sleep 0.02; done) |
    client kcat -q -P -b $BROKER -t link -p 0 -E -X message.timeout.ms=100000 &
sender=$!
sleep 2
ip -n "$CLIENT" link set c0 down
sleep 10
ip -n "$CLIENT" link set c0 up
wait $sender || fail "a producer does not survive ten seconds without a link"
same "records behind the gap" 200 \
    "$(client kcat -q -C -b $BROKER -t link -p 0 -o beginning -e | cut -d' ' -f1 | sort -un | wc -l)"
back "a link that was down"

# A client is gone from one moment to the next: no FIN, no RST, nobody answers.
client python3 - <<'PYTHON' &
import socket, time
there = []
for _ in range(20):
    one = socket.create_connection(('10.99.0.1', 9092), source_address=('10.99.0.3', 0))
    one.sendall(b'\x00\x01\x00\x00' + b'half a frame')
    there.append(one)
print('there', flush=True)
time.sleep(3)
PYTHON
gone=$!
sleep 2
ip -n "$CLIENT" address del 10.99.0.3/24 dev c0
wait $gone
back "clients that vanished"

# The client's frames may be larger than the broker's.
ip -n "$CLIENT" link set c0 mtu 4000
client kcat -q -P -b $BROKER -t mtu -p 0 -X message.max.bytes=1048588 <"$WORK/large"
same "large records from a larger MTU" "$(sum <"$WORK/large")" \
    "$(client kcat -q -C -b $BROKER -t mtu -p 0 -o beginning -e -X fetch.message.max.bytes=2000000 | sum)"
ip -n "$CLIENT" link set c0 mtu 1500
back "an MTU mismatch"

# More frames than descriptors, from eight senders at once, beside a client that works.
for _ in 1 2 3 4 5 6 7 8; do
    client python3 - <<'PYTHON' &
import socket, time
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 5
while time.monotonic() < end:
    flood.sendto(b'x' * 1000, ('10.99.0.1', 9))
PYTHON
    CHILDREN+=($!)
done
same "a client beside a flood" "$(sum <"$WORK/records")" \
    "$(client kcat -q -C -b $BROKER -t records -p 0 -o beginning -c 20000 -e | sum)"
wait "${CHILDREN[@]}"
CHILDREN=()
back "a flood"

# Consumers that ask for everything and read nothing, beside one that reads.
client python3 - <<'PYTHON' &
import socket, struct, time
topic = struct.pack('>h', 3) + b'mtu'
fetch = struct.pack('>iiii', -1, 100, 1, 8 << 20) + b'\0' + struct.pack('>i', 1) + topic + \
    struct.pack('>iiqi', 1, 0, 0, 8 << 20)
head = struct.pack('>hhi', 1, 4, 7) + struct.pack('>h', 4) + b'slow'
frame = struct.pack('>i', len(head) + len(fetch)) + head + fetch
there = []
for _ in range(50):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(('10.99.0.1', 9092))
    one.sendall(frame)
    there.append(one)
time.sleep(15)
PYTHON
slow=$!
sleep 3
same "a client beside slow ones" "$(sum <"$WORK/records")" \
    "$(client kcat -q -C -b $BROKER -t records -p 0 -o beginning -c 20000 -e | sum)"
kill -0 $slow || fail "the slow consumers are not there any more"
wait $slow
back "slow consumers"
broker_stop
pass
