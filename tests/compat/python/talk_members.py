"""The part of the conversation about groups of several members: each has a connection of its own,
for JoinGroup and SyncGroup wait for the others."""

import time

import schema
from talk_groups import (SUBSCRIPTION, at_most, commit, heartbeat, join, leave, member_of, offsets,
                         sync)

OTHER = b"\0\0\0\0\0\1\0\1h\xff\xff\xff\xff"  # a subscription to topic "h"


def protocols(*names, metadata=SUBSCRIPTION):
    return [{"name": name, "metadata": metadata} for name in names]


class Member:
    """A client on a connection of its own. What it sends may wait: it is answered later."""

    def __init__(self, talk, version, group, instance=None):
        self.talk, self.version, self.group, self.instance = talk, version, group, instance
        self.connection = talk.connect()
        self.member, self.generation = "", -1
        self.protocols = protocols("range", "roundrobin")

    def send_join(self, **changed):
        self.asked = self.talk.send_fitting("JoinGroup", self.version, self.connection, **dict({
            "group_id": self.group, "session_timeout_ms": 60000, "rebalance_timeout_ms": 60000,
            "member_id": self.member, "group_instance_id": self.instance,
            "protocol_type": "consumer", "protocols": self.protocols}, **changed))

    def joined(self):
        answer = self.talk.answered(self.asked)
        if answer["error_code"] in (0, 79):
            self.member, self.generation = answer["member_id"], answer["generation_id"]
            self.talk.names.setdefault(self.member, "member %d" % len(self.talk.names))
        return answer

    def begin_join(self, **changed):
        """Sends a join that will wait; a new dynamic member gets its id first."""
        if not self.member and self.instance is None and self.version >= 4:
            self.send_join(**changed)
            assert self.joined()["error_code"] == 79
        self.send_join(**changed)

    def send_sync(self, *assigned):
        self.asked = self.talk.send_fitting(
            "SyncGroup", at_most(self.talk, "SyncGroup", self.version), self.connection,
            group_id=self.group, generation_id=self.generation, member_id=self.member,
            group_instance_id=self.instance, protocol_type="consumer",
            protocol_name=self.protocols[0]["name"],
            assignments=[{"member_id": one, "assignment": data} for one, data in assigned])

    def synced(self):
        return self.talk.answered(self.asked)

    def heartbeat(self):
        heartbeat(self.talk, at_most(self.talk, "Heartbeat", self.version), self.group,
                  self.generation, self.member, group_instance_id=self.instance)

    def commit(self, offset):
        commit(self.talk, at_most(self.talk, "OffsetCommit", max(2, self.version)), self.group,
               self.generation, self.member, offset, group_instance_id=self.instance)

    def leave(self):
        leave(self.talk, at_most(self.talk, "LeaveGroup", self.version), self.group, self.member)


def wait_for_state(talk, group, state, members=None):
    deadline = time.monotonic() + 20
    while True:
        found = talk.quietly("DescribeGroups", 5, groups=[group])["groups"][0]
        if found["group_state"] == state and members in (None, len(found["members"])):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def operators_look(talk, group):
    """What the state lets operators see and do."""
    talk.ask("DescribeGroups", 5, groups=[group])
    talk.ask("DeleteGroups", 2, groups_names=[group, group])
    talk.ask("OffsetDelete", 0, group_id=group, topics=[
        {"name": "g", "partitions": [{"partition_index": 0}, {"partition_index": 99}]},
        {"name": "no-such", "partitions": [{"partition_index": 0}]}])
    for states in (["PreparingRebalance"], ["completingrebalance"], [" Stable "]):
        talk.ask("ListGroups", 5, states_filter=states)


def settle(leader, *followers):
    """Everyone has joined: the leader assigns."""
    for one in followers:
        one.send_sync()
    leader.send_sync(*((one.member, b"\0\1of %d" % at)
                       for at, one in enumerate((leader,) + followers)), ("nobody", b"x"))
    for one in (leader,) + followers:
        one.synced()


