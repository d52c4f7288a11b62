"""From a graph of operations to a loaded region: text, a few passes, object, address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringzero.engine.region_graph import Graph
from ringzero.engine.region_library import RegionLibrary, library
from ringzero.engine.region_store import RegionStore, Stored
from ringzero.engine.region_text import RegionText
from ringzero.lang import binding


@dataclass(frozen=True)
class Region:
    """Compiled code, and the page offsets whose slots it may stand at."""

    address: int
    head: int
    entries: tuple[int, ...]
    operations: tuple[tuple[int, int], ...]  # (offset, size)


class RegionCompiler:
    """Makes regions, in a background thread; its objects live as long as it does."""

    def __init__(self) -> None:
        self.library: RegionLibrary = library()
        self.machine: Any = binding.host_machine()
        self.context: Any = binding.llvm().create_context()
        self.store = RegionStore(self.library.key)
        self.kept: list[Any] = []
        self.compiled = self.loaded = 0

    def stored(self, page: bytes) -> list[Region]:
        """The regions that earlier runs compiled from a page with this content."""
        return self._load(self.store.load(page))

    def region(self, graph: Graph, page: bytes) -> Region:
        """Compile a graph of a page, and keep it for later runs."""
        made = self._compile(graph)
        self.store.save(page, [made])
        return self._load([made])[0]

    def _load(self, regions: Sequence[Stored]) -> list[Region]:
        if not regions:
            return []
        helpers = {name for region in regions for name in region.helpers}
        loaded = binding.Library(
            [region.code for region in regions],
            [region.symbol for region in regions],
            {name: self.library.helpers[name] for name in helpers},
        )
        self.kept.append(loaded)
        self.loaded += len(regions)
        return [
            Region(loaded.addresses[r.symbol], r.head, r.entries, r.operations) for r in regions
        ]

    def _compile(self, graph: Graph) -> Stored:
        self.compiled += 1
        self.library.read()
        text = RegionText(graph, self.library, f"region_{graph.head}")
        body = text.text()
        module_text, helpers = self.library.module(body, sorted(text.used))
        code = binding.quick_object(module_text, self.machine, self.context)
        entries = tuple(sorted(e for e in graph.entries if e in graph.operations))
        operations = tuple((o.offset, o.size) for o in graph.operations.values())
        return Stored(graph.head, entries, operations, tuple(helpers), code)
