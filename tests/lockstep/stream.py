"""Random instructions, drawn from the rows themselves, so that a new instruction is drawn too.

Registers x2, x8 and x9 point to data and are never a destination, so that memory instructions reach
something. Control flow goes forward only. CSRs come with the sequences that keep a program alive.
"""

from __future__ import annotations

import random

from ringzero.isa.compressed import RULES, Rule
from ringzero.isa.csrs.machine import hypervisor_present
from ringzero.isa.csrs.registry import ALL, NUMBERS
from ringzero.isa.decode import lookup
from ringzero.isa.footprint import Block
from ringzero.isa.instruction import BRANCH, JUMP, SYSTEM, Instruction
from ringzero.isa.privileged.access import BLOCK
from ringzero.isa.privileged.counters import CYCLE, INSTRET
from ringzero.isa.registry import BY_NAME, INSTRUCTIONS
from ringzero.isa.tools.assembler import encode
from tests.lockstep import values

POINTERS = (2, 8, 9)
WORDS_POINTER, DOUBLES_POINTER = 8, 9  # lr.w and lr.d at addresses that never meet
# Not comparable: misa and marchid differ, and Spike has triggers, contexts and mseccfg besides.
AWAY = (0x301, 0xF12, 0x5A8, 0x6A8, 0x7A8, 0x747, 0x757, *range(0x7A0, 0x7A6))
OF_H = frozenset(
    number
    for csr in ALL
    if hypervisor_present in csr.guards
    for number in range(csr.first, csr.last + 1)
)


def csr_groups(hypervisor: bool) -> list[list[int]]:
    """CSRs to draw from: a row weighs as much as a single one."""
    numbers = sorted(set(NUMBERS.values()) - set(AWAY) - (frozenset() if hypervisor else OF_H))
    wide = [csr for csr in ALL if csr.first < csr.last]
    rows = [[n for n in numbers if csr.first <= n <= csr.last] for csr in wide]
    return [*filter(None, rows), *([n] for n in numbers if not any(n in row for row in rows))]


GROUPS = {hypervisor: csr_groups(hypervisor) for hypervisor in (False, True)}
MSTATUS, SSTATUS, MENVCFG, SENVCFG = 0x300, 0x100, 0x30A, 0x10A
MIE, MIP, CLINT, C_NOP = 0x304, 0x344, 0x0200_0000, 0x0001
STIMECMP, SATP, MCOUNTINHIBIT, SSTATEEN0 = 0x14D, 0x180, 0x320, 0x10C
VSSTATUS, HENVCFG, VSTIMECMP, VSATP, HGATP = 0x200, 0x60A, 0x24D, 0x280, 0x680
FRAGILE = (0x305, 0x340, 0x105, 0x205, SATP)  # mtvec, mscratch, (v)stvec, satp: written, put back
PMP = range(0x3A0, 0x3F0)
MAPPING = (SATP, MENVCFG, HENVCFG, VSATP, HGATP, *PMP)  # followed by sfence.vma
# Not every value of these is comparable
CHOSEN = (MSTATUS, SSTATUS, MENVCFG, SENVCFG, STIMECMP, VSSTATUS, HENVCFG, VSTIMECMP,
          MCOUNTINHIBIT)  # fmt: skip
AS_WHOLE = (MENVCFG, HENVCFG, STIMECMP, VSTIMECMP, MCOUNTINHIBIT)  # written by csrrw only
ENVIRONMENT = (MENVCFG, HENVCFG, SENVCFG)
FS = 3 << 13
COUNTED = CYCLE | INSTRET  # which Spike stops and starts before the writing instruction is counted

PLAIN = [
    one
    for one in INSTRUCTIONS
    if one.kind not in (BRANCH, JUMP, SYSTEM) and not one.name.startswith(("lr.", "sc.", "wrs"))
]
INTEGER = [one for one in PLAIN if not one.memory and not one.floats]
ATOMICS = [one for one in PLAIN if one.name.startswith("amo")]
MEMORY = [one for one in PLAIN if one.memory and one not in ATOMICS]
LOADS_AND_STORES = [one for one in MEMORY if not isinstance(one.access, Block)]
FLOATS = [one for one in PLAIN if one.floats and not one.memory]
BRANCHES = [one for one in INSTRUCTIONS if one.kind is BRANCH]
CSR_NAMES = ("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci")
IN_USER_MODE = ("ecall", "ebreak", "fence.i", "wrs.sto")  # wrs.nto may trap while TW is set, or not
OTHERS = (
    *IN_USER_MODE, "mret", "sret", "sfence.vma", "sinval.vma", "sfence.w.inval", "sfence.inval.ir",
)  # fmt: skip
GUEST_ACCESSES = [one for one in INSTRUCTIONS if one.name.startswith(("hlv", "hsv"))]
GUEST_FENCES = [one for one in INSTRUCTIONS if one.name.startswith(("hfence", "hinval"))]
SKIPPED_RULES = ("c.addi16sp", "c.ebreak")


