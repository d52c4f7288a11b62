"""Two engines on one program: started alike, run, and compared with all that programs can see."""

from __future__ import annotations

import functools
from typing import Any

from ringzero.engine.compiler import Compiled
from ringzero.engine.ports import Why
from ringzero.engine.regions import Regions
from ringzero.engine.regions.find.pages import CodePages
from ringzero.engine.regions.keep.region import Region
from ringzero.isa.hart import Hart
from ringzero.isa.tools.program import assemble_text
from ringzero.lang import Array
from ringzero.machine.bus import Bus
from ringzero.machine.memory import GuestMemory
from tests.engine.machines import begin, give_numbers
from tests.engine.random_programs import BASE, DATA, program, registers

STATE = [
    name
    for name in Hart.fields
    if name not in ("x", "changes", "cause", "tval", "reservation", "reservation_value")
]
ENOUGH = 400_000


def start(make: Any, seed: int, floats: bool = False, base: int = BASE) -> tuple[Any, GuestMemory]:
    """A machine of one hart with a random program."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    memory.write(base, program(seed, floats=floats, base=base))
    memory.write(DATA - 4096, bytes(range(256)) * 32)
    hart = begin(harts, base)
    give_numbers(hart, registers(seed))
    return harts, memory


def state(harts: Any, memory: GuestMemory) -> dict[str, Any]:
    """Everything that programs can see."""
    hart = harts.hart(0)
    found: dict[str, Any] = {"x": [int(hart.x[i]) for i in range(32)]}
    for name in STATE:
        value = getattr(hart, name)
        if issubclass(Hart.fields[name], Array):
            found[name] = [int(v) for v in value]
        else:
            found[name] = int(value)
    found["memory"] = memory.read(BASE, 4 << 20)
    counts = harts.counts(0)
    found["traps"], found["retired_in"] = dict(counts.traps), dict(counts.retired)
    return found


def compare(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Two states are the same; what differs is shown, memory aside."""
    differing = [name for name in left if left[name] != right[name]]
    assert not differing, {
        name: (left[name], right[name]) for name in differing if name != "memory"
    }


def finish(harts: Any) -> None:
    """Run to the end, or for long enough: a program that cannot go on would prove little."""
    stop = harts.run(ENOUGH)
    assert stop.why in (Why.WAITING, Why.LIMIT)


class AllCode(CodePages):
    """Takes everything for code, even where it never ran."""

    def ran(self, array: int, offset: int) -> bool:
        """See CodePages."""
        return True


class Eager(Regions):
    """Compiles a region wherever it is told to, at once, in this thread."""

    @functools.cached_property
    def _pages(self) -> CodePages:
        return AllCode(self.shared, self.cores, self.memory)

    def _work(self) -> None:
        return

    def compile_here(self) -> None:
        """A region from where the hart is."""
        pc = int(self.hart(0).pc)
        for array in range(int(self.shared.decoded_used)):
            if self._pages._context(pc & -4096, array) is not None:
                self._make(array, pc % 4096, pc)
                self.between()


class Learning(Eager):
    """Hears of indirect jumps, and compiles what goes where none expects."""

    def learn(self) -> None:
        """Take over what native code told, and compile again what is concerned."""
        self._read_events()
        while self._hotness.jumps:
            jump, _ = self._hotness.jumps.popitem()
            self._recompile_for_targets(*jump)
        self.between()

    def all_regions(self) -> list[Region]:
        """What was compiled."""
        return [region for known in self._made.values() for region in known.all()]


def machine(make: Any, parts: dict[int, str], rounds: int = 600) -> tuple[Any, GuestMemory]:
    """A hart in M-mode, at the beginning of code at these distances."""
    memory = GuestMemory(4 << 20)
    harts = make(memory, Bus(), 1, deterministic=True)
    for distance, text in parts.items():
        memory.write(BASE + distance, assemble_text(text, BASE + distance))
    hart = begin(harts, BASE)
    hart.x[19] = rounds
    return harts, memory


class Second(Compiled):
    """The compiler, which takes a block when it is executed for the second time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.compiling.state.threshold = 2


class First(Compiled):
    """The compiler, which takes a block before its first execution, and what follows it too."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.compiling.state.threshold, self.compiling.state.ahead = 1, 1
