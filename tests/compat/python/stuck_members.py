"""Members of consumer groups that hang, beside many that do not.

stuck_members.py BROKER MEMBERS GROUPS SESSION_MS: exits 1 with a reason where a group without a
member that hangs does not settle while the others wait, or these do not settle when its session has
ended.
"""
import sys
import time

from members import Members, heartbeat, join

REBALANCE_IN_PROGRESS = 27


def error_of(reader):
    """Of an answer that begins with its throttle time."""
    reader.take('i')
    return reader.take('h')


def join_again(member):
    member.step = 'join'
    member.send(join(member.group, member.name, Groups.session_ms))


def learn_of_rebalance(member):
    while (error := error_of(member.ask(heartbeat(member)))) != REBALANCE_IN_PROGRESS:
        if error:
            sys.exit(f'heartbeat of {member.group.decode()}: error {error}')
        time.sleep(0.01)


class Groups(Members):
    session_ms = int(sys.argv[4])

    def start(self, members):
        """The leaders join, which begins a rebalance; the others hear of it and join."""
        followers = [member for member in members if not member.leads]
        for member in members - set(followers):
            join_again(member)
        for member in followers:
            learn_of_rebalance(member)
        for member in followers:
            join_again(member)
        self.settled = set()
        self.stream = self.answers()

    def go_on(self, wanted):
        """Until `wanted` have their share; all answers are good ones."""
        while not wanted <= self.settled:
            member, reader = next(self.stream)
            error = error_of(reader)
            if error:
                sys.exit(f'{member.step} of {member.group.decode()}: error {error}')
            if member.step == 'join':
                self.joined(member, reader)
            else:
                self.settled.add(member)


def main():
    broker, members, groups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    bench = Groups(broker, members, groups)
    bench.prepare()
    bench.rebalance()
    followers = {member.group: member for member in bench.members if not member.leads}
    stuck = set(list(followers.values())[:groups // 10])
    names = {member.group for member in stuck}
    beside = {member for member in bench.members if member.group in names} - stuck
    healthy = set(bench.members) - stuck - beside

    bench.start(healthy | beside)
    bench.go_on(healthy)
    if bench.settled & beside:
        sys.exit('a group settled without waiting for a member whose session lasts')
    print(f'{len(healthy)} members settled while {len(beside)} waited for {len(stuck)}')
    bench.go_on(healthy | beside)
    print(f'{len(beside)} settled without those that hang')
    for member in beside:
        if error := error_of(member.ask(heartbeat(member))):
            sys.exit(f'heartbeat of {member.group.decode()}: error {error}')


main()
