"""Clients that mean harm, or that merely come in numbers. Each check names what must hold for the
others meanwhile. Arguments: host, port, and parts of the names of the checks to run."""

import os
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "python"))

import ask  # noqa: E402
import schema  # noqa: E402
from wire import (CREATE_TOPICS, FETCH, LIST_OFFSETS, METADATA, Closed, Connection,  # noqa: E402
                  batch)

JOIN_GROUP, DESCRIBE_GROUPS = 11, 15

ADDRESS = None


def connect():
    return Connection(ADDRESS)


def topic_with(connection, name, partitions, records=0):
    error = ask.create_topics(connection, [{"name": name, "partitions": partitions}])[0]["error"]
    assert error in (0, 36), error
    for partition in range(partitions if records else 0):
        ask.produce(connection, name, batch([b"x" * 1000] * records),
                    partition=partition)


def frame(api, version, body, flexible=False):
    head = struct.pack(">hhih", api, version, 7, -1) + (b"\0" if flexible else b"")
    return struct.pack(">i", len(head) + len(body)) + head + bytes(body)


def usable_soon(what, seconds=5):
    """A client of the better kind is answered."""
    with connect() as good:
        good.socket.settimeout(seconds)
        try:
            ask.metadata(good, [])
        except TimeoutError:
            raise AssertionError("no answer within %d s %s" % (seconds, what)) from None


def check_pipelined_parked_fetches_leave_contexts_for_others():
    with connect() as first:
        topic_with(first, "parked", 1)
    body = ask.fetch_body("parked", 0, max_wait=600000)
    hostile = [connect() for _ in range(16)]
    for one in hostile:
        one.send_raw(frame(FETCH, 11, body) * 400)
    time.sleep(1)
    for _ in range(4):  # whichever shard it comes to
        usable_soon("while others have hundreds of fetches waiting")
    for one in hostile:
        one.socket.close()
    usable_soon("after they have gone")


def check_readers_that_leave_early_do_not_hurt_who_comes_next():
    with connect() as first:
        topic_with(first, "leave", 8, records=200)
    for turn in range(150):
        readers = [connect() for _ in range(8)]
        for at, reader in enumerate(readers):
            body = ask.fetch_body("leave", 0, partition=at)
            reader.send_raw(frame(FETCH, 11, body) * (1 + turn % 3))
        for at, reader in enumerate(readers):
            if at % 2:
                reader.socket.recv(1 + 100000 * (turn % 3))
            reader.socket.close()
    held = [connect() for _ in range(40)]
    for one in held:
        for _ in range(3):
            one.socket.settimeout(5)
            ask.metadata(one, [])
    for one in held:
        one.socket.close()


def check_70000_partitions_in_one_request_are_all_answered():
    count = 70000
    with connect() as connection:
        topic_with(connection, "many", 1, records=1)
        body = struct.pack(">ibih", -1, 0, 1, 4) + b"many" + struct.pack(">i", count)
        body += struct.pack(">iiq", 0, -1, -1) * count
        connection.send(LIST_OFFSETS, 5, body)
        try:
            answer = connection.receive()
        except Closed:
            return  # refused: fine
        data = answer.data[answer.at:]
        at = 4 + 4 + 2 + 4 + 4
        for _ in range(count):
            _, error, _, offset, _ = struct.unpack_from(">ihqqi", data, at)
            assert (error, offset) == (0, 1), (error, offset)
            at += 26


def check_a_hundred_thousand_new_topics_do_not_stop_the_control_thread():
    count = 100000
    topics = b"".join(struct.pack(">h6sihii", 6, b"%06d" % i, 1, 3, 0, 0) for i in range(count))
    body = struct.pack(">i", count) + topics + struct.pack(">ib", 1000, 1)
    with connect() as hostile, connect() as good:
        hostile.send(CREATE_TOPICS, 2, body)
        time.sleep(0.2)
        good.socket.settimeout(10)
        ask.find_coordinator(good, "group", 0, 3)


def text(value):
    return struct.pack(">h", len(value)) + value


def wait_for_members(connection, count):
    """Of the group that check below makes; they stay when their connections go."""
    deadline = time.monotonic() + 20
    while len(schema.ask(connection, "DescribeGroups", 0,
                         groups=["crowd"])["groups"][0]["members"]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_a_large_group_that_is_described_very_often_does_not_stop_the_control_thread():
    join = (text(b"crowd") + struct.pack(">ii", 60000, 300000) + text(b"") + text(b"t") +
            struct.pack(">i", 1) + text(b"p") + struct.pack(">i", 0))
    with connect() as good:
        while ask.find_coordinator(good, "crowd", 0, 3)[0] != 0:
            time.sleep(0.1)
        for members in range(800, 8001, 800):
            crowd = [connect() for _ in range(800)]
            for one in crowd:
                one.send(JOIN_GROUP, 3, join)
            wait_for_members(good, members)
            for one in crowd:
                one.socket.close()
        with connect() as hostile:
            hostile.send_raw(frame(DESCRIBE_GROUPS, 0, struct.pack(">i", 200000) +
                                   text(b"crowd") * 200000))
            time.sleep(0.2)
            good.socket.settimeout(5)
            ask.find_coordinator(good, "crowd", 0, 3)


def check_floods_of_small_requests_are_all_answered():
    count = 60000
    one = frame(METADATA, 1, struct.pack(">i", 0))
    flood = one * 2000
    connections = [connect() for _ in range(6)]

    def send(connection):
        for _ in range(count // 2000):
            connection.send_raw(flood)

    def receive(connection, results, at):
        got = 0
        try:
            for _ in range(count):
                size = struct.unpack(">i", connection.exactly(4))[0]
                connection.exactly(size)
                got += 1
        except (TimeoutError, Closed):
            pass
        results[at] = got

    results = [0] * len(connections)
    threads = [threading.Thread(target=send, args=(c,), daemon=True) for c in connections]
    threads += [threading.Thread(target=receive, args=(c, results, i), daemon=True)
                for i, c in enumerate(connections)]
    for thread in threads:
        thread.start()
    for thread in threads[len(connections):]:
        thread.join()
    assert results == [count] * len(connections), results


def main():
    global ADDRESS
    ADDRESS = (sys.argv[1], int(sys.argv[2]))
    failed = 0
    for name, check in list(globals().items()):
        if not name.startswith("check_") or (
                sys.argv[3:] and not any(part in name for part in sys.argv[3:])):
            continue
        begun = time.monotonic()
        try:
            check()
            print("ok      %5.1f s %s" % (time.monotonic() - begun, name), flush=True)
        except (AssertionError, Closed, OSError) as error:
            failed += 1
            print("FAILED  %s: %r" % (name, error), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
