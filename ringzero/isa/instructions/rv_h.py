"""H, hypervisor instructions: access to a guest's memory, and fences of its translations.

Privileged spec 21.3; hlv and hsv act with SPVP's rights, and hlvx reads what the guest may execute.
Engines run the definitions of `access`, whose translations they must not mix with the hart's own.
"""

from __future__ import annotations

from ringzero.isa.extend import sext8, sext16, sext32
from ringzero.isa.footprint import GuestLoad, GuestStore
from ringzero.isa.hart import H, Hart, S, U
from ringzero.isa.instruction import SYSTEM, insn
from ringzero.isa.instructions.rv_priv import ADDRESS_GIVEN, ASID_GIVEN, STATUS_TVM
from ringzero.isa.ports import fence_translation
from ringzero.isa.privileged import access
from ringzero.isa.privileged.paging import GUEST_EXECUTABLE, GUEST_LOAD
from ringzero.isa.privileged.trap import illegal_instruction, virtual_instruction
from ringzero.lang import Fixed, native, original, u8, u16, u32, u64

GUEST_HU = 1 << 9  # hstatus: U-mode may use hlv, hlvx and hsv
OF_VIRTUAL, OF_GUEST = 4, 8  # fence_translation: VS-stage and G-stage translations

load_definition = original(access.load)
store_definition = original(access.store)


@native
def require_hypervisor(hart: Hart) -> None:
    """H exists, and V=0."""
    if hart.extensions & H == 0:
        raise illegal_instruction(hart)
    if hart.virtual != 0:
        raise virtual_instruction(hart)


@native
def begin(hart: Hart, kind: int) -> None:
    """From here on the hart's loads and stores are the guest's."""
    require_hypervisor(hart)
    if hart.mode == U and hart.hstatus & GUEST_HU == 0:
        raise illegal_instruction(hart)
    hart.guest_access = kind


@native
def guest_load(hart: Hart, kind: type[Fixed], address: u64, how: int) -> u64:
    """The zero-extended `kind` at a guest virtual address; a trap ends guest_access too."""
    begin(hart, how)
    value = load_definition(hart, kind, address)
    hart.guest_access = 0
    return value


