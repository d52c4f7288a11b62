"""`ringzero build`: the project's own riscv64 programs as files, for QEMU and other boards."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from ringzero.cli import report

PROGRAMS = {"firmware": "ringzero.firmware"}
"""Packages with a `build()` that gives an image."""


@click.command()
@click.argument("program", type=click.Choice(list(PROGRAMS)))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write.",
)
@click.option("--flat", is_flag=True, help="Memory as it is, without the ELF around it.")
def build(program: str, output: Path, flat: bool) -> None:
    """Compile one of ringzero's own programs for riscv64.

    `firmware` is the built-in SBI: `qemu-system-riscv64 -M virt -bios FILE` takes it too.
    """
    image = importlib.import_module(PROGRAMS[program]).build()
    data = image.flat if flat else image.elf
    output.write_bytes(data)
    report.note(f"{output} is written: {len(data)} bytes.")
