"""The memory functions that LLVM calls by their C names, in typed Python.

Aligned words go eight bytes at a time; LLVM's attribute "no-builtins", which the compiler gives
functions of these names, keeps it from turning the loops into calls of themselves.
"""

from __future__ import annotations

from ringzero.lang import i32, native, peek, poke, ptr, u8, u64


@native
def memset(to: ptr[u8], byte: i32, size: u64) -> ptr[u8]:
    """Fill `size` bytes."""
    i = u64(0)
    if u64(to) & 7 == 0:
        pattern = u64(u8(byte)) * 0x0101_0101_0101_0101
        while i + 8 <= size:
            poke(u64, to, i, pattern)
            i += 8
    while i < size:
        to[i] = u8(byte)
        i += 1
    return to


@native
def memcpy(to: ptr[u8], source: ptr[u8], size: u64) -> ptr[u8]:
    """Copy `size` bytes that do not overlap."""
    i = u64(0)
    if (u64(to) | u64(source)) & 7 == 0:
        while i + 8 <= size:
            poke(u64, to, i, peek(u64, source, i))
            i += 8
    while i < size:
        to[i] = source[i]
        i += 1
    return to


@native
def memmove(to: ptr[u8], source: ptr[u8], size: u64) -> ptr[u8]:
    """Copy `size` bytes that may overlap."""
    if u64(to) <= u64(source):
        for i in range(size):
            to[i] = source[i]
        return to
    left = size
    while left > 0:
        left -= 1
        to[left] = source[left]
    return to


@native
def strlen(text: ptr[u8]) -> u64:
    """The bytes before the NUL."""
    size = u64(0)
    while text[size] != 0:
        size += 1
    return size


MEMORY = (memset, memcpy, memmove, strlen)
