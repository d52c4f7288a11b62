"""The rounds: each benchmark runs here and on the other machine in turn, as often as asked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ringzero.bench.bare import program_file
from ringzero.bench.benchmark import Benchmark, Result, Side
from ringzero.bench.process import Run, run
from ringzero.bench.programs import START
from ringzero.bench.subjects import (
    AS_INSTALLED,
    BenchError,
    Guest,
    Ours,
    Qemu,
    Subject,
    checked,
    instructions,
)


@dataclass
class Suite:
    """How to measure. `told` is called before each run.

    With `fresh`, the first of our runs of each benchmark knows nothing of the guest, and each
    later one what those before it kept.
    """

    ours: Ours
    peer: Qemu | None
    rounds: int
    told: Callable[[str], None] = lambda text: None
    fresh: bool = False
    primed: dict[bool, Path] = field(default_factory=dict, init=False)  # by whether it is bare

    def warm(self) -> None:
        """Let our machine compile what it compiles once, so that no round pays for it."""
        self.told("a run that is not measured")
        run(self.ours.command(Guest(program_file(START))), 120.0, AS_INSTALLED)

    def measure(self, benchmark: Benchmark) -> Result:
        """All rounds of one benchmark; which machine begins changes with the round."""
        guest = benchmark.guest()
        kept = self.fresh and not benchmark.fresh
        result = Result(benchmark, peer=Side() if self.peer else None, fresh=kept)
        with ExitStack() as stack:
            cache = stack.enter_context(self._fresh_cache(guest)) if kept else None
            self._rounds(result, guest, cache)
        result.ours.instructions = instructions(result.ours.runs[-1])
        return result

    def _rounds(self, result: Result, guest: Guest, cache: Path | None) -> None:
        benchmark = result.benchmark
        said: dict[str, str] = {}
        for turn in range(self.rounds):
            subjects: list[Subject] = [self.ours, *([self.peer] if self.peer else [])]
            for subject in subjects if turn % 2 == 0 else reversed(subjects):
                self.told(f"{benchmark.name}, round {turn + 1}, {subject.name}")
                done = self._once(benchmark, guest, subject, cache)
                _compare(benchmark, subject, done, said)
                side = result.ours if subject is self.ours else result.peer
                assert side is not None
                side.runs.append(done)
                side.figures.append(benchmark.read(done))

    def _once(
        self, benchmark: Benchmark, guest: Guest, subject: Subject, cache: Path | None
    ) -> Run:
        """One run; ours with that cache, with one of its own, or with the user's."""
        with ExitStack() as stack:
            environment = dict(AS_INSTALLED)
            if benchmark.fresh and subject is self.ours:
                cache = stack.enter_context(self._fresh_cache(guest))
            if cache is not None:
                environment["RINGZERO_CACHE"] = str(cache)
            done = run(subject.command(guest), benchmark.timeout, environment)
            return checked(done, subject, benchmark.name)

    @contextmanager
    def _fresh_cache(self, guest: Guest) -> Iterator[Path]:
        """A cache folder with what is compiled once, and nothing about any guest."""
        if guest.bare not in self.primed:
            made = self.primed[guest.bare] = Path(tempfile.mkdtemp(prefix="ringzero-bench-"))
            self.told("compiling the native core into an empty cache")
            for command in self.ours.primers(guest):
                run(command, 120.0, {**AS_INSTALLED, "RINGZERO_CACHE": str(made)})
        with tempfile.TemporaryDirectory(prefix="ringzero-bench-") as folder:
            yield shutil.copytree(self.primed[guest.bare], Path(folder) / "cache")

    def close(self) -> None:
        """Remove what was written beside the results."""
        for folder in self.primed.values():
            shutil.rmtree(folder, ignore_errors=True)
        self.primed.clear()


def first_compilation(guest: Guest, ours: Ours) -> Run:
    """A run with an empty cache: the native core is compiled before the guest starts."""
    with tempfile.TemporaryDirectory(prefix="ringzero-bench-") as folder:
        command = ours.command(guest)
        environment = {**AS_INSTALLED, "RINGZERO_CACHE": folder}
        return checked(run(command, 120.0, environment), ours, "first use")


def _compare(benchmark: Benchmark, subject: Subject, done: Run, said: dict[str, str]) -> None:
    """What a program computes must not depend on the machine, nor on the round."""
    if benchmark.same is None:
        return
    says = benchmark.same(done)
    for other, before in said.items():
        if before != says:
            raise BenchError(
                f"{benchmark.name} computes {says} under {subject.name}, but {before} under "
                f"{other}: one of the machines is wrong."
            )
    said[subject.name] = says


def chosen(benchmarks: Sequence[Benchmark], names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names or kinds, in the catalogue's order; all without names."""
    known = {word for each in benchmarks for word in (each.name, each.kind)}
    for name in names:
        if name not in known:
            raise BenchError(f"There is no benchmark {name!r}: `ringzero bench --list` shows them.")
    return [each for each in benchmarks if not names or {each.name, each.kind} & set(names)]
