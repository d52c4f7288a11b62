"""Reading a flattened device tree in place (Devicetree Specification 0.4, chapter 5)."""

from __future__ import annotations

from ringzero.board.fdt import BEGIN_NODE, END_NODE, MAGIC, NOTHING, PROPERTY
from ringzero.lang import byteswap, native, peek, ptr, u8, u32, u64

TOTAL_SIZE, STRUCTURE, STRINGS, RESERVATIONS = 4, 8, 12, 16  # offsets in the header
ABSENT = 0


@native
def word(tree: ptr[u8], offset: u64) -> u64:
    """The big-endian word at `offset`."""
    return u64(byteswap(peek(u32, tree, offset)))


@native
def is_tree(tree: ptr[u8]) -> bool:
    """Whether there is a device tree."""
    return u64(tree) != 0 and u64(tree) & 3 == 0 and word(tree, 0) == MAGIC


@native
def same_text(tree: ptr[u8], offset: u64, text: ptr[u8]) -> bool:
    """Whether the string at `offset` is `text`; a node's unit address does not count."""
    i = u64(0)
    while text[i] != 0:
        if tree[offset + i] != text[i]:
            return False
        i += 1
    return tree[offset + i] == 0 or tree[offset + i] == 64


@native
def text_size(tree: ptr[u8], offset: u64) -> u64:
    """The bytes of the string at `offset`, with its NUL, padded to a word."""
    size = u64(0)
    while tree[offset + size] != 0:
        size += 1
    return size + 4 & ~u64(3)


@native(inline=False)
def find(tree: ptr[u8], node: ptr[u8], name: ptr[u8], nested: bool, which: u64) -> tuple[u64, u64]:
    """Where a property of a child of the root stands, and its size; (ABSENT, 0) if it does not.

    `nested` looks in the children of `node` instead. `which` counts those that have it, from 0.
    """
    depth, inside, left = u64(0), False, which
    wanted = u64(3) if nested else u64(2)
    at = word(tree, STRUCTURE)
    while True:
        kind = word(tree, at)
        at += 4
        if kind == BEGIN_NODE:
            depth += 1
            if depth == 2:
                inside = same_text(tree, at, node)
            at += text_size(tree, at)
        elif kind == END_NODE:
            depth -= 1
        elif kind == PROPERTY:
            size, label = word(tree, at), word(tree, STRINGS) + word(tree, at + 4)
            if inside and depth == wanted and same_text(tree, label, name):
                if left == 0:
                    return at + 8, size
                left -= 1
            at += 8 + (size + 3 & ~u64(3))
        elif kind != NOTHING:
            return u64(ABSENT), u64(0)
