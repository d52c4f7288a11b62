"""What flows through a region: blocks, which registers they changed so far, and which they need.

At an exit the registers go back that some path may have set; at an entry only those are fetched
that a path may read, or may have to write back. Sets of registers are masks, x below f.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringzero.engine.regions.find.graph import Graph
from ringzero.engine.regions.find.operation import Operation
from ringzero.isa.instruction import BRANCH, JUMP

Register = tuple[str, int]  # ("x", 5)


@dataclass
class Block:
    """Operations that run one after the other, and the leaders they may go to."""

    leader: int
    operations: list[Operation] = field(default_factory=list)
    successors: set[int] = field(default_factory=set)
    reads: int = 0  # registers read before they are set
    sets: int = 0
    dirty: int = 0  # registers that may have changed since the entry, at the block's start
    needs: int = 0  # registers that must be known at the block's start

    @property
    def end(self) -> int:
        """The offset behind the last operation."""
        return self.operations[-1].next

    @property
    def page(self) -> int:
        """The page that the last operation begins on."""
        return self.operations[-1].page


def written(op: Operation) -> Register | None:
    """The register that an operation sets."""
    if op.one.destination is None or op.one.kind is BRANCH:
        return None
    if op.one.destination == "frd":
        return "f", op.rd
    return ("x", op.rd) if op.rd else None


def sources(op: Operation) -> set[Register]:
    """The registers that an operation reads."""
    found: set[Register] = set()
    for name in op.one.parameters:
        if name in ("rs1", "rs2", "rs3"):
            found.add(("x", op.field(op.one.sources[name])))
        elif name in ("frs1", "frs2", "frs3"):
            found.add(("f", op.field(op.one.sources[name])))
    return found - {("x", 0)}


def bit(register: Register) -> int:
    """A register's place in a mask."""
    return 1 << (register[1] + 32 * (register[0] == "f"))


def registers(mask: int) -> list[Register]:
    """The registers of a mask."""
    return [("f" if n >= 32 else "x", n % 32) for n in range(64) if mask >> n & 1]


def _block(graph: Graph, leader: int) -> Block:
    block, at = Block(leader), leader
    while (op := graph.operations.get(at)) and (at == leader or at not in graph.leaders):
        block.operations.append(op)
        for register in sources(op):
            block.reads |= bit(register) & ~block.sets
        target = written(op)
        block.sets |= bit(target) if target else 0
        at = op.next
        if op.one.kind in (BRANCH, JUMP):
            if op.goes is not None:
                block.successors.add(op.goes)
            block.successors |= graph.ways(op)
            break
    if block.operations[-1].one.kind is not JUMP:
        block.successors.add(at)
    return block


def blocks(graph: Graph) -> dict[int, Block]:
    """The blocks by leader, with what flows between them."""
    found = {at: _block(graph, at) for at in sorted(graph.leaders) if at in graph.operations}
    before: dict[int, list[Block]] = {at: [] for at in found}
    for block in found.values():
        block.successors &= found.keys()
        for at in block.successors:
            before[at].append(block)
    _dirty(found)
    _needs(found, before)
    return found


def _dirty(found: dict[int, Block]) -> None:
    pending = list(found.values())
    while pending:
        block = pending.pop()
        after = block.dirty | block.sets
        for at in block.successors:
            if after & ~found[at].dirty:
                found[at].dirty |= after
                pending.append(found[at])


def _needs(found: dict[int, Block], before: dict[int, list[Block]]) -> None:
    """Any block may leave, so it needs what is dirty at its start."""
    for block in found.values():
        block.needs = block.reads | block.dirty
    pending = list(found.values())
    while pending:
        block = pending.pop()
        for one in before[block.leader]:
            wanted = block.needs & ~one.sets & ~one.needs
            if wanted:
                one.needs |= wanted
                pending.append(one)


@dataclass
class Group:
    """Accesses of one block off one value of a register: a single look at the table for all."""

    operations: list[Operation]

    @property
    def reference(self) -> Operation:
        """The widest access, whose alignment is that of all."""
        return max(self.operations, key=lambda op: op.access)

    @property
    def stores(self) -> bool:
        """Whether one of them stores."""
        return any(op.stores for op in self.operations)

    def takes(self, op: Operation) -> bool:
        """Whether an access fits: it is aligned whenever the others are, and not far away."""
        widest = max(op, self.reference, key=lambda one: one.access)
        everyone = [*self.operations, op]
        near = max(o.imm for o in everyone) - min(o.imm for o in everyone) < 1024
        return near and all((o.imm - widest.imm) % o.access == 0 for o in everyone)


def groups(block: Block) -> dict[int, Group]:
    """The groups of a block by the offsets of their accesses."""
    open_groups: dict[int, list[Group]] = {}  # by register
    found: dict[int, Group] = {}
    for op in block.operations:
        if op.access:
            mine = open_groups.setdefault(op.rs1, [])
            group = next((g for g in mine if g.takes(op)), None)
            if group is None:
                group = Group([])
                mine.append(group)
                group.operations.append(op)
            else:
                group.operations.append(op)
            found[op.offset] = group
        target = written(op)
        if target and target[0] == "x":
            open_groups.pop(target[1], None)
    return found
