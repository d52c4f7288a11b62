"""What technique translate rewrites, instruction by instruction: `--show translation`.

The hypervisor counts (state.COUNT_SITES): it chooses what each site becomes and lets it trap, so
each execution is counted, at the price of trap-and-emulate. Functions are named by the kernel's own
symbols, found by where the instruction is in the kernel's file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ringzero.board.addresses import RAM_BASE
from ringzero.hypervisor.host.build import KERNEL_OFFSET
from ringzero.hypervisor.host.kallsyms import NoSymbols, Symbol, covering, symbols
from ringzero.hypervisor.techniques.translate import sites
from ringzero.hypervisor.vm import state
from ringzero.isa.tools.disassembler import disassemble
from ringzero.lang.host import view
from ringzero.lang.image import Image


@dataclass(frozen=True)
class Site:
    """One instruction."""

    function: str
    address: int
    before: str
    after: str
    count: int


def read(
    image: Image, memory: Callable[[int, int], bytes], index: int, kernel: bytes | None
) -> list[Site]:
    """The sites of a VM, by how often they were executed; none under other techniques."""
    status = view(state.Status)
    size = len(bytes(status()))
    raw = memory(image.symbols["hv_status"] + index * size, size)
    table = status.from_buffer_copy(raw).sites
    if table == 0:
        return []
    names = _names(kernel)
    data = memory(table, sites.SITES * sites.SIZE)
    rows = struct.iter_unpack("<6Q", data)
    found = [_site(row, names) for row in rows if row[5] in (sites.REWRITTEN, sites.CHOSEN)]
    return sorted(found, key=lambda one: -one.count)


def _names(kernel: bytes | None) -> list[Symbol]:
    try:
        return [] if kernel is None else symbols(kernel)
    except NoSymbols:
        return []


def _site(row: tuple[int, ...], names: list[Symbol]) -> Site:
    pc, word, made, physical, count, _ = row
    offset = physical - RAM_BASE - KERNEL_OFFSET
    inside = names and 0 <= offset <= names[-1].offset
    symbol = covering(names, offset) if inside else None
    before = disassemble(word if word & 3 == 3 else word & 0xFFFF, pc)
    return Site(symbol.name if symbol else "?", pc, before, disassemble(made, pc), count)


def text(found: Sequence[Site]) -> str:
    """The list, for people."""
    lines = [f"{'executed':>10}  {'function':32} {'address':18} {'before':26} after"]
    lines += [
        f"{one.count:10,}  {one.function:32} {one.address:#018x} {one.before:26} {one.after}"
        for one in found
    ]
    return "\n".join(lines)
