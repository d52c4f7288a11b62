"""A bare-metal program that runs floating-point instructions over tables of operands, for Spike.

Instruction words come from ringzero's own rows. Spike writes the signature: for every instruction,
row of operands and value of frm, the result and fcsr, or `TRAPPED` where it trapped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ringzero.isa.instruction import Instruction
from tests.limits import HUNG

AS, LD = "riscv64-linux-gnu-as", "riscv64-linux-gnu-ld"
TRAPPED = 0x7A9_0000_0000_07A9
RD, RS1, FRD, FRS1, FRS2, FRS3 = 10, 11, 4, 1, 2, 3

Row = tuple[int, int, int, int]  # frs1, frs2, frs3, rs1

PROGRAM = """
    .option norvc
    .section .text
    .globl _start
_start:
    la t0, trapped
    csrw mtvec, t0
    li t0, 0x6000
    csrs mstatus, t0
    la s0, cases
    la s1, begin_signature
    la s7, cases_end
case:
    ld s2, 0(s0)
    ld s3, 8(s0)
    ld s4, 16(s0)
    ld s5, 24(s0)
row:
    li s6, 0
mode:
    slli t0, s6, 5
    csrw fcsr, t0
    fld ft1, 0(s3)
    fld ft2, 8(s3)
    fld ft3, 16(s3)
    ld a1, 24(s3)
    fmv.d.x ft4, zero
    li a0, 0
    jalr s2
    sd a0, 0(s1)
    csrr t0, fcsr
    sd t0, 8(s1)
    addi s1, s1, 16
    addi s6, s6, 1
    bne s6, s5, mode
    addi s3, s3, 32
    addi s4, s4, -1
    bnez s4, row
    addi s0, s0, 32
    bne s0, s7, case
    li t0, 1
    la t1, tohost
    sd t0, 0(t1)
1:  j 1b
    .align 2
trapped:
    csrw mepc, ra
    li a0, {trapped:#x}
    mret
{routines}
    .section .data
    .align 6
    .globl tohost
tohost: .dword 0
    .align 6
    .globl fromhost
fromhost: .dword 0
    .align 4
cases:
{cases}
cases_end:
{tables}
    .section .bss
    .align 6
    .globl begin_signature
begin_signature:
    .skip {size}
    .globl end_signature
end_signature:
    .dword 0
"""


@dataclass(frozen=True)
class Case:
    """An instruction with one rm, its operands, and how many values of frm to run it under."""

    instruction: Instruction
    rm: int
    rows: tuple[Row, ...]
    frms: int

    @property
    def word(self) -> int:
        """The instruction, between the registers that the program loads."""
        registers = {"rd": RD, "rs1": RS1, "frd": FRD, "frs1": FRS1, "frs2": FRS2, "frs3": FRS3}
        values = {**registers, "rm": self.rm}
        fields = self.instruction.row.fields.items()
        word = self.instruction.match
        for name, field in fields:
            word |= field.insert(values[name])
        return word


@dataclass(frozen=True)
class Outcome:
    """What one execution left behind."""

    result: int
    fcsr: int


def missing() -> str | None:
    """Why Spike cannot run here, or None."""
    for tool in (AS, LD, "dtc"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if _spike() is None:
        return "spike is not installed: pip install spike==0.0.5.dev20"
    return None


def _spike() -> str | None:
    beside = Path(sys.executable).parent / "spike"
    return str(beside) if beside.exists() else shutil.which("spike")


def _assembly(cases: Sequence[Case]) -> str:
    routines, descriptors, tables = [], [], []
    named: dict[tuple[Row, ...], str] = {}
    size = 0
    for index, case in enumerate(cases):
        if case.rows not in named:
            named[case.rows] = f"table{len(named)}"
            words = "\n".join(f"    .dword {', '.join(map(hex, row))}" for row in case.rows)
            tables.append(f"{named[case.rows]}:\n{words}")
        moved = "    fmv.x.d a0, ft4\n" if case.instruction.destination == "frd" else ""
        routines.append(f"routine{index}:\n    .word {case.word:#x}\n{moved}    ret")
        descriptors.append(
            f"    .dword routine{index}, {named[case.rows]}, {len(case.rows)}, {case.frms}"
        )
        size += 16 * len(case.rows) * case.frms
    return PROGRAM.format(
        trapped=TRAPPED,
        routines="\n".join(routines),
        cases="\n".join(descriptors),
        tables="\n".join(tables),
        size=size,
    )


def run(cases: Sequence[Case], where: Path) -> list[Outcome]:
    """The outcomes of all cases in the order of the program: case, row, frm."""
    source, object_file, elf = where / "floats.s", where / "floats.o", where / "floats.elf"
    signature = where / "signature"
    source.write_text(_assembly(cases))
    assemble: list[str | Path] = [
        AS,
        "-march=rv64imafd_zicsr",
        "-mabi=lp64d",
        "-o",
        object_file,
        source,
    ]
    subprocess.run(assemble, check=True)
    link: list[str | Path] = [
        LD,
        "-N",
        "-Ttext=0x80000000",
        "--no-warn-rwx-segments",
        "-o",
        elf,
        object_file,
    ]
    subprocess.run(link, check=True)
    spike = _spike()
    assert spike is not None
    options = ["--isa=rv64imafdc_zicsr_zfh", f"+signature={signature}", "+signature-granularity=8"]
    subprocess.run([spike, *options, elf], check=True, timeout=HUNG)
    words = [int(line, 16) for line in signature.read_text().split()]
    return [Outcome(*pair) for pair in zip(words[::2], words[1::2], strict=False)]
