"""The harness: alternation, medians, ratios, and what it refuses. Its guests are shell scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from ringzero.bench.bare import program_file
from ringzero.bench.benchmark import Benchmark, Result, Side
from ringzero.bench.catalogue import catalogue
from ringzero.bench.process import Run, run
from ringzero.bench.programs import START
from ringzero.bench.subjects import BenchError, Guest, Ours, Qemu, instructions
from ringzero.bench.suite import Suite, chosen
from ringzero.bench.table import explanation, header, means, per_cpu, record, row
from ringzero.cli.main import main
from tests.limits import HUNG


@dataclass(frozen=True)
class Pretender:
    """A machine that is a Python program, and writes down when it runs."""

    name: str
    text: str
    diary: list[str] = field(default_factory=list)

    def command(self, guest: Guest) -> list[str]:
        self.diary.append(self.name)
        return [sys.executable, "-c", self.text]

    def primers(self, guest: Guest) -> list[list[str]]:
        return [self.command(guest)]


def benchmark(**more: Any) -> Benchmark:
    known: dict[str, Any] = {
        "name": "b", "kind": "k", "title": "t", "unit": "s", "guest": lambda: Guest(Path("g")),
        "read": lambda run: float(run.output.split()[1]),
    }  # fmt: skip
    return Benchmark(**{**known, **more})


def suite(ours: str, peer: str, rounds: int = 3) -> tuple[Suite, list[str]]:
    diary: list[str] = []
    machines = Pretender("ours", ours, diary), Pretender("peer", peer, diary)
    return Suite(cast(Ours, machines[0]), cast(Qemu, machines[1]), rounds), diary


def test_machines_take_turns_and_the_first_changes() -> None:
    made, diary = suite("print('x 2')", "print('x 1')")
    result = made.measure(benchmark())
    assert diary == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert result.ratio == pytest.approx(0.5)


# A machine that writes into its cache at each run, and says how often this was done. The suite's
# own run, which fills a cache with what is no guest's, writes once.
KEEPER = """
import os
cache = os.environ.get("RINGZERO_CACHE", "nowhere") + "/runs"
with open(cache, "a") as kept: kept.write("x")
print("x", os.path.getsize(cache))
"""


def test_a_fresh_suite_begins_each_benchmark_with_an_empty_cache_and_keeps_it() -> None:
    made, _ = suite(KEEPER, "print('x 12')")
    made.fresh = True
    for _ in range(2):
        result = made.measure(benchmark())
        assert result.ours.figures == [2, 3, 4]
        assert result.ratio_of_run(1) == pytest.approx(6.0)
        assert result.ratio_of_run(3) == pytest.approx(3.0)
        assert result.ratio_of_run(10) is None
    folders = list(made.primed.values())
    made.close()
    assert folders
    assert not any(folder.exists() for folder in folders)


def test_a_fresh_benchmark_has_a_new_cache_in_each_round_of_any_suite() -> None:
    for fresh in (False, True):
        made, _ = suite(KEEPER, "print('x 12')")
        made.fresh = fresh
        result = made.measure(benchmark(fresh=True))
        made.close()
        assert result.ours.figures == [2, 2, 2]
        assert not result.fresh, "its first run is as every other"


def test_firmware_is_in_a_fresh_cache_even_when_a_bare_program_was_measured_first() -> None:
    made, diary = suite(KEEPER, "print('x 12')", rounds=1)
    made.fresh = True
    made.measure(benchmark())
    made.measure(benchmark(guest=lambda: Guest(Path("linux"), initrd=Path("files"))))
    made.close()
    assert diary.count("ours") == 4, "a run to fill the cache, and a measured one, for each"


def test_what_no_guest_needs_to_bring_is_in_a_fresh_cache_and_nothing_of_a_guest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A first run of floating-point code also made the library that all its regions share."""
    from ringzero.engine.regions.keep.store import FOLDER, PROFILES

    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    for command in Ours().primers(Guest(program_file(START))):
        run(command, 120.0)
    kept = {path.name for path in tmp_path.iterdir()}
    assert {"interpreter", "compiler", "region-library", "region-helpers"} <= kept
    assert not kept & {FOLDER, PROFILES}


def test_a_rate_is_better_when_it_is_more() -> None:
    made, _ = suite("print('x 30')", "print('x 10')", rounds=1)
    assert made.measure(benchmark(rate=True)).ratio == pytest.approx(3.0)


def test_results_that_differ_are_refused() -> None:
    made, _ = suite("print('x 1')", "print('y 1')", rounds=1)
    with pytest.raises(BenchError, match=r"computes y under peer, but x under ours"):
        made.measure(benchmark(same=lambda run: run.output.split()[0]))


def test_a_guest_that_fails_is_named_with_its_last_words() -> None:
    made, _ = suite("import sys; sys.exit('no such engine')", "print('x 1')", rounds=1)
    with pytest.raises(BenchError, match=r"b under ours ended with code 1 .*no such engine"):
        made.measure(benchmark())


def test_a_run_is_ended_when_its_time_is_up() -> None:
    done = run([sys.executable, "-c", "import time; time.sleep(600)"], 0.3)
    assert done.code == -9
    assert done.seconds < HUNG


