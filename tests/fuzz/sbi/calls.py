"""Random calls: mostly near what some extension means, some anywhere; none that ends the guest."""

from __future__ import annotations

from random import Random

from ringzero.board import hypercalls, sbi
from ringzero.board.addresses import KERNEL_BASE, PLIC_BASE, RAM_BASE, UART_BASE
from tests.fuzz.sbi.answers import Platform
from tests.fuzz.sbi.guest import BUFFER, MEMORY, PARK, RESULTS, RESUME, STATE, Call, call

WORD = (1 << 64) - 1
EXTENSIONS = (
    sbi.BASE, sbi.TIME, sbi.IPI, sbi.RFENCE, sbi.HSM, sbi.SRST, sbi.DBCN, sbi.FWFT,
)  # fmt: skip
UNKNOWN = (0x504D_55, 0x5355_5350, 0x4350_5043, 0x4E41_434C, 0x535345, 0x0900_0000, 0x0A00_0000)
NEAR = (
    0, 1, 2, 3, 4, 5, 6, 8, 15, 16, 63, 64, 65, 0xFFF, 0x1000, 0x1001, 1 << 31, 1 << 32, 1 << 63,
    WORD, WORD - 1, WORD - 0xFFF, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0x9000_0000, 0xE000_0000,
    0xF000_0000, 0xFFFF_FFFF, 0x1000_0000, 0xFFFF_FFFF_8000_0000, 0x4000_0000, 0xC000_0000,
)  # fmt: skip
ADDRESSES = (
    0, 0x1000, UART_BASE, PLIC_BASE, 0x200_0000, 0x10_0000, RAM_BASE, RAM_BASE + 0x7_FFF8,
    RAM_BASE + 0x8_0000, KERNEL_BASE, BUFFER, BUFFER + 1, BUFFER + 0xFFF, 1 << 40, WORD,
)  # fmt: skip
OURS = (
    (KERNEL_BASE, KERNEL_BASE + 0x10_0000), (STATE, RESULTS + MEMORY),
)  # fmt: skip


def number(chooser: Random) -> int:
    """One argument."""
    what = chooser.randrange(10)
    if what < 4:
        return chooser.choice(NEAR)
    if what < 7:
        return chooser.choice(ADDRESSES)
    if what < 9:
        return chooser.randrange(16)
    return chooser.getrandbits(chooser.choice((8, 32, 40, 64)))


def random_call(chooser: Random, platform: Platform) -> Call:
    """A call that leaves the guest able to go on, whatever it is answered."""
    what = chooser.randrange(20)
    if what < 5 and platform.hypercalls:
        extension = hypercalls.EXTENSION
    elif what < 15:
        extension = chooser.choice(EXTENSIONS)
    elif what < 17:
        extension = chooser.randrange(16)
    else:
        extension = chooser.choice((*UNKNOWN, chooser.getrandbits(32), chooser.getrandbits(64)))
    function = chooser.randrange(9) if chooser.randrange(8) else number(chooser)
    arguments = [number(chooser) for _ in range(6)]
    return _harmless(extension, function, arguments, platform)


def _harmless(extension: int, function: int, arguments: list[int], platform: Platform) -> Call:
    """The same call unless it would stop the guest or let a hart run anywhere."""
    if extension == sbi.LEGACY_SHUTDOWN:
        extension = sbi.BASE
    if extension == hypercalls.EXTENSION:
        function = _harmless_hypercall(function, arguments, platform)
    if extension == sbi.SRST and function == sbi.SYSTEM_RESET:
        if arguments[0] & 0xFFFF_FFFF <= sbi.WARM_REBOOT:
            arguments[0] = 3
    if extension == sbi.HSM:
        if function == sbi.HART_STOP:
            function = 4
        if function in (sbi.HART_START, sbi.HART_SUSPEND) and _runs(arguments[1], platform):
            arguments[1] = PARK if function == sbi.HART_START else RESUME
    if extension == sbi.DBCN and function == sbi.CONSOLE_READ:
        low, size = arguments[1], arguments[0]
        if any(low < end and start < low + size for start, end in OURS):
            arguments[1] = BUFFER
    if extension == sbi.DBCN and function == sbi.CONSOLE_WRITE and arguments[0] > 64:
        if arguments[0] < 1 << 24 and arguments[2] == 0:
            arguments[0] = 64  # what is valid is shown; keep it short
    return call(extension, function, *arguments)


def _harmless_hypercall(function: int, arguments: list[int], platform: Platform) -> int:
    """The same function, with arguments that leave the guest its code and its address space."""
    first = arguments[0]
    if function == hypercalls.REGISTER and first % 4096 == 0 and platform.holds(first, 0, 4096):
        arguments[0] = BUFFER
    if function == hypercalls.SPACE and first >> 60 in (8, 9, 10):
        arguments[0] = first & (1 << 60) - 1
    return hypercalls.DESCRIBE if function == hypercalls.EXIT else function


def _runs(address: int, platform: Platform) -> bool:
    """Whether an address could be taken for one where a hart can begin; OpenSBI is small."""
    lowest = min(platform.ram_start, RAM_BASE + 0x2_0000)
    return address & 1 == 0 and lowest <= address < platform.ram_end
