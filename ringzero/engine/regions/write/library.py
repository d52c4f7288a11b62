"""The instructions as regions use them: optimised LLVM functions, inlined where they are called.

One module holds every instruction's function with memory access bound to the tables alone. Its
text is optimised once and kept; a region's module takes from it what it calls. Big functions that
were not inlined (IEEE arithmetic) are compiled once, here, and regions call them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable

from ringzero.engine.interpreter import code_key
from ringzero.engine.native.floats import regions as region_floats
from ringzero.engine.native.translation import checked as region_access
from ringzero.engine.native.translation import tlb
from ringzero.engine.native.translation.physical import now
from ringzero.engine.regions.find.operation import compilable
from ringzero.isa import ports
from ringzero.isa.footprint import Load, Store
from ringzero.isa.instruction import Instruction
from ringzero.isa.privileged import access
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import binding, cache
from ringzero.lang.compiler import Program, result_type
from ringzero.lang.native import Native

BIND: dict[Native, Native] = {
    access.load: region_access.load,
    access.store: region_access.store,
    access.amo: region_access.amo,
    access.load_reserved: region_access.load_reserved,
    access.store_conditional: region_access.store_conditional,
    ports.now: now,
    **region_floats.BIND,
}
BIND_CHECKED: dict[Native, Native] = {
    access.load: region_access.load_checked,
    access.store: region_access.store_checked,
}
BIND_UNALIGNED: dict[Native, Native] = {
    access.load: region_access.load_unaligned,
    access.store: region_access.store_unaligned,
}
# An instruction's function; the same where its access is looked up, or may be misaligned.
PLAIN, CHECKED, UNALIGNED = "r", "c", "a"
TABLE = "t"  # the entry of a table for an address
LOOK_UPS: dict[Native, str] = {
    tlb.read_entry: f"{TABLE}.read",
    tlb.write_entry: f"{TABLE}.write",
    tlb.execute_entry: f"{TABLE}.execute",
}
"""Of the TLB, by their symbols."""

_POINTER = re.compile(r"(= load ptr, ptr %\S+, align 8)$", re.M)
# Metadata, by numbers that LLVM's own text never reaches.
INVARIANT, UNLIKELY, LIKELY = "!90000", "!90001", "!90002"
_NAME = re.compile(r'@("[^"]+"|[\w.]+)')


def symbol(one: Instruction, way: str = PLAIN) -> str:
    """An instruction's function in the library."""
    return f"{way}.{one.name}"


def _source() -> str:
    """The unoptimised module, with a line per instruction that says what it returns."""
    program = Program(binding.host_target(), BIND)
    program.add_roots(LOOK_UPS, LOOK_UPS)
    lines = []
    for one in INSTRUCTIONS:
        if compilable(one):
            program.add_roots([one.function], {one.function: symbol(one)}, flagged=True)
            made = program.function(one.function)
            kind = result_type(made.result, False)
            lines.append(f"; {one.name}: {int(made.raises)} {kind}")
    return "\n".join(lines) + "\n;;\n" + program.text()


def _other_source(bind: dict[Native, Native], way: str) -> str:
    program = Program(binding.host_target(), bind)
    for one in INSTRUCTIONS:
        if compilable(one) and isinstance(one.access, Load | Store):
            program.add_roots([one.function], {one.function: symbol(one, way)}, flagged=True)
    return program.text()


def _optimised() -> bytes:
    """The modules optimised: plain, and with other numbers for what LLVM numbers, the others."""
    head, _, text = _source().partition("\n;;\n")
    plain = str(binding.optimised(text, binding.host_machine()))
    others = [
        _numbered(_other_source(BIND_CHECKED, CHECKED), 10_000),
        _numbered(_other_source(BIND_UNALIGNED, UNALIGNED), 20_000),
    ]
    return "\n;;\n".join([head, plain, *others]).encode()


def _numbered(source: str, first: int) -> str:
    text = str(binding.optimised(source, binding.host_machine()))
    return re.sub(r"([#!])(\d+)\b", lambda m: f"{m[1]}{int(m[2]) + first}", text)


