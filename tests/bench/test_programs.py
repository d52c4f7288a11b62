"""The bare-metal programs compute the same here and in QEMU, and the harness notices if not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.bench.bare import bare_benchmarks, checksum, program_file
from ringzero.bench.process import run
from ringzero.bench.programs import PROGRAMS, build
from ringzero.bench.subjects import Guest, Ours, Qemu, checked, instructions

FEW = {"mix": 2000, "chain": 2000, "calls": 2000, "beside": 200, "mandelbrot": 8, "orbits": 500}
"""Rounds for a test; two of the others are enough."""

MASK = (1 << 64) - 1


def file(name: str) -> Path:
    program = next(each for each in PROGRAMS if each.name == name)
    return program_file(program, FEW.get(name, 2))


@pytest.mark.needs_qemu
@pytest.mark.parametrize("name", [program.name for program in PROGRAMS])
def test_checksums_agree_with_qemu(name: str) -> None:
    guest = Guest(file(name))
    ours, qemu = Ours(), Qemu()
    here = checked(run(ours.command(guest), 120), ours, name)
    there = checked(run(qemu.command(guest), 60), qemu, name)
    assert checksum(here) == checksum(there)
    assert (instructions(here) or 0) > 500


def test_chain_computes_what_its_text_says() -> None:
    value = 1
    for i in range(FEW["chain"]):
        value = ((value << 7 ^ value) + i) & MASK
        value = value + (value >> 9) & MASK
    done = run(Ours().command(Guest(file("chain"))), 120)
    assert checksum(done) == hex(value)


def test_sieve_counts_the_primes_below_a_million_twice() -> None:
    done = run(Ours().command(Guest(file("sieve"))), 120)
    assert int(checksum(done), 16) == 2 * 78498


def test_beside_stores_into_the_page_of_its_loop() -> None:
    image = build("beside", 1)
    loop = image.symbols["beside"]
    assert (loop & 0xFFF) + 0x100 < 0x1000, "the loop and its cells share a page"


def test_all_programs_have_names_of_their_own() -> None:
    names = [benchmark.name for benchmark in bare_benchmarks()]
    assert len(set(names)) == len(names)
