"""The compiler's tables as one block of bytes, kept in the cache under the interpreter's key.

What only loads them imports nothing of the isa: a machine starts in a fraction of a second.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ringzero.engine.interpreter.native_core import code_key
from ringzero.lang import cache

KIND = "compiler"
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


def kept() -> bytes | None:
    """The tables, if they need not be compiled."""
    return cache.read(KIND, code_key())


def tables() -> bytes:
    """The tables, compiled if need be."""
    return cache.cached(KIND, code_key(), _make)


def _make() -> bytes:
    from ringzero.engine.compiler import tables as tables_of_pieces

    return tables_of_pieces.make()
