"""Goal: the broker says on the wire what Apache Kafka 4.3.1 says.

Method: each check below opens its own connections, sends requests byte by byte, and judges the
answers. Its name is what is checked. Usage: dialogue.py HOST PORT [PART OF A NAME]...
"""

import sys
import time
import traceback

import schema
from ask import (create_topics, delete_topics, describe_cluster, describe_configs,
                 describe_topic_partitions, epoch_end, fetch, fetch_answer, fetch_body,
                 find_coordinator, init_producer_id, list_offsets, metadata, produce,
                 produce_answer, produce_body)
from wire import (API_VERSIONS, FETCH, METADATA, PRODUCE, TIMEOUT_S, Connection, Reader, Writer,
                  batch, batches, values_of)

(NONE, UNKNOWN_SERVER, OFFSET_OUT_OF_RANGE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, INVALID_TOPIC,
 INVALID_ACKS, INVALID_TIMESTAMP, UNSUPPORTED_VERSION, TOPIC_EXISTS, INVALID_PARTITIONS,
 INVALID_FACTOR, INVALID_ASSIGNMENT, INVALID_CONFIG, INVALID_REQUEST, OUT_OF_ORDER, OLD_EPOCH,
 UNKNOWN_EPOCH, INVALID_RECORD, UNKNOWN_ID, NO_COORDINATOR, TRANSACTIONS_REFUSED) = (
     0, -1, 1, 2, 3, 10, 17, 21, 32, 35, 36, 37, 38, 39, 40, 42, 45, 47, 75, 87, 100, 15, 53)

ADDRESS = None
TOPICS = 0


def connect():
    return Connection(ADDRESS)


def same(what, expected, found):
    assert found == expected, "%s: expected %r, found %r" % (what, expected, found)


def usable_topic(connection, name, partitions=1):
    """Apache Kafka answers CreateTopics a moment before it serves the partitions."""
    until("all partitions are served", lambda: all(
        list_offsets(connection, name, -1, partition=i)[0] == NONE for i in range(partitions)))


def new_topic(connection, partitions=1, **configs):
    """(name, id) of a topic that can be used."""
    global TOPICS
    TOPICS += 1
    name = "dialogue-%d" % TOPICS
    found = create_topics(connection, [{
        "name": name, "partitions": partitions,
        "configs": [(key.replace("_", "."), value) for key, value in configs.items()]}])[0]
    same("creating %s" % name, NONE, found["error"])
    usable_topic(connection, name, partitions)
    return name, found["id"]


