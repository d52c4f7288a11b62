"""`KvmMachine`: an x86-64 machine on the host's own virtualization, driven like `ringzero.Machine`.

```python
with KvmMachine(kernel="vmlinuz", initrd="initrd.gz", append="console=ttyS0") as machine:
    outcome = machine.run(timeout=60)
```
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ringzero.errors import UsageError
from ringzero.kvm.api import REGISTERS, Capability
from ringzero.kvm.board import acpi, layout
from ringzero.kvm.board.legacy import (
    Cmos,
    ExitPort,
    KeyboardController,
    PowerManagement,
    ResetControl,
)
from ringzero.kvm.board.ram import check_size, guest_memory, ram_ranges
from ringzero.kvm.board.wiring import Board, Failure, NamedSlot
from ringzero.kvm.boot import load as boot
from ringzero.kvm.boot.entry import enter
from ringzero.kvm.cpuid import MSR_BASELINE, guest_cpuid
from ringzero.kvm.errors import KvmStuck
from ringzero.kvm.stats import ExitStats
from ringzero.kvm.vcpu_threads import VcpuThreads
from ringzero.kvm.vm import Kvm, Vm
from ringzero.machine.devices.finisher import TestFinisher
from ringzero.machine.devices.uart import Uart
from ringzero.machine.disk import DiskImage
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.machines import arguments, plug
from ringzero.machines.arguments import StrPath
from ringzero.machines.base import BaseMachine
from ringzero.machines.console import Console
from ringzero.machines.counters import Counters, ExitCount
from ringzero.machines.lifecycle import Run
from ringzero.machines.storage import Mount, as_disk, as_mount
from ringzero.outcome import Halted, Outcome, Paused, TimedOut
from ringzero.sizes import parse_size

if TYPE_CHECKING:
    from ringzero.kvm.snapshot import Snapshot

NEEDED = (
    Capability.USER_MEMORY, Capability.IRQCHIP, Capability.PIT2, Capability.EXT_CPUID,
    Capability.IMMEDIATE_EXIT, Capability.SET_TSS_ADDR,
)  # fmt: skip
TRANSPORTS, ANNOUNCEMENTS = ("mmio", "pci"), ("acpi", "command line")
CLOCKS = ("host", "realtime")  # as `Machine` has them; nothing counts instructions here
MISC_ENABLE, FAST_STRINGS = 0x1A0, 1
MTRR_DEFAULT, MTRR_ON, WRITE_BACK = 0x2FF, 1 << 11, 6
ALL_ONES = (1 << 64) - 1


class KvmMachine(BaseMachine):
    """An x86-64 machine with `cpus` vCPUs, a serial port, virtio devices, and what it boots.

    `memory` is an int of bytes, or text such as "512M". `kernel` is a bzImage or an ELF file.
    `disks` are paths or `DiskImage`s, `mounts` are `Mount`s. `transport` carries the virtio
    devices, "mmio" or "pci". `announce` says how the kernel learns of those on mmio: "acpi", or
    "command line" for kernels with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES. `clock` is "host", for
    which guest time stands still between two calls of `run`, or "realtime". Raises
    `KvmUnavailable` where the host has no KVM.
    """

    register_names: ClassVar[str] = "rax, r8, rflags or pc"

    def __init__(
        self,
        *,
        memory: int | str = "512M",
        cpus: int = 1,
        kernel: StrPath,
        initrd: StrPath | None = None,
        append: str = "",
        disks: Sequence[StrPath | DiskImage] = (),
        mounts: Sequence[Mount | tuple[str, StrPath, bool]] = (),
        console: Console | None = None,
        transport: str = "mmio",
        announce: str = "acpi",
        clock: str = "host",
    ) -> None:
        self._wakeup = threading.Event()
        self._pausing = False
        super().__init__(console, self._wakeup.set)
        try:
            self.cpus = arguments.whole("cpus", cpus, 0)
            for value, allowed in (
                (transport, TRANSPORTS), (announce, ANNOUNCEMENTS), (clock, CLOCKS)
            ):  # fmt: skip
                if value not in allowed:
                    raise UsageError(f"There is no {value!r} here: choose {' or '.join(allowed)}.")
            self.announce, self.transport, self.clock = announce, transport, clock
            self._build(
                check_size(parse_size(memory)),
                arguments.file_path("kernel", kernel),
                None if initrd is None else arguments.file_path("initrd", initrd),
                arguments.text("append", append),
                [as_disk(one) for one in arguments.several("disks", disks, '["x.img"]')],
                [as_mount(m) for m in arguments.several("mounts", mounts, '[Mount("t", p)]')],
            )
        except BaseException:
            self._failed()
            raise

    def _build(
        self,
        size: int,
        kernel: Path,
        initrd: Path | None,
        append: str,
        disks: Sequence[DiskImage],
        mounts: Sequence[Mount],
    ) -> None:
        # All of it is given back even where the process ends at once: KVM's are descriptors too.
        give_back = self._resources.file
        self.kvm = Kvm()
        give_back(self.kvm.close)
        self.kvm.require(NEEDED)
        self._check_cpus()
        image = boot.read_kernel(kernel)
        module = b""
        if initrd is not None:
            from ringzero.machine.loading.initrd_file import read_initrd

            module = read_initrd(initrd)
        self.memory = guest_memory(size)
        give_back(self.memory.close)
        self.vm = self.kvm.create_vm()
        give_back(self.vm.close)
        prepare(self.vm)
        self.board = Board(self.vm, self.memory, self._wakeup)
        give_back(self.board.close)
        self._add_legacy()
        self.virtio: list[VirtioDevice] = []
        self.pci = self.board.attach_pci() if self.transport == "pci" else None
        self._plug(disks, mounts)
        self._create_vcpus()
        self.threads = VcpuThreads(self.board, stands_still=self.clock == "host")
        line = " ".join(word for word in (append, *self._words()) if word)
        ranges = ram_ranges(size)
        loaded = boot.load(self.memory, ranges, image, module, line, self._tables())
        enter(self.vm.vcpus[0], self.memory, loaded)

    def _check_cpus(self) -> None:
        most = min(self.kvm.capability(Capability.MAX_VCPUS) or 4, 255)
        if not 1 <= self.cpus <= most:
            raise UsageError(
                f"{self.cpus} CPUs are not possible on this host: give 1 to {most} with --cpus."
            )

    # Devices.

    def _add_legacy(self) -> None:
        board, stop = self.board, self.board.stop
        self.uart = Uart(self._output)
        board.attach_ports(layout.SERIAL, self.uart, 8, layout.SERIAL_LINE)
        board.attach_ports(layout.CMOS, Cmos(), 2)
        keyboard = KeyboardController(stop)
        board.attach_ports(layout.I8042_DATA, keyboard, 1)
        board.attach_ports(
            layout.I8042_COMMAND, keyboard, 1, offset=layout.I8042_COMMAND - layout.I8042_DATA
        )
        board.attach_ports(layout.PM_EVENTS, PowerManagement(stop, board.now_ns), 12)
        board.attach_ports(layout.RESET, ResetControl(stop), 1)
        board.attach_ports(layout.EXIT, ExitPort(stop), 1)
        board.attach(layout.FINISHER, TestFinisher(stop))

    def _plug(self, disks: Sequence[DiskImage], mounts: Sequence[Mount]) -> None:
        self.virtio_console = plug.console_device(self._output)
        self.add_virtio(self.virtio_console)
        for image in disks:
            if image.bus not in (None, self.transport) or image.legacy:
                raise UsageError(
                    f"The disk {image.path} cannot be on another bus than the rest of this board, "
                    f"which is {self.transport}: leave out bus= and legacy."
                )
        for one in plug.devices(disks, mounts, self._resources):
            self.add_virtio(one.device)

    @property
    def _lines(self) -> tuple[int, ...]:
        return layout.ACPI_LINES if self.announce == "acpi" else layout.LEGACY_LINES

    def add_virtio(self, device: VirtioDevice) -> None:
        """Plug a device into the next PCI slot or virtio-mmio window."""
        number = len(self.virtio)
        device.attach(self.memory)
        self.virtio.append(device)
        if self.pci is not None:
            self.board.plug(self.pci, device)
            return
        if number >= len(self._lines):
            raise UsageError(
                f"This board has interrupt lines for {len(self._lines)} virtio devices, and its "
                "console and entropy are two of them: use fewer disks and mounts."
            )
        slot = NamedSlot(device)
        self.board.attach(layout.VIRTIO + number * layout.VIRTIO_STEP, slot, self._lines[number])
        device.changed = slot.changed

    def _windows(self) -> list[tuple[int, int]]:
        """Address and line of each virtio-mmio device."""
        count = 0 if self.pci else len(self.virtio)
        return [
            (layout.VIRTIO + number * layout.VIRTIO_STEP, self._lines[number])
            for number in range(count)
        ]

    def _words(self) -> list[str]:
        if self.announce == "acpi":
            return []
        return [f"virtio_mmio.device=4K@{at:#x}:{line}" for at, line in self._windows()]

    def _tables(self) -> bytes:
        windows = self._windows()
        by_acpi = self.announce == "acpi"
        level = [line for _, line in windows if line < 16]
        slots = len(self.virtio) + 1 if self.pci else 0  # the bridge itself is in slot 0
        return acpi.build(self.cpus, windows if by_acpi else [], level, slots)

    def _create_vcpus(self) -> None:
        supported = self.kvm.supported_cpuid()
        deadline = bool(self.kvm.capability(Capability.TSC_DEADLINE_TIMER))
        for number in range(self.cpus):
            vcpu = self.vm.create_vcpu(number)
            vcpu.set_cpuid(guest_cpuid(supported, number, self.cpus, deadline))
            # As firmware leaves them: Linux sets up cacheability only where the MTRRs are on.
            vcpu.write_msrs({MISC_ENABLE: FAST_STRINGS, MTRR_DEFAULT: MTRR_ON | WRITE_BACK})

    # Running.

    def _go(self, run: Run) -> Outcome | None:
        board = self.board
        self.threads.start()
        try:
            while True:
                board.serve()
                if board.ended is not None:
                    return self._outcome()
                if run.off:
                    return None
                if self._pausing:
                    self._pausing = False
                    return Paused()
                left = run.left
                if left == 0.0:
                    return TimedOut()
                board.wakeup.wait(left)
        finally:
            self.threads.halt()

    def _outcome(self) -> Outcome:
        ended = self.board.ended
        assert ended is not None
        if isinstance(ended, Failure):
            if isinstance(ended.error, KvmStuck):
                return self._halted(ended.error)
            raise ended.error
        return ended

    def _halted(self, error: KvmStuck) -> Halted:
        where = error.where
        instruction = error.instruction.hex(" ")
        return Halted(
            str(error).rstrip("."), where.vcpu, where.rip, where.mode, None, instruction or "?"
        )

    def _pause(self) -> None:
        self._pausing = True
        self._wakeup.set()

    def _send(self, data: bytes) -> None:
        if self.virtio_console.opened:
            self.virtio_console.feed(data)
        else:
            self.uart.feed(data)

    def _resize(self, columns: int, rows: int) -> None:
        self.virtio_console.resize(columns, rows)

    def snapshot(self) -> Snapshot:
        """The state of the whole machine, at rest."""
        from ringzero.kvm.snapshot import take

        with self._life.hold("snapshot"):
            return take(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a machine that was built alike."""
        from ringzero.kvm.snapshot import Snapshot, put

        self._life.check_usable()
        if not isinstance(snapshot, Snapshot):
            raise arguments.wrong("restore", snapshot, "what `snapshot` returned")
        with self._life.hold("restore"):
            put(self, snapshot)
            self.threads.forget_clocks()

    # Looking in.

    def stats(self) -> ExitStats:
        """Exits of all vCPUs by reason, with counts and time."""
        self._life.check_usable()
        return sum((vcpu.stats for vcpu in self.vm.vcpus), ExitStats())

    def counters(self) -> Counters:
        """Exits to this process; the processor does not tell us what it executed between them."""
        stats = self.stats()
        exits = {row.reason: ExitCount(row.count, row.nanoseconds) for row in stats.rows()}
        return Counters(exits=exits, where=dict(stats.where.most_common()), inside_ns=stats.inside)

    def describe(self) -> str:
        """Where each vCPU stands, while the machine is at rest."""
        with self._life.hold("describe"):
            return "\n".join(vcpu.describe() for vcpu in self.vm.vcpus)

    @property
    def pc(self) -> int:
        """The instruction pointer of vCPU 0, while the machine is at rest."""
        return self.read_register("pc")

    @pc.setter
    def pc(self, value: int) -> None:
        self.write_register("pc", value)

    def read_register(self, name: str, hart: int = 0) -> int:
        """A general register of a vCPU, rflags or pc, while the machine is at rest."""
        with self._life.hold("read_register"):
            regs = self.vm.vcpus[self._hart_number(hart)].regs()
        return int(getattr(regs, self._register(name)))

    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        """Set it, while the machine is at rest."""
        told = arguments.whole(name, value, -(1 << 63), ALL_ONES) & ALL_ONES
        with self._life.hold("write_register"):
            vcpu = self.vm.vcpus[self._hart_number(hart)]
            regs = vcpu.regs()
            setattr(regs, self._register(name), told)
            vcpu.set_regs(regs)

    def _register(self, name: str) -> str:
        if name == "pc":
            return "rip"
        if name not in REGISTERS:
            raise UsageError(f"There is no register {name!r}: use names such as rax, r8, rip, pc.")
        return name


def prepare(vm: Vm) -> None:
    """What must be set before the first vCPU: reserved pages, controllers, MSRs."""
    vm.place_reserved_pages()
    vm.create_irqchip()
    vm.filter_msrs([(denied.first, denied.count) for denied in MSR_BASELINE])
