#!/usr/bin/env python3
"""summary.py RESULTS [FIGURE...]: medians with ranges of mr_load's JSON lines, and ratios."""
import json
import statistics
import sys

FIGURES = ['mb_per_s', 'requests_per_s', 'latency_us.p50', 'latency_us.p99',
           'broker_cpu_s_per_gb']


def flatten(prefix, value, into):
    if isinstance(value, dict):
        for key, inner in value.items():
            flatten(prefix + [key], inner, into)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        into['.'.join(prefix)] = value


def main():
    runs = {}
    for line in open(sys.argv[1], encoding='utf-8'):
        row = json.loads(line)
        flat = {}
        flatten([], row, flat)
        for key, value in flat.items():
            runs.setdefault((row['load'], row['system'], key), []).append(value)
    wanted = sys.argv[2:] or FIGURES
    for (load, system, key), values in sorted(runs.items()):
        if key not in wanted:
            continue
        median = statistics.median(values)
        ratio = ''
        own = runs.get((load, 'millrace', key))
        if system != 'millrace' and own and median:
            ratio = '  millrace/this %.2f' % (statistics.median(own) / median)
        print('%-12s %-14s %-28s %12.2f  [%.2f, %.2f] n=%d%s' %
              (load, system, key, median, min(values), max(values), len(values), ratio))


if __name__ == '__main__':
    main()
