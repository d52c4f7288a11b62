"""RV64C with C.D: every 16-bit instruction is an expansion to a 32-bit one, never a second meaning.

The rows are the manual's (unprivileged spec, "C" extension, tables of quadrants 0, 1 and 2): `nz`
marks an immediate that must not be zero, `!=0` a register that must not be x0, and `'` one of
x8–x15. What no rule takes is reserved; hints expand to instructions that do nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ringzero.isa.encoding import EncodingError, Field, Row, parse
from ringzero.isa.instruction import Instruction
from ringzero.isa.registry import BY_NAME
from ringzero.lang import native, u32

RULES_TEXT = """
c.addi4spn rd', uimm    | 000 nzuimm[5:4|9:6|2|3] rd' 00         | addi rd', x2, uimm
c.fld frd', uimm(rs1')  | 001 uimm[5:3] rs1' uimm[7:6] frd' 00   | fld frd', uimm(rs1')
c.lw rd', uimm(rs1')    | 010 uimm[5:3] rs1' uimm[2|6] rd' 00    | lw rd', uimm(rs1')
c.ld rd', uimm(rs1')    | 011 uimm[5:3] rs1' uimm[7:6] rd' 00    | ld rd', uimm(rs1')
c.fsd frs2', uimm(rs1') | 101 uimm[5:3] rs1' uimm[7:6] frs2' 00  | fsd frs2', uimm(rs1')
c.sw rs2', uimm(rs1')   | 110 uimm[5:3] rs1' uimm[2|6] rs2' 00   | sw rs2', uimm(rs1')
c.sd rs2', uimm(rs1')   | 111 uimm[5:3] rs1' uimm[7:6] rs2' 00   | sd rs2', uimm(rs1')
c.addi rd, imm          | 000 imm[5] rd imm[4:0] 01              | addi rd, rd, imm
c.addiw rd, imm         | 001 imm[5] rd!=0 imm[4:0] 01           | addiw rd, rd, imm
c.li rd, imm            | 010 imm[5] rd imm[4:0] 01              | addi rd, x0, imm
c.addi16sp imm          | 011 nzimm[9] 00010 nzimm[4|6|8:7|5] 01 | addi x2, x2, imm
c.lui rd, imm           | 011 nzimm[17] rd nzimm[16:12] 01       | lui rd, imm
c.srli rd', shamt       | 100 shamt[5] 00 rd' shamt[4:0] 01      | srli rd', rd', shamt
c.srai rd', shamt       | 100 shamt[5] 01 rd' shamt[4:0] 01      | srai rd', rd', shamt
c.andi rd', imm         | 100 imm[5] 10 rd' imm[4:0] 01          | andi rd', rd', imm
c.sub rd', rs2'         | 100 0 11 rd' 00 rs2' 01                | sub rd', rd', rs2'
c.xor rd', rs2'         | 100 0 11 rd' 01 rs2' 01                | xor rd', rd', rs2'
c.or rd', rs2'          | 100 0 11 rd' 10 rs2' 01                | or rd', rd', rs2'
c.and rd', rs2'         | 100 0 11 rd' 11 rs2' 01                | and rd', rd', rs2'
c.subw rd', rs2'        | 100 1 11 rd' 00 rs2' 01                | subw rd', rd', rs2'
c.addw rd', rs2'        | 100 1 11 rd' 01 rs2' 01                | addw rd', rd', rs2'
c.j imm                 | 101 imm[11|4|9:8|10|6|7|3:1|5] 01      | jal x0, imm
c.beqz rs1', imm        | 110 imm[8|4:3] rs1' imm[7:6|2:1|5] 01  | beq rs1', x0, imm
c.bnez rs1', imm        | 111 imm[8|4:3] rs1' imm[7:6|2:1|5] 01  | bne rs1', x0, imm
c.slli rd, shamt        | 000 shamt[5] rd shamt[4:0] 10          | slli rd, rd, shamt
c.fldsp frd, uimm       | 001 uimm[5] frd uimm[4:3|8:6] 10       | fld frd, uimm(x2)
c.lwsp rd, uimm         | 010 uimm[5] rd!=0 uimm[4:2|7:6] 10     | lw rd, uimm(x2)
c.ldsp rd, uimm         | 011 uimm[5] rd!=0 uimm[4:3|8:6] 10     | ld rd, uimm(x2)
c.jr rs1                | 100 0 rs1!=0 00000 10                  | jalr x0, 0(rs1)
c.mv rd, rs2            | 100 0 rd rs2!=0 10                     | add rd, x0, rs2
c.ebreak                | 100 1 00000 00000 10                   | ebreak
c.jalr rs1              | 100 1 rs1!=0 00000 10                  | jalr x1, 0(rs1)
c.add rd, rs2           | 100 1 rd rs2!=0 10                     | add rd, rd, rs2
c.fsdsp frs2, uimm      | 101 uimm[5:3|8:6] frs2 10              | fsd frs2, uimm(x2)
c.swsp rs2, uimm        | 110 uimm[5:2|7:6] rs2 10               | sw rs2, uimm(x2)
c.sdsp rs2, uimm        | 111 uimm[5:3|8:6] rs2 10               | sd rs2, uimm(x2)
"""

QUADRANT_AND_FUNCT3 = 0xE003
_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True, slots=True)
class Move:
    """Parcel bits from `source` up, right-aligned under `mask`, go to `target` of the word."""

    source: int
    mask: int
    target: int


@dataclass(frozen=True, slots=True)
class Fill:
    """Bit `source` of the parcel, a sign, fills all bits of `mask` in the word."""

    source: int
    mask: int


@dataclass(frozen=True, eq=False)
class Rule:
    """One compressed instruction and how its parcel becomes a word."""

    name: str
    template: str
    text: str  # the row as the manual writes it, with nz and !=0
    row: Row
    target: Instruction
    expansion: str
    nonzero: tuple[int, ...]  # masks of which some bit must be set
    base: int
    moves: tuple[Move, ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """The rules of one quadrant and funct3, the more specific first."""

    match: int
    rules: tuple[Rule, ...]


def _rule(line: str) -> Rule | None:
    # rows contain bars too, but only inside brackets, where no space stands
    template, text, expansion = (part.strip() for part in line.split(" | "))
    row = parse(text.replace("!=0", "").replace("nz", ""), width=16)
    nonzero = []
    for field in row.fields.values():
        if re.search(rf"nz{field.name}\b|\b{field.name}!=0", text):
            nonzero.append(sum(piece.mask << piece.lsb for piece in field.pieces))
    name, *written = _WORD.findall(expansion)
    if name not in BY_NAME:  # without D, the expansions to its loads and stores are reserved
        return None
    target = BY_NAME[name]
    base, moves, fills = target.match, [], []
    for operand, source in zip(target.operands, written, strict=True):
        into = target.row.fields[operand]
        if source in row.fields:
            base |= 8 << into.pieces[0].lsb if source.endswith("'") else 0
            moves += _moves(row.fields[source], into)
            fills += _fills(row.fields[source], into)
        elif re.fullmatch(r"x?\d+", source):
            base |= into.insert(int(source.removeprefix("x")))
        else:
            raise EncodingError(f"{template}: row {text!r} has no {source}")
    made = tuple(moves), tuple(fills)
    return Rule(
        template.split()[0], template, text, row, target, expansion, tuple(nonzero), base, *made
    )


def _moves(source: Field, into: Field) -> list[Move]:
    found = []
    for a in source.pieces:
        for b in into.pieces:
            low = max(a.shift, b.shift)
            high = min(a.shift + a.width, b.shift + b.width)
            if low < high:
                mask = (1 << (high - low)) - 1
                found.append(Move(a.lsb + low - a.shift, mask, b.lsb + low - b.shift))
    return found


def _fills(source: Field, into: Field) -> list[Fill]:
    if not source.signed or source.width == into.width:
        return []
    sign = next(p.lsb + p.width - 1 for p in source.pieces if p.shift + p.width == source.width)
    copies = into.insert(-1 << source.width)
    return [Fill(sign, copies)]


def _groups() -> tuple[Group, ...]:
    groups: dict[int, list[Rule]] = {}
    for rule in filter(None, map(_rule, RULES_TEXT.strip().splitlines())):
        group = groups.setdefault(rule.row.match & QUADRANT_AND_FUNCT3, [])
        for other in group:
            common = rule.row.mask & other.row.mask
            if rule.row.overlaps(other.row) and common not in (rule.row.mask, other.row.mask):
                raise EncodingError(f"{rule.name} overlaps {other.name}, and neither is narrower")
        group.append(rule)
    for group in groups.values():
        group.sort(key=lambda rule: -rule.row.mask.bit_count())
    return tuple(Group(match, tuple(group)) for match, group in groups.items())


GROUPS = _groups()
RULES = tuple(rule for group in GROUPS for rule in group.rules)


@native
def takes(rule: Rule, parcel: u32) -> bool:
    """Whether the parcel is this instruction."""
    if parcel & rule.row.mask != rule.row.match:
        return False
    for bits in rule.nonzero:
        if parcel & bits == 0:
            return False
    return True


@native
def expand_as(rule: Rule, parcel: u32) -> u32:
    """The word that a rule makes of a parcel."""
    word = u32(rule.base)
    for move in rule.moves:
        word = word | (((parcel >> move.source) & move.mask) << move.target)
    for fill in rule.fills:
        word = word | ((0 - ((parcel >> fill.source) & 1)) & fill.mask)
    return word


@native
def expand_group(group: Group, parcel: u32) -> u32:
    """The first rule of a group that takes the parcel, or 0."""
    for rule in group.rules:
        if takes(rule, parcel):
            return expand_as(rule, parcel)
    return u32(0)


@native
def expand(parcel: u32) -> u32:
    """The 32-bit instruction that a compressed one stands for; 0, which is illegal, if reserved."""
    for group in GROUPS:
        if parcel & QUADRANT_AND_FUNCT3 == group.match:
            return expand_group(group, parcel)
    return u32(0)
