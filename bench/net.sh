#!/usr/bin/env bash
# Our TCP on two cores: over memif and vhost between two processes, beside testpmd on the same device
# and beside Linux's loopback; with 10,000 connections; sending to Linux over a wire that loses, beside
# Linux to Linux; and sharing a bottleneck with a Linux CUBIC flow. The kinds take turns in every round.
# Usage: bench/net.sh [ROUNDS]   (after a build; as root; testpmd of the package dpdk-dev, or its rows
# are left out). A round takes about a minute. Prints rows for bench/README.md: medians with ranges.
rounds=${1:-5}
cd "$(dirname "$0")/../tests/net"
. ./lib.sh
results=$work/results
bench=$build/../bench
socket=$work/socket
amount="--count 1000000000000 --seconds 1" # of a measurement
: >"$results"

# note KEY VALUE
note() {
    echo "$1 $2" >>"$results"
}

# field NAME <<<JSON
field() {
    sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"
}

# device KIND SIDE MTU
device() {
    local bytes=2048
    [ "$3" = 1500 ] || bytes=16384
    case "$1-$2" in
    memif-*) echo "net_memif0,role=$2,socket=$socket,socket-abstract=no,bsize=$bytes" ;;
    vhost-server) echo "net_vhost0,iface=$socket" ;;
    vhost-client) echo "net_virtio_user0,path=$socket,queues=1,queue_size=1024" ;;
    esac
}

listening() {
    for _ in $(seq 100); do
        ! grep -q listening "$1" || return 0
        sleep 0.05
    done
    fail "nothing listens: $(cat "$1")"
}

# per_packet KEY CYCLES PACKETS
per_packet() {
    note "$1" "$(awk -v c="$2" -v p="$3" 'BEGIN { printf "%.0f", c / p }')"
}

# pair KIND MTU MODE CONNECTIONS KEY [summed]: both sides ours; MODE bare: frames without TCP. A memif
# computes no checksums, as devices with offloads do it; vhost is such a device. summed: with checksums
# in software.
pair() {
    local kind=$1 mtu=$2 mode=$3 connections=$4 key=$5 sums=--trusted bare= result pid driver
    [ "$kind${6:-}" = memif ] || sums=
    [ "$mode" != bare ] || bare=--bare
    rm -f "$socket"
    : >"$work/pair"
    taskset -c 0 "$build/mr_net_serve" --transport dpdk --listen 10.0.0.1:7000 --unchecked \
        --device "$(device "$kind" server "$mtu")" --mtu "$mtu" --connections "$connections" $sums $bare \
        >"$work/pair" 2>"$work/pair.log" &
    pid=$!
    listening "$work/pair"
    : >"$work/drive"
    timeout 60 taskset -c 1 "$build/mr_net_drive" --transport dpdk --connect 10.0.0.1:7000 --stay \
        --address 10.0.0.2 --device "$(device "$kind" client "$mtu")" --mtu "$mtu" --unchecked \
        $sums --connections "$connections" --mode "$mode" $amount \
        >"$work/drive" 2>"$work/drive.log" &
    driver=$!
    while ! grep -q mode "$work/drive"; do
        kill -0 $driver 2>/dev/null || fail "$key: $(cat "$work/drive.log")"
        sleep 0.05
    done
    sleep 0.2 # its connections end
    kill $pid
    wait $pid || fail "$key: the server ended badly"
    kill $driver 2>/dev/null || true
    wait $driver || true
    result=$(cat "$work/drive")
    if [ "$mode" = echo ] || [ "$mode" = bare ]; then
        note "$key-p50" "$(field p50_us <<<"$result")"
        note "$key-p99" "$(field p99_us <<<"$result")"
        return
    fi
    note "$key" "$(field mbit_s <<<"$result")"
    # Waiting counts too at the side that is faster: the other one's figure is the cost.
    per_packet "$key-client" "$(field cycles <<<"$result")" "$(awk -F'[:,}]' '{
        for (i = 1; i < NF; i++) if ($i ~ /packets_(in|out)/) sum += $(i + 1) } END { print sum }' <<<"$result")"
    per_packet "$key-server" "$(sed -n 's/^cycles \([0-9]*\),.*/\1/p' "$work/pair")" \
        "$(sed -n 's/.*packets in \([0-9]*\), out \([0-9]*\),.*/\1 \2/p' "$work/pair" | awk '{ print $1 + $2 }')"
}

