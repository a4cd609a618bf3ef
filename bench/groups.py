"""Consumer groups under load: many members rebalance, send heartbeats, commit.

groups.py BROKER MEMBERS [GROUPS [SECONDS]]: prints one line of JSON. Every member is a connection; frames are
encoded beforehand where they can be. Rebalance: from the first member's JoinGroup to the last one's
SyncGroup answer, all members being known. Heartbeats and commits: one in flight on each connection.
Works against any broker of the Kafka protocol whose initial rebalance delay is small.
"""
import json
import selectors
import socket
import struct
import sys
import time

TOPIC = b'bench-topic'
UNKNOWN_MEMBER_ID = 25


def text(value):
    return struct.pack('>h', len(value)) + value


def data(value):
    return struct.pack('>i', len(value)) + value


def frame(key, version, body):
    head = struct.pack('>hhi', key, version, 7) + text(b'bench')
    return struct.pack('>i', len(head) + len(body)) + head + body


def find_coordinator():
    return frame(10, 0, text(b'bench-0'))


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


def leave(member):
    return frame(13, 1, text(member.group) + text(member.name))


def commit(member):
    return frame(8, 4, text(member.group) + struct.pack('>i', member.generation) +
                 text(member.name) +
                 struct.pack('>q', -1) + struct.pack('>i', 1) + text(TOPIC) +
                 struct.pack('>iiq', 1, 0, 1) + text(b''))


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
        self.sent = time.monotonic()
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


class Bench:
    session_ms = 30000

    def __init__(self, broker, count, groups):
        host, port = broker.rsplit(':', 1)
        self.members = [Member((host, int(port)), b'bench-%d' % (i % groups))
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
        """All join and sync; returns the seconds it took."""
        begin = time.monotonic()
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
                    return time.monotonic() - begin
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

    def load(self, members, make, seconds):
        """One request in flight on each connection; (per second, p50 ms, p99 ms)."""
        latencies = []
        begin = time.monotonic()
        for member in members:
            member.send(make(member))
        left = len(members)
        for member, reader in self.answers():
            now = time.monotonic()
            latencies.append(now - member.sent)
            if now - begin < seconds:
                member.send(make(member))
            else:
                left -= 1
                if left == 0:
                    break
        latencies.sort()
        return (len(latencies) / (time.monotonic() - begin), latencies[len(latencies) // 2] * 1e3,
                latencies[len(latencies) * 99 // 100] * 1e3)


def main():
    count = int(sys.argv[2])
    groups = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 3
    bench = Bench(sys.argv[1], count, groups)
    bench.prepare()
    bench.rebalance()
    times = sorted(bench.rebalance() for _ in range(3))
    beats = bench.load(bench.members[:64], heartbeat, seconds)
    alone = bench.load(bench.members[:1], commit, seconds)
    commits = bench.load(bench.members[:64], commit, seconds)
    for member in bench.members:  # the next run does not wait for their sessions
        member.ask(leave(member))
    print(json.dumps({
        'members': count, 'groups': groups, 'rebalance_ms': round(times[1] * 1e3, 1),
        'heartbeats_s': round(beats[0]), 'heartbeat_p99_ms': round(beats[2], 2),
        'commit_alone_p50_ms': round(alone[1], 2), 'commit_alone_p99_ms': round(alone[2], 2),
        'commits_s': round(commits[0]), 'commit_p99_ms': round(commits[2], 2)}))


if __name__ == '__main__':
    main()
