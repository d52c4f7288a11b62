"""One instruction of a region: decoded, at an offset from the start of the hot page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ringzero.isa.footprint import Load, Store
from ringzero.isa.instruction import JUMP, SYSTEM, Instruction

PAGE = 4096
LINKS = (1, 5)  # registers that hold return addresses, by the calling convention


def compilable(one: Instruction) -> bool:
    """Whether regions execute an instruction, of CSRs some; the interpreter does the others."""
    return one.extension == "Zicsr" or one.compiles


@dataclass(frozen=True)
class Operation:
    """One decoded instruction at an offset."""

    offset: int
    size: int
    one: Instruction
    rd: int
    rs1: int
    rs2: int
    rs3: int
    imm: int  # signed
    known: int | None = None  # of an indirect jump: where it always goes (`constants.py`)
    since: int = 0  # where the code begins that makes this address

    @property
    def next(self) -> int:
        """The offset behind it."""
        return self.offset + self.size

    @property
    def target(self) -> int:
        """Where a branch or direct jump goes."""
        return self.offset + self.imm

    @property
    def goes(self) -> int | None:
        """Where it goes if it does not fall through; None where that is not known."""
        return self.target if self.one.may_jump_static else self.known

    @property
    def page(self) -> int:
        """The page it begins on, counted from the hot one."""
        return self.offset // PAGE

    @property
    def straddles(self) -> bool:
        """Whether its second half is on the next page."""
        return self.size == 4 and self.offset % PAGE == PAGE - 2

    @property
    def calls(self) -> bool:
        """Whether it is a jump that leaves a return address."""
        return self.one.kind is JUMP and self.rd in LINKS

    @property
    def returns(self) -> bool:
        """Whether it is a jump to a return address."""
        return self.one.kind is JUMP and self.rd == 0 and self.rs1 in LINKS

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

    @cached_property
    def access(self) -> int:
        """The bytes of a plain load or store at rs1 + imm; 0 for anything else."""
        access = self.one.access
        return access.size if isinstance(access, Load | Store) else 0

    @property
    def stores(self) -> bool:
        """Whether it changes memory, or the reservation."""
        return self.one.access is not None and self.one.access.changes
