"""Building a bare-metal program: its roots, the memory functions that LLVM calls, its stubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ringzero.bare.memory import MEMORY
from ringzero.lang import Native, Stub, baremetal
from ringzero.lang.image import Image


def build(
    roots: Sequence[Native],
    stubs: Sequence[Stub],
    *,
    entry: str,
    base: int,
    exported: Mapping[str, Any],
    bind: Mapping[Native, Native],
    names: Mapping[Native, str] = {},
) -> Image:
    """The image; `lang.baremetal.build` says what the arguments are."""
    return baremetal.build(
        [*roots, *MEMORY], stubs, entry=entry, base=base, exported=exported, bind=bind, names=names
    )