# testpmd KIND MTU: one sends, the other takes; the rate of the second as it saw it.
testpmd() {
    local kind=$1 mtu=$2 room=2176 base rate
    command -v dpdk-testpmd >/dev/null || return 0
    [ "$mtu" = 1500 ] || room=16384
    base=(--no-pci --no-huge -m 400 --no-shconf --no-telemetry --log-level error)
    rm -f "$socket"
    timeout -k 1 -s INT 4 taskset -c 0 dpdk-testpmd "${base[@]}" --lcores 0@0,1@0 \
        --vdev "$(device "$kind" server "$mtu")" -- --forward-mode=rxonly --mbuf-size=$room \
        --total-num-mbufs=8192 --stats-period 1 --auto-start >"$work/rx" 2>/dev/null </dev/null &
    sleep 1
    timeout -k 1 -s INT 4 taskset -c 1 dpdk-testpmd "${base[@]}" --lcores 0@1,1@1 \
        --vdev "$(device "$kind" client "$mtu")" -- --forward-mode=txonly --mbuf-size=$room \
        --total-num-mbufs=8192 --txpkts=$((mtu + 14)) --stats-period 1 --auto-start \
        >"$work/tx" 2>/dev/null </dev/null || true
    wait $! 2>/dev/null || true
    rate=$(sed -n 's/.*Rx-bps: *\([0-9]*\).*/\1/p' "$work/rx" | sort -n | tail -1)
    [ -z "$rate" ] || note "testpmd-$kind-$mtu" "$((rate / 1000000))"
}

# loopback MODE KEY: two sockets of the kernel; a server with io_uring for bulk, for round trips
# two ends that spin.
loopback() {
    local mode=$1 key=$2 port=7001 result pid
    : >"$work/loop"
    if [ "$mode" = echo ]; then
        port=7002 # the ring of a server that has ended may hold its port for a moment
        taskset -c 0 "$build/mr_net_drive" --mode answer --spin --connect 127.0.0.1:$port >"$work/loop" &
    else
        taskset -c 0 "$build/mr_net_serve" --transport kernel --listen 127.0.0.1:$port --unchecked \
            >"$work/loop" &
    fi
    pid=$!
    listening "$work/loop"
    result=$(timeout 60 taskset -c 1 "$build/mr_net_drive" --connect 127.0.0.1:$port --mode "$mode" \
        $amount --unchecked $([ "$mode" = echo ] && echo --spin)) ||
        fail "$key"
    kill $pid 2>/dev/null || true
    wait $pid || true
    if [ "$mode" = echo ]; then
        note "$key-p50" "$(field p50_us <<<"$result")"
        note "$key-p99" "$(field p99_us <<<"$result")"
    else
        note "$key" "$(field mbit_s <<<"$result")"
    fi
}

# The wire to Linux: c0 --- wc | relay | ws --- a bridge --- s0 (ours or Linux), l0 (Linux)
address=10.97.0.1 other=10.97.0.3
wire=mr-nw-$$ switch=mr-nx-$$ linux=mr-nl-$$
lay_wire() {
    local side
    namespace "$client"
    namespace "$wire"
    namespace "$switch"
    namespace "$server"
    namespace "$linux"
    ip -n "$switch" link add bridge type bridge
    ip -n "$switch" link set bridge up
    join "$client" c0 "$wire" wc
    join "$wire" ws "$switch" bw
    join "$server" s0 "$switch" bs
    join "$linux" l0 "$switch" bl
    for side in bw bs bl; do
        ip -n "$switch" link set $side master bridge
    done
    ip -n "$client" address add 10.97.0.2/24 dev c0
    ip -n "$linux" address add $other/24 dev l0
    ip -n "$linux" route change 10.97.0.0/24 dev l0 src $other congctl cubic
}

stop_server() {
    kill "$served"
    wait "$served" || fail "the server has received wrong bytes"
}

lossy() {
    local who loss
    for who in linux ours; do
        start_server $who
        for loss in 0.001 0.01; do
            start_relay --loss $loss
            note "loss-$loss-$who" "$(drive $address --mode out --count 1000000000 --seconds 2 | field mbit_s)"
            stop_relay
        done
        stop_server
    done
}

# Twenty round trips of 10 ms wait in the queue at most.
fairness() {
    local ours_pid
    start_server ours
    ip netns exec "$linux" "$build/mr_net_serve" --listen $other:7000 --sleep-us 20 --transport kernel \
        >"$work/other" &
    pids+=($!)
    other_pid=$!
    listening "$work/other"
    start_relay --delay-us 5000 --rate-mbit 200 --queue 200
    drive $address --mode out --count 10000000000 --seconds 8 >"$work/ours" &
    ours_pid=$!
    drive $other --mode out --count 10000000000 --seconds 8 >"$work/theirs"
    wait $ours_pid
    note share "$(awk -v a="$(field mbit_s <"$work/ours")" -v b="$(field mbit_s <"$work/theirs")" \
        'BEGIN { printf "%.3f", a / (a + b) }')"
    stop_relay
    stop_server
    kill $other_pid
    wait $other_pid || true
}

lay_wire
for _ in $(seq "$rounds"); do
    loopback in loopback-in
    loopback out loopback-out
    loopback echo loopback-echo
    for kind in memif vhost; do
        for mtu in 1500 9000; do
            testpmd $kind $mtu
            pair $kind $mtu in 1 $kind-$mtu-in
            pair $kind $mtu out 1 $kind-$mtu-out
        done
        pair $kind 1500 echo 1 $kind-echo
        pair $kind 1500 bare 1 $kind-bare
    done
    pair memif 1500 in 1 summed-1500-in summed
    pair memif 1500 echo 10000 memif-many
    lossy
    fairness
done
python3 "$bench/net.py" "$results"