def rebalance(leader, *followers):
    """The leader's join begins it; everyone joins, and is assigned to."""
    leader.send_join()
    wait_for_state(leader.talk, leader.group, "PreparingRebalance")
    for one in followers:
        one.send_join()
    for one in (leader,) + followers:
        one.joined()
    settle(leader, *followers)


def first_of(talk, version, group, **options):
    one = Member(talk, version, group, **options)
    one.begin_join()
    one.joined()
    settle(one)
    return one


def talk_of_two_members(talk, version):
    group = "two-%d" % version
    one, two = first_of(talk, version, group), Member(talk, version, group)
    two.begin_join()
    wait_for_state(talk, group, "PreparingRebalance", 2)
    one.heartbeat()
    one.commit(1)
    one.send_sync()
    one.synced()
    operators_look(talk, group)
    join(talk, version, group, protocols=protocols("range"), kind="other")
    commit(talk, 8, group, -1, "", 7)
    one.send_join()
    one.joined()
    two.joined()
    # The leader has to assign.
    two.heartbeat()
    two.commit(2)
    operators_look(talk, group)
    one.send_join()
    one.joined()
    two.send_join()
    two.joined()
    two.send_sync()
    one.send_sync((two.member, b"\0\1of two"))
    one.synced()
    two.synced()
    # Stable: the follower may ask again, unless it has changed.
    operators_look(talk, group)
    two.send_join()
    two.joined()
    one.commit(3)
    two.protocols = protocols("range", "roundrobin", metadata=OTHER)
    two.send_join()
    wait_for_state(talk, group, "PreparingRebalance")
    operators_look(talk, group)
    one.heartbeat()
    one.send_join()
    one.joined()
    two.joined()
    settle(one, two)
    operators_look(talk, group)
    rebalance(one, two)
    # A member that leaves ends what others wait for.
    one.send_join()
    wait_for_state(talk, group, "PreparingRebalance")
    two.send_join()
    one.joined()
    two.joined()
    two.send_sync()
    one.leave()
    two.synced()
    two.heartbeat()
    one.heartbeat()
    two.send_join()
    two.joined()
    two.leave()
    wait_for_state(talk, group, "Empty")
    talk.ask("DescribeGroups", 5, groups=[group, group])
    # An empty group takes any kind of members.
    other = Member(talk, version, group)
    other.begin_join(protocol_type="other", protocols=protocols("x"))
    other.joined()
    talk.ask("OffsetDelete", 0, group_id=group, topics=[
        {"name": "g", "partitions": [{"partition_index": 0}]}])
    other.leave()


def talk_of_pending_members(talk, version):
    """A member that was given an id and has not come back with it."""
    group = "pending-%d" % version
    one, two = first_of(talk, version, group), Member(talk, version, group)
    two.send_join()
    two.joined()
    two.heartbeat()
    two.send_sync()
    two.synced()
    two.commit(1)
    talk.ask("DescribeGroups", 5, groups=[group])
    if version >= 5:
        join(talk, version, group, member=two.member, instance="one")
    two.leave()
    two.leave()
    one.heartbeat()  # in Apache Kafka too, a pending member's leaving unsettles the group
    one.send_join()
    one.joined()
    one.leave()
    new = Member(talk, version, group)
    new.send_join()
    new.joined()
    talk.ask("DescribeGroups", 5, groups=[group])
    new.leave()
    talk.ask("DeleteGroups", 2, groups_names=[group, group, "no-such-group", "no-such-group"])


