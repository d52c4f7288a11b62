"""Every fence of translation, with page tables that change under running code, in every tier.

The program runs in S, U, VS or VU mode on a virtual page of code; its machine-mode handler does the
next of a random row of actions at every `ecall`: it changes entries of the address space in use or
of the other one and fences them as narrowly as the specification permits, enters the other space
without a fence, or lets the program use other data. The reference engine walks tables afresh for
each access, so whatever was fenced must be visible, and what was not, need not have been.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from ringzero.engine.core import SETS
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.ports import Stop, Why
from ringzero.engine.reference_harts import ReferenceHarts
from ringzero.isa.hart import H
from ringzero.isa.program import assemble_text
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.random_programs import BASE, registers
from tests.engine.test_engines_agree import Eager, compare, state
from tests.engine.test_stencils import First
from tests.engine.test_under_change import code

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
        memory.write(place, code(pick))
    for place in (*DATA, *SUPERPAGES):
        memory.write(place, pick.randbytes(0x2_0000))
    for number in range(2):
        entries = space_tables(number, ring) | guest_tables(number)
        for at, value in entries.items():
            memory.write(at, value.to_bytes(8, "little"))
    hart, values = harts.hart(0), registers(seed)
    fields = {"pc": BASE, "mode": 3, "mstatus": 0xA_0000_0000, "stimecmp": (1 << 64) - 1,
              "reservation": (1 << 64) - 1, "extensions": H}  # fmt: skip
    for name, value in fields.items():
        setattr(hart, name, type(getattr(hart, name))(value))
    for number in range(1, 32):
        hart.x[number] = type(hart.x[number])(values[number])
        hart.f[number] = type(hart.f[number])(values[32 + number])
    return harts, memory


def calls(harts: Any) -> int:
    """How many actions were asked for."""
    traps = harts.counts(0).traps
    return sum(traps.get(cause, 0) for cause in (8, 9, 10))


EVERYWHERE = pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS)


class Forgetful(Interpreter):
    """Keeps no translation from one instruction to the next."""

    def run(self, instructions: int | None = None) -> Stop:
        end = self.elapsed + (instructions or 0)
        while self.elapsed < end:
            self.flush_translations()
            self.step()
        return Stop(Why.LIMIT, 0)


@EVERYWHERE
def test_the_interpreter_does_what_the_reference_does(ring: Ring) -> None:
    reference, its_memory = start(ReferenceHarts, ring, 0)
    native, memory = start(Interpreter, ring, 0)
    native.run(600)
    reference.run(native.elapsed)
    compare(state(reference, its_memory), state(native, memory))
    assert calls(native) > 0


@EVERYWHERE
@pytest.mark.parametrize("seed", range(10, 13))
def test_no_tier_sees_what_was_fenced(seed: int, ring: Ring) -> None:
    forgetful, its_memory = start(Forgetful, ring, seed)
    tiers = [start(make, ring, seed) for make in (Interpreter, First, Eager)]
    pick = random.Random(~seed)
    for _ in range(10):
        count = pick.randint(1, 5000)
        forgetful.run(count)
        expected = state(forgetful, its_memory)
        for harts, memory in tiers:
            harts.run(count)
            compare(expected, state(harts, memory))
        tiers[2][0].compile_here()
    assert tiers[2][0].installed > 0
    assert calls(forgetful) > 40


SWITCHING = """
    la t0, handler
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li s2, {first}
    li s3, {second}
    csrw satp, s2
    li s0, {data}
    li t0, {code}
    csrw mepc, t0
    li t0, {status}
    csrw mstatus, t0
    mret
.align 2
handler:
    csrw satp, s3
    mv t2, s2
    mv s2, s3
    mv s3, t2
    {fence}
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    mret
"""
BODY = "ld t1, 0(s0)\nsd t1, 8(s0)\necall\n"


def switching(fence: str) -> Interpreter:
    """Two spaces take turns, at each system call from U."""
    memory = GuestMemory(16 << 20)
    harts = Interpreter(memory, Bus(), 1, deterministic=True)
    status = RINGS["U"].status
    words = SWITCHING.format(
        first=root(0), second=root(1), data=DATA_AT, code=CODE_AT, status=status, fence=fence
    )
    memory.write(BASE, assemble_text(words, BASE))
    for place in CODES:
        memory.write(place, assemble_text("body:\n" + BODY * 80 + "j body\n", CODE_AT))
    for number in range(2):
        for at, value in space_tables(number, RINGS["U"]).items():
            memory.write(at, value.to_bytes(8, "little"))
    harts.hart(0).pc, harts.hart(0).mode = BASE, 3
    return harts


@pytest.mark.parametrize(
    ("fence", "refills"),
    [("", 0), ("sfence.vma x0, x0", 3), (f"li t0, {SPACES[0]}\nsfence.vma x0, t0", 1.5),
     (f"li t0, {CODE_AT}\nsfence.vma t0, x0", 1), (f"li t0, {CODE_AT}\nli t1, 9\n"
      "sfence.vma t0, t1", 0)],
    ids=["none", "all", "space", "page", "another-space"],
)  # fmt: skip
def test_switches_cost_what_their_fences_drop(fence: str, refills: float) -> None:
    """Refills of code, loads and stores for each system call, once both spaces are known."""
    harts = switching(fence)
    harts.run(600)
    before = harts.counts(0)
    harts.run(600)
    after = harts.counts(0)
    turns = after.traps[8] - before.traps[8]
    assert turns > 30
    assert abs((after.refills - before.refills) / turns - refills) < 0.15


def test_more_spaces_than_sets() -> None:
    """The longest unused set is taken, and nothing of its former space is seen."""
    harts, pick = switching(""), random.Random(1)
    memory, hart, roots = harts.memory, harts.hart(0), []
    for number in range(SETS + 9):
        at, data = BASE + 0x80_0000 + number * 0x3000, BASE + 0xA0_0000 + number * 0x1000
        entries = {at + 8: table(at + 0x1000), at + 0x1000: table(at + 0x2000)}
        entries |= {at + 0x2000: leaf(CODES[0], USER), at + 0x2040: leaf(data, USER)}
        for place, value in (entries | {data: number}).items():
            memory.write(place, value.to_bytes(8, "little"))
        roots.append(SV39 | (100 + number) << 44 | at >> 12)
    harts.run(60)
    for _ in range(300):
        number = pick.randrange(len(roots))
        hart.x[7] = hart.x[18] = hart.x[19] = roots[number]
        harts.run(40)
        assert hart.x[6] == number
    assert 20 < harts.profile().fresh - SETS < 300
