"""The part of the conversation about consumer groups: every state of a group, in every version."""

# A subscription to topic "g", as consumers write it: Apache Kafka's coordinator never answers a
# consumer's JoinGroup whose metadata it cannot read.
SUBSCRIPTION = b"\0\0\0\0\0\1\0\1g\xff\xff\xff\xff"
PROTOCOLS = [{"name": name, "metadata": SUBSCRIPTION} for name in ("range", "roundrobin")]


def at_most(talk, name, version):
    first, last = talk.versions(name)
    return max(first, min(version, last))


def join(talk, version, group, member="", protocols=None, session_ms=10000, kind="consumer",
         instance=None):
    values = {"group_id": group, "session_timeout_ms": session_ms, "rebalance_timeout_ms": 10000,
              "member_id": member, "group_instance_id": instance, "protocol_type": kind,
              "protocols": PROTOCOLS if protocols is None else protocols}
    return talk.ask_fitting("JoinGroup", version, **values)


def member_of(talk, version, group, **options):
    """Joins; from version 4 on with the id that the first answer gives."""
    answer = join(talk, version, group, **options)
    if answer["error_code"] == 79:
        answer = join(talk, version, group, member=answer["member_id"], **options)
    return answer


def sync(talk, version, group, generation, member, assignments=(), **more):
    return talk.ask_fitting("SyncGroup", version, group_id=group, generation_id=generation,
                            member_id=member, assignments=[
                                {"member_id": one, "assignment": data}
                                for one, data in assignments], **more)


def heartbeat(talk, version, group, generation, member, **more):
    talk.ask_fitting("Heartbeat", version, group_id=group, generation_id=generation,
                     member_id=member, **more)


def leave(talk, version, group, *members):
    if version < 3:
        talk.ask("LeaveGroup", version, group_id=group, member_id=members[0])
    else:
        talk.ask("LeaveGroup", version, group_id=group,
                 members=[{"member_id": member} for member in members])


def commit(talk, version, group, generation, member, offset, topic="g", partition=0, **more):
    one = {"partitions": [{"partition_index": partition, "committed_offset": offset,
                           "committed_leader_epoch": 0, "committed_metadata": "about %d" % offset}]}
    if version >= 10:
        one["topic_id"] = talk.ids.get(topic, bytes(range(16)))
    else:
        one["name"] = topic
    talk.ask_fitting("OffsetCommit", version, group_id=group,
                     generation_id_or_member_epoch=generation, member_id=member, topics=[one],
                     **more)


def offsets(talk, version, group, topic="g", partitions=(0, 1), everything=False, **more):
    one = {"partition_indexes": list(partitions)}
    if version >= 10:
        one["topic_id"] = talk.ids.get(topic, bytes(range(16)))
    else:
        one["name"] = topic
    topics = None if everything else [one]
    if version >= 8:
        talk.ask_fitting("OffsetFetch", version, groups=[dict({"group_id": group,
                                                               "topics": topics}, **more)])
    elif not (everything and version < 2):
        talk.ask_fitting("OffsetFetch", version, group_id=group, topics=topics)


def talk_of_coordinators(talk):
    for version in range(*plus_one(talk.versions("FindCoordinator"))):
        for key, kind in (("first", 0), ("", 0), ("tx", 1), ("x", 9)):
            if version < 4:
                talk.ask_fitting("FindCoordinator", version, key=key, key_type=kind)
            else:
                talk.ask_fitting("FindCoordinator", version, coordinator_keys=[key], key_type=kind)
        if version >= 4:
            talk.ask("FindCoordinator", version, coordinator_keys=[], key_type=0)
            talk.ask("FindCoordinator", version, coordinator_keys=["a", "b"], key_type=0)


def plus_one(versions):
    return versions[0], versions[1] + 1


def talk_of_a_group(talk, version):
    """One member: joins, gets its assignment, lives, commits and leaves."""
    group = "group-%d" % version
    syncs, beats, leaves = (at_most(talk, name, version) for name in (
        "SyncGroup", "Heartbeat", "LeaveGroup"))
    join(talk, version, "")
    join(talk, version, group, session_ms=10)
    join(talk, version, group, session_ms=10000000)
    join(talk, version, group, member="no-such-member")
    join(talk, version, group, protocols=[])
    answer = member_of(talk, version, group)
    member, generation = answer["member_id"], answer["generation_id"]
    heartbeat(talk, beats, group, generation, member)  # no assignment yet
    sync(talk, syncs, group, generation + 1, member)
    sync(talk, syncs, group, generation, "no-such-member")
    sync(talk, syncs, "no-such-group", 1, member)
    if syncs >= 5:
        sync(talk, syncs, group, generation, member, protocol_type="other", protocol_name="range")
        sync(talk, syncs, group, generation, member, protocol_type="consumer",
             protocol_name="other")
    sync(talk, syncs, group, generation, member, [(member, b"\0\1assigned")],
         protocol_type="consumer", protocol_name="range")
    sync(talk, syncs, group, generation, member, protocol_type="consumer", protocol_name="range")
    heartbeat(talk, beats, group, generation, member)
    heartbeat(talk, beats, group, generation + 1, member)
    heartbeat(talk, beats, group, generation, "no-such-member")
    heartbeat(talk, beats, "no-such-group", generation, member)
    heartbeat(talk, beats, "", generation, member)
    join(talk, version, group, member=member, kind="other")
    join(talk, version, group, protocols=[{"name": "unknown", "metadata": SUBSCRIPTION}])
    talk_of_offsets_of(talk, max(2, min(10, version + 1)), group, generation, member)
    describe(talk, group)
    talk.every("DeleteGroups", groups_names=[group])  # not empty
    leave(talk, leaves, group, "no-such-member")
    leave(talk, leaves, "no-such-group", member)
    if leaves >= 3:
        leave(talk, leaves, group)
        leave(talk, leaves, group, "no-such-member", member)
    else:
        leave(talk, leaves, group, member)
    heartbeat(talk, beats, group, generation, member)