def until(what, condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain until " + what
        time.sleep(0.02)


def api_versions_body(name="dialogue", version="1.0"):
    return Writer(True).string(name).string(version).tags().data


def usable(connection):
    reader = connection.ask(API_VERSIONS, 0)
    return reader.i16() == NONE


# ---- ApiVersions --------------------------------------------------------------------------------

def ranges(reader, with_tags):
    def one(r):
        found = (r.i16(), r.i16(), r.i16())
        if with_tags:
            r.tags()
        return found
    return {key: (low, high) for key, low, high in reader.array(one)}


def check_api_versions_99_is_answered_in_version_0_and_the_connection_lives_on():
    with connect() as connection:
        reader = connection.ask(API_VERSIONS, 99, api_versions_body(), body_flexible=False)
        same("error", UNSUPPORTED_VERSION, reader.i16())
        found = ranges(reader, False)
        reader.end()
        same("range of ApiVersions", (0, 4), found.get(API_VERSIONS))
        assert usable(connection)


def check_api_versions_answers_in_each_version():
    with connect() as connection:
        for version in range(5):
            body = api_versions_body() if version >= 3 else b""
            reader = connection.ask(API_VERSIONS, version, body)
            same("error", NONE, reader.i16())
            found = ranges(reader, version >= 3)
            if version >= 1:
                reader.i32()
            reader.tags()
            reader.end()
            same("Produce", (0, 13), found[PRODUCE])
            same("Fetch", (4, 18), found[FETCH])
            same("Metadata", (0, 13), found[METADATA])


def check_a_bad_software_name_or_version_is_an_invalid_request():
    for name, version in (("-bad", "1"), ("", "1"), ("a b", "1"), ("good", "1!"), ("good", "")):
        with connect() as connection:
            reader = connection.ask(API_VERSIONS, 3, api_versions_body(name, version))
            same("error for %r %r" % (name, version), INVALID_REQUEST, reader.i16())


# ---- frames -------------------------------------------------------------------------------------

def closes(what, act):
    """The broker closes the one connection without a word, and another notices nothing."""
    with connect() as other, connect() as connection:
        assert usable(other)
        act(connection)
        assert connection.is_closed(), what + ": the broker answered"
        assert usable(other), what + ": another connection is disturbed"


def check_an_unknown_api_closes():
    closes("key 999", lambda c: c.send(999, 0))
    closes("key -1", lambda c: c.send(-1, 0))


def check_an_unknown_version_closes():
    closes("Metadata 99", lambda c: c.send(METADATA, 99, b"\0\0\0\0"))
    closes("Metadata -1", lambda c: c.send(METADATA, -1, b"\0\0\0\0", header_flexible=False))
    closes("Fetch 3", lambda c: c.send(FETCH, 3, b"\0" * 16))


def check_produce_0_to_2_close():
    for version in range(3):
        closes("Produce %d" % version,
               lambda c, v=version: c.send(PRODUCE, v, b"\xff\xff\0\0\x27\x10\0\0\0\0"))


def check_a_frame_length_that_is_negative_zero_or_huge_closes():
    closes("length -1", lambda c: c.send_raw(b"\xff\xff\xff\xff"))
    closes("length 0", lambda c: c.send_raw(b"\0\0\0\0"))
    closes("2 GiB - 1", lambda c: c.send_raw(b"\x7f\xff\xff\xff"))


def check_an_array_or_string_longer_than_the_frame_closes():
    closes("an array", lambda c: c.send(METADATA, 1, b"\0\x0f\x42\x40"))
    closes("a string", lambda c: c.send(METADATA, 1, b"\0\0\0\1\x7f\xff" + b"a" * 4))
    closes("a compact array", lambda c: c.send(METADATA, 12, b"\xff\xff\xff\xff\x0f"))
    closes("records", lambda c: c.send(PRODUCE, 8, Writer(False).string(None).i16(-1).i32(1000)
                                       .count(1).string("t").count(1).i32(0).i32(1 << 30).data))


def check_a_header_cut_short_closes():
    closes("7 bytes", lambda c: c.send_raw(b"\0\0\0\7" + b"\0" * 7))


def check_what_came_before_a_bad_frame_is_answered():
    """In one write: two requests, of which the first waits for data, and a length that is none."""
    with connect() as connection:
        topic, _ = new_topic(connection)
    frames = []
    with connect() as connection:
        send_raw = connection.send_raw
        connection.send_raw = frames.append
        connection.send(FETCH, 11, fetch_body(topic, 0, max_wait=20000))
        connection.send(API_VERSIONS, 0)
        connection.send_raw = send_raw
        send_raw(b"".join(frames) + b"\xff\xff\xff\xfb")
        connection.receive()
        same("error of ApiVersions", NONE, connection.receive().i16())
        assert connection.is_closed()


# ---- order --------------------------------------------------------------------------------------

def check_answers_keep_the_order_of_requests_behind_a_waiting_fetch():
    with connect() as connection:
        topic, _ = new_topic(connection)
        begin = time.monotonic()
        connection.send(FETCH, 11, fetch_body(topic, 0, max_wait=600))
        connection.send(API_VERSIONS, 0)
        connection.send(METADATA, 1, b"\0\0\0\0")
        connection.send(PRODUCE, 8, produce_body(topic, batch([b"a"])))
        connection.send(FETCH, 11, fetch_body(topic, 0))
        fetch_answer(connection.receive())  # receive() judges the correlation ids
        waited = time.monotonic() - begin
        for _ in range(2):
            connection.receive()
        same("produce", NONE, produce_answer(connection.receive())["error"])
        same("what is fetched", 1, len(batches(fetch_answer(connection.receive())["records"])))
        assert waited >= 0.5, "the first Fetch did not wait (%.3f s)" % waited


def check_many_pipelined_produces_keep_their_order():
    with connect() as connection:
        topic, _ = new_topic(connection)
        for i in range(60):
            connection.send(PRODUCE, 8, produce_body(topic, batch([b"%d" % i])))
        for i in range(60):
            found = produce_answer(connection.receive())
            same("answer %d" % i, (NONE, i), (found["error"], found["offset"]))
        found = batches(fetch(connection, topic, 0)["records"])
        same("values", [b"%d" % i for i in range(60)], [v for b in found for v in values_of(b)])


def check_acks_0_is_not_answered():
    with connect() as connection:
        topic, _ = new_topic(connection)
        for i in range(3):
            connection.send(PRODUCE, 8, produce_body(topic, batch([b"a"]), acks=0),
                            answered=False)
        assert usable(connection)
        until("all are there", lambda: list_offsets(connection, topic, -1)[2] == 3)


def check_acks_0_closes_on_an_error():
    closes("an unknown topic", lambda c: c.send(
        PRODUCE, 8, produce_body("no-such-topic", batch([b"a"]), acks=0)))
    with connect() as connection:
        topic, _ = new_topic(connection)
    closes("a bad CRC", lambda c: c.send(
        PRODUCE, 8, produce_body(topic, batch([b"a"], seal=False), acks=0)))


# ---- Produce ------------------------------------------------------------------------------------

def check_produce_gives_consecutive_offsets_in_each_version():
    with connect() as connection:
        topic, topic_id = new_topic(connection)
        for i, version in enumerate(range(3, 14)):
            found = produce(connection, topic_id if version >= 13 else topic,
                            batch([b"a", b"b"]), version=version)
            same("version %d" % version, (NONE, 2 * i, -1),
                 (found["error"], found["offset"], found["time"]))


def refusals(cases):
    with connect() as connection:
        topic, _ = new_topic(connection)
        for what, expected, records in cases:
            same(what, expected, produce(connection, topic, records)["error"])
        found = produce(connection, topic, batch([b"good"]))
        same("a good one after them", (NONE, 0), (found["error"], found["offset"]))


def check_a_wrong_crc_or_magic_is_a_corrupt_message():
    good = batch([b"abc"])
    refusals([
        ("CRC", CORRUPT, good[:-2] + bytes([good[-2] ^ 1]) + good[-1:]),
        ("magic 5", CORRUPT, batch([b"abc"], magic=5)),
    ])


def check_malformed_batches_are_invalid_records():
    good = batch([b"abc", b"def"])
    refusals([
        ("truncated", INVALID_RECORD, good[:-3]),
        ("count too high", INVALID_RECORD, batch([b"a"], count=2)),
        ("count too low", INVALID_RECORD, batch([b"a", b"b"], count=1)),
        ("lastOffsetDelta", INVALID_RECORD, batch([b"a"], last_delta=7)),
        ("two batches", INVALID_RECORD, good + good),
        ("a control batch", INVALID_RECORD, batch([b"abc"], attributes=0x20)),
        ("an empty batch", INVALID_RECORD, batch([], count=0, last_delta=-1)),
        ("no batch", INVALID_RECORD, b""),
    ])


def check_an_unknown_codec_is_an_unknown_error():
    refusals([("codec 7", UNKNOWN_SERVER, batch([b"abc"], attributes=7))])


def check_acks_5_is_invalid():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("acks=5", INVALID_ACKS, produce(connection, topic, batch([b"a"]), acks=5)["error"])


def check_produce_to_what_does_not_exist():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("topic", UNKNOWN_TOPIC, produce(connection, "no-such", batch([b"a"]))["error"])
        same("partition", UNKNOWN_TOPIC,
             produce(connection, topic, batch([b"a"]), partition=1)["error"])
        same("id", UNKNOWN_ID,
             produce(connection, b"\x11" * 16, batch([b"a"]), version=13)["error"])


def check_a_batch_above_max_message_bytes_is_too_large():
    with connect() as connection:
        topic, _ = new_topic(connection, max_message_bytes="1000")
        same("above", TOO_LARGE, produce(connection, topic, batch([b"a" * 1000]))["error"])
        same("below", NONE, produce(connection, topic, batch([b"a" * 800]))["error"])


def check_a_null_key_into_a_compacted_topic_is_an_invalid_record():
    with connect() as connection:
        topic, _ = new_topic(connection, cleanup_policy="compact")
        found = produce(connection, topic, batch([b"a"]))
        same("without a key", INVALID_RECORD, found["error"])
        same("the record named", [0], [error[0] for error in found["errors"]])
        found = produce(connection, topic, batch([b"a"] * 3))
        same("every record named", [0, 1, 2], [error[0] for error in found["errors"]])
        same("with a key", NONE, produce(connection, topic, batch([b"a"], key=b"k"))["error"])


def check_a_timestamp_far_ahead_is_refused():
    with connect() as connection:
        topic, _ = new_topic(connection)
        ahead = int(time.time() * 1000) + 2 * 3600 * 1000
        same("two hours ahead", INVALID_TIMESTAMP,
             produce(connection, topic, batch([b"a"], timestamps=[ahead]))["error"])


def check_log_append_time_is_told_and_sealed():
    with connect() as connection:
        topic, _ = new_topic(connection, message_timestamp_type="LogAppendTime")
        before = int(time.time() * 1000) - 1
        found = produce(connection, topic, batch([b"a"], timestamps=[1000]))
        assert before <= found["time"] <= before + 60000, found
        one = batches(fetch(connection, topic, 0)["records"])[0]
        same("the batch", (0x08, True), (one["attributes"] & 0x08, one["crc_good"]))


# ---- Fetch --------------------------------------------------------------------------------------

def check_fetch_answers_in_each_version():
    with connect() as connection:
        topic, topic_id = new_topic(connection)
        produce(connection, topic, batch([b"a", b"b"]))
        produce(connection, topic, batch([b"c"]))
        for version in range(11, 19):
            found = fetch(connection, topic_id if version >= 13 else topic, 0, version=version)
            same("version %d" % version, (NONE, 2, 2, 0),
                 (found["error"], found["high"] - 1, found["stable"] - 1, found["start"]))
            got = batches(found["records"])
            same("values", [b"a", b"b", b"c"], [v for b in got for v in values_of(b)])
            same("base offsets", [0, 2], [b["base_offset"] for b in got])
            assert all(b["crc_good"] for b in got)


def check_fetch_from_inside_a_batch_returns_the_batch():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a", b"b", b"c"]))
        got = batches(fetch(connection, topic, 2)["records"])
        same("batches", [(0, 3)], [(b["base_offset"], b["count"]) for b in got])


def check_a_limit_below_the_first_batch_returns_it_whole():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a" * 5000]))
        produce(connection, topic, batch([b"b" * 5000]))
        for limits in ({"max_bytes": 100}, {"partition_bytes": 100},
                       {"max_bytes": 1, "partition_bytes": 1}):
            got = batches(fetch(connection, topic, 0, **limits)["records"])
            same("batches with %r" % limits, [0], [b["base_offset"] for b in got])
            got = batches(fetch(connection, topic, 1, **limits)["records"])
            same("second batch with %r" % limits, [1], [b["base_offset"] for b in got])


def check_fetch_outside_the_log_is_out_of_range():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("empty, offset 1", OFFSET_OUT_OF_RANGE, fetch(connection, topic, 1)["error"])
        produce(connection, topic, batch([b"a"]))
        found = fetch(connection, topic, 1)
        same("at the end", (NONE, b""), (found["error"], found["records"]))
        same("behind it", OFFSET_OUT_OF_RANGE, fetch(connection, topic, 2)["error"])
        same("before it", OFFSET_OUT_OF_RANGE, fetch(connection, topic, -1)["error"])


def check_fetch_of_what_does_not_exist():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("topic", UNKNOWN_TOPIC, fetch(connection, "no-such", 0)["error"])
        same("partition", UNKNOWN_TOPIC, fetch(connection, topic, 0, partition=9)["error"])
        same("id", UNKNOWN_ID, fetch(connection, b"\x22" * 16, 0, version=13)["error"])


def check_an_empty_fetch_has_empty_records_not_null():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("records", b"", fetch(connection, topic, 0)["records"])


def check_a_leader_epoch_from_the_future_is_unknown():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a"]))
        same("Fetch", UNKNOWN_EPOCH, fetch(connection, topic, 0, leader_epoch=50)["error"])
        same("ListOffsets", UNKNOWN_EPOCH, list_offsets(connection, topic, -1, leader_epoch=50)[0])
        same("OffsetForLeaderEpoch", UNKNOWN_EPOCH, epoch_end(connection, topic, 0, current=50)[0])


def check_the_current_leader_epoch_is_accepted():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a"]))
        epoch = metadata(connection, [topic])["topics"][0]["partitions"][0]["epoch"]
        same("Fetch", NONE, fetch(connection, topic, 0, leader_epoch=epoch)["error"])
        same("ListOffsets", (NONE, -1, 1, epoch),
             list_offsets(connection, topic, -1, leader_epoch=epoch))
        same("OffsetForLeaderEpoch", (NONE, epoch, 1), epoch_end(connection, topic, epoch))
        same("a future one", (NONE, -1, -1), epoch_end(connection, topic, epoch + 5))


def check_fetch_by_the_id_of_a_deleted_topic_is_an_unknown_id():
    with connect() as connection:
        topic, topic_id = new_topic(connection)
        produce(connection, topic, batch([b"a"]))
        same("before", NONE, fetch(connection, topic_id, 0, version=13)["error"])
        same("delete", NONE, delete_topics(connection, [topic])[0][0])
        until("the topic has gone", lambda: metadata(
            connection, [topic])["topics"][0]["error"] == UNKNOWN_TOPIC)
        same("after", UNKNOWN_ID, fetch(connection, topic_id, 0, version=13)["error"])


def check_a_fetch_waits_for_max_wait():
    with connect() as connection:
        topic, _ = new_topic(connection)
        begin = time.monotonic()
        found = fetch(connection, topic, 0, max_wait=700)
        waited = time.monotonic() - begin
        same("answer", (NONE, b""), (found["error"], found["records"]))
        assert 0.65 <= waited < 5, "waited %.3f s" % waited


def check_a_waiting_fetch_is_woken_by_a_produce():
    with connect() as reader, connect() as writer:
        topic, _ = new_topic(writer)
        reader.send(FETCH, 11, fetch_body(topic, 0, max_wait=10000))
        assert reader.silent_for(0.3), "the Fetch did not wait"
        begin = time.monotonic()
        same("produce", NONE, produce(writer, topic, batch([b"news"]))["error"])
        found = fetch_answer(reader.receive())
        took = time.monotonic() - begin
        same("values", [b"news"], values_of(batches(found["records"])[0]))
        assert took < 3, "woken after %.3f s" % took


def check_a_waiting_fetch_gathers_min_bytes():
    with connect() as reader, connect() as writer:
        topic, _ = new_topic(writer)
        reader.send(FETCH, 11, fetch_body(topic, 0, max_wait=10000, min_bytes=3000))
        produce(writer, topic, batch([b"a" * 1000]))
        assert reader.silent_for(0.3), "answered with less than min_bytes"
        produce(writer, topic, batch([b"b" * 2500]))
        same("batches", 2, len(batches(fetch_answer(reader.receive())["records"])))


# ---- ListOffsets --------------------------------------------------------------------------------

def check_list_offsets_latest_earliest_and_local():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a", b"b", b"c"]))
        for version in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11):
            same("latest, version %d" % version, (NONE, -1, 3),
                 list_offsets(connection, topic, -1, version=version)[:3])
            same("earliest, version %d" % version, (NONE, -1, 0),
                 list_offsets(connection, topic, -2, version=version)[:3])
        same("earliest local", (NONE, -1, 0), list_offsets(connection, topic, -4)[:3])


