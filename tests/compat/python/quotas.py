"""Goal: quotas are kept to. See quota.sh.

Usage: quotas.py HOST PORT
"""

import sys
import threading
import time

import schema
from wire import Connection, batch, batches

WINDOW_S = 10  # of the quotas, but for the piece that begins
QUOTA = 1 << 20
PIECE = 64 << 10
CONNECTIONS = 4

ADDRESS = (sys.argv[1], int(sys.argv[2]))
RECORDS = batch([b"x" * (PIECE - 100)], key=b"k")
FAULTS = []


def check(good, what):
    print("%s: %s" % ("good" if good else "BAD", what))
    if not good:
        FAULTS.append(what)


def set_quotas(admin, client, remove=False, **values):
    answer = schema.ask(admin, "AlterClientQuotas", 1, entries=[
        {"entity": [{"entity_type": "client-id", "entity_name": client}],
         "ops": [{"key": key, "value": float(value), "remove": remove}
                 for key, value in values.items()]}])
    assert answer["entries"][0]["error_code"] == 0, answer


def produce(connection):
    return schema.ask(connection, "Produce", 9, acks=1, timeout_ms=10000, topic_data=[
        {"name": "t", "partition_data": [{"index": 0, "records": RECORDS}]}])


def fetch(connection, offset):
    return schema.ask(connection, "Fetch", 11, max_wait_ms=0, min_bytes=1, max_bytes=PIECE,
                      session_epoch=-1, topics=[{"topic": "t", "partitions": [
                          {"partition": 0, "fetch_offset": offset,
                           "partition_max_bytes": PIECE}]}])


class Client(threading.Thread):
    """Does `work` on a connection of its own until the time is over; counts bytes by answers."""

    def __init__(self, name, work, end):
        super().__init__(daemon=True)
        self.connection = Connection(ADDRESS, name)
        self.connection.socket.settimeout(60)
        self.work, self.end = work, end
        self.bytes = self.throttled = self.longest_ms = 0

    def run(self):
        while time.monotonic() < self.end:
            size, wait_ms = self.work(self.connection)
            if time.monotonic() < self.end:
                self.bytes += size
            self.throttled += wait_ms > 0
            self.longest_ms = max(self.longest_ms, wait_ms)


def produce_once(connection):
    answer = produce(connection)
    assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0, answer
    return PIECE, answer["throttle_time_ms"]


def fetch_once(connection):
    answer = fetch(connection, 0)
    records = [p["records"] for topic in answer["responses"] for p in topic["partitions"]]
    assert (answer["throttle_time_ms"] > 0) == (not records), "a throttled fetch is empty"
    size = len(records[0]) if records else 0
    assert size == 0 or batches(records[0]), "no whole batch"
    return size, answer["throttle_time_ms"]


def run_all():
    end = time.monotonic() + WINDOW_S
    clients = {name: [Client(name, work, end) for _ in range(count)]
               for name, work, count in (("producer", produce_once, CONNECTIONS),
                                         ("consumer", fetch_once, CONNECTIONS),
                                         ("percent", fetch_once, 1), ("free", produce_once, 1))}
    for group in clients.values():
        for client in group:
            client.start()
    for group in clients.values():
        for client in group:
            if client.connection.client_id in (b"percent", b"free"):
                client.join()
    time.sleep(max(0, end - time.monotonic()) + 0.1)
    return clients


def judge(clients):
    total = {name: sum(client.bytes for client in group) for name, group in clients.items()}
    allowed = WINDOW_S * QUOTA
    for name in ("producer", "consumer"):
        check(0.9 * allowed <= total[name] <= 1.1 * allowed, "%s: %.3f of its quota in %d s" % (
            name, total[name] / allowed, WINDOW_S))
        check(any(client.throttled for client in clients[name]), "%s is told" % name)
    free = clients["free"][0]
    check(total["free"] > 2 * allowed and free.throttled == 0,
          "the client without a quota: %.1f of the others' and no wait" % (total["free"] / allowed))
    percent = clients["percent"][0]
    check(percent.throttled > 0 and percent.longest_ms <= 1000,
          "request quota: told %d times, at most %d ms" % (percent.throttled, percent.longest_ms))


def muted_after_the_answer(admin):
    """The answer that says so is there before the wait, and the next one comes after it."""
    set_quotas(admin, "single", producer_byte_rate=PIECE)
    connection = Connection(ADDRESS, "single")
    wait_ms = 0
    while wait_ms == 0:
        begin = time.monotonic()
        wait_ms = produce(connection)["throttle_time_ms"]
    answered = time.monotonic()
    check(answered - begin < wait_ms / 1000, "answered before the wait of %d ms" % wait_ms)
    set_quotas(admin, "single", remove=True, producer_byte_rate=0)
    connection.socket.settimeout(60)
    schema.ask(connection, "ApiVersions", 2)
    check(time.monotonic() - begin >= wait_ms / 1000, "served after the wait only")


def main():
    admin = Connection(ADDRESS)
    schema.ask(admin, "CreateTopics", 7, timeout_ms=10000, topics=[
        {"name": "t", "num_partitions": 1, "replication_factor": 1}])
    produce(admin)
    set_quotas(admin, "producer", producer_byte_rate=QUOTA)
    set_quotas(admin, "consumer", consumer_byte_rate=QUOTA)
    set_quotas(admin, "percent", request_percentage=0.01)
    muted = threading.Thread(target=muted_after_the_answer, args=(admin,), daemon=True)
    muted.start()
    judge(run_all())
    muted.join(60)
    check(not muted.is_alive(), "the single client came to its end")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
