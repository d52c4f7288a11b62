"""`python -m ringzero.firmware -o fw.elf`: the built-in firmware as a file."""

from __future__ import annotations

from pathlib import Path

import click

from ringzero.firmware import build


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--flat", is_flag=True, help="Memory as it is, without the ELF around it.")
def main(output: Path, flat: bool) -> None:
    """Write the firmware to a file."""
    image = build()
    output.write_bytes(image.flat if flat else image.elf)


if __name__ == "__main__":
    main()
