"""A plugin for mypy: in typed Python a plain int stands for a number of any width.

`plugins = ["ringzero.lang.mypy_plugin"]`. An int is then accepted where a `u64` is wanted, and a
`u64` where an int is; a `u32` is accepted as neither a `u64` nor the reverse. mypy has the rule for
the integers of mypyc, which it knows by name; here it is given to each subclass of `Fixed`.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import TypeInfo
from mypy.plugin import ClassDefContext, MethodContext, MethodSigContext, Plugin
from mypy.types import FunctionLike, Instance, Type, UnionType, get_proper_type

FIXED = "ringzero.lang.types.Fixed"
POINTER, BYTE = "ringzero.lang.types.ptr", "ringzero.lang.types.u8"
STRING, BUFFER = "builtins.str", "typing_extensions.Buffer"
CALLS = {f"ringzero.lang.native.{name}.__call__" for name in ("Native", "Port")}
OPERATORS = ("add", "sub", "mul", "floordiv", "mod", "and", "or", "xor", "lshift", "rshift")
OF_INT = {f"builtins.int.__{name}__" for name in OPERATORS}


def _stands_for_int(context: ClassDefContext) -> None:
    """Promote between the class defined here and `int`, both ways."""
    symbol = context.api.lookup_fully_qualified("builtins.int")
    number, integer = context.cls.info, symbol.node
    assert isinstance(integer, TypeInfo)
    if number.alt_promote is None:
        number.alt_promote = Instance(integer, [])
        integer._promote.append(Instance(number, []))


def _result(context: MethodContext) -> Type:
    """What `int OPERATOR right` is: a number where `right` is one."""
    right = get_proper_type(context.arg_types[0][0])
    if isinstance(right, Instance) and right.type.has_base(FIXED):
        return right
    return context.default_return_type


def _accept_bytes(context: MethodSigContext) -> FunctionLike:
    """Let a native function's `ptr[u8]` be a string too, and in CPython a buffer."""
    api = context.api
    string, buffer = api.named_generic_type(STRING, []), api.named_generic_type(BUFFER, [])
    wider = [
        UnionType([kind, string, buffer]) if _points_to_bytes(kind) else kind
        for kind in context.default_signature.arg_types
    ]
    return context.default_signature.copy_modified(arg_types=wider)


def _points_to_bytes(kind: Type) -> bool:
    kind = get_proper_type(kind)
    if not isinstance(kind, Instance) or kind.type.fullname != POINTER:
        return False
    element = get_proper_type(kind.args[0])
    return isinstance(element, Instance) and element.type.fullname == BYTE


class TypedPython(Plugin):
    """Says of each subclass of `Fixed` that it and `int` stand for each other."""

    def get_base_class_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        """Called for each class whose base is `fullname`."""
        return _stands_for_int if fullname == FIXED else None

    def get_method_signature_hook(
        self, fullname: str
    ) -> Callable[[MethodSigContext], FunctionLike] | None:
        """Called for each method that is called: its parameters may be other types."""
        return _accept_bytes if fullname in CALLS else None

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        """Called for each method that is called: its result may be another type."""
        return _result if fullname in OF_INT else None


def plugin(version: str) -> type[Plugin]:
    """The plugin for this version of mypy."""
    return TypedPython
