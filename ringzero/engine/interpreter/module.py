"""The native core as one LLVM module: typed functions, instruction handlers, special handlers, and
the ways in. `build()` gives its text.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from ringzero.engine.interpreter.handlers import handler_names, handlers
from ringzero.engine.interpreter.special_handlers import SpecialHandler, special_handlers
from ringzero.engine.llvm_text import CONVENTION, LIKELY_DEFINITION
from ringzero.engine.native import run, state
from ringzero.engine.native.code import decode, decoded_pages, eviction, invalidate
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.floats import host
from ringzero.engine.native.threads import wakeups
from ringzero.engine.native.translation import fences, physical, tlb, walks
from ringzero.isa import ports
from ringzero.isa.compressed import RULES
from ringzero.isa.privileged import access, paging
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang.compiler import Program, Target
from ringzero.lang.host import prototype
from ringzero.lang.native import Native

BIND: dict[Native, Native] = {
    access.load: tlb.load,
    access.store: tlb.store,
    access.amo: tlb.amo,
    access.load_reserved: tlb.load_reserved,
    access.store_conditional: tlb.store_conditional,
    access.zero_block: tlb.zero_block,
    ports.physical_read: physical.physical_read,
    ports.physical_write: physical.physical_write,
    ports.physical_amo: physical.physical_amo,
    ports.physical_compare_exchange: physical.physical_compare_exchange,
    ports.now: physical.now,
    ports.fence_translation: fences.fence_translation,
    paging.read_entry: walks.read_entry,
    **host.BIND,
}
"""What the core puts in the place of the architecture's ports and of what it does quicker."""

ENTRY_POINTS: tuple[Native, ...] = (
    invalidate.forget_range, decoded_pages.clear_scratch, decode.decode_all,
    decoded_pages.install_region, decode.decode_word, fences.flush_all, wakeups.kick,
    wakeups.timer_due, eviction.retire_regions, eviction.unlink_regions,
)  # fmt: skip
"""Typed functions that Python calls, by their names (`native_core`)."""

WRITTEN: dict[str, list[Any]] = {
    "run_harts": [None, ctypes.c_void_p],
    "run_hart": [None, ctypes.c_void_p],
    "step_hart": [None, ctypes.c_void_p],
    "handler_table": [ctypes.c_uint64],
}
"""The entry points that are written here, with their C types: the result's, then the arguments'."""


def signatures() -> dict[str, list[str | None]]:
    """All entry points, with the names that ctypes has for their types."""
    found = dict(WRITTEN)
    for one in ENTRY_POINTS:
        made = prototype(one)
        found[one.name] = [made._restype_, *made._argtypes_]
    return {name: [kind and kind.__name__ for kind in kinds] for name, kinds in found.items()}


def _run_one(program: Program) -> str:
    """run_one: a hart that is ready, until it comes back."""
    text = SpecialHandler(program)
    budget, _ = text.call(run.begin_slice, "ptr %core")
    pc = text.value(f"inttoptr i64 {text.read('pc')} to ptr")
    text.line(
        f'call {CONVENTION} void @"{Special.JUMP_TO.symbol}"'
        f"(ptr %core, ptr {pc}, i64 {budget}, i64 0)\n  ret void"
    )
    body = "\n".join(text.lines)
    return f"define internal void @run_one(ptr %core) nounwind {{\n{body}\n}}"


def _step(program: Program) -> str:
    """step_hart: one instruction, in the scratch page."""
    text = SpecialHandler(program)
    result, kind = text.call(run.ready_to_step, "ptr %core")
    slot = text.value(f"extractvalue {kind} {result}, 0")
    text.go_on_if(text.value(f"extractvalue {kind} {result}, 1"))
    page = text.value(f"and i64 {text.read('pc')}, -4096")
    handler = text.load(slot, kind="ptr")
    text.line(
        f"call {CONVENTION} void {handler}(ptr %core, ptr {slot}, i64 0, i64 {page})\n  ret void"
    )
    body = "\n".join(text.lines)
    return f"define void @step_hart(ptr %core) nounwind {{\n{body}\n}}"


def _thread(program: Program) -> str:
    """run_hart: one hart, which waits here too, until it is asked to come back."""
    kick_count = program.function(wakeups.kick_count).symbol
    ready = program.function(run.ready_to_run).symbol
    rest = program.function(run.rest).symbol
    return f"""define void @run_hart(ptr %core) nounwind {{
  br label %begin
begin:
  %kicks = call i64 @"{kick_count}"(ptr %core)
  %ready = call i1 @"{ready}"(ptr %core)
  br i1 %ready, label %run, label %rest
run:
  call void @run_one(ptr %core)
  br label %rest
rest:
  %again = call i1 @"{rest}"(ptr %core, i64 %kicks)
  br i1 %again, label %begin, label %out
out:
  ret void
}}"""


def _turns(program: Program) -> str:
    """run_harts: turn after turn, until a hart comes back for more than its turn's end."""
    choose = program.function(run.choose_hart).symbol
    at = program.function(state.core_at).symbol
    over = program.function(run.turn_is_over).symbol
    return f"""define void @run_harts(ptr %shared) nounwind {{
  br label %choose
choose:
  %index = call i64 @"{choose}"(ptr %shared)
  %any = call i1 @"{program.function(run.some_hart).symbol}"(ptr %shared, i64 %index)
  br i1 %any, label %run, label %out
run:
  %core = call ptr @"{at}"(ptr %shared, i64 %index)
  call void @run_one(ptr %core)
  %over = call i1 @"{over}"(ptr %core)
  br i1 %over, label %choose, label %out
out:
  ret void
}}"""


def _table(defined: str) -> list[str]:
    """The handlers by number; a number that stands for nothing is illegal."""
    none = Special.ILLEGAL.symbol
    names = [name if f'@"{name}"(' in defined else none for name in handler_names()]
    table = ", ".join(f'ptr @"{name}"' for name in names)
    return [
        f"@handlers = internal constant [{len(names)} x ptr] [{table}]",
        "define ptr @handler_table() nounwind {\n  ret ptr @handlers\n}",
    ]


def build(
    target: Target,
    roots: Sequence[Native] = ENTRY_POINTS,
    bind: Mapping[Native, Native] = BIND,
) -> str:
    """The text of the core for a target."""
    program = Program(target, bind)
    program.add_roots(roots)
    program.flagged.update(one.function for one in INSTRUCTIONS)
    small = {rule.target.name for rule in RULES}
    sizes = {one.name: (4, 2) if one.name in small else (4,) for one in INSTRUCTIONS}
    program.texts += handlers(program, sizes)
    program.texts += special_handlers(program)
    program.texts += [_run_one(program), _step(program), _turns(program), _thread(program)]
    program.texts += _table("\n".join(program.texts))
    program.texts.append(LIKELY_DEFINITION)
    return program.text()
