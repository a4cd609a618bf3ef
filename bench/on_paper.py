#!/usr/bin/env python3
"""What the 100G servers of hw-profiles ought to do, from what was measured on a small machine.

Prints the tables of hw-profiles/README.md. What was measured: cycles of a batch in the store
(build/mr_cycles; bytes, validation, append, commit, and how often the drive writes each byte, from
bench/append.sh), and cycles of a packet in our TCP (build/mr_tcp_cycles MTU offload). What was not:
see ASSUMED.
"""

BATCHES = [  # name, bytes, cycles in the store, bytes on the drive for each
    ('1 MiB', 1048377, 201973 + 460073 + 31258, 1.02),
    ('64 KB', 64637, 12776 + 28571 + 9708, 1.13),
    ('16 KB', 16205, 3769 + 9080 + 8355, 1.50),
    ('1 KB', 1070, 993 + 1480 + 1285, 2.27),
]
PACKETS = {  # MTU: payload, bytes on the wire, cycles to receive one, cycles to send one
    1500: (1448, 1538, 89 + 1 + 27 + 3, 25 + 1 + 2 + 205),
    9000: (8948, 9038, 151 + 5 + 45 + 12, 44 + 4 + 6 + 330),
}
REQUEST_CYCLES = 2 * 900  # decoding and encoding (build/mr_micro), twice that for all around it
ASSUMED = {
    'GHz of a core': 3.0,
    'cycles of the card\'s driver for a packet': 80,
    'Gbit/s of the card': 100,
    'GB/s that a drive writes': 4.0,
    'GB/s of memory of a socket': 150,
    'packets for each acknowledgement': 2,
}
SERVERS = [('8 shards, 4 drives', 8, 4), ('16 shards, 8 drives', 16, 8)]

# Bytes that cross memory for each byte: without and with the card writing into the cache (DDIO).
# Produced: the card's write, validation's read, the copy's read, the line it fetches and its write,
# the drive's read. Fetched from the tail cache: the card's read.
PRODUCED_TRAFFIC = (6, 3)
FETCHED_TRAFFIC = (1, 1)


def packet_cycles(mtu, receives):
    """Of a GB: packets, and cycles of TCP and driver with the acknowledgements the other way."""
    payload, _, receive, send = PACKETS[mtu]
    small_receive, small_send = PACKETS[1500][2:]
    driver = ASSUMED['cycles of the card\'s driver for a packet']
    count = 1e9 / payload
    acks = count / ASSUMED['packets for each acknowledgement']
    data, ack = (receive, small_send) if receives else (send, small_receive)
    return count, acks, count * (data + driver) + acks * (ack + driver)


def wire(mtu):
    payload, frame = PACKETS[mtu][:2]
    return ASSUMED['Gbit/s of the card'] / 8 * payload / frame


def limits(cores, drives, core_rate, drive_bytes, traffic, mtu):
    found = {'cores': cores * core_rate, 'card': wire(mtu),
             'memory': ASSUMED['GB/s of memory of a socket'] / traffic}
    if drive_bytes:
        found['drives'] = drives * ASSUMED['GB/s that a drive writes'] / drive_bytes
    first = min(found, key=found.get)
    return '%.1f, %s' % (found[first], first)


def row(*cells):
    print('| ' + ' | '.join(str(cell) for cell in cells) + ' |')


def head(*cells):
    row(*cells)
    row(*['---'] * len(cells))


def produced(mtu):
    hz = ASSUMED['GHz of a core'] * 1e9
    for name, size, cycles, drive_bytes in BATCHES:
        packets, acks, network = packet_cycles(mtu, True)
        store = 1e9 / size * (cycles + REQUEST_CYCLES)
        rate = hz / (network + store)
        row('produce, %s' % name, mtu, '%.0f k in, %.0f k out' % (packets / 1e3, acks / 1e3),
            '%.0f M' % (network / 1e6), '%.0f M' % (store / 1e6),
            '%d (%d)' % PRODUCED_TRAFFIC, '%.2f' % drive_bytes, '%.1f' % rate,
            *[limits(shards, drives, rate, drive_bytes, PRODUCED_TRAFFIC[0], mtu)
              for _, shards, drives in SERVERS])


def fetched(mtu):
    hz = ASSUMED['GHz of a core'] * 1e9
    packets, acks, network = packet_cycles(mtu, False)
    requests = 1e9 / 1048576 * REQUEST_CYCLES
    rate = hz / (network + requests)
    row('fetch, 1 MiB an answer', mtu, '%.0f k in, %.0f k out' % (acks / 1e3, packets / 1e3),
        '%.0f M' % (network / 1e6), '%.0f M' % (requests / 1e6), '%d (%d)' % FETCHED_TRAFFIC, 0,
        '%.1f' % rate,
        *[limits(shards, drives, rate, 0, FETCHED_TRAFFIC[0], mtu)
          for _, shards, drives in SERVERS])


def main():
    head('a GB', 'MTU', 'packets', 'cycles: network', 'cycles: store, requests',
         'bytes in memory (DDIO)', 'bytes to drives', 'GB/s of a core',
         *['%s: GB/s, limit' % name for name, _, _ in SERVERS])
    for mtu in (9000, 1500):
        produced(mtu)
        fetched(mtu)
    print('\nAssumed: %s.' % '; '.join('%s %s' % (value, name) for name, value in ASSUMED.items()))


main()
