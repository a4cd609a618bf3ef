"""Two members share five partitions, a third joins and takes its share, one is killed and its
partitions move; every record is seen; what was committed survives a power cut.

groups.py BUILD WORK NAME ASSIGNOR COMMAND...: COMMAND BROKER GROUP TOPIC ASSIGNOR is one member,
which prints the value of every record it reads. Who owns what is asked of the broker, not of the
clients: one judge for all of them.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

PARTITIONS = 5
RECORDS = 400  # after each step
PATIENCE_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Broker:
    """A broker whose kill is a power cut: what was not flushed is gone."""

    def __init__(self, build, work):
        self.build = build
        self.work = work
        for _ in range(5):  # the port may be taken by another between being found and being used
            self.address = f'127.0.0.1:{free_port()}'
            if self.try_start():
                return
        sys.exit('FAILED: the broker does not start')

    def start(self):
        if not self.try_start():
            sys.exit('FAILED: the broker does not start again')

    def try_start(self):
        log = open(f'{self.work}/broker.log', 'a')
        self.process = subprocess.Popen(
            [f'{self.build}/millraced', '--data-dir', f'{self.work}/data', '--listen', self.address,
             '--set', 'dev.volatile=true', '--set', 'group.initial.rebalance.delay.ms=500',
             '--set', 'admin.listen='],
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
    def __init__(self, command, work, number):
        self.path = f'{work}/member-{number}'
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
    def __init__(self, build, work, name, assignor, command):
        self.work = work
        self.group = f'group-{name}-{assignor}'
        self.broker = Broker(build, work)
        self.command = [*command, self.broker.address, self.group, 'shared', assignor]
        self.members = []
        self.sent = set()

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
        self.members.append(Member(self.command, self.work, len(self.members)))

    def produce(self):
        values = [f'value-{len(self.sent) + i}' for i in range(RECORDS)]
        # Keyed by their values: without keys a batch may leave a partition empty, and without a
        # record nothing is ever committed there.
        text = ''.join(f'{value}:{value}\n' for value in values)
        if self.broker.tool('produce', 'shared', '--key-separator', ':', text=text) is None:
            self.fail('the records could not be produced')
        self.sent.update(values)

    def described(self):
        text = self.broker.tool('group', 'describe', self.group, '--json')
        return json.loads(text) if text else None

    def shared_by(self, count):
        """Stable, `count` members, every partition owned, and every member owns some."""
        group = self.described()
        if not group or group['state'] != 'Stable' or group['members'] != count:
            return False
        owners = {row['partition']: row['member_id'] for row in group['partitions']}
        return len(owners) == PARTITIONS and '' not in owners.values() and \
            len(set(owners.values())) == count

    def seen(self):
        return set().union(*(member.values() for member in self.members))

    def all_seen(self):
        return self.sent <= self.seen()

    def all_committed(self):
        group = self.described()
        rows = group['partitions'] if group else []
        return len(rows) == PARTITIONS and all(row['lag'] == 0 for row in rows)

    def committed(self):
        return {row['partition']: row['current_offset'] for row in self.described()['partitions']}

    def play(self):
        self.broker.tool('topic', 'create', 'shared', '--partitions', str(PARTITIONS))
        self.produce()
        self.join()
        self.join()
        self.wait('two members share the partitions', lambda: self.shared_by(2))
        self.join()
        self.wait('the third has its share', lambda: self.shared_by(3))
        self.produce()
        self.wait('every record is seen', self.all_seen)
        self.members[0].kill()
        self.wait("the killed member's partitions have moved", lambda: self.shared_by(2))
        self.produce()
        self.wait('every record is seen after the move', self.all_seen)
        self.wait('all is committed', self.all_committed)
        before = self.committed()
        self.broker.cut()
        self.broker.start()
        self.wait('the offsets are there again', lambda: self.described() is not None)
        if self.committed() != before:
            self.fail(f'committed before the power cut: {before}, after it: {self.committed()}')
        self.produce()
        self.wait('the members go on after the power cut', self.all_seen)

    def end(self):
        for member in self.members:
            member.kill()
        self.broker.cut()


def main():
    build, work, name, assignor, *command = sys.argv[1:]
    run = Run(build, work, name, assignor, command)
    try:
        run.play()
        print(f'{name} {assignor}: {len(run.sent)} records, {len(run.members)} members')
    finally:
        run.end()


main()
