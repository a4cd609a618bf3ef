"""Members of consumer groups on a connection each, many of them, driven by one loop.

Frames are put together by hand: what a member asks is the same again and again.
"""
import selectors
import socket
import struct
import time

TOPIC = b'topic'
UNKNOWN_MEMBER_ID = 25


def text(value):
    return struct.pack('>h', len(value)) + value


def data(value):
    return struct.pack('>i', len(value)) + value


def frame(key, version, body):
    head = struct.pack('>hhi', key, version, 7) + text(b'members')
    return struct.pack('>i', len(head) + len(body)) + head + body


def find_coordinator():
    return frame(10, 0, text(b'group-0'))


def metadata():
    return frame(3, 4, struct.pack('>i', 1) + text(TOPIC) + b'\1')


def join(group, member, session_ms):
    subscription = struct.pack('>hi', 0, 1) + text(TOPIC) + struct.pack('>i', -1)
    return frame(11, 3, text(group) + struct.pack('>ii', session_ms, 60000) + text(member) +
                 text(b'consumer') + struct.pack('>i', 1) + text(b'range') + data(subscription))


def sync(group, generation, member, assignments):
    body = text(group) + struct.pack('>i', generation) + text(member)
    body += struct.pack('>i', len(assignments))
    body += b''.join(text(name) + data(b'\0' * 32) for name in assignments)
    return frame(14, 2, body)


def heartbeat(member):
    return frame(12, 2, text(member.group) + struct.pack('>i', member.generation) +
                 text(member.name))


class Reader:
    def __init__(self, payload):
        self.payload = payload
        self.at = 4  # the correlation id

    def take(self, layout):
        value = struct.unpack_from('>' + layout, self.payload, self.at)
        self.at += struct.calcsize('>' + layout)
        return value[0]

    def text(self):
        size = self.take('h')
        value = self.payload[self.at:self.at + max(size, 0)]
        self.at += max(size, 0)
        return value


class Member:
    def __init__(self, address, group):
        self.group = group
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b''
        self.name = b''
        self.generation = -1

    def send(self, payload):
        self.socket.sendall(payload)

    def answer(self):
        """A whole answer that has arrived, or None."""
        self.received += self.socket.recv(1 << 20)
        if len(self.received) < 4:
            return None
        size = struct.unpack('>i', self.received[:4])[0]
        if len(self.received) < size + 4:
            return None
        payload = self.received[4:size + 4]
        self.received = self.received[size + 4:]
        return Reader(payload)

    def ask(self, payload):
        self.send(payload)
        while (reader := self.answer()) is None:
            pass
        return reader


class Members:
    session_ms = 30000

    def __init__(self, broker, count, groups):
        host, port = broker.rsplit(':', 1)
        self.members = [Member((host, int(port)), b'group-%d' % (i % groups))
                        for i in range(count)]
        self.selector = selectors.DefaultSelector()
        for member in self.members:
            self.selector.register(member.socket, selectors.EVENT_READ, member)

    def answers(self):
        while True:
            for key, _ in self.selector.select():
                reader = key.data.answer()
                if reader is not None:
                    yield key.data, reader

    def prepare(self):
        first = self.members[0]
        for _ in range(100):
            reader = first.ask(find_coordinator())
            reader.at = 4
            if reader.take('h') == 0:
                break
            time.sleep(0.1)
        for _ in range(20):
            first.ask(metadata())
            time.sleep(0.05)

    def rebalance(self):
        """All join and sync."""
        for member in self.members:
            member.send(join(member.group, member.name, self.session_ms))
            member.step = 'join'
        left = len(self.members)
        for member, reader in self.answers():
            reader.take('i')
            error = reader.take('h')
            if member.step == 'join' and error == 0:
                self.joined(member, reader)
            elif member.step == 'sync' and error == 0:
                left -= 1
                member.step = 'done'
                if left == 0:
                    return
            else:  # REBALANCE_IN_PROGRESS and the like: again
                left += member.step == 'done'
                member.name = b'' if error == UNKNOWN_MEMBER_ID else member.name
                member.send(join(member.group, member.name, self.session_ms))
                member.step = 'join'

    def joined(self, member, reader):
        member.generation = reader.take('i')
        reader.text()
        leader = reader.text()
        member.name = reader.text()
        names = []
        member.leads = leader == member.name
        if member.leads:
            for _ in range(reader.take('i')):
                names.append(reader.text())
                reader.at += 4 + struct.unpack_from('>i', reader.payload, reader.at)[0]
        member.send(sync(member.group, member.generation, member.name, names))
        member.step = 'sync'
