"""What the specification allows a call to be answered: SBI 2.0, and chapter 18 of 3.0.

Written from its text, beside and not from `board.sbi.arguments`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringzero.board import hypercalls, sbi
from tests.fuzz.sbi.guest import RESUMED, RETURNED, Call, Result

WORD = (1 << 64) - 1
NONE, BAD, UNSUPPORTED = sbi.SUCCESS, sbi.INVALID_PARAM, sbi.NOT_SUPPORTED
LEGACY = (
    sbi.LEGACY_SET_TIMER, sbi.LEGACY_CONSOLE_PUTCHAR, sbi.LEGACY_CONSOLE_GETCHAR,
)  # fmt: skip


@dataclass(frozen=True)
class Platform:
    """What a call is answered by: how many harts, which memory, and whether harts have H."""

    harts: int
    ram_start: int
    ram_end: int
    has_guests: bool
    hypercalls: bool = False  # docs/hypercalls.md

    def has(self, hart: int) -> bool:
        return hart < self.harts

    def holds(self, low: int, high: int, size: int) -> bool:
        """Whether all bytes of a range are memory of the supervisor's."""
        address = high << 64 | low
        return size == 0 or (self.ram_start <= address and address + size <= self.ram_end)


def allowed(call: Call, platform: Platform) -> set[int] | None:
    """The errors that a call may return; None where anything may be."""
    a0, a1, a2 = call.registers[:3]
    extension, function = call.extension, call.function
    if extension < 16:
        return None if extension in LEGACY else {UNSUPPORTED}
    if extension == sbi.BASE:
        return {NONE} if function <= sbi.GET_MIMPID else {UNSUPPORTED}
    if extension == sbi.TIME:
        return {NONE} if function == 0 else {UNSUPPORTED}
    if extension == sbi.IPI:
        return _masked(a0, a1, platform) if function == 0 else {UNSUPPORTED}
    if extension == sbi.RFENCE:
        if function > 6 or (function > 2 and not platform.has_guests):
            return {UNSUPPORTED}
        return _masked(a0, a1, platform)
    if extension == sbi.HSM:
        return _harts(function, a0, a1, platform)
    if extension == sbi.SRST:
        return {BAD} if function == 0 else {UNSUPPORTED}
    if extension == sbi.DBCN:
        if function > 2:
            return {UNSUPPORTED}
        return {NONE} if function == 2 or (platform.holds(a1, a2, a0) and a2 == 0) else {BAD}
    if extension == sbi.FWFT:
        return _features(function, a0 & 0xFFFF_FFFF, a1, a2)
    if extension == hypercalls.EXTENSION and platform.hypercalls:
        return _hypercall(function, a0, a1, a2, platform)
    return {UNSUPPORTED}


def _hypercall(function: int, a0: int, a1: int, a2: int, platform: Platform) -> set[int]:
    """The paravirtual interface, by docs/hypercalls.md."""
    if function == hypercalls.REGISTER:
        if a2 > hypercalls.ALWAYS_SUM:
            return {BAD}
        good = a0 == WORD or (a0 % 4096 == 0 and platform.holds(a0, 0, 4096))
        return {NONE} if good else {sbi.INVALID_ADDRESS}
    if function == hypercalls.SPACE:
        return {NONE, BAD}
    if function == hypercalls.FLUSH_MANY:
        if a1 > hypercalls.MOST_RANGES:
            return {BAD}
        good = a0 % 8 == 0 and (a1 == 0 or platform.holds(a0, 0, 16 * a1))
        return {NONE, sbi.INVALID_ADDRESS} if a1 == 0 else {NONE if good else sbi.INVALID_ADDRESS}
    if function == hypercalls.CONSOLE:
        return {NONE} if a1 <= hypercalls.MOST_BYTES and platform.holds(a0, 0, a1) else {BAD}
    return {NONE} if function <= hypercalls.EXIT else {UNSUPPORTED}


def _masked(mask: int, base: int, platform: Platform) -> set[int]:
    """Hart masks (3.1)."""
    if base == WORD or mask == 0:
        return {NONE}
    named = [base + bit for bit in range(64) if mask >> bit & 1]
    return {NONE} if all(platform.has(hart) for hart in named) else {BAD}


def _harts(function: int, a0: int, a1: int, platform: Platform) -> set[int]:
    """HSM (chapter 9)."""
    entry = a1 & 1 == 0 and platform.holds(a1, 0, 2)
    if function == sbi.HART_START:
        if not platform.has(a0):
            return {BAD}
        busy = sbi.ALREADY_AVAILABLE
        return {NONE, busy} if entry else {sbi.INVALID_ADDRESS, busy}
    if function == sbi.HART_GET_STATUS:
        return {NONE} if platform.has(a0) else {BAD}
    if function == sbi.HART_SUSPEND:
        kind = a0 & 0xFFFF_FFFF
        if kind not in (sbi.RETENTIVE, sbi.NON_RETENTIVE):
            return {BAD}
        return {NONE} if kind == sbi.RETENTIVE or entry else {sbi.INVALID_ADDRESS}
    return {UNSUPPORTED}


def _features(function: int, feature: int, value: int, flags: int) -> set[int]:
    """FWFT (SBI 3.0, chapter 18)."""
    if function > 1:
        return {UNSUPPORTED}
    if feature > sbi.POINTER_MASKING_PMLEN:
        return {sbi.DENIED}
    if feature not in (sbi.MISALIGNED_EXC_DELEG, sbi.PTE_AD_HW_UPDATING):
        return {UNSUPPORTED}
    if function == sbi.FWFT_GET:
        return {NONE}
    if value > 1 or flags > 1:
        return {BAD}
    if feature == sbi.MISALIGNED_EXC_DELEG and value == 0:
        return {sbi.DENIED, sbi.DENIED_LOCKED}
    return {NONE, sbi.DENIED_LOCKED}


def fault(call: Call, result: Result, platform: Platform) -> str:
    """What is wrong with an answer; nothing if all is well."""
    resumes = call.extension == sbi.HSM and call.function == sbi.HART_SUSPEND
    if result.kind == RESUMED:
        if not resumes or call.registers[0] & 0xFFFF_FFFF != sbi.NON_RETENTIVE:
            return "it went on elsewhere"
        good = platform.has(result.error) and result.value == call.registers[2]
        return "" if good and result.extra == 0 else "it resumed with other registers"
    if result.kind != RETURNED:
        return "it did not return"
    if resumes and call.registers[0] & 0xFFFF_FFFF == sbi.NON_RETENTIVE and result.error == 0:
        return "a non-retentive suspend returned"
    wanted = allowed(call, platform)
    if wanted is not None and result.error not in wanted:
        return f"its error should be one of {sorted(wanted)}"
    known = VALUES.get((call.extension, call.function))
    if known is not None and result.value != known:
        return f"its value should be {known:#x}"
    return ""


VALUES = {
    (sbi.BASE, sbi.GET_SPEC_VERSION): 2 << 24,
    (sbi.BASE, sbi.GET_IMPL_ID): 0x727A,
    (sbi.DBCN, sbi.CONSOLE_WRITE_BYTE): 0,
}
