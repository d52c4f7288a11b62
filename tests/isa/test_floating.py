"""How floating-point instructions meet the hart: boxing in loads, stores of raw bits, rm, flags."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.isa.floating import accrue, box, rounding, unbox
from ringzero.isa.hart import Hart, M
from ringzero.isa.instructions import rv_d, rv_f, rv_zfh
from ringzero.isa.privileged.trap import ILLEGAL_INSTRUCTION, Trap
from ringzero.isa.softfloat import DOUBLE, HALF, NV, NX, OF, SINGLE, Format
from ringzero.lang import u64

RAM = 0x8000_0000
REGISTER = 0x0123_4567_89AB_CDEF


class Ram:
    """Ports of a hart with 64 bytes of memory."""

    def __init__(self) -> None:
        self.bytes = bytearray(range(0xC0, 0x100))

    def physical_read(self, hart: Hart, kind: Any, address: int) -> tuple[u64, bool]:
        at, size = address - RAM, kind.bits // 8
        return u64(int.from_bytes(self.bytes[at : at + size], "little")), True

    def physical_write(self, hart: Hart, kind: Any, address: int, value: int) -> bool:
        at, size = address - RAM, kind.bits // 8
        self.bytes[at : at + size] = (int(value) % (1 << kind.bits)).to_bytes(size, "little")
        return True


@pytest.fixture
def hart() -> Hart:
    made = Hart()
    made.mode, made.host = u64(M), Ram()
    return made


def test_loads_box_what_is_narrower_than_the_register(hart: Hart) -> None:
    assert int(rv_zfh.flh(hart, RAM, 8)) == 0xFFFF_FFFF_FFFF_C9C8
    assert int(rv_f.flw(hart, RAM, 8)) == 0xFFFF_FFFF_CBCA_C9C8
    assert int(rv_d.fld(hart, RAM, 8)) == 0xCFCE_CDCC_CBCA_C9C8


@pytest.mark.parametrize(("store", "size"), [(rv_zfh.fsh, 2), (rv_f.fsw, 4), (rv_d.fsd, 8)])
def test_stores_write_the_low_bits_boxed_or_not(hart: Hart, store: Any, size: int) -> None:
    store(hart, RAM + 16, REGISTER, u64(-8))
    assert hart.host.bytes[8:16] == REGISTER.to_bytes(8, "little")[:size] + bytes(
        range(0xC8 + size, 0xD0)
    )


@pytest.mark.parametrize("fmt", [HALF, SINGLE])
def test_what_is_not_boxed_is_a_nan(fmt: Format) -> None:
    one = fmt.bias << fmt.fraction
    assert int(box(fmt, one)) == one + (1 << 64) - (1 << fmt.width)
    assert int(unbox(fmt, box(fmt, one))) == one
    for bit in range(fmt.width, 64):
        assert int(unbox(fmt, int(box(fmt, one)) ^ (1 << bit))) == fmt.nan


def test_doubles_need_no_box() -> None:
    assert int(box(DOUBLE, REGISTER)) == int(unbox(DOUBLE, REGISTER)) == REGISTER


def test_rm_selects_the_mode_or_defers_to_frm(hart: Hart) -> None:
    for frm in range(8):
        hart.fcsr = u64(frm << 5)
        assert [int(rounding(hart, rm)) for rm in range(5)] == [0, 1, 2, 3, 4]
        if frm < 5:
            assert int(rounding(hart, 7)) == frm


@pytest.mark.parametrize(("rm", "frm"), [(5, 0), (6, 0), (7, 5), (7, 6), (7, 7)])
def test_reserved_modes_are_illegal_and_change_nothing(hart: Hart, rm: int, frm: int) -> None:
    hart.fcsr = u64(frm << 5)
    with pytest.raises(Trap):
        rv_d.fdiv_d(hart, DOUBLE.bias << 52, 0, rm)
    assert (hart.cause, hart.fcsr) == (ILLEGAL_INSTRUCTION, frm << 5)


def test_flags_accrue_beside_frm(hart: Hart) -> None:
    hart.fcsr = u64(3 << 5 | OF)
    accrue(hart, NX)
    assert hart.fcsr == 3 << 5 | OF | NX
    rv_d.fsqrt_d(hart, 0xBFF0_0000_0000_0000, 7)
    assert hart.fcsr == 3 << 5 | NV | OF | NX


@pytest.mark.parametrize("module", [rv_f, rv_d, rv_zfh])
def test_footprints_say_what_becomes_dirty(module: Any) -> None:
    letter = {rv_f: "s", rv_d: "d", rv_zfh: "h"}[module]
    width = {rv_f: "w", rv_d: "d", rv_zfh: "h"}[module]
    add, eq = getattr(module, f"fadd_{letter}"), getattr(module, f"feq_{letter}")
    move, store = getattr(module, f"fmv_x_{width}"), getattr(module, f"fs{width}")
    assert (add.floats, add.dirties_floats, add.writes_floats) == (True, True, True)
    assert (eq.floats, eq.dirties_floats, eq.writes_floats) == (True, False, False)
    assert (move.floats, move.dirties_floats) == (True, False)
    assert (store.floats, store.memory, store.dirties_floats) == (True, True, False)
