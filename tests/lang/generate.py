"""Random typed programs: one module of functions, each with a state struct and two numbers.

Everything that the language has may come up: all widths, conversions, shifts, division with a
guard, chained comparisons, conditional expressions, loops, early returns, tuples, exceptions,
fields, elements, and calls of earlier functions.
"""

from __future__ import annotations

import random

NUMBERS = ["u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128"]
WIDTH = {name: int(name[1:]) for name in NUMBERS}

HEADER = '''\
"""A random program."""
from ringzero.lang import *
from ringzero.lang import typed_range as range


class Trap(Raised):
    """What goes wrong in a random program."""


class Inner(Struct):
    small: u8
    wide: i64


class State(Struct):
    word: u64
    half: u16
    signed: i32
    flag: bool
    table: Array[u32] = field(8)
    inner: Inner


@native
def fault(state: State, why: u64) -> Trap:
    state.word ^= why
    return Trap()


@native
def split(value: u64) -> tuple[u32, u32]:
    return u32(value >> 32), u32(value)
'''

PLACES = {"u64": ["state.word"], "u16": ["state.half"], "i32": ["state.signed"],
          "u8": ["state.inner.small"], "i64": ["state.inner.wide"]}  # fmt: skip


class Generator:
    """One random function body at a time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.functions: list[str] = []
        self.fresh = 0

    def module(self, count: int) -> str:
        return HEADER + "".join(self.function(f"f{i}") for i in range(count))

    def function(self, name: str) -> str:
        self.variables: dict[str, str] = {"a": "u64", "b": "u64"}
        self.constant: set[str] = set()
        self.depth, self.loops = 0, 0
        lines = self.block(1, self.random.randint(4, 9))
        lines.append(f"    return {self.expression('u64', 3)}")
        self.functions.append(name)
        head = f"\n\n@native\ndef {name}(state: State, a: u64, b: u64) -> u64:\n"
        return head + "\n".join(lines) + "\n"

    # ---- expressions

    def plain(self, kind: str) -> str:
        width = WIDTH[kind]
        top = (1 << width) - 1
        return str(self.random.choice([0, 1, 2, 3, 7, width - 1, top, top >> 1, -1, 1 << width - 1,
                                       self.random.randint(0, top)]))  # fmt: skip

    def name(self, kind: str) -> str:
        """Some value of this kind that is not a plain number."""
        options = [n for n, k in self.variables.items() if k == kind]
        options += PLACES.get(kind, [])
        if kind == "u32":
            options.append(f"state.table[{self.small()}]")
        if options and self.random.random() < 0.8:
            return self.random.choice(options)
        other = self.random.choice([*self.variables])
        return f"{kind}({other})"

    def small(self) -> str:
        if self.random.random() < 0.5:
            return str(self.random.randint(0, 7))
        return f"u32({self.random.choice([*self.variables])}) & 7"

    def expression(self, kind: str, depth: int) -> str:
        if depth == 0:
            return self.name(kind)
        e, pick = self.expression, self.random.random()
        left = e(kind, depth - 1)
        if pick < 0.35:
            right = self.plain(kind) if self.random.random() < 0.3 else e(kind, depth - 1)
            return f"({left} {self.random.choice('+-*&|^')} {right})"
        if pick < 0.45:
            typed = self.name(self.random.choice(["u8", "u64", kind]))
            count = self.random.choice([str(self.random.randint(0, WIDTH[kind] - 1)), typed])
            return f"({left} {self.random.choice(['<<', '>>'])} {count})"
        if pick < 0.53 and WIDTH[kind] <= 64:  # wider division is a library's, not an instruction
            if kind[0] == "u":
                return f"({left} {self.random.choice(['//', '%'])} ({e(kind, depth - 1)} | 1))"
            word = self.random.choice(["sdiv", "srem"])
            return f"{word}({left}, ({e(kind, depth - 1)} & 7) + 1)"
        if pick < 0.68:
            return f"{kind}({e(self.random.choice(NUMBERS), depth - 1)})"
        if pick < 0.76:
            return f"({left} if {self.condition(depth - 1)} else {e(kind, depth - 1)})"
        if pick < 0.84:
            return f"{self.random.choice(['-', '~'])}{left}"
        if pick < 0.9:
            return f"{kind}({self.condition(depth - 1)})"
        if pick < 0.95 and kind[0] == "u" and kind != "u8":
            word = self.random.choice(["clz", "ctz", "popcount", "byteswap"])
            return f"{word}({left})"
        if self.functions and kind == "u64" and self.loops == 0:
            callee = self.random.choice(self.functions[-3:])
            return f"{callee}(state, {left}, {e('u64', depth - 1)})"
        return left

    def condition(self, depth: int) -> str:
        pick, kind = self.random.random(), self.random.choice(NUMBERS)
        word = self.random.choice(["==", "!=", "<", "<=", ">", ">="])
        depth = max(depth, 0)
        if pick < 0.5:
            right = self.plain(kind) if pick < 0.15 else self.expression(kind, min(depth, 1))
            return f"{self.expression(kind, depth)} {word} {right}"
        if pick < 0.65:
            return f"({self.name(kind)} {word} {self.name(kind)} <= {self.name(kind)})"
        if pick < 0.8 and depth:
            word = self.random.choice(["and", "or"])
            return f"({self.condition(depth - 1)} {word} {self.condition(depth - 1)})"
        if pick < 0.9:
            return f"(not {self.name(kind)} > 3)"
        return "state.flag"

    # ---- statements

    def block(self, indent: int, count: int) -> list[str]:
        self.depth += 1
        before = dict(self.variables)
        lines = [line for _ in range(count) for line in self.statement(indent)]
        if self.depth > 1:
            self.variables = before
        self.depth -= 1
        return lines

    def nested(self, indent: int) -> list[str]:
        return self.block(indent + 1, self.random.randint(1, 3))

    def statement(self, indent: int) -> list[str]:
        pad, pick = "    " * indent, self.random.random()
        if self.depth > 3:
            pick *= 0.6
        if pick < 0.25:
            kind = self.random.choice(NUMBERS)
            text = f"{kind}({self.expression(kind, 2)})"
            self.fresh += 1
            self.variables[f"v{self.fresh}"] = kind
            return [f"{pad}v{self.fresh} = {text}"]
        if pick < 0.4:
            target = self.random.choice(["state.word", "state.half", "state.signed",
                                         "state.inner.small", "state.inner.wide",
                                         f"state.table[{self.small()}]"])  # fmt: skip
            kind = next((k for k, p in PLACES.items() if target in p), "u32")
            word = self.random.choice(["=", "+=", "^=", "-=", "|="])
            return [f"{pad}{target} {word} {self.expression(kind, 2)}"]
        if pick < 0.5:
            name = self.random.choice([n for n in self.variables if n not in self.constant])
            word = self.random.choice(["=", "+=", "^=", "*=", "&="])
            return [f"{pad}{name} {word} {self.expression(self.variables[name], 2)}"]
        if pick < 0.55:
            return [f"{pad}state.flag = {self.condition(1)}"]
        if pick < 0.6:
            self.fresh += 2
            high, low = f"v{self.fresh}", f"v{self.fresh - 1}"
            text = f"{pad}{high}, {low} = split({self.expression('u64', 1)})"
            self.variables[high] = self.variables[low] = "u32"
            return [text]
        if pick < 0.78:
            lines = [f"{pad}if {self.condition(2)}:", *self.nested(indent)]
            if self.random.random() < 0.5:
                lines += [f"{pad}else:", *self.nested(indent)]
            if self.random.random() < 0.2:
                lines.append(f"{pad}    return {self.expression('u64', 1)}")
            return lines
        if pick < 0.9 and self.loops < 2:
            return self.loop(indent)
        if pick < 0.95:
            lines = [f"{pad}try:", *self.nested(indent)]
            why = self.expression("u64", 1)
            lines += [
                f"{pad}    if {self.condition(1)}:",
                f"{pad}        raise fault(state, {why})",
            ]
            return [*lines, f"{pad}except Trap:", *self.nested(indent)]
        return [f"{pad}pass"]

    def loop(self, indent: int) -> list[str]:
        pad = "    " * indent
        self.fresh += 1
        counter, kind = f"n{self.fresh}", self.random.choice(["u8", "u32", "u64", "i32"])
        before = dict(self.variables)
        bound = f"{kind}({self.random.randint(0, 5)})"
        head = [f"{pad}for {counter} in range({bound}):"]
        if self.random.random() < 0.3:  # plain bounds: unrolled, and the counter is a plain number
            head = [f"{pad}for {counter} in range({self.random.randint(1, 3)}):"]
            head.append(f"{pad}    state.table[{counter}] += u32({counter})")
        elif self.random.random() < 0.3:
            head = [f"{pad}{counter} = {kind}(0)", f"{pad}while {counter} < 5:",
                    f"{pad}    {counter} += 1"]  # fmt: skip
            self.variables[counter] = kind
        else:
            self.variables[counter] = kind
        self.constant.add(counter)
        self.loops += 1
        lines = head + self.nested(indent)
        if self.random.random() < 0.4:
            word = self.random.choice(["break", "continue"])
            lines += [f"{pad}    if {self.condition(1)}:", f"{pad}        {word}"]
            lines += self.nested(indent)
        self.loops -= 1
        self.variables = before
        return lines
