"""Goal: one scripted conversation, whose answers Apache Kafka and Millrace give alike.

Method: every exchange is one line of JSON: API, version, and the decoded answer, or the number of
the line that has the same. conversation.golden has the lines of Apache Kafka 4.3.1; what may differ
between two brokers is normalised here, and what does differ is listed in DIFFERENCES with its
reason. Every version that Millrace advertises must be talked about, with a success and an error.

Usage: conversation.py HOST PORT             prints the lines
       conversation.py HOST PORT GOLDEN      compares with them
       conversation.py HOST PORT GOLDEN kafka    the same, without the known differences
"""

import hashlib
import json
import os
import re
import sys
import time

import schema
import talk_data
import talk_groups
import talk_members
from wire import Closed, Connection, batch

ADDRESS = None
NODE = 1
API_TABLE = os.path.join(os.path.dirname(schema.SCHEMA), os.pardir, "api.c")
FETCH_VERSIONS = (7, 11, 12, 13, 16, 18)

DIFFERENCES_MAX = 25

# (API, first version, last version, path in the answer, reason). A path names fields; any element
# of an array is meant. An entry that explains nothing is a fault.
DIFFERENCES = (
    ("ApiVersions", 0, 4, "api_keys", "Millrace advertises what it serves"),
    ("ApiVersions", 3, 4, "supported_features", "none of Kafka's features is claimed"),
    ("ApiVersions", 3, 4, "finalized_features", "none of Kafka's features is claimed"),
    ("FindCoordinator", 1, 3, "error_code",
     "transactions: Kafka's coordinator may come (15), Millrace's never will (53)"),
    ("FindCoordinator", 4, 6, "coordinators.error_code", "as above"),
    ("Produce", 3, 13, "responses.partition_responses.log_append_time_ms",
     "Kafka tells a duplicate's timestamp as if it were the append time"),
    ("CreatePartitions", 0, 3, "results.error_code",
     "20,000 partitions: Kafka fails with UNKNOWN_SERVER_ERROR, Millrace says INVALID_PARTITIONS"),
    ("DescribeLogDirs", 1, 5, "results.topics.partitions.partition_size",
     "Kafka counts the whole active segment, Millrace what can be read"),
)


