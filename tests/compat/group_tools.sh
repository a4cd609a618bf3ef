#!/usr/bin/env bash
# Goal: Apache Kafka's own tools for consumer groups, 2.7.2 and 4.3.1, say of Millrace what they say
# of Apache Kafka, and Kafka's formatter reads __consumer_offsets.
# Method: the same commands against Apache Kafka 4.3.1, which this test starts, and against Millrace.
# Standard output and exit status must be equal, but for what normalise() names.
# Beside them, `millrace group describe` shows the rows that Kafka's tool shows.
# Usage: group_tools.sh VERSION...
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need java python3 kcat
VERSIONS=$*

# Member ids hold random numbers; the formatters print times; columns are padded to the longest id.
normalise() {
    plain_nodes | sed -E \
        -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' \
        -e 's/[A-Za-z0-9_-]{22}(,|\)|")/ID\1/g' \
        -e 's/console-consumer-[0-9]+/console-consumer-N/g' \
        -e 's/(127\.0\.0|10\.9[89]\.0)\.1:[0-9]+/ADDRESS/g' \
        -e 's/((commit|expire)Timestamp|[cC]urrentStateTimestamp)"?[:=][0-9]+/\1=TIME/g' \
        -e 's/ +/ /g' -e 's/ $//' -e '/^\[[0-9-]+ [0-9:,]+\] WARN/d' | sort
}

groups_class() {
    if [ "$1" = $OLD ]; then echo kafka.admin.ConsumerGroupCommand; else
        echo org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; fi
}

consumer_class() {
    if [ "$1" = $OLD ]; then echo kafka.tools.ConsoleConsumer; else
        echo org.apache.kafka.tools.consumer.ConsoleConsumer; fi
}

formatter_class() {
    if [ "$1" = $OLD ]; then
        echo "kafka.coordinator.group.GroupMetadataManager\$OffsetsMessageFormatter"
    else
        echo org.apache.kafka.tools.consumer.OffsetsMessageFormatter
    fi
}

produce() {
    local partition
    for partition in 0 1 2; do
        seq -f "record $partition-%g" $((10 * (partition + 1))) |
            kcat -q -P -b "$1" -t "$2" -p $partition
    done
}

two_members() {
    tool_run $NEW "$OUT/raw" "$OUT/waiting" "$(groups_class $NEW)" \
        --bootstrap-server "$1" --describe --group "$2" --state
    grep -q 'Stable *2' "$OUT/raw"
}

# own_rows BROKER VERSION GROUP: our tool's rows are those of Kafka's, which have the group in front.
# A group with members may commit between the two.
own_rows() {
    if [ "$1" = "$BROKER" ]; then
        wait_until 30 "our tool shows of group $3 what Kafka's does" rows_alike "$@"
    fi
}

rows_alike() {
    tool_run "$2" "$OUT/raw" "$OUT/rows.stderr" "$(groups_class "$2")" --bootstrap-server "$1" \
        --describe --group "$3"
    awk -v group="$3" '$1 == group' "$OUT/raw" | sed -E -e 's/^[^ ]+ +//' -e 's/ +/ /g' -e 's/ $//' |
        sort >"$OUT/rows-kafka"
    "$MR_BUILD/millrace" group describe "$3" --bootstrap-server "$1" |
        sed -E -e '1,3d' -e 's/ +/ /g' | sort >"$OUT/rows-own"
    [ -s "$OUT/rows-kafka" ] && cmp "$OUT/rows-kafka" "$OUT/rows-own"
}

