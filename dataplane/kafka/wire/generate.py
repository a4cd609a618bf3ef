#!/usr/bin/env python3
"""Turns schema.txt into messages.h (C structs) and messages.c (descriptor tables).

usage: generate.py SCHEMA OUTPUT_FOLDER

The notation is explained at the head of schema.txt. What the codec relies on is checked here, so
that it need not be checked at run time: nesting is bounded, tagged fields hold no tagged fields,
no array element is empty on the wire.
"""
import os
import re
import sys

PRIMITIVES = {
    # name: (C type, kind, size on the wire in fixed and in flexible versions)
    "bool": ("bool", "BOOL", 1, 1),
    "int8": ("int8_t", "INT8", 1, 1),
    "int16": ("int16_t", "INT16", 2, 2),
    "int32": ("int32_t", "INT32", 4, 4),
    "int64": ("int64_t", "INT64", 8, 8),
    "uint16": ("uint16_t", "UINT16", 2, 2),
    "uint32": ("uint32_t", "UINT32", 4, 4),
    "float64": ("double", "FLOAT64", 8, 8),
    "uuid": ("struct mr_uuid", "UUID", 16, 16),
    "string": ("struct mr_str", "STRING", 2, 1),
    "bytes": ("struct mr_bytes", "BYTES", 4, 1),
    "records": ("struct mr_wire_records", "RECORDS", 4, 1),
}
LENGTHY = ("string", "bytes", "records")
DEPTH_MAX = 8  # MR_WIRE_DEPTH_MAX in types.h
VERSION_NEVER = (1, 0)


def fail(line_number, text):
    sys.exit(f"schema.txt:{line_number}: {text}")


def snake(name):
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


class Struct:
    def __init__(self, message, name, c_name):
        self.message = message
        self.name = name
        self.c_name = c_name
        self.fields = []

    def untagged(self):
        return [f for f in self.fields if f.tag is None]

    def tagged(self):
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)

    def size_min(self, version):
        """The fewest bytes an instance takes on the wire."""
        total = 1 if self.message.flexible(version) else 0
        for field in self.untagged():
            if field.versions[0] <= version <= field.versions[1]:
                total += field.size_min(version)
        return total

    def depth(self):
        return 1 + max([f.struct.depth() for f in self.fields if f.struct], default=0)


class Field:
    def __init__(self):
        self.tag = None
        self.inflexible = False
        self.nullable = VERSION_NEVER
        self.default = None
        self.struct = None
        self.array = False

    def size_min(self, version):
        flexible = self.struct_of.message.flexible(version) and not self.inflexible
        if self.array:
            return 1 if flexible else 4
        if self.struct:
            nullable = self.nullable[0] <= version <= self.nullable[1]
            return 1 if nullable else self.struct.size_min(version)
        return PRIMITIVES[self.type][3 if flexible else 2]

    def pointer(self):
        """A nullable struct is held by pointer."""
        return self.struct is not None and not self.array and self.nullable != VERSION_NEVER


class Message:
    def __init__(self, name, key, versions, flexible_min):
        self.name = name
        self.key = key
        self.versions = versions
        self.flexible_min = flexible_min
        self.c_name = "mr_" + snake(name)
        self.root = Struct(self, name, self.c_name)
        self.structs = [self.root]  # in the order of their first use

    def flexible(self, version):
        return version >= self.flexible_min

    def ordered(self):
        """Every struct after those it holds, as C wants them."""
        result = []
        waiting = list(self.structs)
        while waiting:
            for struct in waiting:
                if all(f.struct is None or f.struct in result for f in struct.fields):
                    result.append(struct)
                    waiting.remove(struct)
                    break
            else:
                sys.exit(f"schema.txt: the structs of {self.name} hold each other")
        return result


class Api:
    def __init__(self, name, key, versions, flexible_min):
        self.name, self.key = name, key
        self.versions, self.flexible_min = versions, flexible_min
        self.request = self.response = None


def parse_versions(text, whole):
    if text.endswith("+"):
        return (int(text[:-1]), whole[1])
    low, _, high = text.partition("-")
    return (int(low), int(high or low))


def parse_head(words, line_number):
    """`versions A-B [flexible C+]` at the end of a head line."""
    if len(words) not in (2, 4) or words[0] != "versions":
        fail(line_number, "expected: versions MIN-MAX [flexible MIN+]")
    versions = parse_versions(words[1], None)
    flexible_min = 32767
    if len(words) == 4:
        if words[2] != "flexible":
            fail(line_number, "expected: flexible MIN+")
        flexible_min = int(words[3].rstrip("+"))
    return versions, flexible_min


