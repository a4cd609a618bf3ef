#!/usr/bin/env bash
# Goal: Apache Kafka's own Java tools, 2.7.2 and 4.3.1, work as they do against Apache Kafka.
# Method: the same commands run against Apache Kafka 4.3.1, which this test starts, and against
# Millrace, side by side. Standard output and exit status must be equal, but for what normalise()
# names. The jars come by Maven and are kept in the build folder.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need java python3

RECORDS=2000

# ---- one command ---------------------------------------------------------------------------------

# What may differ between two brokers that behave alike: topic ids, addresses, and how fast it went.
# A partition's share of keyless records depends on timing, so get-offsets of the topic with five
# partitions is summed up.
normalise() {
    plain_nodes | sed -E \
        -e 's/TopicId: [A-Za-z0-9_-]{22}/TopicId: ID/' \
        -e 's/(127\.0\.0|10\.9[89]\.0)\.1:[0-9]+/ADDRESS/g' \
        -e 's/[0-9]+\.[0-9]+ records\/sec \([0-9.]+ MB\/sec\)/RATE/' \
        -e 's/[0-9.]+ ms (avg latency|max latency|50th|95th|99th|99\.9th)/T ms \1/g' |
        awk -F: '$1 ~ /^five-/ && NF == 3 { sum += $3; name = $1; next } { print }
            END { if (name) print name ":sum:" sum }'
}

lines() {
    awk -v n=$RECORDS 'BEGIN { for (i = 0; i < n; i++) print "record " i " of a console" }'
}

# ---- the tools -----------------------------------------------------------------------------------

topics_of() {
    if [ "$1" = $OLD ]; then echo kafka.admin.TopicCommand; else
        echo org.apache.kafka.tools.TopicCommand; fi
}

old_data_tools() {
    local broker=$1 topic
    TOOL_INPUT=$WORK/lines tool console-producer $OLD kafka.tools.ConsoleProducer \
        --bootstrap-server "$broker" --topic one-$OLD
    for topic in one five; do
        tool perf-test-$topic $OLD org.apache.kafka.tools.ProducerPerformance --topic $topic-$OLD \
            --num-records $RECORDS --record-size 100 --throughput -1 \
            --producer-props bootstrap.servers="$broker"
        tool get-offsets-$topic $OLD kafka.tools.GetOffsetShell --broker-list "$broker" \
            --topic $topic-$OLD
    done
    tool console-consumer $OLD kafka.tools.ConsoleConsumer --bootstrap-server "$broker" \
        --topic one-$OLD --partition 0 --offset earliest --max-messages $RECORDS
    tool api-versions $OLD kafka.admin.BrokerApiVersionsCommand --bootstrap-server "$broker"
}

new_data_tools() {
    local broker=$1 topic
    TOOL_INPUT=$WORK/lines tool console-producer $NEW org.apache.kafka.tools.ConsoleProducer \
        --bootstrap-server "$broker" --topic one-$NEW
    for topic in one five; do
        tool perf-test-$topic $NEW org.apache.kafka.tools.ProducerPerformance --topic $topic-$NEW \
            --num-records $RECORDS --record-size 100 --throughput -1 --bootstrap-server "$broker"
        tool get-offsets-$topic $NEW org.apache.kafka.tools.GetOffsetShell \
            --bootstrap-server "$broker" --topic $topic-$NEW
    done
    tool console-consumer $NEW org.apache.kafka.tools.consumer.ConsoleConsumer \
        --bootstrap-server "$broker" --topic one-$NEW --partition 0 --offset earliest \
        --max-messages $RECORDS
    tool api-versions $NEW org.apache.kafka.tools.BrokerApiVersionsCommand \
        --bootstrap-server "$broker"
}

# every_tool NAME BROKER: all commands against one broker.
every_tool() {
    local broker=$2 version topics
    OUT=$WORK/out-$1
    mkdir "$OUT"
    for version in $OLD $NEW; do
        topics=$(topics_of $version)
        tool create-five $version "$topics" --bootstrap-server "$broker" --create \
            --topic five-$version --partitions 5
        tool create-one $version "$topics" --bootstrap-server "$broker" --create \
            --topic one-$version --partitions 1 --replication-factor 1 --config retention.ms=90000000
        tool create-again $version "$topics" --bootstrap-server "$broker" --create \
            --topic one-$version --partitions 1
        tool list $version "$topics" --bootstrap-server "$broker" --list
        tool describe-five $version "$topics" --bootstrap-server "$broker" --describe \
            --topic five-$version
        tool describe-one $version "$topics" --bootstrap-server "$broker" --describe \
            --topic one-$version
    done
    old_data_tools "$broker"
    new_data_tools "$broker"
    for version in $OLD $NEW; do
        topics=$(topics_of $version)
        tool delete $version "$topics" --bootstrap-server "$broker" --delete --topic five-$version
        tool list-again $version "$topics" --bootstrap-server "$broker" --list
    done
    rm "$OUT/raw"
}

# ---- judgement -----------------------------------------------------------------------------------

# Every API that Millrace serves has the same range as Kafka's; it need not serve as many. The last
# line of the list has no comma, and older tools name what is not served.
api_lines() {
    grep -v UNSUPPORTED "$1" | sed 's/,$//' | sort -u
}

judge_api_versions() {
    local version=$1 extra
    extra=$(comm -13 <(api_lines "$WORK/out-kafka/$version-api-versions") \
        <(api_lines "$WORK/out-millrace/$version-api-versions"))
    if [ -n "$extra" ]; then
        echo "--- $version api-versions: lines that Apache Kafka does not have:"
        echo "$extra"
        return 1
    fi
    grep -q 'Produce(0)' "$WORK/out-millrace/$version-api-versions"
}

judge() {
    local file name good=yes
    for file in "$WORK"/out-kafka/*; do
        name=${file##*/}
        case $name in
        *.stderr) continue ;;
        *-api-versions)
            judge_api_versions "${name%-api-versions}" || good=no
            continue
            ;;
        esac
        alike "$name" || good=no
    done
    [ $good = yes ] || fail "the tools do not behave alike"
}

judge_success() {
    local version
    for version in $OLD $NEW; do
        succeeded "$version" create-five create-one list describe-five console-producer \
            perf-test-five console-consumer get-offsets-one delete list-again
        same "$version: records that the console consumer prints" \
            "$(lines | cat - <(echo "status 0") | sum)" \
            "$(sum <"$WORK/out-millrace/$version-console-consumer")"
    done
}

fetch_jars $OLD
fetch_jars $NEW
fetched
start_kafka
broker_start
wait_until 60 "Apache Kafka serves" kafka_serves
lines >"$WORK/lines"
every_tool kafka "$KAFKA" &
CHILDREN+=($!)
every_tool millrace "$BROKER"
wait "${CHILDREN[1]}"
judge
judge_success
broker_stop
echo "$(ls "$WORK/out-kafka" | grep -vc stderr) commands behave alike"
pass
