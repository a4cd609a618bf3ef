#!/usr/bin/env bash
# Goal: `millrace log format` makes a store that a new broker takes at its full size, and overwrites
# nothing that is not blank; `millrace log check` says of a stopped broker's store whether it is
# sound, finds a batch that has rotted, and names a journal that is damaged in its middle, which
# the broker refuses and --repair cuts.
# Method: the commands themselves, a broker between them, and bytes spoilt by hand.
. "$(dirname "$0")/lib.sh"
need python3

millrace=$MR_BUILD/millrace
dir=$WORK/store # not data: lib.sh removes that
store=$dir/store-000.mr
SIZE=$((64 << 20))
mkdir "$dir"

start() {
    BROKER=127.0.0.1:$(free_port)
    : >"$WORK/broker.out"
    "$MR_BUILD/millraced" --data-dir "$dir" --listen "$BROKER" --shards 1 --set admin.listen= \
        --set journal.bytes=4194304 >"$WORK/broker.out" 2>"$WORK/broker.log" &
    BROKER_PID=$!
    wait_until 30 "the broker is ready" broker_said
    kill -0 "$BROKER_PID" 2>/dev/null || fail "the broker does not start"
}

# ends STATUS TEXT COMMAND...
ends() {
    local expected=$1 text=$2 status=0
    shift 2
    timeout 60 "$@" >"$WORK/said" 2>&1 || status=$?
    [ "$status" -eq "$expected" ] || fail "$*: status $status: $(cat "$WORK/said")"
    grep -qF -- "$text" "$WORK/said" || fail "$*: no '$text' in: $(cat "$WORK/said")"
}

stop() {
    kill -TERM "$BROKER_PID"
    wait "$BROKER_PID" || fail "the broker ended with status $?"
    BROKER_PID=
}

produce() { # TEXT NUMBER: a batch each, which makes a set each
    for _ in $(seq "$2"); do
        echo "$1" | quiet "$millrace" produce orders --bootstrap-server "$BROKER"
    done
}

# What is not blank stays.
ends 2 "a file needs --size" "$millrace" log format "$store"
echo "something" >"$store"
truncate -s 16M "$store"
ends 1 "is not blank" "$millrace" log format --size $SIZE "$store"
same "what is not blank" something "$(head -c 9 "$store")"
ends 1 "No such file" "$millrace" log check "$WORK/nothing"
rm "$store"

# A prepared store is taken as it is.
ends 0 "$SIZE bytes" "$millrace" log format --size $SIZE "$store"
ends 0 "closed cleanly; 2 of 2 superblocks" "$millrace" log check "$store"
ends 0 "$SIZE bytes" "$millrace" log format --size $SIZE "$store" # it is nobody's yet
start
produce "$(printf 'A%.0s' {1..3000})" 3
stop
same "size of the store" $SIZE "$(stat -c %s "$store")"
ends 0 "3 batches" "$millrace" log check "$dir"
ends 0 '"sound":true' "$millrace" log check --json "$dir"
ends 1 "holds a store of cluster" "$millrace" log format --size $SIZE "$store"

# A batch in its place has rotted.
start # and stop: both checkpoints name the log
stop
cp --sparse=always "$store" "$WORK/kept"
python3 - "$store" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as store:
    store.seek(4 * 4096 + (4 << 20))  # behind the journal
    at = store.tell() + store.read().index(b"A" * 3000)
    store.seek(at + 1500)
    store.write(b"B")
PYTHON
ends 1 "cannot be read from offset" "$millrace" log check "$store"
ends 1 '"damaged":1' "$millrace" log check --json "$store"
cp --sparse=always "$WORK/kept" "$store"

# The older checkpoint has rotted: a broker does without it, but it is said.
ends 0 "2 of 2 roots" "$millrace" log check "$store"
python3 - "$store" <<'PYTHON'
import struct, sys
with open(sys.argv[1], "r+b") as store:
    roots = []
    for slot in (2, 3):
        store.seek(slot * 4096)
        root = store.read(4096)
        roots.append((struct.unpack_from("<Q", root, 24)[0], struct.unpack_from("<Q", root, 112)[0]))
    store.seek(min(roots)[1] * 4096 + 60)  # its chain's first entry
    store.write(b"rot")
PYTHON
ends 0 "1 of 2 roots" "$millrace" log check "$store"
cp --sparse=always "$WORK/kept" "$store"

# A set in the middle of the journal has rotted.
start
produce before 1
produce "$(printf 'C%.0s' {1..100})" 1
produce behind 3
kill -KILL "$BROKER_PID"
wait "$BROKER_PID" 2>/dev/null || true
BROKER_PID=
ends 0 "not closed cleanly" "$millrace" log check "$store"
python3 - "$store" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as store:
    store.seek(4 * 4096)
    at = store.tell() + store.read(4 << 20).index(b"C" * 100)
    store.seek(at)
    store.write(b"D")
PYTHON
ends 1 "is bad but set" "$millrace" log check "$store"
ends 1 "is bad but set" "$MR_BUILD/millraced" --data-dir "$dir" --listen "127.0.0.1:$(free_port)" \
    --set admin.listen=
ends 0 "were given up" "$millrace" log check --repair "$store"
ends 0 "4 batches" "$millrace" log check "$store" # three, and the one before
start
produce again 1
stop
ends 0 "5 batches" "$millrace" log check "$store"
pass
