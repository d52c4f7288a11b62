"""Debian for a guest: kernel, initramfs and root file system, the installer, and firmware."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ringzero.images import busybox, deb, tree
from ringzero.images.apt import AptSource
from ringzero.images.cache import Progress, cache_root, digest_of, published, silent
from ringzero.images.directory import DirectorySource
from ringzero.images.errors import ImageError
from ringzero.images.initramfs import initramfs
from ringzero.images.modules import KernelModules
from ringzero.images.packages import Package, PackageSource
from ringzero.images.requests import answered

RECIPE = 4
"""Raised when what is built from the same packages changes."""

BUSYBOX = "busybox-static"
FLAVOUR = {"riscv64": "riscv64", "amd64": "amd64", "arm64": "arm64"}
RELEASE = {"bookworm": "12", "trixie": "13", "forky": "14"}
LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/lintian/", "usr/share/info/")
ON_DEMAND = (
    "virtio_blk", "virtio_mmio", "ext4", "xfs", "btrfs", "vfat", "isofs",
    "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8", "overlay", "loop",
)  # fmt: skip
"""Modules for disks and what may be on them; those that a kernel does not have are left out."""
FIRMWARE = {
    "opensbi": ("opensbi", "usr/lib/riscv64-linux-gnu/opensbi/generic/"),
    "u-boot": ("u-boot-qemu", "usr/lib/u-boot/qemu-riscv64"),
}


@dataclass(frozen=True)
class DebianImage:
    """What a machine boots: `root` is a folder with `tree/` and `manifest.json`."""

    kernel: Path
    initrd: Path
    root: Path | None
    version: str


def fetch_debian(
    arch: str = "riscv64",
    suite: str = "trixie",
    mirror: str | None = None,
    debs: Path | None = None,
    packages: Sequence[str] | None = (),
    modules: Sequence[str] = (),
    progress: Progress = silent,
    refresh: bool = False,
    flavour: str | None = None,
) -> DebianImage:
    """Debian's newest kernel, an initramfs with busybox, and a root with `packages` as well.

    `packages=None` makes no root. `modules` are kernel modules that the initramfs loads first;
    what disks need it holds in any case, and loads where there is one.
    `refresh` reads the mirror's lists again instead of giving the image had before. `flavour` is
    the kernel's, such as `cloud-amd64`; by default the architecture's usual one.
    """
    if arch not in FLAVOUR:
        raise ImageError(f"No Debian for {arch!r} is known here; there is {', '.join(FLAVOUR)}.")
    flavour = flavour or FLAVOUR[arch]
    init = busybox.init_script().decode()
    request = [arch, suite, flavour, packages, modules, ON_DEMAND, init]

    def build() -> dict[str, str]:
        source = _source(arch, suite, mirror, debs, refresh)
        kernel_deb, version = _kernel_package(source, flavour, progress)
        names = None if packages is None else [BUSYBOX, *packages]
        parts = source.closure(names) if names else source.exactly([BUSYBOX])
        files = source.fetch(parts, progress)
        program = _busybox(files[[part.name for part in parts].index(BUSYBOX)])
        answer = {"arch": arch, "version": version, "kernel": str(_kernel(kernel_deb, progress))}
        there = cache(lambda: KernelModules(kernel_deb))  # looking through them takes seconds
        answer["initrd"] = str(_initrd(program, kernel_deb, there, modules, progress))
        if names is not None:
            answer["root"] = str(_root(program, kernel_deb, there, parts, files, progress))
        return answer

    answer = answered(digest_of(RECIPE, _where(mirror, debs, arch), request), build, refresh)
    root = answer.get("root")
    return DebianImage(
        kernel=Path(answer["kernel"]),
        initrd=Path(answer["initrd"]),
        root=Path(root) if root else None,
        version=answer["version"],
    )


def fetch_installer(
    arch: str = "riscv64",
    suite: str = "trixie",
    mirror: str | None = None,
    debs: Path | None = None,
    progress: Progress = silent,
    refresh: bool = False,
) -> DebianImage:
    """The Debian installer's kernel and initrd for booting from the network."""
    if suite not in RELEASE:
        raise ImageError(f"No installer for {suite!r} is known; there is {', '.join(RELEASE)}.")
    name = f"debian-installer-{RELEASE[suite]}-netboot-{arch}"

    def build() -> dict[str, str]:
        source = _source(arch, suite, mirror, debs, refresh)
        found = _taken(source, name, ("/linux", "/initrd.gz"), progress)
        wanted = {path.name: str(path) for path in found}
        return {"kernel": wanted["linux"], "initrd": wanted["initrd.gz"], "version": name}

    answer = answered(digest_of(RECIPE, _where(mirror, debs, arch), [name, suite]), build, refresh)
    return DebianImage(Path(answer["kernel"]), Path(answer["initrd"]), None, answer["version"])


def fetch_firmware(
    name: str,
    suite: str = "trixie",
    mirror: str | None = None,
    debs: Path | None = None,
    progress: Progress = silent,
    refresh: bool = False,
) -> dict[str, Path]:
    """Firmware for riscv64 by name, `opensbi` or `u-boot`: its .bin and .elf files.

    The keys are `fw_dynamic.bin`, … or `qemu-riscv64_smode/u-boot.bin`, …
    """
    if name not in FIRMWARE:
        raise ImageError(f"No firmware {name!r} is known here; there is {', '.join(FIRMWARE)}.")
    package, prefix = FIRMWARE[name]

    def build() -> dict[str, str]:
        source = _source("riscv64", suite, mirror, debs, refresh)
        found = _taken(source, package, (".bin", ".elf"), progress, prefix)
        key = (lambda p: p.name) if name == "opensbi" else (lambda p: f"{p.parent.name}/{p.name}")
        return {key(path): str(path) for path in found}

    answer = answered(
        digest_of(RECIPE, _where(mirror, debs, "riscv64"), [name, suite]), build, refresh
    )
    return {key: Path(path) for key, path in answer.items()}


