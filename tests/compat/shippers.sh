#!/usr/bin/env bash
# Goal: Debian's log shippers, rsyslog (omkafka) and syslog-ng (kafka-c), both idempotent, deliver
# every line of a file through a restart of the broker, in order per partition. (omkafka may send a
# line again that it met the stop with.)
# Method: half of the lines are in the file when the shipper starts; the broker stops when the first
# have arrived; the rest is written while it is down. kcat reads all partitions in the end.
# rsyslog keeps the order of its lines with one worker only.
# The two packages conflict with each other and bring services: they are downloaded and unpacked into
# the build folder, not installed, and run in the foreground with configurations of their own.
. "$(dirname "$0")/lib.sh"
need kcat apt-get dpkg-deb python3

LINES=100000
PARTITIONS=3
PACKAGES=(rsyslog rsyslog-kafka libestr0 libfastjson4 liblognorm5
    syslog-ng-core syslog-ng-mod-rdkafka libivykis0 libnet1 libpcre3 libwrap0)
ROOT=$CACHE/shippers

# Where nothing had to be installed nobody has asked for the packages' lists yet.
download_packages() {
    apt-get download "${PACKAGES[@]}" ||
        { apt-get update -qq && apt-get download "${PACKAGES[@]}"; }
}

fetch_shippers() {
    exec 9>"$CACHE/shippers.lock"
    flock 9
    if [ ! -e "$ROOT/complete" ]; then
        rm -rf "$ROOT"
        mkdir -p "$ROOT/packages"
        (cd "$ROOT/packages" && download_packages >"$WORK/apt.log" 2>&1) ||
            { tail -n 3 "$WORK/apt.log" && skip "Debian's packages cannot be downloaded"; }
        for package in "$ROOT"/packages/*.deb; do
            dpkg-deb -x "$package" "$ROOT"
        done
        touch "$ROOT/complete"
    fi
    exec 9>&-
}

libraries() {
    local folder=$ROOT/usr/lib/x86_64-linux-gnu
    echo "$folder:$ROOT/lib/x86_64-linux-gnu:$ROOT/usr/lib/syslog-ng"
}

rsyslog_starts() {
    cat >"$WORK/rsyslog.conf" <<END
module(load="imfile" mode="polling" pollingInterval="1")
module(load="omkafka")
global(workDirectory="$WORK")
main_queue(queue.workerThreads="1")
template(name="line" type="string" string="%msg%")
input(type="imfile" file="$WORK/rsyslog.in" tag="file" ruleset="ship")
ruleset(name="ship") {
    action(type="omkafka" broker=["$BROKER"] topic="rsyslog" template="line"
        partitions.auto="on" action.resumeRetryCount="-1"
        action.resumeInterval="1"
        confParam=["enable.idempotence=true"])
}
END
    LD_LIBRARY_PATH=$(libraries) "$ROOT/usr/sbin/rsyslogd" -n -f "$WORK/rsyslog.conf" \
        -i "$WORK/rsyslog.pid" -M "$ROOT/usr/lib/x86_64-linux-gnu/rsyslog" >"$WORK/rsyslog.log" 2>&1 &
    CHILDREN+=($!)
}

syslog_ng_starts() {
    cat >"$WORK/syslog-ng.conf" <<END
@version: 3.38
source file { file("$WORK/syslog-ng.in" follow-freq(0.2) flags(no-parse)); };
destination broker {
    kafka-c(bootstrap-servers("$BROKER") topic("syslog-ng") message("\$MSG")
        config("enable.idempotence" => "true"));
};
log { source(file); destination(broker); flags(flow-control); };
END
    LD_LIBRARY_PATH=$(libraries) "$ROOT/usr/sbin/syslog-ng" -F --no-caps \
        --module-path "$(echo "$ROOT"/usr/lib/syslog-ng/3.38)" -f "$WORK/syslog-ng.conf" \
        -R "$WORK/syslog-ng.persist" -c "$WORK/syslog-ng.ctl" -p "$WORK/syslog-ng.pid" \
        >"$WORK/syslog-ng.log" 2>&1 &
    CHILDREN+=($!)
}

lines() { # FROM TO
    seq -f 'line %06.0f of a log that is shipped to a broker' "$1" "$2"
}

arrived() { # TOPIC: how many lines its partitions have
    local partition
    for partition in $(seq 0 $((PARTITIONS - 1))); do
        kcat -b "$BROKER" -Q -t "$1:$partition:-1" | sed 's/.* offset //'
    done | awk '{ sum += $1 } END { print sum + 0 }'
}

some_arrived() {
    [ "$(arrived "$1")" -gt 0 ]
}

all_arrived() {
    [ "$(arrived "$1")" -ge $LINES ]
}

judge() { # TOPIC
    local partition
    for partition in $(seq 0 $((PARTITIONS - 1))); do
        kcat -b "$BROKER" -C -q -t "$1" -p "$partition" -o beginning -e >"$WORK/read.$partition"
        sort -c "$WORK/read.$partition" || fail "$1: partition $partition is out of order"
    done
    sort -m "$WORK"/read.? | sort -u >"$WORK/read"
    lines 1 $LINES >"$WORK/expected"
    same_file "$1: the lines that arrived" "$WORK/expected" "$WORK/read"
    echo "$1: $(wc -l <"$WORK/read") lines in $(cat "$WORK"/read.? | wc -l) records"
}

fetch_shippers
broker_start
for shipper in rsyslog syslog-ng; do
    "$MR_BUILD/millrace" topic create $shipper --bootstrap-server "$BROKER" \
        --partitions $PARTITIONS >/dev/null
    lines 1 $((LINES / 2)) >"$WORK/$shipper.in"
done
rsyslog_starts
syslog_ng_starts
wait_until 30 "rsyslog delivers" some_arrived rsyslog
wait_until 30 "syslog-ng delivers" some_arrived syslog-ng
broker_stop
for shipper in rsyslog syslog-ng; do
    lines $((LINES / 2 + 1)) $LINES >>"$WORK/$shipper.in"
done
sleep 1 # the shippers find nobody there
broker_again
wait_until 60 "rsyslog has delivered all" all_arrived rsyslog
wait_until 60 "syslog-ng has delivered all" all_arrived syslog-ng
judge rsyslog
judge syslog-ng
for pid in "${CHILDREN[@]}"; do
    kill -TERM "$pid"
    wait "$pid" || true
done
CHILDREN=()
broker_stop
pass
