"""The compiler's program: which functions, types and globals a set of roots needs, as LLVM text.

`Program(target, bind)` starts from native functions and pulls in what they use. A function is
compiled once per choice of its compile-time arguments. Ports and replacements come in `bind`.
Statements are in `statements.py`, expressions in `expressions.py`, intrinsics in `intrinsics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ringzero.lang.compiler.function import FunctionEmitter
from ringzero.lang.compiler.module import Module
from ringzero.lang.compiler.terms import Compiled
from ringzero.lang.native import Native


class Program(Module):
    """LLVM text for roots and everything they use."""

    def add_roots(
        self, roots: Iterable[Native], exported: Mapping[Native, str] = {}, flagged: bool = False
    ) -> None:
        """Compile `roots`; they keep external linkage, under their bare name or `exported`'s.

        With `flagged`, roots that raise take one more parameter, a pointer to an i1 that they set.
        """
        if flagged:
            self.flagged.update(roots)
        named = {root: exported.get(root, root.name) for root in roots}
        self.named.update(named)  # first: one root may call another
        self.roots.update(named.values())
        for root in named:
            self.function(root)

    def function(self, function: Native, known: Sequence[Any] = ()) -> Compiled:
        """`function` compiled for these compile-time arguments (in parameter order)."""
        key = (function, tuple(_key(value) for value in known))
        if key not in self.functions:
            label = "/".join([f"{function.module}.{function.name}", *map(_label, known)])
            name = self.fresh(self.named.get(function) or label.replace('"', "'"))
            made = Compiled(name, function.signature[1], flagged=function in self.flagged)
            if function.cold:
                made.convention = self.target.cold_convention
            self.functions[key] = made
            FunctionEmitter(self, function, list(known), made).emit()
            made.done = True
        return self.functions[key]


def _label(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    return str(getattr(value, "name", value))


def _key(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return id(value)
    return (type(value), value)
