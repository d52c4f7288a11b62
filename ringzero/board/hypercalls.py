"""The paravirtual interface, as both sides read it: numbers, and the layout of the shared page.

docs/hypercalls.md tells it in words. The hypervisor answers it
(hypervisor/techniques/paravirt/hypercalls.py), the bundled kernel calls it
(guests/kernel/paravirt.py), and the header for Linux is made from these names
(images/kernel_edits.py).
"""

from __future__ import annotations

from ringzero.lang import Struct, u64
from ringzero.lang.host import view

EXTENSION = 0x0872_7A00  # of SBI's experimental extensions
MAJOR, MINOR = 1, 0
VERSION = MAJOR << 16 | MINOR

# Function numbers, in a6.
(DESCRIBE, REGISTER, DELIVER, SPACE, FLUSH, FLUSH_MANY, TIMER, YIELD, CONSOLE, EXIT) = range(10)
FUNCTIONS = 10

ALWAYS_SUM = 1  # REGISTER's flags: the kernel may touch user pages whatever SUM says
FLAGS = 1
NO_PAGE = 0xFFFF_FFFF_FFFF_FFFF  # REGISTER: give the page up
EVERY_SPACE = 0xFFFF_FFFF_FFFF_FFFF  # FLUSH: whatever the address space
MOST_RANGES = 256  # of FLUSH_MANY
MOST_PAGES = 64  # of one range; a longer one is taken for everything
MOST_TOGETHER = 512  # of all ranges of a call
MOST_BYTES = 4096  # of CONSOLE


class Range(Struct):
    """One entry of FLUSH_MANY: pages from an address on."""

    address: u64
    pages: u64


class Page(Struct):
    """The page that a virtual hart shares with the hypervisor: supervisor CSRs as memory."""

    enabled: u64  # sstatus.SIE in its place: 2 or 0
    pending: u64  # sip, as the hypervisor last saw it
    status: u64  # sstatus without SIE
    epc: u64
    cause: u64
    value: u64  # stval
    scratch: u64
    enables: u64  # sie
    deadline: u64  # stimecmp
    armed: u64  # when the hypervisor will look at `deadline` next
    lent: u64  # t6 of the interrupted program, while the handler's t6 points to this page
    version: u64


OFFSETS: dict[str, int] = {name: getattr(view(Page), name).offset for name in Page.fields}
