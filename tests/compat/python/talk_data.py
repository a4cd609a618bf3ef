"""The parts of the conversation about records, topics, the cluster and clients' quotas."""

from wire import batch

START_MS = 1700000000000  # of the records: the answers that hold times are equal, too
UNKNOWN_ID = bytes(range(16))


def versions_of(talk, name):
    first, last = talk.versions(name)
    return range(first, last + 1)


def records(count, key=b"k", **options):
    return batch([b"value %d" % i for i in range(count)], key=key,
                 timestamps=[START_MS + i for i in range(count)], **options)


# ---- Produce and Fetch --------------------------------------------------------------------------

def produce_values(talk, version, topic, data, acks=-1, partition=0, topic_id=None, **more):
    one = {"partition_data": [{"index": partition, "records": data}]}
    if version >= 13:
        one["topic_id"] = topic_id or talk.ids.get(topic, UNKNOWN_ID)
    else:
        one["name"] = topic
    return dict({"acks": acks, "timeout_ms": 10000, "topic_data": [one]}, **more)


def talk_of_produce(talk):
    talk.make_topic("p")
    talk.make_topic("p-compact", configs={"cleanup.policy": "compact"})
    talk.make_topic("p-small", configs={"max.message.bytes": "200"})
    bad_crc = bytearray(records(1))
    bad_crc[20] ^= 1
    for version in range(0, 3):  # said to be served, and closed
        talk.ask_raw("Produce", version, b"\0" * 20)
    for version in range(3, 14):
        def ask(topic, data, **options):
            talk.ask("Produce", version, **produce_values(talk, version, topic, data, **options))
        ask("p", records(3))
        ask("p", records(2), acks=1)
        ask("p", records(1), partition=7)
        ask("no-such", records(1))
        ask("p", records(1), acks=5)
        ask("p", bytes(bad_crc))
        ask("p", records(2, last_delta=5))
        ask("p", records(1, magic=1))
        ask("p", records(1) + records(1))
        ask("p", records(1)[:-3])
        ask("p", b"")
        ask("p", records(1, attributes=1 << 5))
        ask("p-compact", records(2, key=None))
        ask("p-small", records(20))
        ask("p", records(2, producer=(version, 0, 0)))
        ask("p", records(2, producer=(version, 0, 0)))
        ask("p", records(2, producer=(version, 0, 9)))
        ask("p", records(2, producer=(version, 1, 0)))
        ask("p", records(2, producer=(version, 0, 2)))
        ask("__consumer_offsets", records(1))
    talk.ask("Produce", 9, acks=-1, timeout_ms=10000, topic_data=[])


def talk_without_answers(talk):
    """acks=0: what is good takes effect without an answer, what is bad closes the connection."""
    talk.make_topic("quiet")
    for version in (3, 8, 9, 13):
        talk.tell("Produce", version, **produce_values(talk, version, "quiet", records(3), acks=0))
        talk.ask("ListOffsets", 5, replica_id=-1, topics=[
            {"name": "quiet", "partitions": [{"partition_index": 0, "timestamp": -1}]}])
        talk.tell("Produce", version, **produce_values(
            talk, version, "quiet", records(1), acks=0, partition=9))
        talk.ask("ApiVersions", 0)  # "closed"


def fetch_values(talk, version, topic, offset, partition=0, topic_id=None, epoch=-1, last_epoch=-1,
                 **more):
    one = {"partitions": [{"partition": partition, "fetch_offset": offset,
                           "current_leader_epoch": epoch, "last_fetched_epoch": last_epoch,
                           "partition_max_bytes": 1 << 20}]}
    if version >= 13:
        one["topic_id"] = topic_id or talk.ids.get(topic, UNKNOWN_ID)
    else:
        one["topic"] = topic
    return dict({"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 20, "session_epoch": -1,
                 "topics": [one]}, **more)


def talk_of_fetch(talk):
    talk.make_topic("f")
    for _ in range(3):
        talk.quietly("Produce", 9, **produce_values(talk, 9, "f", records(2)))
    for version in versions_of(talk, "Fetch"):
        def ask(topic, offset, **options):
            talk.ask_fitting("Fetch", version,
                             **fetch_values(talk, version, topic, offset, **options))
        ask("f", 0)
        ask("f", 3)
        ask("f", 6)
        ask("f", 0, max_bytes=1)
        ask("f", 0, isolation_level=1)
        ask("f", 7)
        ask("f", -1)
        ask("f", 0, partition=4)
        ask("no-such", 0)
        ask("f", 0, epoch=5)
        ask("f", 0, epoch=0, last_epoch=0)
        ask("f", 6, last_epoch=3)
        ask("f", 0, session_id=77, session_epoch=3)


