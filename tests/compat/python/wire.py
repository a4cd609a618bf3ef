"""Just enough of the Kafka protocol to hold a dialogue with a broker, byte by byte.

Everything is written and read by hand, so that a fault of a client library cannot hide one of the
broker. Only the standard library is used.
"""

import socket
import struct
import time

TIMEOUT_S = 15

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
FIND_COORDINATOR, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS = 10, 18, 19, 20
INIT_PRODUCER_ID, OFFSET_FOR_LEADER_EPOCH, DESCRIBE_CONFIGS = 22, 23, 32
DESCRIBE_CLUSTER, DESCRIBE_TOPIC_PARTITIONS = 60, 75

# The first flexible version of each API (compact lengths and tagged fields).
FLEXIBLE = {
    PRODUCE: 9, FETCH: 12, LIST_OFFSETS: 6, METADATA: 9, FIND_COORDINATOR: 3, API_VERSIONS: 3,
    CREATE_TOPICS: 5, DELETE_TOPICS: 4, INIT_PRODUCER_ID: 2, OFFSET_FOR_LEADER_EPOCH: 4,
    DESCRIBE_CONFIGS: 4, DESCRIBE_CLUSTER: 0, DESCRIBE_TOPIC_PARTITIONS: 0,
}


class Closed(Exception):
    """The broker has closed the connection."""


# ---- primitive types ----------------------------------------------------------------------------

class Writer:
    def __init__(self, flexible):
        self.flexible = flexible
        self.data = bytearray()

    def raw(self, data):
        self.data += data
        return self

    def number(self, form, value):
        return self.raw(struct.pack(">" + form, value))

    def i8(self, value):
        return self.number("b", value)

    def i16(self, value):
        return self.number("h", value)

    def i32(self, value):
        return self.number("i", value)

    def i64(self, value):
        return self.number("q", value)

    def uvarint(self, value):
        while value >= 0x80:
            self.data.append(value & 0x7F | 0x80)
            value >>= 7
        self.data.append(value)
        return self

    def count(self, count, form="i"):
        """The length of an array, string or byte string; None is null."""
        if self.flexible:
            return self.uvarint(0 if count is None else count + 1)
        return self.number(form, -1 if count is None else count)

    def string(self, text):
        data = None if text is None else text.encode()
        self.count(None if data is None else len(data), "h")
        return self.raw(data or b"")

    def bytes(self, data):
        self.count(None if data is None else len(data))
        return self.raw(data or b"")

    def array(self, items, write):
        self.count(None if items is None else len(items))
        for item in items or ():
            write(self, item)
        return self

    def tags(self):
        return self.uvarint(0) if self.flexible else self


class Reader:
    def __init__(self, data, flexible):
        self.data = data
        self.at = 0
        self.flexible = flexible

    def raw(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise AssertionError("the answer is shorter than its fields")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.raw(struct.calcsize(">" + form)))[0]

    def bool(self):
        return self.number("b") != 0

    def i8(self):
        return self.number("b")

    def i16(self):
        return self.number("h")

    def i32(self):
        return self.number("i")

    def i64(self):
        return self.number("q")

    def uvarint(self):
        value, shift = 0, 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def varint(self):
        value = self.uvarint()
        return value >> 1 ^ -(value & 1)

    def count(self, form="i"):
        if self.flexible:
            count = self.uvarint() - 1
        else:
            count = self.number(form)
        return None if count < 0 else count

    def string(self):
        size = self.count("h")
        return None if size is None else self.raw(size).decode()

    def bytes(self):
        size = self.count()
        return None if size is None else self.raw(size)

    def array(self, read):
        count = self.count()
        return None if count is None else [read(self) for _ in range(count)]

    def tags(self):
        """Tagged fields, by tag."""
        found = {}
        if self.flexible:
            for _ in range(self.uvarint()):
                tag = self.uvarint()
                found[tag] = self.raw(self.uvarint())
        return found

    def end(self):
        assert self.at == len(self.data), "the answer has %d bytes too many" % (
            len(self.data) - self.at)


# ---- connections --------------------------------------------------------------------------------

