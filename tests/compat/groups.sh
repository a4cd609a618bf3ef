#!/usr/bin/env bash
# Goal: consumer groups work with the clients people use, by each one's assignors.
# Method: python/groups.py plays a scenario (move: share, join, kill, move, power cut; shares: who
# gets how many) against a broker of its own, with members that are small programs over one client
# library each (folder groups/).
# Usage: groups.sh SCENARIO CLIENT:ASSIGNOR...
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need python3

prepare_python() {
    local wanted=$COMPAT/groups/requirements.txt
    if ! cmp -s "$wanted" "$CACHE/venv/installed"; then
        rm -rf "$CACHE/venv"
        quiet python3 -m venv "$CACHE/venv"
        quiet "$CACHE/venv/bin/pip" install --quiet -r "$wanted"
        cp "$wanted" "$CACHE/venv/installed"
    fi
}

prepare_node() {
    need npm node
    if ! cmp -s "$COMPAT/groups/package.json" "$CACHE/npm/installed"; then
        mkdir -p "$CACHE/npm"
        cp "$COMPAT/groups/package.json" "$CACHE/npm/package.json"
        quiet npm --prefix "$CACHE/npm" install --silent --no-audit --no-fund
        cp "$COMPAT/groups/package.json" "$CACHE/npm/installed"
    fi
}

build_go() {
    (cd "$COMPAT/groups" && go install ./...)
}

prepare_go() {
    need go
    export GOMODCACHE=$CACHE/go-modules GOCACHE=$CACHE/go-build GOBIN=$CACHE/go-bin
    export GOFLAGS=-modcacherw GOTOOLCHAIN=auto
    unset GOPATH GOROOT
    quiet build_go
}

# console_member VERSION CLASS: a console consumer as a member; the words after it are its arguments.
console_member() {
    COMMAND=(bash -c 'jars=$1 class=$2; shift 2
        exec java -Xmx128M -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" "$class" \
            --bootstrap-server "$1" --group "$2" --topic "$3" --from-beginning \
            --consumer-property partition.assignment.strategy="$4" \
            --consumer-property session.timeout.ms=6000 \
            --consumer-property heartbeat.interval.ms=500 \
            --consumer-property auto.commit.interval.ms=200' member "$CACHE/jars-$1" "$2")
}

# command_of CLIENT: fills COMMAND, after what the client needs has been fetched.
command_of() {
    case $1 in
    confluent | kafka_python)
        prepare_python
        COMMAND=("$CACHE/venv/bin/python" "$COMPAT/groups/$1.py")
        ;;
    kcat) # Debian's librdkafka
        need kcat
        COMMAND=(bash -c 'exec kcat -q -u -E -b "$1" -G "$2" -X partition.assignment.strategy="$4" \
            -X auto.offset.reset=earliest -X auto.commit.interval.ms=200 \
            -X session.timeout.ms=6000 -X heartbeat.interval.ms=500 "$3"' member)
        ;;
    kafkajs)
        prepare_node
        COMMAND=(env NODE_PATH="$CACHE/npm/node_modules" node "$COMPAT/groups/kafkajs.js")
        ;;
    sarama | kafka_go)
        prepare_go
        COMMAND=("$CACHE/go-bin/$1")
        ;;
    java-old)
        need java
        fetch_jars $OLD
        console_member $OLD kafka.tools.ConsoleConsumer
        ;;
    java-new)
        need java
        fetch_jars $NEW
        console_member $NEW org.apache.kafka.tools.consumer.ConsoleConsumer
        ;;
    *) fail "no such client: $1" ;;
    esac
}

scenario=$1
shift
for spec in "$@"; do
    command_of "${spec%%:*}"
done
fetched

# play SPEC: with the members' COMMAND.
play() {
    local status=0
    python3 "$COMPAT/python/groups.py" "$MR_BUILD" "$WORK/$1" "$scenario" "${1%%:*}" "${1#*:}" \
        "${COMMAND[@]}" >"$WORK/$1/said" 2>&1 || status=$?
    cat "$WORK/$1/said"
    if [ $status -ne 0 ]; then
        tail -n 10 "$WORK/$1/broker.log"
        fail "$1"
    fi
}

at_once=3 # mostly they wait, for sessions that end and groups that settle
if [ -n "$MR_BROKER_IN" ]; then
    at_once=1 # there is one device
fi
playing=() failed=
wait_for_first() {
    wait "${playing[0]}" || failed=yes # the others end by themselves
    playing=("${playing[@]:1}")
}
for spec in "$@"; do
    if [ ${#playing[@]} -eq $at_once ]; then
        wait_for_first
    fi
    command_of "${spec%%:*}"
    mkdir -p "$WORK/$spec"
    play "$spec" &
    playing+=($!)
done
while [ ${#playing[@]} -gt 0 ]; do
    wait_for_first
done
[ -z "$failed" ] || exit 1
pass