def check_list_offsets_by_largest_timestamp_names_the_record_in_the_batch():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a"], timestamps=[1000]))
        produce(connection, topic, batch([b"b", b"c", b"d"], timestamps=[2000, 9000, 3000]))
        produce(connection, topic, batch([b"e"], timestamps=[4000]))
        same("largest", (NONE, 9000, 2), list_offsets(connection, topic, -3)[:3])


def check_list_offsets_by_time_finds_the_record_inside_the_batch():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a", b"b", b"c"], timestamps=[1000, 2000, 3000]))
        produce(connection, topic, batch([b"d", b"e"], timestamps=[5000, 6000]))
        for when, expected in ((0, (1000, 0)), (1000, (1000, 0)), (1001, (2000, 1)),
                               (3000, (3000, 2)), (3001, (5000, 3)), (6000, (6000, 4)),
                               (6001, (-1, -1))):
            same("time %d" % when, (NONE,) + expected,
                 list_offsets(connection, topic, when)[:3])


def check_list_offsets_on_an_empty_partition():
    with connect() as connection:
        topic, _ = new_topic(connection)
        for when, offset in ((-1, 0), (-2, 0), (-3, -1), (-4, 0), (1000, -1)):
            same("timestamp %d" % when, (NONE, -1, offset),
                 list_offsets(connection, topic, when)[:3])


