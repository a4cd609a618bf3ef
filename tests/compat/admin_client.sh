#!/usr/bin/env bash
# Goal: every call that Kafka's AdminClient 4.3.1 has comes to the same with Millrace as with Apache
# Kafka, or is refused at once and for good.
# Method: java/AdminCalls.java against both; it fails where the interface has a call that it does not
# make. REFUSED names the calls that Millrace does not serve, and how each is refused; an entry that is
# not needed fails.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kafka.sh"
need java javac

VERSION=UnsupportedVersionException
declare -A REFUSED=( # one broker, no security, no transactions, no newer groups
    [addRaftVoter]="throws $VERSION" [removeRaftVoter]="throws $VERSION"
    [createDelegationToken]="throws $VERSION" [renewDelegationToken]="throws $VERSION"
    [expireDelegationToken]="throws $VERSION" [describeDelegationToken]="throws $VERSION"
    [alterUserScramCredentials]="throws $VERSION" [abortTransaction]="throws $VERSION"
    [describeTransactions]='{tx=TransactionalIdAuthorizationException}'
    [fenceProducers]='throws TransactionalIdAuthorizationException'
    [forceTerminateTransaction]='throws TransactionalIdAuthorizationException'
    [describeShareGroups]="{share=$VERSION}" [listShareGroupOffsets]="throws $VERSION"
    [alterShareGroupOffsets]="throws $VERSION" [deleteShareGroupOffsets]="throws $VERSION"
    [deleteShareGroups]='{share=GroupIdNotFoundException}' [describeStreamsGroups]="{streams=$VERSION}"
)

calls() { # BROKER
    timeout 120 "${JAVA[@]}" -cp "$CACHE/jars-$NEW/*" "$COMPAT/java/AdminCalls.java" "$1" \
        2>"$WORK/calls.err"
}

judge() {
    local name expected found equal=0 refused=0
    while IFS=$'\t' read -r name expected found; do
        if [ "$expected" = "$found" ]; then
            equal=$((equal + 1))
        elif [ "${REFUSED[$name]:-}" = "$found" ]; then
            refused=$((refused + 1))
            unset "REFUSED[$name]"
        else
            fail "$name: Apache Kafka: $expected; Millrace: $found"
        fi
    done < <(paste -d '\t' "$WORK/kafka.out" <(sed 's/^[^:]*: //' "$WORK/millrace.out") |
        sed 's/: /\t/')
    [ ${#REFUSED[@]} -eq 0 ] || fail "not refused: ${!REFUSED[*]}"
    echo "$equal calls come to the same, $refused are refused"
}

fetch_jars $NEW
start_kafka transaction.state.log.{replication.factor,min.isr}=1 \
    share.coordinator.state.topic.{replication.factor,min.isr}=1
broker_start
wait_until 60 "Apache Kafka serves" kafka_serves
calls "$KAFKA" >"$WORK/kafka.out" &
CHILDREN+=($!)
calls "$BROKER" >"$WORK/millrace.out" || { cat "$WORK/calls.err" && fail "with Millrace"; }
wait "${CHILDREN[1]}" || fail "with Apache Kafka"
same "the calls" "$(sed 's/: .*//' "$WORK/kafka.out")" "$(sed 's/: .*//' "$WORK/millrace.out")"
judge
broker_stop
pass
