"""From an instruction's typed function to the operations that the compiler emits for it.

The function is compiled and optimised by LLVM with memory access left open; what comes out is a
short list of arithmetic on the operands, which is read (`reading.py`) and written down here as
`Operation`s. A function that branches, needs more than two temporaries, or does what no operation
says is not lowered: the compiler then places the piece that LLVM made of it (`text.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ringzero.engine.compiler.reading import Reader
from ringzero.engine.compiler.values import SHIFTS, Leaf, Node, NotLowered, Value
from ringzero.engine.native.compiler import codes as ops
from ringzero.engine.native.state import core_of
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import BRANCH, JUMP, Instruction
from ringzero.isa.privileged import access
from ringzero.lang import Fixed, native, read_once, u64, write_once
from ringzero.lang.native import Native

COMMUTATIVE = {"add", "and", "or", "xor", "mul"}
CONSTANTS = (ops.NUMBER, ops.IMM, ops.SMALL, ops.SIZE)
CODES = {
    "add": ops.ADD, "sub": ops.SUB, "and": ops.AND, "or": ops.OR, "xor": ops.XOR, "mul": ops.MUL,
    "shl": ops.SHL, "lshr": ops.SHR, "ashr": ops.SAR, "ror": ops.ROR, "rol": ops.ROL,
    "ctlz": ops.CLZ, "cttz": ops.CTZ, "ctpop": ops.POPCOUNT, "bswap": ops.BYTESWAP,
    "mulh": ops.MULH, "mulhu": ops.MULHU,
}  # fmt: skip
CONDITIONS = {
    "eq": 0x4,
    "ne": 0x5,
    "ult": 0x2,
    "uge": 0x3,
    "ule": 0x6,
    "ugt": 0x7,
    "slt": 0xC,
    "sge": 0xD,
    "sle": 0xE,
    "sgt": 0xF,
}  # fmt: skip — as x86-64's condition codes are numbered
LEAVES = {
    "rs1": ops.RS1, "rs2": ops.RS2, "rs3": ops.RS3, "frs1": ops.FRS1, "frs2": ops.FRS2,
    "frs3": ops.FRS3, "pc": ops.PC, "size": ops.SIZE,
}  # fmt: skip
FEATURES = {"ctlz": "lzcnt", "cttz": "bmi", "ctpop": "popcnt"}  # what the host must have for them
TEMPORARIES = (ops.T0, ops.T1)


@native(inline=False)
def opaque_load(hart: Hart, kind: type[Fixed], address: u64) -> u64:
    """Stands for `isa.access.load` in the text that is read here; it is never executed."""
    return u64(read_once(kind, core_of(hart).memory, address))


@native(inline=False)
def opaque_store(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> None:
    """Stands for `isa.access.store`."""
    write_once(kind, core_of(hart).memory, address, kind(value))


BIND: dict[Native, Native] = {access.load: opaque_load, access.store: opaque_store}


@dataclass
class Operation:
    """One entry of the compiler's table; see `native.compiler.state.Operation`."""

    code: int
    to: int = 0
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    how: int = 0
    number: int = 0


