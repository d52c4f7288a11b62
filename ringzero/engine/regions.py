"""The region tier: the interpreter, with hot code compiled by LLVM on a background thread.

Native code samples where slices end. The thread counts those samples by code page and offset,
compiles what is hot, and hands regions to the harts' thread, which installs them between two
stretches of native code, if the page still holds what was compiled.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections import Counter, deque
from typing import Any

from ringzero.engine.core import NO_PAGE, ORIGINALS, PAGE_STRIDE, SAMPLES
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.ports import Bus, Memory, Stop, Why
from ringzero.engine.region_compile import Region, RegionCompiler
from ringzero.engine.region_graph import PAGE, explore
from ringzero.engine.region_store import trim

HOT = 3  # samples at one place before it is compiled
POLL = 0.004  # seconds between two looks at the samples
SWITCH_INTERVAL = 0.0005  # a device access must not wait long for the compiling thread


class Regions(Interpreter):
    """`engine.ports.Harts` with compiled regions."""

    def __init__(
        self, memory: Memory, bus: Bus, harts: int, *, deterministic: bool = False
    ) -> None:
        super().__init__(memory, bus, harts, deterministic=deterministic)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._counts: Counter[tuple[int, int]] = Counter()
        self._made: dict[tuple[int, bytes], Region | None] = {}  # by (head, page content)
        self._looked_up: dict[int, bytes] = {}  # slot array -> the content it was looked up with
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
        while not self._closed:
            self._running.wait(1.0)
            threading.Event().wait(POLL)
            sampled, hot = self._news()
            if sampled and compiler is None:
                compiler = RegionCompiler()
            for array in sampled:
                assert compiler is not None
                self._look_up(compiler, array)
            for array, offset in hot:
                assert compiler is not None
                self._make(compiler, array, offset)

    def _news(self) -> tuple[set[int], list[tuple[int, int]]]:
        """Slot arrays sampled since the last look, and places that have become hot in them."""
        total = int(self.shared.sampled)
        first = max(self._seen, total - SAMPLES)
        samples = self._samples
        arrays: set[int] = set()
        hot: set[tuple[int, int]] = set()
        for index in range(first, total):
            slot = samples[index % SAMPLES]
            place = (slot // PAGE_STRIDE, slot % PAGE_STRIDE // 8)
            arrays.add(place[0])
            self._counts[place] += 1
            if self._counts[place] >= HOT:
                hot.add(place)
        self._seen = total
        return arrays, sorted(hot, key=lambda place: -self._counts[place])

    def _look_up(self, compiler: RegionCompiler, array: int) -> None:
        """What earlier runs compiled from this page."""
        owner = self._page_of(array)
        if self._closed or owner is None:
            return
        page = self._bytes(owner)
        if self._looked_up.get(array) == page:
            return
        self._looked_up[array] = page
        for region in compiler.stored(page):
            self._made[region.head, page] = region
            self._hand_over(array, owner, page, region)

    @property
    def _samples(self) -> Any:
        return (ctypes.c_uint64 * SAMPLES).from_address(self.shared.samples)

    def _make(self, compiler: RegionCompiler, array: int, offset: int) -> None:
        self._counts[array, offset] = 0
        owner = self._page_of(array)
        if self._closed or owner is None or offset >= PAGE:
            return
        page = self._bytes(owner)
        if self._is_region(array, offset):
            return
        if (offset, page) not in self._made:
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
