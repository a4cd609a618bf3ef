"""Exits with 1 unless every batch of a topic has the given codec and a correct CRC. A batch of a few
records may be plain: librdkafka sends it so where compression makes it no smaller.

Usage: codecs_of.py HOST PORT TOPIC PARTITIONS none|gzip|snappy|lz4|zstd
"""

import sys

from ask import fetch
from wire import Connection, batches

FEW = 8
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def main():
    host, port, topic, partitions, codec = sys.argv[1:]
    good = True
    with Connection((host, int(port))) as connection:
        for partition in range(int(partitions)):
            offset, end = 0, 1
            while offset < end:
                answer = fetch(connection, topic, offset, partition=partition)
                end = answer["high"]
                found = batches(answer["records"])
                if answer["error"] or (not found and offset < end):
                    print("partition %d, offset %d: error %d, no batch" % (
                        partition, offset, answer["error"]))
                    return 1
                for one in found:
                    name = CODECS[one["attributes"] & 7]
                    plain = name == "none" and one["last_delta"] < FEW
                    if (name != codec and not plain) or not one["crc_good"]:
                        print("partition %d, offset %d: codec %s instead of %s, CRC %s" % (
                            partition, one["base_offset"], name, codec,
                            "good" if one["crc_good"] else "wrong"))
                        good = False
                    offset = one["base_offset"] + one["last_delta"] + 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
