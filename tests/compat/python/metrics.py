"""What metrics.sh asks of a page of figures, and what it needs of a client for that.

metrics.py page PAGE README        the page agrees with the table of control/README.md
metrics.py commit HOST PORT TOPIC  groups with odd names commit; prints each name as a label's value
metrics.py fetch HOST PORT TOPIC   fetches partition 0 once; prints the bytes of records"""

import re
import sys

import ask
from wire import Connection, Writer

OFFSET_COMMIT = 8
SAMPLE = re.compile(r'millrace_(\w+?)(?:\{(.*)\})? (\S+)$')
NAMES = {
    b'plain': 'plain',
    b'a "quoted" one': r'a \"quoted\" one',
    b'back\\slash': r'back\\slash',
    b'two\nlines\tand a tab': r'two\nlines\\x09and a tab',
    'Grüße, 東京 😀'.encode(): 'Grüße, 東京 😀',
    b'zero\0byte': r'zero\\x00byte',
    b'no \xff UTF-8 \xc3': r'no \\xff UTF-8 \\xc3',
    b'overlong \xc0\xaf \xe0\x80\xaf surrogate \xed\xa0\x80 beyond \xf4\x90\x80\x80':
        r'overlong \\xc0\\xaf \\xe0\\x80\\xaf surrogate \\xed\\xa0\\x80 beyond \\xf4\\x90\\x80\\x80',
}


def of_table(readme):
    """Families and their labels, from the table of the last section."""
    found = {}
    for line in open(readme).read().split('## Admin HTTP')[1].splitlines():
        cells = [cell.strip() for cell in line.split('|')]
        for name in re.findall('`([^`]*)`', cells[1]) if len(cells) == 5 else ():
            assert name not in found, '%s is in the table twice' % name
            found[name] = set(re.findall(r'\w+', cells[2]))
    return found


def check_histogram(series):
    """Of one family: the values of buckets by the other labels."""
    for labels, values in series.items():
        assert values == sorted(values), 'buckets of %s fall: %s' % (labels, values)


def check_page(page, readme):
    table = of_table(readme)
    types, buckets, counts, seen = {}, {}, {}, set()
    for line in open(page).read().splitlines():
        if line.startswith('# TYPE'):
            name, kind = line.split()[2:]
            types[name.removeprefix('millrace_')] = kind
        if line.startswith('#'):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        assert (name, labels) not in seen, '%s is there twice' % line
        seen.add((name, labels))
        family = name if name in types else re.sub('_(bucket|sum|count)$', '', name)
        keys = set(re.findall(r'(?:^|,)(\w+)="(?:[^"\\]|\\.)*"', labels or ''))
        assert keys - {'le'} == table.get(family, keys), '%s has the labels %s' % (family, keys)
        if name.endswith('_bucket'):
            rest = re.sub(',?le="[^"]*"', '', labels)
            buckets.setdefault((family, rest), []).append(int(value))
        elif name.endswith('_count') and types[family] == 'histogram':
            counts[(family, labels)] = int(value)
    assert set(types) == set(table), 'only on the page: %s; only in the table: %s' % (
        sorted(set(types) - set(table)), sorted(set(table) - set(types)))
    for name, kind in types.items():
        assert name.endswith('_total') == (kind == 'counter'), '%s is a %s' % (name, kind)
        assert name.endswith('_seconds') == (kind == 'histogram'), '%s is a %s' % (name, kind)
    check_histogram(buckets)
    assert {at: values[-1] for at, values in buckets.items()} == counts


def commit(connection, topic):
    for name, label in NAMES.items():
        ask.find_coordinator(connection, 'any', 0, 2)
        out = Writer(False).count(len(name), 'h').raw(name).i32(-1).string('').i64(-1)
        out.count(1).string(topic).count(1).i32(0).i64(0).string('')
        reader = connection.ask(OFFSET_COMMIT, 2, out.data)
        error = reader.array(lambda r: (r.string(), r.array(lambda p: (p.i32(), p.i16()))))[0][1][0]
        assert error == (0, 0), 'the commit of %s is refused: %s' % (name, error)
        print(label)


if __name__ == '__main__':
    if sys.argv[1] == 'page':
        check_page(*sys.argv[2:])
    else:
        with Connection((sys.argv[2], int(sys.argv[3]))) as one:
            if sys.argv[1] == 'commit':
                commit(one, sys.argv[4])
            else:
                print(len(ask.fetch(one, sys.argv[4], 0)['records']))