def check_list_offsets_of_tiered_data_finds_none():
    with connect() as connection:
        topic, _ = new_topic(connection)
        produce(connection, topic, batch([b"a"]))
        same("latest tiered", (NONE, -1, -1),
             list_offsets(connection, topic, -5, version=9)[:3])


def check_list_offsets_of_a_timestamp_of_a_later_version_is_unsupported():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("-3 in version 6", UNSUPPORTED_VERSION,
             list_offsets(connection, topic, -3, version=6)[0])
        same("-4 in version 7", UNSUPPORTED_VERSION,
             list_offsets(connection, topic, -4, version=7)[0])


def check_list_offsets_of_what_does_not_exist():
    with connect() as connection:
        topic, _ = new_topic(connection)
        same("topic", UNKNOWN_TOPIC, list_offsets(connection, "no-such", -1)[0])
        same("partition", UNKNOWN_TOPIC, list_offsets(connection, topic, -1, partition=7)[0])


# ---- idempotence --------------------------------------------------------------------------------

def check_init_producer_id_gives_a_new_id_each_time_in_each_version():
    with connect() as connection:
        found = [init_producer_id(connection, version=version) for version in range(6)]
        same("errors", [NONE] * 6, [one[0] for one in found])
        same("epochs", [0] * 6, [one[2] for one in found])
        same("different ids", 6, len({one[1] for one in found}))


