"""One text, three lives: CPython, this host, bare riscv64 agree on random programs."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import pytest

from ringzero.lang import Array, Struct, native, u64
from ringzero.lang.host import HostLibrary, view
from tests.lang import bare
from tests.lang.generate import Generator
from tests.lang.modules import loaded

INPUTS = [(0, 0), (1, 0xFFFF_FFFF_FFFF_FFFF), (0x8000_0000_0000_0000, 0x1234_5678_9ABC_DEF0),
          (0xDEAD_BEEF_0BAD_F00D, 7)]  # fmt: skip


def flattened(state: Any) -> list[int]:
    """Every number in a struct, of CPython's life or ctypes'."""
    if isinstance(state, (Struct, ctypes.Structure)):
        names = state.fields if isinstance(state, Struct) else [f[0] for f in state._fields_]
        return [n for name in names for n in flattened(getattr(state, name))]
    if isinstance(state, (Array, ctypes.Array)):
        return [n for item in state for n in flattened(item)]
    return [int(state)]


def in_cpython(module: Any, functions: list[Any]) -> list[list[int]]:
    results = []
    for function in functions:
        state = module.State()
        results.append([int(function(state, u64(a), u64(b))) for a, b in INPUTS])
        results[-1] += flattened(state)
    return results


def on_host(module: Any, functions: list[Any]) -> list[list[int]]:
    library = HostLibrary(functions)
    results = []
    for function in functions:
        state = view(module.State)()
        call = library.call[function.name]
        results.append([call(ctypes.addressof(state), a, b) for a, b in INPUTS])
        results[-1] += flattened(state)
    return results


PROGRAM = """

from tests.lang.bare import show
from ringzero.lang import i64, native, u64

INPUTS = {inputs}


@native
def program() -> None:
    for function in FUNCTIONS:
        state = State()
        for a, b in INPUTS:
            show(function(state, a, b))
        show(state.word)
        show(u64(state.half))
        show(u64(state.signed))
        show(u64(state.flag))
        for i in range(u64(8)):
            show(u64(state.table[i]))
        show(u64(state.inner.small))
        show(u64(state.inner.wide))
"""


def generated(seed: int, folder: Path, count: int) -> tuple[Any, list[Any]]:
    generator = Generator(seed)
    text = generator.module(count) + f"\n\nFUNCTIONS = [{', '.join(generator.functions)}]\n"
    module = loaded(text + PROGRAM.format(inputs=INPUTS), folder, f"random_program_{seed}")
    return module, module.FUNCTIONS


def unsigned(results: list[list[int]]) -> list[int]:
    return [value & 0xFFFF_FFFF_FFFF_FFFF for one in results for value in one]


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_agree(seed: int, tmp_path: Path) -> None:
    module, functions = generated(seed, tmp_path, 12)
    expected = unsigned(in_cpython(module, functions))
    assert unsigned(on_host(module, functions)) == expected
    assert len(set(expected)) > len(functions)  # the programs compute something
    image = bare.image(module.program)
    assert bare.run_here(image, tmp_path) == expected
    if shutil.which("qemu-system-riscv64"):
        assert bare.run(image, tmp_path) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_random_programs_agree(seed: int, tmp_path: Path) -> None:
    test_random_programs_agree(seed, tmp_path)


@native
def program() -> None:
    for i in range(3):
        bare.show(i)


@pytest.mark.needs_qemu
def test_bare_metal_console(tmp_path: Path) -> None:
    assert bare.run(bare.image(program), tmp_path) == [0, 1, 2]
