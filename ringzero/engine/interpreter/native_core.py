"""The native core in this process: compiled once, kept in the cache, and called by name.

What is kept begins with the C types of its entry points, so that a warm start needs none of the
text that they were made of.
"""

from __future__ import annotations

import ctypes
import functools
import json
from typing import Any

from ringzero.isa.decoded import Decoded
from ringzero.lang import binding, cache
from ringzero.lang.host import view


@functools.cache
def code_key() -> str:
    """What compiled code of the engines depends on, for the cache."""
    return cache.source_digest(
        "lang", "isa", "board/clint.py", "engine", options=[binding.host_identity()]
    )


def _compile() -> bytes:
    from ringzero.engine.interpreter import module

    text = module.build(binding.host_target())
    code = binding.quick_object(text, binding.host_machine())
    return json.dumps(module.signatures()).encode() + b"\n" + code


class NativeCore:
    """The loaded core, one per process; each entry point of `module` is an attribute."""

    _instance: NativeCore | None = None

    def __init__(self) -> None:
        line, _, code = cache.cached("interpreter", code_key(), _compile).partition(b"\n")
        signatures = json.loads(line)
        self.library = binding.Library(code, list(signatures))
        for name, kinds in signatures.items():
            result, *arguments = (kind and getattr(ctypes, kind) for kind in kinds)
            prototype = ctypes.CFUNCTYPE(result, *arguments)
            setattr(self, name, prototype(self.library.addresses[name]))
        self.handlers: int = self.handler_table()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"The native core has no entry point {name}: see module.ENTRY_POINTS.")

    @classmethod
    def load(cls) -> NativeCore:
        """The one of this process."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance


@functools.cache
def decoded(word: int) -> tuple[int, int, int, int, int, int, int]:
    """Of an instruction word: index, size, rd, rs1, rs2, rs3 and imm, as `isa.decode` has them."""
    out = view(Decoded)()
    NativeCore.load().decode_word(word, ctypes.addressof(out))
    imm = ctypes.c_int32(out.imm & 0xFFFF_FFFF).value
    return out.index, out.size, out.rd, out.rs1, out.rs2, out.rs3, imm
