"""What a run boots: an image's name, a kernel file or options, made into one description.

`ringzero run` without a name boots Debian, or the bundled guest kernel where no Debian can be had.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ringzero.cli import report
from ringzero.cli.console.terminal import STDIN, in_foreground, window_size
from ringzero.errors import NotFound, UsageError
from ringzero.machine.disk import DiskImage
from ringzero.machines.storage import Mount

DEBIAN_APPEND = "console=ttyS0 quiet"
EARLY_CONSOLE = "earlycon=sbi"
"""For what a kernel has to say before it knows its devices: that memory is too small, say."""


IMAGES = {
    "debian": "Debian's kernel with a busybox shell",
    "debian-installer": "the Debian installer, as started from the network",
    "paravirt-linux": "Linux that calls our hypervisor; `ringzero image build` makes it",
    "guest": "the bundled guest kernel, which needs nothing from outside",
    "guest-paravirt": "the same kernel in its paravirtual flavour",
    "guest-hello": "a bundled program that greets and ends, alone in M-mode",
    "guest-workloads": "bundled programs that compute, for measuring",
    "guest-tests": "bundled tests of the machine itself, in M-mode",
}

BUNDLED = {
    "guest": "kernel",
    "guest-paravirt": "kernel-paravirt",
    "guest-hello": "hello",
    "guest-workloads": "workloads",
    "guest-tests": "machine-tests",
}
"""Images that `ringzero.guests` builds, by the names they have there."""

FETCHED = ("debian", "debian-installer")
"""Images that come from outside."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides what happens in a run."""

    title: str
    kernel: Path | None
    initrd: Path | None
    append: str
    bios: str | None
    memory: int
    cpus: int
    cpu: str
    engine: str
    clock: str
    parallel: bool | None = None  # None: as the machine chooses
    disks: tuple[DiskImage, ...] = ()
    mounts: tuple[Mount, ...] = ()
    bundled: str | None = None
    command: str | None = None
    name: str = ""
    show: str | None = None
    """What is listed at the end: `translation`."""
    vms: tuple[Plan, ...] = ()
    """The guests, where the machine is a hypervisor's."""

    def as_json(self) -> dict[str, Any]:
        """The plan in terms of JSON."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def as_text(self) -> str:
        """The plan in lines for people."""
        lines = [f"{self.title}"]
        facts = {
            "kernel": self.kernel or (f"bundled {self.bundled}" if self.bundled else None),
            "initrd": self.initrd,
            "firmware": self.bios,
            "command line": self.append or None,
            "memory": f"{self.memory >> 20} MB",
            "harts": self.cpus,
            "technique": self.cpu,
            "engine": self.engine,
            "clock": self.clock,
        }
        lines += [f"  {name:13}{value}" for name, value in facts.items() if value is not None]
        lines += [f"  {'disk':13}{disk.path}" for disk in self.disks]
        lines += [f"  {'mount':13}{mount.tag} = {mount.path}" for mount in self.mounts]
        if len(self.vms) > 1:
            lines = lines[:1] + [f"VM {one.name}: {one.as_text()}" for one in self.vms]
        return "\n".join(lines)


def with_image(plan: Plan, image: str | None, fetch: bool = True) -> Plan:
    """The plan with kernel and initrd of a named image, where the options name none.

    Without `fetch` an image that is not here yet is only named.
    """
    if plan.kernel is not None:
        if image is not None:
            raise UsageError(f"Both an image ({image}) and --kernel are given: leave one out.")
        return replace(plan, title=str(plan.kernel))
    if plan.bios not in (None, "none") and image is None:
        return replace(plan, title=f"firmware {plan.bios}")
    if not fetch and image in (None, *FETCHED) and not _is_here(image or "debian"):
        return replace(plan, title=f"{image or 'debian'}, which has to be fetched first")
    if image is None:
        return _debian_or_bundled(plan)
    if image == "debian":
        return _debian(plan)
    if image == "debian-installer":
        return _installer(plan)
    if image == "paravirt-linux":
        return _paravirt_linux(plan)
    if image in BUNDLED:
        return _bundled(plan, image)
    path = Path(image)
    if path.exists() or "/" in image:
        return replace(plan, kernel=path, title=image)
    raise NotFound(
        f"There is no image {image!r}: name one of {', '.join(IMAGES)}, or a kernel's file."
    )


def _is_here(image: str) -> bool:
    from ringzero.cli.views.inventory import inventory

    return any(entry.name == image for entry in inventory())


def _debian_or_bundled(plan: Plan) -> Plan:
    from ringzero.images import ImageError

    try:
        return _debian(plan)
    except ImageError as error:
        report.note(f"{error} Booting the bundled guest kernel instead.")
        return _bundled(plan, "guest")


def _debian(plan: Plan) -> Plan:
    from ringzero.images import fetch_debian

    with report.progress() as progress:
        image = fetch_debian(progress=progress)
    return replace(
        plan,
        title=f"Debian, Linux {image.version}",
        kernel=image.kernel,
        initrd=plan.initrd or image.initrd,
        append=f"{DEBIAN_APPEND} {EARLY_CONSOLE}{_size(plan)} {plan.append}".strip(),
    )


def _installer(plan: Plan) -> Plan:
    from ringzero.images import fetch_installer

    with report.progress() as progress:
        image = fetch_installer(progress=progress)
    return replace(
        plan,
        title="the Debian installer",
        kernel=image.kernel,
        initrd=plan.initrd or image.initrd,
        append=f"console=ttyS0 {plan.append}".strip(),
    )


def _paravirt_linux(plan: Plan) -> Plan:
    from ringzero.images import fetch_debian
    from ringzero.images.paravirt_linux import find_paravirt_linux

    image = find_paravirt_linux()
    if image is None:
        raise NotFound(
            "The paravirtual Linux has not been built here: `ringzero image build paravirt-linux` "
            "does it, from Debian's source, in some minutes."
        )
    with report.progress() as progress:
        initrd = plan.initrd or fetch_debian(progress=progress).initrd
    return replace(
        plan,
        title=f"paravirtual Linux {image.version}",
        kernel=image.kernel,
        initrd=initrd,
        append=f"console=hvc0 quiet{_size(plan)} {plan.append}".strip(),
    )


def _size(plan: Plan) -> str:
    """How large the terminal is, for guests that have no console device to ask."""
    if plan.cpu == "emulate" or not in_foreground(STDIN):
        return ""
    columns, rows = window_size(STDIN)
    return f" ringzero.size={columns}x{rows}" if columns and rows else ""


def _bundled(plan: Plan, image: str) -> Plan:
    return replace(plan, title=IMAGES[image], bundled=BUNDLED[image])


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
