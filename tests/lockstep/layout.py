"""Where a generated program has its parts: 1 MiB of RAM, and virtual views of it."""

from __future__ import annotations

RAM = 0x8000_0000
SIZE = 0x10_0000
PAGE = 4096

CONTROL = RAM + 0x1000  # what the dispatcher reads: a pointer, then values for registers and CSRs
HANDLER_S = RAM + 0x2000
DESCRIPTORS = RAM + 0x3000  # one per chunk
CHUNKS = RAM + 0x5000
CHUNK_BYTES = 256
CHUNK_COUNT = 48
DATA = RAM + 0x1_0000
DATA_BYTES = 0x1_0000  # aligned to itself, so that a Svnapot entry can map it
TABLES = RAM + 0x2_0000
TABLE_COUNT = 10

# Virtual addresses while satp is on. S sees RAM where it is, U sees it at USER, and at WINDOW the
# entries are random, on every level that they can stand on.
USER = 0x4000_0000
WINDOW = 0xC000_0000
WINDOW_PAGES = 64
SUPERPAGES = WINDOW + 0x20_0000
GIGAPAGES = 0x1_0000_0000
TERAPAGES = 1 << 39

# With H: the G-stage's tables, whose roots take four pages each.
GUEST_TABLES = RAM + 0x2_C000
GUEST_TABLE_COUNT = 14
HANDLER_HS = HANDLER_S + 0x100

WATCHED = (1, *range(0x10, 0x20), *range(0x20, 0x20 + TABLE_COUNT))  # pages compared at each step
