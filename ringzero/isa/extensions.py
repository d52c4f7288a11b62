"""Which extensions the machine has: the one table that misa and the device tree are made of."""

from __future__ import annotations

BASE = "rv64"
LETTERS = "imafdc"  # in the order of the ISA string
PRIVILEGE = "su"  # modes beside M: letters of misa, not of the ISA string
MULTI_LETTER = (
    "zicbom", "zicboz", "zicntr", "zicond", "zicsr", "zifencei", "zihpm", "zawrs", "zfh",
    "zicclsm", "zba", "zbb", "zbs", "smstateen", "sstc", "svade", "svadu", "svinval", "svnapot",
    "svpbmt",
)  # fmt: skip


def isa_string() -> str:
    """The string of a device tree's `riscv,isa`."""
    return "_".join([BASE + LETTERS, *MULTI_LETTER])


def names() -> tuple[str, ...]:
    """The entries of a device tree's `riscv,isa-extensions`."""
    return (*LETTERS, *MULTI_LETTER)


def misa() -> int:
    """MXL = 2 (64 bits), and one bit per letter; B stands for Zba, Zbb and Zbs together."""
    letters = set(LETTERS) | set(PRIVILEGE)
    if {"zba", "zbb", "zbs"} <= set(MULTI_LETTER):
        letters.add("b")
    return 2 << 62 | sum(1 << (ord(letter) - ord("a")) for letter in letters)
