"""What an instruction computes, as LLVM's optimised text says it: values made of values.

Pairs of shifts, masks and widenings are put together here to what the host says in one word.
"""

from __future__ import annotations

from dataclasses import dataclass


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

SHIFTS = {"shl", "lshr", "ashr", "ror", "rol"}
CHOICES = {"smin": "slt", "smax": "sgt", "umin": "ult", "umax": "ugt"}


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
