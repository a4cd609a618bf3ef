"""Groups as clients make them, by two scenarios.

move: two members share five partitions, a third joins and takes its share, one is killed and its
partitions move; every record is seen; what was committed survives a power cut.
shares: two members share five partitions, and each reads its share and nothing else; then three
members of another group are given two partitions, and one of them idles.

groups.py BUILD WORK SCENARIO NAME ASSIGNOR COMMAND...: COMMAND BROKER GROUP TOPIC ASSIGNOR is one
member, which prints the value of every record it reads. Who owns what is asked of the broker, not
of the clients: one judge for all of them.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

RECORDS = 400  # after each step
PATIENCE_S = 60


def free_port():
    """One behind which the next is free, too: two shards with direct routing have one each."""
    while True:
        with socket.socket() as probe, socket.socket() as behind:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
            try:
                behind.bind(('127.0.0.1', port + 1))
            except (OSError, OverflowError):
                continue
            return port


class Broker:
    """A broker whose kill is a power cut: what was not flushed is gone."""

    def __init__(self, build, work):
        self.build = build
        self.work = work
        for _ in range(5):  # the port may be taken by another between being found and being used
            self.address = f"{os.environ['MR_BROKER_HOST']}:{free_port()}"
            if self.try_start():
                return
        sys.exit('FAILED: the broker does not start')

    def start(self):
        if not self.try_start():
            sys.exit('FAILED: the broker does not start again')

    def try_start(self):
        log = open(f'{self.work}/broker.log', 'a')
        self.process = subprocess.Popen(
            [*os.environ['MR_BROKER_IN'].split(), f'{self.build}/millraced', '--data-dir', f'{self.work}/data', '--listen', self.address,
             '--set', 'dev.volatile=true', '--set', 'group.initial.rebalance.delay.ms=500',
             '--set', 'admin.listen=', *os.environ['MR_BROKER_FLAGS'].split()],
            stdout=subprocess.PIPE, stderr=log, text=True)
        return 'ready' in self.process.stdout.readline()

    def cut(self):
        self.process.kill()
        self.process.wait()

    def tool(self, *words, text=None):
        done = subprocess.run(
            [f'{self.build}/millrace', *words, '--bootstrap-server', self.address], input=text,
            capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None


class Member:
    def __init__(self, command, work, name):
        self.path = f'{work}/member-{name}'
        self.process = subprocess.Popen(
            command, stdout=open(self.path, 'w'), stderr=open(f'{self.path}.log', 'w'),
            start_new_session=True)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def values(self):
        with open(self.path) as file:
            return {line.strip() for line in file if line.endswith('\n')}


class Run:
    """One topic, its group and the members of the group."""

    def __init__(self, broker, work, topic, partitions, assignor, command):
        self.work = work
        self.topic = topic
        self.partitions = partitions
        self.group = f'group-{topic}-{assignor}'
        self.broker = broker
        self.command = [*command, broker.address, self.group, topic, assignor]
        self.members = []
        self.sent = set()
        broker.tool('topic', 'create', topic, '--partitions', str(partitions))

    def fail(self, text):
        for index, member in enumerate(self.members):
            with open(f'{member.path}.log') as log:
                print(f'--- member {index}:', *log.readlines()[-8:], sep='\n')
        print(self.broker.tool('group', 'describe', self.group))
        raise SystemExit(f'FAILED: {text}')

    def wait(self, what, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f'waited in vain until {what}')
            time.sleep(0.1)

    def join(self):
        self.members.append(Member(self.command, self.work, f'{self.topic}-{len(self.members)}'))

    def produce(self):
        values = [f'{self.topic}-{len(self.sent) + i}' for i in range(RECORDS)]
        # Keyed by their values: without keys a batch may leave a partition empty, and without a
        # record nothing is ever committed there.
        text = ''.join(f'{value}:{value}\n' for value in values)
        if self.broker.tool('produce', self.topic, '--key-separator', ':', text=text) is None:
            self.fail('the records could not be produced')
        self.sent.update(values)

    def described(self):
        text = self.broker.tool('group', 'describe', self.group, '--json')
        return json.loads(text) if text else None

    def owners(self, members):
        """Partitions by member, once the group is stable with so many members; else None."""
        group = self.described()
        if not group or group['state'] != 'Stable' or group['members'] != members:
            return None
        shares = {}
        for row in group['partitions']:
            shares.setdefault(row['member_id'], set()).add(row['partition'])
        if '' in shares or sum(map(len, shares.values())) != self.partitions:
            return None
        return shares

    def shared_by(self, members):
        """Every partition is owned, by so many members or, where it has fewer, each by one."""
        shares = self.owners(members)
        return shares is not None and len(shares) == min(members, self.partitions)

    def seen(self):
        return set().union(*(member.values() for member in self.members))

    def all_seen(self):
        return self.sent <= self.seen()

    def all_committed(self):
        group = self.described()
        rows = group['partitions'] if group else []
        return len(rows) == self.partitions and all(row['lag'] == 0 for row in rows)

    def committed(self):
        return {row['partition']: row['current_offset'] for row in self.described()['partitions']}

    def end(self):
        for member in self.members:
            member.kill()


def play_move(run):
    run.produce()
    run.join()
    run.join()
    run.wait('two members share the partitions', lambda: run.shared_by(2))
    run.join()
    run.wait('the third has its share', lambda: run.shared_by(3))
    run.produce()
    run.wait('every record is seen', run.all_seen)
    run.members[0].kill()
    run.wait("the killed member's partitions have moved", lambda: run.shared_by(2))
    run.produce()
    run.wait('every record is seen after the move', run.all_seen)
    run.wait('all is committed', run.all_committed)
    before = run.committed()
    run.broker.cut()
    run.broker.start()
    run.wait('the offsets are there again', lambda: run.described() is not None)
    if run.committed() != before:
        run.fail(f'committed before the power cut: {before}, after it: {run.committed()}')
    run.produce()
    run.wait('the members go on after the power cut', run.all_seen)


def play_shares(run, members, sizes):
    """Each of the members gets one of `sizes` partitions, and reads what is in them, once."""
    for _ in range(members):
        run.join()
    run.wait(f'{members} members share the partitions', lambda: run.shared_by(members))
    shares = run.owners(members)
    found = sorted(map(len, shares.values()), reverse=True)
    if found != [size for size in sizes if size > 0]:
        run.fail(f'shares of {sizes} expected, got {found}')
    run.produce()
    run.wait('every record is seen', run.all_seen)
    seen = [member.values() & run.sent for member in run.members]
    twice = {value for i, values in enumerate(seen) for other in seen[:i] for value in values & other}
    if twice:
        run.fail(f'seen by two members: {sorted(twice)[:5]}')
    idle = sum(1 for values in seen if not values)
    if idle != sizes.count(0):
        run.fail(f'{idle} members have seen nothing, not {sizes.count(0)}')


def main():
    build, work, scenario, name, assignor, *command = sys.argv[1:]
    broker = Broker(build, work)
    runs = []

    def begin(topic, partitions):
        runs.append(Run(broker, work, topic, partitions, assignor, command))
        return runs[-1]

    try:
        if scenario == 'move':
            play_move(begin('shared', 5))
        else:
            play_shares(begin('five', 5), 2, [3, 2])
            play_shares(begin('two', 2), 3, [1, 1, 0])
        print(f'{name} {assignor} {scenario}: {sum(len(run.sent) for run in runs)} records')
    finally:
        for run in runs:
            run.end()
        broker.cut()


main()
