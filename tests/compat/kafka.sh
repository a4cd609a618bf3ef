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

declare -A TOOLS_ASK TOOLS_ANSWER # pipes to the JVM that runs the tools of a version

# tools_start VERSION: its JVM ends with the shell that calls this.
tools_start() {
    local pipe=$OUT.$1 ask answer
    mkfifo "$pipe.ask" "$pipe.answer"
    "${JAVA[@]}" -cp "$CACHE/jars-$1/*" "$COMPAT/java/Tools.java" <"$pipe.ask" >"$pipe.answer" \
        2>"$pipe.stderr" &
    CHILDREN+=($!)
    exec {ask}>"$pipe.ask" {answer}<"$pipe.answer"
    TOOLS_ASK[$1]=$ask TOOLS_ANSWER[$1]=$answer
}

# tool_run VERSION OUTPUT ERROR CLASS ARGUMENTS...: leaves the tool's status in STATUS. TOOL_INPUT is
# the file of its standard input.
tool_run() {
    local version=$1 output=$2 error=$3
    shift 3
    [ -n "${TOOLS_ASK[$version]:-}" ] || tools_start "$version"
    {
        printf '%s\t' "${TOOL_INPUT:-/dev/null}" "$output" "$error" "$@"
        echo
    } >&"${TOOLS_ASK[$version]}"
    read -r STATUS <&"${TOOLS_ANSWER[$version]}" || {
        cat "$OUT.$version.stderr"
        fail "no answer from $*"
    }
}

# tool NAME VERSION CLASS ARGUMENTS...: standard output, as the test's normalise() leaves it, and
# status go to $OUT/VERSION-NAME.
tool() {
    local name=$1 version=$2
    shift 2
    tool_run "$version" "$OUT/raw" "$OUT/$version-$name.stderr" "$@"
    { normalise <"$OUT/raw" && echo "status $STATUS"; } >"$OUT/$version-$name"
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
