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
    rm -rf "$jars"
    quiet mvn -q -B -Dmaven.repo.local="$CACHE/maven" -f "$pom" "$COPY_PLUGIN" \
        -DoutputDirectory="$jars"
    touch "$jars/complete"
}

kafka_serves() {
    python3 -c "import socket; socket.create_connection(('127.0.0.1', ${KAFKA#*:}), 1)"
}

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
    quiet "${JAVA[@]}" -cp "$CACHE/jars-$NEW/*" kafka.tools.StorageTool format --standalone \
        -t AAAAAAAAQACAAAAAAAAAAA -c "$WORK/server.properties"
    java -Xmx512M -cp "$CACHE/jars-$NEW/*" kafka.Kafka "$WORK/server.properties" \
        >"$WORK/kafka.log" 2>&1 &
    CHILDREN=($!)
}

