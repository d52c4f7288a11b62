"""The paravirtual interface: the kernel's flavour for it, and guests that abuse it.

Hostile guests make one call, or spoil the page, and print what they got; their neighbours and the
hypervisor go on. The numbers are those of ringzero.board.hypercalls.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero import guests
from ringzero.board import hypercalls
from ringzero.board.addresses import RAM_BASE
from ringzero.board.hypercalls import OFFSETS
from ringzero.hypervisor.host.build import Guest, build
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.hypervisor.vm.state import SLICES
from ringzero.isa.tools.program import assemble_text
from tests.hypervisor.carriers import (
    CARRIERS,
    ENTRY,
    MEGABYTE,
    RUNTIME,
    SMALL,
    carrier,
    small,
)
from tests.hypervisor.victim import VICTIM, beside_on_machine, beside_on_qemu
from tests.limits import HUNG

SUCCESS, NOT_SUPPORTED, INVALID_PARAM, INVALID_ADDRESS = 0, 2**64 - 2, 2**64 - 3, 2**64 - 5
PAGE = ENTRY + 0x10_0000
EQUATES = "".join(f".equ {name}, {offset}\n" for name, offset in OFFSETS.items())


def kernel(technique: str) -> Guest:
    flat = guests.build("kernel-paravirt").flat
    return Guest(flat, memory=128 * MEGABYTE, technique=technique)


@carrier
@pytest.mark.parametrize("technique", ["paravirt", "trap"])
def test_flavour_passes_its_tests(carrier: str, technique: str, tmp_path: Path) -> None:
    ended = CARRIERS[carrier](build([kernel(technique)]), tmp_path)
    results = [line for line in ended.output.splitlines() if line.startswith("test ")]
    assert not [line for line in results if not line.endswith(" ok")]
    assert f"kernel: {len(results)} tests ok, 0 failed" in ended.output
    assert len(results) > 70
    assert ended.code == 0


def test_flavour_finds_no_hypervisor_on_the_bare_machine() -> None:
    from ringzero import Machine

    with Machine(kernel=guests.build("kernel-paravirt"), memory="128M") as machine:
        machine.run(timeout=HUNG)
        assert ", 0 failed" in machine.recorder.data.decode()


def call(function: int, *arguments: int) -> str:
    """Make a call and print its error and its value."""
    loads = "".join(f"li a{i}, {value}\n" for i, value in enumerate(arguments))
    return f"""
    li a0, 0
    li a1, 0
    li a2, 0
    {loads}
    li a6, {function}
    li a7, {hypercalls.EXTENSION}
    ecall
    mv s0, a1
    call number
    mv a0, s0
    call number
    call line
