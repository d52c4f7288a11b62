"""`ringzero.VirtualMachines`: guests under our hypervisor, which runs on our machine.

```python
with VirtualMachines([Vm(kernel="Image", initrd="initrd.gz", append="console=ttyS0")]) as machine:
    outcome = machine.run(timeout=60)
    print(machine.vms()[0].exit_count)
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ringzero.board.addresses import KERNEL_BASE, RAM_BASE
from ringzero.errors import UsageError
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.machine.loading.boot import check_command_line
from ringzero.machine.loading.content import file_content
from ringzero.machine.loading.elf_file import parse_elf
from ringzero.machine.loading.kernel_file import plain_kernel, read_kernel
from ringzero.machine.loading.segments import KernelFile
from ringzero.machines import arguments
from ringzero.machines.arguments import StrPath
from ringzero.machines.console import Console
from ringzero.machines.riscv import Machine
from ringzero.machines.software import kernel_choice
from ringzero.outcome import Outcome, PoweredOff, Rebooted
from ringzero.sizes import parse_size

if TYPE_CHECKING:
    from ringzero.hypervisor.host.build import Built, Guest
    from ringzero.hypervisor.host.listing import Site
    from ringzero.hypervisor.host.report import VmReport
    from ringzero.lang.image import Image

RESTARTED = 129  # hypervisor.vm.scheduler.RESTARTED: the code of a VM that asked for a reset
MEGABYTE = 1 << 20
BIGGEST_GAP = 1 << 30


@dataclass(frozen=True)
class Vm:
    """One virtual machine, as a user wants it."""

    kernel: StrPath | Image
    initrd: StrPath | None = None
    append: str = ""
    memory: int | str = "512M"
    name: str = ""
    technique: str = ""
    """How it gets its CPU, where that is not what all VMs are given."""


class VirtualMachines(Machine):
    """Our machine with our hypervisor in M-mode and `vms` under it; the console is theirs.

    It runs until each VM has ended; the exit code is the first that is not zero. `vms()` says at
    any time what the hypervisor did for each; `order` pauses, resumes or kills one.
    """

    def __init__(
        self,
        vms: Sequence[Vm],
        *,
        technique: str = "trap",
        engine: str = "auto",
        clock: str = "host",
        console: Console | None = None,
        count_sites: bool = False,
    ) -> None:
        repeatable = clock == "instructions"
        named = _named(vms)
        built = compose(named, technique, repeatable=repeatable, count_sites=count_sites)
        self.kernels = [kernel_choice(vm.kernel) for vm in named]
        self.names = [vm.name or f"vm{index}" for index, vm in enumerate(named)]
        self.image = built.image
        super().__init__(
            memory=-(-built.memory // MEGABYTE) * MEGABYTE,
            engine=engine,
            clock=clock,
            kernel=built.image,
            bios="none",
            console=console,
        )

    def vms(self) -> list[VmReport]:
        """Each VM's state, where its instructions went, and its exits."""
        from ringzero.hypervisor.host.report import read

        return read(self.image, self.read_memory)

    def sites(self, index: int) -> list[Site]:
        """What technique translate rewrites in a VM; counted if the machine has `count_sites`."""
        from ringzero.hypervisor.host.listing import read

        self._life.check_usable()
        kernel = self.kernels[arguments.whole("index", index, 0, len(self.names) - 1)]
        content = None
        if isinstance(kernel, Path):
            content = bytes(plain_kernel(kernel, file_content(kernel, "kernel")))
        return read(self.image, self.read_memory, index, content)

    def order(self, index: int, what: str) -> None:
        """`pause`, `resume` or `kill` a VM; with several VMs it is obeyed within a time slice."""
        from ringzero.hypervisor.host.report import ORDERS, order

        arguments.whole("index", index, 0)
        if what not in ORDERS or index >= len(self.names):
            raise UsageError(
                f"There is no order {what!r} for VM {index}: {', '.join(ORDERS)} are for VMs 0 to "
                f"{len(self.names) - 1}."
            )
        self._life.check_usable()
        address, word = order(self.image, index, what)
        # Data, which no engine has translated: it may be stored while harts run.
        self.memory.view(address, len(word))[:] = word

    def _told(self, outcome: Outcome) -> Outcome:
        alone = len(self.names) == 1
        return Rebooted() if alone and outcome == PoweredOff(RESTARTED) else outcome


