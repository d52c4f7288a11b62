"""Encoding rows: the manual's tables as text, and what follows from them.

A row such as "imm[12|10:5] rs2 rs1 000 imm[4:1|11] 1100011" names every bit of an instruction,
most significant first: literal bits, and operand fields. From it come the mask and match of the
decoder, and where each operand's bits stand. Immediate formats: unprivileged spec, chapter 2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from ringzero.errors import RingzeroError

WIDTHS = {
    "rd": 5, "rs1": 5, "rs2": 5, "rs3": 5,
    "frd": 5, "frs1": 5, "frs2": 5, "frs3": 5,
    "rm": 3, "csr": 12, "aq": 1, "rl": 1, "fm": 4, "pred": 4, "succ": 4,
}  # fmt: skip
RANGED = frozenset({"imm", "uimm", "shamt"})
COMPRESSED_WIDTHS = {
    "rd": 5, "rs1": 5, "rs2": 5, "frd": 5, "frs2": 5,
    "rd'": 3, "rs1'": 3, "rs2'": 3, "frd'": 3, "frs2'": 3,
}  # fmt: skip

_FIELD = re.compile(r"([a-z]+[0-9]?'?)(?:\[([0-9:|]+)\])?")


class EncodingError(RingzeroError):
    """A row that contradicts itself, or another row."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`width` bits of an operand: from bit `lsb` of the word to bit `shift` of the operand."""

    lsb: int
    width: int
    shift: int

    @property
    def mask(self) -> int:
        """The piece's bits, right-aligned."""
        return (1 << self.width) - 1


@dataclass(frozen=True, slots=True)
class Field:
    """An operand: its pieces, the bits they make together, and whether the top one is a sign."""

    name: str
    pieces: tuple[Piece, ...]
    width: int
    signed: bool

    @property
    def spare(self) -> int:
        """Register bits above the operand: shifting by them and back extends its sign."""
        return 64 - self.width

    def extract(self, word: int) -> int:
        """The operand's value in `word`; negative when its sign bit is set."""
        value = 0
        for piece in self.pieces:
            value |= (word >> piece.lsb & piece.mask) << piece.shift
        if self.signed and value >> (self.width - 1):
            value -= 1 << self.width
        return value

    def insert(self, value: int) -> int:
        """The bits of a word that say `value`; refuses a value that the field cannot say."""
        word = 0
        for piece in self.pieces:
            word |= (value >> piece.shift & piece.mask) << piece.lsb
        if self.extract(word) != value:
            step = 1 << min(piece.shift for piece in self.pieces)
            low = -(1 << (self.width - 1)) if self.signed else 0
            high = (1 << (self.width - int(self.signed))) - step
            raise EncodingError(
                f"{value} does not fit {self.name}: it takes {low}..{high} in steps of {step}"
            )
        return word


@dataclass(frozen=True, slots=True)
class Row:
    """A parsed row: `word & mask == match` says whether a word is this instruction."""

    text: str
    width: int
    mask: int
    match: int
    fields: dict[str, Field] = field(hash=False)

    def overlaps(self, other: Row) -> bool:
        """Whether some word matches both rows."""
        common = self.mask & other.mask
        return self.match & common == other.match & common


def parse(text: str, *, width: int = 32) -> Row:
    """Read a row of `width` bits (16 for compressed instructions)."""
    mask = match = 0
    position = width
    pieces: dict[str, list[Piece]] = {}
    for token in text.split():
        if set(token) <= {"0", "1"}:
            position -= len(token)
            _room(text, position, width)
            mask |= ((1 << len(token)) - 1) << position
            match |= int(token, 2) << position
            continue
        name, spans = _field(text, token, width)
        for high, low in spans:
            position -= high - low + 1
            _room(text, position, width)
            pieces.setdefault(name, []).append(Piece(position, high - low + 1, low))
    if position:
        raise EncodingError(f"row {text!r} has {width - position} bits, not {width}")
    return Row(text, width, mask, match, {n: _whole(text, n, p) for n, p in pieces.items()})


def _room(text: str, position: int, width: int) -> None:
    if position < 0:
        raise EncodingError(f"row {text!r} has more than {width} bits")


@cache
def _spans(text: str) -> tuple[tuple[int, int], ...]:
    spans = []
    for span in text.split("|"):
        high, _, low = span.partition(":")
        spans.append((int(high), int(low or high)))
    return tuple(spans)


def _field(text: str, token: str, width: int) -> tuple[str, tuple[tuple[int, int], ...]]:
    found = _FIELD.fullmatch(token)
    if found is None:
        raise EncodingError(f"row {text!r}: {token!r} is neither bits nor a field")
    name, ranges = found.groups()
    widths = WIDTHS if width == 32 else COMPRESSED_WIDTHS
    if name in RANGED:
        if ranges is None:
            raise EncodingError(f"row {text!r}: {name} needs its bits, as in {name}[11:0]")
        return name, _spans(ranges)
    if name not in widths:
        known = ", ".join(sorted([*widths, *RANGED]))
        raise EncodingError(f"row {text!r}: field {name!r} names nothing; known are {known}")
    if ranges is not None:
        raise EncodingError(f"row {text!r}: {name} always has {widths[name]} bits, write {name}")
    return name, ((widths[name] - 1, 0),)


def _whole(text: str, name: str, pieces: list[Piece]) -> Field:
    seen = 0
    for piece in pieces:
        bits = piece.mask << piece.shift
        if seen & bits:
            raise EncodingError(f"row {text!r} gives bits of {name} twice")
        seen |= bits
    low = seen & -seen
    if (seen + low) & seen:
        raise EncodingError(f"row {text!r} leaves out bits of {name}")
    return Field(name, tuple(pieces), seen.bit_length(), name == "imm")