class Writer:
    """Turns values into operations, with two temporaries."""

    def __init__(self, one: Instruction, features: Mapping[str, bool]) -> None:
        self.one, self.features = one, features
        self.made: list[Operation] = []

    def leaf(self, value: Leaf) -> tuple[int, int]:
        """An operand's code, and its number."""
        if value.name == "number":
            return ops.NUMBER, value.value
        if value.name in LEAVES:
            return LEAVES[value.name], 0
        source = self.one.sources[value.name]
        if source == "imm":
            return ops.IMM, 0
        if source == "rs2" and not value.name.endswith("_index"):
            return ops.SMALL, 0
        raise NotLowered(value.name)

    def operand(self, value: Value, free: list[int]) -> tuple[int, int]:
        """A value as an operand: as it is, or in a temporary, which is then taken."""
        if isinstance(value, Leaf):
            return self.leaf(value)
        if not free:
            raise NotLowered("too many temporaries")
        temporary = free.pop(0)
        self.write(value, temporary, [temporary, *free])
        return temporary, 0

    def write(self, value: Value, to: int, free: list[int]) -> None:
        """Operations after which `to` holds the value; `free` are temporaries."""
        if isinstance(value, Leaf):
            code, number = self.leaf(value)
            self.made.append(Operation(ops.MOVE, to, code, number=number))
            return
        name = value.name
        if name in ("icmp", "zext") and (name == "icmp" or value.how == "i1"):
            compared = value if name == "icmp" else value.parts[0]
            self._set(compared, to, free)
        elif name == "select":
            self._select(value, to, free)
        elif name in ("sext", "zext"):
            self._extend(value, to, free)
        elif name == "load":
            self._load(value, to, free, False)
        elif name in CODES:
            self._arithmetic(value, to, free)
        else:
            raise NotLowered(f"{name} {value.how}")

    def _arithmetic(self, value: Node, to: int, free: list[int]) -> None:
        if value.bits not in (32, 64) or (value.bits == 32 and value.name == "bswap"):
            raise NotLowered(f"{value.name} of {value.bits} bits")
        needed = FEATURES.get(value.name)
        if needed and not self.features.get(needed, False):
            raise NotLowered(f"the host has no {needed}")
        free = list(free)
        code = CODES[value.name]
        a, a_number = self.operand(value.parts[0], free)
        b, b_number = (0, 0) if len(value.parts) == 1 else self.operand(value.parts[1], free)
        if value.name in SHIFTS and a == ops.T1:
            raise NotLowered("a shifted value where counts are")
        if a == ops.NUMBER and b == ops.NUMBER:
            raise NotLowered("two numbers")
        if value.name in COMMUTATIVE and a in CONSTANTS and b not in CONSTANTS:
            a, b = b, a
        how = 0 if value.bits == 64 else 32
        self.made.append(Operation(code, to, a, b, how=how, number=a_number or b_number))

    def _extend(self, value: Node, to: int, free: list[int]) -> None:
        inner, bits = value.parts[0], int(value.how)
        if isinstance(inner, Node) and inner.name == "load" and inner.how == str(bits):
            self._load(inner, to, free, value.name == "sext")
            return
        a, number = self.operand(inner, list(free))
        code = ops.SEXT if value.name == "sext" else ops.ZEXT
        self.made.append(Operation(code, to, a, how=bits, number=number))

    def _compared(self, value: Value, free: list[int]) -> tuple[int, int, int, int]:
        if not isinstance(value, Node) or value.name != "icmp" or value.bits != 64:
            raise NotLowered("a condition that is no comparison of 64 bits")
        a, first = self.operand(value.parts[0], free)
        b, second = self.operand(value.parts[1], free)
        return a, b, CONDITIONS[value.how], first or second

    def _set(self, value: Value, to: int, free: list[int]) -> None:
        a, b, how, number = self._compared(value, list(free))
        self.made.append(Operation(ops.SET, to, a, b, how=how, number=number))

    def _select(self, value: Node, to: int, free: list[int]) -> None:
        a, b, how, number = self._compared(value.parts[0], [])
        (c, third), (d, fourth) = (self.operand(part, []) for part in value.parts[1:])
        if [a, b, c, d].count(ops.NUMBER) > 1 and len({number, third, fourth}) > 1:
            raise NotLowered("two numbers")
        number = number or third or fourth
        self.made.append(Operation(ops.SELECT, to, a, b, c, d, how, number))

    def _address(self, value: Value, free: list[int]) -> tuple[int, int, int]:
        """Base and offset of an address, and the number among them."""
        if isinstance(value, Node) and value.name == "add":
            parts = value.parts
            if all(isinstance(part, Leaf) for part in parts):
                found = sorted((self.leaf(part) for part in parts), reverse=True)  # type: ignore[arg-type]
                (offset, number), (base, _) = found
                if offset in (ops.IMM, ops.NUMBER):
                    return base, offset, number
        base, number = self.operand(value, free)
        return base, 0, number

    def _load(self, value: Node, to: int, free: list[int], signed: bool) -> None:
        base, offset, number = self._address(value.parts[0], list(free))
        size = int(value.how) // 8
        self.made.append(
            Operation(ops.LOAD, to, base, offset, how=size | 16 * signed, number=number)
        )

    def store(self, value: Node) -> None:
        """An access that stores: its value is an operand as it is."""
        base, offset, number = self._address(value.parts[0], list(TEMPORARIES))
        if not isinstance(value.parts[1], Leaf):
            raise NotLowered("a value that is computed and stored")
        c, other = self.leaf(value.parts[1])
        if other:
            raise NotLowered("two numbers")
        self.made.append(
            Operation(ops.STORE, 0, base, offset, c, how=int(value.how) // 8, number=number)
        )


def lowered(one: Instruction, lines: list[str], features: Mapping[str, bool]) -> list[Operation]:
    """The operations of an instruction, or NotLowered.

    A branch's end with COMPARE; a jump's leave its target in T0 before they write the link.
    """
    if sum(line.startswith("  ret ") for line in lines) != 1 or any(" br " in x for x in lines):
        raise NotLowered("it branches")
    reader, writer = Reader(one), Writer(one, features)
    reader.read(lines)
    for store in reader.stores:
        if store.name != "store":
            raise NotLowered(store.name)
        writer.store(store)
    result = reader.result
    if one.kind is BRANCH:
        if not isinstance(result, Node):
            raise NotLowered("a branch without a condition")
        a, b, how, number = writer._compared(result, [])
        writer.made.append(Operation(ops.COMPARE, 0, a, b, how=how, number=number))
    elif one.kind is JUMP:
        assert isinstance(result, dict)
        if not one.may_jump_static:
            writer.write(result[1], ops.T1, [ops.T1])
        writer.write(result[0], ops.RD, [])
    elif one.destination is not None:
        if result is None or isinstance(result, dict):
            raise NotLowered("no result")
        if reader.stores:
            raise NotLowered("a store and a result")
        to = ops.FRD if one.destination == "frd" else ops.RD
        writer.write(result, to, list(TEMPORARIES))
    return writer.made
