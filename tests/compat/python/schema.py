"""Any message of dataplane/kafka/wire/schema.txt as a dictionary: encoding and decoding by the
same text that the broker's codec is generated from. That text itself is compared with Kafka's own
definitions by schema_check.py."""

import os
import re
import struct

from wire import Reader, Writer

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3,
                      "dataplane", "kafka", "wire", "schema.txt")
NUMBERS = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint16": "H", "uint32": "I",
           "float64": "d"}
LAST = 1 << 15


def versions_of(text):
    """(first, last) of "4+", "4-7" or "4"."""
    if text.endswith("+"):
        return int(text[:-1]), LAST
    first, _, last = text.partition("-")
    return int(first), int(last or first)


class Field:
    def __init__(self, words, versions):
        self.name = words[0]
        self.array = words[1].startswith("[]")
        self.type = words[1][2:] if self.array else words[1]
        self.versions, self.nullable, self.tag, self.default = versions, None, None, None
        self.inflexible = False
        self.fields = []
        words = words[2:]
        if words and re.match(r"^\d", words[0]):
            self.versions = versions_of(words.pop(0))
        while words:
            word = words.pop(0)
            if word == "nullable":
                self.nullable = self.versions
                if words and re.match(r"^\d", words[0]):
                    self.nullable = versions_of(words.pop(0))
            elif word == "tag":
                self.tag = int(words.pop(0))
            elif word == "default":
                self.default = words.pop(0)
            elif word == "inflexible":
                self.inflexible = True
            else:
                raise ValueError("%s: what is %s?" % (self.name, word))

    def has(self, version):
        return self.versions[0] <= version <= self.versions[1]

    def is_struct(self):
        return self.type not in NUMBERS and self.type not in (
            "bool", "uuid", "string", "bytes", "records")

    def initial(self):
        if self.default == "null" or (self.type == "records" and self.default is None):
            return None
        if self.array:
            return []
        if self.type == "string":
            return self.default or ""
        if self.type in ("bytes", "records"):
            return b""
        if self.type == "uuid":
            return bytes(16)
        if self.type == "bool":
            return self.default == "true"
        if self.type == "float64":
            return float(self.default or 0)
        if self.type in NUMBERS:
            return int(self.default or "0", 0)
        return {field.name: field.initial() for field in self.fields}


class Message:
    def __init__(self, versions):
        self.versions = versions
        self.fields = []


class Api:
    def __init__(self, key, name, versions, flexible):
        self.key, self.name, self.versions, self.flexible = key, name, versions, flexible
        self.request, self.response = Message(versions), Message(versions)


def _head(words):
    versions = versions_of(words[words.index("versions") + 1])
    flexible = LAST + 1
    if "flexible" in words:
        flexible = versions_of(words[words.index("flexible") + 1])[0]
    return versions, flexible


def parse(path=SCHEMA):
    """{key: Api}"""
    apis, owner, api, structs = {}, None, None, {}
    stack = []  # (indentation, list of fields that goes on there)
    with open(path, encoding="ascii") as lines:
        for line in lines:
            line = line.partition("#")[0].rstrip()
            if not line:
                continue
            depth = (len(line) - len(line.lstrip())) // 2
            words = line.split()
            if depth == 0:
                versions, flexible = _head(words)
                api = None
                if words[0] == "api":
                    api = apis[int(words[1])] = Api(int(words[1]), words[2], versions, flexible)
            elif api is None:
                continue
            elif depth == 1:
                owner = getattr(api, words[0])
                stack, structs = [(2, owner.fields)], {}
            else:
                while stack[-1][0] > depth:
                    stack.pop()
                field = Field(words, api.versions)
                stack[-1][1].append(field)
                if field.is_struct():
                    # A name belongs to the message: its fields stand below the first use.
                    field.fields = structs.setdefault(field.type, field.fields)
                    stack.append((depth + 1, field.fields))
    return apis


APIS = parse()
BY_NAME = {api.name: api for api in APIS.values()}


# ---- encoding -----------------------------------------------------------------------------------

