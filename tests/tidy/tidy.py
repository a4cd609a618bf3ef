#!/usr/bin/env python3
"""Style is a test: tidy.py CHECK ROOT, where CHECK is one of the functions below.

format    clang-format would change nothing
includes  folders include only what the architecture allows, and headers make no cycle
headers   every header compiles alone
limits    files up to 1,000 lines, lines up to 100 columns, no banned function, nothing left open
"""
import os
import re
import subprocess
import sys

# What each folder may include; longest prefix wins. A leaf includes itself and base.
ALLOWED = {
    'dataplane/base': ['dataplane/base'],
    'dataplane/kafka/wire': ['dataplane/base', 'dataplane/kafka/wire'],
    'dataplane/shard': ['dataplane/base', 'dataplane/shard'],
    'dataplane/net': ['dataplane/base', 'dataplane/net', 'dataplane/tcp/tcp.h'],
    'dataplane/tcp': ['dataplane/base', 'dataplane/tcp'],
    'dataplane/kafka': ['dataplane', 'storage', 'control/ctl_msg.h', 'control/ctl_metrics.h'],
    'dataplane': ['dataplane', 'storage', 'control'],  # main.c, launch.c and plan.c
    'storage': ['dataplane/base', 'storage'],
    'control/cli': ['dataplane/base', 'dataplane/kafka/wire', 'control/cli', 'control/config.h',
                    'control/machine.h',
                    'storage'],
    'control': ['dataplane/base', 'dataplane/shard', 'dataplane/kafka/wire', 'storage', 'control'],
    'bench': ['dataplane', 'storage', 'bench', 'control/cli/client.h'],
    'tests': ['dataplane', 'storage', 'control', 'bench', 'tests'],
}
BANNED = re.compile(r'\b(strcpy|strcat|sprintf|vsprintf|atoi|atol|strtok|gets|alloca|setjmp)\s*\(')
OPEN = re.compile(r'\b(' + 'TO' + 'DO|FIX' + 'ME|XX' + 'X|HA' + r'CK)\b')


def sources(root, endings=('.c', '.h')):
    listed = subprocess.run(['git', '-C', root, 'ls-files', '-co', '--exclude-standard'],
                            capture_output=True, text=True)
    names = listed.stdout.split('\n') if listed.returncode == 0 else [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, files in os.walk(root) for name in files]
    return sorted(n for n in names if n.endswith(endings) and not n.startswith('build') and
                  os.path.exists(os.path.join(root, n)))


def read(root, name):
    with open(os.path.join(root, name), encoding='utf-8') as file:
        return file.read()


def format(root):
    names = sources(root)
    run = subprocess.run(['clang-format', '--dry-run', '--Werror'] + names, cwd=root,
                         capture_output=True, text=True)
    return run.stderr.split('\n')[:40] if run.returncode else []


def included(root, name):
    return re.findall(r'^#include "([^"]+)"', read(root, name), re.M)


def includes(root):
    faults, graph = [], {}
    for name in sources(root):
        folder = max((f for f in ALLOWED if name.startswith(f + '/')), key=len, default=None)
        if folder is None:
            faults.append('%s: in no known folder' % name)
            continue
        for target in included(root, name):
            if '/' not in target:
                continue  # a private header beside it in tests, or a generated one
            if not any(target.startswith(a) for a in ALLOWED[folder]):
                faults.append('%s: must not include %s' % (name, target))
        graph[name] = included(root, name)

    def visit(name, path):
        if name in path:
            faults.append('include cycle: %s' % ' -> '.join(path[path.index(name):] + [name]))
            return
        if name in done:
            return
        for target in graph.get(name, []):
            visit(target, path + [name])
        done.add(name)
    done = set()
    for name in graph:
        visit(name, [])
    return faults


def headers(root):
    build = os.environ.get('MR_BUILD', os.path.join(root, 'build'))
    flags = subprocess.run(['pkg-config', '--cflags', 'libdpdk', 'liburing', 'rdkafka', 'libuv'],
                           capture_output=True, text=True).stdout.split()
    faults = []
    for name in sources(root, ('.h',)):
        run = subprocess.run(
            ['cc', '-std=c11', '-D_GNU_SOURCE', '-DALLOW_EXPERIMENTAL_API', '-Wall', '-Wextra',
             '-Werror', '-fsyntax-only', '-I', root, '-I', os.path.join(build, 'generated'),
             '-iquote', os.path.join(root, os.path.dirname(name)), *flags, '-x', 'c', '-'],
            input='#include "%s"\n' % name, capture_output=True, text=True)
        if run.returncode:
            faults.append('%s does not compile alone: %s' % (name, run.stderr.split('\n')[0]))
    return faults


def limits(root):
    faults = []
    for name in sources(root, ('.c', '.h', '.py', '.sh')):
        lines = read(root, name).split('\n')
        if len(lines) > 1001:
            faults.append('%s: %d lines' % (name, len(lines) - 1))
        for number, line in enumerate(lines, 1):
            if name.endswith(('.c', '.h')) and len(line) > 100 and 'clang-format off' not in read(
                    root, name):
                faults.append('%s:%d: %d columns' % (name, number, len(line)))
            if name.endswith(('.c', '.h')) and BANNED.search(line):
                faults.append('%s:%d: a banned function' % (name, number))
            if OPEN.search(line):
                faults.append('%s:%d: left open' % (name, number))
    return faults


def main():
    check, root = sys.argv[1], os.path.abspath(sys.argv[2])
    faults = {'format': format, 'includes': includes, 'headers': headers, 'limits': limits}[check](
        root)
    print('\n'.join(faults))
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