def _where(mirror: str | None, debs: Path | None, arch: str) -> tuple[str, ...]:
    """What tells one source of packages from another in the notes of answered requests."""
    if debs is not None:
        return DirectorySource(debs, arch).identity()
    return ("apt", mirror or os.environ.get("RINGZERO_MIRROR") or "the host's mirror", arch)


def _source(
    arch: str, suite: str, mirror: str | None, debs: Path | None, refresh: bool
) -> PackageSource:
    if debs is not None:
        return DirectorySource(debs, arch)
    source = AptSource(arch, suite, mirror)
    if refresh:
        source.refresh()
    return source


def _kernel_package(source: PackageSource, flavour: str, progress: Progress) -> tuple[Path, str]:
    """The file of the newest kernel's package, and the kernel's version.

    The metapackage names it. Suites after trixie split the kernel proper off into linux-binary-*.
    """
    name = f"linux-image-{flavour}"
    for prefix in ("linux-image-", "linux-binary-"):
        for needed in source.depends(name):
            if needed.startswith(prefix):
                name = needed
    if name == f"linux-image-{flavour}":
        raise ImageError(f"The package {name} names no kernel; try another suite.")
    package = source.fetch(source.exactly([name]), progress)[0]
    return package, name.split("-", 2)[2].removesuffix(f"-{flavour}")


def _kernel(package: Path, progress: Progress) -> Path:
    """The kernel's image, taken from the front of its package."""
    size = package.stat().st_size

    def build(place: Path) -> None:
        watch = _watcher(progress, "unpack", size)
        kernels = deb.contents(package, lambda path: path.startswith("boot/vmlinu"), watch)
        node = next(kernels, None)
        if node is None:
            raise ImageError(f"{package} holds no kernel under /boot; try another suite.")
        place.write_bytes(node.data)
        progress("unpack", size, size)

    return published(cache_root() / "kernels" / digest_of(_content_name(package)), build)


def _content_name(package: Path) -> str:
    # A file in the store is named by its hash; one in a user's directory is named by its stamps.
    status = package.stat()
    return f"{package.name}:{status.st_size}:{0 if len(package.stem) == 64 else status.st_mtime_ns}"


def _watcher(progress: Progress, phase: str, total: int) -> Callable[[int], None]:
    """Passes on the position in a file, at most once for each megabyte."""
    last = -1

    def watch(position: int) -> None:
        nonlocal last
        if position >> 20 != last:
            last = position >> 20
            progress(phase, position, total)

    return watch


def _busybox(package: Path) -> bytes:
    for node in deb.contents(package, lambda path: path.endswith("bin/busybox")):
        return node.data
    raise ImageError(f"{package} holds no busybox; fetch it again.")


def _initrd(
    program: bytes,
    kernel: Path,
    there: Callable[[], KernelModules],
    modules: Sequence[str],
    progress: Progress,
) -> Path:
    def build(place: Path) -> None:
        progress("initramfs", 0, 0)
        first, later = there().in_order(modules), there().on_demand(ON_DEMAND)
        place.write_bytes(initramfs(program, first, later))

    recipe = [busybox.init_script().decode(), program.hex(), ON_DEMAND]
    key = digest_of(RECIPE, recipe, [_content_name(kernel), *modules])
    return published(cache_root() / "initrds" / f"{key}.cpio.gz", build)


def _root(
    program: bytes,
    kernel: Path,
    there: Callable[[], KernelModules],
    parts: Sequence[Package],
    files: Sequence[Path],
    progress: Progress,
) -> Path:
    """The packages unpacked as root sees them: a folder and its manifest."""
    recipe = [_content_name(kernel), ON_DEMAND, *sorted(p.sha256 for p in parts)]
    key = digest_of(RECIPE, busybox.init_script().decode(), recipe)
    total = sum(part.size for part in parts)

    def nodes() -> Iterator[tree.Node]:
        yield from busybox.skeleton()
        yield from busybox.user_space(program)
        yield from there().on_demand(ON_DEMAND)
        done = 0
        for part, file in zip(parts, files, strict=True):
            progress("unpack", done, total)
            yield from deb.contents(file, lambda path: not path.startswith(LEFT_OUT))
            done += part.size
        progress("unpack", total, total)

    return published(cache_root() / "roots" / key, lambda place: tree.materialize(nodes(), place))


def _taken(
    source: PackageSource, name: str, endings: tuple[str, ...], progress: Progress, prefix: str = ""
) -> list[Path]:
    """Files of one package by their paths' endings, kept in a folder of the cache."""
    parts = source.exactly([name])
    package = source.fetch(parts, progress)[0]
    watch = _watcher(progress, "unpack", parts[0].size)

    def build(place: Path) -> None:
        place.mkdir()
        found: Iterable[tree.Node] = deb.contents(
            package, lambda path: path.startswith(prefix) and path.endswith(endings), watch
        )
        for node in found:
            if node.data:
                target = place / node.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(node.data)

    key = digest_of(parts[0].sha256, endings, prefix)
    folder = published(cache_root() / "files" / key, build)
    return sorted(path for path in folder.rglob("*") if path.is_file())
