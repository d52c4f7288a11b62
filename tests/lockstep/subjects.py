"""Engines under test, behind the little that lockstep asks of one.

A subject loads an image at 0x80000000, takes one step (an instruction or a trap) at a time, and
shows its registers, CSRs and RAM.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

from ringzero.board import clint
from ringzero.engine.reference import ReferenceEngine
from ringzero.isa.hart import VIRTUAL, Hart, add_hypervisor, reset
from ringzero.lang import Array, u64
from ringzero.machine.memory import GuestMemory
from tests.lockstep.views import READERS

RAM = 0x8000_0000
CLINT, MSIP, MTIMECMP = 0x0200_0000, 0, 0x4000
MIP = 0x344
MSIP_LINE, MTIP_LINE = 1 << 3, 1 << 7


class Subject(Protocol):
    """An engine under test."""

    address: int  # where RAM stands in this process
    hypervisor: bool  # whether the hart has H, from the next image on

    def load(self, image: bytes) -> None:
        """Out of reset in M-mode at 0x80000000, with `image` there and zeros behind it."""

    def step(self) -> None:
        """Execute one instruction, or take one trap or interrupt."""

    def waits(self) -> bool:
        """Whether the hart is in wfi, and nothing will wake it."""

    def registers(self) -> list[int]:
        """pc, x0–x31, f0–f31, mode."""

    def csr(self, number: int) -> int:
        """A CSR's value, without permission checks."""


class BareBoard:
    """RAM and as much of a CLINT as raises M's interrupts; time stands still, as in Spike."""

    def __init__(self, size: int) -> None:
        self.lock = nullcontext()  # its one user runs on one thread
        self.ram = bytearray(size)
        self.timer = (1 << 64) - 1
        self.software = 0
        self.changed: Callable[[int], None] = lambda lines: None

    def read(self, address: int, size: int) -> int | None:
        """RAM and the CLINT's two registers."""
        offset = address - RAM
        if offset >= 0 and offset + size <= len(self.ram):
            return int.from_bytes(self.ram[offset : offset + size], "little")
        if CLINT <= address < CLINT + 0xC000:
            return self._clint().get(address - CLINT, 0)
        return None

    def _clint(self) -> dict[int, int]:
        return {MSIP: self.software, MTIMECMP: self.timer}

    def write(self, address: int, size: int, value: int) -> bool:
        """The same, to write."""
        offset = address - RAM
        if offset >= 0 and offset + size <= len(self.ram):
            self.ram[offset : offset + size] = value.to_bytes(size, "little")
            return True
        if not CLINT <= address < CLINT + 0xC000:
            return False
        if address == CLINT + MSIP:
            self.software = value & 1
        elif address == CLINT + MTIMECMP:
            self.timer = value
        software = MSIP_LINE if self.software else 0
        self.changed(software | (MTIP_LINE if self.now() >= self.timer else 0))
        return True

    def now(self) -> int:
        """mtime."""
        return 0


def mode(hart: Any) -> int:
    """The mode, and V."""
    return int(hart.mode) + VIRTUAL * int(hart.virtual)


class ReferenceSubject:
    """The reference engine on a bare board."""

    hypervisor = False

    def __init__(self, size: int) -> None:
        self.size = size

    def load(self, image: bytes) -> None:
        """A fresh hart and board."""
        self.board = BareBoard(self.size)
        self.board.ram[: len(image)] = image
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.board.ram))
        self.hart: Any = Hart()
        reset(self.hart, 0, RAM)
        if self.hypervisor:
            add_hypervisor(self.hart)
        self.board.changed = self._lines
        self.engine = ReferenceEngine(self.hart, self.board)

    def _lines(self, lines: int) -> None:
        self.hart.lines = u64(lines)

    def step(self) -> None:
        """One step."""
        self.engine.step()

    def waits(self) -> bool:
        """Whether the hart is in wfi, and nothing will wake it."""
        return self.engine.waiting and not READERS[MIP](self.hart) & int(self.hart.mie)

    def registers(self) -> list[int]:
        """pc, x0–x31, f0–f31, mode."""
        hart = self.hart
        x = [int(value) for value in hart.x.items[:32]]
        return [int(hart.pc), *x, *(int(value) for value in hart.f.items), mode(hart)]

    def csr(self, number: int) -> int:
        """A CSR's value, without permission checks."""
        return READERS[number](self.hart)


class InterpreterSubject:
    """The native interpreter on the same bare board: its RAM, and its own CLINT."""

    hypervisor = False

    def __init__(self, size: int) -> None:
        from ringzero.engine.interpreter import Interpreter

        self.size = size
        self.memory = GuestMemory(size, RAM)
        self.address = self.memory.address_of_buffer
        self.native: Any = Interpreter(self.memory, BareBoard(0), 1, deterministic=True)
        self.clint = bytearray(clint.SIZE)
        self.native.share_clint(CLINT, self.clint)
        self.hart = self.native.hart(0)

    def load(self, image: bytes) -> None:
        """The state out of reset, in place: a new interpreter would cost more than its program."""
        self.clint[:] = bytes(clint.MTIMECMP) + b"\xff" * (clint.SIZE - clint.MTIMECMP)
        self.memory.write(RAM, image.ljust(self.size, b"\0"))
        fresh = Hart()
        reset(fresh, 0, RAM)
        if self.hypervisor:
            add_hypervisor(fresh)
        for name, kind in Hart.fields.items():
            if issubclass(kind, Array):
                for index in range(kind.length):
                    getattr(self.hart, name)[index] = 0
            else:
                setattr(self.hart, name, int(getattr(fresh, name)))
        core = self.native.cores[0]
        core.seen = core.counted = core.waiting = 0
        self.native.flush_translations()

    def step(self) -> None:
        """One step, at mtime 0 as Spike has it."""
        self.native.shared.elapsed = 0  # what its clock counts
        self.native.step(0)

    def waits(self) -> bool:
        """Whether the hart is in wfi, and nothing will wake it."""
        return self.native.idle(0) and not READERS[MIP](self.hart) & self.hart.mie

    def run(self, instructions: int) -> int:
        """Run freely; how many retired.

        The interpreter's `run` would single-step so few instructions, to stop exactly: ask for what
        is below it, which stops where code jumps.
        """
        before = self.hart.retired
        self.native.shared.elapsed = 0
        self.native._run(instructions)
        return int(self.hart.retired - before)

    def registers(self) -> list[int]:
        """pc, x0–x31, f0–f31, mode."""
        hart = self.hart
        return [hart.pc, *hart.x[:32], *hart.f[:], mode(hart)]

    def csr(self, number: int) -> int:
        """A CSR's value, without permission checks."""
        return READERS[number](self.hart)


class CompilerSubject(InterpreterSubject):
    """The same with every block compiled before its first execution."""

    def __init__(self, size: int) -> None:
        from ringzero.engine.compiler import Compiling

        super().__init__(size)
        self.compiling = Compiling(self.native, 1, ahead=True)


SUBJECTS: dict[str, Callable[[int], Subject]] = {
    "interpreter": InterpreterSubject,
    "compiler": CompilerSubject,
    "reference": ReferenceSubject,
}
