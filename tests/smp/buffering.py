"""A bare-metal program for two harts: store buffering, with both as close in time as can be.

Hart 0 says that a round begins, waits a little longer each time, and does its part; hart 1 does its
own as soon as it hears. So over a few hundred rounds the two accesses of one meet those of the
other at every distance. It never ends; `ROUNDS` and `WEAK` hold how many rounds there were, and in
how many of them both harts missed the other's store.
"""

from __future__ import annotations

from functools import cache

from ringzero.bare.build import build
from ringzero.bare.stubs import stub
from ringzero.lang import fence, load, native, store, u64
from ringzero.lang.image import Image
from tests.smp.frame import BASE, CELLS, start

GO, DONE, MINE, YOURS, ANSWER, ROUNDS, WEAK = (CELLS + 256 * i for i in range(7))
SPREAD = 512  # different waits

linger = stub("linger", "again:\naddi a0, a0, -1\nbgtz a0, again\nret", [u64])


@native(inline=False)
def lead(fenced: int) -> None:
    """Hart 0."""
    i, weak = u64(0), u64(0)
    while True:
        i += 1
        store(u64, GO, i)
        linger(i & (SPREAD - 1))
        store(u64, MINE, i)
        if fenced:
            fence()
        other = load(u64, YOURS)
        while load(u64, DONE) != i:
            pass
        fence()
        weak += u64(other != i and load(u64, ANSWER) != i)
        store(u64, ROUNDS, i)
        store(u64, WEAK, weak)


@native(inline=False)
def follow(fenced: int) -> None:
    """Hart 1."""
    i = u64(0)
    while True:
        while load(u64, GO) == i:
            pass
        i += 1
        store(u64, YOURS, i)
        if fenced:
            fence()
        store(u64, ANSWER, load(u64, MINE))
        fence()
        store(u64, DONE, i)


@native(inline=False)
def main(hart: u64) -> None:
    """Without fences."""
    if hart == 0:
        lead(0)
    follow(0)


@native(inline=False)
def main_fenced(hart: u64) -> None:
    """With a fence between each store and load."""
    if hart == 0:
        lead(1)
    follow(1)


@cache
def program(fenced: bool) -> Image:
    """The program."""
    chosen = main_fenced if fenced else main
    return build(
        [chosen], [start], entry="start", base=BASE, exported={}, bind={}, names={chosen: "main"}
    )
