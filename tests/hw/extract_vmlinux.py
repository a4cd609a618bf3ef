#!/usr/bin/env python3
"""extract_vmlinux.py VMLINUZ OUT: takes the ELF kernel out of a bzImage.

QEMU starts an ELF kernel at its PVH entry at once; the decompressor that a bzImage brings takes
seconds under emulation. The payload's place stands in the boot protocol's header (Linux's
Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset and payload_length at 0x248).
"""
import ctypes
import lzma
import struct
import subprocess
import sys
import zlib

LZ4_LEGACY_MAGIC = 0x184c2102
LZ4_BLOCK_MAX = 8 << 20


def unpack_lz4_legacy(packed):
    """Blocks of a 4-byte size and their bytes, each at most 8 MiB unpacked."""
    library = ctypes.CDLL('liblz4.so.1')
    out = bytearray()
    buffer = ctypes.create_string_buffer(LZ4_BLOCK_MAX)
    at = 4
    while at + 4 <= len(packed):
        size, = struct.unpack_from('<I', packed, at)
        at += 4
        if size == LZ4_LEGACY_MAGIC:
            continue
        if size == 0 or at + size > len(packed):
            break  # what follows is the unpacked size, which Linux's build appends
        count = library.LZ4_decompress_safe(packed[at:at + size], buffer, size, LZ4_BLOCK_MAX)
        if count < 0:
            sys.exit('a block of the kernel does not unpack')
        out += buffer.raw[:count]
        at += size
    return bytes(out)


def unpack(packed):
    if packed[:4] == struct.pack('<I', LZ4_LEGACY_MAGIC):
        return unpack_lz4_legacy(packed)
    if packed[:6] == b'\xfd7zXZ\0':
        return lzma.LZMADecompressor().decompress(packed)
    if packed[:2] == b'\x1f\x8b':
        return zlib.decompressobj(31).decompress(packed)
    return subprocess.run(['zstd', '-dcq'], input=packed, stdout=subprocess.PIPE).stdout


def main():
    with open(sys.argv[1], 'rb') as file:
        image = file.read()
    sectors = image[0x1f1] or 4
    offset, size = struct.unpack_from('<II', image, 0x248)
    start = (sectors + 1) * 512 + offset
    kernel = unpack(image[start:start + size])
    if kernel[:4] != b'\x7fELF':
        sys.exit('%s does not hold an ELF kernel' % sys.argv[1])
    with open(sys.argv[2], 'wb') as file:
        file.write(kernel)


main()