def talk_of_offsets(talk):
    talk.make_topic("o", partitions=2)
    for _ in range(2):
        talk.quietly("Produce", 9, **produce_values(talk, 9, "o", records(3)))
    for version in versions_of(talk, "ListOffsets"):
        def ask(timestamp, topic="o", partition=0, epoch=-1, **more):
            talk.ask_fitting("ListOffsets", version, replica_id=-1, topics=[
                {"name": topic, "partitions": [
                    {"partition_index": partition, "timestamp": timestamp,
                     "current_leader_epoch": epoch}]}], timeout_ms=5000, **more)
        for timestamp in (-1, -2, -3, -4, -5, -6, -7, 0, START_MS + 1, START_MS + 2, START_MS + 3):
            ask(timestamp)
        ask(-1, isolation_level=1)
        ask(-1, partition=1)
        ask(-3, partition=1)
        ask(-1, partition=8)
        ask(-1, topic="no-such")
        ask(-1, epoch=9)
        ask(-1, epoch=0)
    for epoch, current, partition, topic in ((0, -1, 0, "o"), (0, 0, 0, "o"), (5, -1, 0, "o"),
                                             (-1, -1, 0, "o"), (0, 7, 0, "o"), (0, -1, 9, "o"),
                                             (0, -1, 1, "o"), (0, -1, 0, "no-such")):
        talk.every("OffsetForLeaderEpoch", replica_id=-1, topics=[
            {"topic": topic, "partitions": [
                {"partition": partition, "current_leader_epoch": current,
                 "leader_epoch": epoch}]}])


# ---- topics -------------------------------------------------------------------------------------

def talk_of_topics(talk):
    for version in versions_of(talk, "CreateTopics"):
        def ask(name, partitions=1, factor=1, assignments=(), configs=(), validate_only=False):
            talk.ask_fitting("CreateTopics", version, timeout_ms=10000,
                             validate_only=validate_only, topics=[
                                 {"name": name, "num_partitions": partitions,
                                  "replication_factor": factor, "configs": [
                                      {"name": key, "value": value} for key, value in configs],
                                  "assignments": [{"partition_index": i, "broker_ids": ids}
                                                  for i, ids in enumerate(assignments)]}])
        ask("made-%d" % version, 3)
        ask("made-%d" % version)
        ask("checked", 2, validate_only=True)
        ask("configured-%d" % version, configs=(("retention.ms", "7000"),))
        ask("assigned-%d" % version, -1, -1, assignments=([1], [1]))
        ask("default-%d" % version, -1 if version >= 4 else 1, -1 if version >= 4 else 1)
        ask("a b")
        ask("")
        ask("x" * 250)
        ask("..")
        ask("none", 0)
        ask("none", -2)
        ask("none", 1, 2)
        ask("none", 1, 0)
        ask("none", configs=(("no.such", "1"),))
        ask("none", configs=(("retention.ms", "x"),))
        ask("none", configs=(("retention.ms", None),))
        ask("none", 2, 1, assignments=([1],))
        ask("none", -1, -1, assignments=([9],))
        ask("none", -1, -1, assignments=([1, 1],))
        ask("made.with_dot", 1)
        ask("made_with.dot", 1)
        talk.ask_fitting("CreateTopics", version, timeout_ms=10000, topics=[
            {"name": "twice", "num_partitions": 1, "replication_factor": 1}] * 2)
        talk.ask_fitting("CreateTopics", version, timeout_ms=10000, topics=[])
    for version in versions_of(talk, "DeleteTopics"):
        def delete(*names):
            if version >= 6:
                talk.ask("DeleteTopics", version, timeout_ms=10000,
                         topics=[{"name": name} for name in names])
            else:
                talk.ask("DeleteTopics", version, timeout_ms=10000, topic_names=list(names))
        delete("assigned-%d" % (version + 1))
        delete("no-such")
        delete("configured-%d" % (version + 1), "no-such")
        delete()
    gone = talk.make_topic("gone")
    talk.ask("DeleteTopics", 6, timeout_ms=10000, topics=[{"name": None, "topic_id": gone}])
    talk.ask("DeleteTopics", 6, timeout_ms=10000, topics=[{"name": None, "topic_id": UNKNOWN_ID}])
    talk.ask("DeleteTopics", 6, timeout_ms=10000, topics=[
        {"name": "default-7", "topic_id": UNKNOWN_ID}])


