"""Handlers that are no instruction: those of `Special`, and what instructions' handlers end in.

They call what happens between instructions (`native.run`), and go on where it says.
"""

from __future__ import annotations

from ringzero.engine.interpreter.handlers import HandlerText
from ringzero.engine.llvm_text import ENTRY
from ringzero.engine.native import run
from ringzero.engine.native.code import leaders, links
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.native.compiler import traces
from ringzero.engine.native.profile import samples
from ringzero.lang.compiler import Program


class SpecialHandler(HandlerText):
    """Each method emits the handler of its name."""

    # ---- their parts

    def go_on_if(self, flag: str) -> None:
        """Return to Python unless `flag`."""
        self.branch(flag, "on", "out")
        self.label("out")
        self.line("ret void")
        self.label("on")

    def resume(self, budget: str) -> None:
        """Continue at hart.pc."""
        self.jump(self.read("pc"), budget)

    def unretired(self) -> str:
        """Spend budget on a trap: the horizon moves too, so that hart.retired does not."""
        self.write("horizon", self.value(f"sub i64 {self.read('horizon')}, 1"))
        return self.spend()

    def to(self, handler: str) -> None:
        """To a handler whose address typed text gave."""
        self.tail(self.value(f"inttoptr i64 {handler} to ptr"))

    def fetched_or_fault(self, result: str, kind: str) -> str:
        """What typed text found, where it did; else its fault goes to the guest's handler.

        Where that cannot be fetched either, no slot would ever end the slice.
        """
        fine = self.value(f"extractvalue {kind} {result}, 1")
        self.branch(fine, "found", "fault")
        self.label("fault")
        going, _ = self.call(run.handler_is_there, "ptr %core")
        self.branch(going, "handled", "lost")
        self.label("lost")
        self.line("ret void")
        self.label("handled")
        self.resume(self.unretired())
        self.label("found")
        return self.value(f"extractvalue {kind} {result}, 0")

    # ---- what instructions' handlers end in

    def trap(self) -> None:
        """An instruction raised."""
        self.synchronise(self.pc())
        self.call(run.trapped, "ptr %core")
        self.resume(self.unretired())

    def floats(self) -> None:
        """Core.floats says no: look at what it was made of, and start the instruction again."""
        fine, _ = self.call(run.floats_after_all, "ptr %core")
        self.branch(fine, "on", "off")
        self.label("on")
        self.dispatch("%ip", "%budget")
        self.label("off")
        self.tail(f'@"{Special.ILLEGAL.symbol}"')

    def changed(self) -> None:
        """After a SYSTEM instruction; hart.pc is where it goes on."""
        self.retire()
        going, _ = self.call(run.after_system, "ptr %core")
        self.go_on_if(going)
        self.resume("%budget")

    # ---- those of `Special`

    def illegal(self) -> None:
        """No instruction, of four bytes."""
        self.write("cause", "2")
        self.tail('@"trap"')

    def illegal_short(self) -> None:
        """No instruction, of two bytes."""
        self.tail(f'@"{Special.ILLEGAL.symbol}"')

    def decode(self) -> None:
        """The first execution of a slot."""
        self.call(leaders.decode_leader, "ptr %core", "ptr %ip")
        self.dispatch("%ip", "%budget")

    def cross(self) -> None:
        """A guard slot: the same offset on the next page."""
        self.jump(self.value(f"add i64 {self.pc()}, 4096"), "%budget")

    def straddle(self) -> None:
        """An instruction that is fetched for just once, into the scratch page."""
        self.retire()
        result, kind = self.call(run.straddling, "ptr %core", f"i64 {self.pc()}")
        self.dispatch(self.fetched_or_fault(result, kind), "%budget")

    def halt(self) -> None:
        """A slot of the scratch page: the end of a single step, or code that is not decoded."""
        single, _ = self.call(run.single_step, "ptr %core")
        self.branch(single, "end", "fetch")
        self.label("fetch")
        self.tail(f'@"{Special.STRADDLE.symbol}"')
        self.label("end")
        self.synchronise(self.pc())
        self.call(run.attribute, "ptr %core")
        self.line("ret void")

    def jump_to(self) -> None:
        """To any address, which comes in place of the slot: through the execute table."""
        target = self.value("ptrtoint ptr %ip to i64")
        page, entry, hit = self.looked_up(target)
        self.branch(hit, "hit", "miss", self.likely)
        self.label("hit")
        ip = self.slot_at(self.load(entry, ENTRY["offset"]), target)
        self.dispatch_or_end(ip, "%budget", page)
        self.label("miss")
        self.retire()
        result, kind = self.call(run.locate, "ptr %core", f"i64 {target}")
        ip = self.slot_at(self.fetched_or_fault(result, kind), target)
        self.dispatch_or_end(ip, "%budget", page, "2")

    def event(self) -> None:
        """The budget is spent."""
        self.synchronise(self.pc())
        going, _ = self.call(run.end_slice, "ptr %core", "ptr %ip")
        self.go_on_if(going)
        budget, _ = self.call(run.begin_slice, "ptr %core")
        self.resume(budget)

    def spent_in_region(self) -> None:
        """The budget is spent in a region."""
        self.write("region_slices", self.value(f"add i64 {self.read('region_slices')}, 1"))
        self.write("ended_in_region", "1")
        self.tail(f'@"{Special.EVENT.symbol}"')

    def side_exit(self) -> None:
        """A region gives an instruction to the interpreter: to the handler under any region."""
        handler, _ = self.call(samples.count_side_exit, "ptr %core", "ptr %ip")
        self.to(handler)

    def link(self) -> None:
        """A region goes to another page whose link is not bound, or not to what is there."""
        self.call(links.bind_link, "ptr %core")
        self.tail(f'@"{Special.JUMP_TO.symbol}"')

    def link_side_exit(self) -> None:
        """The same before an instruction that reaches into the next page."""
        self.call(links.bind_link, "ptr %core")
        self.tail(f'@"{Special.SIDE_EXIT.symbol}"')

    def warm(self) -> None:
        """A leader is executed once more."""
        handler, _ = self.call(traces.warm, "ptr %core", "ptr %ip")
        self.to(handler)


def special_handlers(program: Program) -> list[str]:
    """The text of all of them."""
    texts = []
    for name in ("trap", "floats", "changed", *(special.symbol for special in Special)):
        handler = SpecialHandler(program)
        getattr(handler, name)()
        texts.append(handler.define(name))
    return texts