def idempotent(connection):
    """A topic and a function that produces one record with a sequence: (error, offset)."""
    topic, _ = new_topic(connection)
    producer = init_producer_id(connection)[1]

    def put(sequence, epoch=0):
        found = produce(connection, topic, batch([b"%d" % sequence],
                                                 producer=(producer, epoch, sequence)))
        return found["error"], found["offset"]

    return topic, put


def check_the_last_five_batches_are_answered_as_duplicates():
    with connect() as connection:
        topic, put = idempotent(connection)
        for sequence in range(7):
            same("sequence %d" % sequence, (NONE, sequence), put(sequence))
        for sequence in (6, 5, 4, 3, 2):
            same("again %d" % sequence, (NONE, sequence), put(sequence))
        same("end", 7, list_offsets(connection, topic, -1)[2])
        same("goes on", (NONE, 7), put(7))


def check_a_gap_in_the_sequence_is_out_of_order():
    with connect() as connection:
        _, put = idempotent(connection)
        same("first", (NONE, 0), put(0))
        same("gap", OUT_OF_ORDER, put(2)[0])
        same("the next", (NONE, 1), put(1))


def check_producer_epochs():
    with connect() as connection:
        _, put = idempotent(connection)
        same("first", (NONE, 0), put(0))
        same("second", (NONE, 1), put(1))
        same("a higher epoch that does not begin at 0", OUT_OF_ORDER, put(5, epoch=1)[0])
        same("a higher epoch that begins at 0", (NONE, 2), put(0, epoch=1))
        same("the old epoch", OLD_EPOCH, put(2)[0])
        same("the new epoch goes on", (NONE, 3), put(1, epoch=1))


def check_an_unknown_producer_may_begin_anywhere():
    with connect() as connection:
        _, put = idempotent(connection)
        same("sequence 40", (NONE, 0), put(40))
        same("sequence 41", (NONE, 1), put(41))


# ---- Metadata -----------------------------------------------------------------------------------

def check_metadata_all_and_none():
    with connect() as connection:
        topic, _ = new_topic(connection)
        for what, topics, version, there in (
                ("version 0, []", [], 0, True), ("version 1, null", None, 1, True),
                ("version 1, []", [], 1, False), ("version 12, null", None, 12, True),
                ("version 12, []", [], 12, False)):
            names = [one["name"] for one in metadata(connection, topics, version)["topics"]]
            same(what, there, topic in names)
            assert there or not names, what


def check_metadata_answers_in_each_version():
    with connect() as connection:
        topic, topic_id = new_topic(connection, partitions=3)
        for version in range(14):
            found = metadata(connection, [topic], version)
            one = found["topics"][0]
            same("version %d" % version, (NONE, topic, [0, 1, 2]),
                 (one["error"], one["name"], sorted(p["index"] for p in one["partitions"])))
            node = found["brokers"][0]["id"]
            assert all(p["leader"] == node and p["replicas"] == [node] and p["isr"] == [node]
                       for p in one["partitions"])
            same("address", ADDRESS, (found["brokers"][0]["host"], found["brokers"][0]["port"]))
            if version >= 10:
                same("id", topic_id, one["id"])


def check_metadata_by_id():
    with connect() as connection:
        topic, topic_id = new_topic(connection)
        one = metadata(connection, [topic_id])["topics"][0]
        same("known", (NONE, topic), (one["error"], one["name"]))
        same("unknown", UNKNOWN_ID, metadata(connection, [b"\x33" * 16])["topics"][0]["error"])


