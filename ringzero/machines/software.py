"""What a RISC-V machine boots: firmware, kernel, initrd and device tree, put into its memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ringzero.board.addresses import FIRMWARE_SIZE, KERNEL_BASE, RAM_BASE
from ringzero.errors import UsageError
from ringzero.machine.loading.boot import check_command_line, place_initrd, place_tree, reset_vector
from ringzero.machine.loading.content import read_file
from ringzero.machine.loading.elf_file import parse_elf
from ringzero.machine.loading.kernel_file import read_kernel
from ringzero.machine.loading.segments import KernelFile
from ringzero.machine.memory import GuestMemory
from ringzero.machine.tree import device_tree
from ringzero.machine.virt import VirtBoard
from ringzero.machines import arguments
from ringzero.machines.arguments import StrPath

if TYPE_CHECKING:
    from ringzero.lang.image import Image

ROOM_FOR_TREE = 4 << 20  # free RAM behind a program in M-mode that makes a device tree worthwhile


@dataclass(frozen=True)
class Software:
    """What the machine boots; `bios` is a file, "none", or None for the built-in firmware."""

    kernel: Path | Image | None = None
    initrd: Path | None = None
    append: str = ""
    bios: Path | None = None

    @classmethod
    def named(
        cls,
        kernel: StrPath | Image | None,
        initrd: StrPath | None,
        append: str,
        bios: StrPath | None,
    ) -> Software:
        """As a user names it."""
        return cls(
            None if kernel is None else kernel_choice(kernel),
            None if initrd is None else arguments.file_path("initrd", initrd),
            arguments.text("append", append),
            None if bios is None else arguments.file_path("bios", bios),
        )


def kernel_choice(kernel: object) -> Path | Image:
    """A kernel: the path of a file, or a program that we have compiled."""
    from ringzero.lang.image import Image

    return kernel if isinstance(kernel, Image) else arguments.file_path("kernel", kernel)


@dataclass(frozen=True)
class Start:
    """Where harts begin, and where the device tree is (0: there is none)."""

    entry: int
    tree: int


def load(memory: GuestMemory, board: VirtBoard, software: Software) -> Start:
    """Put firmware, kernel, initrd and device tree into memory."""
    kernel = _kernel(software.kernel)
    linux = kernel is not None and kernel.linux
    check_command_line(software.append, linux)
    if kernel is not None:
        kernel.load(memory)
    entry, next_stage, reserved = _firmware(memory, software.bios, kernel)
    if kernel is not None and "tohost" in kernel.symbols and str(software.bios) in ("None", "none"):
        board.add_htif(kernel.symbols["tohost"], kernel.symbols.get("fromhost"))
    end = kernel.end if kernel else KERNEL_BASE
    initrd = None
    if software.initrd is not None:
        from ringzero.machine.loading.initrd_file import read_initrd

        data = read_initrd(software.initrd, linux)
        address = place_initrd(memory, end, len(data))
        memory.write(address, data)
        initrd, end = (address, len(data)), address + len(data)
    tree = device_tree(board, software.append, initrd, reserved)
    at = 0
    alone = kernel is not None and entry == kernel.entry
    if not alone or memory.size >= len(tree) + (end - memory.base) + ROOM_FOR_TREE:
        at = place_tree(memory, len(tree), end)
        memory.write(at, tree)
    board.rom.content = reset_vector(entry, at, next_stage).ljust(board.rom.size, b"\0")
    return Start(entry, at)


def _kernel(named: Path | Image | None) -> KernelFile | None:
    if named is None:
        return None
    if isinstance(named, Path):
        return read_kernel(named, RAM_BASE)
    return parse_elf(Path("(built in)"), named.elf)


def _firmware(
    memory: GuestMemory, bios: Path | None, kernel: KernelFile | None
) -> tuple[int, int, list[tuple[int, int]]]:
    """(where harts start, where firmware goes on, memory that is the firmware's)."""
    if bios is not None and str(bios) != "none":
        entry = _load_bios(memory, bios)
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
