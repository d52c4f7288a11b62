"""The compiler from Python's side: its tables, its scratch space, and memory for its code.

Code memory is one memfd mapped twice, so that no page is ever writable where it is executed. All
else happens natively (`engine/native/compiler`).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from dataclasses import replace
from typing import Any

from ringzero.descriptors import above_standard
from ringzero.engine.compiler.kept import load_tables
from ringzero.engine.compiler.packing import parts
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.limits import VARIABLE, compiled_limit
from ringzero.engine.native.compiler.state import (
    ARENAS,
    ENTRIES,
    FIRST_LOOK,
    HOSTS,
    IN_CORE,
    SMALLEST,
    Compiler,
    Fix,
)
from ringzero.engine.native.state import PAGE_SLOTS, Core
from ringzero.engine.ports import Bus, Memory, Profile
from ringzero.errors import RingzeroError
from ringzero.lang.host import view

THRESHOLD = 8  # executions of a block until it is compiled

# The guest registers that the host holds at first: sp, and those of compressed instructions.
HELD = dict(zip((2, 10, 11, 12, 13, 14, 15, 8, 9), HOSTS, strict=True))
X_OFFSET = view(Core.fields["hart"]).x.offset
_FAILED = ctypes.c_void_p(-1).value


class CodeMemory:
    """Memory at two addresses: `write` it at one, `run` it at the other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        handle = above_standard(os.memfd_create("ringzero-code", os.MFD_CLOEXEC))
        try:
            os.ftruncate(handle, size)
            self.write = self._map(handle, mmap.PROT_READ | mmap.PROT_WRITE)
            self.run = self._map(handle, mmap.PROT_READ | mmap.PROT_EXEC)
        finally:
            os.close(handle)

    def _map(self, handle: int, protection: int) -> int:
        size, zero = ctypes.c_size_t(self.size), ctypes.c_long(0)
        address = self._libc.mmap(None, size, protection, mmap.MAP_SHARED, handle, zero)
        if address in (None, _FAILED):
            raise RingzeroError(
                f"The host refuses memory for code ({os.strerror(ctypes.get_errno())}): "
                f"choose --engine regions, or a smaller {VARIABLE}."
            )
        return int(address)

    def close(self) -> None:
        """Unmap it; no hart may run any more."""
        for address in (self.write, self.run):
            self._libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(self.size))


class Compiling:
    """What one machine's native compiler works with."""

    def __init__(
        self, engine: Interpreter, threshold: int = THRESHOLD, *, ahead: bool = False
    ) -> None:
        self.memory = CodeMemory(max(compiled_limit(), ARENAS * SMALLEST))
        self._tables = ctypes.create_string_buffer(load_tables())
        fixes = 2 * ENTRIES * ctypes.sizeof(view(Fix))
        scratch = [4 * 2 * PAGE_SLOTS, 2 * ENTRIES, 2 * ENTRIES, fixes]
        self._scratch = [ctypes.create_string_buffer(size) for size in scratch]
        self.state: Any = view(Compiler)()
        s = self.state
        s.write, s.run, s.size = self.memory.write, self.memory.run, self.memory.size
        base = ctypes.addressof(self._tables)
        places = [base + offset for offset, _ in parts(self._tables.raw)]
        s.kinds, s.recipes, s.operations, s.code, s.pieces, s.holes = places
        s.labels, s.begun, s.pending, s.fixes = map(ctypes.addressof, self._scratch)
        s.half, s.next_look = s.size // 2 & ~63, FIRST_LOOK
        s.threshold, s.ahead, s.arenas = threshold, ahead, ARENAS
        for number in range(33):
            s.places[number] = HELD.get(number, IN_CORE | 8 * number + X_OFFSET)
        s.ram_base = engine.memory.base
        for core in engine.cores:
            core.reach = engine.memory.size - 8
        engine.shared.compiler = ctypes.addressof(s)
        engine.shared.compiling = 1

    def counted_in(self, profile: Profile) -> Profile:
        """A profile with what was compiled."""
        s = self.state
        emptied = max(0, int(s.begun_arenas) - ARENAS)  # the first time there was nothing in them
        return replace(profile, compiled_at_once=int(s.instructions), emptied=emptied)

    def close(self) -> None:
        """Give the code's memory back."""
        self.memory.close()


class Compiled(Interpreter):
    """`engine.ports.Harts`: the interpreter, with warm code compiled."""

    def __init__(
        self,
        memory: Memory,
        bus: Bus,
        harts: int,
        *,
        deterministic: bool = False,
        parallel: bool = False,
    ) -> None:
        super().__init__(memory, bus, harts, deterministic=deterministic, parallel=parallel)
        self.compiling = Compiling(self)

    def profile(self) -> Profile:
        """See `engine.ports.Harts`."""
        return self.compiling.counted_in(super().profile())

    def close(self) -> None:
        """End the harts' threads, then give the blocks' memory back."""
        super().close()
        self.compiling.close()
