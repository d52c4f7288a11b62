"""Looking at a hart from outside: registers by name, CSRs through their own text, disassembly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringzero.errors import UsageError
from ringzero.isa.hart import Hart, M
from ringzero.isa.privileged.trap import Trap
from ringzero.isa.tools.names import F_NUMBERS, X_NUMBERS
from ringzero.lang import Array, u64
from ringzero.machine.clock import Clock

if TYPE_CHECKING:
    from ringzero.machines.riscv import Machine


def register_number(name: str) -> tuple[str, int]:
    """The array of Hart ("x" or "f") and the number behind a register's name."""
    if name in X_NUMBERS:
        return "x", X_NUMBERS[name]
    if name in F_NUMBERS:
        return "f", F_NUMBERS[name]
    raise UsageError(f"There is no register {name!r}: use ABI names such as a0, or x10, f3, pc.")


class Registers:
    """The integer registers, by number."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def __getitem__(self, number: int) -> int:
        return int(self._state.x[number])

    def __setitem__(self, number: int, value: int) -> None:
        if number:
            self._state.x[number] = type(self._state.x[number])(value & (1 << 64) - 1)


def copy_of(state: Any) -> Hart:
    """A hart of its own in the state of one that an engine runs."""
    copy = Hart()
    for name, kind in Hart.fields.items():
        value = getattr(state, name)
        if issubclass(kind, Array):
            for i in range(kind.length):
                getattr(copy, name)[i] = u64(value[i])
        else:
            setattr(copy, name, kind(value))
    return copy


class Csrs:
    """CSRs of a hart: the definitions' own text runs on a copy of its state, as M-mode."""

    def __init__(self, state: Any, clock: Clock) -> None:
        self.state, self.clock = state, clock

    def now(self, hart: Hart) -> u64:
        """Port: mtime."""
        return u64(self.clock.now())

    def _copy(self) -> Hart:
        copy = copy_of(self.state)
        copy.host = self
        return copy

    def _number(self, name: str) -> u64:
        from ringzero.isa.csrs.registry import (
            NUMBERS,  # every CSR's definition: when one is asked for
        )

        if name not in NUMBERS:
            raise UsageError(f"There is no CSR {name!r} on this machine: see docs/isa.md.")
        return u64(NUMBERS[name])

    def read(self, name: str) -> int:
        """The value that M-mode reads."""
        from ringzero.isa.csrs.registry import csr_read

        copy = self._copy()
        copy.mode, copy.virtual = u64(M), u64(0)
        try:
            return int(csr_read(copy, self._number(name)))
        except Trap:
            raise UsageError(f"CSR {name} cannot be read in the hart's present state.") from None

    def write(self, name: str, value: int) -> None:
        """Write as M-mode does."""
        from ringzero.isa.csrs.registry import csr_write

        copy = self._copy()
        mode, copy.mode = copy.mode, u64(M)
        virtual, copy.virtual = copy.virtual, u64(0)
        try:
            csr_write(copy, self._number(name), u64(value))
        except Trap:
            raise UsageError(f"CSR {name} cannot be written.") from None
        copy.mode, copy.virtual = mode, virtual
        for field, kind in Hart.fields.items():
            changed = getattr(copy, field)
            if issubclass(kind, Array):
                ours = getattr(self.state, field)
                for i in range(kind.length):
                    ours[i] = type(ours[i])(changed[i])
            else:
                setattr(self.state, field, type(getattr(self.state, field))(changed))


def stopped_at(machine: Machine, pc: int) -> tuple[int | None, str]:
    """The word at a pc and its disassembly, where the pc is a physical address in RAM."""
    from ringzero.isa.tools.disassembler import disassemble

    if not machine.memory.contains(pc, 4):
        return None, "no memory there"
    word = int.from_bytes(machine.memory.read(pc, 4), "little")
    if word & 3 != 3:
        word &= 0xFFFF
    return word, disassemble(word, pc)
