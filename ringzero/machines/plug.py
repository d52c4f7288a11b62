"""The devices that every board is given: console, entropy, disks, and shared folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringzero.machine.disk import DiskImage
from ringzero.machines.lifecycle import Resources
from ringzero.machines.storage import Mount

if TYPE_CHECKING:
    from ringzero.machine.virtio.console import ConsoleDevice
    from ringzero.machine.virtio.device import VirtioDevice

Randomness = Callable[[int], bytes]


@dataclass(frozen=True)
class Plugged:
    """A device for a board to take, and the disk image that asks for a bus, if it is one's."""

    device: VirtioDevice
    image: DiskImage | None = None


def console_device(output: Callable[[bytes], object]) -> ConsoleDevice:
    """The virtio console, which is the guest's where its driver has opened it."""
    from ringzero.machine.virtio.console import ConsoleDevice

    return ConsoleDevice(output)


def devices(
    disks: Sequence[DiskImage],
    mounts: Sequence[Mount],
    resources: Resources,
    random: Randomness | None = None,
) -> Iterator[Plugged]:
    """Entropy, then a device for each disk and each folder; their files are given back at the end.

    `random` makes the bytes that the guest gets where runs are to be equal.
    """
    from ringzero.machine.virtio.entropy import EntropyDevice

    yield Plugged(EntropyDevice() if random is None else EntropyDevice(random))
    for image in disks:
        yield _block(image, resources)
    for mount in mounts:
        yield Plugged(_folder(mount, resources))


def _block(image: DiskImage, resources: Resources) -> Plugged:
    from ringzero.machine.disk.choice import open_disk
    from ringzero.machine.virtio.block import BlockDevice

    disk = open_disk(image)
    resources.file(disk.close)
    return Plugged(BlockDevice(disk), image)


def _folder(named: Mount, resources: Resources) -> VirtioDevice:
    from ringzero.machine.fuse import serve_folder
    from ringzero.machine.virtio.fs import VirtioFs

    server = serve_folder(named.path, read_only=named.readonly)
    resources.file(server.close)
    return VirtioFs(named.tag, server)
