"""Every 16-bit parcel expands to what the GNU tools say that it means, or is reserved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest

from ringzero.isa.compressed import RULES, RULES_TEXT, expand
from ringzero.isa.decode import lookup
from ringzero.lang import u32
from ringzero.lang.host import HostLibrary

PARCELS = [parcel for parcel in range(1 << 16) if parcel & 3 != 3]
HINTS = {  # what objdump leaves compressed, written out
    r"c\.nop (\S+)": r"addi zero,zero,\1",
    r"c\.li zero,(\S+)": r"addi zero,zero,\1",
    r"c\.lui zero,(\S+)": r"lui zero,\1",
    r"c\.(mv|add) zero,(\w+)": r"add zero,zero,\2",
    r"c\.slli zero,(\S+)": r"slli zero,zero,\1",
    r"c\.(slli|srli|srai)64 (\w+)": r"\1 \2,\2,0",
    r"mv (\w+),(\w+)": r"add \1,zero,\2",
}
LENIENT = {0x6101}  # c.addi16sp of zero, which the manual reserves and objdump prints


def expected(text: str, address: int) -> str | None:
    """objdump's text of a compressed instruction as one that assembles to 32 bits."""
    if text.startswith(".2byte") or text in ("unimp", "c.unimp"):
        return None
    for hint, plain in HINTS.items():
        text = re.sub(rf"^{hint}$", plain, text)
    target = re.fullmatch(r"(j|b\w+) (.*?,)?([0-9a-f]+)", text)
    if target is not None:
        distance = int(target[3], 16) - address
        return f"{target[1]} {target[2] or ''}. + {distance}"
    return text


def test_all_parcels_against_gnu(
    gnu_texts: Callable[..., list[str]], gnu_words: Callable[[Iterable[str]], list[int]]
) -> None:
    texts = gnu_texts(PARCELS)
    meant = {
        parcel: plain
        for index, (parcel, text) in enumerate(zip(PARCELS, texts, strict=True))
        if (plain := expected(text, 4 * index)) is not None and parcel not in LENIENT
    }
    words = dict(zip(meant, gnu_words(meant.values()), strict=True))
    assert len(words) > 40_000
    # compiled, because there are many; test_compiled.py compares it with CPython
    library = HostLibrary([expand])
    for parcel in PARCELS:
        got = library.call["expand"](parcel)
        assert got == words.get(parcel, 0), f"{parcel:#06x} {meant.get(parcel)}: {got:#010x}"


def test_every_expansion_is_an_instruction() -> None:
    assert len(RULES) == len(RULES_TEXT.strip().splitlines())
    for parcel in PARCELS[::7]:
        word = int(expand(u32(parcel)))
        assert word == 0 or lookup(word) is not None, hex(parcel)


@pytest.mark.parametrize("parcel", [0x0000, 0x6101, 0x2001, 0x4002, 0x6002, 0x8002, 0x8000, 0x9C41])
def test_reserved(parcel: int) -> None:
    assert expand(u32(parcel)) == 0


def test_upper_bits_do_not_matter() -> None:
    assert expand(u32(0xABCD_4501)) == expand(u32(0x4501))
