"""Which extensions the machine has: the one table that misa and the device tree are made of."""

from __future__ import annotations

from collections.abc import Sequence

BASE = "rv64"
LETTERS = "imafdc"  # in the order of the ISA string
NAMING_ORDER = "imafdqcbvh"  # of the ISA manual's chapter on naming
PRIVILEGE = "su"  # modes beside M: letters of misa, not of the ISA string
HYPERVISOR = "h"  # what a hart has on request (isa.hart.add_hypervisor)
MULTI_LETTER = (
    "zicbom", "zicboz", "zicntr", "zicond", "zicsr", "zifencei", "zihpm", "zawrs", "zfh",
    "zicclsm", "zba", "zbb", "zbs", "smstateen", "sstc", "svade", "svadu", "svinval", "svnapot",
    "svpbmt",
)  # fmt: skip


def letters(*, hypervisor: bool = False) -> str:
    """The one-letter extensions, in the order of the ISA string."""
    return LETTERS + HYPERVISOR if hypervisor else LETTERS


def isa_string(extensions: Sequence[str]) -> str:
    """`riscv,isa`: one-letter extensions in the manual's order, then the named ones."""
    one_letter = sorted((e for e in extensions if len(e) == 1), key=NAMING_ORDER.index)
    return "_".join([BASE + "".join(one_letter), *(e for e in extensions if len(e) > 1)])


def names(*, hypervisor: bool = False) -> tuple[str, ...]:
    """The entries of a device tree's `riscv,isa-extensions`."""
    return (*letters(hypervisor=hypervisor), *MULTI_LETTER)


def misa() -> int:
    """MXL = 2 (64 bits), and one bit per letter; B stands for Zba, Zbb and Zbs together."""
    present = set(LETTERS) | set(PRIVILEGE)
    if {"zba", "zbb", "zbs"} <= set(MULTI_LETTER):
        present.add("b")
    return 2 << 62 | sum(1 << (ord(letter) - ord("a")) for letter in present)
