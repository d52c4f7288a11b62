"""Address translation: Sv39, Sv48, Sv57 with Svnapot, Svpbmt, Svade and Svadu, in two stages.

One walk serves all stages: HS's own tables, VS's, whose every entry is reached through the G-stage,
and the G-stage's. It fills a `Translation` that tells an engine how much it may cache; `translate`
is what one access needs. Privileged spec 12.3.2 (the algorithm), chapters 13 (Svnapot), 14
(Svpbmt), 16 (Svadu), 21.5 (two stages).
"""

from __future__ import annotations

from ringzero.isa.hart import Hart, M, S
from ringzero.isa.ports import physical_compare_exchange, physical_read
from ringzero.isa.privileged.pmp import ALL, EXECUTE, READ, WRITE, pmp_permissions
from ringzero.isa.privileged.trap import (
    FETCH,
    FETCH_PAGE,
    LOAD,
    STATUS_MPRV,
    STORE,
    Trap,
    access_fault,
    data_of_guest,
    guest_page_fault,
    page_fault,
)
from ringzero.lang import Struct, native, u64

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
RESERVED = 0x7F << 54
PBMT = 3 << 61
N = 1 << 63
PPN = ((1 << 44) - 1) << 10

BARE, SV39, SV48, SV57 = 0, 8, 9, 10

STATUS_SUM, STATUS_MXR = 1 << 18, 1 << 19
ADUE, PBMTE = 1 << 61, 1 << 62  # menvcfg

NEEDED = (EXECUTE, READ, WRITE)  # by kind of access
PAGE = 4096

# What a walk is for: HS's (S's) own addresses, a guest's virtual ones, its physical ones, and those
# of them that are its page tables'. The last two walk the same tables and differ in what MXR and
# hlvx mean to them.
OWN, VIRTUAL, GUEST, TABLES = 0, 1, 2, 3

GUEST_LOAD, GUEST_EXECUTABLE = 1, 2  # Hart.guest_access: hlv and hsv; hlvx, which reads what runs
TABLE_READ, TABLE_WRITE = 0x3000, 0x3020  # htinst for the hardware's own accesses to tables


class Translation(Struct):
    """One virtual page's mapping, as far as an engine may cache it."""

    physical: u64  # of the address that was asked for
    size: u64  # of the naturally aligned page around it, 4 KiB and more: what a fence drops as one
    permissions: u64  # READ, WRITE (only once D is set), EXECUTE for the mode that walked
    user: bool
    everyone: bool  # the G bit: valid in all address spaces
    memory_type: u64  # Svpbmt: 0 as the region says, 1 non-cacheable, 2 input/output


@native
def effective_mode(hart: Hart, access: int) -> u64:
    """The mode whose rights an access has: loads and stores may borrow MPP's (MPRV) or SPVP's."""
    if access != FETCH:
        if hart.guest_access != 0:
            return (hart.hstatus >> 8) & 1
        if hart.mstatus & STATUS_MPRV != 0:
            return (hart.mstatus >> 11) & 3
    return hart.mode


@native
def effective_virtual(hart: Hart, access: int) -> bool:
    """Whether an access is to a guest virtual address."""
    if access != FETCH:
        return data_of_guest(hart)
    return hart.virtual != 0


@native
def translate(hart: Hart, address: u64, access: int) -> u64:
    """The physical address that an access to one byte reaches, or the fault."""
    return translate_span(hart, address, access, 1)


@native
def translate_span(hart: Hart, address: u64, access: int, size: u64) -> u64:
    """The same for an access to `size` bytes within one page."""
    mode = effective_mode(hart, access)
    physical = address
    if mode != M:
        if effective_virtual(hart, access):
            both = Translation()
            walk_two_stages(hart, address, access, mode, both)
            physical = both.physical
        elif hart.satp >> 60 != BARE:
            found = Translation()
            walk(hart, hart.satp, address, access, mode, found)
            physical = found.physical
    needed = u64(NEEDED[access])
    if access == LOAD and hart.guest_access == GUEST_EXECUTABLE:
        needed = needed | EXECUTE  # hlvx may read only what it may execute, here too (21.3.1)
    if pmp_permissions(hart, physical, size, mode) & needed != needed:
        raise access_fault(hart, address, access)
    return physical


@native
def translate_page(hart: Hart, address: u64, access: int, out: Translation) -> None:
    """What a translation cache needs: the page around `address`, with PMP's opinion of 4 KiB.

    Permissions hold for the access's effective mode under the present SUM and MXR. When they lack
    the access itself although no fault was raised, PMP divides the page: do not cache it.
    """
    mode = effective_mode(hart, access)
    if mode != M and effective_virtual(hart, access):
        walk_two_stages(hart, address, access, mode, out)
    elif mode != M and hart.satp >> 60 != BARE:
        walk(hart, hart.satp, address, access, mode, out)
    else:
        identity(address, out)
    page = out.physical & ~(PAGE - 1)
    out.permissions = out.permissions & pmp_permissions(hart, page, PAGE, mode)


