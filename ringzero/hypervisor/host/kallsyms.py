"""The symbols that a Linux kernel carries in itself: kallsyms, found in a flat Image.

The tables stand one after the other (scripts/kallsyms.c, since 6.4): count, names, markers,
token table, token index, offsets. Names are sequences of tokens. The token table has the digits
one after the other, which no other place has; everything else is found from there.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass

from ringzero.errors import RingzeroError

TOKENS = 256
PER_MARKER = 256
DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
LONGEST_NAME = 600  # bytes of one name's tokens, generously


class NoSymbols(RingzeroError):
    """A kernel without kallsyms, or with tables of another form."""


@dataclass(frozen=True)
class Symbol:
    """A name and where it stands, from the image's start."""

    offset: int
    kind: str
    name: str


@dataclass(frozen=True)
class Tables:
    """Where the tables are."""

    count: int
    names: int
    tokens: tuple[bytes, ...]
    offsets: int


def symbols(image: bytes) -> list[Symbol]:
    """All symbols of a kernel image, by offset."""
    tables = _tables(image)
    offsets = struct.unpack_from(f"<{tables.count}I", image, tables.offsets)
    found = []
    at = tables.names
    for offset in offsets:
        size, at = _length(image, at)
        text = b"".join(tables.tokens[index] for index in image[at : at + size])
        at += size
        found.append(Symbol(offset, chr(text[0]), text[1:].decode(errors="replace")))
    origin = next((one.offset for one in found if one.name in ("_start", "_text")), 0)
    return sorted(
        (Symbol(one.offset - origin & 0xFFFF_FFFF, one.kind, one.name) for one in found),
        key=lambda one: one.offset,
    )


def _tables(image: bytes) -> Tables:
    start = image.find(DIGITS)
    while start >= 0:
        made = _around(image, start)
        if made is not None:
            return made
        start = image.find(DIGITS, start + 1)
    raise NoSymbols("no kallsyms were found in this image: analyze an ELF with symbols instead")


def _around(image: bytes, zero: int) -> Tables | None:
    """The tables, if the token "0" stands at `zero`."""
    end = zero
    for _ in range(TOKENS - ord("0")):
        end = image.find(b"\0", end) + 1
        if end == 0:
            return None
    index_at = -(-end // 8) * 8
    index = struct.unpack_from(f"<{TOKENS}H", image, index_at)
    table = zero - index[ord("0")]
    if index[0] != 0 or list(index) != sorted(index) or table < 0:
        return None
    ends = [image.index(b"\0", table + at) for at in index]
    tokens = tuple(image[table + at : stop] for at, stop in zip(index, ends, strict=True))
    markers = _markers(image, table)
    if markers is None:
        return None
    names = _names(image, *markers)
    if names is None:
        return None
    count, names_at = names
    return Tables(count, names_at, tokens, index_at + 2 * TOKENS)


def _markers(image: bytes, table: int) -> tuple[int, list[int]] | None:
    """Markers end where the token table begins: offsets of every 256th name, from 0 up."""
    at = table & ~3
    values: list[int] = []
    while at >= 4:
        at -= 4
        (value,) = struct.unpack_from("<I", image, at)
        if not values and value == 0:  # padding
            continue
        if values and value >= values[-1]:
            return None
        values.append(value)
        if value == 0:
            return at, values[::-1]
    return None


def _names(image: bytes, markers_at: int, markers: list[int]) -> tuple[int, int] | None:
    """How many names, and where; their count stands eight bytes before the first."""
    last = markers_at - markers[-1] & ~7
    for at in range(last, last - PER_MARKER * LONGEST_NAME, -8):
        (count,) = struct.unpack_from("<I", image, at - 8)
        if -(-count // PER_MARKER) == len(markers) and _agree(image, at, markers):
            return count, at
    return None


def _agree(image: bytes, names: int, markers: list[int]) -> bool:
    at = names
    for marker in markers[:8]:
        if at - names != marker:
            return False
        for _ in range(PER_MARKER):
            size, at = _length(image, at)
            at += size
    return True


def _length(image: bytes, at: int) -> tuple[int, int]:
    size = image[at]
    if size & 0x80:
        return size & 0x7F | image[at + 1] << 7, at + 2
    return size, at + 1


def covering(found: list[Symbol], offset: int) -> Symbol | None:
    """The last symbol at or before an offset."""
    place = bisect_right(found, offset, key=lambda one: one.offset)
    return found[place - 1] if place else None
