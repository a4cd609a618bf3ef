# Sourced after lib.sh by the tests that run Apache Kafka's own programs: its jars by Maven, and a
# broker of Kafka's to compare with.

OLD=2.7.2
NEW=4.3.1
COPY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
JAVA=(java -Xmx256M -XX:+UseSerialGC -XX:TieredStopAtLevel=1) # short runs: compile little

# Tests may run side by side: one fetches, the others wait.
fetch_jars() {
    exec 9>"$CACHE/jars.lock"
    flock 9
    fetch_jars_alone "$1"
    exec 9>&-
}

fetch_jars_alone() {
    local version=$1 jars=$CACHE/jars-$1 pom=$COMPAT/java/tools-$1/pom.xml
    if [ -e "$jars/complete" ] && [ "$jars/complete" -nt "$pom" ]; then
        return
    fi
    need mvn
    rm -rf "$jars" "$CACHE/classes-$version.jsa"
    quiet mvn -q -B -Dmaven.repo.local="$CACHE/maven" -f "$pom" "$COPY_PLUGIN" \
        -DoutputDirectory="$jars"
    touch "$jars/complete"
}

kafka_serves() {
    python3 -c "import socket; socket.create_connection(('127.0.0.1', ${KAFKA#*:}), 1)"
}

# start_kafka [PROPERTY=VALUE...]
start_kafka() {
    local port controller
    port=$(free_port)
    controller=$(free_port)
    KAFKA=127.0.0.1:$port
    cat >"$WORK/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$WORK/kafka
offsets.topic.replication.factor=1
END
    printf '%s\n' "$@" >>"$WORK/server.properties"
    quiet "${JAVA[@]}" -cp "$CACHE/jars-$NEW/*" kafka.tools.StorageTool format --standalone \
        -t AAAAAAAAQACAAAAAAAAAAA -c "$WORK/server.properties"
    java -Xmx512M -cp "$CACHE/jars-$NEW/*" kafka.Kafka "$WORK/server.properties" \
        >"$WORK/kafka.log" 2>&1 &
    CHILDREN=($!)
}


# ---- the same command against both brokers -------------------------------------------------------

# save_classes VERSION BROKER: what every tool loads is kept as an archive of the JVM's, which halves
# the start of each. Without it (another JVM, two tests at once) the tools only start slower.
save_classes() {
    local archive=$CACHE/classes-$1.jsa class=org.apache.kafka.tools.TopicCommand
    if [ -e "$archive" ]; then
        return
    fi
    if [ "$1" = $OLD ]; then
        class=kafka.admin.TopicCommand
    fi
    "${JAVA[@]}" -XX:ArchiveClassesAtExit="$archive.$$" -cp "$CACHE/jars-$1/*" $class \
        --bootstrap-server "$2" --list >/dev/null 2>&1 && mv "$archive.$$" "$archive" || true
}

# tool NAME VERSION CLASS ARGUMENTS...: standard output, as the test's normalise() leaves it, and
# status go to $OUT/VERSION-NAME.
tool() {
    local name=$1 version=$2 class=$3 status=0
    shift 3
    timeout 60 "${JAVA[@]}" -XX:SharedArchiveFile="$CACHE/classes-$version.jsa" -Xlog:disable -cp "$CACHE/jars-$version/*" "$class" "$@" \
        >"$OUT/raw" 2>"$OUT/$version-$name.stderr" || status=$?
    { normalise <"$OUT/raw" && echo "status $status"; } >"$OUT/$version-$name"
}

# alike VERSION-NAME: whether both brokers gave the same output; else it shows how they differ.
alike() {
    cmp -s "$WORK/out-kafka/$1" "$WORK/out-millrace/$1" && return
    echo "--- $1: Apache Kafka (-) and Millrace (+)"
    diff -u "$WORK/out-kafka/$1" "$WORK/out-millrace/$1" | tail -n +3 | head -n 30 || true
    head -n 5 "$WORK/out-millrace/$1.stderr"
    return 1
}

# succeeded VERSION NAME...: equal output proves nothing where both brokers failed alike.
succeeded() {
    local version=$1 name
    shift
    for name in "$@"; do
        grep -q '^status 0$' "$WORK/out-kafka/$version-$name" || {
            cat "$WORK/out-kafka/$version-$name"{,.stderr} | head -n 20
            fail "$version $name fails against Apache Kafka itself"
        }
    done
}