def talk_of_static_members(talk, version):
    group = "pair-%d" % version
    one, two = first_of(talk, version, group, instance="one"), Member(talk, version, group, "two")
    two.begin_join()
    wait_for_state(talk, group, "PreparingRebalance", 2)
    one.send_join()
    one.joined()
    two.joined()
    settle(one, two)
    # Stable: whoever comes back gets a new id, and what it had.
    for old in (one, two):
        again = Member(talk, version, group, old.instance)
        again.send_join()
        again.joined()
        old.heartbeat()
        old.commit(1)
        old.leave()
        old.send_sync()
        old.synced()
        again.heartbeat()
        again.commit(2)
        old.member = again.member
        old.send_sync()
        old.synced()
    # While the leader assigns.
    one.send_join()
    wait_for_state(talk, group, "PreparingRebalance")
    two.send_join()
    one.joined()
    two.joined()
    two.send_sync()
    again = Member(talk, version, group, "two")
    again.begin_join()
    two.synced()
    wait_for_state(talk, group, "PreparingRebalance")
    # While everyone joins.
    third = Member(talk, version, group, "two")
    third.begin_join()
    again.joined()
    one.heartbeat()
    one.send_join()
    one.joined()
    third.joined()
    settle(one, third)
    # With another choice of protocols.
    third.member = ""
    third.protocols = protocols("roundrobin")
    third.send_join()
    wait_for_state(talk, group, "PreparingRebalance")
    one.send_join()
    one.joined()
    third.joined()
    one.protocols = protocols("roundrobin")
    settle(one, third)
    talk.ask("DescribeGroups", 5, groups=[group])
    talk.ask_fitting("LeaveGroup", at_most(talk, "LeaveGroup", version), group_id=group, members=[
        {"member_id": third.member, "group_instance_id": "one", "reason": "none"},
        {"member_id": "", "group_instance_id": "one", "reason": "an operator's"},
        {"member_id": "", "group_instance_id": "one"},
        {"member_id": third.member, "group_instance_id": "two"},
        {"member_id": "", "group_instance_id": None}])
    wait_for_state(talk, group, "Empty")
    talk.ask("LeaveGroup", at_most(talk, "LeaveGroup", version), group_id=group, members=[])


def talk_of_many_offsets(talk):
    """Several topics, partitions and groups in one request."""
    def partitions(*offsets_of, metadata=""):
        return [{"partition_index": index, "committed_offset": offset,
                 "committed_leader_epoch": epoch, "committed_metadata": metadata}
                for index, offset, epoch in offsets_of]
    for version in range(2, talk.versions("OffsetCommit")[1] + 1):
        group = "offsets-%d" % version

        def topic(name, found, version=version):
            if version >= 10:
                return {"topic_id": talk.ids.get(name, bytes(16)), "partitions": found}
            return {"name": name, "partitions": found}
        talk.ask_fitting("OffsetCommit", version, group_id=group, member_id="", topics=[
            topic("g", partitions((0, 5, -1), (1, 6, 0), (7, 8, 0), (0, 9, 3))),
            topic("no-such", partitions((0, 1, 0))), topic("h", partitions((0, 2, 0)))],
            generation_id_or_member_epoch=-1, retention_time_ms=-1)
        talk.ask_fitting("OffsetCommit", version, group_id=group, member_id="stranger", topics=[
            topic("g", partitions((0, 5, 0), metadata="m" * 4097)),
            topic("h", partitions((0, 7, 0), metadata="\u00e4" * 4096)),
            topic("g", partitions((1, 7, 0), metadata=None))],
            generation_id_or_member_epoch=-2, retention_time_ms=3600000)
        talk.ask_fitting("OffsetCommit", version, group_id=group, member_id="", topics=[],
                         generation_id_or_member_epoch=-1)
        talk.ask_fitting("OffsetCommit", version, group_id=group, member_id="",
                         group_instance_id="one", generation_id_or_member_epoch=0,
                         topics=[topic("g", partitions((0, 1, 0)))])
    for version in range(1, talk.versions("OffsetFetch")[1] + 1):
        fetch_many(talk, version)
    talk.ask("OffsetDelete", 0, group_id="offsets-2", topics=[
        {"name": "g", "partitions": [{"partition_index": at} for at in (0, 1, 2, 0)]},
        {"name": "no-such", "partitions": [{"partition_index": 0}, {"partition_index": 1}]}])
    talk.ask("OffsetDelete", 0, group_id="offsets-2", topics=[])
    talk.ask("OffsetDelete", 0, group_id="no-such-group", topics=[])
    offsets(talk, 7, "offsets-2", everything=True)
    talk.ask("OffsetDelete", 0, group_id="offsets-2", topics=[
        {"name": "h", "partitions": [{"partition_index": 0}]}])
    talk.ask("DescribeGroups", 6, groups=["offsets-2"])  # without offsets it is there all the same
    talk.ask("DeleteGroups", 2, groups_names=["offsets-2", "offsets-3", "offsets-2", "", ""])


