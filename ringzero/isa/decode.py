"""From an instruction word to an index into INSTRUCTIONS and its operands.

The decision tree is derived from the rows: each node tests the bits that all its rows fix, so the
compiled decoder is a few nested switches. Compressed parcels are expanded first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ringzero.isa.compressed import expand
from ringzero.isa.decoded import Decoded
from ringzero.isa.encoding import Field
from ringzero.isa.instruction import Instruction
from ringzero.isa.registry import ILLEGAL, INSTRUCTIONS
from ringzero.lang import i64, native, u32, u64


@dataclass(frozen=True, eq=False)
class Branch:
    """What follows when `word & mask == match`: an instruction, or a further choice."""

    mask: int
    match: int
    immediate: Field | None  # the operand for Decoded.imm, where all that follows agree on it
    index: int | None
    node: Node | None


@dataclass(frozen=True, eq=False)
class Node:
    """A choice among branches; at most one of them holds for a word."""

    branches: tuple[Branch, ...]


Rows = Sequence[tuple[int, Instruction]]


def tree(rows: Rows, tested: int = 0, given: bool = False) -> Node:
    """The choice among `rows` (with their indices), after the bits `tested`.

    `given` says that the immediate was extracted on the way.
    """
    common = 0xFFFF_FFFF & ~tested
    for _, one in rows:
        common &= one.mask
    if tested == 0:
        common = 0x7F  # the opcode first, as the manual's tables do
    groups: dict[tuple[int, int], list[tuple[int, Instruction]]] = {}
    for index, one in rows:
        mask = common or one.mask & ~tested  # rows with nothing in common are tested one by one
        groups.setdefault((mask, one.match & mask), []).append((index, one))
    return Node(tuple(_branch(key, group, tested, given) for key, group in groups.items()))


def _branch(key: tuple[int, int], group: Rows, tested: int, given: bool) -> Branch:
    mask, match = key
    fields = {one.row.fields[one.immediate] for _, one in group if one.immediate is not None}
    field = fields.pop() if len(fields) == 1 and not given else None
    index, one = group[0]
    if len(group) == 1:
        whole = one.mask & ~tested
        return Branch(whole, one.match & whole, field, index, None)
    rest = tree(group, tested | mask, given or field is not None)
    return Branch(mask, match, field, None, rest)


ROOT = tree(list(enumerate(INSTRUCTIONS)))


@native
def immediate(word: u32, field: Field) -> u64:
    """An operand's value, sign-extended if the field has a sign."""
    value = u64(0)
    for piece in field.pieces:
        value = value | (u64((word >> piece.lsb) & piece.mask) << piece.shift)
    if field.signed:
        value = u64(i64(value << field.spare) >> field.spare)
    return value


@native
def choose(word: u32, node: Node, out: Decoded) -> None:
    """Fill in index and immediate by the branch of `node` that holds for the word."""
    for branch in node.branches:
        if word & branch.mask == branch.match:
            if branch.immediate is not None:
                out.imm = immediate(word, branch.immediate)
            if branch.node is not None:
                choose(word, branch.node, out)
            elif branch.index is not None:
                out.index = branch.index
            return


@native
def decode(word: u32, out: Decoded) -> None:
    """Decode a word, or a compressed parcel in its low half."""
    out.index = ILLEGAL
    out.imm = 0
    out.size = 4
    full = word
    if word & 3 != 3:
        full = expand(word)
        out.size = 2
    out.rd = (full >> 7) & 31
    out.rs1 = (full >> 15) & 31
    out.rs2 = (full >> 20) & 31
    out.rs3 = (full >> 27) & 31
    choose(full, ROOT, out)


_BY_OPCODE = tuple(
    tuple(one for one in INSTRUCTIONS if one.match & 0x7F == opcode) for opcode in range(128)
)


@lru_cache(maxsize=4096)
def lookup(word: int) -> Instruction | None:
    """The instruction that a word, or a compressed parcel, is; for tools, in plain Python."""
    if word & 3 != 3:
        word = int(expand(u32(word & 0xFFFF)))
    for one in _BY_OPCODE[word & 0x7F]:
        if word & one.mask == one.match:
            return one
    return None
