#!/usr/bin/env bash
# Goal: the profiles for this kind of VM start the broker as they are. Method: a veth pair with the name
# and in the place that they want; a client at its other end asks for the cluster's metadata. Nobody is
# at the other end of memif's.
. "$(dirname "$0")/../compat/lib.sh"
need ip ethtool kcat
[ "$(nproc)" -ge 2 ] || skip "a shard and the control thread want a CPU each"
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"

PROFILES=$COMPAT/../../hw-profiles
SERVER=mr-server-$$ CLIENT=mr-client-$$
ip netns add "$SERVER" 2>/dev/null || skip "no network namespaces here"
trap 'ip netns del $SERVER; ip netns del $CLIENT 2>/dev/null; cleanup' EXIT
ip netns add "$CLIENT"
ip link add mr0 netns "$SERVER" type veth peer name peer netns "$CLIENT"
for side in "$SERVER mr0" "$CLIENT peer"; do
    set -- $side
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
done
ip -n "$CLIENT" address add 10.99.0.2/24 dev peer

# start PROFILE ARGUMENTS...
start() {
    : >"$WORK/broker.out"
    rm -rf "$WORK/data"
    ip netns exec "$SERVER" "$MR_BUILD/millraced" --profile "$PROFILES/$1.ini" \
        --data-dir "$WORK/data" --listen 10.99.0.1:9092 --set admin.listen= "${@:2}" \
        >"$WORK/broker.out" 2>"$WORK/broker.log" &
    BROKER_PID=$!
    wait_until 30 "the broker is ready" broker_said
    kill -0 $BROKER_PID 2>/dev/null || fail "the broker does not start with $1.ini"
}

asked() {
    timeout 10 ip netns exec "$CLIENT" kcat -L -b 10.99.0.1:9092 | grep -q '1 brokers'
}

for profile in af-packet af-xdp; do
    start $profile
    wait_until 30 "the broker answers over $profile" asked
    broker_stop
done

# A device without interrupts for its queues is looked at now and then instead.
start af-packet --set cores.idle=interrupts
grep -q 'no interrupts for its queues' "$WORK/broker.log" || fail "nothing is said of interrupts"
wait_until 30 "the broker answers" asked
broker_stop

# A shard that always polls has its CPU to itself: the kernel's workers are on the control thread's.
start af-packet --set cores.idle=spin --set cores.cpus=1 --set cores.control=0
for name in /proc/$BROKER_PID/task/*/comm; do
    case $(cat "$name") in iou-wrk*) taskset -pc "$(basename "$(dirname "$name")")" ;; esac
done >"$WORK/workers"
grep -q 'list: 0$' "$WORK/workers" || fail "no worker of the kernel's on CPU 0"
grep 'list: ' "$WORK/workers" | grep -v 'list: 0$' && fail "workers of the kernel's on a shard's CPU"
broker_stop

# What a killed broker left where its device listens stops neither the next one nor the one after.
start memif
kill -9 $BROKER_PID
wait $BROKER_PID 2>/dev/null || true
start memif
broker_stop
start memif
if "$MR_BUILD/millraced" --profile "$PROFILES/memif.ini" --data-dir "$WORK/second" \
    --set admin.listen= >"$WORK/second.out" 2>&1; then
    fail "two brokers started on one memif socket"
fi
grep -q 'is in use; stop the process' "$WORK/second.out" || fail "no word of the socket in use"
broker_stop
pass
