"""A writer of flattened device trees (devicetree specification 0.4, §5).

`Node` is the tree in memory, properties in order; a property is a flag, cells, strings or bytes.
`reference` gives a node its phandle the first time somebody points to it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

MAGIC, VERSION, COMPATIBLE_VERSION = 0xD00D_FEED, 17, 16
BEGIN_NODE, END_NODE, PROPERTY, NOTHING, END = 1, 2, 3, 4, 9
HEADER_SIZE = 40

Value = bool | int | str | bytes | Sequence[int] | Sequence[str]


@dataclass
class Node:
    """A node with its properties and children; the root's name is empty."""

    name: str = ""
    properties: dict[str, Value] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    handles: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    def add(self, name: str, /, **properties: Value) -> Node:
        """A new child."""
        node = Node(name, properties, handles=self.handles)
        self.children.append(node)
        return node

    def set(self, name: str, value: Value) -> None:
        """A property whose name is not a Python name."""
        self.properties[name] = value

    def reference(self) -> int:
        """This node's phandle."""
        handle = self.properties.setdefault("phandle", 0) or next(self.handles)
        assert isinstance(handle, int)
        self.properties["phandle"] = handle
        return handle


def wide(*numbers: int) -> list[int]:
    """64-bit numbers as pairs of cells."""
    return [cell for number in numbers for cell in (number >> 32, number & 0xFFFF_FFFF)]


def flatten(root: Node, reserved: Sequence[tuple[int, int]] = ()) -> bytes:
    """The blob; `reserved` are the ranges of the memory reservation block."""
    strings: dict[str, int] = {}
    structure = b"".join(_node(root, strings)) + _word(END)
    names = b"".join(name.encode() + b"\0" for name in strings)
    reservations = b"".join(struct.pack(">QQ", *entry) for entry in [*reserved, (0, 0)])
    structure_at = HEADER_SIZE + len(reservations)
    names_at = structure_at + len(structure)
    header = struct.pack(
        ">10I", MAGIC, names_at + len(names), structure_at, names_at, HEADER_SIZE,
        VERSION, COMPATIBLE_VERSION, 0, len(names), len(structure),
    )  # fmt: skip
    return header + reservations + structure + names


def _word(value: int) -> bytes:
    return struct.pack(">I", value)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _node(node: Node, strings: dict[str, int]) -> Iterator[bytes]:
    yield _word(BEGIN_NODE) + _padded(node.name.encode() + b"\0")
    for name, value in node.properties.items():
        if value is False:
            continue
        if name not in strings:
            strings[name] = sum(len(known) + 1 for known in strings)
        data = encode(value)
        yield struct.pack(">III", PROPERTY, len(data), strings[name]) + _padded(data)
    for child in node.children:
        yield from _node(child, strings)
    yield _word(END_NODE)


def encode(value: Value) -> bytes:
    """A property's bytes."""
    if isinstance(value, bool):
        return b""
    if isinstance(value, int):
        return _word(value)
    if isinstance(value, str):
        return os.fsencode(value) + b"\0"
    if isinstance(value, bytes):
        return value
    return b"".join(encode(item) for item in value)
