"""Typed Python on this host: compile, cache, load, and call from CPython.

`HostLibrary(roots)` compiles native functions into this process; `view(kind)` gives the ctypes
structure with the same layout as a Struct, so Python and native code share one state.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringzero.lang import binding, cache
from ringzero.lang.compiler import Program, result_kinds
from ringzero.lang.native import Native
from ringzero.lang.types import Array, Fixed, Pointer


@functools.cache
def view(kind: Any) -> Any:
    """The ctypes type with the layout of a typed-Python type."""
    if kind is bool:
        return ctypes.c_bool
    if issubclass(kind, Fixed):
        if kind.bits > 64:
            raise TypeError(f"{kind.__name__} has no ctypes counterpart: keep it out of structs")
        return getattr(ctypes, f"c_{'' if kind.signed else 'u'}int{kind.bits}")
    if issubclass(kind, Pointer):
        return ctypes.c_void_p
    if issubclass(kind, Array):
        return view(kind.element) * kind.length
    fields = [(name, view(part)) for name, part in kind.fields.items()]
    return type(kind.__name__, (ctypes.Structure,), {"_fields_": fields})


def _argument(kind: Any) -> Any:
    if kind is bool or issubclass(kind, Fixed):
        return view(kind)
    return ctypes.c_void_p


def prototype(function: Native) -> Any:
    """The C prototype of a native function that does not raise."""
    parameters, result = function.signature
    kinds = result_kinds(result)
    return ctypes.CFUNCTYPE(
        _argument(kinds[0]) if kinds else None, *(_argument(k) for _, k in parameters)
    )


def sources(modules: Sequence[str]) -> str:
    """The text of the given modules, as a cache key."""
    return "\n".join(inspect.getsource(sys.modules[name]) for name in modules)


class HostLibrary:
    """Native functions compiled for this host and loaded; call them as attributes of `call`."""

    def __init__(
        self, roots: Sequence[Native], bind: Mapping[Native, Native] = {}, level: int = 2
    ) -> None:
        program = Program(binding.host_target(), bind)
        program.add_roots(roots)
        for root in roots:
            if program.function(root).raises:
                raise TypeError(f"{root.name} may raise: wrap it in a function that catches")
        text = program.text()
        key = cache.digest(text, binding.host_identity(), str(level))
        code = cache.cached(
            "objects", key, lambda: binding.object_code(text, binding.host_machine(), level)
        )
        self.library = binding.Library(code, [root.name for root in roots])
        self.address = self.library.addresses
        self.call: dict[str, Callable[..., Any]] = {
            root.name: prototype(root)(self.address[root.name]) for root in roots
        }
