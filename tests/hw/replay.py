#!/usr/bin/env python3
"""replay.py LOG BASE SEED [forget]: turns BASE into the disk that a power cut leaves.

BASE is what the disk held when QEMU's blklogwrites began LOG, the writes and flushes in the order of
their completion. What was completed before the last flush is on the disk. After it the power goes at
a random instant: of the writes up to then, each is there whole, in some of its sectors, or not at
all, and none of the later ones is. `forget` takes every flush out of the log, as if the broker had
not asked for it: for a test that has to notice.

The log's layout is that of Linux's dm-log-writes: a super block of one sector (magic, version, number
of entries, sector size; QEMU writes it with the first flush), then for each entry a sector that
begins with sector number, count of sectors, flags and data length, and the data.
"""
import os
import random
import struct
import sys

MAGIC = 0x6a736677736872
SECTOR = 512
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
DROPPED, TORN = 0.4, 0.6  # cumulative chances of a write that was not flushed


def entries(log):
    """(offset, size, flags, place of the data in the log, or None for zeros) of each entry."""
    magic, version, _, sector = struct.unpack('<QQQI', log.read(28))
    if magic == 0:
        sector = SECTOR
    elif magic != MAGIC or version != 1:
        sys.exit('no write log')
    size = os.fstat(log.fileno()).st_size
    at = sector
    while at + sector <= size:
        log.seek(at)
        first, count, flags, length = struct.unpack('<QQQQ', log.read(32))
        at += sector
        if first == count == flags == length == 0:
            return  # the end that was not written any more
        if flags & MARK:
            at += length
            continue
        data = at if count and not flags & DISCARD else None
        if data is not None:
            if data + count * sector > size:
                return
            at += count * sector
        yield first * sector, count * sector, flags, data


def write(image, offset, data, rnd):
    """A write that was under way: some of its sectors."""
    for at in range(0, len(data), SECTOR):
        if rnd.random() < 0.5:
            image.seek(offset + at)
            image.write(data[at:at + SECTOR])


def main():
    log_path, base_path, seed = sys.argv[1:4]
    rnd = random.Random(int(seed))
    counts = {'flushed': 0, 'kept': 0, 'torn': 0, 'dropped': 0, 'later': 0}
    with open(log_path, 'rb') as log, open(base_path, 'r+b') as image:
        known = list(entries(log))
        if sys.argv[4:] == ['forget']:
            known = [(offset, size, 0, data) for offset, size, _, data in known]
        last = max((i for i, entry in enumerate(known) if entry[2] & FLUSH), default=-1)
        instant = rnd.randint(last + 1, len(known))
        for i, (offset, size, flags, data) in enumerate(known):
            if not size:
                continue
            log.seek(data or 0)
            content = bytes(size) if data is None else log.read(size)
            chance = rnd.random()
            if i <= last or flags & FUA and i < instant:
                counts['flushed'] += 1
            elif i >= instant:
                counts['later'] += 1
                continue
            elif chance < DROPPED:
                counts['dropped'] += 1
                continue
            elif chance < TORN:
                counts['torn'] += 1
                write(image, offset, content, rnd)
                continue
            else:
                counts['kept'] += 1
            image.seek(offset)
            image.write(content)
    print('%s: %s' % (os.path.basename(log_path),
                      ', '.join('%s %d' % count for count in counts.items())))


main()
