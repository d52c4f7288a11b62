"""The one place where a machine is put together: memory, board, harts, devices, and software.

`Parts` is what `ringzero.Machine` drives. Which engine runs the harts is decided here, and which
firmware and kernel they find.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from ringzero.board.addresses import CLINT_BASE, FIRMWARE_SIZE, KERNEL_BASE, RAM_BASE, ROM_BASE
from ringzero.engine.ports import Harts
from ringzero.errors import UsageError
from ringzero.isa.hart import Hart, add_hypervisor, reset
from ringzero.lang import u64
from ringzero.machine.boot import place_initrd, place_tree, reset_vector
from ringzero.machine.clock import Clock, HostClock, InstructionClock
from ringzero.machine.disk import DiskImage, open_disk
from ringzero.machine.kernel_file import KernelFile, parse_elf, read_file, read_kernel
from ringzero.machine.memory import GuestMemory
from ringzero.machine.outcome import Outcome as BoardOutcome
from ringzero.machine.virt import VirtBoard

if TYPE_CHECKING:
    from ringzero.lang.image import Image

ROOM_FOR_TREE = 4 << 20  # free RAM behind a program in M-mode that makes a device tree worthwhile
INFO_OFFSET = 40  # of fw_dynamic_info in the boot ROM (machine/boot.py)
ENGINES = ("auto", "regions", "stencils", "interpreter", "reference")
DETERMINISTIC_EPOCH = 1_700_000_000 * 1_000_000_000  # the real-time clock of equal runs


class Console(Protocol):
    """Where the guest's output goes."""

    def write(self, data: bytes) -> object:
        """Called on the harts' thread; must not block for long."""


@dataclass(frozen=True)
class Software:
    """What the machine boots, as a user names it."""

    kernel: str | Path | Image | None = None
    initrd: str | Path | None = None
    append: str = ""
    bios: str | Path | None = None


@dataclass
class Parts:
    """A machine, ready for its first instruction."""

    memory: GuestMemory
    clock: Clock
    board: VirtBoard
    harts: Harts
    feed: Callable[[bytes], None]  # console input
    closers: list[Callable[[], None]]  # of files
    abandoned: bool = False

    def close(self) -> None:
        """Let memory and files go."""
        if not self.abandoned:
            self.harts.close()
            self._close_files()
            self.memory.close()

    def abandon(self) -> None:
        """Let files go; the process ends, and the host takes back memory and threads."""
        self.abandoned = True
        self._close_files()

    def _close_files(self) -> None:
        while self.closers:
            self.closers.pop(0)()


def engine_class(name: str) -> Any:
    """The class behind `--engine`."""
    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}: choose one of {', '.join(ENGINES)}.")
    if name == "reference":
        from ringzero.engine.reference.harts import ReferenceHarts

        return ReferenceHarts
    if name == "interpreter":
        from ringzero.engine.interpreter.engine import Interpreter

        return Interpreter
    if name == "stencils":
        from ringzero.engine.stencils.tier import Stencils

        if not stencils_supported():
            raise UsageError("Stencils are for x86-64 hosts: choose --engine auto or regions.")
        return Stencils
    if name == "auto" and stencils_supported():
        from ringzero.engine.tiers import Tiers

        return Tiers
    from ringzero.engine.regions.tier import Regions

    return Regions


def runs_parallel(asked: bool | None, cpus: int, engine: str, clock: str) -> bool:
    """Whether each hart gets a thread; by default where there are several, and none asks not to."""
    possible = engine != "reference" and clock == "host"
    if asked and not possible:
        raise UsageError(
            "Harts run in parallel with the host's clock and a native engine only: leave out "
            f"{'--clock instructions' if engine != 'reference' else '--engine reference'}, or "
            "--parallel."
        )
    return possible and cpus > 1 if asked is None else asked


def stencils_supported() -> bool:
    """Whether this host's code can be stitched; asked without LLVM, which takes longer."""
    return platform.machine() == "x86_64"


def assemble(
    *,
    memory_size: int,
    cpus: int,
    engine: str,
    clock: str,
    parallel: bool | None,
    hypervisor_extension: bool,
    software: Software,
    disks: Sequence[DiskImage],
    mounts: Sequence[tuple[str, str | Path, bool]],
    console: Console,
    stop: Callable[[BoardOutcome], None],
    wake: Callable[[], None],
    extensions: Sequence[str] | None = None,
) -> Parts:
    """Build everything and load the software."""
    from ringzero.isa.extensions import names

    if clock not in ("host", "instructions"):
        raise UsageError(f"There is no clock {clock!r}: choose host or instructions.")
    make = engine_class(engine)
    memory = GuestMemory(memory_size)
    deterministic = clock == "instructions"
    parallel = runs_parallel(parallel, cpus, engine, clock)
    parts: list[Harts] = []  # the board is built before its harts
    ticks: Clock = HostClock()
    if deterministic:
        ticks = InstructionClock(lambda: parts[0].elapsed if parts else 0)
    board = VirtBoard(
        memory,
        cpus,
        ticks,
        stop=stop,
        isa_extensions=extensions or names(hypervisor=hypervisor_extension),
        set_lines=lambda hart, mask, value: parts[0].set_lines(hart, mask, value),
        output=console.write,
        wake=wake,
        epoch=DETERMINISTIC_EPOCH if deterministic else None,
        rng_seed=bytes(64) if deterministic else os.urandom(64),
    )
    closers = _plug(board, disks, mounts, console, deterministic)
    start = _load(memory, board, software)  # before an engine is made: that may take seconds
    parts.append(make(memory, board.bus, cpus, deterministic=deterministic, parallel=parallel))
    parts[0].share_clint(CLINT_BASE, board.clint.registers)
    for index in range(cpus):
        _start(parts[0].hart(index), index, start, hypervisor_extension)
    return Parts(memory, ticks, board, parts[0], board.uart.feed, closers)


