"""What a region holds: instructions of one code page that are reached from a hot one.

Branches and direct calls are followed inside the page; return points and targets of backward
branches are entries of their own. Anything the interpreter must do ends a path.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ringzero.engine.region_floats import MODES, holds
from ringzero.engine.region_library import compilable
from ringzero.isa.decode import Decoded, decode
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.registry import ILLEGAL, INSTRUCTIONS
from ringzero.lang import i32, u32

LIMIT = 160  # instructions of a region
PAGE = 4096


@dataclass(frozen=True)
class Operation:
    """One decoded instruction at an offset of the page."""

    offset: int
    size: int
    one: Instruction
    rd: int
    rs1: int
    rs2: int
    rs3: int
    imm: int  # signed

    @property
    def next(self) -> int:
        """The offset behind it."""
        return self.offset + self.size

    @property
    def target(self) -> int:
        """Where a branch or direct jump goes; outside 0..4095 on another page."""
        return self.offset + self.imm

    @property
    def calls(self) -> bool:
        """Whether it is a jump that leaves a return address."""
        return self.one.kind is JUMP and self.rd in (1, 5)

    @property
    def floats(self) -> bool:
        """Whether mstatus.FS must not be Off."""
        return self.one.floats or self.one.kind is SYSTEM

    @property
    def rounding(self) -> int | None:
        """The rm field, of an operation that has one."""
        return self.field(self.one.sources["rm"]) if "rm" in self.one.sources else None

    def field(self, name: str) -> int:
        """A field of Decoded, by its name."""
        return int(getattr(self, name))


@dataclass
class Graph:
    """The operations by offset, where blocks begin, and which of those are entries."""

    head: int
    operations: dict[int, Operation] = field(default_factory=dict)
    leaders: set[int] = field(default_factory=set)
    entries: set[int] = field(default_factory=set)
    returns: set[int] = field(default_factory=set)


_decoded: dict[int, tuple[int, int, int, int, int, int, int]] = {}


def _decode(word: int) -> tuple[int, int, int, int, int, int, int]:
    """Decoding in CPython, remembered by word."""
    found = _decoded.get(word)
    if found is None:
        out = Decoded()
        decode(u32(word), out)
        found = (int(out.index), int(out.size), int(out.rd), int(out.rs1), int(out.rs2),
                 int(out.rs3), int(i32(u32(int(out.imm) & 0xFFFF_FFFF))))  # fmt: skip
        _decoded[word] = found
    return found


def operation(page: bytes, offset: int) -> Operation | None:
    """The operation at an offset; None where a region cannot hold it."""
    word = int.from_bytes(page[offset : offset + 4], "little")
    if word & 3 != 3:
        word &= 0xFFFF
    elif offset > PAGE - 4:
        return None
    index, size, rd, rs1, rs2, rs3, imm = _decode(word)
    if index == ILLEGAL or not compilable(INSTRUCTIONS[index]):
        return None
    one = INSTRUCTIONS[index]
    if one.kind is SYSTEM and not holds(one, imm, rs1):
        return None
    made = Operation(offset, size, one, rd, rs1, rs2, rs3, imm)
    return made if made.rounding in (None, *MODES) else None


def explore(page: bytes, head: int, limit: int = LIMIT) -> Graph:
    """The region around a hot offset of a page."""
    graph = Graph(head, leaders={head}, entries={head})
    pending = deque([head])
    while pending:
        at = pending.popleft()
        while 0 <= at < PAGE and at not in graph.operations:
            if len(graph.operations) >= limit:
                return graph
            op = operation(page, at)
            if op is None:
                break
            graph.operations[at] = op
            if op.one.kind is BRANCH:
                _edge(graph, pending, op)
                graph.leaders.add(op.next)
            elif op.one.kind is JUMP:
                if op.one.may_jump_static:
                    _edge(graph, pending, op)
                if op.calls:
                    graph.leaders.add(op.next)
                    graph.entries.add(op.next)
                    graph.returns.add(op.next)
                    pending.append(op.next)
                break
            at = op.next
    return graph


def _edge(graph: Graph, pending: deque[int], op: Operation) -> None:
    if 0 <= op.target < PAGE:
        graph.leaders.add(op.target)
        if op.target <= op.offset or op.calls:
            graph.entries.add(op.target)
        pending.append(op.target)