def talk_of_metadata(talk):
    talk.make_topic("m", partitions=2)
    for version in versions_of(talk, "Metadata"):
        def ask(*names, **more):
            talk.ask_fitting("Metadata", version, allow_auto_topic_creation=False,
                             topics=[{"name": name} for name in names], **more)
        if version > 3:  # older ones make what they name
            ask("no-such")
            ask("m", "no-such")
        ask("m")
        ask("a b")
        ask("m", "m")
        if version > 0:
            ask()
        ask("m", include_topic_authorized_operations=True)
        ask("m", include_cluster_authorized_operations=True)
        if version >= 10:
            for topic_id in (talk.ids["m"], UNKNOWN_ID):
                talk.ask("Metadata", version, topics=[{"topic_id": topic_id, "name": None}],
                         allow_auto_topic_creation=False)
    for kind in (1, 2, 3):
        talk.every("DescribeCluster", include_cluster_authorized_operations=False,
                   endpoint_type=kind)
    talk.every("DescribeCluster", include_cluster_authorized_operations=True)
    for names, limit in ((("m",), 2000), (("no-such",), 2000), (("m", "o"), 3), (("a b",), 1),
                         (("m",), 0), (("m",), -1)):
        talk.ask("DescribeTopicPartitions", 0, topics=[{"name": name} for name in names],
                 response_partition_limit=limit)
    for topic, partition in (("m", 1), ("m", -1), ("no-such", 0)):
        talk.ask("DescribeTopicPartitions", 0, topics=[{"name": "m"}, {"name": "o"}],
                 cursor={"topic_name": topic, "partition_index": partition})


def talk_of_versions(talk):
    for version in (0, 1, 2):
        talk.ask("ApiVersions", version)
    for version in (3, 4):
        for name, software in (("a-b.c", "1.0"), ("", "1"), ("a b", "1"), ("-a", "1"), ("a", "-")):
            talk.ask("ApiVersions", version, client_software_name=name,
                     client_software_version=software)


# ---- producers ----------------------------------------------------------------------------------

def talk_of_producers(talk):
    talk.until_served("InitProducerId", 4, transactional_id=None)
    for version in versions_of(talk, "InitProducerId"):
        def ask(**values):
            talk.ask_fitting("InitProducerId", version, **values)
        ask(transactional_id=None, transaction_timeout_ms=60000)
        ask(transactional_id=None, transaction_timeout_ms=0)
        ask(transactional_id="", transaction_timeout_ms=60000)
        if version >= 3:
            ask(transactional_id=None, transaction_timeout_ms=60000, producer_id=5)
            ask(transactional_id=None, transaction_timeout_ms=60000, producer_epoch=5)
            ask(transactional_id=None, transaction_timeout_ms=60000, producer_id=5,
                producer_epoch=5)
    talk.make_topic("w", partitions=2)
    for producer, epoch, sequence in ((11, 0, 0), (11, 0, 2), (12, 3, 0), (12, 4, 0)):
        talk.quietly("Produce", 9, **produce_values(
            talk, 9, "w", records(2, producer=(producer, epoch, sequence))))
    for topic, partitions in (("w", [0]), ("w", [0, 1, 5]), ("no-such", [0]), ("w", []),
                              ("", [0]), ("a b", [0])):
        talk.ask("DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": partitions}])
    talk.ask("DescribeProducers", 0, topics=[])


# ---- quotas -------------------------------------------------------------------------------------

def alter_quotas(talk, version, entity, *ops, validate_only=False):
    talk.ask("AlterClientQuotas", version, validate_only=validate_only, entries=[
        {"entity": [{"entity_type": kind, "entity_name": name} for kind, name in entity],
         "ops": [{"key": key, "value": float(value or 0), "remove": value is None}
                 for key, value in ops]}])


def describe_quotas(talk, version, *components, strict=False):
    talk.settle()
    talk.ask("DescribeClientQuotas", version, strict=strict, components=[
        {"entity_type": kind, "match_type": match, "match": text}
        for kind, match, text in components])


EXACT, DEFAULT, ANY = range(3)


