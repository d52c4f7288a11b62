"""The region tier: the interpreter, with hot code compiled by LLVM on a background thread.

Native code samples where slices end, and records events: a decoded page is new, a place is hot, a
side exit is hot, an indirect jump has a frequent target (`native.profile`). One thread reads the
events; another compiles what they name, or recompiles it; the thread that runs the harts installs
what is ready between two stretches of native code, if the page still holds what was compiled.

A page's life, as this tier sees it: new (an event names its decoded page), recalled (what earlier
runs compiled of this content is queued), hot (a region is compiled and queued), installed, and
recompiled where a region leaves too often. A store to its code drops its regions natively, after
which it is recalled or compiled once more. `docs/engine.md` has it as a picture.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ringzero.engine.interpreter import Interpreter
from ringzero.engine.limits import region_limit
from ringzero.engine.ports import Bus, Memory, Profile, Stop, Why
from ringzero.engine.regions.keep.install import Installer
from ringzero.engine.regions.keep.preload import Preload
from ringzero.engine.regions.profile.events import Event, Events, Kind
from ringzero.engine.regions.profile.hotness import Hotness
from ringzero.lang.cache_limit import limit, trim_if_written

if TYPE_CHECKING:  # the thread imports them: nothing waits for all of the isa at the start
    from ringzero.engine.regions.compile import RegionCompiler
    from ringzero.engine.regions.find.graph import Code, Graph
    from ringzero.engine.regions.find.pages import CodePages
    from ringzero.engine.regions.keep.generations import Generation
    from ringzero.engine.regions.keep.known import Known
    from ringzero.engine.regions.keep.region import Region
    from ringzero.engine.regions.profile.targets import JumpTargets

PAGE = 4096
POLL = 0.004  # seconds between two looks at what is hot
PATIENCE = 0.02  # seconds: a program that ends sooner needs no compiler
SWITCH_INTERVAL = 0.0005  # a device access must not wait long for the compiling thread


class Regions(Interpreter):
    """`engine.ports.Harts` with compiled regions."""

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
        self._cache_limit = limit()
        self._code_limit = region_limit()
        self._installer = Installer(self.code, self.shared, self.shared_address)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._hotness = Hotness()
        self._ring = Events(self.shared)
        self._events: deque[Event] = deque()
        self._new_pages: deque[int] = deque()  # decoded pages that were not recalled yet
        self._knowing = threading.RLock()  # held where what is known of pages changes
        self._hot_exits: deque[tuple[int, int]] = deque()  # decoded page, offset in the page
        self._compared_with: set[tuple[int, int, int]] = set()
        self._made: dict[
            bytes, Known
        ] = {}  # by content of pages: what this and earlier runs compiled
        self._current: dict[int, Known] = {}  # by decoded page: what was queued for it last
        self._bases: dict[int, int] = {}  # by decoded page: where it was run in virtual memory
        self._warmth = 0
        self._running = threading.Event()
        self._closed = False
        self.recompiled = 0
        self._threads = [threading.Thread(target=self._work, name="regions", daemon=True)]
        self._threads[0].start()

    # ---- the harts' thread

    def run(self, instructions: int | None = None) -> Stop:
        """See `engine.ports.Harts`; comes back now and then to install what is ready."""
        end = None if instructions is None else self.elapsed + instructions
        while True:
            self.between()
            self._running.set()
            remaining = None if end is None else end - self.elapsed
            stop = super().run(remaining)
            self._running.clear()
            if stop.why is not Why.STOPPED or self._asked:
                self._asked = False
                return stop

    _asked = False

    def stop(self) -> None:
        """See `engine.ports.Harts`."""
        self._asked = True
        super().stop()

    def between(self) -> None:
        """Between two stretches of native code, or while harts run on threads of their own."""
        if self._installer.leaving is not None:
            self._installer.retire(self._installer.leaving)
        if self._installer.ready:
            self._installer.install(self._pages)

    @property
    def installed(self) -> int:
        """Regions that were put into slots."""
        return self._installer.installed

    # ---- the compiling thread

    def _work(self) -> None:
        self._guarded(self._compile_what_is_hot)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._fail(error)  # raised where the machine is run: never lost in a thread

    def _compile_what_is_hot(self) -> None:
        self._running.wait()
        time.sleep(PATIENCE)
        if self._closed:
            return
        code, most = self._compiler.code, self._code_limit
        preload, _ = self._preload, self._pages  # made by one thread only
        listen = threading.Thread(target=self._guarded, args=(self._listen_on,), daemon=True)
        self._threads.append(listen)
        listen.start()
        preload.load(self._compiler.stored, lambda: self._closed or code.newest.full(most))
        while not self._closed:
            self._make_room()
            self._read_events()
            preload.keep()
            self._hotness.cool()
            if self._new_pages:
                self._look_up(self._new_pages.popleft())
            elif self._hot_exits:
                self._recompile_at_exit(*self._hot_exits.popleft())
            elif self._hotness:
                self._make_hottest()
            else:
                self._running.wait(1.0)
                time.sleep(POLL)
        preload.keep(now=True)

    @functools.cached_property
    def _preload(self) -> Preload:
        return Preload(self.memory, self._compiler.store)

    @functools.cached_property
    def _compiler(self) -> RegionCompiler:
        from ringzero.engine.regions.compile import RegionCompiler

        return RegionCompiler(self.shared)

    @functools.cached_property
    def _pages(self) -> CodePages:
        from ringzero.engine.regions.find.pages import CodePages

        return CodePages(self.shared, self.cores, self.memory, self._targets)

    @functools.cached_property
    def _targets(self) -> JumpTargets:
        from ringzero.engine.regions.profile.targets import JumpTargets

        return JumpTargets()

    def _listen_on(self) -> None:
        """On a thread of its own: compiling one region takes longer than many pages run."""
        while not self._closed:
            self._listen()
            self._running.wait(1.0)
            time.sleep(POLL / 2)

    def _listen(self) -> None:
        """Read new events. What is loaded already for a new page is queued at once."""
        with self._knowing:
            for event in self._ring.read():
                if event.kind is Kind.NEW_PAGE:
                    self._current.pop(event.decoded, None)  # it was another page's
                    self._look_up(event.decoded, loaded=True)
                else:
                    self._events.append(event)

    def _read_events(self) -> None:
        """Sort the events: pages to look up, hot places, hot side exits, targets of jumps."""
        self._listen()
        while self._events:
            event = self._events.popleft()
            decoded, offset = event.decoded, event.offset
            if event.kind is Kind.FIRST_SLICE:
                self._bases[decoded] = event.more & -PAGE
                self._new_pages.append(decoded)
            elif event.kind is Kind.HOT_EXIT:
                self._hot_exits.append((decoded, offset))
            elif event.kind is Kind.JUMP_TARGET:
                self._learn(decoded, offset, event.more)
            else:
                self._hotness.add((decoded, offset), event.more)

    def _learn(self, decoded: int, offset: int, distance: int) -> None:
        """Add a sample to an indirect jump's profile; a jump with a new target is a candidate."""
        known = (decoded, offset, distance)
        if self._targets.learn((decoded, offset), distance) and known not in self._compared_with:
            self._hotness.jumps[decoded, offset] += 1

    def _look_up(self, decoded: int, *, loaded: bool = False) -> None:
        """What earlier runs compiled from this page; only what is loaded, if `loaded` says so."""
        owner = self._pages.owner(decoded)
        if owner is not None:
            self._recall(decoded, owner, self._pages.content(owner), loaded=loaded)

    def _make_room(self) -> None:
        """Where the limit is reached, evict the oldest code, and free it after a grace period."""
        oldest = self._compiler.code.surplus(self._code_limit)
        if oldest is None:
            return
        with self._knowing:  # so nothing more of it is handed over
            self._installer.leaving = oldest
            while self._installer.leaving is not None and not self._closed:
                self._interrupt()
                time.sleep(POLL)
            if self._installer.leaving is None:
                self._forget(oldest)

    def _forget(self, oldest: Generation) -> None:
        """No hart runs it any more. What is hot still comes back from disk, a page at a time."""
        gone = [one for one in self._made.values() if one.holds(oldest.number)]
        for known in gone:
            del self._made[known.page]
        self._current = {decoded: one for decoded, one in self._current.items() if one not in gone}
        self._preload.forget(oldest.number)
        self._compiler.code.free(oldest)

    def _known_of(self, decoded: int, page: bytes, loaded: bool = False) -> Known | None:
        """What is known of a page.

        Where only bytes have changed that never ran (data among the code), the page is still the
        one that its regions are kept under: else each such store would look like a new page.
        """
        before = self._current.get(decoded)
        if before is not None and before.page != page:
            if not self._pages.code_changed(decoded, before.page, page):
                return before
        if page not in self._made:
            regions = self._preload.pop(page)
            if regions is None and loaded:
                return None
            self._made[page] = self._compiler.known(page, regions)
        return self._made[page]

    def _recall(self, decoded: int, owner: int, page: bytes, *, loaded: bool = False) -> bool:
        """Hand over all that is known of a page with this content, if its slots hold none of it:
        because it is new, or patched, or because stores or the limit of code have dropped that."""
        with self._knowing:
            before, known = self._current.get(decoded), self._known_of(decoded, page, loaded)
            if known is None or (before is known and self._pages.holds_regions(decoded)):
                return False
            self._current[decoded] = known
            regions = known.fitting(page)
            if not self._installer.waits_for(decoded):
                for region in regions:
                    self._queue(decoded, owner, region)
            return bool(regions)

    def _make_hottest(self) -> None:
        jump = self._hotness.pop_jump()
        if jump is not None:
            self._recompile_for_targets(*jump)
            return
        place, pc, self._warmth = self._hotness.pop_place()
        self._make(*place, pc)

    def _make(self, decoded: int, offset: int, pc: int) -> None:
        owner = self._pages.owner(decoded)
        if owner is None or offset >= PAGE or self._pages.holds_region(decoded, offset):
            return
        page = self._pages.content(owner)
        self._bases[decoded] = pc & -PAGE
        if self._recall(decoded, owner, page):
            return  # what is still hot then becomes an event once more
        known = self._current.get(decoded)
        if known is None:
            return  # the page is not decoded any more
        region = known.at(offset, page)
        if region is None and (offset, page[offset : offset + 4]) not in known.hopeless:
            region = self._compile(decoded, page, offset, pc)
        if region is not None:
            with self._knowing:
                self._queue(decoded, owner, region)

    def _compile(self, decoded: int, page: bytes, offset: int, pc: int) -> Region | None:
        code = self._pages.around(decoded, page, pc)
        return self._compile_code(decoded, page, offset, pc, code, frozenset())

    def _compile_code(
        self, decoded: int, page: bytes, offset: int, pc: int, code: Code, apart: frozenset[int]
    ) -> Region | None:
        from ringzero.engine.regions.find.graph import explore

        graph = explore(code, offset)
        for at in graph.frontier:
            if at // PAGE == 0:  # a long piece of code: sampling would find the rest much later
                self._hotness.add((decoded, at), (pc & -PAGE) + at, self._warmth // 2)
        known = self._current.get(decoded)
        if self._pages.often_stored_to(decoded):  # one look for several would leave each time
            apart = frozenset(graph.operations)
        if known is None:
            return None
        if not graph.operations or not self.worth_compiling(graph):
            known.hopeless.add((offset, page[offset : offset + 4]))
            return None
        return self._compiler.region(graph, page, known, apart)

    def worth_compiling(self, graph: Graph) -> bool:
        """Whether LLVM's code is likely to be faster than that of the tiers below."""
        return True

    def _recompile_at_exit(self, decoded: int, offset: int) -> None:
        """A region often leaves at a place: recompile it, each access there looked up alone.

        A group of accesses shares one look-up and one side exit; where that misses often, each
        access of its own misses less.
        """
        for home, region, at in self._holding(decoded, offset):
            if at not in region.apart:
                self._recompile(home, region, region.apart | {at}, region.targets)

    def _recompile_for_targets(self, decoded: int, offset: int) -> None:
        """A jump often goes where no region expects: recompile those that hold it, to compare."""
        found = self._targets.of((decoded, offset))
        self._compared_with.update((decoded, offset, distance % (1 << 64)) for distance in found)
        for home, region, at in self._holding(decoded, offset):
            targets = {(at, at + distance) for distance in found} - region.targets
            if targets:
                self._recompile(home, region, region.apart, region.targets | targets)

    def _holding(self, decoded: int, offset: int) -> list[tuple[int, Region, int]]:
        """The regions that hold an instruction, with their decoded page, and its place in each."""
        found = []
        with self._knowing:
            given = list(self._current.items())
        for home, known in given:
            for region in known.all():
                at = region.place_of(home, decoded, offset)
                if at is not None:
                    found.append((home, region, at))
        return found

    def _recompile(
        self, home: int, region: Region, apart: frozenset[int], targets: frozenset[tuple[int, int]]
    ) -> None:
        """Compile a region anew with what is known now.

        The explorer stops at other regions' entries; its own are not in its way (`replacing`).
        """
        owner, base = self._pages.owner(home), self._bases.get(home)
        if owner is None or base is None:
            return
        page, pc = self._pages.content(owner), base + region.head
        if self._known_of(home, page) is not self._current.get(home) or not region.fits(page):
            return
        code = self._pages.around(home, page, pc).replacing(region.entries, targets)
        made = self._compile_code(home, page, region.head, pc, code, apart)
        if made is not None:
            with self._knowing:
                self._queue(home, owner, made)
            self.recompiled += 1

    def _queue(self, decoded: int, owner: int, region: Region) -> None:
        self._preload.use(self._current.get(decoded))
        self._installer.ready.append((decoded, owner, region))
        self._interrupt()

    def _interrupt(self) -> None:
        """Let the harts' thread look at what is ready."""
        if self.threads and self.threads.running:
            self.threads.wake()
        else:
            self.shared.stop = 1  # not `stop()`: the run goes on at once

    def profile(self) -> Profile:
        """See `engine.ports.Harts`."""
        seen = super().profile()
        compiler = self.__dict__.get("_compiler")
        if compiler is None:
            return seen
        return replace(
            seen,
            compiled=compiler.compiled,
            recompiled=self.recompiled,
            loaded=compiler.loaded,
            waiting=len(self._hotness.places),
            compiled_bytes=compiler.code.bytes,
            evicted=self._installer.evicted,
        )

    def close(self) -> None:
        """End the compiling thread before memory goes away."""
        self._closed = True
        self._running.set()
        for thread in self._threads:
            thread.join()
        super().close()
        trim_if_written(self._cache_limit)
