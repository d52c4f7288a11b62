"""The program of the fences' test: a monitor that changes page tables, and code that runs on them.

It runs in S, U, VS or VU mode on a virtual page of code; its machine-mode handler does the next of
a random row of actions at every `ecall`: it changes entries of the address space in use or of the
other one and fences them as narrowly as the specification permits, enters the other space without
a fence, or lets the program use other data.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ringzero.isa.hart import H
from ringzero.isa.tools.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin, give_numbers
from tests.engine.random_programs import BASE, page_of_loops, registers

ROOTS = (BASE + 0x10_0000, BASE + 0x18_0000)  # two address spaces, seven pages of tables each
GUEST_ROOTS = (BASE + 0x20_0000, BASE + 0x28_0000)
CODES = (BASE + 0x30_0000, BASE + 0x30_1000)
DATA = (BASE + 0x31_0000, BASE + 0x31_8000)  # three pages each
SUPERPAGES = (BASE + 0x40_0000, BASE + 0x60_0000)
CODE_AT, DATA_AT, GLOBAL_AT, SUPER_AT = 0x4000_0000, 0x4000_8000, 0x4020_8000, 0x4040_0000
LARGE_AT = 0x4060_0000  # another, so that their pieces lie apart in the engine's tables
WINDOWS = (DATA_AT + 4096, GLOBAL_AT + 4096, SUPER_AT + 0x7800, LARGE_AT + 0x1_2800)
LEAF, USER, GLOBAL, TABLE = 0xCF, 0x10, 0x20, 0x01
SV39 = 8 << 60
SPACES, MACHINES = (5, 0x8006), (3, 4)  # ASIDs, VMIDs
ACTIONS = 400
SWAP_CODE = CODES[0] >> 2 ^ CODES[1] >> 2
SWAP_DATA = DATA[0] >> 2 ^ DATA[1] >> 2
SWAP_LARGE = SUPERPAGES[0] >> 2 ^ SUPERPAGES[1] >> 2


@dataclass(frozen=True)
class Ring:
    """Where the program runs: its mode, whether its data is U's, and whether V=1."""

    mode: int
    user_data: bool
    virtual: bool

    @property
    def root(self) -> str:
        """The register that an address space is chosen by."""
        return "vsatp" if self.virtual else "satp"

    @property
    def fence(self) -> str:
        """The instruction that fences its addresses."""
        return "hfence.vvma" if self.virtual else "sfence.vma"

    @property
    def status(self) -> int:
        """mstatus for mret into it, with FS, and SUM if it needs that."""
        return self.mode << 11 | self.sum << 18 | 3 << 13 | int(self.virtual) << 39

    @property
    def sum(self) -> int:
        """Whether S-mode is to reach U's pages."""
        return int(self.mode == 1 and self.user_data)


RINGS = {
    "S": Ring(1, False, False),
    "U": Ring(0, True, False),
    "SUM": Ring(1, True, False),
    "VS": Ring(1, False, True),
    "VU": Ring(0, True, True),
    "VS-SUM": Ring(1, True, True),
}

START = """
    la t0, handler
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li t0, {space}
    csrw {root}, t0
    li s0, {window}
    li s2, 0
    li s3, 0
    li s4, 0
    li s5, 0
    la t0, action0
    csrw mscratch, t0
    li t0, {status}
    csrw mstatus, t0
    li t0, {code_at}
    csrw mepc, t0
    {guest}
    mret
.align 2
handler:
    csrr gp, mepc
    addi gp, gp, 4
    csrw mepc, gp
    csrr sp, mcause
    addi sp, sp, -8
    li gp, 3
    bgeu sp, gp, skip
    csrr sp, mscratch
    jr sp
skip:
    mret
"""
GUEST = """
    li t0, {stage}
    csrw hgatp, t0
    li t0, {status}
    csrw vsstatus, t0
"""


def root(space: int) -> int:
    """The value of satp for an address space."""
    return SV39 | SPACES[space] << 44 | ROOTS[space] >> 12


def stage(machine: int) -> int:
    """The value of hgatp for a virtual machine."""
    return SV39 | MACHINES[machine] << 44 | GUEST_ROOTS[machine] >> 12


def flip(at: int, mask: int) -> str:
    """Change bits of a page table entry."""
    return f"li sp, {at}\n ld gp, 0(sp)\n li tp, {mask}\n xor gp, gp, tp\n sd gp, 0(sp)\n"


