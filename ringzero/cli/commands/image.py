"""`ringzero image`: fetch, build, list and remove what guests boot from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringzero.cli import report
from ringzero.cli.guest.plan import FETCHED
from ringzero.errors import NotFound, UsageError

if TYPE_CHECKING:
    from ringzero.images import DebianImage


@click.group()
def image() -> None:
    """Fetch, build, list and remove the images that guests boot."""


@image.command()
@click.argument("name", type=click.Choice(FETCHED))
@click.option(
    "--arch",
    type=click.Choice(["riscv64", "amd64"]),
    default="riscv64",
    show_default=True,
    help="The guest's architecture: riscv64 for emulation, amd64 for --cpu kvm.",
)
@click.option("--suite", default="trixie", show_default=True, help="The Debian release.")
@click.option(
    "--mirror",
    envvar="RINGZERO_MIRROR",
    help="Where to fetch from, instead of where the host's apt does.",
)
@click.option(
    "--debs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of .deb files to take packages from, instead of a mirror.",
)
@click.option("--refresh", is_flag=True, help="Ask the mirror again for newer packages.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def fetch(
    name: str,
    arch: str,
    suite: str,
    mirror: str | None,
    debs: Path | None,
    refresh: bool,
    quiet: bool,
) -> None:
    """Fetch an image through the host's own apt, unprivileged; nothing if it is there already."""
    if quiet:
        report.set_verbosity(report.Verbosity.QUIET)
    get = _fetcher(name, arch)
    with report.progress() as progress:
        got = get(suite=suite, mirror=mirror, debs=debs, progress=progress, refresh=refresh)
    name = name if arch == "riscv64" else f"{name}-{arch}"
    report.note(
        f"{name} is here: {got.version} ({_megabytes(got.kernel)} kernel, "
        f"{_megabytes(got.initrd)} initial RAM disk)."
    )


def _fetcher(name: str, arch: str) -> Callable[..., DebianImage]:
    from ringzero.images import fetch_debian, fetch_installer
    from ringzero.kvm.image import fetch_cloud_debian

    if arch == "riscv64":
        return fetch_debian if name == "debian" else fetch_installer
    if name == "debian":
        return fetch_cloud_debian
    raise UsageError(f"The image {name} is for riscv64 only: of {arch} there is `debian`.")


@image.command()
@click.argument("name", type=click.Choice(["paravirt-linux"]))
@click.option(
    "--mirror",
    envvar="RINGZERO_MIRROR",
    help="Where to fetch the source from, instead of where the host's apt does.",
)
@click.option("-j", "--jobs", type=click.IntRange(1), help="Compilers at once.  [default: all]")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def build(name: str, mirror: str | None, jobs: int | None, quiet: bool) -> None:
    """Build an image from source; nothing if it was built from the same before.

    paravirt-linux is Debian's Linux with a small configuration and edits that make it call our
    hypervisor (docs/hypercalls.md). Compiling takes minutes, 2 GB of disk for as long, and Debian's
    cross compiler.
    """
    from ringzero.images.paravirt_linux import build_paravirt_linux

    if quiet:
        report.set_verbosity(report.Verbosity.QUIET)
    with report.progress() as progress:
        got = build_paravirt_linux(mirror=mirror, progress=progress, jobs=jobs)
    report.note(f"{name} is here: Linux {got.version}, {got.kernel}. Run it with --cpu paravirt.")


@image.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_images(as_json: bool) -> None:
    """List the images that were fetched, and where their files are."""
    from ringzero.cli.views.inventory import inventory

    entries = inventory()
    if as_json:
        click.echo(json.dumps([entry.as_json() for entry in entries], indent=1))
        return
    if not entries:
        report.note("No image was fetched yet: `ringzero image fetch debian` gets one.")
    for entry in entries:
        click.echo(f"{entry.name:18}{entry.version:36}{entry.size >> 20:6} MB")


@image.command()
@click.argument("name", type=click.Choice([*FETCHED, "debian-amd64", "all"]))
def remove(name: str) -> None:
    """Remove an image from the cache, or `all` with the packages they were made from."""
    from ringzero.cli.views import inventory

    count, freed = inventory.remove(name)
    if not count:
        raise NotFound(f"No image {name!r} is in the cache; `ringzero image list` shows what is.")
    report.note(f"Removed {count} of the cache's images, {freed >> 20} MB.")


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / (1 << 20):.1f} MB"
