"""The compiler: its tables, and whole states compared with the interpreter's."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from ringzero.engine.compiler import Compiled, Compiling, load_tables
from ringzero.engine.compiler.packing import parts
from ringzero.engine.compiler.tier import CodeMemory
from ringzero.engine.interpreter import Interpreter
from ringzero.engine.native.code.handler_numbers import Special
from ringzero.engine.regions.find.pages import decoded_page
from ringzero.engine.tiers import Tiers
from ringzero.guests import build
from ringzero.isa.instruction import SYSTEM
from ringzero.isa.registry import INSTRUCTIONS
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from ringzero.machines.riscv import Machine
from ringzero.outcome import PoweredOff
from tests.engine.random_programs import BASE
from tests.engine.side_by_side import ENOUGH, First, Second, compare, finish, start, state
from tests.limits import HUNG

INTEGER = ("I", "M", "A", "Zba", "Zbb", "Zbs", "Zicond")


def test_all_integer_instructions_are_compiled() -> None:
    data = load_tables()
    offset, size = parts(data)[0]
    assert size == len(INSTRUCTIONS)
    without = {
        one.name
        for one, kind in zip(INSTRUCTIONS, data[offset : offset + size], strict=True)
        if one.extension in INTEGER and one.kind is not SYSTEM and kind == 0
    }
    assert not without


def stretch(harts: Any) -> None:
    """Run freely for a while: `run` would take single steps. Tiers stop at the same instruction."""
    harts._run(harts.elapsed + 300)


@pytest.mark.parametrize("make", [First, Second], ids=["first", "second"])
@pytest.mark.parametrize("seed", range(200, 208))
def test_compiled_code_equals_the_interpreter(make: type[Compiled], seed: int) -> None:
    expected, its_memory = start(Interpreter, seed)
    compiled, memory = start(make, seed)
    for _ in range(20):
        stretch(expected)
        stretch(compiled)
        compare(state(expected, its_memory), state(compiled, memory))
    finish(expected)
    finish(compiled)
    compare(state(expected, its_memory), state(compiled, memory))
    if make is First:
        assert compiled.compiling.state.instructions > 0
    compiled.close()


def test_code_memory_that_is_full_is_used_again() -> None:
    expected, its_memory = start(Interpreter, 203)
    compiled, memory = start(First, 203)
    tier = compiled.compiling.state
    tier.arenas, tier.half = 2, 66 << 10  # hardly more than one trace in each arena
    while expected.elapsed < ENOUGH and not expected.idle(0):
        stretch(expected)
        stretch(compiled)
    compare(state(expected, its_memory), state(compiled, memory))
    assert tier.begun_arenas > tier.arenas
    assert tier.used <= tier.end <= tier.size
    compiled.close()


def program(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


# addi x5, x5, 1 (patched below); addi x6, x6, -1; bnez x6, -8; ebreak's place: wfi
LOOP = program(0x0012_8293, 0xFFF3_0313, 0xFE03_1CE3, 0x1050_0073)
OTHER = 0x0022_8293  # addi x5, x5, 2


def looping(make: type[Interpreter]) -> tuple[Any, GuestMemory]:
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(BASE, LOOP)
    hart = harts.hart(0)
    hart.pc, hart.mode, hart.x[6] = BASE, 3, 100_000
    return harts, memory


def test_a_loop_is_compiled_and_its_change_is_seen() -> None:
    """Memory written from outside drops the blocks made of it, in the middle of a loop."""
    compiled, memory = looping(Compiled)
    compiled.run(150_000)
    assert compiled.compiling.state.traces > 0
    assert compiled.hart(0).x[5] == 50_000
    memory.write(BASE, OTHER.to_bytes(4, "little"))
    compiled.run()
    assert compiled.hart(0).x[5] == 50_000 + 2 * 50_000
    assert compiled.hart(0).retired == 300_001  # with the wfi
    compiled.close()


def test_regions_displace_blocks() -> None:
    """What is installed at a loop's head stands there, though the loop had been compiled."""
    harts, _ = looping(Tiers)
    harts._run(3000)
    array = ctypes.c_uint32.from_address(harts.shared.pages).value - 1
    page = decoded_page(harts.shared, array)
    block = page.slots[0].handler
    run = harts.compiling.memory.run
    assert run <= block < run + harts.compiling.memory.size
    table = ctypes.cast(harts.shared.handlers, ctypes.POINTER(ctypes.c_uint64))
    region = table[Special.ILLEGAL]  # any handler will do, if it is another
    changes = page.changes
    assert harts.code.install_region(harts.shared_address, array, 0, region, changes)
    assert page.slots[0].handler == region
    addi = next(index for index, one in enumerate(INSTRUCTIONS) if one.name == "addi")
    assert page.originals[0] == table[2 * addi]
    harts._run(10_000)
    assert harts.hart(0).x[5] < 1100  # it had come back there, and was not executed
    harts.close()


def test_a_kernel_runs_the_same_while_its_blocks_are_given_back() -> None:
    counted = []
    for engine in ("interpreter", "compiler"):
        kernel = build("kernel")
        with Machine(kernel=kernel, memory="64M", clock="instructions", engine=engine) as machine:
            if engine == "compiler":
                assert isinstance(machine.harts, Compiled)
                tier = machine.harts.compiling.state
                tier.half = 8 * 33 << 10  # a few blocks in each arena
            assert machine.run(timeout=HUNG) == PoweredOff(0)
            counted.append(machine.counters())
            if engine == "compiler":
                assert machine.profile().emptied > 0
    assert counted[0] == counted[1]


def test_code_memory_is_never_writable_where_it_runs() -> None:
    memory = CodeMemory(1 << 20)
    with open("/proc/self/maps") as file:
        lines = [line for line in file if "ringzero-code" in line]
    kinds = {
        line.split()[1]
        for line in lines
        if line.startswith((f"{memory.write:x}-", f"{memory.run:x}-"))
    }
    assert kinds == {"rw-s", "r-xs"}
    memory.close()


def test_the_size_of_code_memory_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three quarters of what all translated code may take."""
    monkeypatch.setenv("RINGZERO_CODE_LIMIT", "20M")
    engine = Interpreter(GuestMemory(4 << 20), Bus(), 1)
    compiling = Compiling(engine)
    assert compiling.state.size == 15 << 20
    compiling.close()


def test_tiers_agree_on_a_kernel_with_interrupts() -> None:
    """Paging, traps and timer interrupts, to the same counters."""
    counted = []
    for engine in ("interpreter", "compiler", "auto"):
        kernel = build("kernel")
        with Machine(kernel=kernel, memory="64M", clock="instructions", engine=engine) as machine:
            assert machine.run(timeout=HUNG) == PoweredOff(0)
            counted.append(machine.counters())
    assert counted[0].interrupts
    assert counted[0] == counted[1] == counted[2]
