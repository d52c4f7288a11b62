"""The interpreter as one LLVM module: typed functions, instruction handlers, and the few handlers
that are no instruction. `build()` gives its text
"""

from __future__ import annotations

from ringzero.engine.interpreter.handlers import (
    CONVENTION,
    HandlerText,
    handler_names,
    handlers,
)
from ringzero.engine.native import run
from ringzero.engine.native import state as core
from ringzero.engine.native.code import decode as decoding
from ringzero.engine.native.code import decoded_pages as slots
from ringzero.engine.native.code import eviction as region_eviction
from ringzero.engine.native.code import invalidate as changes
from ringzero.engine.native.code import leaders
from ringzero.engine.native.code import links as region_links
from ringzero.engine.native.compiler import traces as compiler
from ringzero.engine.native.floats import host as host_floats
from ringzero.engine.native.profile import samples
from ringzero.engine.native.threads import wakeups as bells
from ringzero.engine.native.translation import fences as tlb_fences
from ringzero.engine.native.translation import physical, tlb, walks
from ringzero.isa import ports
from ringzero.isa.compressed import RULES
from ringzero.isa.privileged import access, paging
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang.compiler import Program, Target, result_type
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
    ports.fence_translation: tlb_fences.fence_translation,
    paging.read_entry: walks.read_entry,
    **host_floats.BIND,
}
ROOTS = (
    changes.forget_range, slots.clear_scratch, decoding.decode_all, slots.install_region,
    decoding.decode_word, tlb_fences.flush_all, bells.ring, bells.timer_due,
    region_eviction.retire_regions, region_eviction.unlink_regions,
)  # fmt: skip


SPECIAL = (
    "trap", "illegal", "floats", "changed", "event", "decode", "warm", "cross", "straddle", "halt",
    "spent", "bail", "link", "link_bail",
)  # fmt: skip