def compose(
    vms: Sequence[Vm],
    technique: str = "trap",
    report: bool = False,
    repeatable: bool = False,
    count_sites: bool = False,
) -> Built:
    """The hypervisor's program with everything that the VMs boot.

    With `report` it prints its exit tables itself when all have ended; `repeatable` machines give
    their guests the same seed for random numbers each time.
    """
    from ringzero.hypervisor.host.build import build

    guests = [_guest(vm, technique, repeatable) for vm in _named(vms)]
    return build(guests, report=report, count_sites=count_sites)


def _named(vms: object) -> list[Vm]:
    """Guests, as a user lists them."""
    named = arguments.several("vms", vms, '[Vm("Image")]')
    for one in named:
        if not isinstance(one, Vm):
            raise arguments.wrong("a VM", one, 'Vm(kernel, …), such as Vm("Image", memory="128M")')
    return [one for one in named if isinstance(one, Vm)]


def _guest(vm: Vm, technique: str, repeatable: bool) -> Guest:
    from ringzero.hypervisor.host.build import Guest
    from ringzero.machine.loading.initrd_file import read_initrd

    technique = vm.technique or technique
    if technique not in TECHNIQUES:
        raise UsageError(
            f"There is no technique {technique!r} for virtual machines: choose from "
            f"{', '.join(TECHNIQUES)}."
        )
    file = _kernel_file(kernel_choice(vm.kernel))
    append = arguments.text("append", vm.append)
    check_command_line(append, file.linux)
    initrd = None if vm.initrd is None else arguments.file_path("initrd", vm.initrd)
    _check(file)
    offset, kernel = _flat(file)
    guest = Guest(
        kernel=kernel,
        initrd=None if initrd is None else read_initrd(initrd, file.linux),
        append=append,
        memory=parse_size(vm.memory),
        kernel_offset=offset,
        entry=file.entry,
        room=file.end - RAM_BASE - offset,
        technique=technique,
    )
    return replace(guest, seed=bytes(64)) if repeatable else guest


def _kernel_file(kernel: Path | Image) -> KernelFile:
    if isinstance(kernel, Path):
        return read_kernel(kernel, RAM_BASE)
    return parse_elf(Path("(built in)"), kernel.elf)


def _flat(file: KernelFile) -> tuple[int, bytes]:
    """(offset from the start of the guest's memory, content)."""
    start = min(segment.address for segment in file.segments)
    content = bytearray()
    for segment in sorted(file.segments, key=lambda segment: segment.address):
        content += bytes(segment.address - start - len(content))
        content += segment.data
    return start - RAM_BASE, bytes(content)


def _check(file: KernelFile) -> None:
    """Refuse what a guest of the hypervisor cannot be."""
    named, start = f"The kernel {file.path}", min(one.address for one in file.segments)
    if "tohost" in file.symbols:
        raise UsageError(
            f"{named} is a program for M-mode, which is the hypervisor's here: run it with "
            "--cpu emulate."
        )
    if not any(one.address <= file.entry < one.address + one.size for one in file.segments):
        raise UsageError(
            f"{named} is entered at {file.entry:#x}, where it has nothing: link it with an entry "
            "in one of its segments."
        )
    if start < RAM_BASE or file.end - start > BIGGEST_GAP:
        raise UsageError(
            f"{named} is linked for {start:#x} to {file.end:#x}: link it for an address in RAM, "
            f"such as {KERNEL_BASE:#x}."
        )
