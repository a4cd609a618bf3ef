#!/usr/bin/env bash
# Goal: /metrics is what Prometheus expects and control/README.md says, and its counts are what was
# produced and fetched; what is gone leaves it.
# Method: a known number of records goes in and out, groups commit part of them; the page is checked
# by Debian's promtool, which is unpacked and not installed: its package starts a service.
. "$(dirname "$0")/lib.sh"
need kcat curl python3 apt-get dpkg

fetch_promtool() {
    local at=$CACHE/prometheus
    if [ -x "$at/usr/bin/promtool" ]; then
        return
    fi
    rm -rf "$at"
    mkdir -p "$at"
    (cd "$at" && quiet apt-get download prometheus && quiet dpkg -x ./prometheus_*.deb "$at")
}

# value LINE-START: the figure of the only line that begins so.
value() {
    awk -v start="$1" 'index($0, start " ") == 1 { print $NF; n++ } END { exit n != 1 }' "$WORK/page" ||
        fail "not one line '$1'"
}

scrape() {
    curl -sf "http://$ADMIN/metrics" >"$WORK/page" || fail "/metrics does not answer"
    "$CACHE/prometheus/usr/bin/promtool" check metrics <"$WORK/page" >"$WORK/promtool" 2>&1 ||
        fail "promtool: $(cat "$WORK/promtool")"
    same "what promtool says" "" "$(cat "$WORK/promtool")"
    metrics page "$WORK/page" "$COMPAT/../../control/README.md" 2>"$WORK/table" ||
        fail "the page: $(tail -n 1 "$WORK/table")"
}

metrics() {
    python3 "$COMPAT/python/metrics.py" "$@"
}

# sum_of FAMILY: over all shards.
sum_of() {
    awk -v family="millrace_$1{" 'index($0, family) == 1 { s += $NF } END { print s + 0 }' "$WORK/page"
}

# status METHOD PAGE: of the answer.
status() {
    curl -s -o /dev/null -w '%{http_code}' -X "$1" "http://$ADMIN$2"
}

fetch_promtool
ADMIN=127.0.0.1:$(free_port)
broker_start --shards 2 --set admin.listen="$ADMIN"
same "/healthz" ok "$(curl -s "http://$ADMIN/healthz")"
same "/readyz" ready "$(curl -s "http://$ADMIN/readyz")"
python3 - "$ADMIN" <<'PYTHON' || fail "an answer of HTTP/1.0 has no end"
import socket
import sys

host, port = sys.argv[1].rsplit(':', 1)
admin = socket.create_connection((host, int(port)), timeout=30)
admin.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
while admin.recv(65536):
    pass
PYTHON
# As many silent connections as there may be, and more, give their places up after a while.
python3 - "$ADMIN" >"$WORK/silent" <<'PYTHON' &
import socket
import sys
import time

host, port = sys.argv[1].rsplit(':', 1)
silent = [socket.create_connection((host, int(port)), timeout=30) for _ in range(40)]
for connection in silent:
    connection.sendall(b'GET /hea')
print('there', flush=True)
time.sleep(600)
PYTHON
CHILDREN+=($!)
wait_until 30 "silent connections are there" grep -q there "$WORK/silent"
wait_until 60 "silent connections are closed" curl -sf -m 5 "http://$ADMIN/healthz"
kill "${CHILDREN[-1]}"
wait "${CHILDREN[-1]}" || true
CHILDREN=()

same "an unknown page" 404 "$(status GET /nothing)"
same "a method that changes things" 405 "$(status POST /metrics)"
same "the head of a page" "200 0" \
    "$(curl -sI -o /dev/null -w '%{http_code} %{size_download}' "http://$ADMIN/metrics")"
scrape # of a broker that nobody has used

quiet "$MR_BUILD/millrace" topic create counted --partitions 4 --bootstrap-server "$BROKER"
for partition in 0 1 2 3; do
    seq 1000 | kcat -q -P -b "$BROKER" -t counted -p $partition
