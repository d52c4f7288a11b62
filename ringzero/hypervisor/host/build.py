"""A hypervisor with its guests: `build([Guest(...), …])` gives one ELF that boots them all.

The image is the compiled program with `hv_config` filled in, and per VM its device tree, kernel and
initial RAM disk as further segments, at their places in the VM's slice. With `embed=False` the
files stay outside, and `Built.files` says which address a loader has to put each at.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringzero.board.addresses import RAM_BASE
from ringzero.errors import RingzeroError
from ringzero.hypervisor.host.device_tree import EXTENSIONS, guest_tree
from ringzero.hypervisor.host.program import program
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.hypervisor.vm.state import (
    COUNT_SITES,
    ESCAPE,
    HEARTBEAT,
    MAGIC,
    PREFIX,
    REPORT,
    SLICES,
    SUPERPAGE,
    VMS,
    Config,
)
from ringzero.lang.host import view
from ringzero.lang.image import READ, WRITE, Image, Label, Segment, write

KERNEL_OFFSET = 0x20_0000  # where RISC-V Linux wants to be, from the start of memory
TREE_SPACE = 0x20_0000  # at the end of memory
MEGABYTE = 1 << 20
AREA = 10 * MEGABYTE  # copies of code, and what is known of sites


class GuestError(RingzeroError):
    """VMs that cannot be had as they were asked for."""


@dataclass(frozen=True)
class Guest:
    """One VM: how much memory, and what is in it. Kernel and initrd are bytes, or files."""

    kernel: bytes | Path
    initrd: bytes | Path | None = None
    append: str = ""
    memory: int = 512 * MEGABYTE
    extensions: tuple[str, ...] = EXTENSIONS
    updates_accessed: bool = False
    """Whether the virtual hart begins by setting A and D bits itself (Svadu), or faults (Svade)."""
    kernel_offset: int = KERNEL_OFFSET
    entry: int | None = None
    """Where it is entered, if not at its first byte."""
    room: int = 0
    """Bytes that it needs from its first one on, where that is more than there are: its .bss."""
    technique: str = "trap"
    """How it gets its CPU: one of techniques.TECHNIQUES."""
    eagerness: int = 2
    """For translate: how often an instruction traps until it is rewritten."""
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(64))
    """Feeds the guest's random numbers; give one to have the same run again."""


@dataclass(frozen=True)
class Piece:
    """Bytes for an address of the machine."""

    address: int
    content: bytes | Path
    name: str

    @property
    def size(self) -> int:
        """How many bytes."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.stat().st_size

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True)
class Built:
    """A hypervisor ready to be loaded."""

    image: Image
    files: tuple[Piece, ...]
    """What a loader has to add; nothing where the guests are embedded."""
    memory: int
    """Bytes of RAM, from 0x80000000, that the machine needs at least."""
    techniques: tuple[str, ...] = ()
    """The guests', in their order."""


def build(
    guests: Sequence[Guest],
    *,
    embed: bool = True,
    report: bool = False,
    prefix: bool | None = None,
    slice_ticks: int = 100_000,
    count_sites: bool = False,
) -> Built:
    """The hypervisor for `guests`. `report` prints the exit tables at the end, on the console.

    `count_sites` lets what translation would rewrite trap, and counts it (host/listing.py).
    """
    if not 1 <= len(guests) <= VMS:
        raise GuestError(f"{len(guests)} VMs were asked for: 1 to {VMS} are possible")
    several = len(guests) > 1
    base = program()
    config = view(Config)(magic=MAGIC, count=len(guests), slice_ticks=slice_ticks)
    config.flags = PREFIX * (several if prefix is None else prefix) | REPORT * report
    config.flags |= COUNT_SITES * count_sites
    config.flags |= (ESCAPE | HEARTBEAT) * several
    pieces: list[Piece] = []
    address = SLICES
    for index, guest in enumerate(guests):
        one = config.vms[index]
        one.memory, one.size = address, guest.memory
        one.entry = RAM_BASE + guest.kernel_offset if guest.entry is None else guest.entry
        one.tree = RAM_BASE + guest.memory - TREE_SPACE
        one.writes_accessed = guest.updates_accessed
        one.technique = TECHNIQUES.index(guest.technique)
        pieces += _pieces(index, guest, address)
        address += guest.memory
    for index, guest in enumerate(guests):
        if guest.technique == "translate":
            one = config.vms[index]
            one.area, one.area_size = address, _area(guest.memory)
            one.eagerness = guest.eagerness
            address += one.area_size
    small = [piece for piece in pieces if embed or isinstance(piece.content, bytes)]
    image = _with(base, bytes(config), small)
    files = tuple(piece for piece in pieces if piece not in small)
    techniques = tuple(guest.technique for guest in guests)
    return Built(image, files, address - RAM_BASE + 32 * MEGABYTE, techniques)


def _area(memory: int) -> int:
    """Bytes for the translator of a VM: a quarter is for what is known of its pages."""
    return -(-(AREA + memory // 512) // SUPERPAGE) * SUPERPAGE


def _pieces(index: int, guest: Guest, slice_start: int) -> list[Piece]:
    """Kernel, initrd and device tree of one VM at the machine's addresses."""
    if guest.memory % SUPERPAGE or guest.memory < 2 * TREE_SPACE:
        raise GuestError(
            f"VM {index} has {guest.memory} bytes of memory: use a multiple of 2 MiB, at least 4"
        )
    kernel = Piece(slice_start + guest.kernel_offset, guest.kernel, f"vm{index} kernel")
    pieces, initrd = [kernel], None
    limit = slice_start + guest.memory - TREE_SPACE
    if guest.initrd is not None:
        disk = Piece(0, guest.initrd, f"vm{index} initrd")
        place = (limit - disk.size) & ~(SUPERPAGE - 1)
        pieces.append(Piece(place, guest.initrd, disk.name))
        initrd = (place - slice_start + RAM_BASE, disk.size)
        limit = place
    if kernel.address + max(kernel.size, guest.room) > limit:
        raise GuestError(
            f"VM {index} with {guest.memory >> 20} MiB has no room for its kernel and initrd"
        )
    tree = guest_tree(
        guest.memory,
        append=guest.append,
        initrd=initrd,
        extensions=guest.extensions,
        seed=guest.seed,
    )
    place = slice_start + guest.memory - TREE_SPACE
    return [*pieces, Piece(place, tree, f"vm{index} tree")]


def _with(base: Image, config: bytes, pieces: Sequence[Piece]) -> Image:
    """The program with its configuration, and more segments."""
    flat = bytearray(base.flat)
    at = base.symbols["hv_config"] - base.base
    flat[at : at + len(config)] = config
    segments = [Segment(base.base, bytes(flat), base.memory_size, READ | WRITE | 1)]
    segments += [Segment(p.address, p.data, p.size, READ | WRITE) for p in pieces]
    labels = {name: Label(value, 0, False) for name, value in base.symbols.items()}
    elf = write(segments, labels, base.entry)
    return Image(elf, bytes(flat), base.symbols, base.entry, base.base, base.memory_size)
