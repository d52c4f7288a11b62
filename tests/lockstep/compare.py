"""Run one program on Spike and on a subject, a step at a time, and find the first difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ringzero.isa.csrs.registry import NUMBERS
from ringzero.isa.tools.disassembler import disassemble
from tests.lockstep.generate import Program
from tests.lockstep.layout import RAM, SIZE, WATCHED
from tests.lockstep.spike import Spike
from tests.lockstep.stream import AWAY, OF_H
from tests.lockstep.subjects import Subject

NAMES = {number: name for name, number in NUMBERS.items()}
ALWAYS = tuple(NUMBERS[name] for name in ("mstatus", "fcsr"))
EVERY = tuple(number for number in NUMBERS.values() if number not in AWAY)
COUNTERS = ("hpm", "mhpm", "pmp", "time")
AFTER_SYSTEM = tuple(n for n in EVERY if not NAMES[n].startswith(COUNTERS))
CAUSES = tuple(NUMBERS[f"{m}{name}"] for m in "ms" for name in ("cause", "tval", "epc"))
LEVELS = ("s", "s", "", "m", "vs", "vs")  # whose handler is entered, by mode
REGISTERS = ("pc", *(f"x{i}" for i in range(32)), *(f"f{i}" for i in range(32)), "mode")
MODES = ("U", "S", "?", "M", "VU", "VS")
STUCK_WINDOW, STUCK_RETIRED = 64, 8  # fewer instructions than this in a window: traps that loop
SYSTEM_OPCODE = 0x73
# Instructions that leave memory alone (code pages are marked as accessed from the start)
REGISTERS_ONLY = frozenset(bytes.fromhex("13331b3b3717636f675343474b4f"))  # major opcodes
NOWHERE = 0x7F
TRAPS_IN_A_ROW = 4
LIMIT = 4000  # steps of one program


@dataclass
class Difference(Exception):
    """Where two models disagree, and what led there."""

    seed: int
    step: int
    what: list[str]
    trail: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, step {self.step}: " + "; ".join(self.what)]
        return "\n".join([*lines, "the last steps:", *(f"  {line}" for line in self.trail)])


@dataclass
class Outcome:
    """What a program without a difference did."""

    steps: int = 0
    traps: dict[int, int] = field(default_factory=dict)
    modes: dict[int, int] = field(default_factory=dict)


class Lockstep:
    """Spike and one subject, side by side."""

    def __init__(self, subject: Subject, *, hypervisor: bool = False) -> None:
        self.spike, self.subject = Spike(SIZE, hypervisor), subject
        self.hypervisor = subject.hypervisor = hypervisor
        self.absent = frozenset() if hypervisor else OF_H
        self.after_system = tuple(n for n in AFTER_SYSTEM if n not in self.absent)

    def run(self, seed: int) -> Outcome:
        """One program from its first instruction to its end; raises the first Difference."""
        program = self.program(seed)
        image = bytes(program.image)
        self.spike.load(image)
        self.subject.load(image)
        self.seed, self.outcome = seed, Outcome()
        self.trail: list[tuple[int, int]] = []
        self.started = False
        quiet, window = 0, 0
        while self.outcome.steps < LIMIT and self.spike.words[0] != program.end:
            retired = self._step()
            if self.subject.waits():  # time stands still: nothing more can come
                break
            window, quiet = window + 1, quiet + (not retired)
            if window == STUCK_WINDOW:
                if quiet > STUCK_WINDOW - STUCK_RETIRED:
                    break
                window = quiet = 0
        self._compare_csrs(tuple(n for n in EVERY if n not in self.absent))
        self._compare_memory()
        return self.outcome

    def program(self, seed: int) -> Program:
        """The program to run."""
        return Program(seed, hypervisor=self.hypervisor)

    def _step(self) -> bool:
        before = self.spike.registers()
        self.spike.step()
        self.subject.step()
        self.outcome.steps += 1
        self.trail.append((before[0], before[65]))
        golden = self._compare_registers(before[0])
        opcode = self._word(before[0]) & 0x7F
        if opcode not in REGISTERS_ONLY or self.outcome.steps % 64 == 0:
            self._compare_memory()
        self.started = self.started or golden[65] != before[65]
        cause = self._trap(before[0], golden)
        if self.started:
            system = cause is not None or opcode == SYSTEM_OPCODE
            self._compare_csrs(self.after_system if system else ALWAYS)
        self._count(before[65], cause)
        return cause is None

    def _compare_registers(self, before: int) -> list[int]:
        """Spike's registers, which the subject's are equal to; `before` is where the step began."""
        golden, ours = self.spike.registers(), self.subject.registers()
        for _ in range(TRAPS_IN_A_ROW):
            # An engine may take the traps that follow in the same step; Spike steps for each.
            entered = ours[0] not in (before + 2, before + 4) and self._entered(ours)
            if not entered or (golden == ours and not self._different(CAUSES)):
                break
            self.spike.step()
            golden = self.spike.registers()
            level = "m" if golden[65] == 3 else "s"
            self._count(golden[65], self.spike.csr(NUMBERS[f"{level}cause"]))
        if golden != ours:
            pairs = zip(REGISTERS, golden, ours, strict=True)
            wrong = [f"{n} is {b:#x}, Spike says {a:#x}" for n, a, b in pairs if a != b]
            self._fail([*wrong, *self._different(CAUSES)])
        return golden

    def _compare_memory(self) -> None:
        page = self.spike.differs(self.subject.address, WATCHED)
        if page is not None:
            self._fail([f"RAM differs at {self._where(page):#x}"])

    def _entered(self, ours: list[int]) -> bool:
        """Whether the subject stands at the start of a handler."""
        level = LEVELS[ours[65]]
        vector, cause = (self.subject.csr(NUMBERS[level + name]) for name in ("tvec", "cause"))
        spread = (cause & 63) * 4 if vector & 1 and cause >> 63 else 0
        return ours[0] == (vector & ~3) + spread

    def _trap(self, pc: int, golden: list[int]) -> int | None:
        """The cause, if this step entered a handler instead of retiring."""
        if golden[0] in (pc + 2, pc + 4):
            return None
        level = LEVELS[golden[65]]
        epc, vector, cause = (self.spike.csr(NUMBERS[level + n]) for n in ("epc", "tvec", "cause"))
        spread = (cause & 63) * 4 if vector & 1 and cause >> 63 else 0
        return cause if epc == pc and golden[0] == (vector & ~3) + spread else None

    def _count(self, mode: int, cause: int | None) -> None:
        if cause is None:
            self.outcome.modes[mode] = self.outcome.modes.get(mode, 0) + 1
        else:
            self.outcome.traps[cause] = self.outcome.traps.get(cause, 0) + 1

    def _compare_csrs(self, numbers: tuple[int, ...]) -> None:
        wrong = self._different(numbers)
        if wrong:
            self._fail(wrong)

    def _different(self, numbers: tuple[int, ...]) -> list[str]:
        wrong = []
        for number in numbers:
            golden, ours = self.spike.csr(number), self.subject.csr(number)
            if golden != ours:
                wrong.append(f"{NAMES[number]} is {ours:#x}, Spike says {golden:#x}")
        return wrong

    def _fail(self, what: list[str]) -> None:
        trail = [self._told(pc, mode) for pc, mode in self.trail[-6:]]
        raise Difference(self.seed, self.outcome.steps, what, trail)

    def _where(self, page: int) -> int:
        import ctypes

        golden = self.spike.read(RAM + page * 4096, 4096)
        ours = ctypes.string_at(self.subject.address + page * 4096, 4096)
        return RAM + page * 4096 + next(i for i in range(4096) if golden[i] != ours[i])

    def _word(self, pc: int) -> int:
        """The instruction at a pc, if it stands where the generator puts code."""
        for base in (RAM, 0x4000_0000):
            if base <= pc < base + 0x1_0000:
                return int.from_bytes(self.spike.read(RAM + (pc - base & ~1), 2), "little")
        return NOWHERE

    def _told(self, pc: int, mode: int) -> str:
        offset = pc & 0xFFFF_FFFF
        for base in (RAM, 0x4000_0000):
            if base <= pc < base + SIZE and offset % 4096 < 4093:
                word = int.from_bytes(self.spike.read(RAM + pc - base, 4), "little")
                word = word if word & 3 == 3 else word & 0xFFFF
                return f"{MODES[mode]} {pc:#x}: {word:08x} {_text(word)}"
        return f"{MODES[mode]} {pc:#x}"


def _text(word: int) -> Any:
    try:
        return disassemble(word)
    except Exception as error:  # a word that is no instruction is worth showing, not failing on
        return f"({error})"
