"""From a graph of operations to a loaded region: text, a few passes, object, address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ringzero.engine.regions.find.graph import Graph
from ringzero.engine.regions.keep.generations import Generations
from ringzero.engine.regions.keep.known import Known, pieces_of
from ringzero.engine.regions.keep.region import Region, digest_of
from ringzero.engine.regions.keep.store import RegionStore, Stored, symbol
from ringzero.engine.regions.write.exits import LINK_SIZE
from ringzero.engine.regions.write.library import RegionLibrary, library
from ringzero.engine.regions.write.text import RegionText
from ringzero.lang import binding

OPTIONS = ("-disable-lsr",)
"""Of LLVM: what takes compile time and brings regions nothing."""


class RegionCompiler:
    """Makes regions, in a background thread; its objects live until they are freed."""

    def __init__(self, shared: Any) -> None:
        for option in OPTIONS:
            binding.llvm().set_option("", option)
        self.library: RegionLibrary = library()
        self.machine: Any = binding.host_machine()
        self.context: Any = binding.llvm().create_context()
        self.store = RegionStore(self.library.key)
        self.shared = shared
        self.code = Generations()
        self.compiled = self.loaded = 0

    def stored(self, name: str) -> list[Region]:
        """The regions that earlier runs compiled from a page of this name."""
        return self._load(self.store.load(name)) if name in self.store.names else []

    def known(self, page: bytes, loaded: list[Region] | None = None) -> Known:
        """What earlier runs compiled from a page with this content, if that is not loaded."""
        return Known(page).with_all(
            self.stored(self.store.name(page)) if loaded is None else loaded
        )

    def region(self, graph: Graph, page: bytes, known: Known, apart: frozenset[int]) -> Region:
        """Compile a graph around a page, and keep it for later runs."""
        made = self._compile(graph, page, apart)
        self.store.save(known.page, [made])
        region = self._load([made])[0]
        known.add(region)
        return region

    def _load(self, regions: Sequence[Stored]) -> list[Region]:
        if not regions:
            return []
        imports = {
            name: self.library.helpers[name] for region in regions for name in region.helpers
        }
        newest = self.code.newest
        pages = {r.symbol: [words for _, words in r.links] for r in regions}
        first = {name: newest.make_links(self.shared, pages[name]) for name in pages}
        regions = [r for r in regions if first[r.symbol]]
        imports |= {f"{r.symbol}_links": first[r.symbol] for r in regions if r.links}
        loaded = binding.Library(
            [region.code for region in regions], [region.symbol for region in regions], imports
        )
        newest.libraries.append(loaded)
        newest.bytes += sum(len(region.code) for region in regions)
        self.loaded += len(regions)
        return [
            Region(
                loaded.addresses[r.symbol],
                r.head,
                r.entries,
                r.operations,
                tuple((d, first[r.symbol] + i * LINK_SIZE) for i, (d, _) in enumerate(r.links)),
                frozenset(r.apart),
                frozenset(r.targets),
                newest.number,
                r.pieces,
                r.digest,
            )
            for r in regions
        ]

    def _compile(self, graph: Graph, page: bytes, apart: frozenset[int]) -> Stored:
        self.compiled += 1
        self.library.read()
        pieces = pieces_of(graph)
        digest = digest_of(page, pieces)
        text = RegionText(graph, self.library, symbol(graph.head, digest), apart)
        body = text.text()
        module_text, helpers = self.library.module(body, sorted(text.used))
        code = binding.quick_object(module_text, self.machine, self.context)
        entries = tuple(sorted(e for e in graph.entries if e in graph.operations))
        operations = tuple((o.offset, o.size) for o in graph.operations.values())
        links = tuple((distance, tuple(graph.words(distance))) for distance in text.links)
        targets = tuple((at, target) for at, found in graph.guesses.items() for target in found)
        first = (graph.head, entries, operations, tuple(helpers), links, code)
        return Stored(*first, tuple(apart), targets, pieces, digest)
