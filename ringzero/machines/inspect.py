"""Looking at a hart from outside: registers by name, CSRs through their own text, disassembly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ringzero.engine.ports import HartCounts
from ringzero.errors import UsageError
from ringzero.isa.hart import Hart, M
from ringzero.isa.privileged.trap import CAUSES, INTERRUPT, INTERRUPT_NAMES, Trap
from ringzero.isa.tools.names import F_NUMBERS, X_NAMES, X_NUMBERS
from ringzero.lang import Array, u64
from ringzero.machine.clock import Clock
from ringzero.machine.memory import GuestMemory
from ringzero.machines.arguments import whole
from ringzero.machines.counters import Counters

MODES = {0: "U", 1: "S", 3: "M", 4: "VU", 5: "VS"}
STAGES = ("S", "VS", "G", "G")  # by isa.paging's OWN, VIRTUAL, GUEST, TABLES
ALL_ONES = (1 << 64) - 1
DUMPED_CSRS = (
    "mstatus", "mepc", "mcause", "mtval", "mtvec", "mie", "mip", "medeleg", "mideleg",
    "sepc", "scause", "stval", "stvec", "satp",
)  # fmt: skip


def register_number(name: str) -> tuple[str, int]:
    """The array of Hart ("x" or "f") and the number behind a register's name."""
    for array, numbers in (("x", X_NUMBERS), ("f", F_NUMBERS)):
        if isinstance(name, str) and name in numbers:
            return array, numbers[name]
    raise UsageError(f"There is no register {name!r}: use ABI names such as a0, or x10, f3, pc.")


def get_register(state: Any, name: str) -> int:
    """A register of a hart by its name."""
    if name == "pc":
        return int(state.pc)
    array, number = register_number(name)
    return int(getattr(state, array)[number])


def set_register(state: Any, name: str, value: int) -> None:
    """Set it; x0 stays zero, and an odd pc is refused, for no hart ever has one (IALIGN=16)."""
    value = _register_value(name, value)
    if name == "pc":
        if value & 1:
            raise UsageError(f"pc={value:#x} is odd: instructions are at even addresses.")
        state.pc = type(state.pc)(value)
        return
    array, number = register_number(name)
    if (array, number) != ("x", 0):
        registers = getattr(state, array)
        registers[number] = type(registers[number])(value)


def _register_value(name: str, value: object) -> int:
    return whole(name, value, -(1 << 63), ALL_ONES) & ALL_ONES


class Registers:
    """The integer registers of a hart, by number; each access asks the machine whether it may."""

    def __init__(self, state: Callable[[], Any], write: Callable[[str, int], None]) -> None:
        self._state, self._write = state, write

    def __getitem__(self, number: int) -> int:
        return int(self._state().x[whole("the register's number", number, 0, 31)])

    def __setitem__(self, number: int, value: int) -> None:
        self._write(f"x{whole('the number', number, 0, 31)}", value)

    def __len__(self) -> int:
        return 32


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

        if not isinstance(name, str) or name not in NUMBERS:
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
        # Counters take a write to come from an instruction, which is to be counted, or not, behind
        # it: here it is the last one that retired.
        retired, copy.retired = copy.retired, u64(copy.retired - 1)
        try:
            csr_write(copy, self._number(name), u64(value))
        except Trap:
            raise UsageError(f"CSR {name} cannot be written.") from None
        copy.mode, copy.virtual, copy.retired = mode, virtual, retired
        for field, kind in Hart.fields.items():
            changed = getattr(copy, field)
            if issubclass(kind, Array):
                ours = getattr(self.state, field)
                for i in range(kind.length):
                    ours[i] = type(ours[i])(changed[i])
            else:
                setattr(self.state, field, type(getattr(self.state, field))(changed))


def instruction_at(memory: GuestMemory, pc: int) -> tuple[int | None, str]:
    """The word at a pc and its disassembly, where the pc is a physical address in RAM."""
    from ringzero.isa.tools.disassembler import disassemble

    if not memory.contains(pc, 4):
        return None, "no memory there"
    word = int.from_bytes(memory.read(pc, 4), "little")
    if word & 3 != 3:
        word &= 0xFFFF
    return word, disassemble(word, pc)


def described(state: Any, clock: Clock) -> str:
    """A hart's registers, and the CSRs that tell how it got where it is."""
    csrs = Csrs(state, clock)
    lines = [f"pc       {int(state.pc):#018x}"]
    cells = [f"{name:4} {int(state.x[i]):#018x}" for i, name in enumerate(X_NAMES)]
    lines += ["  ".join(cells[i : i + 4]) for i in range(0, len(cells), 4)]
    cells = [f"{name:8} {csrs.read(name):#018x}" for name in DUMPED_CSRS]
    lines += ["  ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
    return "\n".join(lines)


def counted(harts: Iterable[HartCounts]) -> Counters:
    """What harts did, in the names that users know."""
    instructions = dict.fromkeys(("M", "S", "U"), 0)
    traps: dict[str, int] = {}
    interrupts: dict[str, int] = {}
    translation = dict.fromkeys(("refills", *STAGES), 0)
    for counts in harts:
        for mode, number in counts.retired.items():
            name = MODES[mode]
            instructions[name] = instructions.get(name, 0) + number
        for cause, number in counts.traps.items():
            table, names = (interrupts, INTERRUPT_NAMES) if cause & INTERRUPT else (traps, CAUSES)
            name = names.get(cause & 63, f"cause {cause & 63}")
            table[name] = table.get(name, 0) + number
        translation["refills"] += counts.refills
        for stage, number in counts.entries.items():
            translation[STAGES[stage]] += number
    return Counters(instructions, traps, interrupts, translation)
