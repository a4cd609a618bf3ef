#!/usr/bin/env bash
# Goal: Apache Kafka's own administrative tools, 2.7.2 and 4.3.1, say of Millrace what they say of
# Apache Kafka.
# Method: the same commands against Apache Kafka 4.3.1, which this test starts, and against Millrace.
# Standard output and exit status must be equal, but for what normalise() names.
# Usage: admin_tools.sh VERSION...
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need java python3 kcat
VERSIONS=$*

# Ids, addresses, folders, sizes, times, what an exception says, and how far a metadata log has come.
normalise() {
    sed -E \
        -e 's/TopicId: [A-Za-z0-9_-]{22}/TopicId: ID/' \
        -e 's/(127\.0\.0|10\.99\.0)\.1:[0-9]+/ADDRESS/g' \
        -e 's/"(size|totalBytes|usableBytes|logDirSize)":-?[0-9]+/"\1":N/g' \
        -e 's/"logDir":"[^"]*"/"logDir":"DIR"/g' \
        -e 's/^(ClusterId|LeaderEpoch|HighWatermark|MaxFollowerLagTimeMs): .*/\1: X/' \
        -e 's/(Exception): .*/\1/' \
        -e 's/"directoryId": "[^"]*"/"directoryId": "ID"/g' \
        -e 's/"endpoints": \["[^]]*\]/"endpoints": E/g' \
        -e 's/^([0-9]+)[ \t]+[A-Za-z0-9_-]{22}[ \t]+[0-9]+.*(Leader)/\1 DIR OFFSETS \2/' \
        -e '/^\[[0-9-]+ [0-9:,]+\] WARN/d' -e '/^OpenJDK/d' -e 's/[ \t]+/ /g' -e 's/ $//' | sort
}

# class_of TOOL VERSION
class_of() {
    case $2-$1 in
    *-ConfigCommand | "$OLD"-*) echo kafka.admin."$1" ;;
    *-ReassignPartitionsCommand) echo org.apache.kafka.tools.reassign.ReassignPartitionsCommand ;;
    *) echo org.apache.kafka.tools."$1" ;;
    esac
}

# configs NAME VERSION ARGUMENTS...: kafka-configs.
configs() {
    local name=$1 version=$2
    shift 2
    tool "$name" "$version" "$(class_of ConfigCommand "$version")" --bootstrap-server "$SERVER" "$@"
}

topic_configs() {
    local version=$1 of=(--entity-type topics --entity-name "t-$1")
    configs topic-describe-all "$version" "${of[@]}" --describe --all
    configs topic-alter "$version" "${of[@]}" --alter \
        --add-config 'retention.ms=90000000,cleanup.policy=[delete,compact]'
    configs topic-altered "$version" "${of[@]}" --describe
    configs topic-bad "$version" "${of[@]}" --alter --add-config no.such.key=1
    configs topic-delete "$version" "${of[@]}" --alter --delete-config cleanup.policy
    configs topic-deleted "$version" "${of[@]}" --describe
    configs topic-unknown "$version" --entity-type topics --entity-name no-such --describe
}

broker_configs() {
    local version=$1 of=(--entity-type brokers --entity-name 1)
    local all=(--entity-type brokers --entity-default)
    configs broker-alter "$version" "${of[@]}" --alter --add-config log.retention.ms=777000
    configs cluster-alter "$version" "${all[@]}" --alter --add-config message.max.bytes=2000000
    configs broker-read-only "$version" "${of[@]}" --alter --add-config num.partitions=5
    configs broker-altered "$version" "${of[@]}" --describe
    configs cluster-altered "$version" "${all[@]}" --describe
    configs topic-inherits "$version" --entity-type topics --entity-name "t-$version" \
        --describe --all
    configs broker-delete "$version" "${of[@]}" --alter --delete-config log.retention.ms
    configs cluster-delete "$version" "${all[@]}" --alter --delete-config message.max.bytes
    configs broker-deleted "$version" "${of[@]}" --describe
}

client_configs() {
    local version=$1 of=(--entity-type clients --entity-name "client $1")
    local all=(--entity-type clients --entity-default)
    configs client-alter "$version" "${of[@]}" --alter \
        --add-config 'producer_byte_rate=1048576,consumer_byte_rate=2097152'
    configs client-default "$version" "${all[@]}" --alter --add-config request_percentage=150
    configs client-bad "$version" "${of[@]}" --alter --add-config no_such_rate=1
    configs client-altered "$version" "${of[@]}" --describe
    configs clients-altered "$version" --entity-type clients --describe
    configs client-delete "$version" "${of[@]}" --alter \
        --delete-config 'producer_byte_rate,consumer_byte_rate'
    configs clients-delete "$version" "${all[@]}" --alter --delete-config request_percentage
    configs users-described "$version" --entity-type users --describe
}