class RegionLibrary:
    """Text to make region modules of; read when the first region is compiled."""

    def __init__(self) -> None:
        self.key = code_key()
        self.results: dict[str, tuple[bool, str]] = {}
        self.definitions: dict[str, str] = {}
        self.declarations: dict[str, str] = {}
        self.prologue: list[str] = []
        self.epilogue: list[str] = []

    def read(self) -> None:
        """Read the text, making it if it is not kept."""
        if self.results:
            return
        data = cache.cached("region-library", self.key, _optimised).decode()
        head, text, checked, unaligned = data.split("\n;;\n")
        # The pointers in a core (its tables, its memory) stay as they are while a region runs.
        self._split(_POINTER.sub(rf"\1, !invariant.load {INVARIANT}", text))
        self._split(checked)
        self._split(_POINTER.sub(rf"\1, !invariant.load {INVARIANT}", unaligned))
        self.epilogue.append(f"{INVARIANT} = !{{}}")
        self.epilogue.append(f'{LIKELY} = !{{!"branch_weights", i32 2000, i32 1}}')
        self.epilogue.append(f'{UNLIKELY} = !{{!"branch_weights", i32 1, i32 2000}}')
        for line in head.splitlines():
            name, _, rest = line[2:].partition(": ")
            raises, _, kind = rest.partition(" ")
            self.results[name] = (raises == "1", kind)

    def _split(self, text: str) -> None:
        name = ""
        body: list[str] = []
        for line in text.splitlines():
            if body:
                body.append(line)
                if line == "}":
                    self.definitions[name] = "\n".join(body)
                    body = []
            elif line.startswith("define "):
                name = _NAME.findall(line)[0].strip('"')
                body = [line]
            elif line.startswith("declare "):
                self.declarations[_NAME.findall(line)[0].strip('"')] = line
            elif line.startswith(("attributes ", "!")):
                self.epilogue.append(line)
            elif line.startswith(("target ", "%", "@", "source_filename")):
                if line not in self.prologue:
                    self.prologue.append(line)

    @functools.cached_property
    def helpers(self) -> dict[str, int]:
        """Addresses of what regions call rather than inline, compiled once."""
        packed = cache.cached("region-helpers", self.key, self._compile_helpers)
        line, _, code = packed.partition(b"\n")
        names = json.loads(line)
        self._library = binding.Library(code, names)
        return self._library.addresses

    def _compile_helpers(self) -> bytes:
        """The helpers' names in a line of JSON, and their object."""
        self.read()
        ways = tuple(f"{way}." for way in (PLAIN, CHECKED, UNALIGNED, TABLE))
        names = [n for n in self.definitions if not n.startswith(ways)]
        texts = [self.definitions[n].replace("define internal ", "define ", 1) for n in names]
        module = "\n".join([*self.prologue, *self.declarations.values(), *texts, *self.epilogue])
        code = binding.object_code(module, binding.host_machine())
        return json.dumps(names).encode() + b"\n" + code

    @functools.cache  # noqa: B019 — one library per process
    def _needs(self, name: str) -> tuple[str, ...]:
        found = {n.strip('"') for n in _NAME.findall(self.definitions[name])}
        return tuple(sorted(found - {name}))

    def module(self, text: str, used: Iterable[str]) -> tuple[str, list[str]]:
        """A module with a region's text, and the helpers that it calls."""
        self.read()
        parts, helpers, seen = [], [], set()
        pending = list(used)
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.helpers:
                line = self.definitions[name].split("\n", 1)[0]
                parts.append(line.replace("define internal ", "declare ", 1).rstrip(" {"))
                helpers.append(name)
            elif name in self.definitions:
                body = self.definitions[name]
                head, brace, rest = body.partition(" {\n")
                head = head.replace("define ", "define internal ", 1)
                head, number = re.fullmatch(r"(.*?)( #\d+)?", head).groups()  # type: ignore[union-attr]
                head = f"{head} alwaysinline{number or ''}"
                parts.append(head + brace + rest)
                pending += self._needs(name)
            elif name in self.declarations:
                parts.append(self.declarations[name])
        return "\n".join([*self.prologue, *parts, text, *self.epilogue]), helpers


@functools.cache
def library() -> RegionLibrary:
    """The library of this process."""
    return RegionLibrary()
