"""How floating-point instructions meet the hart: NaN boxing, rounding modes, accrued flags, shapes.

An instruction of `rv_f.py`, `rv_d.py` or `rv_zfh.py` is one of these shapes over one operation of
`softfloat`. mstatus.FS is not looked at here: engines check it for every instruction with floats.
"""

from __future__ import annotations

from ringzero.isa.extend import sext32
from ringzero.isa.hart import Hart
from ringzero.isa.privileged.trap import dirty_fp, illegal_instruction
from ringzero.isa.softfloat import (
    RMM,
    Format,
    convert_format,
    from_signed,
    from_unsigned,
    to_integer,
)
from ringzero.lang import Fixed, Native, native, u64, unlikely

DYNAMIC = 7  # rm: the mode is in fcsr.frm
FRM = 5  # where frm stands in fcsr
Operation = Native[..., tuple[u64, u64]]  # of softfloat: a result, and the flags it raises


@native(inline=True)
def box(fmt: Format, value: u64) -> u64:
    """A value as a register holds it: ones above it ("D" §21.2)."""
    return value | fmt.box


@native(inline=True)
def unbox(fmt: Format, register: u64) -> u64:
    """The value in a register; one that is not properly boxed counts as the canonical NaN."""
    if fmt.box == 0:
        return register
    return register & fmt.mask if register >= fmt.box else u64(fmt.nan)


@native(inline=True)
def rounding(hart: Hart, rm: u64) -> u64:
    """The rounding mode that rm selects; reserved modes are illegal instructions ("F" §20.2)."""
    mode = (hart.fcsr >> FRM) & 7 if rm == DYNAMIC else rm
    if unlikely(mode > RMM):
        raise illegal_instruction(hart)
    return mode


@native(inline=True)
def accrue(hart: Hart, flags: u64) -> None:
    """Add exception flags to fcsr.fflags; raising one makes FS Dirty."""
    if flags != 0:
        hart.fcsr = hart.fcsr | flags
        dirty_fp(hart)


@native(inline=True)
def one(hart: Hart, fmt: Format, operation: Operation, a: u64, rm: u64) -> u64:
    """An operation of one operand that rounds: square root."""
    value, flags = operation(unbox(fmt, a), rounding(hart, rm))
    accrue(hart, flags)
    return box(fmt, value)


@native(inline=True)
def two(hart: Hart, fmt: Format, operation: Operation, a: u64, b: u64, rm: u64) -> u64:
    """An operation of two operands that rounds."""
    value, flags = operation(unbox(fmt, a), unbox(fmt, b), rounding(hart, rm))
    accrue(hart, flags)
    return box(fmt, value)


@native(inline=True)
def fused(
    hart: Hart, fmt: Format, operation: Operation, signs: int, a: u64, b: u64, c: u64, rm: u64
) -> u64:
    """a * b + c rounded once; `signs` bit 0 negates the product, bit 1 the addend."""
    factor = unbox(fmt, a) ^ (fmt.sign if signs & 1 else 0)
    addend = unbox(fmt, c) ^ (fmt.sign if signs & 2 else 0)
    value, flags = operation(factor, unbox(fmt, b), addend, rounding(hart, rm))
    accrue(hart, flags)
    return box(fmt, value)


@native(inline=True)
def chosen(hart: Hart, fmt: Format, operation: Operation, a: u64, b: u64) -> u64:
    """Minimum or maximum."""
    value, flags = operation(fmt, unbox(fmt, a), unbox(fmt, b))
    accrue(hart, flags)
    return box(fmt, value)


@native(inline=True)
def compared(hart: Hart, fmt: Format, operation: Operation, a: u64, b: u64) -> u64:
    """A comparison: its result goes to an integer register."""
    value, flags = operation(fmt, unbox(fmt, a), unbox(fmt, b))
    accrue(hart, flags)
    return value


@native(inline=True)
def converted(hart: Hart, source: Format, target: Format, a: u64, rm: u64) -> u64:
    """A number in another format."""
    value, flags = convert_format(source, target, unbox(source, a), rounding(hart, rm))
    accrue(hart, flags)
    return box(target, value)


@native(inline=True)
def integer(hart: Hart, fmt: Format, kind: type[Fixed], a: u64, rm: u64) -> u64:
    """A number as an integer; words are sign-extended, unsigned ones too ("F" §20.7)."""
    value, flags = to_integer(fmt, kind, unbox(fmt, a), rounding(hart, rm))
    accrue(hart, flags)
    if kind.bits == 32:
        return sext32(value)
    return value


@native(inline=True)
def floating(hart: Hart, fmt: Format, kind: type[Fixed], value: u64, rm: u64) -> u64:
    """An integer as a number of a format; `kind` says which bits of the register are read."""
    mode = rounding(hart, rm)
    if kind.signed:
        bits, flags = from_signed(fmt, u64(kind(value)), mode)
    else:
        bits, flags = from_unsigned(fmt, u64(kind(value)), mode)
    accrue(hart, flags)
    return box(fmt, bits)
