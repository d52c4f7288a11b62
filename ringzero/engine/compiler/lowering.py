"""From an instruction's typed function to the operations that the compiler emits for it.

The function is compiled and optimised by LLVM with memory access left open; what comes out is a
short list of arithmetic on the operands, which is read here and written down as `Operation`s. A
function that branches, needs more than two temporaries, or does what no operation says is not
lowered: the compiler then places the piece of machine code that LLVM made of it (`pieces.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringzero.engine.native.compiler import codes as ops
from ringzero.engine.native.state import core_of
from ringzero.isa.hart import Hart
from ringzero.isa.instruction import BRANCH, JUMP, Instruction
from ringzero.isa.privileged import access
from ringzero.lang import native, read_once, u64, write_once
from ringzero.lang.native import Native


@native(inline=False)
def opaque_load(hart: Hart, kind: type, address: u64) -> u64:
    """Stands for `isa.access.load` in the text that is read here; it is never executed."""
    return u64(read_once(kind, core_of(hart).memory, address))


@native(inline=False)
def opaque_store(hart: Hart, kind: type, address: u64, value: u64) -> None:
    """Stands for `isa.access.store`."""
    write_once(kind, core_of(hart).memory, address, kind(value))


BIND: dict[Native, Native] = {access.load: opaque_load, access.store: opaque_store}


class NotLowered(Exception):
    """Why an instruction's function has no operations."""


@dataclass(frozen=True)
class Leaf:
    """An operand of the instruction, or a number."""

    name: str
    value: int = 0


@dataclass(frozen=True)
class Node:
    """An operation on values; `bits` is its width, `how` the comparison or the access's size."""

    name: str
    bits: int
    parts: tuple[Value, ...]
    how: str = ""


Value = Leaf | Node

BINARY = {"add", "sub", "and", "or", "xor", "mul", "shl", "lshr", "ashr"}
COMMUTATIVE = {"add", "and", "or", "xor", "mul"}
CONSTANTS = (ops.NUMBER, ops.IMM, ops.SMALL, ops.SIZE)
SHIFTS = {"shl", "lshr", "ashr", "ror", "rol"}
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
CHOICES = {"smin": "slt", "smax": "sgt", "umin": "ult", "umax": "ugt"}
LEAVES = {
    "rs1": ops.RS1, "rs2": ops.RS2, "rs3": ops.RS3, "frs1": ops.FRS1, "frs2": ops.FRS2,
    "frs3": ops.FRS3, "pc": ops.PC, "size": ops.SIZE,
}  # fmt: skip
FEATURES = {"ctlz": "lzcnt", "cttz": "bmi", "ctpop": "popcnt"}  # what the host must have for them
TEMPORARIES = (ops.T0, ops.T1)


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


# ---- reading LLVM's text

_DEFINE = re.compile(r'^define .*? @"?([^"(]+)"?\(')
_ASSIGN = re.compile(r"^  (%\S+) = (.*)$")
_FLAGS = re.compile(r"\b(nuw|nsw|exact|disjoint|samesign|nneg|tail|fastcc|noundef)\b ?")
_RANGE = re.compile(r"range\([^)]*\) ?")
_CALL = re.compile(r'call (\S+) @"?([^"(]+)"?\((.*)\)')
_WIDTH = re.compile(r"i(\d+)$")


def definitions(text: str) -> dict[str, list[str]]:
    """The lines of each function of a module."""
    found: dict[str, list[str]] = {}
    body: list[str] | None = None
    for line in text.splitlines():
        start = _DEFINE.match(line)
        if start:
            body = found.setdefault(start[1], [])
        elif line == "}":
            body = None
        elif body is not None:
            body.append(line)
    return found


