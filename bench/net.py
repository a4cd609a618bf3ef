#!/usr/bin/env python3
"""net.py RESULTS: rows for bench/README.md of what bench/net.sh has noted, `KEY VALUE` a line."""
import statistics
import sys


def text(value):
    return '%.0f' % value if value >= 100 else '%.3g' % value


def cell(values):
    if not values:
        return ''
    return '%s [%s, %s]' % (text(statistics.median(values)), text(min(values)), text(max(values)))


def ratio(values, by):
    if not values or not by or statistics.median(by) == 0:
        return ''
    return '%.2f' % (statistics.median(values) / statistics.median(by))


def row(*cells):
    print('| ' + ' | '.join(cells) + ' |')


def main():
    runs = {}
    for line in open(sys.argv[1], encoding='utf-8'):
        key, value = line.split()
        runs.setdefault(key, []).append(float(value))

    nothing = sorted(key for key, values in runs.items() if 0 in values)
    if nothing:
        print('WARNING: other work had the cores: nothing was measured of ' + ', '.join(nothing))

    def of(key):
        return runs.get(key, [])

    row('bulk', 'Mbit/s', 'testpmd', '÷ testpmd', '÷ loopback', 'cycles a packet, client', 'server')
    row(*['---'] * 7)
    for kind in ('memif', 'vhost'):
        for mtu in ('1500', '9000'):
            pmd = of('testpmd-%s-%s' % (kind, mtu))
            for way in ('in', 'out'):
                key = '%s-%s-%s' % (kind, mtu, way)
                row('%s, MTU %s, %s' % (kind, mtu, way), cell(of(key)), cell(pmd),
                    ratio(of(key), pmd), ratio(of(key), of('loopback-' + way)),
                    cell(of(key + '-client')), cell(of(key + '-server')))
    key = 'summed-1500-in'
    row('memif, MTU 1500, in, checksums in software', cell(of(key)), '', '',
        ratio(of(key), of('loopback-in')), cell(of(key + '-client')), cell(of(key + '-server')))
    for way in ('in', 'out'):
        row('Linux loopback, ' + way, cell(of('loopback-' + way)), '', '', '', '', '')
    print()
    row('round trip of 64 B', 'p50 us', 'p99 us', 'p50 ÷ loopback', 'p99 ÷ loopback')
    row(*['---'] * 5)
    for name, key in (('Linux loopback, both ends spin', 'loopback-echo'),
                      ('memif', 'memif-echo'), ('frames over a memif, no TCP', 'memif-bare'),
                      ('vhost', 'vhost-echo'), ('frames over a vhost, no TCP', 'vhost-bare'),
                      ('memif, one of 10,000 connections', 'memif-many')):
        row(name, cell(of(key + '-p50')), cell(of(key + '-p99')),
            ratio(of(key + '-p50'), of('loopback-echo-p50')),
            ratio(of(key + '-p99'), of('loopback-echo-p99')))
    print()
    row('', 'ours', 'Linux', 'ratio', 'goal')
    row(*['---'] * 5)
    row('p50 with 10,000 connections ÷ 1', '', '',
        ratio(of('memif-many-p50'), of('memif-echo-p50')), '1.2 at most')
    for loss, name, goal in (('0.001', '0.1%', '0.9'), ('0.01', '1%', '0.8')):
        ours, linux = of('loss-%s-ours' % loss), of('loss-%s-linux' % loss)
        row('sending to Linux, %s lost, Mbit/s' % name, cell(ours), cell(linux),
            ratio(ours, linux), goal)
    row('share beside a Linux CUBIC flow', cell(of('share')), '', '', '0.35 to 0.65')


if __name__ == '__main__':
    main()
