"""The bundled kernel's paravirtual flavour: what privileged.py does, by calls and the shared page.

Whether a hypervisor answers is asked once; where none does, every function here does what the one
that it replaces does. The page is the last one of the kernel's memory, at a constant address, and
its word `version` says whether it is shared. docs/hypercalls.md is the interface.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, fence_page, fence_translation, stub
from ringzero.board import hypercalls
from ringzero.board.hypercalls import EVERY_SPACE, EXTENSION
from ringzero.board.hypercalls import OFFSETS as AT
from ringzero.guests import sbi
from ringzero.guests.entry import EQUATES, Frame, enter_user, every, kept
from ringzero.guests.kernel import privileged
from ringzero.guests.kernel.pages import SHARED
from ringzero.lang import address_of, load, native, store, u64

PLACES = "".join(f".equ page.{name}, {offset}\n" for name, offset in AT.items())
OWN = 1024  # a word of the page that the interface leaves to the kernel
BUT_SP_T6, BUT_A0_T6 = (2, 31), (10, 31)
PAIRS = (("pc", "epc"), ("status", "status"), ("cause", "cause"), ("value", "value"))


def _causes(base: str) -> str:
    return "".join(
        f"ld t0, page.{there}(t6)\nsd t0, frame.{field}({base})\n" for field, there in PAIRS
    )


RETURN = """
    ld t0, frame.pc({base})
    sd t0, page.epc(t6)
    ld t0, frame.status({base})
    sd t0, page.status(t6)
"""

enter_shared = stub(
    "enter_shared",
    EQUATES
    + PLACES
    + f"""
    addi sp, sp, -112
{kept("sd")}
    sd sp, frame.kernel_sp(a0)
    li t6, {SHARED}
    sd a0, page.scratch(t6)
{RETURN.format(base="a0")}
{every("ld", "a0", (10,))}
    ld a0, 80(a0)
    sret                            # the one privileged instruction left: a call without registers
""",
    [Frame],
)

# t6 is the page, and the interrupted program's t6 is in it.
trap_shared = stub(
    "trap_shared",
    EQUATES
    + PLACES
    + f"""
    sd a0, {OWN}(t6)
    ld a0, page.scratch(t6)
    bnez a0, from_below
    ld a0, {OWN}(t6)
    addi sp, sp, -frame.size
{every("sd", "sp", BUT_SP_T6)}
    addi t0, sp, frame.size
    sd t0, 16(sp)
    ld t0, page.lent(t6)
    sd t0, 248(sp)
{_causes("sp")}
    mv a0, sp
    call handle_kernel_trap
    li t6, {SHARED}
{RETURN.format(base="sp")}
{every("ld", "sp", (2,))}
    ld sp, 16(sp)
    sret
from_below:
{every("sd", "a0", BUT_A0_T6)}
    ld t0, {OWN}(t6)
    sd t0, 80(a0)
    ld t0, page.lent(t6)
    sd t0, 248(a0)
    sd zero, page.scratch(t6)
{_causes("a0")}
    ld sp, frame.kernel_sp(a0)
{kept("ld")}
    addi sp, sp, 112
    ret
""",
)


@native
def word(at: int) -> u64:
    """A word of the page."""
    return load(u64, SHARED + at)


@native
def put(at: int, value: u64) -> None:
    """Set a word of the page."""
    store(u64, SHARED + at, value)


@native
def shared() -> bool:
    """Whether there is a hypervisor on the other side of the page."""
    return word(AT["version"]) != 0


@native
def ask(function: int, a0: u64, a1: u64, a2: u64) -> u64:
    """A call with three arguments; its error."""
    zero = u64(0)
    error, _ = sbi.call(a0, a1, a2, zero, zero, zero, u64(function), u64(EXTENSION))
    return error


@native
def deliver_pending() -> None:
    """Interrupts are unmasked: if one waits, let it come."""
    if word(AT["pending"]) != 0:
        ask(hypercalls.DELIVER, u64(0), u64(0), u64(0))


@native
def setup() -> None:
    """Ask for a hypervisor of our version, and share the page with it."""
    put(AT["version"], u64(0))
    if sbi.probe(u64(EXTENSION)) == 0:
        return
    zero = u64(0)
    error, version = sbi.call(
        zero, zero, zero, zero, zero, zero, u64(hypercalls.DESCRIBE), u64(EXTENSION)
    )
    if error == 0 and version >> 16 == hypercalls.MAJOR:
        csr.stvec.write(address_of(trap_shared))
        ask(hypercalls.REGISTER, u64(SHARED), u64(SHARED), u64(0))


@native
def enter(frame: Frame) -> None:
    if shared():
        enter_shared(frame)
    else:
        enter_user(frame)


@native
def read_status() -> u64:
    if shared():
        return word(AT["status"]) | word(AT["enabled"])
    return csr.sstatus.read()


@native
def interrupts_off() -> u64:
    if shared():
        before = word(AT["enabled"])
        put(AT["enabled"], u64(0))
        return before
    return csr.sstatus.read_clear(u64(privileged.SIE)) & privileged.SIE


@native
def interrupts_restore(before: u64) -> None:
    if not shared():
        csr.sstatus.set(before)
    elif before != 0:
        put(AT["enabled"], before)
        deliver_pending()


@native
def interrupts_on() -> None:
    interrupts_restore(u64(privileged.SIE))


@native
def enable_interrupts(which: u64) -> None:
    if shared():
        put(AT["enables"], which)
        if word(AT["enabled"]) != 0:
            deliver_pending()
    else:
        csr.sie.write(which)


@native
def set_space(root: u64, space: u64) -> None:
    value = privileged.SV39 | space << 44 | root >> 12
    if shared():
        ask(hypercalls.SPACE, value, u64(0), u64(0))
    else:
        csr.satp.write(value)


@native
def flush_all() -> None:
    if shared():
        ask(hypercalls.FLUSH, u64(0), u64(0), u64(EVERY_SPACE))
    else:
        fence_translation()


@native
def flush_page(address: u64) -> None:
    if shared():
        ask(hypercalls.FLUSH, address, u64(1), u64(EVERY_SPACE))
    else:
        fence_page(address)


@native
def mapped_page(address: u64) -> None:
    if not shared():
        fence_page(address)


@native
def set_timer(time: u64) -> None:
    if not shared():
        sbi.set_timer(time)
        return
    put(AT["deadline"], time)
    if time < word(AT["armed"]):
        ask(hypercalls.TIMER, time, u64(0), u64(0))


BINDINGS = {
    getattr(privileged, function.name): function
    for function in (
        *(setup, enter, read_status, interrupts_off, interrupts_restore, interrupts_on),
        *(enable_interrupts, set_space, flush_all, flush_page, mapped_page, set_timer),
    )
}
STUBS = (enter_shared, trap_shared)