@dataclass
class Reader:
    """Reads one function without branches."""

    one: Instruction
    values: dict[str, Value] = field(default_factory=dict)
    stores: list[Node] = field(default_factory=list)
    pair: dict[str, dict[int, Value]] = field(default_factory=dict)
    result: Value | dict[int, Value] | None = None

    def read(self, lines: list[str]) -> None:
        """Follow the lines to the function's result."""
        for raw in lines:
            line = _FLAGS.sub("", _RANGE.sub("", raw.partition(", !")[0].rstrip()))
            if not line.strip() or line.endswith(":") or line.lstrip().startswith(";"):
                continue
            if re.match(r"^[\w.]+:", line):  # the label of the only block
                continue
            assigned = _ASSIGN.match(line)
            if assigned:
                self.assign(assigned[1], assigned[2])
            else:
                self.other(line.strip())

    def other(self, line: str) -> None:
        """A line without a result of its own."""
        if line.startswith("ret "):
            _, kind, *rest = line.split(None, 2) if line != "ret void" else ("", "void")
            if line.startswith("ret {"):
                self.result = self.pair[line.split()[-1]]
            elif kind != "void":
                self.result = self.value(kind, rest[0])
        elif line.startswith("call "):
            self.stores.append(self.call(line))
        else:
            raise NotLowered(line)

    def assign(self, name: str, text: str) -> None:
        """A line that gives a value."""
        word = text.split()[0]
        if word == "insertvalue":
            found = re.match(r"insertvalue \{[^}]*\} (\S+), (\S+) ([^,]+), (\d)", text)
            assert found
            before = self.pair.get(found[1], {})
            self.pair[name] = {**before, int(found[4]): self.value(found[2], found[3])}
        else:
            self.values[name] = simplified(self.node(word, text))

    def node(self, word: str, text: str) -> Value:
        """What a line computes."""
        if word in BINARY:
            kind, a, b = self.split(text)
            return Node(word, width(kind), (self.value(kind, a), self.value(kind, b)))
        if word == "icmp":
            how, rest = text.split(None, 2)[1:]
            kind, pair = rest.split(None, 1)
            a, b = pair.split(", ")
            return Node("icmp", width(kind), (self.value(kind, a), self.value(kind, b)), how)
        if word in ("sext", "zext", "trunc"):
            found = re.match(r"\w+ (\S+) (\S+) to (\S+)", text)
            assert found
            return Node(word, width(found[3]), (self.value(found[1], found[2]),), found[1])
        if word == "select":
            found = re.match(r"select i1 (\S+), (\S+) (\S+), (\S+) (\S+)", text)
            assert found
            parts = (self.value("i1", found[1]), self.value(found[2], found[3]),
                     self.value(found[4], found[5]))  # fmt: skip
            return Node("select", width(found[2]), parts)
        if word == "call":
            return self.call(text)
        raise NotLowered(text)

    def split(self, text: str) -> tuple[str, str, str]:
        """A line of two operands: their type, and both."""
        _, kind, rest = text.split(None, 2)
        a, b = rest.split(", ")
        return kind, a, b

    def call(self, text: str) -> Node:
        """An intrinsic function, or an access."""
        found = _CALL.match(text)
        if not found:
            raise NotLowered(text)
        kind, name, given = found[1], found[2], found[3].split(", ")
        arguments = [part.split() for part in given]
        if "opaque_" in name:
            values = tuple(self.value(a[0], a[-1]) for a in arguments if a[0] != "ptr")
            bits = int(name.rpartition("/u")[2])
            return Node("load" if "opaque_load" in name else "store", 64, values, str(bits))
        intrinsic = re.match(r"llvm\.(\w+)\.i(\d+)$", name)
        if not intrinsic:
            raise NotLowered(text)
        values = tuple(self.value(a[0], a[-1]) for a in arguments if a[0] != "i1")
        return Node(intrinsic[1], width(kind), values)

    def value(self, kind: str, name: str) -> Value:
        """An operand of a line."""
        if name in self.values:
            return self.values[name]
        if re.fullmatch(r"-?\d+", name):
            return Leaf("number", int(name))
        if name in ("true", "false"):
            return Leaf("number", int(name == "true"))
        if name.startswith("%") and name[1:] in self.one.parameters:
            return Leaf(name[1:])
        raise NotLowered(f"{kind} {name}")


def width(kind: str) -> int:
    """The bits of an integer type."""
    found = _WIDTH.match(kind)
    if not found:
        raise NotLowered(kind)
    return int(found[1])


# ---- what LLVM spells in several words and the host says in one


def is_number(value: Value, number: int) -> bool:
    """Whether a value is that number."""
    return isinstance(value, Leaf) and value.name == "number" and value.value == number


def simplified(node: Value) -> Value:
    """A node, or the shorter one that means the same."""
    if not isinstance(node, Node):
        return node
    for rule in (_extension, _masked_count, _high_half, _rotation, _choice):
        node = rule(node)
        if not isinstance(node, Node):
            return node
    return node


def _extension(node: Node) -> Value:
    """Pairs of shifts and masks that take the low bits of a value."""
    if node.name == "trunc" and node.bits in (32, 16, 8) and node.how == "i64":
        return node.parts[0]  # operations of 32 bits look at no more
    if node.name in ("sext", "zext") and node.bits == 64 and node.how in ("i32", "i16", "i8"):
        return Node(node.name, 64, node.parts, node.how[1:])
    if node.name == "ashr" and node.bits == 64 and isinstance(node.parts[0], Node):
        inner = node.parts[0]
        for kept in (8, 16, 32):
            if inner.name == "shl" and is_number(node.parts[1], 64 - kept):
                if is_number(inner.parts[1], 64 - kept):
                    return Node("sext", 64, inner.parts[:1], str(kept))
    if node.name == "and" and node.bits == 64:
        for kept in (8, 16, 32):
            if is_number(node.parts[1], (1 << kept) - 1):
                return Node("zext", 64, node.parts[:1], str(kept))
    if node.name == "sext" and node.bits == 64 and isinstance(node.parts[0], Node):
        return node
    return node


def _masked_count(node: Node) -> Value:
    """A shift's count: the host masks it as RISC-V does."""
    if node.name in SHIFTS and isinstance(node.parts[1], Node):
        count = node.parts[1]
        if count.name == "and" and is_number(count.parts[1], node.bits - 1):
            return Node(node.name, node.bits, (node.parts[0], count.parts[0]))
    return node


def _high_half(node: Node) -> Value:
    """The upper half of a product: of 128 bits."""
    if node.name != "trunc" or node.how != "i128" or not isinstance(node.parts[0], Node):
        return node
    high = node.parts[0]
    product = high.parts[0]
    if high.name != "lshr" or not is_number(high.parts[1], 64) or not isinstance(product, Node):
        return node
    names = {part.name for part in product.parts if isinstance(part, Node)}
    if product.name != "mul" or len(names) != 1 or len(product.parts) != 2:
        return node
    name = {"sext": "mulh", "zext": "mulhu"}.get(names.pop())
    both = [part for part in product.parts if isinstance(part, Node)]
    if name is None or len(both) != 2:
        return node
    return Node(name, 64, tuple(part.parts[0] for part in both))


def _rotation(node: Node) -> Value:
    """A funnel shift of one value."""
    if node.name in ("fshl", "fshr") and node.parts[0] == node.parts[1]:
        turned = Node("rol" if node.name == "fshl" else "ror", node.bits, node.parts[1:])
        return _masked_count(turned)
    return node


def _choice(node: Node) -> Value:
    """The smaller or larger of two values."""
    if node.name in CHOICES and len(node.parts) == 2:
        return Node("select", 64, (Node("icmp", 64, node.parts, CHOICES[node.name]), *node.parts))
    return node


# ---- writing operations


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
