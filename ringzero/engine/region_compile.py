"""From a page's bytes to a loaded region: text, the short list of passes, object, address.

Objects are kept on disk under the digest of the instructions that they hold, the definitions, LLVM
and the host's CPU: a later run of the same guest loads them instead of compiling.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from ringzero.engine.region_graph import Graph
from ringzero.engine.region_library import RegionLibrary, library
from ringzero.engine.region_text import RegionText
from ringzero.lang import binding, cache

SYMBOL = "region"
PASSES = ("sroa", "instruction_combine", "simplify_cfg", "jump_threading", "instruction_combine", "simplify_cfg", "aggressive_dce")


@dataclass(frozen=True)
class Region:
    """Compiled code, and the page offsets whose slots it may stand at."""

    address: int
    entries: tuple[int, ...]
    operations: tuple[tuple[int, int], ...]  # (offset, size)


def identity(graph: Graph, page: bytes) -> str:
    """What a region's object depends on beside definitions and host."""
    parts = [struct.pack("<H", graph.head)]
    for offset in sorted(graph.operations):
        size = graph.operations[offset].size
        parts.append(struct.pack("<H", offset) + page[offset : offset + size])
    parts.append(b"|" + b",".join(b"%d" % e for e in sorted(graph.entries)))
    return cache.digest(*parts)


class RegionCompiler:
    """Makes regions, in a background thread; its objects live as long as it does."""

    def __init__(self) -> None:
        self.library: RegionLibrary = library()
        self.machine: Any = binding.host_machine()
        self.context: Any = binding.llvm().create_context()
        self.key = cache.source_digest(
            "lang", "isa", "engine", options=[binding.host_identity(), binding.version()]
        )[:16]
        self.kept: list[Any] = []
        self.compiled = self.loaded = 0

    def region(self, graph: Graph, page: bytes) -> Region:
        """The region of a graph, compiled or from the cache."""
        key = f"{self.key}-{identity(graph, page)}"
        code = cache.cached("regions", key, lambda: self._compile(graph))
        helpers_count = int.from_bytes(code[:2], "little")
        names = code[2 : 2 + helpers_count].decode().split("\n") if helpers_count else []
        imports = {name: self.library.helpers[name] for name in names}
        loaded = binding.Library(code[2 + helpers_count :], [SYMBOL], imports)
        self.kept.append(loaded)
        self.loaded += 1
        entries = tuple(sorted(e for e in graph.entries if e in graph.operations))
        operations = tuple((o.offset, o.size) for o in graph.operations.values())
        return Region(loaded.addresses[SYMBOL], entries, operations)

    def _compile(self, graph: Graph) -> bytes:
        """The names of the helpers that the object calls, and the object."""
        self.compiled += 1
        text = RegionText(graph, self.library, SYMBOL)
        body = text.text()
        module_text, helpers = self.library.module(body, sorted(text.used))
        code = binding.region_object(module_text, self.machine, self.context, PASSES)
        names = "\n".join(helpers).encode()
        return len(names).to_bytes(2, "little") + names + code
