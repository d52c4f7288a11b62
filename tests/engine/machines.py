"""A hart at the start of a test's program, and two engines that run it side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ringzero.isa.tools.program import assemble_text
from ringzero.machines.riscv import Machine
from tests.guest_files import RAM, elf

ALL_ENGINES = ("reference", "interpreter", "compiler", "regions")
NEVER = (1 << 64) - 1  # no deadline; no reservation


def begin(harts: Any, pc: int, *, mode: int = 3, **more: int) -> Any:
    """Hart 0 about to execute at `pc`, with 64-bit S and U modes; `more` are fields of its own."""
    hart = harts.hart(0)
    fields = {"pc": pc, "mode": mode, "mstatus": 0xA_0000_0000, "stimecmp": NEVER,
              "reservation": NEVER} | more  # fmt: skip
    for name, value in fields.items():
        setattr(hart, name, type(getattr(hart, name))(value))
    return hart


def give_numbers(hart: Any, values: Sequence[int]) -> None:
    """x and f registers, of the 64 that `random_programs.registers` makes."""
    for number in range(32):
        if number:
            hart.x[number] = type(hart.x[number])(values[number])
        hart.f[number] = type(hart.f[number])(values[32 + number])


def open_memory(hart: Any) -> None:
    """PMP that lets S and U do everything."""
    hart.pmpcfg[0], hart.pmpaddr[0] = 0x1F, (1 << 54) - 1


def bare(text: str, folder: Path, engine: str, **options: Any) -> Machine:
    """A machine of this engine with a program in M-mode at the start of RAM, to end by `tohost`.

    The page behind the program is `tohost`'s.
    """
    size = -(-len(assemble_text(text, RAM, {"tohost": RAM})) // 4096) * 4096
    code = assemble_text(text, RAM, {"tohost": RAM + size})
    file = folder / "program.elf"
    file.write_bytes(elf(code.ljust(size + 4096, b"\0"), symbols={"tohost": RAM + size}))
    return Machine(kernel=file, engine=engine, memory="4M", **options)
