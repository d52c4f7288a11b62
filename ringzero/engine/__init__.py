"""How the machine runs on this host: engines that execute the text of `isa/`.

`reference` lets CPython run it and defines what is correct; the others are compiled from the same
text, and compared with it instruction by instruction (`tests/lockstep`).
"""

from __future__ import annotations

import platform
from typing import Any

from ringzero.errors import UsageError

ENGINES = ("auto", "regions", "compiler", "interpreter", "reference")


def engine_class(name: str) -> Any:
    """The class behind `--engine`."""
    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}: choose one of {', '.join(ENGINES)}.")
    if name == "reference":
        from ringzero.engine.reference.harts import ReferenceHarts

        return ReferenceHarts
    if name == "interpreter":
        from ringzero.engine.interpreter.engine import Interpreter

        return Interpreter
    if name == "compiler":
        from ringzero.engine.compiler.tier import Compiled

        if not compiler_supported():
            raise UsageError("The compiler is for x86-64 hosts: choose --engine auto or regions.")
        return Compiled
    if name == "auto" and compiler_supported():
        from ringzero.engine.tiers import Tiers

        return Tiers
    from ringzero.engine.regions.tier import Regions

    return Regions


def compiler_supported() -> bool:
    """Whether this host's code can be compiled at once; asked without LLVM, which takes longer."""
    return platform.machine() == "x86_64"