@native
def identity(address: u64, out: Translation) -> None:
    """What there is where nothing translates."""
    out.physical = address
    out.size = PAGE
    out.permissions = ALL
    out.user = False
    out.everyone = True
    out.memory_type = 0


@native
def walk(hart: Hart, root: u64, address: u64, access: int, mode: u64, out: Translation) -> None:
    """Find the leaf for `address` below the tables that `root` (a satp value) names."""
    walk_stage(hart, OWN, root, address, access, mode, out)


@native
def walk_two_stages(hart: Hart, address: u64, access: int, mode: u64, out: Translation) -> None:
    """A guest virtual address: vsatp's tables, and hgatp's for what they say.

    The page is as large as vsatp's tables have it: a fence of VS drops that much. Fences of the
    G-stage drop everything of the guest.
    """
    if hart.vsatp >> 60 != BARE:
        walk_stage(hart, VIRTUAL, hart.vsatp, address, access, mode, out)
    else:
        identity(address, out)
    second = Translation()
    walk_guest(hart, GUEST, out.physical, address, access, access, second)
    out.physical = second.physical
    out.permissions = out.permissions & second.permissions
    out.everyone = False
    if out.memory_type == 0:
        out.memory_type = second.memory_type


@native
def walk_guest(
    hart: Hart, stage: int, physical: u64, address: u64, kind: int, access: int, out: Translation
) -> None:
    """The G-stage: a guest-physical address that `kind` of access needs, on behalf of another.

    Its faults are those of the original `access` to the guest virtual `address` (21.5.3).
    """
    if hart.hgatp >> 60 == BARE:
        identity(physical, out)
        return
    try:
        walk_stage(hart, stage, hart.hgatp, physical, kind, u64(0), out)
    except Trap:
        if hart.cause < FETCH_PAGE:
            raise access_fault(hart, address, access)  # noqa: B904 (the payload is in the hart)
        tinst = u64(0)
        if stage == TABLES:
            tinst = u64(TABLE_WRITE if kind == STORE else TABLE_READ)
        raise guest_page_fault(hart, address, access, physical, tinst)  # noqa: B904


@native
def table_address(hart: Hart, stage: int, where: u64, address: u64, kind: int, access: int) -> u64:
    """Where a page table entry is in physical memory: VS's tables are the guest's memory."""
    if stage != VIRTUAL:
        return where
    found = Translation()
    walk_guest(hart, TABLES, where, address, kind, access, found)
    return found.physical


@native
def walk_stage(
    hart: Hart, stage: int, root: u64, address: u64, access: int, mode: u64, out: Translation
) -> None:
    """Find the leaf for `address` below a root, for one of the stages.

    Again from the root where another hart changes the leaf just when A or D is to be set in it.
    """
    while not walk_down(hart, stage, root, address, access, mode, out):
        pass


@native
def walk_down(
    hart: Hart, stage: int, root: u64, address: u64, access: int, mode: u64, out: Translation
) -> bool:
    """One such walk; False if its leaf changed meanwhile."""
    level = (root >> 60) - SV39 + 2
    if not in_range(stage, address, level):
        raise page_fault(hart, address, access)
    table = (root & ((1 << 44) - 1)) << 12
    indices = u64(511)
    if stage >= GUEST:
        indices = u64(2047)  # the root is four times as large
    where = u64(0)
    pte = u64(0)
    searching = True
    while searching:
        where = table + (((address >> (level * 9 + 12)) & indices) << 3)
        pte = read_entry(hart, stage, where, address, access)
        if not well_formed(pte, environment(hart, stage)):
            raise page_fault(hart, address, access)
        if pte & (R | W | X) != 0:
            searching = False
        else:
            if level == 0 or pte & (D | A | U | N | PBMT) != 0:
                raise page_fault(hart, address, access)
            level = level - 1
            table = (pte & PPN) << 2
            indices = u64(511)
    return finish(hart, stage, where, pte, level, address, access, mode, out)


@native
def in_range(stage: int, address: u64, level: u64) -> bool:
    """Whether an address has no more bits than a root at `level` translates."""
    if stage >= GUEST:
        return address >> (level * 9 + 23) == 0
    return canonical(address, 64 - (level * 9 + 21))


@native
def canonical(address: u64, unused: u64) -> bool:
    """Whether the `unused` top bits repeat the bit below them."""
    top = address >> (63 - unused)
    return top == 0 or top == (u64(2) << unused) - 1


