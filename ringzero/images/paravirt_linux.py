"""Linux, modified to call our hypervisor: Debian's kernel source, our edits, a small configuration.

The source comes as a package through the same isolated apt as everything else, is edited
(`kernel_edits.py`), configured from nothing plus `paravirt/config`, and compiled by the host's
cross compiler. The Image is kept under the digest of all that it is made from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ringzero.images import deb, kernel_edits
from ringzero.images.apt import AptSource
from ringzero.images.cache import Progress, cache_root, digest_of, published, scratch, silent
from ringzero.images.errors import ImageError

SOURCE = "linux-source-6.12"
SUITE = "trixie"
CROSS = "riscv64-linux-gnu-"
TOOLS = {
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "cc": "gcc",
    "tar": "tar",
    "xz": "xz-utils",
    f"{CROSS}gcc": "gcc-riscv64-linux-gnu",
    f"{CROSS}ld": "binutils-riscv64-linux-gnu",
}
"""Commands that compiling takes, and Debian's packages of them."""


@dataclass(frozen=True)
class BuiltKernel:
    """An Image, and the version of the kernel that it is."""

    kernel: Path
    version: str


def require_tools(which: Callable[[str], str | None] = shutil.which) -> None:
    """Say in a sentence what the host misses for compiling."""
    missing = [command for command in TOOLS if which(command) is None]
    if missing:
        packages = " ".join(TOOLS[command] for command in missing)
        raise ImageError(
            f"Compiling Linux takes {', '.join(missing)}, which this host does not have: "
            f"apt-get install {packages}"
        )


def find_paravirt_linux() -> BuiltKernel | None:
    """The newest Image that was built here for the present edits."""
    made = sorted(_shelf().glob("*/Image"), key=lambda path: path.stat().st_mtime)
    for image in reversed(made):
        if (image.parent / "edits").read_text() == _edits():
            return BuiltKernel(image, (image.parent / "version").read_text())
    return None


def build_paravirt_linux(
    mirror: str | None = None, progress: Progress = silent, jobs: int | None = None
) -> BuiltKernel:
    """Build the Image, or give the one that was built from the same before."""
    require_tools()
    source = AptSource("riscv64", SUITE, mirror)
    packages = source.exactly([SOURCE])
    compiler = _output([f"{CROSS}gcc", "--version"]).splitlines()[0]
    key = digest_of(packages[0].sha256, _edits(), compiler)

    def build(place: Path) -> None:
        package = source.fetch(packages, progress)[0]
        with scratch(_shelf()) as folder:
            tree = unpack(package, folder, progress)
            keep_originals(tree, folder / "before")
            kernel_edits.make_paravirtual(tree)
            image = compile_kernel(tree, folder / "out", progress, jobs or os.cpu_count() or 1)
            place.mkdir()
            shutil.copyfile(image, place / "Image")
            shutil.move(folder / "before", place / "before")
            shutil.copyfile(folder / "out" / ".config", place / "config")
            (place / "version").write_text(kernel_edits.version_of(tree))
            (place / "edits").write_text(_edits())

    place = published(_shelf() / key, build)
    return BuiltKernel(place / "Image", (place / "version").read_text())


def _shelf() -> Path:
    return cache_root() / "paravirt"


def _edits() -> str:
    """What the Image's content depends on beside its source and compiler."""
    data = (kernel_edits.DATA / name for name in ("edits.toml", "config"))
    return digest_of([path.read_text() for path in data], kernel_edits.files())


def unpack(package: Path, folder: Path, progress: Progress) -> Path:
    """The source tree that the package carries as a tar file."""
    name = f"{SOURCE}.tar.xz"
    for node in deb.contents(package, lambda path: path.endswith(name)):
        progress("unpack", 0, 0)
        (folder / name).write_bytes(node.data)
        _output(["tar", "-xf", name], folder)
        (folder / name).unlink()
        return folder / SOURCE
    raise ImageError(f"{package} holds no {name}: the mirror's {SOURCE} is not what it was.")


def keep_originals(tree: Path, folder: Path) -> None:
    """What is edited, as it was: for telling what changed, and for trying edits again."""
    for name in {"Makefile", *(edit.file for edit in kernel_edits.edits()[1])}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, folder / name)


def compile_kernel(tree: Path, out: Path, progress: Progress, jobs: int) -> Path:
    """Configure and make; the Image's path."""
    out.mkdir(exist_ok=True)
    wanted = kernel_edits.DATA / "config"
    make = ["make", "-C", str(tree), "ARCH=riscv", f"CROSS_COMPILE={CROSS}", f"O={out}"]
    _output([*make, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"])
    check_configuration(wanted.read_text(), (out / ".config").read_text())
    log = out / "make.log"
    with (
        log.open("w+") as file,
        subprocess.Popen(
            ["nice", *make, f"-j{jobs}", "Image"], stdout=subprocess.PIPE, stderr=file, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for done, _line in enumerate(process.stdout):
            progress("compile", done, 0)
    if process.returncode:
        said = [line for line in log.read_text().splitlines() if "error" in line.lower()]
        raise ImageError(f"The kernel does not compile: {said[0] if said else 'make says no more'}")
    return out / "arch/riscv/boot/Image"


def check_configuration(wanted: str, made: str) -> None:
    """Every line asked for is there: an option that is renamed would vanish without a word."""
    lines = set(made.splitlines())
    lost = [line for line in wanted.splitlines() if line and line not in lines]
    if lost:
        raise ImageError(f"This kernel's configuration does not take {', '.join(lost)}.")


def _output(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it gave no reason"]
        said = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise ImageError(f"{command[0]} failed: {said.strip()}")
    return done.stdout
