"""The CLINT's registers: the text that CPython runs and the one compiled for engines agree."""

from __future__ import annotations

import ctypes
from random import Random

from ringzero.board import clint
from ringzero.lang import u64
from ringzero.lang.host import HostLibrary

HARTS = 3
NOW = 0x1234_5678_9ABC_DEF0


def test_both_lives_agree_on_random_accesses() -> None:
    library = HostLibrary([clint.read_register, clint.write_register])
    native = library.call
    chooser = Random(5)
    image = bytearray(clint.SIZE)
    mirror = (ctypes.c_uint8 * clint.SIZE)()
    at, harts = ctypes.addressof(mirror), u64(HARTS)
    told = set()
    for _ in range(3000):
        near = chooser.choice((clint.MSIP, clint.MTIMECMP, clint.MTIME))
        offset = u64(min(near + chooser.randrange(40), clint.SIZE - 8))
        size, value = u64(chooser.choice((1, 2, 4, 8))), u64(chooser.randrange(1 << 64))
        changed = clint.write_register(image, harts, offset, size, value)
        assert changed == native["write_register"](at, HARTS, offset, size, value)
        read = clint.read_register(image, harts, u64(NOW), offset, size)
        assert read == native["read_register"](at, HARTS, NOW, offset, size)
        told.add(int(changed))
    assert bytes(mirror) == bytes(image)
    assert told == set(range(HARTS + 1))


def test_a_timer_set_in_halves_and_an_msip_of_one_bit() -> None:
    image, harts = bytearray(clint.SIZE), u64(HARTS)
    assert clint.write_register(image, harts, u64(clint.MTIMECMP + 12), u64(4), u64(7)) == 1
    assert clint.deadline(image, u64(1)) == 7 << 32
    assert clint.write_register(image, harts, u64(8), u64(4), u64(0xFFFF_FFFF)) == 2
    assert clint.software(image, u64(2)) == 1
    assert clint.read_register(image, harts, u64(NOW), u64(clint.MTIME + 4), u64(4)) == NOW >> 32