def talk_of_offsets_of(talk, version, group, generation, member):
    commit(talk, version, group, generation, member, 5)
    commit(talk, version, group, generation, member, 6, partition=1)
    commit(talk, version, group, generation + 1, member, 7)
    commit(talk, version, group, generation, "no-such-member", 7)
    commit(talk, version, group, -1, "", 7)
    commit(talk, version, group, generation, member, 7, topic="no-such")
    commit(talk, version, group, generation, member, 7, partition=99)
    fetched = max(1, version)
    offsets(talk, fetched, group)
    offsets(talk, fetched, group, partitions=(0, 99))
    offsets(talk, fetched, group, topic="no-such", partitions=(0,))
    offsets(talk, fetched, group, everything=True)
    offsets(talk, fetched, "no-such-group")
    offsets(talk, fetched, "", everything=True)
    if fetched >= 9:
        offsets(talk, fetched, group, member_id=member, member_epoch=generation)
        offsets(talk, fetched, group, member_id=member, member_epoch=generation + 1)
        offsets(talk, fetched, group, member_id="no-such-member", member_epoch=generation)


def describe(talk, group):
    for name in (group, "no-such-group", ""):
        talk.every("DescribeGroups", groups=[name])
    talk.every("DescribeGroups", groups=[group], include_authorized_operations=True)


def talk_of_simple_groups(talk):
    """Offsets without members: of one that only commits."""
    for version in range(*plus_one(talk.versions("OffsetCommit"))):
        group = "simple-%d" % version
        commit(talk, version, group, -1, "", 3)
        commit(talk, version, group, 3, "", 4)
        commit(talk, version, group, 3, "member", 4)
        commit(talk, version, "", -1, "", 4)
        commit(talk, version, group, -1, "", -1, partition=1)
    for version in range(*plus_one(talk.versions("OffsetFetch"))):
        offsets(talk, version, "simple-2")
        offsets(talk, version, "simple-2", topic="no-such", partitions=(0,))
        offsets(talk, version, "", everything=True)
    for group, topic, partition in (("simple-2", "g", 0), ("simple-2", "g", 5),
                                    ("simple-2", "no-such", 0), ("no-such-group", "g", 0),
                                    ("", "g", 0)):
        talk.ask("OffsetDelete", 0, group_id=group, topics=[
            {"name": topic, "partitions": [{"partition_index": partition}]}])
    offsets(talk, 5, "simple-2")
    describe(talk, "simple-3")


def talk_of_static_members(talk):
    for version in range(5, talk.versions("JoinGroup")[1] + 1):
        group = "static-%d" % version
        answer = member_of(talk, version, group, instance="one")
        member, generation = answer["member_id"], answer["generation_id"]
        sync(talk, at_most(talk, "SyncGroup", version), group, generation, member,
             [(member, b"a")], group_instance_id="one", protocol_type="consumer",
             protocol_name="range")
        beats = at_most(talk, "Heartbeat", version)
        heartbeat(talk, beats, group, generation, member, group_instance_id="one")
        heartbeat(talk, beats, group, generation, member, group_instance_id="two")
        heartbeat(talk, beats, group, generation, "other", group_instance_id="one")
        join(talk, version, group, member="other", instance="one")
        again = join(talk, version, group, instance="one")
        heartbeat(talk, beats, group, again["generation_id"], member, group_instance_id="one")
        heartbeat(talk, beats, group, again["generation_id"], again["member_id"],
                  group_instance_id="one")
        talk.every("DescribeGroups", groups=[group])
        talk.ask("LeaveGroup", at_most(talk, "LeaveGroup", version), group_id=group, members=[
            {"member_id": "", "group_instance_id": "two"},
            {"member_id": "other", "group_instance_id": "one"},
            {"member_id": "", "group_instance_id": "one"}])


def talk_of_many_groups(talk):
    talk.every("ListGroups")
    for states in (["Empty"], ["Stable"], ["Dead"], ["stable", "empty"], ["NoSuch"], [""]):
        for version in (4, 5):
            talk.ask("ListGroups", version, states_filter=states)
    for kinds in (["classic"], ["Classic"], ["consumer"], ["nosuch"], [""]):
        talk.ask("ListGroups", 5, types_filter=kinds)
    for version in range(*plus_one(talk.versions("DeleteGroups"))):
        talk.ask("DeleteGroups", version, groups_names=["simple-%d" % (version + 2)])
        talk.ask("DeleteGroups", version, groups_names=["no-such-group"])
        talk.ask("DeleteGroups", version, groups_names=[""])
        talk.ask("DeleteGroups", version, groups_names=["simple-%d" % (version + 5),
                                                        "no-such-group"])
        talk.ask("DeleteGroups", version, groups_names=[])
    talk.every("ListGroups")


def talk_of_groups(talk):
    talk.make_topic("g", partitions=2)
    talk.coordinator("group-0")
    talk_of_coordinators(talk)
    for version in range(*plus_one(talk.versions("JoinGroup"))):
        talk_of_a_group(talk, version)
    talk_of_simple_groups(talk)
    talk_of_static_members(talk)
    talk_of_many_groups(talk)
