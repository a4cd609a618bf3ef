#!/usr/bin/env bash
# Goal: with direct routing every shard is a broker of its own in all that clients ask about, also
# where there are more shards than stores. Method: four shards, two stores; Metadata by kcat,
# CreateTopics with replica assignments by hand, groups and the cross-core share by our own tool.
. "$(dirname "$0")/lib.sh"
need kcat python3 curl
ADMIN=127.0.0.1:$(free_port)
MR_BROKER_FLAGS="--shards 4 --set direct.routing=true --set stores.per.dir=2 --set admin.listen=$ADMIN"
MR_BROKER_FLAGS+=" --set group.initial.rebalance.delay.ms=0"
broker_start
port=${BROKER##*:}

# assign TOPIC NODE: the error code of CreateTopics version 2 with one partition assigned to the node.
assign() {
    python3 - "$port" "$1" "$2" <<'PYTHON'
import socket
import struct
import sys

port, name, node = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
body = struct.pack('>ih', 1, len(name)) + name + struct.pack('>ihiiii', -1, -1, 1, 0, 1, node)
body += struct.pack('>iiB', 0, 10000, 0)
frame = struct.pack('>hhih', 19, 2, 7, -1) + body
client = socket.create_connection(('127.0.0.1', port), timeout=30)
client.sendall(struct.pack('>i', len(frame)) + frame)
answer = client.recv(65536)
print(struct.unpack_from('>h', answer, 4 + 4 + 4 + 4 + 2 + len(name))[0])
PYTHON
}

for node in 256 257; do
    same "a topic for broker $node" 0 "$(assign "on-$node" $node)"
    kcat -L -b "$BROKER" -t "on-$node" | grep -q "partition 0, leader $node, replicas: $node, isrs: $node" ||
        fail "the partition of on-$node is elsewhere"
done
for node in 258 259 260 1 -1; do # two without a store, three that do not exist
    same "a topic for broker $node" 39 "$(assign "on-$node" "$node")"
done
same "brokers" "256 257 258 259" \
    "$(kcat -L -b "$BROKER" | sed -n 's/^ *broker \([0-9]*\) at .*/\1/p' | sort | tr '\n' ' ' | sed 's/ $//')"
seq 1000 | kcat -q -P -b "$BROKER" -t on-257
for group in a b c d e f; do
    quiet "$MR_BUILD/millrace" consume on-257 --group "$group" --from-beginning --exit-at-end \
        --bootstrap-server "$BROKER"
done
same "groups of all brokers" "a b c d e f" \
    "$("$MR_BUILD/millrace" group list --bootstrap-server "$BROKER" | awk 'NR > 1 { print $1 }' | tr '\n' ' ' | sed 's/ $//')"
same "parts that crossed a core" 0 "$(curl -sf "http://$ADMIN/metrics" |
    awk '/^millrace_parts_remote_total/ { sum += $NF } END { print sum }')"
broker_stop
pass
