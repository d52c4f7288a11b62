"""Cache-block operations of guests: their faults look like those of stores, but they only read.

`cbo.clean`, `cbo.flush` and `cbo.inval` may go wherever a load or a store may, and neither check
nor set D; what is refused raises the store's fault ("CMO" 2.5.2 and 2.5.3). So a store page fault
says only after a look at the instruction whether the guest's kernel has to know of it.
"""

from __future__ import annotations

from ringzero.bare.stubs import csr, stub
from ringzero.hypervisor.shadow.guest_tables import translate_page
from ringzero.hypervisor.vm.state import Vm
from ringzero.isa.instructions import rv_cache
from ringzero.isa.privileged.paging import ADUE, STATUS_MXR
from ringzero.isa.privileged.trap import (
    LOAD,
    LOAD_ACCESS,
    STATUS_MPRV,
    STORE,
    STORE_ACCESS,
    Trap,
    exception,
)
from ringzero.lang import native, u64

OPERATIONS = (rv_cache.cbo_inval, rv_cache.cbo_clean, rv_cache.cbo_flush)
WORDS, MASK = tuple(one.match for one in OPERATIONS), OPERATIONS[0].mask

# The instruction at a0 as the guest has just fetched it, in the mode and by the tables that the
# real hart still has of it; 0 if it is not there any more. The exit's CSRs stay as they are.
fetched_word = stub(
    "fetched_word",
    f"""
    la t0, not_there
    csrrw t0, mtvec, t0
    csrr a4, mepc
    csrr a5, mstatus
    csrr a6, mcause
    csrr a7, mtval
    li t1, {STATUS_MPRV | STATUS_MXR}
    csrs mstatus, t1
    lhu a1, 0(a0)
    andi a2, a1, 3
    addi a2, a2, -3
    bnez a2, have_word
    lhu a2, 2(a0)
    slli a2, a2, 16
    or a1, a1, a2
    j have_word
.align 2
not_there:
    csrw mepc, a4
    csrw mcause, a6
    csrw mtval, a7
    li a1, 0
have_word:
    csrw mstatus, a5
    csrw mtvec, t0
    mv a0, a1
    ret
    """,
    [u64],
    u64,
)


@native
def is_here() -> bool:
    """Whether the instruction that made this exit is a cache-block operation."""
    word = fetched_word(csr.mepc.read())
    for match in WORDS:
        if word & MASK == match:
            return True
    return False


@native(inline=False)
def translate_as_load(vm: Vm, address: u64) -> None:
    """What the guest's tables say of a cache-block operation; refused as a store is."""
    try:
        translate_page(vm, address, LOAD)
    except Trap:
        hart = vm.hart
        cause = hart.cause + (STORE_ACCESS - LOAD_ACCESS)
        raise exception(hart, cause, hart.tval)  # noqa: B904 (the payload is in the hart)


@native
def translate_store(vm: Vm, address: u64) -> bool:
    """What the guest's tables say of what was refused as a store, in `guest_tables.found`.

    False if it is a cache-block operation. Where hardware sets D, a walk for a store leaves a mark,
    so the instruction is looked at first.
    """
    hart = vm.hart
    if hart.menvcfg & ADUE != 0 and is_here():
        translate_as_load(vm, address)
        return False
    try:
        translate_page(vm, address, STORE)
    except Trap:
        if not is_here():
            raise exception(hart, hart.cause, hart.tval)  # noqa: B904 (the payload is in the hart)
        translate_as_load(vm, address)
        return False
    return True
