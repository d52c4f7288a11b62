"""`ringzero build`: the project's own riscv64 programs as files, for QEMU and other boards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringzero.cli import report

if TYPE_CHECKING:
    from ringzero.lang.image import Image


def _firmware() -> Image:
    from ringzero.firmware import build

    return build()


def _guest() -> Image:
    from ringzero.guests import build

    return build("kernel")


PROGRAMS: dict[str, Callable[[], Image]] = {"firmware": _firmware, "guest": _guest}


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

    `firmware` is the built-in SBI, and `guest` the bundled kernel; `qemu-system-riscv64 -M virt`
    takes them too, with -bios and -kernel.
    """
    image = PROGRAMS[program]()
    data = image.flat if flat else image.elf
    output.write_bytes(data)
    report.note(f"{output} is written: {len(data)} bytes.")
