"""Goal: every topic and broker key that Apache Kafka 4.3.1 describes is described by Millrace with
Kafka's type, default, source and mode, and with a text of its own.

Method: DescribeConfigs of a topic and of the broker goes to both. What differs is listed with its
reason; an entry that explains nothing is a fault.

Usage: config_keys.py HOST PORT KAFKA-HOST KAFKA-PORT
"""

import sys
import time

import schema
from wire import Connection

DEFAULT = 5

# (key, field, reason)
DIFFERENCES = (
    ("advertised.listeners", "source", "Kafka's is set by this test"),
    ("controller.listener.names", "source", "Kafka's is set by this test"),
    ("controller.quorum.bootstrap.servers", "source", "Kafka's is set by this test"),
    ("listener.security.protocol.map", "source", "Kafka's is set by this test"),
    ("log.dirs", "default", "the folder beside the broker, so that it needs no set-up"),
    ("log.dir", "default", "log.dirs has the default"),
    ("listeners", "default", "loopback: there is no security yet"),
    ("max.connections", "default", "their memory is set aside"),
    ("broker.id", "source", "node.id has the number"),
    ("broker.id", "default", "node.id has the number"),
    ("node.id", "default", "1, so that a broker starts without being told"),
    ("node.id", "source", "Kafka's is set by this test"),
    ("offsets.topic.replication.factor", "source", "Kafka's is set by this test"),
    ("process.roles", "source", "Kafka's is set by this test"),
)


def described(host, port):
    """{(kind, key): description}"""
    connection = Connection((host, int(port)))
    schema.ask(connection, "CreateTopics", 7, timeout_ms=10000, topics=[
        {"name": "keys", "num_partitions": 1, "replication_factor": 1}])
    time.sleep(0.5)  # Kafka's broker hears of it from its controller
    answer = schema.ask(connection, "DescribeConfigs", 4, include_synonyms=True,
                        include_documentation=True, resources=[
                            {"resource_type": kind, "resource_name": name,
                             "configuration_keys": None} for kind, name in ((2, "keys"), (4, "1"))])
    found = {}
    for result in answer["results"]:
        assert result["error_code"] == 0, result
        for config in result["configs"]:
            found[result["resource_type"], config["name"]] = config
    return found


def fields_of(config):
    defaults = [one["value"] for one in config["synonyms"] if one["source"] == DEFAULT]
    if config["config_source"] == DEFAULT:
        defaults = [config["value"]]
    return {"type": config["config_type"], "source": config["config_source"],
            "sensitive": config["is_sensitive"], "read-only": config["read_only"],
            "default": defaults[-1] if defaults else None}


def main():
    ours, kafka = described(*sys.argv[1:3]), described(*sys.argv[3:5])
    used, faults = set(), 0

    def fault(key, field, what):
        nonlocal faults
        known = [one for one in DIFFERENCES if one[0] == key[1] and one[1] == field]
        used.update(known)
        if not known:
            faults += 1
            print("%s: %s: %s" % (key[1], field, what))
    for key, config in sorted(kafka.items()):
        if key not in ours:
            fault(key, "missing", "Kafka describes it")
            continue
        expected, found = fields_of(config), fields_of(ours[key])
        for field in expected:
            if expected[field] != found[field]:
                fault(key, field, "Kafka says %r, Millrace %r" % (expected[field], found[field]))
        text = ours[key]["documentation"]
        if not text or text == config["documentation"]:
            fault(key, "documentation", "no text of its own: %r" % text)
    extra = sorted(key[1] for key in ours if key not in kafka)
    for one in DIFFERENCES:
        if one not in used:
            faults += 1
            print("explains nothing: %s" % (one,))
    print("%d keys of Kafka's, %d of Millrace's own (%s), %d known differences, %d faults" % (
        len(kafka), len(extra), ", ".join(extra), len(DIFFERENCES), faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
