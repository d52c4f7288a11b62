"""How the machine runs on this host: engines that execute the text of `isa/`.

`reference` lets CPython run it and defines what is correct; the others are compiled from the same
text, and compared with it instruction by instruction (`tests/lockstep`). `docs/engine.md` leads
through the folders. This file and `ports` are all that the rest of ringzero imports of it.
"""

from __future__ import annotations

import platform
from typing import Any

from ringzero.engine.ports import Bus, Harts, Memory
from ringzero.errors import UsageError

ENGINES = ("auto", "regions", "compiler", "interpreter", "reference")


def check_name(name: str) -> None:
    """Refuse an engine that there is not, or not on this host."""
    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}: choose one of {', '.join(ENGINES)}.")
    if name == "compiler" and not compiler_supported():
        raise UsageError("The compiler is for x86-64 hosts: choose --engine auto or regions.")


def make(
    name: str,
    memory: Memory,
    bus: Bus,
    harts: int,
    *,
    deterministic: bool = False,
    parallel: bool = False,
) -> Harts:
    """The harts of a machine under an engine; what an engine does not need is not imported."""
    check_name(name)
    kind: Any
    if name == "reference":
        from ringzero.engine.reference import ReferenceHarts as kind
    elif name == "interpreter":
        from ringzero.engine.interpreter import Interpreter as kind
    elif name == "compiler":
        from ringzero.engine.compiler import Compiled as kind
    elif name == "auto" and compiler_supported():
        from ringzero.engine.tiers import Tiers as kind
    else:
        from ringzero.engine.regions import Regions as kind
    harts_of_engine: Harts = kind(
        memory, bus, harts, deterministic=deterministic, parallel=parallel
    )
    return harts_of_engine


def compiler_supported() -> bool:
    """Whether this host's code can be compiled at once; asked without LLVM, which takes longer."""
    return platform.machine() == "x86_64"
