"""A guest that spins, floods the hypervisor with exits, or dies never stops another.

The victim checks its memory for a while, with exits and slices in between, and ends with success;
its neighbour never ends, and is killed at last.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hypervisor.carriers import small, technique
from tests.hypervisor.victim import VICTIM, beside_on_machine, beside_on_qemu

FLOOD = "1: csrrci t0, sstatus, 2\n csrrsi t0, sstatus, 2\n j 1b\n"
SPIN = "1: j 1b\n"
BAD_VECTOR = "li t0, 4\ncsrw stvec, t0\nld t0, 0(x0)\n"  # its handler cannot be fetched
FENCES = "1: sfence.vma\n sfence.vma t0\n addi t0, t0, 1\n j 1b\n"
BAD_STACK = "li t0, -8\n1: csrw sepc, t0\n ecall\n j 1b\n"


EVIL = {
    "flood": FLOOD, "spin": SPIN, "bad vector": BAD_VECTOR, "fences": FENCES, "returns": BAD_STACK
}  # fmt: skip
HOPELESS = {"bad vector"}
"""What can never go on, and is ended."""
evil = pytest.mark.parametrize("evil", EVIL)


@technique
@evil
def test_on_the_machine(evil: str, technique: str, tmp_path: Path) -> None:
    built = small(EVIL[evil], VICTIM, technique=technique)
    beside_on_machine(built, tmp_path, hopeless=evil in HOPELESS)


@pytest.mark.needs_qemu
@technique
@evil
def test_on_qemu(evil: str, technique: str, tmp_path: Path) -> None:
    built = small(EVIL[evil], VICTIM, technique=technique)
    beside_on_qemu(built, tmp_path, hopeless=evil in HOPELESS)