def fetch_many(talk, version):
    def topic(name, *indexes):
        key = "topic_id" if version >= 10 else "name"
        return {key: talk.ids.get(name, bytes(16)) if version >= 10 else name,
                "partition_indexes": list(indexes)}
    asked = [topic("h", 0, 5), topic("g", 1, 0, 0), topic("no-such", 1, -1), topic("g")]
    for stable in (False, True):
        if version < 8:
            for topics in (asked, []):
                talk.ask_fitting("OffsetFetch", version, group_id="offsets-3", topics=topics,
                                 require_stable=stable)
        else:
            talk.ask_fitting("OffsetFetch", version, require_stable=stable, groups=[
                {"group_id": "offsets-3", "topics": asked},
                {"group_id": "offsets-4", "topics": None},
                {"group_id": "offsets-5", "topics": []},
                {"group_id": "no-such-group", "topics": asked},
                {"group_id": "no-such-group-2", "topics": None}])
            talk.ask_fitting("OffsetFetch", version, require_stable=stable, groups=[])


def talk_of_refusals(talk, version):
    """What is refused, but is heard of."""
    group = "refused-%d" % version
    talk.ask("DescribeGroups", 6, groups=[group])
    join(talk, version, group, kind="")
    wait_for_state(talk, group, "Empty")
    join(talk, version, group, protocols=[])
    join(talk, version, group, kind="", member="stranger")
    join(talk, version, group, member="stranger")
    for found in (group, "no-such-group", ""):
        for member in ("", "stranger"):
            heartbeat(talk, at_most(talk, "Heartbeat", version), found, 0, member)
            leave(talk, at_most(talk, "LeaveGroup", version), found, member)
        for asked in ({}, {"protocol_type": "consumer"},
                      {"protocol_type": "consumer", "protocol_name": "range"}):
            sync(talk, at_most(talk, "SyncGroup", version), found, 0, "stranger", **asked)
    if version >= 5:
        join(talk, version, group, instance="one", protocols=protocols(""))
        join(talk, version, group, instance="two", protocols=protocols("range"))
    talk.ask("DescribeGroups", 6, groups=[group])


def talk_of_deleted_topics(talk):
    """What was committed goes with its topic, and does not come back with its name."""
    def committed():
        answer = talk.quietly("OffsetFetch", 8, groups=[{"group_id": "left", "topics": None}])
        return [topic["name"] for topic in answer["groups"][0]["topics"]]
    for again in (False, True):
        talk.make_topic("short-lived", partitions=2)
        offsets(talk, 8, "left", topic="short-lived")
        for topic, partition in (("short-lived", 0), ("short-lived", 1), ("g", 0)):
            commit(talk, 9, "left", -1, "", 5, topic=topic, partition=partition)
        talk.quietly("DeleteTopics", 4, topic_names=["short-lived"], timeout_ms=10000)
        deadline = time.monotonic() + 20
        while "short-lived" in committed():
            assert time.monotonic() < deadline, "the offsets stay"
            time.sleep(0.05)
        for version in (5, 8, 10):
            offsets(talk, version, "left", topic="short-lived")
            offsets(talk, version, "left", everything=True)
        commit(talk, 9, "left", -1, "", 6, topic="short-lived")
        commit(talk, 10, "left", -1, "", 6, topic="short-lived")


def talk_of_members(talk):
    talk.make_topic("h")
    for version in (0, 5, 9):
        talk_of_refusals(talk, version)
        talk_of_two_members(talk, version)
    for version in (4, 9):
        talk_of_pending_members(talk, version)
    for version in (5, 9):
        talk_of_static_members(talk, version)
    talk_of_many_offsets(talk)
    talk_of_deleted_topics(talk)
