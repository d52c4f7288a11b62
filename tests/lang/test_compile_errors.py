"""Text that is not in the language is refused at its line, with what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ringzero.lang import binding
from ringzero.lang.compiler import CompileError, Program
from tests.lang.modules import loaded

HEAD = '''"""Wrong on purpose."""
from ringzero.lang import *


class Thing(Struct):
    number: u64
    items: Array[u8] = field(4)


PAIR = (1, 2)


@port
def now(thing: Thing) -> u64:
    """The time."""


'''

WRONG = {
    "mixed widths": ("    return a + u32(1)  # here", "needs u64, has u32|needs u32, has u64"),
    "literal that does not fit": ("    return u64(u8(a) + 0x1000)  # here", "does not fit u8"),
    "variable without a width": (
        "    n = 0\n    for i in typed_range(a):\n        n += 1  # here\n    return a",
        "width",
    ),
    "signed division": ("    return u64(i64(a) // i64(3))  # here", "sdiv"),
    "unknown name": ("    return a + nothing  # here", "unknown name"),
    "name set on one branch": (
        "    if a > 3:\n        b = u64(1)\n    return b  # here",
        "only some branches",
    ),
    "no such field": ("    return thing.absent  # here", "no field absent"),
    "too few arguments": ("    return f(thing)  # here", "takes 2 arguments"),
    "missing return": ("    if a > 3:  # here\n        return a", "may end without a return"),
    "no such statement": ("    with a:  # here\n        pass\n    return a", "not in the language"),
    "slice": ("    return a[1:2]  # here", "not in the language|no elements"),
    "unbound port": ("    return now(thing)  # here", "port .*now is not bound"),
    "wrong count of values": ("    return a, a  # here", "returns 2 values"),
    "fault while folding": ("    return a + PAIR[5]  # here", "IndexError"),
    "aggregate as number": ("    return thing  # here", "needs u64, has Thing"),
    "plain number alone": ("    show = -5\n    return clz(show)  # here", "width"),
    "matrix product": ("    return a @ a  # here", "operator is not in the language"),
}


def compiled(module: Any) -> str:
    program = Program(binding.host_target())
    program.add_roots([module.f])
    return program.text()


@pytest.mark.parametrize("name", WRONG)
def test_refused_at_its_line(name: str, tmp_path: Path) -> None:
    body, message = WRONG[name]
    text = f"{HEAD}@native\ndef f(thing: Thing, a: u64) -> u64:\n{body}\n"
    module = loaded(text, tmp_path, "wrong_" + name.replace(" ", "_"))
    with pytest.raises(CompileError) as caught:
        compiled(module)
    said = str(caught.value)
    assert re.search(message, said), said
    marked = text.splitlines().index(next(t for t in text.splitlines() if "# here" in t)) + 1
    if "missing return" in name:
        assert re.search(r"\.py:\d+: in f", said)
    else:
        assert f".py:{marked}: in f" in said, said


def test_right_text_compiles(tmp_path: Path) -> None:
    text = HEAD + "@native\ndef f(thing: Thing, a: u64) -> u64:\n    return a + thing.number\n"
    assert '@"f"(ptr %thing, i64 %a)' in compiled(loaded(text, tmp_path, "right"))
