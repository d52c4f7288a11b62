"""A reader of flattened device trees that is independent of the writer."""

from __future__ import annotations

import struct

Tree = dict[str, dict[str, bytes]]


def parse(blob: bytes) -> Tree:
    """Paths with their properties."""
    magic, total, structure, strings = struct.unpack_from(">4I", blob)
    assert magic == 0xD00D_FEED
    assert total == len(blob)
    found: Tree = {}
    path: list[str] = []
    place = structure

    def text(at: int) -> str:
        return blob[at : blob.index(b"\0", at)].decode()

    while True:
        (token,) = struct.unpack_from(">I", blob, place)
        place += 4
        if token == 1:
            path.append(text(place))
            place = (place + len(path[-1]) + 4) & ~3
            found["/".join(path) or "/"] = {}
        elif token == 2:
            path.pop()
        elif token == 3:
            size, name = struct.unpack_from(">II", blob, place)
            found["/".join(path) or "/"][text(strings + name)] = blob[place + 8 : place + 8 + size]
            place = (place + 8 + size + 3) & ~3
        else:
            assert token == 9
            return found