"""


END = "li a0, 0\ncall finish\n"


def answers(output: str) -> list[tuple[int, int]]:
    lines = [line.split() for line in output.splitlines() if line.strip()]
    return [(int(error, 16), int(value, 16)) for error, value in lines]


REGISTER, FLUSH, FLUSH_MANY = hypercalls.REGISTER, hypercalls.FLUSH, hypercalls.FLUSH_MANY
EVERY = hypercalls.EVERY_SPACE
END_OF_MEMORY = RAM_BASE + SMALL
CALLS = [
    ((hypercalls.DESCRIBE,), (SUCCESS, hypercalls.VERSION)),
    ((hypercalls.FUNCTIONS,), (NOT_SUPPORTED, 0)),
    ((2**64 - 1,), (NOT_SUPPORTED, 0)),
    ((REGISTER, PAGE + 8, PAGE, 0), (INVALID_ADDRESS, 0)),
    ((REGISTER, PAGE, PAGE, 2), (INVALID_PARAM, 0)),
    ((FLUSH_MANY, PAGE, hypercalls.MOST_RANGES + 1), (INVALID_PARAM, 0)),
    ((FLUSH_MANY, PAGE, 2**64 - 1), (INVALID_PARAM, 0)),
    ((FLUSH_MANY, PAGE + 4, 1), (INVALID_ADDRESS, 0)),
    ((FLUSH_MANY, END_OF_MEMORY - 16, 2), (INVALID_ADDRESS, 0)),
    ((FLUSH_MANY, END_OF_MEMORY - 16, 1), (SUCCESS, 0)),
    ((FLUSH_MANY, 2**64 - 16, 1), (INVALID_ADDRESS, 0)),
    ((FLUSH, 2**64 - 1, 2**64 - 1, EVERY), (SUCCESS, 0)),
    ((FLUSH, 2**64 - 4096, 64, 3), (SUCCESS, 0)),
    ((hypercalls.SPACE, 7 << 60), (INVALID_PARAM, 0)),
    ((hypercalls.CONSOLE, END_OF_MEMORY - 1, 2), (INVALID_PARAM, 0)),
    ((hypercalls.CONSOLE, SLICES, 8), (INVALID_PARAM, 0)),
    ((hypercalls.CONSOLE, PAGE, 2**63), (INVALID_PARAM, 0)),
    ((REGISTER, hypercalls.NO_PAGE, 0, 0), (SUCCESS, 0)),
    *(((REGISTER, place, PAGE, 0), (INVALID_ADDRESS, 0))
      for place in (0, END_OF_MEMORY, SLICES, 0x1000_0000, 2**64 - 4096)),
]  # fmt: skip


@carrier
def test_wrong_arguments_get_an_error(carrier: str, tmp_path: Path) -> None:
    body = "".join(call(*arguments) for arguments, _ in CALLS)
    ended = CARRIERS[carrier](small(body + END, technique="paravirt"), tmp_path)
    assert answers(ended.output) == [expected for _, expected in CALLS]
    assert ended.code == 0


def test_only_a_paravirtual_vm_is_answered(tmp_path: Path) -> None:
    probe = f"li a0, {hypercalls.EXTENSION}\nli a6, 3\nli a7, 0x10\necall\nmv a0, a1\ncall number\n"
    body = probe + call(hypercalls.DESCRIBE) + END
    for technique, expected in (("trap", [0, NOT_SUPPORTED, 0]),
                                ("paravirt", [1, 0, hypercalls.VERSION])):  # fmt: skip
        ended = CARRIERS["machine"](small(body, technique=technique), tmp_path)
        assert [int(word, 16) for word in ended.output.split()] == expected


REGISTERED = f"{EQUATES}li s1, {PAGE}\n" + call(REGISTER, PAGE, PAGE, 0)


@carrier
def test_page_is_the_csrs(carrier: str, tmp_path: Path) -> None:
    """What is stored in a word reads back from its CSR, legalised, and the other way round."""
    body = """
    li t0, -1
    sd t0, epc(s1)
    sd t0, enables(s1)
    sd t0, scratch(s1)
    sd t0, status(s1)
    csrr a0, sepc
    call number
    csrr a0, sie
    call number
    csrr a0, sscratch
    call number
    csrr a0, sstatus
    call number
    csrw sstatus, x0
    ld a0, status(s1)
    call number
    li t0, 0x1234
    csrw stval, t0
    ld a0, value(s1)
    call number
    li t0, 2
    sd t0, enabled(s1)
    csrrc a0, sstatus, t0
    andi a0, a0, 2
    call number
    ld a0, enabled(s1)
    call number
    call line
"""
    ended = CARRIERS[carrier](small(REGISTERED + body + END, technique="paravirt"), tmp_path)
    shown = [int(word, 16) for word in ended.output.split()][2:]
    status = 1 << 63 | 2 << 32 | 0xC_6122 & ~2
    assert shown == [2**64 - 2, 0x222, 2**64 - 1, status, 2 << 32, 0x1234, 2, 0]


HANDLER = """
    la t0, handler
    csrw stvec, t0
    j begin
.align 2
handler:                        # t6 is the page; skip the instruction
    ld t5, epc(t6)
    addi t5, t5, 4
    sd t5, epc(t6)
    ld s5, cause(t6)
    ld s6, status(t6)
    ld s7, lent(t6)
    mv s8, t6
    mv t6, s7
    sret
