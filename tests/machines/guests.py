"""Two small guests for each of the three machines, and how each machine is built with one.

`TALK` says `up` and polls its console: it echoes what it is sent, `q` powers off with code 7, `r`
reboots. `SPIN` says `up` and computes for ever, without leaving the processor.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringzero import KvmMachine, Machine, VirtualMachines, Vm
from ringzero.isa.tools.program import assemble_text
from ringzero.kvm.board import layout
from ringzero.machines.base import BaseMachine
from tests.kvm import kernels

BASE, RAM = 0x8020_0000, 0x8000_0000
CODE = 7
BANNER = """
    li a0, 'u'
    call put
    li a0, 'p'
    call put
    li a0, 10
    call put
"""
TALK = """
again:
    li a7, 2                        # SBI's legacy console: a byte, or -1
    ecall
    bltz a0, again
    li t0, 'q'
    beq a0, t0, off
    li t0, 'r'
    beq a0, t0, reset
    call put
    j again
off:
    li a0, 0
    li a1, 0xE0000007               # with an exit code
    j system_reset
reset:
    li a0, 1
    li a1, 0
system_reset:
    li a6, 0
    li a7, 0x53525354
    ecall
ended:                              # which the machine notices a moment later
    j ended
"""
SPIN = """
again:
    addi s0, s0, 1
    j again
"""
PUT = """
put:
    li a7, 1
    ecall
    ret
"""


BARE = {
    "talk": """
again:
    lbu t1, 5(t0)                   # the line status, for ever
    j again
""",
    "spin": SPIN,
}
BARE_BANNER = """
    li t0, 0x10000000               # the UART
    li t1, 'u'
    sb t1, 0(t0)
    li t1, 'p'
    sb t1, 0(t0)
    li t1, 10
    sb t1, 0(t0)
"""


def riscv_elf(code: bytes, base: int = BASE) -> bytes:
    """An ELF file that is entered at its first byte."""
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, 243, 1, base, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    size = len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 7, 120, base, base, size, size, 4) + code


def riscv(source: str) -> bytes:
    """A guest in S-mode, over whatever firmware there is."""
    return riscv_elf(assemble_text(BANNER + source + PUT, BASE))


def x86_talk() -> bytes:
    """`TALK` for the PC."""
    kernel = kernels.Kernel(kernels.BASE, 64)
    kernel.say("up\n")
    kernel.label("again")
    kernel.mov("edx", layout.SERIAL + 5)
    kernel.op("in al, dx")
    kernel.arithmetic("and", "eax", 1)
    kernel.jump_if("jz", "again")
    kernel.mov("edx", layout.SERIAL)
    kernel.op("in al, dx")
    for letter, label in (("q", "off"), ("r", "reset")):
        kernel.emit(f"3c {ord(letter):02x}")  # cmp al, imm8
        kernel.jump_if("jz", label)
    kernel.say_byte()
    kernel.jump("again")
    kernel.label("reset")
    kernel.mov("edx", layout.RESET)
    kernel.mov("al", 6)
    kernel.op("out dx, al")
    kernel.label("halted")
    kernel.jump("halted")
    kernel.label("off")
    kernel.exit(CODE)
    return kernels.elf64(kernel.link())


def x86_spin() -> bytes:
    """`SPIN` for the PC."""
    kernel = kernels.Kernel(kernels.BASE, 64)
    kernel.say("up\n")
    kernel.label("again")
    kernel.jump("again")
    return kernels.elf64(kernel.link())


def build_machine(kernel: Path, **options: Any) -> Machine:
    """The machine that emulates."""
    return Machine(kernel=kernel, **{"memory": "16M", **options})


def build_virtual(kernel: Path, **options: Any) -> VirtualMachines:
    """The machine with our hypervisor."""
    return VirtualMachines([Vm(kernel, memory="16M")], **options)


def build_kvm(kernel: Path, **options: Any) -> KvmMachine:
    """The machine on the host's processor."""
    return KvmMachine(kernel=kernel, **{"memory": "16M", **options})


BUILDERS: dict[str, Callable[..., BaseMachine]] = {
    "machine": build_machine,
    "virtual": build_virtual,
    "kvm": build_kvm,
}
KINDS = ("machine", "virtual", pytest.param("kvm", marks=pytest.mark.needs_kvm))


def content(kind: str, guest: str) -> bytes:
    """The ELF file of a guest (`talk` or `spin`) for a kind of machine."""
    if kind == "kvm":
        return x86_talk() if guest == "talk" else x86_spin()
    return riscv(TALK if guest == "talk" else SPIN)


def start(kind: str, folder: Path, guest: str = "talk", **options: Any) -> BaseMachine:
    """A machine of a kind with a guest, at its first instruction."""
    kernel = folder / f"{kind}-{guest}.elf"
    if not kernel.exists():
        kernel.write_bytes(content(kind, guest))
    return BUILDERS[kind](kernel, **options)


def start_bare(folder: Path, guest: str, **options: Any) -> Machine:
    """A machine without firmware, for which slow engines need no time: `talk` polls the UART."""
    kernel = folder / f"bare-{guest}.elf"
    if not kernel.exists():
        kernel.write_bytes(riscv_elf(assemble_text(BARE_BANNER + BARE[guest], RAM), RAM))
    return Machine(kernel=kernel, bios="none", **{"memory": "16M", **options})
