"""What happens between instructions, natively: slices, traps, interrupts, waiting, turns.

Python is entered only for devices, and left only when `Core.why` says so. Handlers call these
functions with the hart's pc and retired count synchronised (`handlers.py`).
"""

from __future__ import annotations

from ringzero.board.clint import deadline
from ringzero.engine.native.code.address import page_number, slot_offset
from ringzero.engine.native.code.decode import fill_scratch
from ringzero.engine.native.code.pages import release_idle_page
from ringzero.engine.native.compiler.generations import leave_direct
from ringzero.engine.native.compiler.registers import note_registers
from ringzero.engine.native.profile.samples import sample
from ringzero.engine.native.state import (
    SLICE,
    Core,
    Shared,
    Slot,
    core_at,
)
from ringzero.engine.native.threads.epochs import OUT, RUNNING, report_quiescent, set_quiescence
from ringzero.engine.native.threads.wakeups import sleep
from ringzero.engine.native.translation.contexts import leave_space, select_context
from ringzero.engine.native.translation.fences import flush_all, flush_guests
from ringzero.engine.native.translation.physical import NEVER, take_timer, take_wires, until
from ringzero.engine.native.translation.tlb import find_code
from ringzero.engine.ports import TRAP_LOOP, Why
from ringzero.isa.hart import (
    ADDRESS_SPACE,
    FLOATS,
    GUEST_MAPPINGS,
    MAPPINGS,
    TRANSLATION,
    VIRTUAL,
    WAIT,
)
from ringzero.isa.ports import now
from ringzero.isa.privileged.access import fetch
from ringzero.isa.privileged.timers import TIMERS, next_deadline
from ringzero.isa.privileged.trap import (
    OF_INSTRUCTION,
    STATUS_FS,
    Trap,
    floats_usable,
    interrupts_pending,
    pending_interrupt,
    take_trap,
)
from ringzero.lang import native, ptr, typed_range, u64


@native
def attribute(core: Core) -> None:
    """Count instructions retired since the last look to the mode of then; call at each change."""
    core.retired_in[core.charged] += core.hart.retired - core.counted
    core.counted = core.hart.retired
    core.charged = core.hart.mode + VIRTUAL * core.hart.virtual


@native
def account(core: Core) -> None:
    """Add what was retired since the last look to the machine's total, which drives its clock."""
    if core.shared[0].parallel == 0:  # else it is added up when all harts have come back
        core.shared[0].elapsed += core.hart.retired - core.seen
        core.seen = core.hart.retired


@native
def enter_trap(core: Core, cause: u64, tval: u64) -> None:
    """Take a trap at hart.pc and count it."""
    attribute(core)
    core.traps_taken += 1
    core.traps[(cause & 31) + ((cause >> 63) << 5)] += 1
    take_trap(core.hart, cause, tval, core.hart.pc)
    core.charged = core.hart.mode + VIRTUAL * core.hart.virtual
    settle(core)


@native
def settle(core: Core) -> None:
    """Act on what changed: which translations hold, and who has to look again."""
    changes = core.hart.changes
    core.hart.changes = 0
    if changes & MAPPINGS != 0:
        flush_all(core)
    if changes & GUEST_MAPPINGS != 0:
        flush_guests(core)
    if changes & ADDRESS_SPACE != 0:
        leave_space(core)
    if changes & (TRANSLATION | ADDRESS_SPACE) != 0:
        select_context(core)
        if core.shared[0].compiling != 0:
            leave_direct(core)
    if changes & (TRANSLATION | FLOATS) != 0:
        core.floats = core.hart.mstatus & STATUS_FS
        if core.hart.virtual != 0 and core.hart.vsstatus & STATUS_FS != STATUS_FS:
            core.floats = 0
    if changes & WAIT != 0:
        core.waiting = True


@native
def interrupt_if_due(core: Core) -> None:
    """Take the interrupt that is due, if one is."""
    take_wires(core)
    take_timer(core)
    cause = pending_interrupt(core.hart)
    if cause != 0:
        core.waiting = False
        enter_trap(core, cause, 0)
    elif core.waiting and interrupts_pending(core.hart) & core.hart.mie != 0:
        core.waiting = False  # wfi ends even where the interrupt is not taken


@native(cold=True)
def trapped(core: Core) -> None:
    """An instruction at hart.pc raised: take its trap."""
    tval = core.hart.tval
    cause = core.hart.cause
    if (OF_INSTRUCTION >> cause) & 1 != 0:
        tval = word_at(core, core.hart.pc)
    if core.hart.retired == core.last_trap:
        core.trap_loop += 1
    else:
        core.last_trap = core.hart.retired
        core.trap_loop = 0
    enter_trap(core, cause, tval)


@native(cold=True)
def handler_is_there(core: Core) -> bool:
    """After a fetch that faulted: False, with Core.why, if handlers only trap again."""
    if core.trap_loop < TRAP_LOOP:
        return True
    attribute(core)
    account(core)
    core.why = Why.FAULT
    return False


@native
def word_at(core: Core, pc: u64) -> u64:
    """The instruction that is illegal, for tval; zero where it cannot be read."""
    core.aside = 1  # a hart has the word already: this is no translation of its
    word = u64(0)
    try:
        word = u64(fetch(core.hart, pc))
    except Trap:
        word = u64(0)
    core.aside = 0
    return word


@native(cold=True)
def floats_after_all(core: Core) -> bool:
    """Whether an instruction may use floats where `Core.floats` says no.

    A guest's vsstatus.FS then becomes Dirty at once: handlers know of mstatus only.
    """
    if not floats_usable(core.hart):
        return False
    core.hart.vsstatus = core.hart.vsstatus | STATUS_FS
    core.floats = u64(STATUS_FS)
    return True