begin:
    li t6, 77
"""


@carrier
def test_trap_without_exits(carrier: str, tmp_path: Path) -> None:
    """The handler finds all in the page, which t6 points to; the program gets its t6 back."""
    body = """
    li t0, 2
    sd t0, enabled(s1)
    ebreak
    mv a0, s5
    call number
    andi a0, s6, 0x122
    call number
    sub a0, s8, s1
    call number
    mv a0, t6
    call number
    ld a0, enabled(s1)
    call number
    call line
"""
    source = REGISTERED + HANDLER + body + END
    ended = CARRIERS[carrier](small(source, technique="paravirt"), tmp_path)
    assert [int(word, 16) for word in ended.output.split()][2:] == [3, 0x120, 0, 77, 2]


GIVE_UP = call(REGISTER, hypercalls.NO_PAGE)
EXTENSION = f"li a7, {hypercalls.EXTENSION}\n"
SPOILERS = {
    "garbage": "li t0, -1\nli t1, 512\n1: sd t0, 0(s1)\naddi s1, s1, 8\naddi t1, t1, -1\n"
    "bnez t1, 1b\nsret",
    "return to nowhere": "li t0, 0x123456789\nsd t0, epc(s1)\nsret",
    "no handler": "csrw stvec, x0\nebreak",
    "page given up": GIVE_UP + "sret",
    "page over its own code": call(REGISTER, ENTRY, ENTRY) + "ebreak",
    "page moved": call(REGISTER, PAGE + 4096, 8) + "li t0, -1\nsd t0, status(s1)\nebreak",
    "endless calls": EXTENSION + f"li a6, {hypercalls.DELIVER}\n1: ecall\nj 1b",
    "huge batches": EXTENSION + f"li a6, {FLUSH_MANY}\n1: li a0, {ENTRY}\nli a1, 256\necall\nj 1b",
    "timer of the past": "li t0, -1\nsd t0, enables(s1)\nli t0, 2\n1: sd x0, deadline(s1)\n"
    "sd t0, enabled(s1)\nj 1b",
}


BUSY = {"endless calls", "huge batches"}
"""What goes on for ever; the other spoilers lose their way to a handler, and are ended."""


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_who_spoils_the_page_hurts_only_itself(spoiler: str, tmp_path: Path) -> None:
    source = REGISTERED + SPOILERS[spoiler] + "\n1: j 1b\n"
    built = small(source, VICTIM, technique="paravirt")
    beside_on_machine(built, tmp_path, hopeless=spoiler not in BUSY)


@pytest.mark.needs_qemu
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_so_on_qemu(spoiler: str, tmp_path: Path) -> None:
    source = REGISTERED + SPOILERS[spoiler] + "\n1: j 1b\n"
    built = small(source, VICTIM, technique="paravirt")
    beside_on_qemu(built, tmp_path, hopeless=spoiler not in BUSY)


def test_techniques_side_by_side(tmp_path: Path) -> None:
    """One hypervisor, the same text: a VM that is trapped gets no answer, its neighbour does."""
    code = assemble_text(REGISTERED + END + RUNTIME, ENTRY)
    built = build([Guest(code, memory=SMALL, technique=name) for name in ("trap", "paravirt")])
    ended = CARRIERS["machine"](built, tmp_path)
    errors = [int(line.split()[-2], 16) for line in ended.output.splitlines() if line.split()[1:]]
    assert errors == [NOT_SUPPORTED, SUCCESS]


def test_mixed_company(tmp_path: Path) -> None:
    """A VM of each technique under one hypervisor, taking turns: each passes its tests."""
    kernels = [kernel(technique) for technique in TECHNIQUES]
    ended = CARRIERS["machine"](build(kernels, slice_ticks=5000), tmp_path)
    assert ended.output.count(", 0 failed") == len(TECHNIQUES) >= 3
    assert ended.code == 0
