"""Goal: dataplane/kafka/wire/schema.txt says of every message what Apache Kafka 4.3.1 says.

Method: reads the message definitions (common/message/*.json) inside the kafka-clients jar and
compares every field of every API's request and response: order, name, type, versions, nullable
versions, default, tag; and the versions of the messages, which are those that are advertised.
Names are compared as Kafka's in lower case with underscores. Usage: schema_check.py JAR HOST PORT
(a Millrace broker, whose advertised APIs are the served ones) [HOST PORT of an Apache Kafka].
"""

import json
import re
import sys
import zipfile

import schema
from wire import Connection

# Kafka advertises Produce from 0, and closes the connection on 0 to 2.
ADVERTISED_MORE = {"Produce": 0}


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def definitions(jar):
    found = {}
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if not re.match(r"common/message/\w+\.json$", name):
                continue
            text = archive.read(name).decode()
            text = re.sub(r"^\s*//.*$", "", text, flags=re.M)
            text = re.sub(r"([\[{,])\s*//[^\n]*", r"\1", text)
            message = json.loads(text)
            found[message["name"]] = message
    return found


def meet(a, b):
    """The versions in both; None where there is none."""
    first, last = max(a[0], b[0]), min(a[1], b[1])
    return (first, last) if first <= last else None


def versions_of(text, otherwise):
    if text is None or text == "none":
        return None if text == "none" else otherwise
    return schema.versions_of(text)


class Check:
    def __init__(self):
        self.faults = []
        self.fields = 0

    def same(self, where, what, expected, found):
        if expected != found:
            self.faults.append("%s: %s is %r in Kafka, %r in the schema" % (
                where, what, expected, found))

    def fields_of(self, where, theirs, ours, structs, valid, flexible):
        """`valid`: the versions of the struct that are compared."""
        known = []
        for field in theirs:
            versions = versions_of(field.get("versions"), (0, schema.LAST))
            versions = meet(versions, valid) if versions else None
            if versions:
                known.append((field, versions))
        self.same(where, "the list of fields", [snake(f["name"]) for f, _ in known],
                  [f.name for f in ours])
        if len(known) != len(ours):
            return
        for (field, versions), our in zip(known, ours):
            self.field("%s.%s" % (where, field["name"]), field, versions, our, structs, valid,
                       flexible)

    def field(self, where, field, versions, our, structs, valid, flexible):
        self.fields += 1
        kind, array = field["type"], field["type"].startswith("[]")
        kind = kind[2:] if array else kind
        self.same(where, "array", array, our.array)
        self.same(where, "versions", versions, meet(our.versions, valid))
        nullable = versions_of(field.get("nullableVersions"), None)
        self.same(where, "nullable versions", nullable and meet(nullable, versions),
                  our.nullable and meet(our.nullable, versions))
        self.same(where, "tag", field.get("tag"), our.tag)
        fixed = versions_of(field.get("flexibleVersions"), (0, 0))
        self.same(where, "inflexible", fixed is None, our.inflexible)
        inner = field.get("fields", structs.get(kind))
        if inner is None:
            self.same(where, "type", kind, our.type)
            self.default(where, field, kind, array, our)
            return
        self.same(where, "a struct", True, our.is_struct())
        if field.get("default") == "null":
            self.same(where, "default", "null", our.default)
        self.fields_of(where, inner, our.fields, structs, versions, flexible)

    def default(self, where, field, kind, array, our):
        text = field.get("default")
        if array or kind in ("string", "bytes", "records"):
            theirs = None if text == "null" else ([] if array else text or "")
            if kind == "bytes" or kind == "records":
                theirs = theirs if theirs is None else b""
            found = our.initial()
            if kind == "records" and our.default is None:
                found = theirs  # records that are left out have no default on either side
            self.same(where, "default", theirs, found)
        elif kind == "bool":
            self.same(where, "default", text in ("true", True), our.initial())
        elif kind == "float64":
            self.same(where, "default", float(text or 0), our.initial())
        elif kind != "uuid":
            self.same(where, "default", int(str(text or "0"), 0), our.initial())


def check_message(check, message, api, ours):
    valid = meet(schema.versions_of(message["validVersions"]), api.versions)
    name = message["name"]
    if valid != api.versions:
        check.faults.append("%s: has %s in Kafka, served are %s" % (
            name, message["validVersions"], api.versions))
        return
    flexible = versions_of(message.get("flexibleVersions"), None)
    check.same(name, "first flexible version",
               max(flexible[0], valid[0]) if flexible else schema.LAST + 1, api.flexible)
    structs = {one["name"]: one["fields"] for one in message.get("commonStructs", [])}
    collect(message["fields"], structs)
    check.fields_of(name, message["fields"], ours.fields, structs, valid, flexible)


def collect(fields, structs):
    """Structs that are defined where they are used first."""
    for field in fields:
        if "fields" in field:
            structs.setdefault(field["type"].replace("[]", ""), field["fields"])
            collect(field["fields"], structs)


def advertised(host, port):
    with Connection((host, int(port))) as connection:
        answer = schema.ask(connection, "ApiVersions", 3, client_software_name="check",
                            client_software_version="1")
    return {one["api_key"]: (one["min_version"], one["max_version"])
            for one in answer["api_keys"]}


def main():
    check = Check()
    messages = definitions(sys.argv[1])
    by_key = {}
    for message in messages.values():
        if message["type"] in ("request", "response"):
            by_key[(message["apiKey"], message["type"])] = message
    served = advertised(*sys.argv[2:4])
    for key, versions in sorted(served.items()):
        api = schema.APIS[key]
        check.same(api.name, "advertised", (ADVERTISED_MORE.get(api.name, api.versions[0]),
                                            api.versions[1]), versions)
    for key, api in sorted(schema.APIS.items()):
        check_message(check, by_key[(key, "request")], api, api.request)
        check_message(check, by_key[(key, "response")], api, api.response)
    if len(sys.argv) > 4:
        theirs = advertised(*sys.argv[4:6])
        for key, versions in sorted(served.items()):
            check.same(schema.APIS[key].name, "advertised", theirs.get(key), versions)
        print("Apache Kafka advertises too: %s" % ", ".join(
            schema.APIS[key].name if key in schema.APIS else str(key)
            for key in sorted(set(theirs) - set(served))))
    for fault in check.faults:
        print(fault)
    print("%d APIs, %d fields, %d faults" % (len(schema.APIS), check.fields, len(check.faults)))
    return 1 if check.faults or not check.fields else 0


if __name__ == "__main__":
    sys.exit(main())
