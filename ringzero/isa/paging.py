"""Address translation: Sv39, Sv48, Sv57 with Svnapot, Svpbmt, Svade and Svadu.

`walk` takes its root as an argument, so a shadow walk or a two-stage walk can reuse it. It fills a
`Translation` that tells an engine how much it may cache; `translate` is what one access needs.
Privileged spec 12.3.2 (the algorithm), chapters 13 (Svnapot), 14 (Svpbmt), 16 (Svadu).
"""

from __future__ import annotations

from ringzero.isa.hart import Hart, M, S
from ringzero.isa.pmp import ALL, EXECUTE, READ, WRITE, pmp_permissions
from ringzero.isa.ports import physical_compare_exchange, physical_read
from ringzero.isa.trap import FETCH, STORE, access_fault, page_fault
from ringzero.lang import Struct, native, u64

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
RESERVED = 0x7F << 54
PBMT = 3 << 61
N = 1 << 63
PPN = ((1 << 44) - 1) << 10

BARE, SV39, SV48, SV57 = 0, 8, 9, 10

STATUS_MPRV, STATUS_SUM, STATUS_MXR = 1 << 17, 1 << 18, 1 << 19
ADUE, PBMTE = 1 << 61, 1 << 62  # menvcfg

NEEDED = (EXECUTE, READ, WRITE)  # by kind of access
PAGE = 4096


class Translation(Struct):
    """One virtual page's mapping, as far as an engine may cache it."""

    physical: u64  # of the address that was asked for
    size: u64  # of the naturally aligned page around it: 4 KiB and more
    permissions: u64  # READ, WRITE (only once D is set), EXECUTE for the mode that walked
    user: bool
    everyone: bool  # the G bit: valid in all address spaces
    memory_type: u64  # Svpbmt: 0 as the region says, 1 non-cacheable, 2 input/output


@native
def effective_mode(hart: Hart, access: int) -> u64:
    """The mode whose rights an access has: loads and stores may borrow MPP's (MPRV)."""
    if access != FETCH and hart.mstatus & STATUS_MPRV != 0:
        return (hart.mstatus >> 11) & 3
    return hart.mode


@native
def translate(hart: Hart, address: u64, access: int) -> u64:
    """The physical address that an access to one byte reaches, or the fault."""
    return translate_span(hart, address, access, 1)


@native
def translate_span(hart: Hart, address: u64, access: int, size: u64) -> u64:
    """The same for an access to `size` bytes within one page."""
    mode = effective_mode(hart, access)
    physical = address
    if mode != M and hart.satp >> 60 != BARE:
        found = Translation()
        walk(hart, hart.satp, address, access, mode, found)
        physical = found.physical
    if pmp_permissions(hart, physical, size, mode) & NEEDED[access] == 0:
        raise access_fault(hart, address, access)
    return physical


@native
def translate_page(hart: Hart, address: u64, access: int, out: Translation) -> None:
    """What a translation cache needs: the page around `address`, with PMP's opinion of 4 KiB.

    Permissions hold for the access's effective mode under the present SUM and MXR. When they lack
    the access itself although no fault was raised, PMP divides the page: do not cache it.
    """
    mode = effective_mode(hart, access)
    if mode != M and hart.satp >> 60 != BARE:
        walk(hart, hart.satp, address, access, mode, out)
    else:
        out.physical = address
        out.size = PAGE
        out.permissions = ALL
        out.user = False
        out.everyone = True
        out.memory_type = 0
    page = out.physical & ~(PAGE - 1)
    out.permissions = out.permissions & pmp_permissions(hart, page, PAGE, mode)


@native
def walk(hart: Hart, root: u64, address: u64, access: int, mode: u64, out: Translation) -> None:
    """Find the leaf for `address` below the tables that `root` (a satp value) names."""
    level = (root >> 60) - SV39 + 2
    unused = 64 - (level * 9 + 21)
    if not canonical(address, unused):
        raise page_fault(hart, address, access)
    table = (root & ((1 << 44) - 1)) << 12
    pte = u64(0)
    where = u64(0)
    searching = True
    while searching:
        where = table + (((address >> (level * 9 + 12)) & 511) << 3)
        pte = read_entry(hart, where, address, access)
        if not well_formed(hart, pte):
            raise page_fault(hart, address, access)
        if pte & (R | W | X) != 0:
            searching = False
        else:
            if level == 0 or pte & (D | A | U | N | PBMT) != 0:
                raise page_fault(hart, address, access)
            level = level - 1
            table = (pte & PPN) << 2
    finish(hart, where, pte, level, address, access, mode, out)


@native
def canonical(address: u64, unused: u64) -> bool:
    """Whether the `unused` top bits repeat the bit below them."""
    top = address >> (63 - unused)
    return top == 0 or top == (u64(2) << unused) - 1


@native
def read_entry(hart: Hart, where: u64, address: u64, access: int) -> u64:
    """One page table entry; walking is done with S-mode's rights to physical memory."""
    if pmp_permissions(hart, where, 8, S) & READ == 0:
        raise access_fault(hart, address, access)
    pte, answered = physical_read(hart, u64, where)
    if not answered:
        raise access_fault(hart, address, access)
    return pte


@native
def well_formed(hart: Hart, pte: u64) -> bool:
    """Valid, without reserved bits or reserved combinations."""
    if pte & V == 0 or pte & (R | W) == W or pte & RESERVED != 0:
        return False
    if hart.menvcfg & PBMTE == 0:
        return pte & PBMT == 0
    return pte & PBMT != PBMT


@native
def finish(
    hart: Hart, where: u64, pte: u64, level: u64, address: u64, access: int, mode: u64,
    out: Translation,
) -> None:  # fmt: skip
    """A leaf was found: check it, keep A and D, and describe the page."""
    allowed = leaf_permissions(hart, pte, mode)
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
        pte = pte | update_entry(hart, where, pte, needed, address, access)
    if pte & D == 0:
        allowed = allowed & ~WRITE
    out.physical = base | (address & within)
    out.size = within + 1
    out.permissions = allowed
    out.user = pte & U != 0
    out.everyone = pte & G != 0
    out.memory_type = (pte >> 61) & 3


@native
def leaf_permissions(hart: Hart, pte: u64, mode: u64) -> u64:
    """What a leaf permits a mode, with SUM and MXR as they are."""
    allowed = (pte >> 1) & ALL
    if hart.mstatus & STATUS_MXR != 0 and pte & X != 0:
        allowed = allowed | READ
    if mode == S:
        if pte & U != 0:
            if hart.mstatus & STATUS_SUM == 0:
                return 0
            allowed = allowed & ~EXECUTE
    elif pte & U == 0:
        return 0
    return allowed


@native
def update_entry(hart: Hart, where: u64, pte: u64, needed: u64, address: u64, access: int) -> u64:
    """Svadu: set A (and D) in memory, in one step with the check that the entry still stands."""
    if hart.menvcfg & ADUE == 0:
        raise page_fault(hart, address, access)
    if pmp_permissions(hart, where, 8, S) & WRITE == 0:
        raise access_fault(hart, address, access)
    current = pte
    swapped = False
    while not swapped:
        swapped, answered = physical_compare_exchange(hart, u64, where, current, current | needed)
        if not answered:
            raise access_fault(hart, address, access)
        if not swapped:
            current = read_entry(hart, where, address, access)
            if (current ^ pte) & ~(A | D) != 0:
                raise page_fault(hart, address, access)
    return needed
