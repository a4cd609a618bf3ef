#!/usr/bin/env bash
# Goal: what the README promises an operator holds: the first minute with `millrace`, refusals at
# start that say what to mend, one broker for one data directory, and an offline look at the log.
# Method: the commands themselves, against one broker and after it has stopped.
. "$(dirname "$0")/lib.sh"

millrace=$MR_BUILD/millrace

# refused TEXT ARGUMENTS...: millraced ends with a failure and one line that contains TEXT.
refused() {
    local text=$1 status=0
    shift
    timeout 20 "$MR_BUILD/millraced" "$@" >"$WORK/refused" 2>&1 || status=$?
    [ "$status" -ne 0 ] && [ "$status" -ne 124 ] || fail "millraced $*: status $status"
    grep -qF -- "$text" "$WORK/refused" || fail "millraced $*: no '$text' in: $(cat "$WORK/refused")"
}

# completed WORDS...: what bash offers for the last word.
completed() {
    (
        . <("$millrace" completion bash)
        COMP_WORDS=(millrace "$@")
        COMP_CWORD=$#
        _millrace
        echo "${COMPREPLY[*]}"
    )
}

same "completion of a family" topic "$(completed to)"
same "completion of a command" "describe delete" "$(completed topic de)"
same "completion of an option" "--partitions --partition" \
    "$(completed topic create x --parti) $(completed consume x --parti)"
"$millrace" completion fish 2>/dev/null && fail "there is completion for fish"
"$millrace" completion zsh | grep -q '^compdef _millrace millrace' || fail "no completion for zsh"
"$millrace" man >"$WORK/millrace.1"
[ "$(grep -c '^\.SS' "$WORK/millrace.1")" -ge 18 ] || fail "the manual page lacks commands"
grep -q '^\.B \\-\\-replication' "$WORK/millrace.1" || fail "the manual page lacks options"

# grown TOPIC COUNT: the error code of CreatePartitions version 0.
grown() {
    python3 - "$BROKER" "$1" "$2" <<'PYTHON'
import socket
import struct
import sys

host, port = sys.argv[1].rsplit(':', 1)
name = sys.argv[2].encode()
request = struct.pack('>hhihih', 37, 0, 1, -1, 1, len(name)) + name
request += struct.pack('>iii?', int(sys.argv[3]), -1, 10000, False)
broker = socket.create_connection((host, int(port)), timeout=30)
broker.sendall(struct.pack('>i', len(request)) + request)
answer = broker.makefile('rb')
size, = struct.unpack('>i', answer.read(4))
print(struct.unpack_from('>h', answer.read(size), 4 + 4 + 4 + 2 + len(name))[0])
PYTHON
}

printf 'num.partitions=3\n# a comment\nbogus.key = 2\n' >"$WORK/server.properties"
printf '[cores]\nshard = 2\n' >"$WORK/profile.ini"
refused "server.properties:3: unknown key 'bogus.key'" --config "$WORK/server.properties"
refused "did you mean 'num.partitions'" --set num.partition=3
refused "profile.ini:2: unknown setting '[cores] shard'; did you mean '[cores] shards'" \
    --profile "$WORK/profile.ini"
refused "memory.bytes=1000000: too small" --set memory.bytes=1000000 --data-dir "$WORK/small"
refused "'offsets.topic.num.partitions', which lies between 1 and 10000" \
    --set offsets.topic.num.partitions=-1
refused "transport=dpdk: dpdk.device is missing" --set transport=dpdk --data-dir "$WORK/dpdk"
refused "is not an option; see --help" --frob
refused "--shards needs a value" --listen "127.0.0.1:$(free_port)" --shards
refused "$WORK/profile.ini: Not a directory; choose another" --data-dir "$WORK/profile.ini"
refused "true or false" --set auto.create.topics.enable=maybe

# A first start that is cut short leaves a folder that the next one makes use of.
cut=("$MR_BUILD/millraced" --data-dir "$WORK/cut" --listen "127.0.0.1:$(free_port)" --shards 2)
"${cut[@]}" >"$WORK/cut.out" 2>&1 &
BROKER_PID=$!
wait_until 30 "a store is being made" eval 'ls "$WORK"/cut/store-*'
kill -KILL "$BROKER_PID"
wait "$BROKER_PID" || true
: >"$WORK/cut.out"
"${cut[@]}" >"$WORK/cut.out" 2>&1 &
BROKER_PID=$!
wait_until 30 "the broker is ready, or has given up" \
    eval "grep -q 'millraced ready' '$WORK/cut.out' || ! kill -0 $BROKER_PID"
grep -q 'millraced ready' "$WORK/cut.out" || fail "after a start cut short: $(tail -1 "$WORK/cut.out")"
same "stores after a start cut short" "store-000.mr store-001.mr" \
    "$(cd "$WORK/cut" && echo store-*)"
