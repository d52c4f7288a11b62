"""All CSRs together: reading and writing one by its number, as an instruction does."""

from __future__ import annotations

from ringzero.isa import csrs_machine, csrs_protection, csrs_supervisor, csrs_user
from ringzero.isa.csr import BY_NAME, CSRS, Csr, read_csr, write_csr
from ringzero.isa.hart import Hart
from ringzero.isa.trap import illegal_instruction
from ringzero.lang import native, u64

DEFINITIONS = (csrs_user, csrs_supervisor, csrs_machine, csrs_protection)
ALL: tuple[type[Csr], ...] = tuple(sorted(CSRS, key=lambda csr: csr.first))
NUMBERS: dict[str, int] = dict(sorted(BY_NAME.items(), key=lambda item: item[1]))


@native
def check_number(hart: Hart, number: u64, writing: bool) -> None:
    """What a CSR's number says: bits 9:8 the lowest mode, bits 11:10 = 3 read-only."""
    if hart.mode < (number >> 8) & 3:
        raise illegal_instruction(hart)
    if writing and number >> 10 == 3:
        raise illegal_instruction(hart)


@native(inline=True)
def matches(csr: type, number: u64) -> bool:
    """Whether a number is the CSR's, or that of one in its row."""
    if csr.first == csr.last:
        return number == csr.first
    if csr.step == 1:
        return csr.first <= number <= csr.last
    return csr.first <= number <= csr.last and (number - csr.first) % csr.step == 0


@native(inline=False)
def csr_read(hart: Hart, number: u64) -> u64:
    """The value that an instruction reads, or an illegal instruction."""
    check_number(hart, number, False)
    for csr in ALL:
        if matches(csr, number):
            for guard in csr.guards:
                if not guard(hart, number):
                    raise illegal_instruction(hart)
            return read_csr(hart, csr, number)
    raise illegal_instruction(hart)


@native(inline=False)
def csr_write(hart: Hart, number: u64, value: u64) -> None:
    """Write as an instruction does, or an illegal instruction."""
    check_number(hart, number, True)
    for csr in ALL:
        if matches(csr, number):
            for guard in csr.guards:
                if not guard(hart, number):
                    raise illegal_instruction(hart)
            write_csr(hart, csr, number, value)
            return
    raise illegal_instruction(hart)
