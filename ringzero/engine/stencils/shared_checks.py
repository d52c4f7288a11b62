"""Stencils of loads and stores that share a look at the tables with others beside them.

The first of several accesses near one base register opens a window: it checks that all of them lie
in one page, and leaves in a host register what leads from addresses to it. The others look through
it. Where the check fails, the first gives way to the interpreter as any access does.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringzero.engine.interpreter.handlers import CORE_OFFSET
from ringzero.engine.native.stitcher import access as stencil_access
from ringzero.engine.native.stitcher.holes import INSIDE, OPENS
from ringzero.engine.native.translation.checked import load_checked, store_checked
from ringzero.engine.native.translation.tlb import PAGE_MASK
from ringzero.engine.stencils import text as stencil_text
from ringzero.engine.stencils.text import StencilText, accesses, name_of, number
from ringzero.isa.privileged import access
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang.compiler import Program, Target

BIND = {access.load: load_checked, access.store: store_checked}


class WindowText(StencilText):
    """The stencil of an access that opens a window, or looks through one."""

    def text(self, name: str) -> str:
        """See `StencilText`: with a `region_access.Window` in the hart's place."""
        self.lines.append("  %place = alloca { ptr, i64 }")
        if self.one.floats:
            self._floats()
        if self.variant & OPENS:
            self._open()
        self.line(f"store ptr {self.window}, ptr %place")
        offset = self.value("getelementptr i8, ptr %place, i64 8")
        self.line(f"store i64 0, ptr {offset}")
        self._plain()
        if self.raises:
            self.label("raised")
            self.go("@bail")
        return self.define(name)

    def _argument(self, name: str) -> str:
        return "ptr %place" if name == "hart" else super()._argument(name)

    def _open(self) -> None:
        """Leave in `window` where address 0 would be, if the page is known and holds all."""
        base = self._argument("rs1").removeprefix("i64 ")
        low = self.value(f"add i64 {base}, {number('low')}")
        find = (
            stencil_access.write_entry
            if self.one.destination is None
            else stencil_access.read_entry
        )
        entry = self.inlined(find, f"i64 {low}")
        page = self.value(f"and i64 {low}, {PAGE_MASK}")
        known = self.value(f"icmp eq i64 {self.value(f'load i64, ptr {entry}')}, {page}")
        within = self.value(f"and i64 {low}, {~PAGE_MASK}")
        fits = self.value(f"icmp ule i64 {within}, {number('room')}")
        self.raises = True
        self.line(f"br i1 {known}, label %known, label %raised, !prof !4")
        self.label("known")
        self.line(f"br i1 {fits}, label %open, label %raised, !prof !4")
        self.label("open")
        offset = self.value(f"getelementptr i8, ptr {entry}, i64 8")
        distance = self.value(f"load i64, ptr {offset}")
        memory = self.value(f"load ptr, ptr {self.core(CORE_OFFSET['memory'])}")
        self.window = self.value(f"getelementptr i8, ptr {memory}, i64 {distance}")


def _stencils(program: Program) -> Iterator[str]:
    for one in filter(accesses, INSTRUCTIONS):
        for variant in stencil_text.variants(one):
            if variant & (OPENS | INSIDE):
                yield WindowText(program, one, variant).text(name_of(one, variant))


def build(target: Target) -> str:
    """The text of all of them for a target."""
    program = Program(target, BIND)
    program.flagged.update(one.function for one in INSTRUCTIONS)
    return stencil_text.completed(program, _stencils(program))
