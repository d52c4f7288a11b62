"""`ringzero analyze`: a kernel's sensitive instructions, and what each technique does with them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ringzero.errors import RingzeroError


class AnalyzeError(RingzeroError):
    """A file in which there is nothing to look for."""


@click.command()
@click.argument("kernel", required=False)
@click.option(
    "--functions",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="How many functions to name, those with most sensitive instructions first.",
)
@click.option("--sites", is_flag=True, help="Every instruction, with its address and function.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def analyze(kernel: str | None, functions: int, sites: bool, as_json: bool) -> int:
    """List the sensitive instructions of KERNEL, a Linux Image or an ELF for RISC-V.

    By class and by function: names come from the symbol table, or from the kallsyms tables inside
    an Image. Without KERNEL, or with `debian`: Debian's. `guest` is the bundled kernel.
    """
    from ringzero.hypervisor.host.analyze import NotAKernel
    from ringzero.hypervisor.host.analyze import analyze as analyzed

    name, data = _content(kernel or "debian")
    try:
        found = analyzed(data)
    except NotAKernel as error:
        raise AnalyzeError(f"The kernel {name} cannot be analyzed: {error}.") from None
    if as_json:
        click.echo(json.dumps(found.data(), indent=1))
        return 0
    click.echo(found.text(functions))
    if sites:
        click.echo()
        for site in found.sites:
            click.echo(f"{site.address:#x}  {site.text:32} {site.kind:20} {site.function}")
    return 0


def _content(kernel: str) -> tuple[str, bytes]:
    from ringzero.machine.loading.content import read_file
    from ringzero.machine.loading.kernel_file import plain_kernel

    if kernel == "guest" and not Path(kernel).exists():
        from ringzero.guests import build

        return "guest", build("kernel").elf
    path = Path(kernel)
    if kernel == "debian" and not path.exists():
        from ringzero.images import fetch_debian

        path = fetch_debian().kernel
    data = read_file(path, "kernel")
    return str(path), bytes(plain_kernel(path, data))
