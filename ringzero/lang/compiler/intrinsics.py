"""What the compiler makes of the operations in `lang/operations.py`: one emitter for each."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ringzero.lang.compiler.floating_text import FLOATING
from ringzero.lang.compiler.terms import Item, Known, Value, llvm_type, passed_type
from ringzero.lang.native import Native, Stub
from ringzero.lang.types import u64

if TYPE_CHECKING:
    from ringzero.lang.compiler.expressions import Expressions

Emit = Callable[["Expressions", list[Item], ast.AST], Item]


def _count(llvm_name: str, flag: str = "") -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        value = e.value(arguments[0], node)
        kind = llvm_type(value.kind)
        name = f"llvm.{llvm_name}.{kind}"
        flag_type = ", i1" if flag else ""
        e.program.declare(name, f"declare {kind} @{name}({kind}{flag_type})")
        extra = f", i1 {flag}" if flag else ""
        return Value(value.kind, e.temporary(f"call {kind} @{name}({kind} {value.text}{extra})"))

    return emit


def _divide(word: str) -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        left = e.value(arguments[0], node)
        right = e.operand(arguments[1], left.kind, node)
        text = f"{word} {llvm_type(left.kind)} {left.text}, {right}"
        return Value(left.kind, e.temporary(text))

    return emit


def _expect(expected: str) -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        if isinstance(arguments[0], Known):
            return arguments[0]
        e.program.declare("llvm.expect.i1", "declare i1 @llvm.expect.i1(i1, i1)")
        text = f"call i1 @llvm.expect.i1(i1 {e.truth(arguments[0])}, i1 {expected})"
        return Value(bool, e.temporary(text))

    return emit


def _known(e: Expressions, item: Item, node: ast.AST) -> Any:
    if not isinstance(item, Known):
        e.fail(node, "this argument is compile-time")
    return item.value


def _at_offset(e: Expressions, base: Item, offset: Item, node: ast.AST) -> str:
    pointer = e.value(base, node)
    if isinstance(offset, Known):
        index = str(int(offset.value))
    else:
        index = e.cast(e.value(offset, node), u64).text
    return e.temporary(f"getelementptr i8, ptr {pointer.text}, i64 {index}")


def _peek(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    where = _at_offset(e, arguments[1], arguments[2], node)
    return Value(kind, e.temporary(f"load {llvm_type(kind)}, ptr {where}, align 1"))


def _poke(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    where = _at_offset(e, arguments[1], arguments[2], node)
    text = e.operand(arguments[3], kind, node)
    e.line(f"store {llvm_type(kind)} {text}, ptr {where}, align 1")
    return Known(None)


def _read(order: str) -> Emit:
    def emit(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
        kind = _known(e, arguments[0], node)
        where = _at_offset(e, arguments[1], arguments[2], node)
        text = f"load atomic {llvm_type(kind)}, ptr {where} {order}, align {kind.bits // 8}"
        return Value(kind, e.temporary(text))

    return emit


def _write_once(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    where = _at_offset(e, arguments[1], arguments[2], node)
    text = e.operand(arguments[3], kind, node)
    size = kind.bits // 8
    e.line(f"store atomic {llvm_type(kind)} {text}, ptr {where} monotonic, align {size}")
    return Known(None)


def _atomic(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    operation, kind = _known(e, arguments[0], node), _known(e, arguments[1], node)
    where = _at_offset(e, arguments[2], arguments[3], node)
    text = e.operand(arguments[4], kind, node)
    word = f"atomicrmw {operation} ptr {where}, {llvm_type(kind)} {text} seq_cst"
    return Value(kind, e.temporary(word))


def _compare_exchange(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    where = _at_offset(e, arguments[1], arguments[2], node)
    expected, new = (e.operand(a, kind, node) for a in arguments[3:5])
    t = llvm_type(kind)
    pair = e.temporary(f"cmpxchg ptr {where}, {t} {expected}, {t} {new} seq_cst seq_cst")
    return Value(bool, e.temporary(f"extractvalue {{ {t}, i1 }} {pair}, 1"))


def _machine_address(e: Expressions, address: Item, node: ast.AST) -> str:
    if isinstance(address, Known):
        return e.temporary(f"inttoptr i64 {int(u64(address.value))} to ptr")
    return e.temporary(f"inttoptr i64 {e.cast(e.value(address, node), u64).text} to ptr")


def _load(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    where = _machine_address(e, arguments[1], node)
    return Value(kind, e.temporary(f"load volatile {llvm_type(kind)}, ptr {where}"))


def _store(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    where = _machine_address(e, arguments[1], node)
    e.line(f"store volatile {llvm_type(kind)} {e.operand(arguments[2], kind, node)}, ptr {where}")
    return Known(None)


def _fence(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    e.line("fence seq_cst")
    return Known(None)


def _address_of(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    item = arguments[0]
    if isinstance(item, Known) and isinstance(item.value, Native):
        symbol = f'@"{e.program.function(e.program.resolve(item.value), ()).symbol}"'
    elif isinstance(item, Known) and isinstance(item.value, Stub):
        e.program.stub(item.value)
        symbol = f'@"{item.value.name}"'
    else:
        symbol = e.value(item, node).text
    return Value(u64, e.temporary(f"ptrtoint ptr {symbol} to i64"))


def _reinterpret(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    kind = _known(e, arguments[0], node)
    e.program.use_type(kind)
    value = e.value(arguments[1], node)
    if passed_type(value.kind) != "ptr" or passed_type(kind) != "ptr":
        e.fail(node, "reinterpret() is between structs, arrays and pointers")
    return Value(kind, value.text)


def _advance(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    pointer = e.value(arguments[0], node)
    e.program.use_type(pointer.kind)
    if isinstance(arguments[1], Known):
        index = str(int(arguments[1].value))
    else:
        index = e.cast(e.value(arguments[1], node), u64).text
    element = llvm_type(pointer.kind.element)
    where = e.temporary(f"getelementptr {element}, ptr {pointer.text}, i64 {index}")
    return Value(pointer.kind, where)


def _call_pointer(e: Expressions, arguments: list[Item], node: ast.AST) -> Item:
    result = _known(e, arguments[0], node)
    where = _machine_address(e, arguments[1], node)
    values = [e.value(a, node) for a in arguments[2:]]
    words = ", ".join(f"{passed_type(v.kind)} {v.text}" for v in values)
    text = f"call {passed_type(result)} {where}({words})"
    if result is None:
        e.line(text)
        return Known(None)
    return Value(result, e.temporary(text))


INTRINSICS: dict[str, Emit] = {
    "clz": _count("ctlz", "false"),
    "ctz": _count("cttz", "false"),
    "popcount": _count("ctpop"),
    "byteswap": _count("bswap"),
    "sdiv": _divide("sdiv"),
    "srem": _divide("srem"),
    "likely": _expect("true"),
    "unlikely": _expect("false"),
    "peek": _peek,
    "poke": _poke,
    "read_once": _read("monotonic"),
    "read_acquire": _read("acquire"),
    "write_once": _write_once,
    "atomic": _atomic,
    "compare_exchange": _compare_exchange,
    "load": _load,
    "store": _store,
    "fence": _fence,
    "address_of": _address_of,
    "call_pointer": _call_pointer,
    "reinterpret": _reinterpret,
    "advance": _advance,
    **FLOATING,
}