class Special(HandlerText):
    """Handlers that are no instruction, and the ways into the interpreter."""

    def call(self, function: Native, *arguments: str) -> tuple[str, str]:
        """Call typed text; its result, and the LLVM type of that."""
        made = self.program.function(function)
        kind = result_type(made.result, made.raises)
        text = f'call {made.convention} {kind} @"{made.symbol}"({", ".join(arguments)})'
        if kind == "void":
            self.line(text)
            return "", kind
        return self.value(text), kind

    def go_on_if(self, flag: str) -> None:
        """Return to Python unless `flag`."""
        self.line(f"br i1 {flag}, label %on, label %out")
        self.label("out")
        self.line("ret void")
        self.label("on")

    def resume(self, budget: str) -> None:
        """Continue at hart.pc."""
        self.jump(self.load("pc"), budget)

    def unretired(self) -> str:
        """Spend budget on a trap: the horizon moves too, so that hart.retired does not."""
        self.store("horizon", self.value(f"sub i64 {self.load('horizon')}, 1"))
        return self.spend()

    def trap(self) -> str:
        self.synchronise(self.pc())
        self.call(run.trapped, "ptr %core")
        self.resume(self.unretired())
        return self.define("trap")

    def illegal(self) -> str:
        self.store("cause", "2")
        self.tail('@"trap"')
        return self.define("illegal")

    def floats(self) -> str:
        """Core.floats says no: look at what it was made of, and start the instruction again."""
        fine, _ = self.call(run.floats_after_all, "ptr %core")
        self.line(f"br i1 {fine}, label %on, label %off")
        self.label("on")
        self.dispatch("%ip", "%budget")
        self.label("off")
        self.tail('@"illegal"')
        return self.define("floats")

    def changed(self) -> str:
        """After a SYSTEM instruction; hart.pc is where it goes on."""
        self.store("retired", self.value(f"sub i64 {self.load('horizon')}, %budget"))
        going, _ = self.call(run.after_system, "ptr %core")
        self.go_on_if(going)
        self.resume("%budget")
        return self.define("changed")

    def event(self) -> str:
        """The budget is spent."""
        self.synchronise(self.pc())
        going, _ = self.call(run.end_slice, "ptr %core", "ptr %ip")
        self.go_on_if(going)
        budget, _ = self.call(run.begin_slice, "ptr %core")
        self.resume(budget)
        return self.define("event")

    def spent(self) -> str:
        """The budget is spent in a region."""
        self.store("region_slices", self.value(f"add i64 {self.load('region_slices')}, 1"))
        self.store("inside", "1")
        self.tail('@"event"')
        return self.define("spent")

    def link(self) -> str:
        """A region goes to another page whose link is not bound, or not to what is there."""
        self.call(region_links.bind_link, "ptr %core")
        self.tail('@"jump"')
        return self.define("link")

    def link_bail(self) -> str:
        """The same before an instruction that reaches into the next page."""
        self.call(region_links.bind_link, "ptr %core")
        self.tail('@"bail"')
        return self.define("link_bail")

    def bail(self) -> str:
        """A region gives an instruction to the interpreter: to the handler under any region."""
        handler, _ = self.call(samples.bailed, "ptr %core", "ptr %ip")
        self.tail(self.value(f"inttoptr i64 {handler} to ptr"))
        return self.define("bail")

    def decode(self) -> str:
        self.call(leaders.decode_leader, "ptr %core", "ptr %ip")
        self.dispatch("%ip", "%budget")
        return self.define("decode")

    def warm(self) -> str:
        """A leader is executed once more."""
        handler, _ = self.call(compiler.warm, "ptr %core", "ptr %ip")
        self.tail(self.value(f"inttoptr i64 {handler} to ptr"))
        return self.define("warm")

    def cross(self) -> str:
        """A guard slot: the same offset on the next page."""
        self.jump(self.value(f"add i64 {self.pc()}, 4096"), "%budget")
        return self.define("cross")

    def straddle(self) -> str:
        self.store("retired", self.value(f"sub i64 {self.load('horizon')}, %budget"))
        result, kind = self.call(run.straddling, "ptr %core", f"i64 {self.pc()}")
        fine = self.value(f"extractvalue {kind} {result}, 1")
        self.line(f"br i1 {fine}, label %on, label %fault")
        self.label("on")
        self.dispatch(self.value(f"extractvalue {kind} {result}, 0"), "%budget")
        self.label("fault")
        self._after_fetch_fault()
        return self.define("straddle")

    def _after_fetch_fault(self) -> None:
        """To the handler; where that cannot be fetched either, no slot would ever end the slice."""
        going, _ = self.call(run.handler_is_there, "ptr %core")
        self.line(f"br i1 {going}, label %handled, label %lost")
        self.label("lost")
        self.line("ret void")
        self.label("handled")
        self.resume(self.unretired())

    def halt(self) -> str:
        """A slot of the scratch array: the end of a single step, or code that is not decoded."""
        single, _ = self.call(run.single_step, "ptr %core")
        self.line(f"br i1 {single}, label %end, label %fetch")
        self.label("fetch")
        self.tail('@"straddle"')
        self.label("end")
        self.synchronise(self.pc())
        self.call(run.attribute, "ptr %core")
        self.line("ret void")
        return self.define("halt")

    def jump_text(self) -> str:
        """To any address, which comes in place of the slot: through the execute table."""
        target = self.value("ptrtoint ptr %ip to i64")
        page = self.value(f"and i64 {target}, -4096")
        entry, _ = self.call(execute_entry, "ptr %core", f"i64 {target}")
        hit = self.value(f"icmp eq i64 {self.value(f'load i64, ptr {entry}')}, {page}")
        self.line(f"br i1 {hit}, label %hit, label %miss, !prof !1")
        self.label("hit")
        at = self.value(f"getelementptr i8, ptr {entry}, i64 8")
        self._arrive(self.value(f"load i64, ptr {at}"), target, page, "")
        self.label("miss")
        self.store("retired", self.value(f"sub i64 {self.load('horizon')}, %budget"))
        result, kind = self.call(run.locate, "ptr %core", f"i64 {target}")
        fine = self.value(f"extractvalue {kind} {result}, 1")
        self.line(f"br i1 {fine}, label %found, label %fault")
        self.label("fault")
        self._after_fetch_fault()
        self.label("found")
        self._arrive(self.value(f"extractvalue {kind} {result}, 0"), target, page, "2")
        return self.define("jump")

    def _arrive(self, offset: str, target: str, page: str, suffix: str) -> None:
        base, _ = self.call(slots_base, "ptr %core")
        within = self.value(f"shl i64 {self.value(f'and i64 {target}, 4094')}, 3")
        place = self.value(f"add i64 {offset}, {within}")
        ip = self.value(f"getelementptr i8, ptr {base}, i64 {place}")
        spent = self.value("icmp slt i64 %budget, 0")
        self.line(f"br i1 {spent}, label %event{suffix}, label %go{suffix}, !prof !0")
        self.label(f"event{suffix}")
        self.tail('@"event"', ip, "%budget", page)
        self.label(f"go{suffix}")
        self.dispatch(ip, "%budget", page)


