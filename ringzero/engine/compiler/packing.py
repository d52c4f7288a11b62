"""Several tables in one block of bytes, each aligned, behind a head with their sizes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

TABLES = 6  # kinds, recipes, operations, code, pieces, holes
HEAD = struct.Struct(f"<{TABLES}I")
ALIGN = 16


def joined(tables: Sequence[bytes]) -> bytes:
    """The tables, each aligned, behind a head with their sizes."""
    head = HEAD.pack(*map(len, tables))
    return b"".join(part + bytes(-len(part) % ALIGN) for part in (head, *tables))


def parts(data: bytes) -> list[tuple[int, int]]:
    """(offset, size) of each table."""
    at, found = HEAD.size + -HEAD.size % ALIGN, []
    for size in HEAD.unpack_from(data):
        found.append((at, size))
        at += size + -size % ALIGN
    return found
