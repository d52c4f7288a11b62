"""The region tier: the interpreter, with hot code compiled by LLVM on a background thread.

Native code counts where slices end, and tells of code pages that are new and of places that are
hot. The thread loads what is known of the former and compiles the hottest of the latter; the harts'
thread installs that between two stretches of native code, if the page still holds what was
compiled.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from ringzero.engine.core import FIRST, NEWS, NO_PAGE, ORIGINALS, PAGE_STRIDE
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.ports import Bus, Memory, Stop, Why
from ringzero.engine.region_store import trim

if TYPE_CHECKING:  # the thread imports them: nothing waits for all of the isa at the start
    from ringzero.engine.region_compile import Region, RegionCompiler

PAGE = 4096
POLL = 0.004  # seconds between two looks at the samples
PATIENCE = 0.1  # seconds: a program that ends sooner needs no compiler
SWITCH_INTERVAL = 0.0005  # a device access must not wait long for the compiling thread


class Regions(Interpreter):
    """`engine.ports.Harts` with compiled regions."""

    def __init__(
        self, memory: Memory, bus: Bus, harts: int, *, deterministic: bool = False
    ) -> None:
        super().__init__(memory, bus, harts, deterministic=deterministic)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._heat: Counter[tuple[int, int]] = Counter()  # (slot array, page offset)
        self._made: dict[tuple[int, bytes], Region | None] = {}  # by (head, page content)
        self._ready: deque[tuple[int, int, bytes, Region]] = deque()
        self._seen = 0
        self._running = threading.Event()
        self._closed = False
        self.installed = 0
        self._thread = threading.Thread(target=self._work, name="regions", daemon=True)
        self._thread.start()

    # ---- the harts' thread

    def run(self, instructions: int | None = None) -> Stop:
        """See `engine.ports.Harts`; comes back now and then to install what is ready."""
        end = None if instructions is None else self.elapsed + instructions
        while True:
            self._install()
            self._running.set()
            remaining = None if end is None else end - self.elapsed
            stop = super().run(remaining)
            self._running.clear()
            if stop.why is not Why.STOPPED or not self._ready or self._asked:
                self._asked = False
                return stop

    _asked = False

    def stop(self) -> None:
        """See `engine.ports.Harts`."""
        self._asked = True
        super().stop()

    def _install(self) -> None:
        core = ctypes.addressof(self.cores[0])
        while self._ready:
            array, owner, page, region = self._ready.popleft()
            if self._page_of(array) != owner or self._bytes(owner) != page:
                continue
            wanted = bytearray(PAGE // 2)
            for offset, _ in region.operations:
                wanted[offset // 2] = 1
            self.code.decode_all(core, array, bytes(wanted))
            for entry in region.entries:
                self.code.install_region(core, array, entry // 2, region.address)
            self.installed += 1

    # ---- the compiling thread

    def _work(self) -> None:
        try:
            self._compile_what_is_hot()
        except BaseException as error:
            self._fail(error)  # raised where the machine is run: never lost in a thread

    def _compile_what_is_hot(self) -> None:
        compiler: RegionCompiler | None = None
        self._running.wait()
        time.sleep(PATIENCE)
        if self._closed:
            return
        from ringzero.engine.region_compile import RegionCompiler

        while not self._closed:
            arrays = self._news()
            if (arrays or self._heat) and compiler is None:
                compiler = RegionCompiler()
            for array in arrays:
                assert compiler is not None
                self._look_up(compiler, array)
            if not self._heat:
                self._running.wait(1.0)
                time.sleep(POLL)
                continue
            assert compiler is not None
            hottest = max(self._heat, key=self._heat.__getitem__)
            del self._heat[hottest]
            self._make(compiler, *hottest)

    def _news(self) -> list[int]:
        """Take over what native code has told: new slot arrays (returned), and heat."""
        total = int(self.shared.told)
        first = max(self._seen, total - NEWS)
        ring = (ctypes.c_uint64 * NEWS).from_address(self.shared.news)
        arrays = []
        for index in range(first, total):
            slot = ring[index % NEWS]
            array = (slot & ~FIRST) // PAGE_STRIDE
            if slot & FIRST:
                arrays.append(array)
            else:
                self._heat[array, slot % PAGE_STRIDE // 8] += 1
        self._seen = total
        return arrays

    def _look_up(self, compiler: RegionCompiler, array: int) -> None:
        """What earlier runs compiled from this page."""
        owner = self._page_of(array)
        if self._closed or owner is None:
            return
        page = self._bytes(owner)
        for region in compiler.stored(page):
            self._made[region.head, page] = region
            self._hand_over(array, owner, page, region)

    def _make(self, compiler: RegionCompiler, array: int, offset: int) -> None:
        owner = self._page_of(array)
        if self._closed or owner is None or offset >= PAGE:
            return
        page = self._bytes(owner)
        if self._is_region(array, offset):
            return
        if (offset, page) not in self._made:
            from ringzero.engine.region_graph import explore

            graph = explore(page, offset)
            fresh = compiler.region(graph, page) if graph.operations else None
            self._made[offset, page] = fresh
        region = self._made[offset, page]
        if region is not None:  # perhaps again: a store into the page had dropped it
            self._hand_over(array, owner, page, region)

    def _hand_over(self, array: int, owner: int, page: bytes, region: Region) -> None:
        self._ready.append((array, owner, page, region))
        self.shared.stop = 1  # not `stop()`: the run goes on at once

    def _is_region(self, array: int, offset: int) -> bool:
        at = self.shared.slots + array * PAGE_STRIDE + ORIGINALS + offset * 4
        return ctypes.c_uint64.from_address(at).value != 0

    def _page_of(self, array: int) -> int | None:
        if array >= self.shared.slot_used:
            return None
        owner = (ctypes.c_uint32 * (array + 1)).from_address(self.shared.owners)[array]
        present = ctypes.c_uint32.from_address(self.shared.pages + 4 * owner).value
        return owner if present != NO_PAGE and present == array + 1 else None

    def _bytes(self, owner: int) -> bytes:
        return self.memory.read(self.memory.base + owner * PAGE, PAGE)

    def close(self) -> None:
        """End the compiling thread before memory goes away."""
        self._closed = True
        self._running.set()
        self._thread.join()
        trim()
