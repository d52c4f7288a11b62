"""Typed Python on bare riscv64: compile native functions, link them with stubs, keep the image.

`build` compiles and links. `cached_image` answers from the cache by the digest of source files
alone: while nothing has changed, neither the typed text nor LLVM is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ringzero.lang import cache
from ringzero.lang.image import Image

if TYPE_CHECKING:
    from ringzero.lang.native import Native, Stub


def build(
    roots: Sequence[Native],
    stubs: Sequence[Stub],
    *,
    entry: str,
    base: int,
    exported: Mapping[str, Any] = {},
    bind: Mapping[Native, Native] = {},
    names: Mapping[Native, str] = {},
    level: int = 2,
) -> Image:
    """The image of `roots`, all that they use, and `stubs`.

    Roots keep their bare names, or those in `names`, for stubs to call; `exported` gives
    module-level structs and arrays names that stubs may refer to (LLVM is free to rename or
    split any other).
    """
    from ringzero.lang import binding
    from ringzero.lang.compiler import Program
    from ringzero.lang.link import link

    program = Program(binding.bare_target(), bind)
    for name, value in exported.items():
        program.global_symbol(value, name, "global")
    program.add_roots(roots, names)
    text = program.text()
    key = cache.digest(text, cache.llvm_identity(), binding.BARE_FEATURES, str(level))
    code = cache.cached(
        "objects", key, lambda: binding.object_code(text, binding.bare_machine(), level)
    )
    named = {stub.name: stub for stub in (*stubs, *program.stubs.values())}
    return link(code, list(named.values()), entry, base)


def cached_image(parts: Sequence[str], make: Callable[[], Image], *options: str) -> Image:
    """`make()`, kept under the digest of the source files in `parts` and of `options`."""
    key = cache.source_digest("lang", *parts, options=options)
    return Image.read(cache.cached("images", key, lambda: make().elf))
