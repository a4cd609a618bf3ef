# Sourced by the comparisons: Apache Kafka 4.3.1 and Millrace, each started in $work.
jars=build/bench/kafka-4.3.1
kafka_port=19292 millrace_port=19392
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

fetch_kafka() {
    [ -d "$jars" ] && return
    mkdir -p "$jars"
    cat >"$work/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>b</groupId><artifactId>b</artifactId>
<version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
POM
    mvn -q -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$PWD/$jars"
}

# start_kafka [MORE PROPERTIES]
start_kafka() {
    cat >"$work/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:19293
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:19293
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
controller.listener.names=CONTROLLER
log.dirs=$work/kafka
offsets.topic.replication.factor=1
$1
PROPERTIES
    java -cp "$jars/*" kafka.tools.StorageTool format --standalone -t 4L6g3nShT-eMCtK--X86sw \
        -c "$work/server.properties" >/dev/null
    java -Xmx1G -cp "$jars/*" kafka.Kafka "$work/server.properties" >"$work/kafka.log" 2>&1 &
    kafka_pid=$!
}

# start_millrace [ARGUMENTS...]
start_millrace() {
    build/millraced --data-dir "$work/millrace" --listen 127.0.0.1:$millrace_port \
        --set log.level=warn --set admin.listen= "$@" >"$work/millrace.log" 2>&1 &
    millrace_pid=$!
}

wait_for() {
    for _ in $(seq 600); do
        build/millrace broker api-versions --bootstrap-server "127.0.0.1:$1" >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "no broker on port $1" >&2
    exit 1
}