def parse_field(words, line_number, parent):
    message = parent.message
    field = Field()
    field.struct_of = parent
    field.line_number = line_number
    field.name = words[0]
    field.array = words[1].startswith("[]")
    field.type = words[1].removeprefix("[]")
    field.versions = message.versions
    at = 2
    if at < len(words) and words[at][0].isdigit():
        field.versions = parse_versions(words[at], message.versions)
        at += 1
    while at < len(words):
        word = words[at]
        at += 1
        if word == "nullable":
            field.nullable = field.versions
            if at < len(words) and words[at][0].isdigit():
                field.nullable = parse_versions(words[at], field.versions)
                at += 1
        elif word == "tag":
            field.tag = int(words[at])
            at += 1
        elif word == "inflexible":
            field.inflexible = True
        elif word == "default":
            field.default = words[at]
            at += 1
        else:
            fail(line_number, f"unknown word {word}")
    return field


def resolve_struct(field):
    """Finds or opens the struct a field names; True when its fields follow."""
    message = field.struct_of.message
    for struct in message.structs:
        if struct.name == field.type and struct is not message.root:
            field.struct = struct
            return False
    field.struct = Struct(message, field.type, f"{message.c_name}_{field.type}")
    message.structs.append(field.struct)
    return True


def parse(path):
    apis, messages = [], []
    stack = []  # (indentation of the fields, struct)
    with open(path, encoding="utf-8") as schema:
        for line_number, line in enumerate(schema, 1):
            line = line.split("#")[0].rstrip()
            words = line.split()
            if not words:
                continue
            indentation = len(line) - len(line.lstrip())
            if words[0] == "api" and indentation == 0:
                versions, flexible_min = parse_head(words[3:], line_number)
                apis.append(Api(words[2], int(words[1]), versions, flexible_min))
                continue
            if words[0] == "data" and indentation == 0:
                message = Message(words[1], -1, *parse_head(words[2:], line_number))
                messages.append(message)
                stack = [(2, message.root)]
                continue
            if indentation == 2 and words in (["request"], ["response"]):
                api = apis[-1]
                message = Message(api.name + words[0].capitalize(), api.key, api.versions,
                                  api.flexible_min)
                setattr(api, words[0], message)
                messages.append(message)
                stack = [(4, message.root)]
                continue
            while stack and stack[-1][0] > indentation:
                stack.pop()
            if not stack or stack[-1][0] != indentation or len(words) < 2:
                fail(line_number, "bad indentation or a field without a type")
            field = parse_field(words, line_number, stack[-1][1])
            stack[-1][1].fields.append(field)
            if field.type not in PRIMITIVES and resolve_struct(field):
                stack.append((indentation + 2, field.struct))
    return apis, messages


def check(messages):
    names = set()
    for message in messages:
        for struct in message.structs:
            if struct.c_name in names:
                sys.exit(f"schema.txt: two structs are named {struct.c_name}")
            names.add(struct.c_name)
            check_struct(message, struct)
        if message.root.depth() > DEPTH_MAX:
            sys.exit(f"schema.txt: {message.name} nests deeper than {DEPTH_MAX}")


def check_struct(message, struct):
    if not struct.fields and struct is not message.root:
        sys.exit(f"schema.txt: {struct.c_name} has no fields")
    tags = [f.tag for f in struct.tagged()]
    if len(tags) != len(set(tags)):
        sys.exit(f"schema.txt: {struct.c_name} uses a tag twice")
    for field in struct.fields:
        if field.versions[0] > field.versions[1]:
            fail(field.line_number, "no version has this field")
        if field.tag is not None:
            check_tagged(message, field)
        if field.pointer() and field.default != "null" and field.nullable != field.versions:
            fail(field.line_number, "a nullable struct is so in all versions")
        for version in range(field.versions[0], field.versions[1] + 1):
            if field.array and field.struct and field.struct.size_min(version) == 0:
                fail(field.line_number, f"an element is empty in version {version}")


def check_tagged(message, field):
    """Encoding measures a tagged value without looking for tags inside it."""
    if field.versions[0] < message.flexible_min:
        fail(field.line_number, "tagged in a version that is not flexible")
    if field.default not in (None, "null") and field.type in LENGTHY:
        fail(field.line_number, "a tagged field of this type has no such default")
    if not field.struct:
        return
    for inner in field.struct.fields:
        if inner.tag is not None:
            fail(field.line_number, "a tagged struct holds a tagged field")
        if inner.struct or inner.array or (not field.array and inner.type in LENGTHY):
            fail(field.line_number, "a tagged struct holds more than plain fields")


def c_type(field):
    if field.struct:
        return f"struct {field.struct.c_name}"
    return PRIMITIVES[field.type][0]


def member(field):
    if field.array:
        return [f"{c_type(field)} *{field.name};", f"int32_t {field.name}_count;"]
    star = "*" if field.pointer() else ""
    return [f"{c_type(field)} {star}{field.name};"]


def integer(text, kind):
    if kind == "int64":
        return f"INT64_C({text})" if text != str(-2**63) else "INT64_MIN"
    return "INT32_MIN" if text == str(-2**31) else text


