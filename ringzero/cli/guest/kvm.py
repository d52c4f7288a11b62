"""Guests on the host's own virtualization: what `--cpu kvm` boots, what it refuses, and why.

The device is tried before anything is fetched, so a host without it says so at once, with 126;
no other technique is tried in its place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringzero.cli import report
from ringzero.cli.guest.plan import DEBIAN_APPEND, IMAGES, Plan
from ringzero.errors import NotFound, UsageError

if TYPE_CHECKING:
    from ringzero.machines.kvm import KvmMachine

NAMES = ("debian", "debian-amd64")
"""What Debian's cloud kernel may be called here, where all is x86-64."""


def kvm_plan(plan: Plan, image: str | None, fetch: bool = True) -> Plan:
    """The plan with an x86-64 kernel; without `fetch` an image that is not here is only named."""
    from ringzero.kvm.status import try_device

    _refuse_what_it_lacks(plan)
    if fetch:
        try_device()
    if plan.kernel is not None:
        if image is not None:
            raise UsageError(f"Both an image ({image}) and --kernel are given: leave one out.")
        return replace(plan, title=str(plan.kernel))
    if image is None or image in NAMES:
        return _debian(plan, fetch)
    path = Path(image)
    if path.exists() or "/" in image:
        return replace(plan, kernel=path, title=image)
    known = f"The image {image!r} is for RISC-V" if image in IMAGES else f"There is no {image!r}"
    raise NotFound(
        f"{known}: with --cpu kvm name debian, or the file of a bzImage or ELF kernel for x86-64."
    )


def _refuse_what_it_lacks(plan: Plan) -> None:
    wrong = {
        "--bios": plan.bios not in (None, "none"),
        "--engine": plan.engine != "auto",
        "--clock instructions": plan.clock != "host",
        "--turns": plan.parallel is False,
    }
    reasons = {
        "--bios": "kernels are entered without any firmware",
        "--engine": "the host's processor executes the guest itself",
        "--clock instructions": "the host's processor runs at its own pace",
        "--turns": "each vCPU has a thread",
    }
    for option, given in wrong.items():
        if given:
            raise UsageError(
                f"{option} has no meaning with --cpu kvm, where {reasons[option]}: leave it out, "
                "or use --cpu emulate."
            )


def _debian(plan: Plan, fetch: bool) -> Plan:
    from ringzero.cli.views.inventory import inventory
    from ringzero.kvm.image import NAME, fetch_cloud_debian

    if not fetch and all(entry.name != NAME for entry in inventory()):
        return replace(plan, title=f"{NAME}, which has to be fetched first")
    with report.progress() as progress:
        image = fetch_cloud_debian(progress=progress)
    return replace(
        plan,
        title=f"Debian for amd64, Linux {image.version}",
        kernel=image.kernel,
        initrd=plan.initrd or image.initrd,
        append=f"{DEBIAN_APPEND} {plan.append}".strip(),
    )


def kvm_machine(plan: Plan, console: Any) -> KvmMachine:
    """The plan's machine."""
    from ringzero.cli.guest.disks import refuse_other_formats
    from ringzero.machines.kvm import KvmMachine

    assert plan.kernel is not None
    for disk in plan.disks:
        refuse_other_formats(disk)
    return KvmMachine(
        memory=plan.memory,
        cpus=plan.cpus,
        kernel=plan.kernel,
        initrd=plan.initrd,
        append=plan.append,
        disks=plan.disks,
        mounts=plan.mounts,
        console=console,
    )
