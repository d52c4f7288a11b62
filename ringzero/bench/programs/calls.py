"""Calls through pointers: eight functions in a table, the next one chosen by the last result."""

from __future__ import annotations

from ringzero.lang import (
    Array,
    Struct,
    address_of,
    call_pointer,
    field,
    native,
    ptr,
    typed_range,
    u8,
    u64,
)


class Table(Struct):
    functions: Array[u64] = field(8)


table = Table()


@native(inline=False)
def call0(x: u64, y: u64) -> u64:
    return x + y


@native(inline=False)
def call1(x: u64, y: u64) -> u64:
    return x ^ y << 3


@native(inline=False)
def call2(x: u64, y: u64) -> u64:
    return x * 3 + y


@native(inline=False)
def call3(x: u64, y: u64) -> u64:
    return x - (y >> 1)


@native(inline=False)
def call4(x: u64, y: u64) -> u64:
    return (x << 5 | x >> 59) ^ y


@native(inline=False)
def call5(x: u64, y: u64) -> u64:
    return x + (y | 1)


@native(inline=False)
def call6(x: u64, y: u64) -> u64:
    return ~x + y * 5


@native(inline=False)
def call7(x: u64, y: u64) -> u64:
    return x ^ x >> 17 ^ y


@native(inline=False)
def calls(count: u64, arena: ptr[u8]) -> u64:
    """`count` calls; a multiplicative hash of the result says which comes next."""
    for index, function in enumerate(CALLED):
        table.functions[index] = address_of(function)
    value = u64(1)
    for i in typed_range(count):
        chosen = table.functions[value * 0x9E37_79B9_7F4A_7C15 >> 61]
        value = call_pointer(u64, chosen, value, i)
    return value


CALLED = (call0, call1, call2, call3, call4, call5, call6, call7)