@native
def environment(hart: Hart, stage: int) -> u64:
    """The envcfg register that switches a stage's ADUE and PBMTE."""
    if stage == VIRTUAL:
        return hart.menvcfg & hart.henvcfg
    return hart.menvcfg


@native
def read_entry(hart: Hart, stage: int, where: u64, address: u64, access: int) -> u64:
    """One page table entry; walking is done with S-mode's rights to physical memory."""
    place = table_address(hart, stage, where, address, LOAD, access)
    if pmp_permissions(hart, place, 8, S) & READ == 0:
        raise access_fault(hart, address, access)
    pte, answered = physical_read(hart, u64, place)
    if not answered:
        raise access_fault(hart, address, access)
    return pte


@native
def well_formed(pte: u64, envcfg: u64) -> bool:
    """Valid, without reserved bits or reserved combinations."""
    if pte & V == 0 or pte & (R | W) == W or pte & RESERVED != 0:
        return False
    if envcfg & PBMTE == 0:
        return pte & PBMT == 0
    return pte & PBMT != PBMT


@native
def finish(
    hart: Hart, stage: int, where: u64, pte: u64, level: u64, address: u64, access: int, mode: u64,
    out: Translation,
) -> bool:  # fmt: skip
    """A leaf was found: check it, keep A and D, and describe the page. False if it has changed."""
    allowed = leaf_permissions(hart, stage, pte, mode)
    span = level * 9 + 12
    base = (pte & PPN) << 2
    if pte & N != 0:
        span = 16  # the only size of Svnapot: sixteen pages, told by PPN[3:0] = 1000
        if level != 0 or (pte >> 10) & 15 != 8:
            raise page_fault(hart, address, access)
        base = base & ~(15 << 12)
    within = (u64(1) << span) - 1
    if allowed & NEEDED[access] == 0 or base & within != 0:
        raise page_fault(hart, address, access)
    if access == STORE:
        needed = A | D
    else:
        needed = A
    if pte & needed != needed:
        if not update_entry(hart, stage, where, pte, needed, address, access):
            return False
        pte = pte | needed
    if pte & D == 0:
        allowed = allowed & ~WRITE
    out.physical = base | (address & within)
    out.size = within + 1
    out.permissions = allowed
    out.user = pte & U != 0
    out.everyone = pte & G != 0
    out.memory_type = (pte >> 61) & 3
    return True


@native
def leaf_permissions(hart: Hart, stage: int, pte: u64, mode: u64) -> u64:
    """What a leaf permits a mode, with SUM and MXR as they are; the G-stage's are U's pages."""
    allowed = (pte >> 1) & ALL
    if stage != TABLES and pte & X != 0 and execute_reads(hart, stage):
        allowed = allowed | READ
    if stage == VIRTUAL or stage == GUEST:
        if hart.guest_access == GUEST_EXECUTABLE and pte & X == 0:
            allowed = allowed & ~READ
    if stage >= GUEST:
        return allowed if pte & U != 0 else u64(0)
    status = hart.mstatus
    if stage == VIRTUAL:
        status = hart.vsstatus
    if mode == S:
        if pte & U != 0:
            if status & STATUS_SUM == 0:
                return 0
            allowed = allowed & ~EXECUTE
    elif pte & U == 0:
        return 0
    return allowed


@native
def execute_reads(hart: Hart, stage: int) -> bool:
    """Whether a load may read what is only executable: MXR, or hlvx."""
    if stage == OWN:
        return hart.mstatus & STATUS_MXR != 0
    if hart.guest_access == GUEST_EXECUTABLE:
        return True
    status = hart.mstatus
    if stage == VIRTUAL:
        status = status | hart.vsstatus
    return status & STATUS_MXR != 0


@native(cold=True)
def update_entry(
    hart: Hart, stage: int, where: u64, pte: u64, needed: u64, address: u64, access: int
) -> bool:
    """Svadu: set A (and D) in memory, in one step with the check that the entry still stands.

    False if it does not, but for other harts' setting of A and D.
    """
    if environment(hart, stage) & ADUE == 0:
        raise page_fault(hart, address, access)
    place = table_address(hart, stage, where, address, STORE, access)
    if pmp_permissions(hart, place, 8, S) & WRITE == 0:
        raise access_fault(hart, address, access)
    current = pte
    swapped = False
    while not swapped:
        swapped, answered = physical_compare_exchange(hart, u64, place, current, current | needed)
        if not answered:
            raise access_fault(hart, address, access)
        if not swapped:
            current = read_entry(hart, stage, where, address, access)
            if (current ^ pte) & ~(A | D) != 0:
                return False
    return True