done
kcat -q -C -b "$BROKER" -t counted -o beginning -e >/dev/null
quiet timeout 30 "$MR_BUILD/millrace" consume counted --group behind --from-beginning \
    --exit-at-end --bootstrap-server "$BROKER"
seq 7 | kcat -q -P -b "$BROKER" -t counted -p 2

scrape
same "records in" 4007 "$(value 'millrace_topic_records_in_total{topic="counted"}')"
bytes_in=$(value 'millrace_topic_bytes_in_total{topic="counted"}')
bytes_out=$(value 'millrace_topic_bytes_out_total{topic="counted"}')
[ "$bytes_out" -ge "$bytes_in" ] || fail "fetched $bytes_out bytes of $bytes_in, twice over"
same "bytes of all shards" "$bytes_in" "$(sum_of produce_bytes_total)"
same "bytes fetched over all shards" "$bytes_out" "$(sum_of fetch_bytes_total)"
same "bytes of requests by API" "$(sum_of network_received_bytes_total)" "$(sum_of request_bytes_total)"
same "bytes of answers by API" "$(sum_of network_sent_bytes_total)" "$(sum_of response_bytes_total)"
same "credits in use by nobody" 0 "$(sum_of credits_used)"
same "lag of partition 2" 7 "$(value 'millrace_group_lag{group="behind",topic="counted",partition="2"}')"
same "lag of partition 0" 0 "$(value 'millrace_group_lag{group="behind",topic="counted",partition="0"}')"
same "groups" 1 "$(value 'millrace_groups{state="Empty"}')"
same "failed stores" 0 "$(sum_of store_failed)"
same "shards" 2 "$(sum_of shard_up)"
counted=$(awk '/^millrace_requests_total.*api="Produce"/ { s += $NF } END { print s }' "$WORK/page")
timed=$(awk '/^millrace_request_duration_seconds_count.*api="Produce"/ { s += $NF } END { print s }' "$WORK/page")
same "Produce requests counted and timed" "$counted" "$timed"

fetched=$(metrics fetch "${BROKER%:*}" "${BROKER#*:}" counted)
scrape
same "bytes of one more Fetch" $((bytes_out + fetched)) \
    "$(value 'millrace_topic_bytes_out_total{topic="counted"}')"

# Names of groups that would spoil the page. Theirs and the topic's lines go with them.
quiet "$MR_BUILD/millrace" topic create brief --bootstrap-server "$BROKER"
seq 3 | kcat -q -P -b "$BROKER" -t brief
metrics commit "${BROKER%:*}" "${BROKER#*:}" brief >"$WORK/names"
scrape
while IFS= read -r name; do
    grep -qxF "millrace_group_lag{group=\"$name\",topic=\"brief\",partition=\"0\"} 3" "$WORK/page" ||
        fail "no lag of the group $name"
done <"$WORK/names"
same "groups with odd names" "$(wc -l <"$WORK/names")" "$(grep -c '^millrace_group_lag{.*topic="brief"' "$WORK/page")"
quiet "$MR_BUILD/millrace" group delete plain behind --bootstrap-server "$BROKER"
scrape
grep -q 'group="plain"\|group="behind"' "$WORK/page" && fail "a deleted group is on the page"
quiet "$MR_BUILD/millrace" topic delete brief --bootstrap-server "$BROKER"
brief_is_gone() {
    scrape
    ! grep -q 'topic="brief"' "$WORK/page"
}
wait_until 30 "the deleted topic has left the page" brief_is_gone

# Older states of the metadata are freed when every shard has taken the newer.
one_state() {
    scrape
    [ "$(value millrace_metadata_snapshots)" = 1 ]
}
for number in $(seq 100); do
    quiet "$MR_BUILD/millrace" topic create "churn-$number" --partitions 4 --bootstrap-server "$BROKER"
    quiet "$MR_BUILD/millrace" topic delete "churn-$number" --bootstrap-server "$BROKER"
done
wait_until 30 "one state of the metadata is left" one_state

for _ in $(seq 20); do curl -sf "http://$ADMIN/metrics" >/dev/null & done
wait $(jobs -p | grep -v "^$BROKER_PID$")
scrape
broker_stop
pass