def check_metadata_creates_a_topic_only_when_asked():
    with connect() as connection:
        found = metadata(connection, ["dialogue-auto"], create=False)["topics"][0]["error"]
        same("not asked", UNKNOWN_TOPIC, found)
        metadata(connection, ["dialogue-auto"], create=True)
        usable_topic(connection, "dialogue-auto")
        same("produce", NONE, produce(connection, "dialogue-auto", batch([b"a"]))["error"])


def check_metadata_of_a_bad_name():
    with connect() as connection:
        same("error", INVALID_TOPIC, metadata(connection, ["a b"])["topics"][0]["error"])


def check_metadata_may_name_the_same_topic_often():
    with connect() as connection:
        topic, _ = new_topic(connection)
        found = metadata(connection, [topic] * 3)["topics"]
        assert {one["name"] for one in found} == {topic}, found


# ---- topics -------------------------------------------------------------------------------------

def check_create_topics_answers_in_each_version():
    with connect() as connection:
        for version in range(2, 8):
            name = "dialogue-created-%d" % version
            found = create_topics(connection, [{
                "name": name, "partitions": 2, "configs": [("retention.ms", "5000")]}],
                version=version)[0]
            same("version %d" % version, (name, NONE), (found["name"], found["error"]))
            if version >= 5:
                same("counts", (2, 1), (found["partitions"], found["factor"]))
                configs = {one["name"]: (one["value"], one["source"]) for one in found["configs"]}
                same("set", ("5000", 1), configs["retention.ms"])
                same("default", ("delete", 5), configs["cleanup.policy"])
            usable_topic(connection, name, 2)
            same("partitions", 2, len(metadata(connection, [name])["topics"][0]["partitions"]))


def check_create_topics_refuses_and_says_why():
    with connect() as connection:
        node = metadata(connection, [])["brokers"][0]["id"]
        there, _ = new_topic(connection)
        for what, expected, topic in (
                ("0 partitions", INVALID_PARTITIONS, {"partitions": 0}),
                ("-2 partitions", INVALID_PARTITIONS, {"partitions": -2}),
                ("factor 0", INVALID_FACTOR, {"factor": 0}),
                ("factor 3", INVALID_FACTOR, {"factor": 3}),
                ("a bad name", INVALID_TOPIC, {"name": "a b"}),
                ("an empty name", INVALID_TOPIC, {"name": ""}),
                ("a name of dots", INVALID_TOPIC, {"name": ".."}),
                ("a long name", INVALID_TOPIC, {"name": "a" * 250}),
                ("an existing topic", TOPIC_EXISTS, {"name": there}),
                ("an unknown key", INVALID_CONFIG, {"configs": [("no.such.key", "1")]}),
                ("a bad value", INVALID_CONFIG, {"configs": [("retention.ms", "soon")]}),
                ("a null value", INVALID_CONFIG, {"configs": [("retention.ms", None)]}),
                ("assignment and count", INVALID_REQUEST, {"assignments": [(0, [node])]}),
                ("an unknown broker", INVALID_ASSIGNMENT,
                 {"partitions": -1, "factor": -1, "assignments": [(0, [node + 7])]}),
                ("a gap in the assignment", INVALID_ASSIGNMENT,
                 {"partitions": -1, "factor": -1, "assignments": [(1, [node])]})):
            found = create_topics(connection, [dict({"name": "dialogue-refused"}, **topic)])[0]
            same(what, expected, found["error"])
            assert found["message"], what + ": no message"


def check_create_topics_twice_in_one_request_is_invalid():
    with connect() as connection:
        found = create_topics(connection, [{"name": "dialogue-twice"}, {"name": "dialogue-twice"}])
        assert found and all(one["error"] == INVALID_REQUEST for one in found), found


def check_create_topics_validate_only_creates_nothing():
    with connect() as connection:
        found = create_topics(connection, [{"name": "dialogue-valid"}], validate_only=True)[0]
        same("valid", NONE, found["error"])
        found = create_topics(connection, [{"name": "dialogue-valid", "factor": 3}],
                              validate_only=True)[0]
        same("not valid", INVALID_FACTOR, found["error"])
        same("created", UNKNOWN_TOPIC,
             metadata(connection, ["dialogue-valid"])["topics"][0]["error"])


def check_create_topics_with_the_brokers_defaults():
    with connect() as connection:
        found = create_topics(connection, [
            {"name": "dialogue-defaults", "partitions": -1, "factor": -1}])[0]
        same("answer", (NONE, 1, 1), (found["error"], found["partitions"], found["factor"]))


def check_create_topics_with_an_assignment():
    with connect() as connection:
        node = metadata(connection, [])["brokers"][0]["id"]
        found = create_topics(connection, [{
            "name": "dialogue-assigned", "partitions": -1, "factor": -1,
            "assignments": [(1, [node]), (0, [node])]}])[0]
        same("answer", (NONE, 2, 1), (found["error"], found["partitions"], found["factor"]))


def check_delete_topics_in_each_version():
    with connect() as connection:
        for version in range(1, 7):
            topic, topic_id = new_topic(connection)
            name = topic_id if version == 6 else topic
            found = delete_topics(connection, [name], version=version)[0]
            same("version %d" % version, (NONE, topic), found[:2])
            until("it has gone", lambda t=topic: metadata(
                connection, [t])["topics"][0]["error"] == UNKNOWN_TOPIC)