class Conversation:
    def __init__(self):
        self.connection = Connection(ADDRESS)
        self.lines = []
        self.names = {}  # of ids of topics and of members
        self.ids = {}  # of topics, by name
        self.altered = False

    def note(self, name, version, asked, answer):
        if name == "CreateTopics" and version >= 7 and answer != "closed":
            for topic in answer["topics"]:
                if topic["topic_id"] != bytes(16):
                    self.names[topic["topic_id"]] = "id of " + topic["name"]
        self.lines.append({"api": name, "version": version, "asked": tidy(asked, self.names),
                           "answer": tidy(answer, self.names)})

    def ask(self, name, version, **values):
        try:
            answer = schema.ask(self.connection, name, version, **values)
        except Closed:
            self.connection = Connection(ADDRESS)
            answer = "closed"
        self.altered |= name in ("AlterConfigs", "IncrementalAlterConfigs", "AlterClientQuotas")
        self.note(name, version, values, answer)
        return answer

    def ask_fitting(self, name, version, **values):
        """With those of the fields that the version has."""
        return self.ask(name, version,
                        **fitting(schema.BY_NAME[name].request.fields, values, version))

    def connect(self):
        return Connection(ADDRESS)

    def send_fitting(self, name, version, connection, **values):
        """On another connection: what answered() takes, once."""
        values = fitting(schema.BY_NAME[name].request.fields, values, version)
        schema.send(connection, name, version, **values)
        return name, version, connection, values

    def answered(self, sent):
        name, version, connection, values = sent
        answer = schema.receive(connection, name, version)
        self.note(name, version, values, answer)
        return answer

    def tell(self, name, version, **values):
        """A request that has no answer."""
        api = schema.BY_NAME[name]
        self.connection.send(api.key, version, schema.encode(name, version, values),
                             answered=False, header_flexible=version >= api.flexible)

    def ask_raw(self, name, version, body):
        """A body that is none, on a connection of its own."""
        api = schema.BY_NAME[name]
        with Connection(ADDRESS) as connection:
            connection.send(api.key, version, body, header_flexible=version >= api.flexible)
            self.note(name, version, "a body that is none, %d bytes" % len(body), ending(connection))

    def ask_frame(self, what, data):
        with Connection(ADDRESS) as connection:
            connection.send_raw(data)
            self.note("no API", 0, what, ending(connection))
        self.quietly("ApiVersions", 0)  # the other connection notices nothing

    def pipeline(self, asked):
        for name, version, values in asked:
            schema.send(self.connection, name, version, **values)
        for name, version, values in asked:
            self.note(name, version, values, schema.receive(self.connection, name, version))

    def versions(self, name):
        return schema.BY_NAME[name].versions

    def advertised(self):
        """{name: (first, last)} of what Millrace serves; Produce says 0, as Kafka does."""
        with open(API_TABLE, encoding="ascii") as table:
            rows = re.findall(r"^    \{(\d+), (\d+), (\d+), ", table.read(), re.M)
        return {schema.APIS[int(key)].name: (int(first), int(last)) for key, first, last in rows}

    def make_topic(self, name, partitions=1, configs=()):
        answer = self.quietly("CreateTopics", 7, timeout_ms=10000, topics=[
            {"name": name, "num_partitions": partitions, "replication_factor": 1,
             "configs": [{"name": key, "value": value} for key, value in dict(configs).items()]}])
        assert answer["topics"][0]["error_code"] == 0, answer
        self.ids[name] = answer["topics"][0]["topic_id"]
        self.names[self.ids[name]] = "id of " + name
        self.wait_for(name, partitions)
        return self.ids[name]

    def wait_for(self, name, partitions):
        deadline = time.monotonic() + 20
        while True:
            answer = self.quietly("ListOffsets", 8, replica_id=-1, topics=[
                {"name": name, "partitions": [
                    {"partition_index": i, "timestamp": -1} for i in range(partitions)]}])
            errors = {p["error_code"] for topic in answer["topics"] for p in topic["partitions"]}
            if errors == {0}:
                return
            assert time.monotonic() < deadline, "%s is not served: %s" % (name, errors)
            time.sleep(0.02)

    def coordinator(self, group):
        """Waits until groups are served."""
        deadline = time.monotonic() + 30
        while True:
            found = self.quietly("FindCoordinator", 3, key=group)["error_code"]
            if found == 0:
                found = self.quietly("DescribeGroups", 4, groups=[group])["groups"][0]["error_code"]
            if found == 0:
                return
            assert time.monotonic() < deadline, "no coordinator: %d" % found
            time.sleep(0.05)

    def until_served(self, name, version, **values):
        deadline = time.monotonic() + 20
        while self.quietly(name, version, **values)["error_code"] != 0:
            assert time.monotonic() < deadline, "%s is not served" % name
            time.sleep(0.05)

    def settle(self):
        """Apache Kafka's broker hears of changes from its controller, and takes them in one after
        the other: when it knows of a second change of a quota, all before the first have been taken
        in whole."""
        if self.altered:
            self.set_barrier(False)
            self.set_barrier(True)
            self.altered = False

    def set_barrier(self, remove):
        deadline = time.monotonic() + 30
        entity = {"entity_type": "user", "entity_name": "barrier"}
        self.quietly("AlterClientQuotas", 1, entries=[
            {"entity": [entity],
             "ops": [{"key": "consumer_byte_rate", "value": 1e9, "remove": remove}]}])
        while bool(self.quietly("DescribeClientQuotas", 1, strict=True, components=[
                {"entity_type": "user", "match_type": 0, "match": "barrier"}])["entries"]) == remove:
            assert time.monotonic() < deadline, "the barrier does not come"
            time.sleep(0.01)

    def quietly(self, name, version, **values):
        return schema.ask(self.connection, name, version, **values)

    def every(self, name, **values):
        """In every version, with the fields that the version has."""
        api = schema.BY_NAME[name]
        for version in range(api.versions[0], api.versions[1] + 1):
            self.ask(name, version, **fitting(api.request.fields, values, version))


def fitting(fields, values, version):
    known = {field.name: field for field in fields if field.has(version)}
    found = {}
    for name, value in values.items():
        if name not in known:
            continue
        field = known[name]
        if field.is_struct() and isinstance(value, list):
            value = [fitting(field.fields, one, version) for one in value]
        found[name] = value
    return found