class Stream:
    """Draws instructions; `code` collects their bytes."""

    def __init__(
        self, chance: random.Random, mode: int, timer: bool, lines: bool, hypervisor: bool,
        blocks: bool,
    ) -> None:  # fmt: skip
        self.chance, self.mode, self.timer, self.lines = chance, mode & 3, timer, lines
        self.hypervisor, self.blocks = hypervisor, blocks
        self.rank = 2 if mode == 1 and hypervisor else self.mode  # what CSRs' numbers ask for
        self.code = bytearray()

    def fill(self, size: int) -> bytes:
        """About `size` bytes of instructions."""
        while len(self.code) < size - 24:
            self.one()
        return bytes(self.code)

    def one(self) -> None:
        """One instruction, or a short sequence that belongs together."""
        kind = self.chance.random()
        for limit, draw in self.KINDS:
            if kind < limit:
                draw(self)
                return

    # ---- registers and words

    def register(self) -> int:
        """A destination."""
        places: list[int] = [0, 1, *range(3, 8), *range(10, 30)]
        return self.chance.choice(places)

    def register_but(self, kept: int) -> int:
        """A destination other than `kept`."""
        chosen = self.register()
        return 0 if chosen == kept else chosen

    def emit(self, name: str, **operands: int) -> None:
        """Append an instruction."""
        self.put(encode(BY_NAME[name], **operands))

    def put(self, word: int) -> None:
        """Append a word, or a parcel if its low bits say so."""
        self.code += word.to_bytes(4 if word & 3 == 3 else 2, "little")

    def drawn(self, one: Instruction) -> int:
        """Random operands in an instruction's row."""
        word = self.chance.getrandbits(32) & ~one.mask & 0xFFFF_FFFF | one.match
        if "rm" in one.row.fields and self.chance.random() < 0.8:
            word = word & ~(7 << 12) | self.chance.choice((0, 1, 2, 3, 4, 7)) << 12
        return self.tamed(word, one)

    def tamed(self, word: int, one: Instruction) -> int:
        """Keep the pointers, and use them as addresses."""
        if one.destination == "rd":
            word = word & ~(31 << 7) | self.register() << 7
        if one.memory and "rs1" in one.row.fields:
            word = word & ~(31 << 15) | self.chance.choice(POINTERS) << 15
        return word

    # ---- kinds of instructions

    def integer(self) -> None:
        self.put(self.drawn(self.chance.choice(INTEGER)))

    def aligned(self, pointer: int, size: int) -> int:
        """A register with an aligned address: Spike lets a misaligned amo pass on a TLB hit."""
        self.emit("andi", rd=5, rs1=pointer, imm=-size)
        return 5

    def atomic(self) -> None:
        word = self.drawn(self.chance.choice(ATOMICS))
        address = self.aligned(self.chance.choice(POINTERS), 8)
        self.put(word & ~(31 << 15) | address << 15)

    def memory(self) -> None:
        one = self.chance.choice(MEMORY if self.blocks else LOADS_AND_STORES)
        word = self.drawn(one)
        if one.name == "cbo.zero":  # Spike reports the byte that it stores, not the address in rs1
            address = self.aligned(self.chance.choice(POINTERS), BLOCK)
            word = word & ~(31 << 15) | address << 15
        if self.chance.random() < 0.6 and "imm" in one.row.fields:  # aligned, mostly
            word &= ~(7 << (20 if "rd" in one.row.fields or "frd" in one.row.fields else 7))
        self.put(word)

    def floating(self) -> None:
        self.put(self.drawn(self.chance.choice(FLOATS)))

    def compressed(self) -> None:
        rule = self.chance.choice(RULES)
        parcel = self.chance.getrandbits(16) & ~rule.row.mask | rule.row.match
        if self.harmless(rule, parcel):
            self.put(parcel)
            if rule.target.memory:
                self.put(C_NOP)  # handlers skip four bytes

    def harmless(self, rule: Rule, parcel: int) -> bool:
        """Whether a parcel keeps the pointers and the flow of control."""
        if rule.name in SKIPPED_RULES or rule.target.kind in (BRANCH, JUMP, SYSTEM):
            return False
        if any(parcel & bits == 0 for bits in rule.nonzero):
            return False
        fields = {name: field.extract(parcel) for name, field in rule.row.fields.items()}
        if rule.target.destination == "rd" and self.changed(fields) in (*POINTERS, 31):
            return False
        if rule.target.memory and "rs1'" in fields:
            return fields["rs1'"] + 8 in POINTERS
        return True

    def changed(self, fields: dict[str, int]) -> int:
        """The destination of a parcel: rd, or else rs1', which arithmetic changes in place."""
        if "rd" in fields:
            return fields["rd"]
        return fields["rd'"] + 8 if "rd'" in fields else fields["rs1'"] + 8

    def branch(self) -> None:
        one = self.chance.choice(BRANCHES)
        word = self.chance.getrandbits(32) & ~one.mask & 0xFFFF_FFFF | one.match
        field = one.row.fields["imm"]
        word &= ~field.insert(-2)
        self.put(word | field.insert(self.chance.choice((4, 8, 12, 16))))
        self.landing()

    def landing(self) -> None:
        """Where jumps come down: nothing that belongs to a sequence."""
        for _ in range(3):
            self.integer()

    def jump(self) -> None:
        """jal, or auipc and jalr, over a few parcels."""
        if self.chance.random() < 0.5:
            self.emit("jal", rd=self.register(), imm=self.chance.choice((4, 8, 12, 16)))
        else:
            scratch = self.chance.choice((5, 6, 7))
            self.emit("auipc", rd=scratch, imm=0)
            ahead = self.chance.choice((8, 9, 12, 16, 20))
            self.emit("jalr", rd=self.register(), rs1=scratch, imm=ahead)
        self.landing()

    def reservation(self) -> None:
        """lr and sc together: what stands between is arithmetic."""
        letter, pointer = self.chance.choice((("w", WORDS_POINTER), ("d", DOUBLES_POINTER)))
        ordering = dict(aq=self.chance.getrandbits(1), rl=self.chance.getrandbits(1))
        address = self.aligned(pointer, 4 if letter == "w" else 8)
        value = self.chance.choice((0, 6, 7, *range(10, 29)))
        self.emit(f"lr.{letter}", rd=value, rs1=address, **ordering)
        if self.chance.random() < 0.5:
            self.emit("addi", rd=value, rs1=value, imm=self.chance.randrange(-2048, 2048))
        for _ in range(self.chance.choice((1, 1, 2))):
            self.emit(f"sc.{letter}", rd=self.register_but(5), rs1=address, rs2=value, **ordering)

    def csr(self) -> None:
        """Read and write a CSR with a random value."""
        number = self.chance.choice(self.chance.choice(GROUPS[self.hypervisor]))
        if number >> 8 & 3 > self.rank and self.chance.random() < 0.9:
            return
        if self.chance.random() < 0.03:
            number = self.chance.randrange(4096)
            if number in AWAY:
                return
        hidden = number == SSTATEEN0 and self.hypervisor and self.mode == 1
        if hidden or (number in PMP and self.blocks):
            self.emit("csrrs", rd=self.register(), rs1=0, csr=number)
            return
        if number == VSTIMECMP and self.timer:  # which Spike takes for stimecmp in part
            return
        if number == SATP and self.mode == 1:  # a new root would map neither this nor the handler
            self.emit("csrrs", rd=self.register(), rs1=0, csr=number)
            return
        if number in FRAGILE:
            self.emit("csrrw", rd=5, rs1=self.chance.randrange(32), csr=number)
            self.emit("csrrw", rd=self.register(), rs1=5, csr=number)
            return
        name = "csrrw" if number in AS_WHOLE else self.chance.choice(CSR_NAMES)
        if name.endswith("i"):
            small = self.chance.randrange(32) & (~1 if number in ENVIRONMENT else ~0)
            self.emit(name, rd=self.register(), csr=number, uimm=small)
        else:
            operand = self.chance.randrange(32)
            if number in CHOSEN or self.chance.random() < 0.3:
                operand = self.chance.choice((6, 7))
                self.constant(operand, self.csr_value(number))
            self.emit(name, rd=self.register(), rs1=operand, csr=number)
        if number in MAPPING:
            self.emit("sfence.vma", rs1=0, rs2=0)

    def csr_value(self, number: int) -> int:
        """A value to write: FS is Off or Dirty, for what Clean becomes is the engine's choice."""
        value = values.integer(self.chance)
        if number in (MSTATUS, SSTATUS, VSSTATUS):
            value = value | FS if self.chance.random() < 0.8 else value & ~FS
        if number == VSTIMECMP or (number == STIMECMP and not self.timer):
            # Spike lets them drive STIP without STCE
            value = values.MASK
        if number == MCOUNTINHIBIT:
            value &= ~COUNTED
        if number in ENVIRONMENT:
            value &= ~1  # FIOM, which Spike has not
        if number == HENVCFG:  # no STCE: Spike compares vstimecmp at other times
            value &= ~(1 << 31)
        if number == MENVCFG:  # the constant's sign becomes STCE, which stays as it is
            value = value | 1 << 31 if self.timer else value & ~(1 << 31)
        return value

    def constant(self, register: int, value: int) -> None:
        """The low 32 bits of `value`, sign-extended: lui and addiw."""
        low = (value & 0xFFF ^ 0x800) - 0x800
        self.put(BY_NAME["lui"].match | register << 7 | (value - low) & 0xFFFF_F000)
        self.emit("addiw", rd=register, rs1=register, imm=low)

    def far_jump(self) -> None:
        """c.jr or c.jalr, which have no target of their own."""
        while len(self.code) % 4:
            self.put(C_NOP)
        self.emit("auipc", rd=6, imm=0)
        self.emit("addi", rd=6, rs1=6, imm=self.chance.choice((10, 11, 14, 18, 22)))
        self.put(self.chance.choice((0x8302, 0x9302)))  # c.jr x6, c.jalr x6
        self.landing()

    def interrupt(self) -> None:
        """In M-mode: an interrupt from mip or from the CLINT, and perhaps a wait for it."""
        if self.mode != 3:
            return
        if self.lines and self.chance.random() < 0.5:
            self.put(BY_NAME["lui"].match | 7 << 7 | CLINT)
            self.emit("sw", rs1=7, rs2=self.chance.randrange(32), imm=0)
        self.emit("csrrsi", rd=0, csr=MIE, uimm=self.chance.choice((2, 8, 10)))
        if self.chance.random() < 0.5:
            self.emit("csrrsi", rd=self.register(), csr=MIE, uimm=2)
            self.emit("csrrsi", rd=self.register(), csr=MIP, uimm=2)
            self.emit("wfi")

    def other(self) -> None:
        if self.hypervisor and self.chance.random() < 0.6:
            self.of_hypervisors()
        else:
            self.privileged()

    def of_hypervisors(self) -> None:
        """What HS does to a guest, tried in all modes; as memory accesses go."""
        kinds = GUEST_ACCESSES if self.chance.random() < 0.8 else GUEST_FENCES
        one = self.chance.choice(kinds)
        word = self.tamed(self.drawn(one), one)
        if kinds is GUEST_ACCESSES:
            word = word & ~(31 << 15) | self.chance.choice(POINTERS) << 15
        self.put(word)

    def privileged(self) -> None:
        name = self.chance.choice(OTHERS if self.mode else IN_USER_MODE)
        if name in ("sfence.vma", "sinval.vma"):
            self.emit(name, rs1=self.chance.randrange(32), rs2=self.chance.randrange(32))
            if name == "sinval.vma":
                self.emit("sfence.inval.ir")
        elif name == "fence.i":
            self.emit(name, rd=0, rs1=0, imm=0)
        else:
            self.emit(name)

    def anything(self) -> None:
        """A random word: mostly illegal."""
        word = self.chance.getrandbits(32)
        if word & 3 != 3:
            return
        if word & 0x1C == 0x1C:  # longer than 32 bits, says the manual: implementations differ
            word &= ~0x10
        one = lookup(word)
        if one is None:
            self.put(word)
        elif one in PLAIN and one not in ATOMICS and not isinstance(one.access, Block):
            self.put(self.tamed(word, one))

    def illegal_parcel(self) -> None:
        self.put(self.chance.choice((0x0000, 0x6081, 0x8002, 0x8000, 0x4002, 0x9C41, 0x9C61)))
        self.put(C_NOP)

    KINDS = (
        (0.22, integer), (0.37, memory), (0.42, atomic), (0.62, floating), (0.78, compressed),
        (0.82, branch), (0.85, jump), (0.88, reservation), (0.96, csr), (0.97, other),
        (0.98, interrupt), (0.985, far_jump),
        (0.995, anything), (1.0, illegal_parcel),
    )  # fmt: skip