def check_delete_topics_of_what_does_not_exist():
    with connect() as connection:
        same("by name", UNKNOWN_TOPIC, delete_topics(connection, ["no-such"])[0][0])
        same("by id", UNKNOWN_ID, delete_topics(connection, [b"\x44" * 16])[0][0])


def check_a_recreated_topic_has_a_new_id_and_no_records():
    with connect() as connection:
        topic, old_id = new_topic(connection)
        produce(connection, topic, batch([b"a"]))
        delete_topics(connection, [topic])
        until("it has gone", lambda: metadata(
            connection, [topic])["topics"][0]["error"] == UNKNOWN_TOPIC)
        found = create_topics(connection, [{"name": topic}])[0]
        same("creating it again", NONE, found["error"])
        usable_topic(connection, topic)
        assert found["id"] != old_id, "the id is the old one"
        same("end", 0, list_offsets(connection, topic, -1)[2])
        same("by the old id", UNKNOWN_ID, fetch(connection, old_id, 0, version=13)["error"])
        same("produce", (NONE, 0), (lambda p: (p["error"], p["offset"]))(
            produce(connection, topic, batch([b"b"]))))


# ---- descriptions -------------------------------------------------------------------------------

def check_describe_configs_of_a_topic():
    with connect() as connection:
        topic, _ = new_topic(connection, retention_ms="7000")
        for version in (1, 2, 3, 4):
            error, found = describe_configs(connection, 2, topic, version=version)
            same("error", NONE, error)
            same("set", ("7000", 1), found["retention.ms"])
            same("default", ("delete", 5), found["cleanup.policy"])
            same("default", ("1073741824", 5), found["segment.bytes"])
            same("default", ("1048588", 5), found["max.message.bytes"])
            same("default of the cluster", ("1", 3), found["min.insync.replicas"])
        _, found = describe_configs(connection, 2, topic, keys=["retention.ms", "no.such"])
        same("asked for one", ["retention.ms"], sorted(found))
        same("no such topic", UNKNOWN_TOPIC, describe_configs(connection, 2, "no-such")[0])


def check_describe_configs_of_the_broker():
    with connect() as connection:
        node = metadata(connection, [])["brokers"][0]["id"]
        error, found = describe_configs(connection, 4, str(node))
        same("error", NONE, error)
        same("num.partitions", "1", found["num.partitions"][0])
        same("another broker", INVALID_REQUEST, describe_configs(connection, 4, str(node + 5))[0])
        same("no number", INVALID_REQUEST, describe_configs(connection, 4, "me")[0])
        same("the cluster's defaults", NONE, describe_configs(connection, 4, "")[0])


def check_describe_cluster():
    with connect() as connection:
        known = metadata(connection, [])
        for version in (0, 1, 2):
            found = describe_cluster(connection, version=version)
            same("error", NONE, found["error"])
            same("cluster", known["cluster"], found["cluster"])
            same("broker", known["brokers"][0], {
                key: found["brokers"][0][key] for key in ("id", "host", "port", "rack")})
        same("the controllers' endpoint", 114, describe_cluster(connection, endpoint=2)["error"])
        same("another endpoint", 115, describe_cluster(connection, endpoint=9)["error"])


def check_describe_topic_partitions_and_its_pages():
    with connect() as connection:
        topic, topic_id = new_topic(connection, partitions=5)
        found, following = describe_topic_partitions(connection, [topic])
        same("topic", (NONE, topic, topic_id, 5, None),
             (found[0]["error"], found[0]["name"], found[0]["id"], len(found[0]["partitions"]),
              following))
        found, following = describe_topic_partitions(connection, [topic], limit=2)
        same("first page", [0, 1], [p["index"] for p in found[0]["partitions"]])
        same("cursor", (topic, 2), following)
        found, following = describe_topic_partitions(connection, [topic], limit=3,
                                                     cursor=following)
        same("second page", [2, 3, 4], [p["index"] for p in found[0]["partitions"]])
        same("its end", None, following)
        found, _ = describe_topic_partitions(connection, ["no-such"])
        same("no such topic", UNKNOWN_TOPIC, found[0]["error"])
        found, _ = describe_topic_partitions(connection, [])
        assert topic in [one["name"] for one in found], "all topics"


def check_find_coordinator_of_groups_and_transactions():
    """Where there is no coordinator yet, that is said, with an error and without an address."""
    with connect() as connection:
        for version in (1, 2, 3, 4, 5, 6):
            for kind, refusal in ((0, NO_COORDINATOR), (1, TRANSACTIONS_REFUSED)):
                found = find_coordinator(connection, "dialogue", kind, version)
                expected = ADDRESS if found[0] == NONE else (found[2], -1)
                same("version %d, type %d" % (version, kind), expected, found[2:])
                assert found[0] in (NONE, NO_COORDINATOR, refusal), found


