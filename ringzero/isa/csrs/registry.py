"""All CSRs together: reading and writing one by its number, as an instruction does."""

from __future__ import annotations

from ringzero.isa.csr import BY_NAME, CSRS, Csr, read_csr, write_csr
from ringzero.isa.csrs import guest, hypervisor, machine, protection, supervisor, user
from ringzero.isa.hart import Hart, M, S
from ringzero.isa.privileged.trap import illegal_instruction, virtual_instruction
from ringzero.lang import native, u64

DEFINITIONS = (user, supervisor, machine, protection, hypervisor, guest)
ALL: tuple[type[Csr], ...] = tuple(sorted(CSRS, key=lambda csr: csr.first))
NUMBERS: dict[str, int] = dict(sorted(BY_NAME.items(), key=lambda item: item[1]))


HS = 2  # the rank of S-mode with V=0: bits 9:8 of the numbers that are the hypervisor's


@native
def permit(hart: Hart, csr: type[Csr], number: u64, writing: bool) -> None:
    """What the number says (bits 9:8 the lowest mode, 11:10 = 3 read-only), and what guards say."""
    if writing and number >> 10 == 3:
        raise illegal_instruction(hart)
    for guard in csr.guards:
        if not guard(hart, number):
            raise illegal_instruction(hart)
    rank = hart.mode
    if rank == S and hart.virtual == 0:
        rank = u64(HS)
    lowest = (number >> 8) & 3
    if rank < lowest:
        if hart.virtual != 0 and lowest < M:  # HS-mode may
            raise virtual_instruction(hart)
        raise illegal_instruction(hart)
    for guard in csr.guest_guards:
        if hart.virtual != 0 and not guard(hart, number):
            raise virtual_instruction(hart)


@native(inline=True)
def matches(csr: type[Csr], number: u64) -> bool:
    """Whether a number is the CSR's, or that of one in its row."""
    if csr.first == csr.last:
        return number == csr.first
    if csr.step == 1:
        return csr.first <= number <= csr.last
    return csr.first <= number <= csr.last and (number - csr.first) % csr.step == 0


@native(inline=False)
def csr_read(hart: Hart, number: u64) -> u64:
    """The value that an instruction reads, or the exception that it raises."""
    for csr in ALL:
        if matches(csr, number):
            permit(hart, csr, number, False)
            if csr.guest is not None:
                if hart.virtual != 0:
                    return read_csr(hart, csr.guest, number)
            return read_csr(hart, csr, number)
    raise illegal_instruction(hart)


@native(inline=False)
def csr_write(hart: Hart, number: u64, value: u64) -> None:
    """Write as an instruction does, or raise its exception."""
    for csr in ALL:
        if matches(csr, number):
            permit(hart, csr, number, True)
            if csr.guest is not None:
                if hart.virtual != 0:
                    write_csr(hart, csr.guest, number, value)
                    return
            write_csr(hart, csr, number, value)
            return
    raise illegal_instruction(hart)