# offsets VERSION TIME...: kafka-get-offsets; the old one knows fewer times.
offsets() {
    local version=$1 time class=kafka.tools.GetOffsetShell at=(--broker-list "$SERVER")
    shift
    if [ "$version" = "$NEW" ]; then
        class=org.apache.kafka.tools.GetOffsetShell
        at=(--bootstrap-server "$SERVER")
    fi
    for time in "$@"; do
        tool "offsets-$time" "$version" $class "${at[@]}" --topic "t-$version" --time "$time"
    done
}

records() {
    local version=$1
    seq 20 | kcat -q -P -b "$SERVER" -t "t-$version" -p 0
    offsets "$version" -1 -2 -3 -4 1000
    cat >"$OUT/offsets.json" <<END
{"partitions": [{"topic": "t-$version", "partition": 0, "offset": 7},
                {"topic": "t-$version", "partition": 1, "offset": 3}], "version": 1}
END
    tool delete-records "$version" "$(class_of DeleteRecordsCommand "$version")" \
        --bootstrap-server "$SERVER" --offset-json-file "$OUT/offsets.json"
    tool log-dirs "$version" "$(class_of LogDirsCommand "$version")" \
        --bootstrap-server "$SERVER" --describe --topic-list "t-$version"
}

replicas() {
    local version=$1 elect=(--bootstrap-server "$SERVER" --election-type preferred)
    tool elect "$version" "$(class_of LeaderElectionCommand "$version")" "${elect[@]}" \
        --topic "t-$version" --partition 0
    tool elect-unknown "$version" "$(class_of LeaderElectionCommand "$version")" "${elect[@]}" \
        --topic no-such --partition 0
    tool elect-all "$version" "$(class_of LeaderElectionCommand "$version")" "${elect[@]}" \
        --all-topic-partitions
    tool reassignments "$version" "$(class_of ReassignPartitionsCommand "$version")" \
        --bootstrap-server "$SERVER" --list
}

only_new() {
    tool quorum-status "$1" org.apache.kafka.tools.MetadataQuorumCommand \
        --bootstrap-server "$SERVER" describe --status
    tool quorum-replication "$1" org.apache.kafka.tools.MetadataQuorumCommand \
        --bootstrap-server "$SERVER" describe --replication
    tool features "$1" org.apache.kafka.tools.FeatureCommand --bootstrap-server "$SERVER" describe
    tool acls "$1" org.apache.kafka.tools.AclCommand --bootstrap-server "$SERVER" --list
    tool transactions "$1" org.apache.kafka.tools.TransactionsCommand \
        --bootstrap-server "$SERVER" list
    tool group-make "$1" org.apache.kafka.tools.consumer.group.ConsumerGroupCommand \
        --bootstrap-server "$SERVER" --group made --topic "t-$1:0" --reset-offsets --to-latest --execute
    configs groups-described "$1" --entity-type groups --describe
}

# every_tool NAME SERVER
every_tool() {
    local version topics
    SERVER=$2
    OUT=$WORK/out-$1
    mkdir "$OUT"
    for version in $VERSIONS; do
        topics=$(class_of TopicCommand $version)
        tool create $version "$topics" --bootstrap-server "$SERVER" --create --topic t-$version \
            --partitions 2
        tool grow $version "$topics" --bootstrap-server "$SERVER" --alter --topic t-$version \
            --partitions 4
        tool shrink $version "$topics" --bootstrap-server "$SERVER" --alter --topic t-$version \
            --partitions 3
        tool grown $version "$topics" --bootstrap-server "$SERVER" --describe --topic t-$version
        topic_configs $version
        broker_configs $version
        client_configs $version
        records $version
        replicas $version
        if [ $version = $NEW ]; then
            only_new $version
        fi
    done
}

judge() {
    local file name good=yes
    for file in "$WORK"/out-kafka/*; do
        name=${file##*/}
        case $name in
        *.stderr | *.json | raw) continue ;;
        *-features) # which features a broker has is its own affair
            grep -q '^status 0$' "$WORK/out-millrace/$name" || fail "features describe fails"
            continue
            ;;
        esac
        alike "$name" || good=no
    done
    [ $good = yes ] || fail "the tools do not behave alike"
}

judge_success() {
    local version
    for version in $VERSIONS; do
        succeeded "$version" create grow topic-describe-all topic-alter topic-altered broker-alter \
            cluster-alter broker-altered delete-records log-dirs elect-all reassignments \
            client-alter client-default client-altered clients-altered client-delete users-described \
            offsets--1 offsets--2 offsets-1000
    done
    if [[ $VERSIONS == *$NEW* ]]; then
        succeeded $NEW quorum-status quorum-replication features offsets--3 offsets--4 group-make \
            groups-described
    fi
}

for version in $OLD $NEW; do
    fetch_jars $version
done
start_kafka
broker_start
wait_until 60 "Apache Kafka serves" kafka_serves
every_tool kafka "$KAFKA" &
CHILDREN+=($!)
every_tool millrace "$BROKER"
wait "${CHILDREN[1]}"
judge
judge_success
broker_stop
echo "$(ls "$WORK/out-kafka" | grep -vc 'stderr\|json\|raw') commands behave alike"
pass
