"""The requests of the dialogue, each in the versions that the checks need."""

from wire import (CREATE_TOPICS, DELETE_TOPICS, DESCRIBE_CLUSTER, DESCRIBE_CONFIGS,
                  DESCRIBE_TOPIC_PARTITIONS, FETCH, FIND_COORDINATOR, FLEXIBLE, INIT_PRODUCER_ID,
                  LIST_OFFSETS, METADATA, OFFSET_FOR_LEADER_EPOCH, PRODUCE, Writer)


def writer(api, version):
    return Writer(version >= FLEXIBLE[api])


def _topic(out, topic, by_id):
    return out.raw(topic) if by_id else out.string(topic)


# ---- Produce ------------------------------------------------------------------------------------

def produce_body(topic, records, acks=-1, version=8, partition=0, transactional_id=None):
    out = writer(PRODUCE, version)
    out.string(transactional_id).i16(acks).i32(10000)
    out.count(1)
    _topic(out, topic, version >= 13)
    out.count(1)
    out.i32(partition).bytes(records).tags()
    out.tags().tags()
    return out.data


def produce_answer(reader, version=8):
    """The one partition's answer."""
    def error(r):
        found = (r.i32(), r.string())
        r.tags()
        return found

    def partition(r):
        found = {"index": r.i32(), "error": r.i16(), "offset": r.i64(), "time": r.i64()}
        if version >= 5:
            found["start"] = r.i64()
        if version >= 8:
            found["errors"] = r.array(error)
            found["message"] = r.string()
        r.tags()
        return found

    def topic(r):
        if version >= 13:
            r.raw(16)
        else:
            r.string()
        found = r.array(partition)
        r.tags()
        return found

    topics = reader.array(topic)
    reader.i32()  # throttle time
    reader.tags()
    reader.end()
    return topics[0][0]


def produce(connection, topic, records, version=8, **options):
    return produce_answer(connection.ask(
        PRODUCE, version, produce_body(topic, records, version=version, **options)), version)


# ---- Fetch --------------------------------------------------------------------------------------

def fetch_body(topic, offset, version=11, partition=0, max_wait=0, min_bytes=1,
               max_bytes=1 << 20, partition_bytes=1 << 20, leader_epoch=-1):
    out = writer(FETCH, version)
    if version < 15:
        out.i32(-1)
    out.i32(max_wait).i32(min_bytes).i32(max_bytes).i8(0).i32(0).i32(-1)
    out.count(1)
    _topic(out, topic, version >= 13)
    out.count(1)
    out.i32(partition).i32(leader_epoch).i64(offset)
    if version >= 12:
        out.i32(-1)
    out.i64(-1).i32(partition_bytes).tags()
    out.tags()
    out.count(0)  # forgotten topics
    out.string("")  # rack
    return out.tags().data


def fetch_answer(reader, version=11):
    def aborted(r):
        found = (r.i64(), r.i64())
        r.tags()
        return found

    def partition(r):
        found = {"index": r.i32(), "error": r.i16(), "high": r.i64(), "stable": r.i64(),
                 "start": r.i64(), "aborted": r.array(aborted), "replica": r.i32(),
                 "records": r.bytes()}
        r.tags()
        return found

    def topic(r):
        if version >= 13:
            r.raw(16)
        else:
            r.string()
        found = r.array(partition)
        r.tags()
        return found

    reader.i32()  # throttle time
    error, session = reader.i16(), reader.i32()
    topics = reader.array(topic)
    reader.tags()
    reader.end()
    found = topics[0][0] if topics else {"error": error, "records": b""}
    found["session"] = session
    return found


def fetch(connection, topic, offset, version=11, **options):
    return fetch_answer(connection.ask(
        FETCH, version, fetch_body(topic, offset, version=version, **options)), version)


# ---- ListOffsets, OffsetForLeaderEpoch ----------------------------------------------------------

def list_offsets(connection, topic, timestamp, version=8, partition=0, leader_epoch=-1):
    """(error, timestamp, offset, leader epoch)"""
    out = writer(LIST_OFFSETS, version)
    out.i32(-1)
    if version >= 2:
        out.i8(0)
    out.count(1)
    out.string(topic).count(1)
    out.i32(partition)
    if version >= 4:
        out.i32(leader_epoch)
    out.i64(timestamp).tags()
    out.tags()
    if version >= 10:
        out.i32(5000)
    out.tags()
    reader = connection.ask(LIST_OFFSETS, version, out.data)

    def read_partition(r):
        r.i32()
        found = (r.i16(), r.i64(), r.i64(), r.i32() if version >= 4 else -1)
        r.tags()
        return found

    def read_topic(r):
        r.string()
        found = r.array(read_partition)
        r.tags()
        return found

    if version >= 2:
        reader.i32()
    topics = reader.array(read_topic)
    reader.tags()
    reader.end()
    return topics[0][0]