# ---- what may differ ----------------------------------------------------------------------------

# Texts, times, addresses, paths and sizes of disks.
LEFT_OUT = {"error_message", "throttle_time_ms", "batch_index_error_message"}
HIDDEN = {"total_bytes", "usable_bytes", "log_dir", "path", "port", "cluster_id", "producer_id",
          "finalized_features_epoch"}
MEMBER = re.compile(r"^(dialogue|one|two)-[0-9a-f-]{36}$")  # an id that the coordinator has made


def ending(connection):
    """What a connection that should be closed comes to: "closed", or that it was answered."""
    return "closed" if connection.is_closed() else "answered"


def order_of(items):
    if not items or not isinstance(items[0], dict):
        return items
    return sorted(items, key=lambda one: json.dumps(
        [one.get(key) for key in ("name", "topic", "user", "partition_index", "partition_id",
                                  "resource_name", "resource_type", "group_id", "key", "entity",
                                  "entity_type", "topic_id", "error_code", "member_id",
                                  "group_instance_id")],
        sort_keys=True))


def tidy(value, names):
    if isinstance(value, dict):
        return {key: "*" if key in HIDDEN else tidy(one, names)
                for key, one in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return order_of([tidy(one, names) for one in value])
    if isinstance(value, bytes):
        return names.get(value) or (value.hex() if len(value) == 16 else "%d bytes, %s" % (
            len(value), hashlib.sha1(value).hexdigest()[:12]) if value else "")
    if isinstance(value, str) and MEMBER.match(value):
        return names.get(value, "a member")
    return value


# ---- the conversation ---------------------------------------------------------------------------

def make_topics(talk):
    for name, partitions, configs in (("t", 2, []), ("c", 1, [("cleanup.policy", "compact")])):
        answer = talk.quietly("CreateTopics", 7, topics=[
            {"name": name, "num_partitions": partitions, "replication_factor": 1,
             "configs": [{"name": key, "value": value} for key, value in configs]}],
            timeout_ms=10000)
        talk.names[answer["topics"][0]["topic_id"]] = "id of " + name
        if name == "t":
            talk.topic_id = answer["topics"][0]["topic_id"]
    deadline = time.monotonic() + 20
    while True:
        answer = talk.quietly("ListOffsets", 8, replica_id=-1, topics=[
            {"name": name, "partitions": [
                {"partition_index": i, "timestamp": -1} for i in range(count)]}
            for name, count in (("t", 2), ("c", 1))])
        errors = {p["error_code"] for topic in answer["topics"] for p in topic["partitions"]}
        if errors == {0}:
            return
        assert time.monotonic() < deadline, "the topics are not served: %s" % errors
        time.sleep(0.05)


def produce(talk, topic, count, partition=0):
    answer = talk.quietly("Produce", 9, acks=-1, timeout_ms=10000, topic_data=[
        {"name": topic, "partition_data": [
            {"index": partition, "records": batch([b"v"] * count, key=b"k")}]}])
    assert answer["responses"][0]["partition_responses"][0]["error_code"] == 0, answer


def talk_of_partitions(talk):
    def grow(name, count, assignments=None, validate_only=True):
        talk.every("CreatePartitions", topics=[
            {"name": name, "count": count,
             "assignments": assignments and [{"broker_ids": ids} for ids in assignments]}],
            timeout_ms=10000, validate_only=validate_only)
    for count in (0, 1, 2, 20000):
        grow("t", count)
    grow("no-such", 3)
    grow("t", 3, [[9]])
    grow("t", 3, [[NODE], [NODE]])
    grow("t", 3, [[]])
    grow("t", 3, [[NODE, NODE]])
    grow("t", 3, [[NODE]])
    talk.ask("CreatePartitions", 3, timeout_ms=10000, topics=[
        {"name": "t", "count": 3, "assignments": None},
        {"name": "t", "count": 4, "assignments": None}])
    talk.ask("CreatePartitions", 2, topics=[{"name": "t", "count": 3, "assignments": None}],
             timeout_ms=10000)
    grow("t", 3)


def alter(talk, kind, name, *changes, validate_only=False, versions=(0, 1)):
    for version in versions:
        talk.ask("IncrementalAlterConfigs", version, validate_only=validate_only, resources=[
            {"resource_type": kind, "resource_name": name, "configs": [
                {"name": key, "config_operation": op, "value": value}
                for key, op, value in changes]}])


def describe(talk, kind, name, keys, versions=(1, 2, 3, 4)):
    talk.settle()
    for version in versions:
        talk.ask("DescribeConfigs", version, resources=[
            {"resource_type": kind, "resource_name": name, "configuration_keys": keys}],
            include_synonyms=True)


TOPIC_KEYS = ["retention.ms", "max.message.bytes", "cleanup.policy", "min.insync.replicas",
              "segment.ms", "no.such.key"]
SET, DELETE, APPEND, SUBTRACT = range(4)


def talk_of_topic_configs(talk):
    for change in (("retention.ms", SET, "5000"), ("retention.ms", SET, "x"),
                   ("retention.ms", SET, "-5"), ("retention.ms", SET, None),
                   ("no.such", SET, "1"), ("no.such", DELETE, None), ("retention.ms", APPEND, "1"),
                   ("retention.ms", SUBTRACT, "1"), ("retention.ms", 7, "1"),
                   ("compression.type", SET, "gzip"), ("compression.type", SET, "gizp")):
        alter(talk, 2, "t", change)
    describe(talk, 2, "t", TOPIC_KEYS)
    for change in (("cleanup.policy", APPEND, "compact"), ("cleanup.policy", APPEND, "compact"),
                   ("cleanup.policy", SUBTRACT, "delete"), ("cleanup.policy", SET, "delete")):
        alter(talk, 2, "t", change, versions=(1,))
        describe(talk, 2, "t", ["cleanup.policy"], versions=(4,))
    alter(talk, 2, "t", ("retention.ms", SET, "1"), ("retention.ms", SET, "2"))
    alter(talk, 2, "t", ("segment.ms", SET, "7000"), ("retention.ms", SET, "x"))
    alter(talk, 2, "t", ("segment.ms", SET, "7000"), validate_only=True)
    alter(talk, 2, "no-such", ("retention.ms", DELETE, None))
    alter(talk, 2, "", ("retention.ms", DELETE, None))
    alter(talk, 99, "t", ("retention.ms", DELETE, None))
    describe(talk, 2, "t", TOPIC_KEYS, versions=(4,))
    describe(talk, 2, "no-such", None)
    describe(talk, 2, "a b", None)
    talk.every("IncrementalAlterConfigs", resources=[
        {"resource_type": 2, "resource_name": "t", "configs": []}] * 2)
    alter(talk, 2, "t", ("retention.ms", DELETE, None))


def talk_of_replaced_configs(talk):
    def replace(kind, name, *configs):
        talk.every("AlterConfigs", resources=[
            {"resource_type": kind, "resource_name": name, "configs": [
                {"name": key, "value": value} for key, value in configs]}])
    alter(talk, 2, "t", ("segment.ms", SET, "7000"), versions=(1,))
    replace(2, "t", ("retention.ms", "6000"))
    describe(talk, 2, "t", TOPIC_KEYS, versions=(4,))
    replace(2, "t", ("retention.ms", None))
    replace(2, "t", ("no.such", "1"))
    replace(2, "no-such")
    replace(99, "t")
    replace(2, "t")
    describe(talk, 2, "t", TOPIC_KEYS, versions=(4,))


BROKER_KEYS = ["log.retention.ms", "log.retention.hours", "message.max.bytes", "num.partitions",
               "log.cleanup.policy", "min.insync.replicas", "unclean.leader.election.enable"]


def talk_of_broker_configs(talk):
    own = str(NODE)
    for name in (own, ""):
        for change in (("log.retention.ms", SET, "777000"), ("log.retention.ms", SET, "x"),
                       ("num.partitions", SET, "5"), ("log.dirs", SET, "5"),
                       ("message.max.bytes", SET, "2000000"),
                       ("message.max.bytes", APPEND, "2000000"),
                       ("log.retention.hours", SET, "5"), ("no.such.key", DELETE, None)):
            alter(talk, 4, name, change)
    alter(talk, 4, "", ("log.retention.ms", SET, "888000"))
    alter(talk, 4, "", ("listeners", SET, "PLAINTEXT://:1"))
    alter(talk, 4, own, ("log.cleanup.policy", APPEND, "compact"))
    alter(talk, 4, own, ("min.insync.replicas", SET, "2"))
    alter(talk, 4, "", ("min.insync.replicas", DELETE, None))
    alter(talk, 4, "7", ("message.max.bytes", SET, "2000000"))
    alter(talk, 4, "me", ("message.max.bytes", SET, "2000000"))
    describe(talk, 4, own, BROKER_KEYS)
    describe(talk, 4, "", None)
    describe(talk, 2, "t", TOPIC_KEYS)
    describe(talk, 4, "7", None)
    describe(talk, 4, "me", None)
    for name in (own, ""):
        alter(talk, 4, name, ("log.retention.ms", DELETE, None), versions=(1,))
        alter(talk, 4, name, ("message.max.bytes", DELETE, None), versions=(1,))
    alter(talk, 4, own, ("log.cleanup.policy", DELETE, None), versions=(1,))
    describe(talk, 4, own, BROKER_KEYS, versions=(4,))
    describe(talk, 4, "", None, versions=(4,))
    describe(talk, 2, "t", TOPIC_KEYS, versions=(4,))


def talk_of_records(talk):
    produce(talk, "t", 5)
    produce(talk, "t", 3, partition=1)
    produce(talk, "c", 3)

    def delete(topic, partition, offset):
        talk.every("DeleteRecords", timeout_ms=10000, topics=[
            {"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}])
    for topic, partition, offset in (
            ("t", 0, 0), ("t", 0, 2), ("t", 0, 1), ("t", 0, -2), ("t", 0, 100), ("t", 9, 0),
            ("t", -1, 0), ("no-such", 0, 0), ("", 0, 0), ("c", 0, 1), ("t", 0, -1), ("t", 1, 2),
            ("t", 2, 0), ("t", 2, -1)):
        delete(topic, partition, offset)
    talk.every("DeleteRecords", topics=[])
    for timestamp in (-1, -2):
        talk.ask("ListOffsets", 8, replica_id=-1, topics=[{"name": "t", "partitions": [
            {"partition_index": i, "timestamp": timestamp} for i in range(3)]}])


def talk_of_log_dirs(talk):
    talk.every("DescribeLogDirs", topics=[{"topic": "t", "partitions": [0, 1, 7]},
                                          {"topic": "no-such", "partitions": [0]}])
    talk.every("DescribeLogDirs", topics=[])
    answer = talk.quietly("DescribeLogDirs", 4, topics=None)
    found = {topic["name"]: len(topic["partitions"]) for topic in answer["results"][0]["topics"]}
    assert found["t"] == 3 and found["c"] == 1, found
    path = answer["results"][0]["log_dir"]
    for to, topic, partition in (("/no-such", "t", 0), (path, "t", 0), (path, "t", 9),
                                 (path, "no-such", 0), ("relative", "t", 0)):
        talk.every("AlterReplicaLogDirs", dirs=[
            {"path": to, "topics": [{"name": topic, "partitions": [partition]}]}])
    talk.every("AlterReplicaLogDirs", dirs=[])


def talk_of_replicas(talk):
    topics = [{"topic": "t", "partitions": [0, 9]}, {"topic": "no-such", "partitions": [0]}]
    for kind in (0, 1, 5):
        talk.every("ElectLeaders", election_type=kind, topic_partitions=topics)
    talk.every("ElectLeaders", topic_partitions=[])
    talk.every("ElectLeaders", topic_partitions=[{"topic": "t", "partitions": [0, 0]},
                                                 {"topic": "t", "partitions": []}])
    talk.every("ListPartitionReassignments", topics=None)
    talk.every("ListPartitionReassignments", topics=[{"name": "t", "partition_indexes": [0, 9]}])
    for topic, partition, replicas in (
            ("t", 0, None), ("t", 0, [NODE]), ("t", 0, []), ("t", 0, [NODE, NODE]), ("t", 0, [2]),
            ("t", 9, [NODE]), ("no-such", 0, [NODE]), ("t", 9, None), ("t", 0, [-1])):
        talk.every("AlterPartitionReassignments", allow_replication_factor_change=False, topics=[
            {"name": topic, "partitions": [
                {"partition_index": partition, "replicas": replicas}]}])
    talk.every("AlterPartitionReassignments", topics=[])


def talk_of_the_cluster(talk):
    for topic, partition in (("t", 0), ("__cluster_metadata", 1)):
        talk.every("DescribeQuorum", topics=[
            {"topic_name": topic, "partitions": [{"partition_index": partition}]}])
    talk.every("DescribeQuorum", topics=[])
    for version in (0, 1, 2):
        answer = talk.quietly("DescribeQuorum", version, topics=[
            {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}])
        found = answer["topics"][0]["partitions"][0]
        assert (found["error_code"], found["leader_id"], len(found["current_voters"])) == (
            0, NODE, 1), found
        assert found["high_watermark"] == found["current_voters"][0]["log_end_offset"] > 0, found
    for level, kind in ((1, 1), (0, 2), (-1, 1), (1, 9)):
        talk.every("UpdateFeatures", feature_updates=[
            {"feature": "no.such", "max_version_level": level, "upgrade_type": kind}])
    talk.every("UpdateFeatures", feature_updates=[])
    talk.every("ListConfigResources", resource_types=[16])
    talk.every("ListConfigResources", resource_types=[4, 8])
    talk.every("ListConfigResources", resource_types=[99])
    for broker in (9, -1):
        talk.every("UnregisterBroker", broker_id=broker)
    for users in (None, [], ["a", ""], ["a", "a"]):
        talk.every("DescribeUserScramCredentials",
                   users=users if users is None else [{"name": user} for user in users])


def talk_of_security_and_transactions(talk):
    acl = {"resource_type": 2, "resource_name": "t", "resource_pattern_type": 3,
           "principal": "User:me", "host": "*", "operation": 3, "permission_type": 3}
    filters = {"resource_type_filter": 1, "resource_name_filter": None, "pattern_type_filter": 1,
               "principal_filter": None, "host_filter": None, "operation": 1, "permission_type": 1}
    talk.every("DescribeAcls", **filters)
    talk.every("CreateAcls", creations=[acl, acl])
    talk.every("CreateAcls", creations=[])
    talk.every("DeleteAcls", filters=[filters])
    talk.every("ListTransactions")
    talk.every("ListTransactions", state_filters=["Empty", "Foo", "ongoing"],
               producer_id_filters=[7], duration_filter=5)
    talk.every("DescribeTransactions", transactional_ids=[""])
    talk.every("DescribeTransactions", transactional_ids=[])


def talk_of_fetch_sessions(talk):
    for version in FETCH_VERSIONS:
        talk_in_a_session(talk, version)


def talk_in_a_session(talk, version):
    by_id = version >= 13

    def topic(partitions):
        return {"topic_id": talk.topic_id, "partitions": partitions} if by_id else {
            "topic": "t", "partitions": partitions}

    def fetch(session, epoch, offsets, forgotten=(), version=version, limit=1 << 20):
        partitions = [{"partition": p, "fetch_offset": offset, "partition_max_bytes": limit}
                      for p, offset in offsets]
        values = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 20, "session_id": session,
                  "session_epoch": epoch, "topics": [topic(partitions)] if partitions else [],
                  "forgotten_topics_data": [topic(list(forgotten))] if forgotten else []}
        answer = talk.quietly("Fetch", version, **values)
        shown = [(p["partition_index"], p["error_code"], p["high_watermark"],
                  p["log_start_offset"], len(p["records"] or b"") > 0)
                 for one in answer["responses"] for p in one["partitions"]]
        talk.lines.append({"api": "Fetch", "version": version,
                           "asked": [bool(session), epoch, list(offsets), list(forgotten)],
                           "answer": [answer["error_code"], answer["session_id"] != 0,
                                      answer["session_id"] == session, shown]})
        return answer["session_id"]

    ends = {p["partition_index"]: p["offset"] for p in talk.quietly(
        "ListOffsets", 8, replica_id=-1, topics=[{"name": "t", "partitions": [
            {"partition_index": i, "timestamp": -1} for i in range(3)]}])["topics"][0]["partitions"]}
    fetch(0, -1, [(0, ends[0])])  # without a session
    session = fetch(0, 0, [(0, ends[0]), (1, ends[1]), (2, ends[2])])
    fetch(session, 1, [])  # nothing new
    produce(talk, "t", 2, partition=1)
    fetch(session, 2, [])  # one has records
    fetch(session, 3, [(1, ends[1] + 2)])  # read
    fetch(session, 4, [(0, ends[0] + 100)])  # out of range, and told until it is mended
    fetch(session, 5, [])
    fetch(session, 6, [(0, ends[0])])
    fetch(session, 7, [], forgotten=[1])
    produce(talk, "t", 1, partition=1)
    fetch(session, 8, [])  # it is not asked for any more
    fetch(session, 9, [(1, ends[1] + 2)])
    fetch(session, 3, [])  # a wrong epoch
    fetch(session, 10, [(9, 0)])  # no such partition
    if version in (12, 13):  # names and ids do not mix
        other = 12 if by_id else 13
        answer = talk.quietly("Fetch", other, max_wait_ms=0, min_bytes=1, session_id=session,
                              session_epoch=11)
        talk.lines.append({"api": "Fetch", "version": other, "asked": "a session of the other kind",
                           "answer": answer["error_code"]})
    fetch(session, 11, [], forgotten=[0, 1, 2, 9])  # all: it ends
    fetch(session, 12, [])
    session = fetch(0, 0, [(0, ends[0])])
    fetch(session, -1, [])  # closed
    fetch(session, 1, [])
    fetch(12345678, 5, [])
    first = fetch(0, 0, [(0, ends[0])])
    fetch(first, 0, [(2, ends[2])])  # a full fetch ends the session it names
    fetch(first, 1, [])


# What an API cannot come to, whatever it is asked: (API, first, last version, "success" or "error",
# reason). An entry that is not needed is a fault.
NEVER = (
    ("Produce", 0, 2, "success", "advertised for older clients' sake, and closed"),
    ("ApiVersions", 1, 2, "error", "its body is empty"),
    ("ConsumerGroupHeartbeat", 0, 1, "success", "Kafka serves what Millrace refuses"),
    ("ConsumerGroupHeartbeat", 0, 1, "error", "dialogue.py knows the refusal"),
    ("DescribeAcls", 1, 3, "success", "there is no authorizer"),
    ("DeleteAcls", 1, 3, "success", "there is no authorizer"),
    ("DescribeCluster", 0, 0, "error", "there is nothing to get wrong before endpoint types"),
    ("DescribeGroups", 0, 5, "error", "an unknown group is dead, which was no error yet"),
    ("DescribeLogDirs", 1, 5, "error", "what is unknown is left out"),
    ("FindCoordinator", 0, 0, "error", "any key has a coordinator"),
    ("ListConfigResources", 0, 0, "error", "its body is empty"),
    ("ListGroups", 0, 5, "error", "an unknown state or type matches no group"),
    ("ListPartitionReassignments", 0, 0, "error", "what is unknown is left out"),
    ("ListTransactions", 0, 2, "error", "what is unknown is told in a field of its own"),
    ("OffsetFetch", 1, 9, "error", "what has no offset has -1, which is no error"),
    ("UnregisterBroker", 0, 0, "success", "the one broker cannot be taken out"),
)


def outcome(answer):
    """"error" where any code in it is one, else "success"."""
    if isinstance(answer, dict):
        parts = [value for key, value in answer.items() if not key.endswith("error_code")]
        codes = [value for key, value in answer.items() if key.endswith("error_code")]
        if any(codes) or any(outcome(part) == "error" for part in parts):
            return "error"
    elif isinstance(answer, list):
        if any(outcome(part) == "error" for part in answer):
            return "error"
    return "error" if answer == "closed" else "success"


def check_coverage(talk, lines):
    """Every advertised version has been talked about, with a success and with an error."""
    seen = {(line["api"], line["version"], outcome(line["answer"])) for line in lines
            if not str(line["asked"]).startswith("a body that is none") or line["version"] < 3 and
            line["api"] == "Produce"}
    used, faults, pairs = set(), 0, 0
    for name, (first, last) in sorted(talk.advertised().items()):
        for version in range(first, last + 1):
            pairs += 1
            for kind in ("success", "error"):
                never = [one for one in NEVER if one[0] == name and one[1] <= version <= one[2] and
                         one[3] == kind]
                if (name, version, kind) in seen:
                    continue
                used.update(never)
                if not never:
                    faults += 1
                    print("%s %d: no %s in the conversation" % (name, version, kind))
    for one in NEVER:
        if one not in used:
            faults += 1
            print("needed for nothing: %s" % (one,))
    print("%d versions of %d APIs with a success and an error each, but for %d entries" % (
        pairs, len(talk.advertised()), len(NEVER)))
    return faults


def converse():
    talk = Conversation()
    make_topics(talk)
    for part in (talk_of_partitions, talk_of_topic_configs, talk_of_replaced_configs,
                 talk_of_broker_configs, talk_of_records, talk_of_log_dirs, talk_of_replicas,
                 talk_of_the_cluster, talk_of_security_and_transactions, talk_of_fetch_sessions,
                 talk_data.talk_of_produce, talk_data.talk_without_answers,
                 talk_data.talk_of_fetch, talk_data.talk_of_offsets, talk_data.talk_of_topics,
                 talk_data.talk_of_metadata, talk_data.talk_of_versions,
                 talk_data.talk_of_producers, talk_data.talk_of_quotas,
                 talk_data.talk_of_pipelining, talk_data.talk_of_malformed_frames,
                 talk_groups.talk_of_groups, talk_members.talk_of_members):
        part(talk)
    return talk


# ---- comparing ----------------------------------------------------------------------------------

def pack(lines):
    """The lines of a golden file."""
    first = {}
    for number, line in enumerate(lines):
        one = {"api": line["api"], "version": line["version"]}
        answer = json.dumps(line["answer"])
        if len(answer) < 30:
            one["answer"] = line["answer"]
        elif first.setdefault(answer, number) == number:
            one["answer"] = line["answer"]
        else:
            one["as"] = first[answer] + 1
        yield json.dumps(one)


def unpack(text):
    lines = [json.loads(line) for line in text]
    for line in lines:
        if "as" in line:
            line["answer"] = lines[line["as"] - 1]["answer"]
    return lines


def differences(expected, found, path=""):
    """The paths at which two answers differ."""
    if isinstance(expected, dict) and isinstance(found, dict) and set(expected) == set(found):
        for key in expected:
            yield from differences(expected[key], found[key], (path + "." + key).lstrip("."))
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for one, other in zip(expected, found):
            yield from differences(one, other, path)
    elif expected != found:
        yield path


def compare(golden, lines, differing):
    used, faults = set(), 0
    assert len(differing) <= DIFFERENCES_MAX, "too many differences"
    if len(golden) != len(lines):
        print("%d exchanges, expected %d" % (len(lines), len(golden)))
        faults += 1
    for expected, found in zip(golden, lines):
        for key in ("api", "version"):
            assert expected[key] == found[key], "another conversation: %s, %s" % (expected, found)
        for path in differences(expected["answer"], found["answer"]):
            known = [entry for entry in differing if entry[0] == found["api"] and
                     entry[1] <= found["version"] <= entry[2] and entry[3] == path]
            used.update(known)
            if not known:
                faults += 1
                print("%s %d, asked %s: %s\n  expected %s\n  found    %s" % (
                    found["api"], found["version"], json.dumps(found["asked"]), path,
                    json.dumps(expected["answer"]), json.dumps(found["answer"])))
    for entry in differing:
        if entry not in used:
            faults += 1
            print("explains nothing: %s" % (entry,))
    print("%d exchanges in %d APIs, %d known differences, %d faults" % (
        len(lines), len({line["api"] for line in lines}), len(differing), faults))
    return faults


def main():
    global ADDRESS
    ADDRESS = (sys.argv[1], int(sys.argv[2]))
    talk = converse()
    lines = json.loads(json.dumps(talk.lines))
    if len(sys.argv) < 4:
        for line in pack(lines):
            print(line)
        return 0
    with open(sys.argv[3], encoding="utf-8") as golden:
        faults = compare(unpack(golden), lines,
                         () if sys.argv[4:] == ["kafka"] else DIFFERENCES)
    return 1 if faults + check_coverage(talk, lines) else 0


if __name__ == "__main__":
    sys.exit(main())