class Connection:
    def __init__(self, address, client_id="dialogue"):
        self.client_id = client_id.encode()
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 1000
        self.waiting = []  # (correlation id, API, version) of requests without their answers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, api, version, body=b"", answered=True, header_flexible=None):
        self.correlation += 1
        flexible = version >= FLEXIBLE.get(api, 1 << 15)
        if header_flexible is not None:
            flexible = header_flexible
        header = struct.pack(">hhi", api, version, self.correlation) + struct.pack(
            ">h", len(self.client_id)) + self.client_id + (b"\0" if flexible else b"")
        frame = header + bytes(body)
        self.send_raw(struct.pack(">i", len(frame)) + frame)
        if answered:
            self.waiting.append((self.correlation, api, version))
        return self.correlation

    def exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionError as error:
                raise Closed() from error
            if not part:
                if data:
                    raise AssertionError("closed in the middle of an answer")
                raise Closed()
            data += part
        return data

    def receive(self, body_flexible=None):
        """The next answer, which must be that of the oldest request: a Reader of its body."""
        size = struct.unpack(">i", self.exactly(4))[0]
        data = self.exactly(size)
        correlation, api, version = self.waiting.pop(0)
        found = struct.unpack(">i", data[:4])[0]
        assert found == correlation, "answer to request %d came where %d was next" % (
            found, correlation)
        flexible = version >= FLEXIBLE.get(api, 1 << 15)
        reader = Reader(data[4:], flexible if body_flexible is None else body_flexible)
        if flexible and api != API_VERSIONS:
            reader.tags()
        return reader

    def ask(self, api, version, body=b"", **options):
        self.send(api, version, body)
        return self.receive(**options)

    def is_closed(self):
        """Waits for the broker to close without a word."""
        try:
            data = self.socket.recv(1)
        except ConnectionError:
            return True
        return data == b""

    def silent_for(self, seconds):
        """True when the broker has sent nothing and keeps the connection."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return False


# ---- record batches -----------------------------------------------------------------------------

def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = _crc_table()
BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")
CRC_AT, CRC_FROM = 17, 21


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _varint(value):
    return bytes(Writer(True).uvarint(2 * value if value >= 0 else -2 * value - 1).data)


def _record(delta, timestamp_delta, key, value):
    body = b"\0" + _varint(timestamp_delta) + _varint(delta)
    for part in (key, value):
        body += _varint(-1) if part is None else _varint(len(part)) + part
    body += _varint(0)
    return _varint(len(body)) + body


def batch(values, timestamps=None, key=None, producer=(-1, -1, -1), magic=2, attributes=0,
          count=None, last_delta=None, base_offset=0, seal=True):
    """One record batch; the arguments after `key` make it a bad one."""
    if timestamps is None:
        timestamps = [int(time.time() * 1000)] * len(values)
    base = timestamps[0] if timestamps else 0
    records = b"".join(_record(i, timestamps[i] - base, key, value)
                       for i, value in enumerate(values))
    header = BATCH_HEADER.pack(
        base_offset, BATCH_HEADER.size - 12 + len(records), -1, magic, 0, attributes,
        len(values) - 1 if last_delta is None else last_delta, base, max(timestamps or [0]),
        producer[0], producer[1], producer[2], len(values) if count is None else count)
    data = bytearray(header + records)
    if seal:
        struct.pack_into(">I", data, CRC_AT, crc32c(bytes(data[CRC_FROM:])))
    return bytes(data)


def batches(data):
    """The whole batches in what a Fetch has returned: dictionaries."""
    found = []
    while len(data) >= BATCH_HEADER.size:
        fields = BATCH_HEADER.unpack_from(data)
        size = fields[1] + 12
        if size > len(data):
            break
        found.append({
            "base_offset": fields[0], "leader_epoch": fields[2], "crc": fields[4],
            "attributes": fields[5], "last_delta": fields[6], "producer": fields[9:12],
            "count": fields[12], "size": size, "records": data[BATCH_HEADER.size:size],
            "crc_good": fields[4] == crc32c(data[CRC_FROM:size]),
        })
        data = data[size:]
    return found


def values_of(one):
    """The values in an uncompressed batch."""
    reader = Reader(one["records"], True)
    found = []
    for _ in range(one["count"]):
        reader.varint()
        reader.i8()
        reader.varint()
        reader.varint()
        for _ in range(2):
            size = reader.varint()
            value = None if size < 0 else reader.raw(size)
        assert reader.varint() == 0
        found.append(value)
    return found
