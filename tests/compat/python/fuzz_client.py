"""A client that remembers what it was told (topic ids, members, sessions, producers) and asks for
anything: requests of every served API in every version, filled with what it knows, with extremes and
with nonsense, then some of their bytes changed. Frames always have their right length, so that all
of it gets past the framing.

Usage: fuzz_client.py HOST PORT SECONDS SEED
"""

import random
import select
import socket
import struct
import sys
import time

import conversation
import schema
from wire import Connection, Reader, batch

ADDRESS = (sys.argv[1], int(sys.argv[2]))
SECONDS, SEED = float(sys.argv[3]), int(sys.argv[4])
RANDOM = random.Random(SEED)
SERVED = sorted((api.key, api.name) for api in schema.APIS.values()
                if api.name in conversation.Conversation.advertised(None))

TOPICS = ["f%d" % i for i in range(6)] + ["__consumer_offsets", "no-such", "", "a b", "x" * 300]
GROUPS = ["g%d" % i for i in range(4)] + ["", "no-such", "g" * 40000]
WORDS = ["consumer", "range", "roundrobin", "retention.ms", "cleanup.policy", "compact", "delete",
         "segment.bytes", "max.message.bytes", "log.retention.ms", "producer_byte_rate",
         "consumer_byte_rate", "client-id", "user", "ip", "127.0.0.1", "fuzz", "1", "-1", "1000",
         "Stable", "Empty", "classic", "\0", "\u00ff", "%s%n", "9" * 400]
EXTREMES = (0, 1, -1, 2, -2, 100, 1 << 15, -(1 << 15), (1 << 31) - 1, -(1 << 31), (1 << 63) - 1,
            -(1 << 63), 1 << 40)
LIMITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint16": 16, "uint32": 32}
SLOW = {"num_partitions": 40, "count": 40}  # what costs the broker more than a request should


class Memory:
    """What answers have told."""

    def __init__(self):
        self.known = {}

    def learn(self, value, name=""):
        if isinstance(value, dict):
            for key, one in value.items():
                self.learn(one, key)
        elif isinstance(value, list):
            for one in value[:20]:
                self.learn(one, name)
        elif value is not None and name:
            pool = self.known.setdefault(name, [])
            if value not in pool:
                pool.append(value)
                del pool[:-20]

    def recall(self, name):
        pool = self.known.get(ALIASES.get(name, name))
        return RANDOM.choice(pool) if pool else None


ALIASES = {"generation_id_or_member_epoch": "generation_id", "fetch_offset": "base_offset",
           "committed_offset": "base_offset", "offset": "base_offset"}
MEMORY = Memory()


# ---- values -------------------------------------------------------------------------------------

def a_batch():
    count = RANDOM.choice((1, 1, 2, 30))
    options = {}
    if RANDOM.random() < 0.3:
        options["producer"] = (MEMORY.recall("producer_id") or 1, RANDOM.choice((0, 0, 1, -1)),
                               RANDOM.choice((0, 0, 1, 30, -1)))
    if RANDOM.random() < 0.2:
        options[RANDOM.choice(("count", "last_delta", "magic", "attributes", "base_offset"))] = \
            RANDOM.choice((0, 1, 2, 5, 16, 32))
    data = batch([RANDOM.randbytes(RANDOM.choice((0, 1, 50, 3000)))] * count,
                 key=RANDOM.choice((None, b"k")), **options)
    if RANDOM.random() < 0.2:
        data = mutate(data)
    return data * RANDOM.choice((1, 1, 1, 2))


def a_text(name):
    known = MEMORY.recall(name)
    if known is not None and isinstance(known, str) and RANDOM.random() < 0.5:
        return known
    if "topic" in name or name == "name":
        return RANDOM.choice(TOPICS if RANDOM.random() < 0.9 else WORDS)
    if "group" in name:
        return RANDOM.choice(GROUPS)
    return RANDOM.choice(WORDS)


def a_number(name, kind):
    bits = LIMITS[kind]
    known = MEMORY.recall(name)
    if isinstance(known, int) and not isinstance(known, bool) and RANDOM.random() < 0.5:
        value = known
    elif RANDOM.random() < 0.6:
        value = RANDOM.choice((0, 0, 1, 2, 3, -1, 10, 1000, 10000))
    else:
        value = RANDOM.choice(EXTREMES)
    if name in SLOW and value > SLOW[name]:
        value = SLOW[name]
    if kind.startswith("u"):
        return value & ((1 << bits) - 1)
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def a_value(field, version, depth=0):
    if field.nullable and field.nullable[0] <= version <= field.nullable[1] and \
            RANDOM.random() < 0.15:
        return None
    if field.array:
        count = RANDOM.choice((0, 1, 1, 1, 2, 3)) if depth < 6 else 0
        return [one_value(field, version, depth) for _ in range(count)]
    return one_value(field, version, depth)


def one_value(field, version, depth):
    if field.is_struct():
        return {one.name: a_value(one, version, depth + 1) for one in field.fields
                if one.has(version) and (one.tag is None or RANDOM.random() < 0.5)}
    if field.type == "string":
        return a_text(field.name)
    if field.type == "records":
        return a_batch()
    if field.type == "bytes":
        return RANDOM.choice((b"", b"\0" * 8, RANDOM.randbytes(40)))
    if field.type == "uuid":
        known = MEMORY.recall("topic_id")
        return known if known and RANDOM.random() < 0.8 else RANDOM.randbytes(16)
    if field.type == "bool":
        return RANDOM.random() < 0.5
    if field.type == "float64":
        return RANDOM.choice((0.0, 1.0, -1.0, 1e6, 0.5, float("nan"), float("inf"), 1e300))
    return a_number(field.name, field.type)


