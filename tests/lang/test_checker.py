"""mypy knows of typed Python what the compiler knows: widths do not mix, plain ints fit all.

`lang/types.pyi` and `lang/mypy_plugin.py` are what it knows that by.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HEAD = """
from ringzero.lang import Array, Struct, clz, field, native, peek, port, ptr, typed_range
from ringzero.lang import u8, u32, u64

class S(Struct):
    wide: u64
    narrow: u32
    words: Array[u64] = field(16)
    bytes: ptr[u8]

def plain(number: int) -> int:
    return number

@port
def now(s: S) -> u64: ...  # type: ignore[empty-body]

@native(inline=True)
def put(text: ptr[u8], width: int) -> u64:
    return u64(text[width])

@native
def f(s: S, a: u64, b: u32) -> u64:
"""
RIGHT = [
    "return a + 1",
    "return 1 + a",
    "return a + u64(b)",
    "return a << b",
    "return (1 << a) - a",
    "return a + s.words[b]",
    "return a if a < 5 else 0",
    "s.wide = 3; return s.wide",
    "s.words[3] = 4; return s.words[plain(a)]",
    "s.bytes = u8[20](); return u64(s.bytes) + u64(s.bytes[3])",
    "return f(s, 0, 0)",
    "return put('text', 3) + put(s.bytes, 3) + put(bytearray(4), 3)",
    "return clz(a) + peek(u64, s.words, 8) + peek(u64, s.bytes, a)",
    "return now(s)",
]
WRONG = {
    "return a + b": "operator",
    "return a * 1 + (1 + b)": "operator",
    "return b": "return-value",
    "return u64(a < b)": "operator",
    "return u64(a == b)": "comparison-overlap",
    "s.wide = s.narrow; return a": "assignment",
    "s.words[0] = b; return a": "assignment",
    "s.bytes[0] = b; return a": "assignment",
    "s.bytes = s.words; return a": "assignment",
    "for i in typed_range(b): a += i\n    return a": "operator",
    "return f(s, b, b)": "arg-type",
    "return f(s, a)": "call-arg",
    "return f(a, a, b)": "arg-type",
    "return put(s.words, 3)": "arg-type",
    "return put(s.bytes, s)": "arg-type",
    "return u64(now(s) + b)": "operator",
    "return clz(b)": "return-value",
    "return peek(u32, s.bytes, 0)": "return-value",
    "return s.absent": "attr-defined",
}

APART = r"""
ringzero\.lang\.types\.(Array|Fixed|Struct|[iu]\d+)
ringzero\.lang\.types\.(Array|Fixed|Struct|ptr)\.__class_getitem__
ringzero\.lang\.types\.ptr\.__[gs]etitem__
ringzero\.lang\.types\.(Base|Element|Elements|Length)
"""


def errors(folder: Path, lines: list[str]) -> list[list[str]]:
    """The codes of mypy's errors in each of the functions whose bodies are given."""
    text, begins = "", []
    for number, line in enumerate(lines):
        head = (
            HEAD
            if not number
            else HEAD[HEAD.index("@native\ndef f") :].replace("def f", f"def f{number}")
        )
        text += head + f"    {line}\n"
        begins.append(text.count("\n") - line.count("\n"))
    path, config = folder / "typed_text.py", folder / "mypy.ini"
    path.write_text(text)
    plugin = ROOT / "ringzero/lang/mypy_plugin.py"
    config.write_text(
        f"[mypy]\nplugins = {plugin}\nstrict_equality = True\nfollow_imports = silent\n"
    )
    options = ["--config-file", str(config), "--no-pretty", "--cache-dir", str(folder / "cache")]
    command = [sys.executable, "-m", "mypy", *options, str(path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert "typed_text.py" in said or said.startswith("Success"), said
    found: list[list[str]] = [[] for _ in lines]
    for one in said.splitlines():
        if ": error: " not in one:
            continue
        row = int(one.split(":")[1])
        assert row >= begins[0], one
        found[max(i for i, first in enumerate(begins) if first <= row)].append(one)
    return found


def test_mypy_accepts_what_the_language_accepts(tmp_path: Path) -> None:
    for line, found in zip(RIGHT, errors(tmp_path, RIGHT), strict=True):
        assert found == [], line


def test_mypy_refuses_mixed_widths(tmp_path: Path) -> None:
    for line, found in zip(WRONG, errors(tmp_path, list(WRONG)), strict=True):
        assert len(found) == 1, (line, found)
        assert found[0].endswith(f"[{WRONG[line]}]"), line


def test_the_stub_of_types_says_what_the_module_has(tmp_path: Path) -> None:
    """Apart from how arrays and pointers are subscripted, which a checker sees in its own way."""
    allowed = tmp_path / "allowed"
    allowed.write_text(APART)
    command = [sys.executable, "-m", "mypy.stubtest", "ringzero.lang.types", "--concise"]
    command += ["--allowlist", str(allowed), "--mypy-config-file", "pyproject.toml"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
