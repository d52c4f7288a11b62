"""Loads, stores, atomics and cache blocks on a bare hart with a little memory."""

from __future__ import annotations

from typing import Any

import pytest

from ringzero.isa.hart import Hart, M, S, U
from ringzero.isa.privileged.trap import ILLEGAL_INSTRUCTION, LOAD_ACCESS, STORE_ACCESS, Trap
from ringzero.isa.registry import BY_NAME
from ringzero.lang import convert, peek, poke, u64
from ringzero.lang.operations import atomic, compare_exchange

BASE, SIZE = 0x8000_0000, 256


class Memory:
    """The ports of a hart, over a bytearray."""

    def __init__(self) -> None:
        self.bytes = bytearray(SIZE)

    def _at(self, kind: Any, address: int) -> int | None:
        offset = int(address) - BASE
        return offset if 0 <= offset <= SIZE - kind.bits // 8 else None

    def physical_read(self, hart: Hart, kind: Any, address: u64) -> tuple[u64, bool]:
        at = self._at(kind, address)
        return (u64(0), False) if at is None else (u64(int(peek(kind, self.bytes, at))), True)

    def physical_write(self, hart: Hart, kind: Any, address: u64, value: u64) -> bool:
        at = self._at(kind, address)
        if at is not None:
            poke(kind, self.bytes, at, kind(int(value)))
        return at is not None

    def physical_amo(
        self, hart: Hart, operation: str, kind: Any, address: u64, operand: u64
    ) -> tuple[u64, bool]:
        at = self._at(kind, address)
        if at is None:
            return u64(0), False
        old = atomic(operation, kind, self.bytes, at, kind(int(operand)))
        return u64(int(old)), True

    def physical_compare_exchange(
        self, hart: Hart, kind: Any, address: u64, expected: u64, value: u64
    ) -> tuple[bool, bool]:
        at = self._at(kind, address)
        if at is None:
            return False, False
        done = compare_exchange(kind, self.bytes, at, kind(int(expected)), kind(int(value)))
        return done, True


@pytest.fixture
def hart() -> Hart:
    made = Hart()
    made.host = Memory()
    made.mode = M
    made.reservation = (1 << 64) - 1
    return made


def run(name: str, hart: Hart, *values: int) -> Any:
    return BY_NAME[name](hart, *(convert(u64, u64(value)) for value in values))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lb", -0x78), ("lbu", 0x88), ("lh", -0x6678), ("lhu", 0x9988),
        ("lw", -0x44556678), ("lwu", 0xBBAA9988), ("ld", -0x0011223344556678),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_loads(hart: Hart, name: str, value: int, shift: int) -> None:
    hart.host.bytes[shift : shift + 8] = bytes.fromhex("8899aabbccddeeff")
    assert run(name, hart, BASE + 16, shift - 16) == u64(value)