@native
def guest_store(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """Store at a guest virtual address."""
    begin(hart, GUEST_LOAD)
    store_definition(hart, kind, address, value)
    hart.guest_access = 0


@insn(
    "hlv.b rd, (rs1)",
    "0110000 00000 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u8),
)
def hlv_b(hart: Hart, rs1: u64) -> u64:
    """Load a guest's byte, sign-extended."""
    return sext8(guest_load(hart, u8, rs1, GUEST_LOAD))


@insn(
    "hlv.bu rd, (rs1)",
    "0110000 00001 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u8),
)
def hlv_bu(hart: Hart, rs1: u64) -> u64:
    """Load a guest's byte."""
    return guest_load(hart, u8, rs1, GUEST_LOAD)


@insn(
    "hlv.h rd, (rs1)",
    "0110010 00000 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u16),
)
def hlv_h(hart: Hart, rs1: u64) -> u64:
    """Load a guest's halfword, sign-extended."""
    return sext16(guest_load(hart, u16, rs1, GUEST_LOAD))


@insn(
    "hlv.hu rd, (rs1)",
    "0110010 00001 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u16),
)
def hlv_hu(hart: Hart, rs1: u64) -> u64:
    """Load a guest's halfword."""
    return guest_load(hart, u16, rs1, GUEST_LOAD)


@insn(
    "hlvx.hu rd, (rs1)",
    "0110010 00011 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u16),
)
def hlvx_hu(hart: Hart, rs1: u64) -> u64:
    """Load a halfword that the guest may execute."""
    return guest_load(hart, u16, rs1, GUEST_EXECUTABLE)


@insn(
    "hlv.w rd, (rs1)",
    "0110100 00000 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u32),
)
def hlv_w(hart: Hart, rs1: u64) -> u64:
    """Load a guest's word, sign-extended."""
    return sext32(guest_load(hart, u32, rs1, GUEST_LOAD))


@insn(
    "hlv.wu rd, (rs1)",
    "0110100 00001 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u32),
)
def hlv_wu(hart: Hart, rs1: u64) -> u64:
    """Load a guest's word."""
    return guest_load(hart, u32, rs1, GUEST_LOAD)


@insn(
    "hlvx.wu rd, (rs1)",
    "0110100 00011 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u32),
)
def hlvx_wu(hart: Hart, rs1: u64) -> u64:
    """Load a word that the guest may execute."""
    return guest_load(hart, u32, rs1, GUEST_EXECUTABLE)


@insn(
    "hlv.d rd, (rs1)",
    "0110110 00000 rs1 100 rd 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestLoad(u64),
)
def hlv_d(hart: Hart, rs1: u64) -> u64:
    """Load a guest's doubleword."""
    return guest_load(hart, u64, rs1, GUEST_LOAD)


@insn(
    "hsv.b rs2, (rs1)",
    "0110001 rs2 rs1 100 00000 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestStore(u8),
)
def hsv_b(hart: Hart, rs1: u64, rs2: u64) -> None:
    """Store a guest's byte."""
    guest_store(hart, u8, rs1, rs2)


@insn(
    "hsv.h rs2, (rs1)",
    "0110011 rs2 rs1 100 00000 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestStore(u16),
)
def hsv_h(hart: Hart, rs1: u64, rs2: u64) -> None:
    """Store a guest's halfword."""
    guest_store(hart, u16, rs1, rs2)


@insn(
    "hsv.w rs2, (rs1)",
    "0110101 rs2 rs1 100 00000 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestStore(u32),
)
def hsv_w(hart: Hart, rs1: u64, rs2: u64) -> None:
    """Store a guest's word."""
    guest_store(hart, u32, rs1, rs2)


@insn(
    "hsv.d rs2, (rs1)",
    "0110111 rs2 rs1 100 00000 1110011",
    extension="H",
    kind=SYSTEM,
    access=GuestStore(u64),
)
def hsv_d(hart: Hart, rs1: u64, rs2: u64) -> None:
    """Store a guest's doubleword."""
    guest_store(hart, u64, rs1, rs2)


@native
def fence(hart: Hart, address: u64, number: u64, rs1: u64, rs2: u64, of: int) -> None:
    """Tell the engine which of a guest's translations to forget."""
    which = u64(of)
    if rs1 != 0:
        which = which | ADDRESS_GIVEN
    if rs2 != 0:
        which = which | ASID_GIVEN
    fence_translation(hart, address, number, which)


@native
def require_fences(hart: Hart, trapped: int) -> None:
    """Fences of a guest are HS-mode's, unless a bit of mstatus keeps them from it."""
    require_hypervisor(hart)
    if hart.mode == U or (hart.mode == S and hart.mstatus & trapped != 0):
        raise illegal_instruction(hart)


@insn("hfence.vvma rs1, rs2", "0010001 rs2 rs1 000 00000 1110011", extension="H", kind=SYSTEM)
def hfence_vvma(hart: Hart, rs1: u64, rs2: u64, rs1_index: u64, rs2_index: u64) -> None:
    """Later VS-stage translations see earlier stores to the guest's page tables."""
    require_fences(hart, 0)
    fence(hart, rs1, rs2, rs1_index, rs2_index, OF_VIRTUAL)


@insn("hfence.gvma rs1, rs2", "0110001 rs2 rs1 000 00000 1110011", extension="H", kind=SYSTEM)
def hfence_gvma(hart: Hart, rs1: u64, rs2: u64, rs1_index: u64, rs2_index: u64) -> None:
    """The same for the G-stage; rs1 holds a guest physical address shifted right by two."""
    require_fences(hart, STATUS_TVM)
    fence(hart, rs1 << 2, rs2, rs1_index, rs2_index, OF_GUEST)


@insn("hinval.vvma rs1, rs2", "0010011 rs2 rs1 000 00000 1110011", extension="Svinval", kind=SYSTEM)
def hinval_vvma(hart: Hart, rs1: u64, rs2: u64, rs1_index: u64, rs2_index: u64) -> None:
    """hfence.vvma without its ordering."""
    require_fences(hart, 0)
    fence(hart, rs1, rs2, rs1_index, rs2_index, OF_VIRTUAL)


@insn("hinval.gvma rs1, rs2", "0110011 rs2 rs1 000 00000 1110011", extension="Svinval", kind=SYSTEM)
def hinval_gvma(hart: Hart, rs1: u64, rs2: u64, rs1_index: u64, rs2_index: u64) -> None:
    """hfence.gvma without its ordering."""
    require_fences(hart, STATUS_TVM)
    fence(hart, rs1 << 2, rs2, rs1_index, rs2_index, OF_GUEST)
