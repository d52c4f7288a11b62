"""Read-only memory on the bus, such as the boot ROM with the reset vector."""

from __future__ import annotations

from ringzero.machine.device import Device


class Rom(Device):
    """Bytes that cannot be written."""

    def __init__(self, content: bytes, size: int, name: str = "rom") -> None:
        super().__init__()
        self.name = name
        self.size = size
        self.content = content.ljust(size, b"\0")[:size]

    def read(self, offset: int, size: int) -> int:
        """The bytes at `offset`."""
        return int.from_bytes(self.content[offset : offset + size], "little")