@pytest.mark.parametrize(("name", "size"), [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
@pytest.mark.parametrize("shift", [0, 3])
def test_stores(hart: Hart, name: str, size: int, shift: int) -> None:
    hart.host.bytes[:16] = b"." * 16
    run(name, hart, BASE, 0x8877_6655_4433_2211, shift)
    data = b"\x11\x22\x33\x44\x55\x66\x77\x88"[:size]
    assert hart.host.bytes[:16] == (b"." * shift + data).ljust(16, b".")


def amo_model(name: str, old: int, operand: int, bits: int) -> int:
    def sign(value: int) -> int:
        return value - (1 << bits) if value >> (bits - 1) else value

    mask = (1 << bits) - 1
    a, b = old & mask, operand & mask
    return {
        "swap": b, "add": a + b & mask, "xor": a ^ b, "and": a & b, "or": a | b,
        "min": min(a, b, key=sign), "max": max(a, b, key=sign), "minu": min(a, b),
        "maxu": max(a, b),
    }[name]  # fmt: skip


OPERATIONS = ("swap", "add", "xor", "and", "or", "min", "max", "minu", "maxu")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("suffix", "bits"), [("w", 32), ("d", 64)])
def test_amo(hart: Hart, name: str, suffix: str, bits: int) -> None:
    operand, size = 0x7000_0000_9000_0001, bits // 8
    for old in (5, 0x8000_0000_F000_0000, (1 << 64) - 1):
        hart.host.bytes[8:16] = old.to_bytes(8, "little")
        before = run(f"amo{name}.{suffix}", hart, BASE + 8, operand)
        seen = int.from_bytes(hart.host.bytes[8 : 8 + size], "little")
        assert seen == amo_model(name, old, operand, bits)
        low = old & (1 << bits) - 1
        assert before == u64(low - (1 << bits) if low >> (bits - 1) else low)
        assert hart.host.bytes[8 + size : 16] == old.to_bytes(8, "little")[size:]


@pytest.mark.parametrize(("suffix", "size"), [("w", 4), ("d", 8)])
def test_lr_and_sc(hart: Hart, suffix: str, size: int) -> None:
    lr, sc, value = f"lr.{suffix}", f"sc.{suffix}", 0x1122_3344_9988_7766
    hart.host.bytes[:8] = b"\xf0" * 8
    assert run(sc, hart, BASE, value) == 1  # no reservation
    assert run(lr, hart, BASE) == u64(int.from_bytes(b"\xf0" * size, "little", signed=True))
    assert run(sc, hart, BASE, value) == 0
    assert hart.host.bytes[:8] == value.to_bytes(8, "little")[:size] + b"\xf0" * (8 - size)
    assert run(sc, hart, BASE, value) == 1  # sc gives the reservation up
    run(lr, hart, BASE)
    hart.host.bytes[0] ^= 1  # somebody else writes
    assert run(sc, hart, BASE, value) == 1


@pytest.mark.parametrize(
    ("name", "values", "cause"),
    [
        ("ld", (0, 0), LOAD_ACCESS),
        ("sw", (0, 1, 0), STORE_ACCESS),
        ("amoadd.d", (0, 1), STORE_ACCESS),
        ("lr.w", (0,), LOAD_ACCESS),
        ("sc.w", (0, 1), STORE_ACCESS),
        ("cbo.zero", (0,), STORE_ACCESS),
    ],
)
def test_where_nothing_is(hart: Hart, name: str, values: Any, cause: int) -> None:
    with pytest.raises(Trap):
        run(name, hart, *values)
    assert (hart.cause, hart.tval) == (cause, 0)


@pytest.mark.parametrize("name", ["amoadd.w", "amoswap.d", "sc.w"])
def test_misaligned_atomics_raise(hart: Hart, name: str) -> None:
    with pytest.raises(Trap):
        run(name, hart, BASE + 2, 1)
    assert hart.tval == BASE + 2


def test_cbo_zero(hart: Hart) -> None:
    hart.host.bytes[:] = b"." * SIZE
    run("cbo.zero", hart, BASE + 64 + 17)
    assert hart.host.bytes == b"." * 64 + bytes(64) + b"." * 128


CBIE_ANY, CBCFE, CBZE = 3 << 4, 1 << 6, 1 << 7


@pytest.mark.parametrize(
    ("name", "bits"),
    [("cbo.inval", CBIE_ANY), ("cbo.clean", CBCFE), ("cbo.flush", CBCFE), ("cbo.zero", CBZE)],
)
def test_envcfg_permits_cache_blocks(hart: Hart, name: str, bits: int) -> None:
    run(name, hart, BASE)
    allow_all(hart)
    for mode, machine, supervisor, allowed in [
        (S, bits, 0, True),
        (S, 0xF0 & ~bits, 0xF0, False),
        (U, bits, bits, True),
        (U, bits, 0xF0 & ~bits, False),
        (U, 0xF0 & ~bits, bits, False),
    ]:
        hart.mode, hart.menvcfg, hart.senvcfg = mode, machine, supervisor
        if allowed:
            run(name, hart, BASE)
        else:
            with pytest.raises(Trap):
                run(name, hart, BASE)
            assert hart.cause == ILLEGAL_INSTRUCTION


def allow_all(hart: Hart) -> None:
    """A PMP entry that lets lower modes reach everything."""
    hart.pmpaddr[0] = (1 << 54) - 1
    hart.pmpcfg[0] = 0x1F


def test_hints_do_nothing() -> None:
    for name in ("fence", "wrs.nto", "wrs.sto"):
        assert BY_NAME[name]() is None