# While two members are there: what --describe says of them.
with_members() {
    local broker=$1 version=$2 group=live-$2 groups pids=() i
    groups=$(groups_class "$version")
    for i in 1 2; do
        "${JAVA[@]}" -cp "$CACHE/jars-$version/*" "$(consumer_class "$version")" \
            --bootstrap-server "$broker" --topic "t-$version" --group "$group" \
            --from-beginning >/dev/null 2>&1 &
        pids+=($!)
    done
    CHILDREN+=("${pids[@]}")
    wait_until 60 "two members share the topic" two_members "$broker" "$group"
    tool members "$version" "$groups" --bootstrap-server "$broker" --describe --group "$group" \
        --members
    tool members-verbose "$version" "$groups" --bootstrap-server "$broker" --describe \
        --group "$group" --members --verbose
    tool live-state "$version" "$groups" --bootstrap-server "$broker" --describe --group "$group" \
        --state
    own_rows "$broker" "$version" "$group"
    tool delete-live "$version" "$groups" --bootstrap-server "$broker" --delete --group "$group"
    tool reset-live "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "$group" --topic "t-$version" --to-earliest --execute
    tool delete-offsets-live "$version" "$groups" --bootstrap-server "$broker" --delete-offsets \
        --group "$group" --topic "t-$version"
    kill -TERM "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null || true
}

every_reset() {
    local broker=$1 version=$2 groups=$3 group=g-$2 topic=t-$2 mode at=0
    for mode in --to-earliest --to-latest '--to-offset 5' '--shift-by -2' --to-current \
        '--to-datetime 2020-01-01T00:00:00.000' '--by-duration P1D' '--to-offset 999999'; do
        at=$((at + 1))
        # shellcheck disable=SC2086 # a mode and its value are two words
        tool "reset-$at" "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
            --group "$group" --topic "$topic" $mode --execute
        tool "reset-$at-seen" "$version" "$groups" --bootstrap-server "$broker" --describe \
            --group "$group"
    done
    tool reset-dry "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "$group" --topic "$topic:0,2" --to-earliest --dry-run
    tool reset-export "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "$group" --all-topics --to-earliest --export
    grep '^"' "$OUT/$version-reset-export" | sed 's/.*/&/' >"$OUT/plan.csv" || true
    tool reset-file "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "$group" --from-file "$OUT/plan.csv" --execute
}

# What is not there: groups, topics, partitions, offsets that were never committed; and what is
# beyond the ends of the log.
odd_resets() {
    local broker=$1 version=$2 groups=$3 topic=t-$2 mode at=0
    for mode in '--shift-by 999' '--shift-by -999' '--to-datetime 2099-01-01T00:00:00.000' \
        '--by-duration PT0S' '--to-offset 0'; do
        at=$((at + 1))
        # shellcheck disable=SC2086 # a mode and its value are two words
        tool "reset-odd-$at" "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
            --group "g-$version" --topic "$topic" $mode --execute
    done
    for mode in --to-current --to-latest '--shift-by 1'; do
        at=$((at + 1))
        # shellcheck disable=SC2086
        tool "reset-odd-$at" "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
            --group "new-$version" --topic "$topic:1" $mode --execute
        tool "reset-odd-$at-seen" "$version" "$groups" --bootstrap-server "$broker" --describe \
            --group "new-$version"
    done
    tool reset-no-topic "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "g-$version" --topic nothing --to-earliest --execute
    tool reset-no-partition "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "g-$version" --topic "$topic:7" --to-earliest --execute
    tool reset-all "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "g-$version" --group "new-$version" --all-topics --to-latest --dry-run
    tool reset-all-export "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "g-$version" --group "new-$version" --all-topics --to-earliest --export
    grep '^"' "$OUT/$version-reset-all-export" >"$OUT/plan.csv" || true
    tool reset-all-file "$version" "$groups" --bootstrap-server "$broker" --reset-offsets \
        --group "g-$version" --group "new-$version" --from-file "$OUT/plan.csv" --execute
}

# How often members of a group commit is a matter of time; what they commit is not. The newer
# formatter prints all in one line.
each_commit_once() {
    sed -i 's/}{"key"/}\n{"key"/g' "$1"
    sort -u -o "$1" "$1"
}