def default_members(struct):
    """The designated initialisers of the members whose default is not zero."""
    result = []
    for field in struct.fields:
        if field.array:
            if field.default == "null":
                result.append(f".{field.name}_count = -1")
        elif field.struct:
            inner = [] if field.pointer() else default_members(field.struct)
            if inner:
                result.append(f".{field.name} = {{{', '.join(inner)}}}")
        elif field.type in LENGTHY:
            if field.default == "null" or field.type == "records":
                result.append(f".{field.name}.size = -1")
        elif field.default is not None:
            result.append(f".{field.name} = {integer(field.default, field.type)}")
    return result


def field_row(field):
    struct = field.struct_of
    kind = "STRUCT" if field.struct else PRIMITIVES[field.type][1]
    count_offset = (f"offsetof(struct {struct.c_name}, {field.name}_count)"
                    if field.array else "0")
    inner = f"&{field.struct.c_name}_struct" if field.struct else "NULL"
    return (f'    {{"{field.name}", {inner}, MR_WIRE_{kind}, '
            f"{int(field.array)}, {int(field.pointer())}, {int(field.inflexible)}, "
            f"{field.versions[0]}, {field.versions[1]}, "
            f"{field.nullable[0]}, {field.nullable[1]}, "
            f"{-1 if field.tag is None else field.tag}, "
            f"offsetof(struct {struct.c_name}, {field.name}), {count_offset}}},")


def emit_header(apis, messages):
    out = ["/* Generated from schema.txt by generate.py: the Kafka messages as C structs. */",
           "#ifndef MR_KAFKA_WIRE_MESSAGES_H", "#define MR_KAFKA_WIRE_MESSAGES_H", "",
           '#include "dataplane/kafka/wire/types.h"', "", "enum mr_wire_api_key {"]
    out += [f"    MR_API_{snake(api.name).upper()} = {api.key}," for api in apis]
    out += ["};", "", f"#define MR_WIRE_API_COUNT {len(apis)}",
            f"#define MR_WIRE_MESSAGE_COUNT {len(messages)}", ""]
    for message in messages:
        low, high = message.versions
        out.append(f"/* {message.name}, versions {low} to {high} */")
        for struct in message.ordered():
            out.append(f"struct {struct.c_name} {{")
            for field in struct.fields:
                out += [f"    {line}" for line in member(field)]
            if not struct.fields:
                out.append("    char empty; /* The message has no fields. */")
            out += ["};", ""]
        out += [f"extern const struct mr_wire_message {message.c_name}_message;", ""]
    out += ["#endif", ""]
    return "\n".join(out)


def emit_struct(message, struct):
    fields = struct.untagged() + struct.tagged()
    low, high = message.versions
    sizes = ", ".join(str(struct.size_min(v)) for v in range(low, high + 1))
    defaults = ", ".join(default_members(struct)) or "0"
    name = struct.c_name
    out = [f"static const struct {name} {name}_default = {{{defaults}}};",
           f"static const uint16_t {name}_size_min[] = {{{sizes}}};"]
    if fields:
        out.append(f"static const struct mr_wire_field {name}_fields[] = {{")
        out += [field_row(field) for field in fields]
        out.append("};")
    out += [f"static const struct mr_wire_struct {name}_struct = {{",
            f'    "{name}", {f"{name}_fields" if fields else "NULL"}, {len(struct.untagged())}, '
            f"{len(struct.tagged())}, sizeof(struct {name}), {low}, &{name}_default, "
            f"{name}_size_min}};", ""]
    return out


def emit_source(apis, messages):
    out = ["/* Generated from schema.txt by generate.py: what the codec walks. */",
           '#include "dataplane/kafka/wire/messages.h"', "", "#include <stddef.h>", "",
           '#include "dataplane/kafka/wire/tables.h"', ""]
    for message in messages:
        for struct in message.ordered():
            out += emit_struct(message, struct)
        low, high = message.versions
        out += [f"const struct mr_wire_message {message.c_name}_message = {{",
                f'    "{message.name}", {message.key}, {low}, {high}, {message.flexible_min}, '
                f"&{message.c_name}_struct}};", ""]
    out.append("const struct mr_wire_api mr_wire_api_table[MR_WIRE_API_COUNT] = {")
    for api in apis:
        low, high = api.versions
        out.append(f'    {{{api.key}, "{api.name}", {low}, {high}, {api.flexible_min}, '
                   f"&{api.request.c_name}_message, &{api.response.c_name}_message}},")
    out += ["};", "",
            "const struct mr_wire_message *const mr_wire_message_table[MR_WIRE_MESSAGE_COUNT] = {"]
    out += [f"    &{message.c_name}_message," for message in messages]
    out += ["};", ""]
    return "\n".join(out)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    apis, messages = parse(sys.argv[1])
    check(messages)
    for name, text in (("messages.h", emit_header(apis, messages)),
                       ("messages.c", emit_source(apis, messages))):
        with open(os.path.join(sys.argv[2], name), "w", encoding="utf-8") as output:
            output.write(text)


if __name__ == "__main__":
    main()
