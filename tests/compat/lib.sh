# Sourced by the tests of this folder: one broker in a temporary folder, and how it is judged.
#
# Before sourcing nothing is needed; CTest sets MR_BUILD to the build folder, and MR_BROKER_FLAGS to
# further arguments of every broker; over_dpdk.sh sets MR_BROKER_IN, what runs it in another network
# namespace, and MR_BROKER_HOST, its address there. What is downloaded is kept in $MR_BUILD/compat. Every wait has a deadline and a condition. A test ends with `pass`.

set -euo pipefail

COMPAT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MR_BUILD=$(cd "${MR_BUILD:-$COMPAT/../../build}" && pwd)
CACHE=$MR_BUILD/compat
mkdir -p "$CACHE"
export MR_BROKER_FLAGS=${MR_BROKER_FLAGS:-}
export MR_BROKER_HOST=${MR_BROKER_HOST:-127.0.0.1}
export MR_BROKER_IN=${MR_BROKER_IN:-}
WORK=$(mktemp -d "$CACHE/$(basename "$0" .sh).XXXXXX")
BROKER_PID=
CHILDREN=() # other processes, ended by the trap if the test does not
PASSED=

cleanup() {
    local status=$? pid
    for pid in $BROKER_PID ${CHILDREN[@]+"${CHILDREN[@]}"}; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [ -z "$PASSED" ] && [ "$status" -ne 77 ]; then
        echo "FAILED (status $status)"
        if [ -s "$WORK/broker.log" ]; then
            echo "--- the last lines of the broker's log:"
            grep -v 'budget:' "$WORK/broker.log" | tail -n 20
        fi
        status=1
    fi
    rm -rf "$WORK"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() {
    echo "FAILED: $*"
    exit 1
}

# All that the test downloads is there. over_dpdk.sh, whose namespaces reach nothing, runs a test
# with MR_FETCH_ONLY first.
fetched() {
    [ -z "${MR_FETCH_ONLY:-}" ] || pass
}

# Only for what cannot be had on this machine.
skip() {
    echo "skipped: $*"
    exit 77
}

pass() {
    PASSED=yes
    echo "passed in $SECONDS s"
    exit 0
}

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

# wait_until SECONDS WHAT COMMAND...: the command is tried until it succeeds.
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            fail "waited in vain until $what"
        fi
        sleep 0.05
    done
}

# A free port, behind which three more are free: with direct routing every shard has its own.
free_port() {
    python3 -c '
import socket
while True:
    ports = [socket.socket() for _ in range(4)]
    ports[0].bind(("127.0.0.1", 0))
    first = ports[0].getsockname()[1]
    try:
        for at, port in enumerate(ports[1:]):
            port.bind(("127.0.0.1", first + 1 + at))
        break
    except (OSError, OverflowError):
        pass
print(first)'
}

broker_said() {
    grep -q '^millraced ready on ' "$WORK/broker.out" || ! kill -0 "$BROKER_PID"
}

# broker_start [ARGUMENTS...]: a new broker with an empty folder; its address is in $BROKER.
broker_start() {
    local try port
    for try in 1 2 3; do # the port may be taken by another between being found and being used
        port=$(free_port)
        BROKER=$MR_BROKER_HOST:$port
        rm -rf "$WORK/data"
        : >"$WORK/broker.out"
        $MR_BROKER_IN "$MR_BUILD/millraced" --data-dir "$WORK/data" --listen "$BROKER" $MR_BROKER_FLAGS "$@" \
            >"$WORK/broker.out" 2>"$WORK/broker.log" &
        BROKER_PID=$!
        wait_until 30 "the broker is ready" broker_said
        if kill -0 "$BROKER_PID" 2>/dev/null; then
            return
        fi
        BROKER_PID=
    done
    fail "the broker does not start ($try attempts)"
}

# broker_again [ARGUMENTS...]: the broker, which has ended, with its folder and its address.
broker_again() {
    : >"$WORK/broker.out"
    $MR_BROKER_IN "$MR_BUILD/millraced" --data-dir "$WORK/data" --listen "$BROKER" $MR_BROKER_FLAGS "$@" \
        >"$WORK/broker.out" 2>"$WORK/broker.log" &
    BROKER_PID=$!
    wait_until 30 "the broker is back" broker_said
}

# Stops the broker as an operator does; it has to end by itself with status 0.
broker_stop() {
    local status=0 pid=$BROKER_PID
    kill -TERM "$pid" 2>/dev/null || fail "the broker has died before it was stopped"
    wait_until 30 "the broker has stopped" eval "! kill -0 $pid"
    wait "$pid" || status=$?
    BROKER_PID=
    if [ "$status" -ne 0 ]; then
        fail "the broker ended with status $status"
    fi
}

# With direct routing the broker's node ids are 256 and up; Kafka's, beside it, is 1.
plain_nodes() {
    case "$MR_BROKER_FLAGS" in
    *direct.routing=true*) sed -E -e 's/(Leader|Replicas|Isr|id): 25[6-9]\b/\1: 1/g' -e 's/\(25[6-9]\)/(1)/g' ;;
    *) cat ;;
    esac
}

sum() {
    sha256sum | cut -d' ' -f1
}

# same WHAT EXPECTED ACTUAL
same() {
    if [ "$2" != "$3" ]; then
        fail "$1: expected '$2', found '$3'"
    fi
}

# same_file WHAT EXPECTED-FILE ACTUAL-FILE: prints where they differ.
same_file() {
    if ! cmp -s "$2" "$3"; then
        echo "--- $1: expected (-) and found (+)"
        diff -u "$2" "$3" | head -n 40
        fail "$1"
    fi
}

# quiet COMMAND...: shows what the command has said only if it fails.
quiet() {
    if ! "$@" >"$WORK/quiet.log" 2>&1; then
        tail -n 40 "$WORK/quiet.log"
        fail "$*"
    fi
}
