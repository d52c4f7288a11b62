"""LLVM's text of a function without branches, read as values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ringzero.engine.compiler.values import Leaf, Node, NotLowered, Value, simplified
from ringzero.isa.instruction import Instruction

BINARY = {"add", "sub", "and", "or", "xor", "mul", "shl", "lshr", "ashr"}
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