class Writer:
    """Writes a row of actions, and knows which address space is in use where."""

    def __init__(self, ring: Ring, pick: random.Random) -> None:
        self.ring, self.pick, self.space, self.machine = ring, pick, 0, 0
        self.unfenced = [False, False]  # whether a virtual machine's spaces changed without it

    def entry(self, space: int, table: int, index: int) -> int:
        """Where an entry of an address space stands."""
        return ROOTS[space] + 4096 * table + 8 * index

    def fences(self, addresses: list[int], space: int, everyone: bool) -> str:
        """A fence that is enough for changes at addresses of a space, or of all spaces."""
        name, pick = self.ring.fence, self.pick
        by_space = not everyone and pick.random() < 0.6
        number = f"li tp, {SPACES[space] | pick.getrandbits(40) << 16}\n" if by_space else ""
        second = ", tp" if by_space else ", x0"
        if pick.random() < 0.4:
            return f"{number}{name} x0{second}\n"
        return number + "".join(f"li gp, {a}\n{name} gp{second}\n" for a in addresses)

    def swap_small(self) -> str:
        """Other code and another page of data, in the space in use or in the other."""
        space = self.pick.randrange(2)
        page = self.pick.randrange(3)
        text = flip(self.entry(space, 2, 0), SWAP_CODE)
        text += flip(self.entry(space, 2, 8 + page), SWAP_DATA)
        return text + self.fences([CODE_AT + 8, DATA_AT + 4096 * page], space, False)

    def swap_global(self) -> str:
        """A global page: one table is for both spaces."""
        page = self.pick.randrange(3)
        text = flip(ROOTS[0] + 4096 * 3 + 8 * (8 + page), SWAP_DATA)
        return text + self.fences([GLOBAL_AT + 4096 * page + 24], 0, True)

    def swap_large(self) -> str:
        """A superpage; the fence names any of its addresses."""
        space, number = self.pick.randrange(2), self.pick.choice([2, 3])
        text = flip(self.entry(space, 1, number), SWAP_LARGE)
        within = self.pick.randrange(1 << 21)
        return text + self.fences([SUPER_AT + (number - 2 << 21) + within], space, False)

    def enter(self) -> str:
        """The other address space, with no fence."""
        self.space ^= 1
        return f"li gp, {root(self.space)}\ncsrw {self.ring.root}, gp\n"

    def use(self) -> str:
        """Other data."""
        return f"li s0, {self.pick.choice(WINDOWS)}\n"

    def enter_machine(self) -> str:
        """The other virtual machine. Fences in this one were none for it (21.3.2)."""
        self.machine ^= 1
        text = f"li gp, {stage(self.machine)}\ncsrw hgatp, gp\n"
        if self.unfenced[self.machine]:
            text += "hfence.vvma x0, x0\n"
            self.unfenced[self.machine] = False
        return text

    def swap_stage(self) -> str:
        """Two guest physical superpages change places in one of the virtual machines."""
        machine = self.pick.randrange(2)
        first = GUEST_ROOTS[machine] + 0x4000 + 8 * 2
        text = flip(first, SWAP_LARGE) + flip(first + 8, SWAP_LARGE)
        if self.pick.random() < 0.3:
            return text + "hfence.gvma x0, x0\n"
        text += f"li tp, {MACHINES[machine] | self.pick.getrandbits(20) << 14}\n"
        if self.pick.random() < 0.5:
            return text + "hfence.gvma x0, tp\n"
        return text + "".join(f"li gp, {at >> 2}\nhfence.gvma gp, tp\n" for at in SUPERPAGES)

    def action(self) -> str:
        """One of them, and where the next one is."""
        swaps = [self.swap_small, self.swap_small, self.swap_global, self.swap_large]
        others = [self.enter, self.enter, self.use, self.use]
        if self.ring.virtual:
            others += [self.enter_machine, self.enter_machine, self.swap_stage]
        chosen = self.pick.choice(swaps + others)
        if chosen in swaps:
            self.unfenced[self.machine ^ 1] = True
        return chosen()


def monitor(ring: Ring, pick: random.Random) -> str:
    """The machine-mode program: it enters the ring, and does one action after the other."""
    text = START.format(
        space=root(0),
        root=ring.root,
        window=WINDOWS[0],
        status=ring.status,
        code_at=CODE_AT,
        guest=GUEST.format(stage=stage(0), status=ring.sum << 18 | 3 << 13) if ring.virtual else "",
    )
    writer = Writer(ring, pick)
    for number in range(ACTIONS):
        following = "end" if number == ACTIONS - 1 else f"action{number + 1}"
        text += f"action{number}:\n{writer.action()}la sp, {following}\ncsrw mscratch, sp\nmret\n"
    return text + "end:\n mret\n"


def table(at: int) -> int:
    """An entry that leads to a table."""
    return at >> 12 << 10 | TABLE


def leaf(at: int, flags: int = 0) -> int:
    """An entry for a page."""
    return at >> 12 << 10 | LEAF | flags


def space_tables(space: int, ring: Ring) -> dict[int, int]:
    """The entries of an address space: its addresses, and what they hold."""
    at, user = ROOTS[space], USER if ring.user_data else 0
    code_user = USER if ring.mode == 0 else 0
    shared = ROOTS[0] + 0x3000  # of the global pages
    entries = {
        at + 8: table(at + 0x1000),
        at + 0x1000: table(at + 0x2000),
        at + 0x1008: table(shared),
        at + 0x2000: leaf(CODES[space], code_user),
    }
    for number in range(2):
        entries[at + 0x1010 + 8 * number] = leaf(SUPERPAGES[number ^ space], user)
    for page in range(3):
        entries[at + 0x2040 + 8 * page] = leaf(DATA[space] + 4096 * page, user)
        entries[shared + 64 + 8 * page] = leaf(DATA[0] + 4096 * page, user | GLOBAL)
    return entries


def guest_tables(machine: int) -> dict[int, int]:
    """The entries of a G-stage: guest physical addresses are physical ones, but for two pages."""
    at = GUEST_ROOTS[machine]
    entries = {at + 16: table(at + 0x4000)}
    for number in range(8):
        entries[at + 0x4000 + 8 * number] = leaf(BASE + (number << 21), USER)
    for number in range(2):
        entries[at + 0x4010 + 8 * number] = leaf(SUPERPAGES[number ^ machine], USER)
    return entries


def start(make: Any, ring: Ring, seed: int) -> tuple[Any, GuestMemory]:
    """A machine of one hart, at the monitor's first instruction."""
    pick = random.Random(seed)
    memory = GuestMemory(16 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, assemble_text(monitor(ring, pick), BASE))
    for place in CODES:
        memory.write(place, page_of_loops(pick))
    for place in (*DATA, *SUPERPAGES):
        memory.write(place, pick.randbytes(0x2_0000))
    for number in range(2):
        entries = space_tables(number, ring) | guest_tables(number)
        for at, value in entries.items():
            memory.write(at, value.to_bytes(8, "little"))
    hart = begin(harts, BASE, extensions=H)
    give_numbers(hart, registers(seed))
    return harts, memory
