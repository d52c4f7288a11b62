"""The state of one RV64 hart: registers, stored CSRs, and what an engine and a board share of it.

The same Struct is the physical hart of the emulator and, compiled for riscv64, a guest's virtual
hart in the hypervisor. CSRs that are views of others (`sstatus`, `sie`, `fflags`) have no field.
"""

from __future__ import annotations

from ringzero.lang import Array, Struct, field, native, u64

U, S, M = 0, 1, 3  # privilege modes, as mstatus.MPP encodes them
VIRTUAL = 4  # what counters add to the mode for VU and VS

# What an engine has to look at again after a SYSTEM instruction (bits of Hart.changes).
INTERRUPTS = 1
TRANSLATION = 2
CODE = 4
WAIT = 8
FLOATS = 16
MAPPINGS = 32  # cached translations are void: pmp*, menvcfg were written
GUEST_MAPPINGS = 64  # those of VS and VU are: henvcfg was written
ADDRESS_SPACE = 128  # others hold, and none are void: satp, vsatp, hgatp were written

H = 1 << 7  # Hart.extensions: the hypervisor extension's letter in misa
GUEST_INTERRUPTS = 0x1444  # SGEI, VSEI, VSTI, VSSI: delegated to S wherever H exists

NO_RESERVATION = 0xFFFF_FFFF_FFFF_FFFF  # never the address of an aligned access

PMP_ENTRIES = 16


class Hart(Struct):
    """One hart. `x[0]` is always zero; `x[32]` takes writes to x0 in compiled engines.

    Without H in `extensions` the fields after it stay zero, and nothing below looks different.
    """

    x: Array[u64] = field(33)
    f: Array[u64] = field(32)
    pc: u64
    mode: u64
    retired: u64  # instructions retired since reset; exact when a SYSTEM instruction runs
    lines: u64  # interrupt lines from devices, ORed into mip
    changes: u64
    cause: u64  # payload of the Trap on its way
    tval: u64
    reservation: u64  # physical address of the last lr, or NO_RESERVATION
    reservation_value: u64
    hartid: u64

    mstatus: u64
    mtvec: u64
    medeleg: u64
    mideleg: u64
    mip: u64  # only the bits that software stores; see trap.interrupts_pending
    mie: u64
    mscratch: u64
    mepc: u64
    mcause: u64
    mtval: u64
    menvcfg: u64
    mcounteren: u64
    mcountinhibit: u64
    mcycle_offset: u64  # mcycle = retired + offset, or offset alone while inhibited
    minstret_offset: u64
    mstateen0: u64
    mstateen1: u64
    mstateen2: u64
    mstateen3: u64
    pmpcfg: Array[u64] = field(2)
    pmpaddr: Array[u64] = field(16)
    stvec: u64
    sscratch: u64
    sepc: u64
    scause: u64
    stval: u64
    senvcfg: u64
    scounteren: u64
    sstateen0: u64
    satp: u64
    stimecmp: u64
    fcsr: u64

    extensions: u64  # letters of misa that not every hart has: H
    virtual: u64  # V: 1 in VS-mode and VU-mode
    guest_access: u64  # which hlv, hlvx or hsv is on its way (paging.effective_mode)
    tval2: u64  # further payload of a guest-page fault
    tinst: u64
    mtval2: u64
    mtinst: u64
    hstatus: u64
    hedeleg: u64
    hideleg: u64
    hcounteren: u64
    hgatp: u64
    htval: u64
    htinst: u64
    htimedelta: u64
    henvcfg: u64
    hstateen0: u64
    hstateen1: u64
    hstateen2: u64
    hstateen3: u64
    vsstatus: u64
    vstvec: u64
    vsscratch: u64
    vsepc: u64
    vscause: u64
    vstval: u64
    vsatp: u64
    vstimecmp: u64


UXL_64 = 2 << 32
SXL_64 = 2 << 34


@native
def reset(hart: Hart, hartid: u64, pc: u64) -> None:
    """The state out of reset (privileged spec 3.4), with every other field at zero."""
    hart.hartid = hartid
    hart.pc = pc
    hart.mode = M
    hart.mstatus = SXL_64 | UXL_64
    hart.reservation = NO_RESERVATION
    hart.stimecmp = 0xFFFF_FFFF_FFFF_FFFF


@native
def add_hypervisor(hart: Hart) -> None:
    """Give a hart the H extension, after its reset."""
    hart.extensions = hart.extensions | H
    hart.mideleg = hart.mideleg | GUEST_INTERRUPTS
    hart.vstimecmp = 0xFFFF_FFFF_FFFF_FFFF
