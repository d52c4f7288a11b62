"""Functions that call themselves: in two branches, in an argument, and to a depth of hundreds."""

from __future__ import annotations

from ringzero.lang import native, ptr, typed_range, u8, u64


@native(inline=False)
def fibonacci(n: u64) -> u64:
    """By its definition."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@native(inline=False)
def ackermann(m: u64, n: u64) -> u64:
    """By its definition; one call is the argument of another."""
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, u64(1))
    return ackermann(m - 1, ackermann(m, n - 1))


@native(inline=False)
def recursion(count: u64, arena: ptr[u8]) -> u64:
    """Both, `count` times; the arguments change with the round."""
    total = u64(0)
    for turn in typed_range(count):
        total = total * 3 + fibonacci(14 + (turn & 3))
        total = total * 3 + ackermann(u64(2), 40 + (turn & 7))
    return total