def _plug(
    board: VirtBoard,
    disks: Sequence[DiskImage],
    mounts: Sequence[tuple[str, str | Path, bool]],
    console: Console,
    deterministic: bool,
) -> list[Callable[[], None]]:
    from ringzero.machine.virtio.console import ConsoleDevice
    from ringzero.machine.virtio.entropy import EntropyDevice

    closers: list[Callable[[], None]] = []
    board.add_virtio(ConsoleDevice(console.write))
    board.add_virtio(EntropyDevice(Random(0).randbytes) if deterministic else EntropyDevice())
    for image in disks:
        from ringzero.machine.virtio.block import BlockDevice

        disk = open_disk(image)
        closers.append(disk.close)
        board.add_virtio(BlockDevice(disk), image.bus or "pci", legacy=image.legacy)
    for tag, path, readonly in mounts:
        from ringzero.machine.fuse import serve_folder
        from ringzero.machine.virtio.fs import VirtioFs

        server = serve_folder(path, read_only=readonly)
        closers.append(server.close)
        board.add_virtio(VirtioFs(tag, server))
    return closers


# ---- software


@dataclass(frozen=True)
class Start:
    """Where harts begin, and where the device tree is (0: there is none)."""

    entry: int
    tree: int


def _load(memory: GuestMemory, board: VirtBoard, software: Software) -> Start:
    """Put firmware, kernel, initrd and device tree into memory."""
    kernel = _kernel(software.kernel)
    if kernel is not None:
        kernel.load(memory)
    entry, next_stage, reserved = _firmware(memory, software.bios, kernel)
    if kernel is not None and "tohost" in kernel.symbols and software.bios is None:
        board.add_htif(kernel.symbols["tohost"], kernel.symbols.get("fromhost"))
    end = kernel.end if kernel else KERNEL_BASE
    initrd = None
    if software.initrd is not None:
        from ringzero.machine.initrd_file import read_initrd

        data = read_initrd(Path(software.initrd))
        address = place_initrd(memory, end, len(data))
        memory.write(address, data)
        initrd, end = (address, len(data)), address + len(data)
    tree = board.device_tree(software.append, initrd, reserved)
    at = 0
    alone = kernel is not None and entry == kernel.entry
    if not alone or memory.size >= len(tree) + (end - memory.base) + ROOM_FOR_TREE:
        at = place_tree(memory, len(tree), end)
        memory.write(at, tree)
    board.rom.content = reset_vector(entry, at, next_stage).ljust(board.rom.size, b"\0")
    return Start(entry, at)


def _kernel(named: str | Path | Image | None) -> KernelFile | None:
    if named is None:
        return None
    if isinstance(named, (str, Path)):
        return read_kernel(Path(named), RAM_BASE)
    return parse_elf(Path("(built in)"), named.elf)


def _firmware(
    memory: GuestMemory, bios: str | Path | None, kernel: KernelFile | None
) -> tuple[int, int, list[tuple[int, int]]]:
    """(where harts start, where firmware goes on, memory that is the firmware's)."""
    if bios is not None and str(bios) != "none":
        entry = _load_bios(memory, Path(bios))
        return entry, kernel.entry if kernel else KERNEL_BASE, []
    if kernel is None:
        raise UsageError("There is nothing to boot: name a --kernel or a --bios.")
    overlaps = any(s.address < RAM_BASE + FIRMWARE_SIZE for s in kernel.segments)
    if str(bios) == "none" or "tohost" in kernel.symbols or overlaps:
        return kernel.entry, kernel.entry, []
    from ringzero.firmware import build

    image = build()
    memory.write(image.base, image.flat)
    return image.entry, kernel.entry, [(RAM_BASE, FIRMWARE_SIZE)]


def _load_bios(memory: GuestMemory, path: Path) -> int:
    data = read_file(path, "firmware")
    if data[:4] == b"\x7fELF":
        firmware = read_kernel(path, RAM_BASE)
        firmware.load(memory)
        return firmware.entry
    if len(data) > memory.size:
        raise UsageError(f"The firmware {path} does not fit in memory: give more with --memory.")
    memory.write(RAM_BASE, data)
    return RAM_BASE


def _start(hart: Any, index: int, start: Start, hypervisor_extension: bool) -> None:
    """The state in which the boot ROM leaves a hart (its code only loads these registers)."""
    fresh = Hart()
    reset(fresh, u64(index), u64(start.entry))
    if hypervisor_extension:
        add_hypervisor(fresh)
    for name in Hart.fields:
        value = getattr(fresh, name)
        if isinstance(value, int) and value:
            setattr(hart, name, type(getattr(hart, name))(value))
    for register, value in ((10, index), (11, start.tree), (12, ROM_BASE + INFO_OFFSET)):
        hart.x[register] = type(hart.x[register])(value)
