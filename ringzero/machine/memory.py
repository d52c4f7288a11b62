"""Guest RAM: one mapping that engines address directly and devices reach through checked calls.

The pages belong to a memfd where the host has one, so that a snapshot or a fork can map the same
pages copy-on-write. Nothing is reserved: a page costs host memory once the guest touches it. In a
process that is forked (`os.fork`) the mapping becomes private: what it stores is its own.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Callable

from ringzero.board.addresses import RAM_BASE
from ringzero.descriptors import above_standard, map_file
from ringzero.errors import RingzeroError, UsageError

NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
MAP_FIXED = 0x10  # linux/mman.h; Python has no name for it


class OutsideMemory(RingzeroError):
    """An address range that is not all RAM."""


def ignore_write(address: int, size: int) -> None:
    """The listener of memory that no engine has translated code from."""


_mapped: weakref.WeakSet[GuestMemory] = weakref.WeakSet()


class GuestMemory:
    """`size` bytes of RAM that the guest sees at `base`."""

    def __init__(self, size: int, base: int = RAM_BASE) -> None:
        if size <= 0 or size % mmap.PAGESIZE:
            raise UsageError(
                f"Guest memory of {size} bytes is not a positive multiple of {mmap.PAGESIZE}: "
                "give a size such as 128M."
            )
        self.base = base
        self.size = size
        self.end = base + size
        self.fd = -1
        self.buffer = self._map()
        self.bytes = memoryview(self.buffer)
        # In one access each: harts on other threads must not see half an index of a ring.
        self.halves = self.bytes.cast("H")
        self.on_write: Callable[[int, int], None] = ignore_write
        _mapped.add(self)

    def _map(self) -> mmap.mmap:
        try:
            self.fd = above_standard(os.memfd_create("ringzero-ram", os.MFD_CLOEXEC))
            os.ftruncate(self.fd, self.size)
            return map_file(self.fd, self.size, flags=mmap.MAP_SHARED | NO_RESERVE)
        except (AttributeError, OSError, ValueError, OverflowError):
            self._close_fd()
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
            return mmap.mmap(-1, self.size, flags=flags)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(
                f"The host cannot map {self.size >> 20} MiB of guest memory ({error}): "
                "try a smaller --memory."
            ) from error

    def make_private(self) -> None:
        """Map the same pages copy-on-write, at the same address: stores no longer reach the file's.

        Called in a process that was forked, whose parent goes on with those.
        """
        if self.fd < 0 or self.buffer.closed:
            return
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        flags = mmap.MAP_PRIVATE | MAP_FIXED | NO_RESERVE
        library.mmap(
            ctypes.c_void_p(self.address_of_buffer), ctypes.c_size_t(self.size),
            mmap.PROT_READ | mmap.PROT_WRITE, flags, self.fd, ctypes.c_long(0),
        )  # fmt: skip

    def _close_fd(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    @property
    def address_of_buffer(self) -> int:
        """The host address of the first byte, for native code."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))

    def contains(self, address: int, size: int) -> bool:
        """Is the whole range RAM?"""
        return self.base <= address and size >= 0 and address + size <= self.end

    def offset(self, address: int, size: int) -> int:
        """The place of a range in `buffer`, or `OutsideMemory`."""
        if size < 0 or address < self.base or address + size > self.end:
            raise OutsideMemory(
                f"{size} bytes at {address:#x} are not all in guest RAM "
                f"({self.base:#x}..{self.end:#x}): use an address in that range."
            )
        return address - self.base

    def read(self, address: int, size: int) -> bytes:
        """A copy of `size` bytes."""
        start = self.offset(address, size)
        return self.buffer[start : start + size]

    def write(self, address: int, data: bytes | bytearray | memoryview | mmap.mmap) -> None:
        """Store bytes and tell the engines."""
        size = len(data)
        start = self.offset(address, size)
        self.bytes[start : start + size] = data
        self.on_write(address, size)

    def view(self, address: int, size: int) -> memoryview:
        """The bytes themselves; who writes through a view calls `on_write` afterwards."""
        start = self.offset(address, size)
        return self.bytes[start : start + size]

    def close(self) -> None:
        """Give the pages back; what still holds a view keeps its mapping until it lets go."""
        self.on_write = ignore_write
        self._close_fd()
        try:
            self.halves.release()
            self.bytes.release()
            self.buffer.close()
        except BufferError:
            pass


def _forked() -> None:
    for memory in list(_mapped):
        memory.make_private()


os.register_at_fork(after_in_child=_forked)