def talk_of_quotas(talk):
    for version in (0, 1):
        def alter(entity, *ops, **options):
            alter_quotas(talk, version, entity, *ops, **options)

        def describe(*components, **options):
            describe_quotas(talk, version, *components, **options)
        alter((("client-id", "a"),), ("producer_byte_rate", 1000000), ("request_percentage", 12.5))
        alter((("client-id", None),), ("consumer_byte_rate", 2000000))
        alter((("user", "u %=,"),), ("controller_mutation_rate", 3.5))
        alter((("user", None), ("client-id", "a")), ("producer_byte_rate", 5))
        alter((("ip", "127.0.0.9"),), ("connection_creation_rate", 9))
        alter((("client-id", "b"),), ("producer_byte_rate", 7), validate_only=True)
        alter((("client-id", "b"),), ("producer_byte_rate", 1.5))
        alter((("client-id", "b"),), ("no_such", 1))
        alter((("client-id", "b"),), ("no_such", None))
        alter((("client-id", "b"),), ("connection_creation_rate", 1))
        alter((("client-id", "c"),), ("producer_byte_rate", 0))
        alter((("client-id", "c"),), ("producer_byte_rate", -5))
        alter((("client-id", "b"),), ("producer_byte_rate", 1), ("producer_byte_rate", 2))
        alter((("ip", "127.0.0.9"),), ("producer_byte_rate", 1))
        alter((("ip", "no such host"),), ("connection_creation_rate", 1))
        alter((("ip", "127.0.0.9"), ("user", "u")), ("connection_creation_rate", 1))
        alter((), ("producer_byte_rate", 1))
        alter((("client-id", ""),), ("producer_byte_rate", 1))
        alter((("planet", "x"),), ("producer_byte_rate", 1))
        describe()
        describe(("client-id", EXACT, "a"))
        describe(("client-id", EXACT, "a"), strict=True)
        describe(("client-id", DEFAULT, None))
        describe(("client-id", ANY, None), strict=True)
        describe(("user", ANY, None), ("client-id", ANY, None))
        describe(("user", DEFAULT, None), ("client-id", EXACT, "a"), strict=True)
        describe(("ip", ANY, None))
        describe(strict=True)
        describe(("planet", ANY, None))
        describe(("", ANY, None))
        describe(("user", EXACT, None))
        describe(("user", DEFAULT, "u"))
        describe(("user", ANY, "u"))
        describe(("user", 7, None))
        describe(("user", ANY, None), ("user", ANY, None))
        describe(("ip", ANY, None), ("user", ANY, None))
        alter((("client-id", "a"),), ("request_percentage", None))
        describe(("client-id", EXACT, "a"))
        for entity, key in (((("client-id", "a"),), "producer_byte_rate"),
                            ((("client-id", None),), "consumer_byte_rate"),
                            ((("client-id", "c"),), "producer_byte_rate"),
                            ((("user", "u %=,"),), "controller_mutation_rate"),
                            ((("user", None), ("client-id", "a")), "producer_byte_rate"),
                            ((("ip", "127.0.0.9"),), "connection_creation_rate")):
            alter(entity, (key, None))
        describe()


# ---- frames -------------------------------------------------------------------------------------

def talk_of_pipelining(talk):
    """Many requests before the first answer: the answers come in order, and are those."""
    talk.make_topic("line")
    asked = []
    for i in range(40):
        kind = i % 4
        if kind == 0:
            asked.append(("Produce", 9, produce_values(talk, 9, "line", records(1 + i % 3))))
        elif kind == 1:
            asked.append(("Fetch", 12, fetch_values(talk, 12, "line", 0)))
        elif kind == 2:
            asked.append(("ListOffsets", 7, {"replica_id": -1, "topics": [
                {"name": "line", "partitions": [{"partition_index": 0, "timestamp": -1}]}]}))
        else:
            asked.append(("Produce", 8, produce_values(talk, 8, "line", records(1), partition=3)))
    talk.pipeline(asked)


def talk_of_malformed_frames(talk):
    """Each closes its connection, and no other."""
    for length in (-1, 0, -(1 << 31), (1 << 31) - 1, 104857601):
        talk.ask_frame("a frame of length %d" % length,
                       (length & 0xffffffff).to_bytes(4, "big") + b"\0" * 16)
    for key, version in ((-1, 0), (999, 0), (4, 0), (3, -1), (3, 99), (1, 3), (32, 0)):
        talk.ask_frame("API %d, version %d" % (key, version), frame(key, version, b"\0" * 40))
    for name in sorted(talk.advertised()):
        first, last = talk.advertised()[name]
        for version in sorted({first, (first + last) // 2, last}):
            if name == "ApiVersions" and version < 3 or name == "Produce" and version < 3:
                continue  # no body, or closed in any case
            talk.ask_raw(name, version, b"\x7f\xff\xff\xff" * 3)
            talk.ask_raw(name, version, b"")


def frame(key, version, body):
    data = key.to_bytes(2, "big", signed=True) + version.to_bytes(2, "big", signed=True) + \
        b"\0\0\0\7\0\1x" + body
    return len(data).to_bytes(4, "big") + data

