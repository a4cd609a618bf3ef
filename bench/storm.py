"""What disturbs producers on the control plane: groups that rebalance, topics that come and go.

storm.py BROKER groups MEMBERS GROUPS SECONDS [ROUNDS]: all groups rebalance, again and again, or so
many times a second.
storm.py BROKER fill TOPICS: so many topics of one partition are created, 500 in a request.
storm.py BROKER topics PARTITIONS SECONDS: topics are created and deleted, one after the other; the
creation's latency is that of a metadata commit, as a client sees it.
Prints one line of JSON.
"""
import json
import struct
import sys
import time

from groups import Bench, Member, frame, leave, text

POLICY_VIOLATION = 44


def create_topics(names, partitions):
    topics = (text(name) + struct.pack('>ihii', partitions, 1, 0, 0) for name in names)
    body = struct.pack('>i', len(names)) + b''.join(topics)
    return frame(19, 2, body + struct.pack('>iB', 10000, 0))


def delete_topic(name):
    return frame(20, 1, struct.pack('>i', 1) + text(name) + struct.pack('>i', 10000))


def error_of(reader):
    """Of an answer about one topic, behind its throttle time."""
    reader.take('i')
    reader.take('i')
    reader.text()
    return reader.take('h')


def storm_groups(broker, members, groups, seconds, rounds=0):
    bench = Bench(broker, members, groups)
    bench.prepare()
    bench.rebalance()
    count = 0
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        bench.rebalance()
        count += groups
        if rounds:
            time.sleep(max(0, begin + count / groups / rounds - time.monotonic()))
    elapsed = time.monotonic() - begin
    for member in bench.members:
        member.ask(leave(member))
    return {'rebalances_s': round(count / elapsed)}


def storm_fill(broker, topics):
    host, port = broker.rsplit(':', 1)
    client = Member((host, int(port)), b'')
    begin = time.monotonic()
    for first in range(0, topics, 500):
        names = [b'fill-%d' % number for number in range(first, min(first + 500, topics))]
        error = error_of(client.ask(create_topics(names, 1)))
        if error:
            sys.exit(f'storm.py: the broker answers error {error}')
    return {'filled_s': round(topics / (time.monotonic() - begin))}


def storm_topics(broker, partitions, seconds):
    host, port = broker.rsplit(':', 1)
    client = Member((host, int(port)), b'')
    latencies = []
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        name = b'storm-%d' % time.monotonic_ns()
        sent = time.monotonic()
        error = error_of(client.ask(create_topics([name], partitions)))
        if error == POLICY_VIOLATION:  # deleted partitions still take the place of new ones
            time.sleep(0.01)
            continue
        latencies.append(time.monotonic() - sent)
        error = error or error_of(client.ask(delete_topic(name)))
        if error:
            sys.exit(f'storm.py: the broker answers error {error}')
    latencies.sort()
    return {'topics_s': round(len(latencies) / (time.monotonic() - begin)),
            'create_p50_ms': round(latencies[len(latencies) // 2] * 1e3, 2),
            'create_p99_ms': round(latencies[len(latencies) * 99 // 100] * 1e3, 2)}


def main():
    broker, kind, *numbers = sys.argv[1:]
    storms = {'groups': storm_groups, 'fill': storm_fill, 'topics': storm_topics}
    print(json.dumps(storms[kind](broker, *map(int, numbers))))


main()
