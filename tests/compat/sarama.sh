#!/usr/bin/env bash
# Goal: the Go client Sarama creates topics, produces and consumes, at old and new protocol versions.
# Method: three small programs (folder sarama/) against one broker: create `test_topic` with 6
# partitions, start a consumer at the newest offset of partition 0, send "hello, kafka" there, and
# see it arrive. Version 0.11 is the oldest that knows record batches; the newest is Sarama's own
# maximum. A replication factor of 3 on one broker must be refused with the reason.
. "$(dirname "$0")/lib.sh"
need go python3

export GOMODCACHE=$CACHE/go-modules GOCACHE=$CACHE/go-build GOBIN=$CACHE/go-bin
export GOFLAGS=-modcacherw GOTOOLCHAIN=auto # an older Go fetches the one that go.mod names
unset GOPATH GOROOT

build() {
    (cd "$COMPAT/sarama" && go install ./...)
}
quiet build
fetched
PROGRAMS=$GOBIN

has_line() {
    grep -q "$2" "$1"
}

one_version() {
    local version=$1 topic=$2 consumer offset=$3
    : >"$WORK/consumed" # the consumer of the version before was ready, too
    "$PROGRAMS/consume_newest" "$BROKER" "$version" "$topic" 0 \
        >"$WORK/consumed" 2>"$WORK/consumer.log" &
    consumer=$!
    CHILDREN=("$consumer")
    wait_until 30 "the consumer of version $version is ready" has_line "$WORK/consumed" '^ready$'
    same "version $version: sent" "sent $topic 0 $offset" \
        "$("$PROGRAMS/sync_producer" "$BROKER" "$version" "$topic" 0 greeting 'hello, kafka' \
            2>"$WORK/producer.log" || tail -n 20 "$WORK/producer.log")"
    wait "$consumer" || {
        tail -n 20 "$WORK/consumer.log"
        fail "version $version: the consumer has failed"
    }
    CHILDREN=()
    same "version $version: consumed" "$topic 0 $offset greeting hello, kafka" \
        "$(grep -v '^ready$' "$WORK/consumed")"
    echo "version $version: created, sent and consumed"
}

broker_start
offset=0
for version in 0.11.0.0 2.1.0 2.8.0 newest; do
    topic=topic-$version
    same "version $version: another topic" "created $topic" \
        "$("$PROGRAMS/create_topic" "$BROKER" "$version" "$topic" 6 1 2>"$WORK/create.log" ||
            tail -n 20 "$WORK/create.log")"
    if [ $offset -eq 0 ]; then
        same "test_topic" "created test_topic" \
            "$("$PROGRAMS/create_topic" "$BROKER" "$version" test_topic 6 1 2>"$WORK/create.log" ||
                tail -n 20 "$WORK/create.log")"
    fi
    one_version $version test_topic $offset
    offset=$((offset + 1))

    status=0
    said=$("$PROGRAMS/create_topic" "$BROKER" "$version" "three-$version" 6 3 2>/dev/null) || status=$?
    same "version $version: status of factor 3" 2 $status
    case $said in
    "refused: 38: "*3*broker*) ;;
    *) fail "version $version: factor 3: the answer gives no reason: '$said'" ;;
    esac
done
echo "a replication factor of 3: $said"
broker_stop
pass
