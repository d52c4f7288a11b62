"""UART and PLIC: compiled, on fixed-width numbers, and on Python's own, they do the same."""

from __future__ import annotations

import ctypes
from random import Random
from typing import Any

import pytest

from ringzero.board import plic, uart
from ringzero.lang import Native, u64
from ringzero.lang.host import HostLibrary, view
from ringzero.machine.devices import registers

Call = tuple[Native, list[int]]


def random_uart(chooser: Random) -> Call:
    what = chooser.randrange(5)
    if what == 0:
        return uart.receive, [chooser.choice((chooser.randrange(256), uart.BREAK_MARK))]
    if what == 1:
        return chooser.choice((uart.interrupt, uart.room)), []
    if what == 2:
        return uart.read, [chooser.randrange(10)]
    return uart.write, [chooser.randrange(10), chooser.randrange(256)]


def random_plic(chooser: Random) -> Call:
    what = chooser.randrange(4)
    if what == 0:
        return plic.set_level, [chooser.randrange(1, plic.SOURCES), chooser.randrange(2)]
    if what == 1:
        return plic.interrupts, [chooser.randrange(4)]
    near = chooser.choice((0, plic.PENDING, plic.ENABLE, plic.CONTEXT, plic.CONTEXT + 0x3000))
    span = 0x220 if near < plic.CONTEXT else 0x10
    offset = min(near + chooser.randrange(span), plic.SIZE - 4) & ~3
    if what == 2:
        return plic.read, [offset]
    value = chooser.choice((chooser.randrange(plic.SOURCES + 2), chooser.randrange(1 << 32)))
    return plic.write, [offset, value]


DEVICES: dict[str, Any] = {
    "uart": (
        uart, uart.Uart, random_uart,
        (uart.receive, uart.interrupt, uart.room, uart.read, uart.write),
    ),
    "plic": (
        plic, plic.Plic, random_plic,
        (plic.set_level, plic.interrupts, plic.read, plic.write),
    ),
}  # fmt: skip


def fields(state: Any) -> dict[str, Any]:
    """Every field as plain numbers."""
    found = {name: getattr(state, name) for name, _ in state._fields_}
    return {n: list(v) if isinstance(v, ctypes.Array) else int(v) for n, v in found.items()}


@pytest.mark.parametrize("name", DEVICES)
def test_all_lives_agree_on_random_calls(name: str) -> None:
    module, kind, choose, functions = DEVICES[name]
    library = HostLibrary(functions)  # its code lives as long as it does
    native = library.call
    chooser = Random(7)
    typed, plain, compiled = kind(), registers.plain_state(kind), view(kind)()
    text = registers.plain_text(module)
    answers: dict[str, set[int]] = {function.name: set() for function in functions}
    if name == "plic":
        typed.contexts, plain.contexts, compiled.contexts = u64(4), 4, 4
    for _ in range(6000):
        function, numbers = choose(chooser)
        kinds = [part for _, part in function.signature[0]][1:]
        given = [part(number) for part, number in zip(kinds, numbers, strict=True)]
        wanted = native[function.name](ctypes.addressof(compiled), *numbers)
        assert function(typed, *given) == wanted, (function.name, numbers)
        assert getattr(text, function.name)(plain, *numbers) == wanted, (function.name, numbers)
        answers[function.name].add(int(wanted or 0))
    assert registers.saved(kind, typed) == registers.saved(kind, plain) == fields(compiled)
    assert all(len(seen) > 1 for seen in answers.values() if seen != {0}), answers
    assert len(answers["read"]) > 5


def test_typed_state_is_saved_as_plain_numbers() -> None:
    state = registers.plain_state(plic.Plic)
    registers.plain_text(plic).write(state, 4, 3)
    other = registers.plain_state(plic.Plic)
    registers.restore(other, registers.saved(plic.Plic, state))
    assert other.priority[1] == 3
    other.priority[1] = 5
    assert state.priority[1] == 3