def _entries(program: Program) -> list[str]:
    run_one = Special(program)
    budget, _ = run_one.call(run.begin_slice, "ptr %core")
    pc = run_one.value(f"inttoptr i64 {run_one.load('pc')} to ptr")
    run_one.line(
        f'call {CONVENTION} void @"jump"(ptr %core, ptr {pc}, i64 {budget}, i64 0)\n  ret void'
    )
    one = "define internal void @run_one(ptr %core) nounwind {\n" + "\n".join(run_one.lines) + "\n}"
    step = Special(program)
    result, kind = step.call(run.ready_to_step, "ptr %core")
    slot = step.value(f"extractvalue {kind} {result}, 0")
    step.go_on_if(step.value(f"extractvalue {kind} {result}, 1"))
    page = step.value(f"and i64 {step.load('pc')}, -4096")
    handler = step.value(f"load ptr, ptr {slot}")
    step.line(
        f"call {CONVENTION} void {handler}(ptr %core, ptr {slot}, i64 0, i64 {page})\n  ret void"
    )
    stepping = "define void @step_hart(ptr %core) nounwind {\n" + "\n".join(step.lines) + "\n}"
    return [one, stepping, _turns(program), _thread(program)]


def _thread(program: Program) -> str:
    """run_hart: one hart, which waits here too, until it is asked to come back."""
    heard = program.function(bells.heard).symbol
    ready = program.function(run.ready_to_run).symbol
    rest = program.function(run.rest).symbol
    return f"""define void @run_hart(ptr %core) nounwind {{
  br label %begin
begin:
  %bell = call i64 @"{heard}"(ptr %core)
  %ready = call i1 @"{ready}"(ptr %core)
  br i1 %ready, label %run, label %rest
run:
  call void @run_one(ptr %core)
  br label %rest
rest:
  %again = call i1 @"{rest}"(ptr %core, i64 %bell)
  br i1 %again, label %begin, label %out
out:
  ret void
}}"""


def _turns(program: Program) -> str:
    """run_harts: turn after turn, until a hart comes back for more than its turn's end."""
    choose = program.function(run.choose_hart).symbol
    at = program.function(core.core_at).symbol
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


execute_entry = tlb.execute_entry
slots_base = slots.slots_base


def build(target: Target) -> str:
    """The text of the interpreter for a target."""
    program = Program(target, BIND)
    program.add_roots(ROOTS)
    program.flagged.update(one.function for one in INSTRUCTIONS)
    small = {rule.target.name for rule in RULES}
    sizes = {one.name: (4, 2) if one.name in small else (4,) for one in INSTRUCTIONS}
    program.texts += handlers(program, sizes)
    for name in SPECIAL:
        program.texts.append(getattr(Special(program), name)())
    program.texts.append(Special(program).jump_text())
    program.texts += _entries(program)
    defined = "\n".join(program.texts)
    names = [name if f'@"{name}"(' in defined else "illegal" for name in handler_names()]
    table = ", ".join(f'ptr @"{name}"' for name in names)
    program.texts += [
        f"@handlers = internal constant [{len(names)} x ptr] [{table}]",
        "define ptr @handler_table() nounwind {\n  ret ptr @handlers\n}",
        '!1 = !{!"branch_weights", i32 2000, i32 1}',
    ]
    return program.text()