# every_tool NAME BROKER
every_tool() {
    local broker=$2 version groups
    OUT=$WORK/out-$1
    mkdir "$OUT"
    for version in $VERSIONS; do
        groups=$(groups_class $version)
        tool_run $NEW "$OUT/raw" "$OUT/created" org.apache.kafka.tools.TopicCommand \
            --bootstrap-server "$broker" --create --topic t-$version --partitions 3
        same "status of the topic's creation" 0 "$STATUS"
        quiet produce "$broker" t-$version
        tool list-none $version "$groups" --bootstrap-server "$broker" --list
        tool consume $version "$(consumer_class $version)" --bootstrap-server "$broker" \
            --topic t-$version --group g-$version --from-beginning --max-messages 60
        tool list $version "$groups" --bootstrap-server "$broker" --list
        tool list-state $version "$groups" --bootstrap-server "$broker" --list --state
        tool describe $version "$groups" --bootstrap-server "$broker" --describe --group g-$version
        tool state $version "$groups" --bootstrap-server "$broker" --describe --group g-$version \
            --state
        tool describe-unknown $version "$groups" --bootstrap-server "$broker" --describe \
            --group nobody
        with_members "$broker" $version
        every_reset "$broker" $version "$groups"
        odd_resets "$broker" $version "$groups"
        own_rows "$broker" $version g-$version
        own_rows "$broker" $version new-$version
        tool describe-all $version "$groups" --bootstrap-server "$broker" --describe --all-groups
        tool state-all $version "$groups" --bootstrap-server "$broker" --describe --all-groups \
            --state
        tool members-none $version "$groups" --bootstrap-server "$broker" --describe \
            --group g-$version --members
        tool list-empty $version "$groups" --bootstrap-server "$broker" --list --state empty
        tool list-stable $version "$groups" --bootstrap-server "$broker" --list --state Stable
        tool formatter $version "$(consumer_class $version)" --bootstrap-server "$broker" \
            --topic __consumer_offsets --from-beginning --timeout-ms 8000 \
            --formatter "$(formatter_class $version)"
        each_commit_once "$OUT/$version-formatter"
        tool delete-offsets $version "$groups" --bootstrap-server "$broker" --delete-offsets \
            --group g-$version --topic t-$version:1
        tool delete-offsets-again $version "$groups" --bootstrap-server "$broker" --delete-offsets \
            --group g-$version --topic t-$version:1
        tool delete-offsets-nobody $version "$groups" --bootstrap-server "$broker" \
            --delete-offsets --group nobody --topic t-$version
        tool delete-offsets-nothing $version "$groups" --bootstrap-server "$broker" \
            --delete-offsets --group g-$version --topic nothing
        tool describe-less $version "$groups" --bootstrap-server "$broker" --describe \
            --group g-$version
        tool delete-unknown $version "$groups" --bootstrap-server "$broker" --delete --group nobody
        tool delete $version "$groups" --bootstrap-server "$broker" --delete --group g-$version \
            --group live-$version --group new-$version
        tool list-end $version "$groups" --bootstrap-server "$broker" --list
    done
}

fetch_jars $OLD
fetch_jars $NEW
start_kafka
broker_start --set admin.listen=
wait_until 60 "Apache Kafka is ready" kafka_serves
every_tool kafka "$KAFKA" &
KAFKA_TOOLS=$!
CHILDREN+=("$KAFKA_TOOLS")
every_tool millrace "$BROKER"
wait $KAFKA_TOOLS || fail "the tools did not end against Apache Kafka"

different=0
for expected in "$WORK"/out-kafka/[0-9]*; do
    name=$(basename "$expected")
    case $name in *.stderr) continue ;; esac
    alike "$name" || different=$((different + 1))
done
[ $different -eq 0 ] || fail "$different outputs differ"
for version in $VERSIONS; do
    succeeded "$version" consume list describe state members reset-1 reset-file reset-odd-1 \
        reset-odd-6 reset-all-file describe-all delete
done
# The formatter of 2.7.2 does not know the values that 4.3.1 writes: it fails on Kafka's, too.
case $VERSIONS in *$NEW*) succeeded $NEW formatter ;; esac
echo "$(find "$WORK/out-kafka" -name '[0-9]*' ! -name '*.stderr' | wc -l) outputs are equal"
broker_stop
pass
