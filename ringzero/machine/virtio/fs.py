"""The virtio file system device (virtio 1.2 §5.11): FUSE messages through virtqueues.

Queue 0 carries FORGET and INTERRUPT ahead of the rest, queue 1 all other requests. There is no DAX
window, so file contents pass through the queues, straight from the host file into guest memory.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from ringzero.errors import UsageError
from ringzero.machine.fuse import FuseServer
from ringzero.machine.virtio.device import VirtioDevice

TAG_SIZE = 36
QUEUE_SIZE = 512


class VirtioFs(VirtioDevice):
    """A folder under a tag; Linux mounts it by `mount -t virtiofs TAG /mnt`, or as its root."""

    name = "virtio-fs"
    device_id: ClassVar[int] = 26
    device_class: ClassVar[int] = 0x018000  # mass storage, other

    def __init__(self, tag: str, server: FuseServer) -> None:
        super().__init__([QUEUE_SIZE, QUEUE_SIZE])
        encoded = tag.encode()
        if not encoded or len(encoded) > TAG_SIZE or b"\0" in encoded:
            raise UsageError(
                f"The tag {tag!r} of a shared folder must be 1 to {TAG_SIZE} bytes long."
            )
        self.tag, self.server = tag, server
        self._config = struct.pack(f"<{TAG_SIZE}sI", encoded, 1)

    @property
    def config(self) -> bytes:
        """struct virtio_fs_config: the tag and the number of request queues."""
        return self._config

    def notify(self, queue_index: int) -> None:
        """Answer all that waits; host files answer at once, so nothing is kept in flight."""
        queue = self.queues[queue_index]
        for chain in queue.requests():
            written = self.server.serve(chain.read(), chain.writable)
            self.push(queue, chain, written)

    def reset(self) -> None:
        """The driver let go of the device: so do its open files."""
        super().reset()
        self.server.reset()
