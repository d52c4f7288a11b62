"""How the machine runs on this host: engines that execute the text of `isa/`.

`reference` lets CPython run it and defines what is correct; the others are compiled from the same
text, and compared with it instruction by instruction (`tests/lockstep`).
"""

from __future__ import annotations

import platform
from typing import Any

from ringzero.errors import UsageError

ENGINES = ("auto", "regions", "stencils", "interpreter", "reference")


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
    if name == "stencils":
        from ringzero.engine.stencils.tier import Stencils

        if not stencils_supported():
            raise UsageError("Stencils are for x86-64 hosts: choose --engine auto or regions.")
        return Stencils
    if name == "auto" and stencils_supported():
        from ringzero.engine.tiers import Tiers

        return Tiers
    from ringzero.engine.regions.tier import Regions

    return Regions


def stencils_supported() -> bool:
    """Whether this host's code can be stitched; asked without LLVM, which takes longer."""
    return platform.machine() == "x86_64"
