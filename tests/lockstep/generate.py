"""A random program as a memory image: a dispatcher in M-mode, and chunks of random instructions.

Traps that reach M-mode skip the instruction a few times, and then go to the dispatcher, which reads
the next chunk's descriptor, sets mode, paging, delegation and pointers by it, and enters the chunk.
S-mode's handler skips always. Whatever a chunk does to itself, engines must agree on it.
"""

from __future__ import annotations

import random
from functools import cache

from ringzero.isa.privileged.access import BLOCK
from ringzero.isa.registry import BY_NAME
from ringzero.isa.tools.assembler import encode
from ringzero.isa.tools.program import assemble_text, labels
from tests.lockstep import guests, values
from tests.lockstep.layout import (
    CHUNK_BYTES,
    CHUNK_COUNT,
    CHUNKS,
    CONTROL,
    DATA,
    DATA_BYTES,
    DESCRIPTORS,
    GIGAPAGES,
    GUEST_TABLES,
    HANDLER_HS,
    HANDLER_S,
    PAGE,
    RAM,
    SIZE,
    SUPERPAGES,
    TABLES,
    TERAPAGES,
    USER,
    WINDOW,
    WINDOW_PAGES,
)
from tests.lockstep.spike import pack
from tests.lockstep.stream import COUNTED, Stream
from tests.lockstep.tables import SV39, SV48, SV57, Tables, root

START_CSRS = (
    "mtvec", "stvec", "mcounteren", "scounteren", "mcountinhibit", "senvcfg", "menvcfg", "stimecmp",
    "mstateen0", "sstateen0", "sscratch", "mip",
    *(f"pmpaddr{i}" for i in range(8)), "pmpcfg0",
)  # fmt: skip
CHUNK_CSRS = ("mepc", "mstatus", "satp", "medeleg", "mideleg", "mie", "menvcfg")
DESCRIPTOR_BYTES = 160
MORE_CSRS = 96  # in a descriptor: those of guests
PATIENCE = 248  # in the control page: how many more exceptions of this chunk are skipped
FLOAT_VALUES = 256
FS, MPP_S, MPRV, SUM, MXR, TVM, TW, TSR = 3 << 13, 1 << 11, *(1 << bit for bit in range(17, 23))
MPIE, SPIE, SPP = 1 << 7, 1 << 5, 1 << 8
STCE, PBMTE, ADUE, CBZE, CBCFE, CBIE = 1 << 63, 1 << 62, 1 << 61, 1 << 7, 1 << 6, 3 << 4
DELEGABLE = (1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 12, 1 << 13, 1 << 15)
NAPOT_ALL = 0x1F
NAPOT = 3 << 3  # pmpcfg.A


def _start(names: tuple[str, ...]) -> str:
    csrs = "\n".join(f"ld x5, {8 * i}(x31)\ncsrw {csr}, x5" for i, csr in enumerate(names, start=1))
    floats = "\n".join(f"fld f{i}, {FLOAT_VALUES + 8 * i}(x31)" for i in range(32))
    integers = "\n".join(f"ld x{i}, {2 * FLOAT_VALUES + 8 * i}(x31)" for i in range(1, 30))
    return f"""
        li x31, {CONTROL}
        csrw mscratch, x31
        li x5, 0x2004000
        li x6, -1
        sd x6, 0(x5)
        li x5, {FS}
        csrs mstatus, x5
        {csrs}
        {floats}
        {integers}
        j dispatch
    """


