"""The compiler's tables in the cache, under the interpreter's key.

What only loads them imports nothing of the isa: a machine starts in a fraction of a second.
"""

from __future__ import annotations

from ringzero.engine.interpreter import code_key
from ringzero.lang import cache

KIND = "compiler"


def load_tables() -> bytes:
    """The tables, made if need be."""
    return cache.cached(KIND, code_key(), _make)


def _make() -> bytes:
    from ringzero.engine.compiler import tables

    return tables.make()