def _put_value(out, field, value, version):
    if field.type == "string":
        out.string(value)
    elif field.type in ("bytes", "records"):
        out.bytes(value)
    elif field.type == "uuid":
        out.raw(value)
    elif field.type == "bool":
        out.i8(1 if value else 0)
    elif field.type in NUMBERS:
        out.number(NUMBERS[field.type], value)
    else:
        if field.nullable is not None and not field.array:
            out.i8(-1 if value is None else 1)
            if value is None:
                return
        _put_fields(out, field.fields, value, version)


def _put_field(out, field, value, version):
    flexible = out.flexible
    if field.inflexible:
        out.flexible = False
    if field.array:
        out.array(value, lambda w, one: _put_value(w, field, one, version))
    else:
        _put_value(out, field, value, version)
    out.flexible = flexible


def _put_fields(out, fields, values, version):
    unknown = set(values) - {field.name for field in fields}
    if unknown:
        raise ValueError("no such fields: %s" % ", ".join(sorted(unknown)))
    tagged = []
    for field in fields:
        if not field.has(version):
            continue
        value = values.get(field.name, field.initial())
        if field.tag is None:
            _put_field(out, field, value, version)
        elif value != field.initial():
            tagged.append((field.tag, field, value))
    if not out.flexible:
        return
    out.uvarint(len(tagged))
    for tag, field, value in sorted(tagged, key=lambda one: one[0]):
        inner = Writer(True)
        _put_field(inner, field, value, version)
        out.uvarint(tag).uvarint(len(inner.data)).raw(inner.data)


def encode(name, version, values):
    """The body of a request; fields that are left out have their defaults."""
    api = BY_NAME[name]
    out = Writer(version >= api.flexible)
    _put_fields(out, api.request.fields, values, version)
    return bytes(out.data)


# ---- decoding -----------------------------------------------------------------------------------

def _get_value(reader, field, version):
    if field.type == "string":
        return reader.string()
    if field.type in ("bytes", "records"):
        return reader.bytes()
    if field.type == "uuid":
        return reader.raw(16)
    if field.type == "bool":
        return reader.bool()
    if field.type in NUMBERS:
        return reader.number(NUMBERS[field.type])
    if field.nullable is not None and not field.array and reader.i8() < 0:
        return None
    return _get_fields(reader, field.fields, version)


def _get_field(reader, field, version):
    flexible = reader.flexible
    if field.inflexible:
        reader.flexible = False
    if field.array:
        value = reader.array(lambda r: _get_value(r, field, version))
    else:
        value = _get_value(reader, field, version)
    reader.flexible = flexible
    if value is None and not (field.nullable and
                              field.nullable[0] <= version <= field.nullable[1]):
        raise AssertionError("%s is null" % field.name)
    return value


def _get_fields(reader, fields, version):
    found = {field.name: field.initial() for field in fields if field.has(version)}
    for field in fields:
        if field.has(version) and field.tag is None:
            found[field.name] = _get_field(reader, field, version)
    tags = reader.tags()
    for field in fields:
        if field.has(version) and field.tag in tags:
            inner = Reader(tags.pop(field.tag), True)
            found[field.name] = _get_field(inner, field, version)
            inner.end()
    if tags:
        raise AssertionError("unknown tagged fields: %s" % sorted(tags))
    return found


def decode(name, version, data):
    api = BY_NAME[name]
    reader = Reader(data, version >= api.flexible)
    found = _get_fields(reader, api.response.fields, version)
    reader.end()
    return found


# ---- asking -------------------------------------------------------------------------------------

def send(connection, name, version, **values):
    api = BY_NAME[name]
    connection.send(api.key, version, encode(name, version, values),
                    header_flexible=version >= api.flexible)


def receive(connection, name, version):
    """The next answer, decoded."""
    api = BY_NAME[name]
    size = struct.unpack(">i", connection.exactly(4))[0]
    data = connection.exactly(size)
    expected = connection.waiting.pop(0)[0]
    found = struct.unpack(">i", data[:4])[0]
    assert found == expected, "answer to request %d came where %d was next" % (found, expected)
    reader = Reader(data[4:], version >= api.flexible)
    if api.name != "ApiVersions":
        reader.tags()
    return decode(name, version, reader.data[reader.at:])


def ask(connection, name, version, **values):
    send(connection, name, version, **values)
    return receive(connection, name, version)