def epoch_end(connection, topic, epoch, current=-1, partition=0, version=3):
    """(error, leader epoch, end offset)"""
    out = writer(OFFSET_FOR_LEADER_EPOCH, version)
    out.i32(-1).count(1)
    out.string(topic).count(1)
    out.i32(partition).i32(current).i32(epoch).tags()
    out.tags().tags()
    reader = connection.ask(OFFSET_FOR_LEADER_EPOCH, version, out.data)

    def read_partition(r):
        error = r.i16()
        r.i32()
        found = (error, r.i32(), r.i64())
        r.tags()
        return found

    def read_topic(r):
        r.string()
        found = r.array(read_partition)
        r.tags()
        return found

    reader.i32()
    topics = reader.array(read_topic)
    reader.tags()
    reader.end()
    return topics[0][0]


# ---- Metadata -----------------------------------------------------------------------------------

def metadata(connection, topics, version=12, create=False):
    """`topics`: None, or names, or ids (bytes)."""
    out = writer(METADATA, version)

    def write(w, topic):
        if version >= 10:
            w.raw(topic if isinstance(topic, bytes) else bytes(16))
        w.string(None if isinstance(topic, bytes) else topic).tags()

    out.array(topics, write)
    if version >= 4:
        out.i8(create)
    if 8 <= version <= 10:
        out.i8(0)
    if version >= 8:
        out.i8(0)
    out.tags()
    reader = connection.ask(METADATA, version, out.data)
    found = {}

    def broker(r):
        one = {"id": r.i32(), "host": r.string(), "port": r.i32()}
        if version >= 1:
            one["rack"] = r.string()
        r.tags()
        return one

    def partition(r):
        one = {"error": r.i16(), "index": r.i32(), "leader": r.i32()}
        if version >= 7:
            one["epoch"] = r.i32()
        one["replicas"] = r.array(lambda x: x.i32())
        one["isr"] = r.array(lambda x: x.i32())
        if version >= 5:
            one["offline"] = r.array(lambda x: x.i32())
        r.tags()
        return one

    def topic(r):
        one = {"error": r.i16(), "name": r.string()}
        if version >= 10:
            one["id"] = r.raw(16)
        if version >= 1:
            one["internal"] = r.bool()
        one["partitions"] = r.array(partition)
        if version >= 8:
            r.i32()
        r.tags()
        return one

    if version >= 3:
        reader.i32()
    found["brokers"] = reader.array(broker)
    if version >= 2:
        found["cluster"] = reader.string()
    if version >= 1:
        found["controller"] = reader.i32()
    found["topics"] = reader.array(topic)
    if 8 <= version <= 10:
        reader.i32()
    if version >= 13:
        reader.i16()
    reader.tags()
    reader.end()
    return found


# ---- topics -------------------------------------------------------------------------------------

def create_topics(connection, topics, validate_only=False, version=7):
    """`topics`: dictionaries with name, partitions, factor, assignments, configs. Answers."""
    out = writer(CREATE_TOPICS, version)

    def assignment(w, one):
        w.i32(one[0]).array(one[1], lambda x, node: x.i32(node)).tags()

    def config(w, one):
        w.string(one[0]).string(one[1]).tags()

    def topic(w, one):
        w.string(one["name"]).i32(one.get("partitions", 1)).i16(one.get("factor", 1))
        w.array(one.get("assignments", []), assignment)
        w.array(one.get("configs", []), config).tags()

    out.array(topics, topic).i32(10000).i8(validate_only).tags()
    reader = connection.ask(CREATE_TOPICS, version, out.data)

    def read_config(r):
        one = {"name": r.string(), "value": r.string(), "read_only": r.bool(), "source": r.i8(),
               "sensitive": r.bool()}
        r.tags()
        return one

    def read_topic(r):
        one = {"name": r.string()}
        if version >= 7:
            one["id"] = r.raw(16)
        one["error"] = r.i16()
        one["message"] = r.string()
        if version >= 5:
            one["partitions"] = r.i32()
            one["factor"] = r.i16()
            one["configs"] = r.array(read_config)
        r.tags()
        return one

    reader.i32()
    found = reader.array(read_topic)
    reader.tags()
    reader.end()
    return found


def delete_topics(connection, topics, version=6):
    """`topics`: names, or ids (bytes; from version 6). (error, name, id) of each."""
    out = writer(DELETE_TOPICS, version)

    def write(w, topic):
        if version >= 6:
            by_id = isinstance(topic, bytes)
            w.string(None if by_id else topic).raw(topic if by_id else bytes(16)).tags()
        else:
            w.string(topic)

    out.array(topics, write).i32(10000).tags()
    reader = connection.ask(DELETE_TOPICS, version, out.data)

    def read(r):
        name = r.string()
        topic_id = r.raw(16) if version >= 6 else None
        error = r.i16()
        if version >= 5:
            r.string()
        r.tags()
        return (error, name, topic_id)

    reader.i32()
    found = reader.array(read)
    reader.tags()
    reader.end()
    return found


