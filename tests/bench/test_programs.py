"""The bare-metal programs compute the same here and in QEMU, and the harness notices if not."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from ringzero.bench.bare import bare_benchmarks, checksum, program_file
from ringzero.bench.process import run
from ringzero.bench.programs import PROGRAMS, build, rotate, strings
from ringzero.bench.subjects import Guest, Ours, Qemu, checked, instructions
from ringzero.lang import u64

FEW = {
    "mix": 2000, "chain": 2000, "calls": 2000, "beside": 200, "mandelbrot": 8, "orbits": 500,
    "compare": 2000, "prefixes": 2000, "bytecode": 50,
}  # fmt: skip
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


def result(name: str) -> int:
    """What our machine computes in as few rounds as the tests take."""
    return int(checksum(run(Ours().command(Guest(file(name))), 120)), 16)


def test_bytecode_counts_the_steps_of_collatz() -> None:
    steps = 0
    for number in range(1, FEW["bytecode"] + 1):
        while number != 1:
            number = 3 * number + 1 if number & 1 else number >> 1
            steps += 1
    assert result("bytecode") == steps


def test_recursion_computes_fibonacci_and_ackermann() -> None:
    fibonacci = [0, 1]
    while len(fibonacci) < 20:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    total = 0
    for turn in range(2):
        total = total * 3 + fibonacci[14 + turn]
        total = total * 3 + 2 * (40 + turn) + 3  # A(2, n) = 2n + 3
    assert result("recursion") == total


def test_rotate_is_keccak() -> None:
    """The second permutation of zeros, as the Keccak team publishes it; and SHA3-256 of nothing."""
    assert result("rotate") == 0x2D5C_954D_F96E_CB3C
    block = bytearray(200)
    block[0], block[135] = 0x06, 0x80
    for index, lane in enumerate(struct.unpack("<25Q", block)):
        rotate.state.lane[index] = u64(lane)
    rotate.write_constants()
    rotate.permute()
    digest = struct.pack("<4Q", *(int(rotate.state.lane[i]) for i in range(4)))
    assert digest == hashlib.sha3_256(b"").digest()


def test_strings_finds_what_python_finds() -> None:
    seed, total = 7, 0
    for _ in range(2):
        letters = bytearray()
        for _ in range(strings.TEXT):
            seed = seed * 6364136223846793005 + 1442695040888963407 & MASK
            letters.append(97 + (seed >> 60 & 3) if seed >> 61 else strings.SPACE)
        at, word = 0, b""
        while at < len(letters):
            word = bytes(letters[at:]).split(b" ")[0]
            # The word's end is a NUL while it is searched for, so the search ends there.
            place = letters[: at + len(word)].find(word)
            total = total * 31 + len(word) + place & MASK
            at += len(word) + 1
        total = total + strings.COPY + len(word) & MASK
    assert result("strings") == total


def test_straight_executes_ten_thousand_instructions_in_a_round() -> None:
    program = next(each for each in PROGRAMS if each.name == "straight")
    few, more = (
        instructions(run(Ours().command(Guest(program_file(program, rounds))), 120)) or 0
        for rounds in (100, 300)
    )
    assert 9_500 < (more - few) / 200 < 10_500


def test_all_programs_have_names_of_their_own() -> None:
    names = [benchmark.name for benchmark in bare_benchmarks()]
    assert len(set(names)) == len(names)