@native(cold=True)
def after_system(core: Core) -> bool:
    """A SYSTEM instruction retired and something changed; whether to go on running."""
    attribute(core)
    settle(core)
    interrupt_if_due(core)
    if core.waiting:
        account(core)
        core.why = Why.WAITING
    return not core.waiting


@native
def slice_length(core: Core) -> u64:
    """Instructions until the next look: a slice, a limit, or a deadline in instructions."""
    length = smaller(u64(SLICE), core.limit - core.hart.retired)
    if core.shared[0].clock == 0:
        hart = core.hart
        mtimecmp = deadline(core.shared[0].clint, core.number)
        ahead = u64(TIMERS) & ~interrupts_pending(hart)
        length = smaller(length, until(core, next_deadline(hart, now(hart), mtimecmp, ahead)))
    return length


@native
def smaller(a: u64, b: u64) -> u64:
    """The smaller of two numbers."""
    return a if a < b else b


@native
def begin_slice(core: Core) -> u64:
    """The budget of the next slice; Core.horizon makes hart.retired follow from the budget."""
    length = slice_length(core)
    core.horizon = core.hart.retired + length
    return length


@native(cold=True)
def end_slice(core: Core, slot: ptr[Slot]) -> bool:
    """The budget is spent at a slot: whether to go on, with Core.why if not."""
    shared = core.shared[0]
    report_quiescent(core)
    sample(core, slot_offset(shared, slot))
    if shared.compiling != 0:
        note_registers(core, slot)
    attribute(core)
    if shared.idle_page != 0:
        release_idle_page(shared, page_number(slot_offset(shared, slot)))
    account(core)
    if core.stepping:
        core.why = Why.STEPPED
        return False
    if shared.stop != 0:
        core.why = Why.STOPPED
        return False
    if core.hart.retired >= core.limit:
        core.why = Why.LIMIT
        return False
    if core.trap_loop >= TRAP_LOOP:
        core.why = Why.FAULT
        return False
    interrupt_if_due(core)
    if core.waiting:
        core.why = Why.WAITING
        return False
    if shared.harts > 1 and core.hart.retired >= core.turn_end:
        core.why = Why.TURN
        return False
    return True


@native
def prepare(core: Core) -> None:
    """Before a hart runs: Python may have changed registers, CSRs, memory."""
    core.why = Why.RUNNING
    core.trap_loop = 0
    core.last_trap = NEVER
    attribute(core)
    account(core)
    core.limit = core.shared[0].limit
    if core.limit != NEVER:
        core.limit = core.hart.retired + (core.shared[0].limit - core.shared[0].elapsed)
    core.turn_end = core.hart.retired + core.shared[0].turn
    core.hart.changes = core.hart.changes | TRANSLATION | ADDRESS_SPACE
    settle(core)
    interrupt_if_due(core)


@native
def ready_to_run(core: Core) -> bool:
    """A hart begins to run on a thread of its own; False, with Core.why, if it waits."""
    set_quiescence(core, u64(RUNNING))
    report_quiescent(core)
    prepare(core)
    core.turn_end = u64(NEVER)
    if core.waiting:
        core.why = Why.WAITING
    return not core.waiting


@native
def rest(core: Core, kicks: u64) -> bool:
    """A hart's thread has nothing to run: wait, if there is something to wait for; False if not.

    `kicks` is what `kick_count` gave before the hart looked for interrupts.
    """
    set_quiescence(core, u64(OUT))
    if core.why != u64(Why.WAITING) or core.shared[0].stop != 0:
        return False
    sleep(core, kicks)
    return True


@native
def choose_hart(shared: Shared) -> u64:
    """The next hart that has something to do, ready to run; `shared.harts` if all of them wait."""
    for _ in typed_range(shared.harts):
        chosen = shared.next
        shared.next = (chosen + 1) % shared.harts
        core = core_at(shared, chosen)
        prepare(core)
        shared.stopped = chosen
        if not core.waiting:
            return chosen
        core.why = Why.WAITING
    return shared.harts


@native
def ready_to_step(core: Core) -> tuple[ptr[Slot], bool]:
    """The scratch slot of the instruction at hart.pc; or a trap was taken instead."""
    before = core.traps_taken
    core.shared[0].limit = NEVER
    prepare(core)
    core.waiting = False
    core.horizon = core.hart.retired
    core.why = Why.STEPPED
    if core.traps_taken != before:
        return core.scratch, False
    return straddling(core, core.hart.pc)


@native
def single_step(core: Core) -> bool:
    """Whether a hart is to execute one instruction only."""
    return core.stepping


@native(cold=True)
def straddling(core: Core, pc: u64) -> tuple[ptr[Slot], bool]:
    """The scratch slot of an instruction fetched just for once; or its fault, taken."""
    core.hart.pc = pc
    try:
        return fill_scratch(core, pc, fetch(core.hart, pc)), True
    except Trap:
        trapped(core)
        return core.scratch, False


@native
def locate(core: Core, target: u64) -> tuple[u64, bool]:
    """The decoded page of an address that the execute table missed; or its fault, taken."""
    try:
        offset = find_code(core, target)
        return offset, True
    except Trap:
        core.hart.pc = target
        trapped(core)
        return u64(0), False


@native
def some_hart(shared: Shared, index: u64) -> bool:
    """Whether `choose_hart` found one."""
    return index != shared.harts


@native
def turn_is_over(core: Core) -> bool:
    """Whether a hart came back only so that another may run."""
    return core.why == u64(Why.TURN) or (core.why == u64(Why.WAITING) and core.shared[0].stop == 0)
