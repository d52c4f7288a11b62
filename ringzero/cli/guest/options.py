"""The options that describe a guest, said once: `run`, `build`, `compare` and others share them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ringzero.cli.guest.choices import VmType
from ringzero.cli.guest.values import SIZE_HELP, DiskType, MountType, Size
from ringzero.engine import ENGINES
from ringzero.hypervisor.techniques import TECHNIQUES

Decorated = TypeVar("Decorated")

FILE = click.Path(path_type=Path)

OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "cpu": (
        ("--cpu",),
        {
            "type": click.Choice(["emulate", *TECHNIQUES, "kvm"]),
            "default": "emulate",
            "show_default": True,
            "help": "Technique: how the guest gets its CPU.",
        },
    ),
    "engine": (
        ("--engine",),
        {
            "type": click.Choice(ENGINES),
            "default": "auto",
            "show_default": True,
            "help": "How instructions are executed here.",
        },
    ),
    "memory": (
        ("-m", "--memory"),
        {
            "type": Size(),
            "default": "512M",
            "show_default": True,
            "help": f"The guest's RAM: {SIZE_HELP}.",
        },
    ),
    "cpus": (
        ("--cpus",),
        {
            "type": click.IntRange(1, 64),
            "default": 1,
            "show_default": True,
            "help": "Number of harts.",
        },
    ),
    "bios": (
        ("--bios",),
        {
            "metavar": "FILE|none",
            "default": None,
            "help": "Firmware in M-mode instead of the built-in SBI, or none.",
        },
    ),
    "kernel": (
        ("--kernel",),
        {
            "type": FILE,
            "help": "A kernel: a RISC-V Linux Image, compressed or not, or an ELF file; with "
            "--cpu kvm a bzImage or an ELF file.",
        },
    ),
    "initrd": (("--initrd",), {"type": FILE, "help": "An initial RAM disk."}),
    "append": (
        ("-a", "--append"),
        {"default": "", "metavar": "TEXT", "help": "Words for the kernel's command line."},
    ),
    "disks": (
        ("--disk", "disks"),
        {
            "type": DiskType(),
            "metavar": "FILE[,ro|,overlay][,share][,bus=pci|mmio]",
            "multiple": True,
            "help": "A raw disk image, on virtio-blk. Again for more. A comma in the file's name "
            "is written twice.",
        },
    ),
    "mounts": (
        ("--mount", "mounts"),
        {
            "type": MountType(),
            "metavar": "TAG=FOLDER[:ro|:rw]",
            "multiple": True,
            "help": "A host folder, on virtio-fs. Again for more. A folder whose name ends in :ro "
            "is written with :rw behind it.",
        },
    ),
    "vms": (
        ("--vm", "vms"),
        {
            "type": VmType(),
            "metavar": "NAME[:KEY=VALUE,…]",
            "multiple": True,
            "help": "With --cpu trap, a guest: image, kernel, initrd, append, memory, cpu. Again "
            "for more. Where a comma would begin another key, it is written twice.",
        },
    ),
    "clock": (
        ("--clock",),
        {
            "type": click.Choice(["host", "instructions"]),
            "default": "host",
            "show_default": True,
            "help": "What guest time follows; `instructions` is deterministic.",
        },
    ),
}


def guest_options(
    *names: str, of: str = "", **changed: dict[str, Any]
) -> Callable[[Decorated], Decorated]:
    """The named options, in this order.

    `of` is the case in which a command looks at them, which the help then begins with; `changed`
    has what differs for one command, by option.
    """

    def decorate(command: Any) -> Any:
        for name in reversed(names):
            declarations, shared = OPTIONS[name]
            settings = {**shared, **changed.get(name, {})}
            if of:
                settings["help"] = f"{of}: {settings['help'][0].lower()}{settings['help'][1:]}"
            command = click.option(*declarations, **settings)(command)
        return command

    return decorate
