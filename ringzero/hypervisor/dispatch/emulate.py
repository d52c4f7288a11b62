"""Executing one guest instruction on the virtual hart, by the isa's own text.

Two kinds come here: privileged instructions, which the real hart refuses in U-mode, and loads and
stores that reach a device. Everything else that traps is the guest's own affair.
"""

from __future__ import annotations

from ringzero.hypervisor.shadow import guest_tables
from ringzero.hypervisor.shadow.guest_tables import is_open
from ringzero.hypervisor.vm.state import PAGE, Vm
from ringzero.isa.decoded import Decoded
from ringzero.isa.hart import Hart
from ringzero.isa.instructions import rv_i, rv_priv, rv_zicsr
from ringzero.isa.privileged.access import fetch
from ringzero.isa.privileged.trap import FETCH, LOAD, STORE, access_fault, illegal_instruction
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.lang import load, native, reinterpret, u16, u64

CSR, RETURN, FENCE, WAIT, READ, WRITE, OTHER = range(7)  # state.KINDS

LOADS = (rv_i.lb, rv_i.lh, rv_i.lw, rv_i.ld, rv_i.lbu, rv_i.lhu, rv_i.lwu)
STORES = (rv_i.sb, rv_i.sh, rv_i.sw, rv_i.sd)
WITH_REGISTER = (rv_zicsr.csrrs, rv_zicsr.csrrc)
WITH_NUMBER = (rv_zicsr.csrrsi, rv_zicsr.csrrci)
FENCES = (rv_priv.sfence_vma, rv_priv.sinval_vma)
PLAIN_FENCES = (rv_priv.sfence_w_inval, rv_priv.sfence_inval_ir)

INDEX = {one.name: INSTRUCTIONS.index(one) for one in INSTRUCTIONS}

decoded = Decoded()


@native
def put(hart: Hart, value: u64) -> None:
    """The result goes to rd."""
    if decoded.rd != 0:
        hart.x[u64(decoded.rd)] = value


@native(inline=False)
def execute_system(hart: Hart) -> u64:
    """Execute the decoded SYSTEM instruction, after pc was advanced; its index in state.KINDS."""
    index, first, second = decoded.index, u64(decoded.rs1), u64(decoded.rs2)
    a, b, target, number = hart.x[first], hart.x[second], u64(decoded.rd), decoded.imm
    if index == INDEX["csrrw"]:
        put(hart, rv_zicsr.csrrw.function(hart, number, a, target))
        return u64(CSR)
    if index == INDEX["csrrwi"]:
        put(hart, rv_zicsr.csrrwi.function(hart, number, first, target))
        return u64(CSR)
    for one in WITH_REGISTER:
        if index == INDEX[one.name]:
            put(hart, one.function(hart, number, a, first))
            return u64(CSR)
    for one in WITH_NUMBER:
        if index == INDEX[one.name]:
            put(hart, one.function(hart, number, first))
            return u64(CSR)
    for one in FENCES:
        if index == INDEX[one.name]:
            one.function(hart, a, b, first, second)
            return u64(FENCE)
    for one in PLAIN_FENCES:
        if index == INDEX[one.name]:
            one.function(hart)
            return u64(FENCE)
    if index == INDEX["sret"]:
        rv_priv.sret.function(hart)
        return u64(RETURN)
    if index == INDEX["wfi"]:
        rv_priv.wfi.function(hart)
        return u64(WAIT)
    raise illegal_instruction(hart)


@native
def base(hart: Hart) -> u64:
    """rs1, to which a load or store adds its immediate."""
    return hart.x[u64(decoded.rs1)]


@native(inline=False)
def execute_load(hart: Hart, base: u64, address: u64) -> None:
    """Execute the decoded instruction, which reads a device, if it is an integer load."""
    for one in LOADS:
        if decoded.index == INDEX[one.name]:
            put(hart, one.function(hart, base, decoded.imm))
            return
    raise access_fault(hart, address, LOAD)


@native(inline=False)
def execute_store(hart: Hart, base: u64, address: u64) -> None:
    """Execute the decoded instruction, which writes a device, if it is an integer store."""
    value = hart.x[u64(decoded.rs2)]
    for one in STORES:
        if decoded.index == INDEX[one.name]:
            one.function(hart, base, value, decoded.imm)
            return
    raise access_fault(hart, address, STORE)


@native(inline=False)
def instruction_at(hart: Hart) -> u64:
    """The word that the virtual hart is at; fetching it may raise."""
    vm, pc = reinterpret(Vm, hart), hart.pc
    # Its halves may be on two pages; and of VMs with a G-stage no tables are remembered.
    if pc & (PAGE - 1) > PAGE - 4 or vm.stage != 0:
        return u64(fetch(hart, pc))
    guest_tables.translate_page(vm, pc, FETCH)
    place = guest_tables.found.physical
    if not is_open(vm, place):
        raise access_fault(hart, pc, FETCH)
    low = u64(load(u16, place + vm.offset))
    if low & 3 != 3:
        return low
    return low | u64(load(u16, place + vm.offset + 2)) << 16