def _dispatch(more: tuple[str, ...]) -> str:
    words = [*enumerate(CHUNK_CSRS), *enumerate(more, start=MORE_CSRS // 8)]
    csrs = "\n".join(
        f"ld x2, {8 * i}(x30)\ncsrw {csr}, x2"
        for i, csr in words
        if csr != "mstatus"  # last, because MPRV holds at once
    )
    return f"""
        .align 3
    handler:
        csrrw x31, mscratch, x31
        csrr x30, mcause
        bltz x30, dispatch
        andi x30, x30, 12
        addi x30, x30, -8
        beqz x30, dispatch
        ld x30, {PATIENCE}(x31)
        addi x30, x30, -1
        sd x30, {PATIENCE}(x31)
        bltz x30, dispatch
        csrr x30, mepc
        addi x30, x30, 4
        csrw mepc, x30
        csrrw x31, mscratch, x31
        mret
    dispatch:
        ld x30, 0(x31)
        addi x30, x30, {DESCRIPTOR_BYTES}
        sd x30, 0(x31)
        {csrs}
        sfence.vma x0, x0
        lui x2, 0x2000
        sw x0, 0(x2)
        ld x2, 64(x30)
        sd x2, {PATIENCE}(x31)
        ld x2, 72(x30)
        ld x8, 80(x30)
        ld x9, 88(x30)
        ld x30, {8 * CHUNK_CSRS.index("mstatus")}(x30)
        csrw mstatus, x30
        csrrw x31, mscratch, x31
        mret
    """


SKIPPING = """
    csrr x30, scause
    bltz x30, interrupted
    csrr x30, sepc
    addi x30, x30, 4
    csrw sepc, x30
    sret
interrupted:
    csrw sie, x0
    {more}
    sret
"""


def start_csrs(hypervisor: bool) -> tuple[str, ...]:
    """What a program sets at its start."""
    if hypervisor:
        return (*guests.FIRST_CSRS, *START_CSRS, *guests.START_CSRS)
    return START_CSRS


@cache
def _machine_code(hypervisor: bool) -> tuple[bytes, int]:
    """The code in M-mode, and the address of its handler."""
    more = guests.CHUNK_CSRS if hypervisor else ()
    source = f"{_start(start_csrs(hypervisor))}\n{_dispatch(more)}"
    return assemble_text(source, RAM), labels(source, RAM)["handler"]


@cache
def _supervisor_code(more: str = "") -> bytes:
    return assemble_text(SKIPPING.format(more=more), HANDLER_S)


class Program:
    """One random program; the same seed makes the same one."""

    def __init__(self, seed: int, *, lines: bool = True, hypervisor: bool = False) -> None:
        self.seed, self.lines, self.hypervisor = seed, lines, hypervisor
        self.chance = random.Random(seed)
        self.timer = self.chance.choice((0, STCE))  # see _features
        # Programs that use cache blocks have a PMP that divides none: Spike looks at single bytes.
        self.blocks = self.chance.random() < 0.5
        modes = (0, 1, 1, 1, 3, 3, 4, 4, 5, 5, 5, 5) if hypervisor else (0, 0, 1, 1, 1, 3, 3)
        self.modes = [self.chance.choice(modes) for _ in range(CHUNK_COUNT)]
        self.image = bytearray(TABLES - RAM)
        code, self.handler = _machine_code(hypervisor)
        self.put(RAM, code)
        self.put(HANDLER_S, _supervisor_code())
        if hypervisor:
            self.put(HANDLER_HS, _supervisor_code("csrw hie, x0"))
            # Whatever runs up to there goes back: a trap must not look like the next instruction
            self.put(HANDLER_HS - 4, assemble_text(f"j {HANDLER_S}", HANDLER_HS - 4))
        self.put(CONTROL, self._control())
        self.put(DATA, self._data())
        for number in range(CHUNK_COUNT):
            self.put(CHUNKS + number * CHUNK_BYTES, self._chunk(number))
            self.put(DESCRIPTORS + number * DESCRIPTOR_BYTES, self._descriptor(number))
        self.put(CHUNKS + CHUNK_COUNT * CHUNK_BYTES, self._end())
        self.image += Tables(self.chance).image()
        if hypervisor:
            self.image += bytes(GUEST_TABLES - RAM - len(self.image))
            self.image += guests.GuestTables(self.chance).image()

    def put(self, address: int, data: bytes) -> None:
        """Place bytes in the image."""
        self.image[address - RAM : address - RAM + len(data)] = data

    @property
    def end(self) -> int:
        """Where a program that used up its chunks arrives."""
        return CHUNKS + CHUNK_COUNT * CHUNK_BYTES

    def _end(self) -> bytes:
        return encode(BY_NAME["jal"], rd=0, imm=0).to_bytes(4, "little")

    def _control(self) -> bytes:
        names = start_csrs(self.hypervisor)
        words = [DESCRIPTORS - DESCRIPTOR_BYTES, *(self._start_csr(name) for name in names)]
        words += [0] * (FLOAT_VALUES // 8 - len(words))
        words += [values.real(self.chance) for _ in range(32)]
        words += [values.integer(self.chance) for _ in range(32)]
        return pack(words)

    def _start_csr(self, name: str) -> int:
        chance = self.chance
        if name == "mtvec":
            return self.handler
        if name == "stvec":
            return HANDLER_HS if self.hypervisor else HANDLER_S
        if name == "vstvec":
            return HANDLER_S
        if name == "vstimecmp":
            return values.MASK
        if name == "stimecmp":
            return chance.choice((0, 1, values.MASK)) if self.timer else values.MASK
        if name in ("mip", "hvip"):
            return 0
        if name == "menvcfg":
            return self.timer
        if name in ("mstateen0", "hstateen0"):
            return chance.choice((0, values.MASK, values.MASK))
        if name == "pmpcfg0":
            return self._protection()
        if name.startswith("pmpaddr"):
            return self._protected(int(name[7:]))
        value = values.integer(chance) if chance.random() < 0.5 else values.MASK
        if name == "mcountinhibit":
            return value & ~COUNTED
        return value & ~1 if name == "senvcfg" else value  # FIOM, which Spike has not

    def _protection(self) -> int:
        """Seven entries over the data, sometimes, and one that opens everything else."""
        word = NAPOT_ALL << 56
        for index in range(7):
            if self.chance.random() < 0.3:
                locked = 0x80 if self.chance.random() < 0.05 else 0
                entry = self.chance.randrange(32)
                if self.blocks and entry & NAPOT:  # no TOR, whose bounds may be anywhere, no NA4
                    entry |= NAPOT
                word |= (entry | locked) << (8 * index)
        return word

    def _protected(self, index: int) -> int:
        if index == 7:
            return (1 << 54) - 1
        base = DATA if self.chance.random() < 0.95 else TABLES
        address = base + self.chance.randrange(DATA_BYTES)
        ones = (1 << self.chance.randrange(12)) - 1
        if self.blocks:
            ones |= BLOCK // 8 - 1
        return address >> 2 & ~(ones << 1) | ones

    def _data(self) -> bytes:
        draw = (values.integer, values.real)
        drawn = [draw[self.chance.randrange(2)](self.chance) for _ in range(DATA_BYTES // 64)]
        return b"".join(pack(self.chance.sample(drawn, len(drawn))) for _ in range(8))

    def _chunk(self, number: int) -> bytes:
        size = self.chance.choice((64, 128, 192, CHUNK_BYTES))
        features = (bool(self.timer), self.lines, self.hypervisor, self.blocks)
        stream = Stream(self.chance, self.modes[number], *features)
        stream.fill(size)
        while len(stream.code) < CHUNK_BYTES:  # a jump may go past the first of them
            stream.emit("ecall")
        return bytes(stream.code[:CHUNK_BYTES])

    def _descriptor(self, number: int) -> bytes:
        chance = self.chance
        if number == CHUNK_COUNT - 1:
            return pack([self.end, FS | 3 << 11, 0, 0, 0, 0, self.timer, *[0] * 13])
        mode = self.modes[number]
        paging = chance.choice((0, SV39, SV39, SV48, SV57))
        status = self._status(mode, paging)
        pc = CHUNKS + number * CHUNK_BYTES
        if mode & 3 == 0 and paging:
            pc += USER - RAM
        satp = 0 if not paging else root(paging) | chance.getrandbits(16) << 44
        own = satp if mode < 4 else chance.choice((0, root(SV39), root(SV48), root(SV57)))
        csrs = [pc, status, own, self._delegated(status), *self._interrupts(), self._features()]
        borrowed = mode == 3 and status & MPRV
        pointers = [self._pointer(place, mode, paging, bool(borrowed)) for place in range(3)]
        patience = chance.choice((0, 2, 5, 10))
        words = [*csrs, *[0] * (8 - len(csrs)), patience, *pointers]
        if self.hypervisor:
            words += self._guest(mode, satp)
        return pack([*words, *[0] * (DESCRIPTOR_BYTES // 8 - len(words))])

    def _guest(self, mode: int, satp: int) -> list[int]:
        """The CSRs of a guest: for one that runs next, and for one that HS only looks into."""
        chance = self.chance
        hstatus = chance.choice((0, guests.SPV)) | chance.choice((0, guests.SPVP))
        for bit, likely in guests.TRAPPED:
            hstatus |= bit if chance.random() < likely else 0
        second = chance.choice((0, SV39, SV39, SV48, SV57))
        hgatp = (guests.root(second) | chance.getrandbits(14) << 44) if second else 0
        vsatp = satp if mode >= 4 else chance.choice((0, root(SV39), root(SV48), root(SV57)))
        vsstatus = self._status(0, 0) & (FS | SUM | MXR | SPIE | SPP)
        hedeleg = sum(cause for cause in DELEGABLE if chance.random() < 0.3)
        hideleg = chance.choice((0, 0x444, chance.getrandbits(12)))
        henvcfg = self._features() & ~STCE
        return [hstatus, hgatp, vsatp, vsstatus, hedeleg, hideleg, henvcfg, 0]

    def _status(self, mode: int, paging: int) -> int:
        chance = self.chance
        status = (mode & 3) << 11 | (FS if chance.random() < 0.93 else 0)
        if mode >= 4 or (mode == 3 and self.hypervisor and chance.random() < 0.5):
            status |= guests.MPV
        for bits, likely in (
            (SUM, 0.6), (MXR, 0.4), (TVM, 0.1), (TW, 0.2), (TSR, 0.1), (MPIE, 0.5), (SPIE, 0.5),
            (SPP, 0.5), (MPRV, 0.3),
        ):  # fmt: skip
            if chance.random() < likely:
                status |= bits
        return status

    def _delegated(self, status: int) -> int:
        chosen = sum(cause for cause in DELEGABLE if self.chance.random() < 0.3)
        if self.chance.random() < 0.05:
            chosen |= 1 << 8 | (1 << 10 if self.hypervisor else 0)
        if self.hypervisor:
            chosen |= sum(cause for cause in guests.GUEST_CAUSES if self.chance.random() < 0.4)
        return chosen & ~(1 << 2) if status & TSR else chosen

    def _interrupts(self) -> tuple[int, int]:
        """mideleg and mie."""
        chance = self.chance
        enabled = chance.getrandbits(13) if chance.random() < 0.3 else 0
        return chance.choice((0, 0x222, chance.getrandbits(12))), enabled

    def _features(self) -> int:
        """menvcfg. STCE holds for the whole program: Spike compares stimecmp with the time only
        when stimecmp is written, and what STIP becomes when STCE is cleared nobody says.
        """
        bits = (PBMTE, ADUE, CBZE, CBCFE, 1 << 4, 2 << 4)
        return self.timer | sum(bit for bit in bits if self.chance.random() < 0.6)

    def _pointer(self, place: int, mode: int, paging: int, borrowed: bool) -> int:
        """Where x2, x8 or x9 point: offsets within a page tell lr.w's words from lr.d's."""
        chance = self.chance
        inside = (0x400, 0x300, 0xA08)[place] + chance.choice((0, 0, 0, 0, 1, 4))
        data = chance.randrange(1, DATA_BYTES // PAGE - 1) * PAGE + inside
        plain = DATA + data
        looking = self.hypervisor and mode in (1, 3) and chance.random() < 0.4  # by hlv and hsv
        if ((mode == 3 and not borrowed) or not paging) and not looking:
            return plain
        choice = chance.random()
        if choice < 0.5:
            return plain if mode & 3 else plain + USER - RAM
        if choice < 0.8:
            return WINDOW + chance.randrange(WINDOW_PAGES) * PAGE + chance.choice((inside, 0xFFE))
        if choice < 0.88:
            return SUPERPAGES + chance.randrange(8) * 0x20_0000 + DATA - RAM + data
        if choice < 0.94:
            return GIGAPAGES + chance.randrange(4) * 0x4000_0000 + DATA - RAM + data
        if choice < 0.97 and paging != SV39:
            return TERAPAGES * chance.randrange(1, 4) + plain
        far = chance.choice((1 << 38, 1 << 47, 1 << 56, -1 << 39, 0x30_0000_0000))
        return (far + plain) & values.MASK


assert SIZE > TABLES - RAM
