"""Addresses that straight code makes of pc: `auipc` and `jalr` together are a direct jump.

Compilers write every call that `jal` does not reach like this. What holds along a path of the
exploration holds in the region only where no other path comes in between: `graph.settle` looks at
that when all leaders are known.
"""

from __future__ import annotations

from dataclasses import replace

from ringzero.engine.regions.find.operation import Operation


class Constants:
    """Which registers hold an offset, along one path; and where the path began to make it."""

    def __init__(self) -> None:
        self.values: dict[int, tuple[int, int]] = {}

    def follow(self, op: Operation) -> Operation:
        """Go on behind an operation; it comes back with its target, where that is known."""
        before = self.values.get(op.rs1) if "rs1" in op.one.parameters else None
        if op.one.destination == "rd":
            self.values.pop(op.rd, None)
        if op.one.name == "auipc":
            self._hold(op, op.offset + op.imm, op.offset)
        elif before is None:
            return op
        elif op.one.name == "addi":
            self._hold(op, before[0] + op.imm, before[1])
        elif op.one.name == "jalr":
            return replace(op, known=(before[0] + op.imm) & -2, since=before[1])
        return op

    def _hold(self, op: Operation, value: int, since: int) -> None:
        if op.rd:
            self.values[op.rd] = value, since
