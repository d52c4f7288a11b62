"""`python -m ringzero.guests kernel -o kernel.elf`: a bundled guest as a file."""

from __future__ import annotations

from pathlib import Path

import click

from ringzero.guests import GUESTS, build


@click.command()
@click.argument("name", type=click.Choice(sorted(GUESTS)))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--flat", is_flag=True, help="Memory as it is, without the ELF around it.")
def main(name: str, output: Path, flat: bool) -> None:
    """Write a guest to a file."""
    image = build(name)
    output.write_bytes(image.flat if flat else image.elf)


if __name__ == "__main__":
    main()
