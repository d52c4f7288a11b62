"""What a hart needs from the world: physical memory, time, and news for translation caches.

Each carrier binds these: the reference engine through `hart.host`, native engines by their own
functions, the hypervisor by plain loads and stores. `kind` is u8, u16, u32 or u64; values are
zero-extended; the last bool of a result is False where nothing answers (an access fault).
"""

from __future__ import annotations

from ringzero.isa.hart import Hart
from ringzero.lang import Fixed, port, u64


@port
def physical_read(hart: Hart, kind: type[Fixed], address: u64) -> tuple[u64, bool]:
    """The zero-extended `kind` at a physical address, and whether anything answered."""


@port
def physical_write(hart: Hart, kind: type[Fixed], address: u64, value: u64) -> bool:
    """Store the low bits of `value` at a physical address; whether anything answered."""


@port
def physical_amo(
    hart: Hart, operation: str, kind: type[Fixed], address: u64, operand: u64
) -> tuple[u64, bool]:
    """Atomic read-modify-write of a u32 or u64, by LLVM's name of the operation; the old value."""


@port
def physical_compare_exchange(
    hart: Hart, kind: type[Fixed], address: u64, expected: u64, value: u64
) -> tuple[bool, bool]:
    """Store `value` where `expected` still stands, in one atomic step: (swapped, answered)."""


@port
def now(hart: Hart) -> u64:
    """The board's mtime."""


@port
def fence_translation(hart: Hart, address: u64, asid: u64, which: u64) -> None:
    """sfence.vma: `which` bit 0 says `address` was given, bit 1 that `asid` was."""