# ---- the rest -----------------------------------------------------------------------------------

def init_producer_id(connection, transactional_id=None, version=4):
    """(error, id, epoch)"""
    out = writer(INIT_PRODUCER_ID, version)
    out.string(transactional_id).i32(60000)
    if version >= 3:
        out.i64(-1).i16(-1)
    out.tags()
    reader = connection.ask(INIT_PRODUCER_ID, version, out.data)
    reader.i32()
    found = (reader.i16(), reader.i64(), reader.i16())
    reader.tags()
    reader.end()
    return found


def find_coordinator(connection, key, key_type, version):
    """(error, node, host, port)"""
    out = writer(FIND_COORDINATOR, version)
    if version >= 4:
        out.i8(key_type).array([key], lambda w, text: w.string(text)).tags()
    else:
        out.string(key).i8(key_type).tags()
    reader = connection.ask(FIND_COORDINATOR, version, out.data)
    reader.i32()
    if version < 4:
        error = reader.i16()
        reader.string()
        found = (error, reader.i32(), reader.string(), reader.i32())
    else:
        def one(r):
            name = r.string()
            node, host, port = r.i32(), r.string(), r.i32()
            error = r.i16()
            r.string()
            r.tags()
            assert name == key, "asked for %s, told of %s" % (key, name)
            return (error, node, host, port)

        found = reader.array(one)[0]
    reader.tags()
    reader.end()
    return found


def describe_configs(connection, kind, name, keys=None, version=4):
    """(error, {key: (value, source)}); `kind` is 2 for a topic, 4 for a broker."""
    out = writer(DESCRIBE_CONFIGS, version)
    out.count(1)
    out.i8(kind).string(name).array(keys, lambda w, text: w.string(text)).tags()
    out.i8(0)
    if version >= 3:
        out.i8(0)
    out.tags()
    reader = connection.ask(DESCRIBE_CONFIGS, version, out.data)

    def synonym(r):
        r.string(), r.string(), r.i8()
        r.tags()

    def config(r):
        key, value = r.string(), r.string()
        r.bool()
        source = r.i8()
        r.bool()
        r.array(synonym)
        if version >= 3:
            r.i8(), r.string()
        r.tags()
        return (key, (value, source))

    def result(r):
        error = r.i16()
        r.string(), r.i8(), r.string()
        found = dict(r.array(config))
        r.tags()
        return (error, found)

    reader.i32()
    found = reader.array(result)[0]
    reader.tags()
    reader.end()
    return found


def describe_cluster(connection, endpoint=1, version=1):
    out = writer(DESCRIBE_CLUSTER, version)
    out.i8(0)
    if version >= 1:
        out.i8(endpoint)
    if version >= 2:
        out.i8(0)
    out.tags()
    reader = connection.ask(DESCRIBE_CLUSTER, version, out.data)

    def broker(r):
        one = {"id": r.i32(), "host": r.string(), "port": r.i32(), "rack": r.string()}
        if version >= 2:
            r.bool()
        r.tags()
        return one

    reader.i32()
    found = {"error": reader.i16(), "message": reader.string()}
    if version >= 1:
        found["endpoint"] = reader.i8()
    found["cluster"] = reader.string()
    found["controller"] = reader.i32()
    found["brokers"] = reader.array(broker)
    reader.i32()
    reader.tags()
    reader.end()
    return found


def describe_topic_partitions(connection, topics, limit=2000, cursor=None):
    """(topics, cursor)"""
    out = writer(DESCRIBE_TOPIC_PARTITIONS, 0)
    out.array(topics, lambda w, name: w.string(name).tags()).i32(limit)
    if cursor is None:
        out.i8(-1)
    else:
        out.i8(1).string(cursor[0]).i32(cursor[1]).tags()
    out.tags()
    reader = connection.ask(DESCRIBE_TOPIC_PARTITIONS, 0, out.data)

    def numbers(r):
        return r.array(lambda x: x.i32())

    def partition(r):
        one = {"error": r.i16(), "index": r.i32(), "leader": r.i32(), "epoch": r.i32(),
               "replicas": numbers(r), "isr": numbers(r), "eligible": numbers(r),
               "last_elr": numbers(r), "offline": numbers(r)}
        r.tags()
        return one

    def topic(r):
        one = {"error": r.i16(), "name": r.string(), "id": r.raw(16), "internal": r.bool(),
               "partitions": r.array(partition), "operations": r.i32()}
        r.tags()
        return one

    reader.i32()
    found = reader.array(topic)
    following = None
    if reader.i8() >= 0:
        following = (reader.string(), reader.i32())
        reader.tags()
    reader.tags()
    reader.end()
    return found, following
