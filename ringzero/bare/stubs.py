"""Assembly text as stubs, and CSRs as objects: `csr.mstatus.read()`, `csr.mie.set(bits)`.

LLVM's binding has no assembler for RISC-V, so what C would write as inline assembly is a stub of a
word or two; the linker puts the word itself in place of the call where one word is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from ringzero.isa.tools.names import X_NUMBERS
from ringzero.isa.tools.program import Program
from ringzero.lang import Struct, Stub, u64
from ringzero.lang.native import R

# Touches no memory that compiled text can see, yet neither repeatable nor to be moved.
QUIET = "memory(inaccessiblemem: readwrite) willreturn"

RET = 0x0000_8067
_REFERENCE = re.compile(r"\s*(call|tail|la)\s+(?:([a-z0-9]+)\s*,\s*)?([A-Za-z_][\w.]*)\s*$")
_LABEL = re.compile(r"^\s*([\w.$]+):", re.MULTILINE)


def assembled(text: str) -> list[Any]:
    """The words of `text`; `call`, `tail` and `la` of names it does not define, as references."""
    local = set(_LABEL.findall(text))
    lines: list[str] = []
    references: list[tuple[str, Any]] = []
    for line in re.sub(r"#.*", "", text).splitlines():
        found = _REFERENCE.match(line)
        if found is None or found[3] in local:
            lines.append(line)
            continue
        kind, register, symbol = found.groups()
        marker = f".reference{len(references)}"
        lines += [f"{marker}:", "nop", "nop"]  # room for the pair that the linker makes
        named = (kind, X_NUMBERS[register], symbol) if register else (kind, symbol)
        references.append((marker, named))
    program = Program(0, None)
    program.read("\n".join(lines))
    code = program.bytes()
    items: list[Any] = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]
    for marker, reference in reversed(references):
        index = program.names[marker] // 4
        items[index : index + 2] = [reference]
    return items


def stub(
    name: str,
    text: str,
    parameters: Sequence[Any] = (),
    result: type[R] | None = None,
    attributes: str = "",
) -> Stub[R]:
    """A stub of assembly text. One instruction alone gets `ret`, and is put in place of calls."""
    code = assembled(text)
    inline = None
    if len(code) == 1 and isinstance(code[0], int) and code[0] != RET:
        inline = code[0]
        code = [*code, *assembled("ret")]
    return Stub(name, list(parameters), result, code, inline=inline, attributes=attributes)


def offsets(kind: type[Struct], prefix: str = "") -> str:
    """`.equ` lines with the byte offset of each field of a struct of 64-bit fields."""
    lines, position = [], 0
    for name, part in kind.fields.items():
        lines.append(f".equ {prefix}{name}, {position}")
        if part is not u64 and getattr(part, "element", None) is not u64:
            raise TypeError(f"{kind.__name__}.{name} is not made of u64")
        position += 8 * getattr(part, "length", 1)
    lines.append(f".equ {prefix}size, {position}")
    return "\n".join(lines) + "\n"


class Register:
    """One CSR, as compiled text and bare programs use it."""

    def __init__(self, name: str) -> None:
        self.name = name
        n = name
        self.read = stub(f"csr.{n}.read", f"csrr a0, {n}", [], u64, QUIET)
        self.write = stub(f"csr.{n}.write", f"csrw {n}, a0", [u64])
        self.set = stub(f"csr.{n}.set", f"csrs {n}, a0", [u64])
        self.clear = stub(f"csr.{n}.clear", f"csrc {n}, a0", [u64])
        self.swap = stub(f"csr.{n}.swap", f"csrrw a0, {n}, a0", [u64], u64)
        self.read_set = stub(f"csr.{n}.read_set", f"csrrs a0, {n}, a0", [u64], u64)
        self.read_clear = stub(f"csr.{n}.read_clear", f"csrrc a0, {n}, a0", [u64], u64)
        # M-mode only: sets bits of a CSR that may not exist, and says whether it does.
        self.try_set = stub(
            f"csr.{n}.try_set",
            f"""
            la t0, absent
            csrrw t0, mtvec, t0
            csrs {n}, a0
            li a0, 1
            j done
        absent:                     # mepc and mcause are lost
            li a0, 0
        done:
            csrw mtvec, t0
            ret
            """,
            [u64],
            u64,
        )


class Registers:
    """Every CSR by name."""

    @staticmethod
    @cache
    def _made(name: str) -> Register:
        return Register(name)

    def __getattr__(self, name: str) -> Register:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._made(name)


csr = Registers()

wait = stub("wait_for_interrupt", "wfi")
pause = stub("pause", "pause", attributes=QUIET)
fence_code = stub("fence_code", "fence.i")
fence_translation = stub("fence_translation", "sfence.vma")
fence_page = stub("fence_page", "sfence.vma a0", [u64])
fence_space = stub("fence_space", "sfence.vma x0, a0", [u64])
fence_space_page = stub("fence_space_page", "sfence.vma a0, a1", [u64, u64])
# Of guests, for harts with H; a guest's physical address is shifted right by two (15.5.3).
fence_guest = stub("fence_guest", "hfence.gvma zero, zero")
fence_guest_page = stub("fence_guest_page", "hfence.gvma a0, zero", [u64])
fence_vmid = stub("fence_vmid", "hfence.gvma zero, a0", [u64])
fence_vmid_page = stub("fence_vmid_page", "hfence.gvma a0, a1", [u64, u64])
fence_virtual = stub("fence_virtual", "hfence.vvma zero, zero")
fence_virtual_page = stub("fence_virtual_page", "hfence.vvma a0, zero", [u64])
fence_virtual_space = stub("fence_virtual_space", "hfence.vvma zero, a0", [u64])
fence_virtual_space_page = stub("fence_virtual_space_page", "hfence.vvma a0, a1", [u64, u64])