def mutate(data):
    data = bytearray(data)
    for _ in range(RANDOM.choice((1, 1, 2, 5))):
        at = RANDOM.randrange(len(data)) if data else 0
        kind = RANDOM.randrange(5)
        if kind == 0 and data:
            data[at] = RANDOM.choice((0, 1, 0x7f, 0x80, 0xff, RANDOM.randrange(256)))
        elif kind == 1:
            data[at:at] = RANDOM.randbytes(RANDOM.choice((1, 4, 100)))
        elif kind == 2:
            del data[at:at + RANDOM.choice((1, 2, 8))]
        elif kind == 3:
            data = data[:at]
        else:
            data[at:at + 4] = struct.pack(">i", RANDOM.choice(EXTREMES[:10]))[:4]
    return bytes(data)


def a_request():
    """(API, version, body)"""
    api = schema.APIS[RANDOM.choice(SERVED)[0]]
    version = RANDOM.randint(*api.versions)
    values = {field.name: a_value(field, version) for field in api.request.fields
              if field.has(version)}
    try:
        body = schema.encode(api.name, version, values)
    except (ValueError, UnicodeEncodeError, struct.error, TypeError, AttributeError):
        body = RANDOM.randbytes(30)  # a null where the version has none, a text that is too long
    if RANDOM.random() < 0.3:
        body = mutate(body)
    return api, version, body


# ---- connections --------------------------------------------------------------------------------

class Talk:
    """A connection with requests under way."""

    def __init__(self):
        self.connection = Connection(ADDRESS, RANDOM.choice(("fuzz", "fuzz2", "")))
        self.asked = {}
        self.data = b""

    def ask(self):
        for _ in range(RANDOM.choice((1, 1, 1, 4))):
            api, version, body = a_request()
            sent = self.connection.send(api.key, version, body, answered=False,
                                        header_flexible=version >= api.flexible)
            self.asked[sent] = (api, version)
            COUNTS[api.name] = COUNTS.get(api.name, 0) + 1

    def listen(self, seconds):
        end = time.monotonic() + seconds
        while self.asked and time.monotonic() < end:
            ready, _, _ = select.select([self.connection.socket], [], [],
                                        max(0, end - time.monotonic()))
            if not ready:
                return
            part = self.connection.socket.recv(1 << 20)
            if not part:
                raise ConnectionError("closed")
            self.data += part
            self.take()

    def take(self):
        while len(self.data) >= 8:
            size = struct.unpack(">i", self.data[:4])[0]
            if len(self.data) < 4 + size:
                return
            frame, self.data = self.data[4:4 + size], self.data[4 + size:]
            api, version = self.asked.pop(struct.unpack(">i", frame[:4])[0])
            reader = Reader(frame[4:], version >= api.flexible)
            if api.name != "ApiVersions":
                reader.tags()
            ANSWERS[0] += 1
            try:  # what the broker says must always be what its schema says.
                MEMORY.learn(schema.decode(api.name, version, reader.data[reader.at:]))
            except UnicodeDecodeError:
                pass  # a text of ours that comes back, such as a name

    def go(self):
        for _ in range(RANDOM.choice((1, 3, 10, 30))):
            self.ask()
            if RANDOM.random() < 0.9:
                self.listen(RANDOM.choice((0.02, 0.05, 0.2)))
        if RANDOM.random() < 0.1:  # it goes in the middle of a frame
            self.connection.send_raw(struct.pack(">i", 1000) + b"\0" * RANDOM.randrange(900))


COUNTS, ANSWERS = {}, [0]


def still_answers():
    with Connection(ADDRESS, "control") as connection:
        connection.socket.settimeout(60)
        schema.ask(connection, "ApiVersions", 0)
        schema.ask(connection, "Metadata", 9, topics=[{"name": "f0"}],
                   allow_auto_topic_creation=True)
        schema.ask(connection, "FindCoordinator", 2, key="g0")
        schema.ask(connection, "DescribeConfigs", 1, resources=[
            {"resource_type": 4, "resource_name": "1", "configuration_keys": ["log.dirs"]}])


def main():
    print("seed %d" % SEED, flush=True)
    end = time.monotonic() + SECONDS
    checked = time.monotonic()
    still_answers()
    talks = 0
    while time.monotonic() < end:
        talk = Talk()
        talks += 1
        try:
            talk.go()
        except (ConnectionError, socket.timeout):
            pass  # it was malformed
        finally:
            talk.connection.socket.close()
        if time.monotonic() - checked > 5:
            still_answers()
            checked = time.monotonic()
    still_answers()
    print("%d requests of %d APIs on %d connections, %d answered" % (
        sum(COUNTS.values()), len(COUNTS), talks, ANSWERS[0]))
    missing = [name for _, name in SERVED if name not in COUNTS]
    assert SECONDS < 10 or not missing, "never asked: %s" % missing
    assert ANSWERS[0] > 0, "nothing was answered"


if __name__ == "__main__":
    main()