def test_lines_have_moments() -> None:
    text = "import time; print('a', flush=True); time.sleep(2); print('b')"
    done = run([sys.executable, "-c", text], HUNG)
    a, b = done.moment("a"), done.moment("b")
    assert a is not None
    assert b is not None
    assert b - a > 0.25
    assert done.first <= a <= b <= done.seconds


def test_memory_that_is_not_shared_is_seen() -> None:
    text = "import time; x = bytearray(64 << 20); time.sleep(2)"
    done = run([sys.executable, "-c", text], HUNG)
    assert 64 << 20 < done.overhead <= done.peak + (8 << 20)


def made_run(seconds: float = 1.0, cpu: float = 1.0, errors: str = "") -> Run:
    return Run(seconds, 0, ((0.5, "x 1"),), 0.5, errors, cpu, 0, 0)


def made_result(ours: list[float], peer: list[float], kind: str = "k", cpu: float = 1.0) -> Result:
    mine = Side([made_run(cpu=cpu) for _ in ours], ours)
    return Result(benchmark(kind=kind), mine, Side([made_run() for _ in peer], peer))


def test_medians_ratios_and_means() -> None:
    first, second = made_result([1, 9, 2], [4, 4, 5]), made_result([1], [8])
    assert first.ratio == pytest.approx(2.0)
    assert "2.00×" in row(first)
    assert "4.00×, least 2.00×" in means([first, second])[0]
    assert means([first]) == []


def test_the_spread_leaves_out_a_first_run_that_knew_nothing() -> None:
    result = made_result([8, 2, 3], [6, 6, 6])
    assert result.spread == pytest.approx(4.0)
    result.fresh = True
    assert result.spread == pytest.approx(1.5)
    assert made_result([8], [6]).spread is None


def test_a_fresh_table_shows_the_first_third_and_tenth_run() -> None:
    results = [made_result([4, 2, *[1] * 8], [2] * 10), made_result([1, 1, 1], [2, 2, 2])]
    for result in results:
        result.fresh = True
    assert row(results[0]).split()[-4:] == ["2.00", "0.50×", "2.00×", "2.00×"]
    assert row(results[1]).split()[-3:] == ["1.00", "2.00×", "2.00×"]
    assert header(fresh=True).split()[-4:] == ["spread", "first", "third", "tenth"]
    assert header(fresh=False).split()[-1] == "spread"
    assert len(row(results[0])) == len(header(fresh=True))
    said = means(results)
    assert "k, first run" in said[1]
    assert "1.00×, least 0.50×" in said[1]
    assert not any("tenth" in line for line in said), "one ratio has no mean"
    assert "from the second on" in explanation(fresh=True)


def test_a_ratio_for_each_second_of_processor() -> None:
    assert per_cpu(made_result([2], [2], cpu=0.5)) == pytest.approx(2.0)


def test_instructions_come_from_the_report_of_the_run() -> None:
    told = {"counters": {"instructions": {"M": 1, "S": 20, "U": 300}}}
    assert instructions(made_run(errors=f"ringzero: hello\n{json.dumps(told)}\n")) == 321
    assert instructions(made_run(errors="nothing")) is None


def test_a_record_is_json_and_says_where_it_comes_from() -> None:
    made = record([made_result([1], [2])], "auto", 1, "7.2", {"first_use_seconds": 3.0})
    again = json.loads(json.dumps(made))
    assert {"commit", "date", "host", "qemu", "engine", "first_use_seconds"} <= set(again)
    assert again["results"][0]["ratio"] == 2.0
    assert again["results"][0]["spread"] is None
    assert again["results"][0]["fresh"] is False


def test_benchmarks_are_chosen_by_name_and_kind() -> None:
    everything = catalogue()
    assert [each.name for each in chosen(everything, ["boot-init", "mix"])] == ["mix", "boot-init"]
    assert all(each.kind == "linux" for each in chosen(everything, ["linux"]))
    assert len({each.name for each in everything}) == len(everything)


def test_the_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list", "integer"]) == 0
    assert "quicksort" in capsys.readouterr().out
    assert main(["bench", "warpdrive"]) == 125
    assert "warpdrive" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "output", "figure"), [
    ("openssl-sha256", "sha256          17479.01k", 17479.01),
    ("openssl-aes", "AES-128-CBC       9625.60k", 9625.6),
    ("openssl-ecdsa", " 256 bits ecdsa (nistp256)   0.0003s   0.0009s   3300.5   1100.0", 3300.5),
    ("7zip", "Avr:   682   100    607    608  |  10657\nTot:             100    735    736", 736),
    ("sysbench", "CPU speed:\n    events per second:   107.99\n", 107.99),
    ("python-loop", "200 loops, best of 3: 2.64e+03 usec per loop", 2640),
    ("stress-crc16", "stress-ng: metrc: [61] cpu         681      3.00      2.98      0.01"
                     "       226.99         227.6", 226.99),
])  # fmt: skip
def test_figures_are_found_in_what_programs_print(name: str, output: str, figure: float) -> None:
    read: Callable[[Run], float] = chosen(catalogue(), [name])[0].read
    lines = tuple((1.0, line) for line in output.splitlines())
    assert read(Run(2, 0, lines, 1, "", 1, 0, 0)) == pytest.approx(figure)
    with pytest.raises(BenchError, match="printed no result"):
        read(made_run())