kill -TERM "$BROKER_PID"
wait "$BROKER_PID" || fail "the broker ended with status $?"
BROKER_PID=
rm -rf "$WORK/cut"

printf 'log.flush.interval.ms=5\nnum.partitions=2\n' >"$WORK/known.properties"
broker_start --config "$WORK/known.properties" --profile "$COMPAT/../../hw-profiles/default.ini" \
    --set partitions.max=60
grep -q 'not acted on: log.flush.interval.ms' "$WORK/broker.log" || fail "no warning of an idle key"
grep -q 'budget: ' "$WORK/broker.log" || fail "no memory budget"
refused "in use by another broker" --data-dir "$WORK/data" --listen "127.0.0.1:$(free_port)"
refused "cannot listen on $BROKER" --data-dir "$WORK/other" --listen "$BROKER"

at="--bootstrap-server $BROKER"
# shellcheck disable=SC2086 # $at is two words
{
    quiet "$millrace" topic create orders --partitions 3 $at
    "$millrace" topic create orders $at >"$WORK/again" 2>&1 && fail "a topic was created twice"
    "$millrace" topic create many --partitions 58 $at >"$WORK/many" 2>&1 &&
        fail "more partitions than partitions.max were created"
    grep -q 'more partitions than partitions.max' "$WORK/many" || fail "$(cat "$WORK/many")"
    same "growth beyond partitions.max" 44 "$(grown orders 61)"
    same "growth to fewer partitions" 37 "$(grown orders 2)"
    printf 'k1:first\nk2:second\nk1:third\n' |
        quiet "$millrace" produce orders --key-separator : --compression lz4 $at
    "$millrace" consume orders --from-beginning --exit-at-end --format '%k=%v\n' $at >"$WORK/out"
    same "what was consumed" "k1=first k1=third k2=second" "$(sort "$WORK/out" | tr '\n' ' ' | sed 's/ $//')"
    same "topics" "orders" "$("$millrace" topic list --json $at | python3 -c \
        'import json, sys; print(" ".join(t["name"] if isinstance(t, dict) else t for t in json.load(sys.stdin)))')"
    "$millrace" topic describe orders $at | grep -q orders || fail "describe shows no orders"
    quiet "$millrace" consume orders --group billing --from-beginning --exit-at-end $at
    same "groups" "billing" "$("$millrace" group list --json $at | python3 -c \
        'import json, sys; print(" ".join(g["group"] for g in json.load(sys.stdin)))')"
    lag() {
        "$millrace" group describe billing --json $at | python3 -c \
            'import json, sys; print(sum(p["lag"] for p in json.load(sys.stdin)["partitions"]))'
    }
    same "lag of a group that has read all" 0 "$(lag)"
    quiet "$millrace" group reset-offsets billing --offset earliest $at
    same "lag after offsets were only shown" 0 "$(lag)"
    quiet "$millrace" group reset-offsets billing --topic orders --offset earliest --execute $at
    same "lag after a reset" 3 "$(lag)"
    quiet "$millrace" group reset-offsets billing --shift 1 --topic orders --execute $at
    same "lag after a shift" "$("$millrace" group describe billing --json $at | python3 -c \
        'import json, sys; print(sum(max(p["log_end_offset"] - 1, 0) for p in json.load(sys.stdin)["partitions"]))')" \
        "$(lag)"
    quiet "$millrace" group reset-offsets billing --shift -1000 --execute $at
    same "lag after a shift beyond the start" 3 "$(lag)"
    "$millrace" group reset-offsets unborn --offset latest $at >"$WORK/unborn" 2>&1 &&
        fail "a group that is not there was reset without a topic"
    "$millrace" group reset-offsets unborn --topic orders --shift 1 $at >"$WORK/unborn" 2>&1 &&
        fail "an offset that nobody has committed was shifted"
    quiet "$millrace" group reset-offsets unborn --topic orders --offset latest --execute $at
    same "a group that was made by a reset" "Empty 0" "$("$millrace" group describe unborn --json $at |
        python3 -c 'import json, sys; g = json.load(sys.stdin); print(g["state"], sum(p["lag"] for p in g["partitions"]))')"
    quiet "$millrace" group delete unborn $at
    "$millrace" consume orders --group living $at >/dev/null 2>&1 &
    CHILDREN=($!)
    living() { "$millrace" group describe living $at | grep -q '^group living: Stable, 1 member, '; }
    wait_until 30 "a member has joined" living
    "$millrace" group reset-offsets living --topic orders --offset latest $at 2>"$WORK/living" &&
        fail "a group with a member was reset"
    same "refusal of a group with a member" \
        "millrace: group living is Stable with 1 member; only one without members can be reset" \
        "$(cat "$WORK/living")"
    "$millrace" group delete living $at 2>"$WORK/living" && fail "a group with a member was deleted"
    kill -TERM "${CHILDREN[0]}"
    wait "${CHILDREN[0]}" || fail "consume ended with status $?"
    CHILDREN=()
    quiet "$millrace" group delete living $at
    quiet "$millrace" group delete billing $at
    same "groups after the deletion" "[]" "$("$millrace" group list --json $at)"
    quiet "$millrace" topic alter orders --partitions 5 --config retention.ms=86400000 $at
    same "partitions after an alteration" 5 "$("$millrace" topic list --json $at | python3 -c \
        'import json, sys; print([t for t in json.load(sys.stdin) if t["name"] == "orders"][0]["partition_count"])')"
    "$millrace" topic alter orders --partitions 2 $at >"$WORK/shrunk" 2>&1 && fail "a topic shrank"
    "$millrace" topic alter orders $at >"$WORK/nothing" 2>&1 && fail "nothing was changed"
    "$millrace" config describe topic orders $at | grep -q '^retention.ms  *86400000  *topic' ||
        fail "config describe shows no retention.ms"
    quiet "$millrace" config alter topic orders --delete-config retention.ms $at
    same "settings of orders" "[]" "$("$millrace" config describe topic orders --json $at |
        python3 -c 'import json, sys; print([c["key"] for c in json.load(sys.stdin) if c["source"] == "topic"])')"
    quiet "$millrace" config alter broker --config log.retention.ms=777000 $at
    "$millrace" config describe broker 1 $at | grep -q '^log.retention.ms  *777000  *cluster' ||
        fail "config describe shows no log.retention.ms"
    "$millrace" config alter broker --config num.io.threads=x $at >"$WORK/bad" 2>&1 &&
        fail "a bad value was taken"
    quiet "$millrace" quota alter --client-id '<default>' --config producer_byte_rate=1e9 $at
    quiet "$millrace" quota alter --client-id ann --user bob --config request_percentage=50 $at
    "$millrace" quota describe $at >"$WORK/quotas"
    grep -q '^client-id=<default>  *producer_byte_rate  *1000000000$' "$WORK/quotas" ||
        fail "quota describe: $(cat "$WORK/quotas")"
    grep -q '^client-id=ann,user=bob  *request_percentage  *50$' "$WORK/quotas" ||
        fail "quota describe: $(cat "$WORK/quotas")"
    quiet "$millrace" quota alter --client-id '<default>' --delete-config producer_byte_rate $at
    same "quotas of all clients" "[]" "$("$millrace" quota describe --client-id '<default>' --json $at)"
    same "brokers" "1 $BROKER" "$("$millrace" broker list --json $at | python3 -c \
        'import json, sys; print(*["%d %s:%d" % (b["id"], b["host"], b["port"]) for b in json.load(sys.stdin)])')"
    seq -f 'record %g of a file' 300000 >"$WORK/many"
    python3 -c 'import pty, sys; pty.spawn(sys.argv[1:])' sh -c \
        "$millrace produce orders $at <$WORK/many" >"$WORK/progress"
    grep -q 'sending \[#' "$WORK/progress" || fail "no progress on a terminal"
    "$millrace" produce orders $at <"$WORK/many" 2>"$WORK/progress" >/dev/null
    same "progress without a terminal" "" "$(cat "$WORK/progress")"
    quiet "$millrace" config alter broker --config max.connections=1 $at
    open=$(python3 - "${BROKER%:*}" "${BROKER#*:}" <<'END'
import socket, sys, time
sockets = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(40)]
time.sleep(0.5)
alive = 0
for one in sockets:
    one.setblocking(False)
    try:
        alive += one.recv(1) != b""
    except BlockingIOError:
        alive += 1
    except ConnectionError:
        pass
print(alive)
END
    )
    [ "$open" -ge 1 ] && [ "$open" -lt 40 ] || fail "$open of 40 connections with a limit of 1 a shard"
    wait_until 10 "the connections are free again" "$millrace" config alter broker \
        --delete-config max.connections $at
    "$millrace" broker api-versions $at | grep -q Produce || fail "api-versions shows no Produce"
}
kill -TERM "$BROKER_PID"
wait "$BROKER_PID" || fail "the broker ended with status $?"
BROKER_PID=
"$millrace" log dump "$WORK/data" >"$WORK/dump"
grep -q clean "$WORK/dump" || fail "log dump: $(cat "$WORK/dump")"
rm "$WORK"/data/store-*.mr
refused "but no store lies in log.dirs" --data-dir "$WORK/data" --listen "$BROKER"
pass
