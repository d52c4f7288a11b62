"""virtio entropy device (virtio 1.2 §5.4): random bytes from the host, or from a seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

from ringzero.machine.virtio.device import VirtioDevice

REQUEST_LIMIT = 1 << 16  # §5.4.6.1: the device may give fewer bytes than there is room for


class EntropyDevice(VirtioDevice):
    """Fills each buffer at once."""

    name = "virtio-rng"
    device_id: ClassVar[int] = 4
    device_class: ClassVar[int] = 0x00FF00

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__([64])
        self.source = source

    def notify(self, queue_index: int) -> None:
        """Serve all buffers that are available."""
        queue = self.queues[0]
        for chain in queue.requests():
            written = chain.write(self.source(min(chain.writable_size, REQUEST_LIMIT)))
            self.push(queue, chain, written)