def check_the_leaders_epoch_counts_before_its_first_batch():
    """A consumer of an empty partition that tells the epoch it knows is not out of range, neither
    before there is a log nor when a fetch that waits has made one."""
    with connect() as connection:
        name, topic_id = new_topic(connection)
        epoch = metadata(connection, [name])["topics"][0]["partitions"][0]["epoch"]
        for min_bytes in (0, 1, 0, 1):
            for last, offset, expected in ((epoch, 0, (NONE, -1, -1)),
                                           (epoch, 1, (NONE, epoch, 0)),
                                           (epoch + 1, 0, (OFFSET_OUT_OF_RANGE, -1, -1))):
                answer = schema.ask(connection, "Fetch", 17, max_wait_ms=20, min_bytes=min_bytes,
                                    max_bytes=1 << 20, session_epoch=-1, topics=[
                                        {"topic_id": topic_id, "partitions": [
                                            {"partition": 0, "fetch_offset": offset,
                                             "current_leader_epoch": epoch,
                                             "last_fetched_epoch": last,
                                             "partition_max_bytes": 1 << 20}]}])
                found = answer["responses"][0]["partitions"][0]
                same("min_bytes %d, last epoch %d, offset %d" % (min_bytes, last, offset), expected,
                     (found["error_code"], found["diverging_epoch"]["epoch"],
                      found["diverging_epoch"]["end_offset"]))


def check_the_newer_group_protocol_is_refused_as_kafka_refuses_it():
    """As Apache Kafka does with group.coordinator.rebalance.protocols=classic. A client that does
    not find the key at all may look for a better coordinator for ever."""
    with connect() as connection:
        for version in (0, 1):
            for group in ("dialogue", ""):
                same("version %d, group %r" % (version, group),
                     {"throttle_time_ms": 0, "error_code": UNSUPPORTED_VERSION,
                      "error_message": None, "member_id": None, "member_epoch": 0,
                      "heartbeat_interval_ms": 0, "assignment": None},
                     schema.ask(connection, "ConsumerGroupHeartbeat", version, group_id=group,
                                member_id="member", subscribed_topic_names=["topic"],
                                topic_partitions=[]))
        assert usable(connection)


def check_a_missing_topic_named_twice_is_created_once():
    with connect() as connection:
        found = metadata(connection, ["twice-named", "twice-named"], create=True)
        same("told once, as Kafka does", [NONE], [topic["error"] for topic in found["topics"]])


def check_refused_topics_have_no_id():
    with connect() as connection:
        topic, _ = new_topic(connection)
        for found in create_topics(connection, [{"name": topic}, {"name": "no good"}]):
            same("id", bytes(16), found["id"])


def check_internal_topics_take_records_of_the_admin_client_only():
    with connect() as connection:
        until("there is a coordinator", lambda: find_coordinator(
            connection, "dialogue", 0, 3)[0] == NONE)
        topic = "__consumer_offsets"
        found = produce(connection, topic, batch([b"v"], key=b"k"), partition=1)
        same("as anybody", INVALID_TOPIC, found["error"])


def check_changed_limits_act_at_once():
    """The next Produce and Fetch see what has been changed, through any connection."""
    def alter(connection, kind, name, key, op, value=None):
        found = schema.ask(connection, "IncrementalAlterConfigs", 1, resources=[
            {"resource_type": kind, "resource_name": name,
             "configs": [{"name": key, "config_operation": op, "value": value}]}])
        same("altering", NONE, found["responses"][0]["error_code"])

    with connect() as connection, connect() as other:
        topic, _ = new_topic(connection)
        node = str(metadata(connection, [])["brokers"][0]["id"])
        large = batch([b"x" * 2000])
        same("before", NONE, produce(other, topic, large)["error"])
        alter(connection, 2, topic, "max.message.bytes", 0, "1000")
        same("topic", TOO_LARGE, produce(other, topic, large)["error"])
        alter(connection, 2, topic, "max.message.bytes", 1)
        same("topic's default", NONE, produce(other, topic, large)["error"])
        alter(connection, 4, node, "message.max.bytes", 0, "1000")
        same("broker", TOO_LARGE, produce(other, topic, large)["error"])
        alter(connection, 4, node, "message.max.bytes", 1)
        same("broker's default", NONE, produce(other, topic, large)["error"])
        alter(connection, 2, topic, "message.timestamp.type", 0, "LogAppendTime")
        assert produce(other, topic, large)["time"] > 0, "LogAppendTime"


def check_new_partitions_can_be_used_at_once():
    with connect() as connection, connect() as other:
        topic, _ = new_topic(connection)
        found = schema.ask(connection, "CreatePartitions", 3, timeout_ms=10000, topics=[
            {"name": topic, "count": 9, "assignments": None}])
        same("error", NONE, found["results"][0]["error_code"])
        for partition in range(9):
            same("partition %d" % partition, NONE,
                 produce(other, topic, batch([b"v"]), partition=partition)["error"])


# ---- running ------------------------------------------------------------------------------------

def main():
    global ADDRESS
    ADDRESS = (sys.argv[1], int(sys.argv[2]))
    wanted = sys.argv[3:]
    failed, count = [], 0
    for name, check in sorted(globals().items()):
        if not name.startswith("check_") or not all(part in name for part in wanted):
            continue
        count += 1
        try:
            check()
        except Exception as error:  # every check is run, whatever the others found
            failed.append(name)
            where = traceback.extract_tb(error.__traceback__)
            lines = [str(frame.lineno) for frame in where if frame.filename == __file__][1:]
            print("FAILED %s (line %s): %s %s" % (
                name[6:], ", ".join(lines), type(error).__name__, error))
    print("%d checks, %d failed" % (count, len(failed)))
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
