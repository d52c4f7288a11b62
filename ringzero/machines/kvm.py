"""`KvmMachine`: an x86-64 machine on the host's own virtualization, driven like `ringzero.Machine`.

```python
with KvmMachine(kernel="vmlinuz", initrd="initrd.gz", append="console=ttyS0") as machine:
    outcome = machine.run(timeout=60)
```
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ringzero.errors import UsageError
from ringzero.kvm.api import Capability
from ringzero.kvm.board import acpi, layout
from ringzero.kvm.board.exits import Server
from ringzero.kvm.board.legacy import (
    Cmos,
    ExitPort,
    KeyboardController,
    PowerManagement,
    ResetControl,
)
from ringzero.kvm.board.ram import guest_memory, memory_size, ram_ranges
from ringzero.kvm.board.wiring import Board, Failure, NamedSlot
from ringzero.kvm.boot import load as boot
from ringzero.kvm.boot.entry import enter
from ringzero.kvm.cpuid import MSR_BASELINE, guest_cpuid
from ringzero.kvm.errors import KvmStuck
from ringzero.kvm.stats import ExitStats
from ringzero.kvm.vm import Kvm, Vm
from ringzero.machine.devices.finisher import TestFinisher
from ringzero.machine.devices.uart import Uart
from ringzero.machine.disk import DiskImage, open_disk
from ringzero.machine.outcome import Exit
from ringzero.machine.virtio.device import VirtioDevice
from ringzero.outcome import Halted, Outcome, Paused, PoweredOff, Rebooted, TimedOut

if TYPE_CHECKING:
    from ringzero.kvm.snapshot import Snapshot

NEEDED = (
    Capability.USER_MEMORY, Capability.IRQCHIP, Capability.PIT2, Capability.EXT_CPUID,
    Capability.IMMEDIATE_EXIT, Capability.SET_TSS_ADDR,
)  # fmt: skip
TRANSPORTS, ANNOUNCEMENTS = ("mmio", "pci"), ("acpi", "command line")
JOIN_SECONDS = 10.0
MISC_ENABLE, FAST_STRINGS = 0x1A0, 1
MTRR_DEFAULT, MTRR_ON, WRITE_BACK = 0x2FF, 1 << 11, 6


class Console(Protocol):
    """Where the guest's output goes."""

    def write(self, data: bytes) -> object:
        """Called on a vCPU's thread; must not block for long."""


class Recorder:
    """A console that keeps what the guest wrote."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """From the guest."""
        self.data += data


class KvmMachine:
    """An x86-64 machine with `cpus` vCPUs, a serial port, virtio devices, and what it boots.

    `memory` is bytes or a string such as "512M". `kernel` is a bzImage or an ELF file. `transport`
    carries the virtio devices, "mmio" or "pci". `announce` says how the kernel learns of those on
    mmio: "acpi", or "command line" for kernels with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES.
    Raises `KvmUnavailable` where the host has no KVM.
    """

    def __init__(
        self,
        *,
        memory: int | str = "512M",
        cpus: int = 1,
        kernel: str | Path,
        initrd: str | Path | None = None,
        append: str = "",
        disks: Sequence[DiskImage] = (),
        mounts: Sequence[tuple[str, str | Path, bool]] = (),
        console: Console | None = None,
        transport: str = "mmio",
        announce: str = "acpi",
    ) -> None:
        self.recorder = Recorder()
        self.console = console or self.recorder
        self.cpus = cpus
        for value, allowed in ((transport, TRANSPORTS), (announce, ANNOUNCEMENTS)):
            if value not in allowed:
                raise UsageError(f"There is no {value!r} here: choose {' or '.join(allowed)}.")
        self.announce = announce
        self.transport = transport
        self._closers: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []
        self._waiting = threading.Event()
        try:
            self._build(memory_size(memory), kernel, initrd, append, disks, mounts)
        except BaseException:
            self.close()
            raise

    def _build(
        self,
        size: int,
        kernel: str | Path,
        initrd: str | Path | None,
        append: str,
        disks: Sequence[DiskImage],
        mounts: Sequence[tuple[str, str | Path, bool]],
    ) -> None:
        self.kvm = Kvm()
        self._closers.append(self.kvm.close)
        self.kvm.require(NEEDED)
        self._check_cpus()
        image = boot.read_kernel(Path(kernel))
        module = b""
        if initrd is not None:
            from ringzero.machine.initrd_file import read_initrd

            module = read_initrd(Path(initrd))
        self.memory = guest_memory(size)
        self._closers.append(self.memory.close)
        self.vm = self.kvm.create_vm()
        self._closers.append(self.vm.close)
        prepare(self.vm)
        self.board = Board(self.vm, self.memory)
        self._closers.append(self.board.close)
        self._add_legacy()
        self.virtio: list[VirtioDevice] = []
        self.pci = self.board.attach_pci() if self.transport == "pci" else None
        self._plug(disks, mounts)
        self._create_vcpus()
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
        self.uart = Uart(self.console.write)
        board.attach_ports(layout.SERIAL, self.uart, 8, layout.SERIAL_LINE)
        board.attach_ports(layout.CMOS, Cmos(), 2)
        keyboard = KeyboardController(stop)
        board.attach_ports(layout.I8042_DATA, keyboard, 1)
        board.attach_ports(
            layout.I8042_COMMAND, keyboard, 1, offset=layout.I8042_COMMAND - layout.I8042_DATA
        )
        board.attach_ports(layout.PM_EVENTS, PowerManagement(stop), 12)
        board.attach_ports(layout.RESET, ResetControl(stop), 1)
        board.attach_ports(layout.EXIT, ExitPort(stop), 1)
        board.attach(layout.FINISHER, TestFinisher(stop))

    def _plug(
        self, disks: Sequence[DiskImage], mounts: Sequence[tuple[str, str | Path, bool]]
    ) -> None:
        from ringzero.machine.virtio.console import ConsoleDevice
        from ringzero.machine.virtio.entropy import EntropyDevice

        self.virtio_console = ConsoleDevice(self.console.write)
        self.add_virtio(self.virtio_console)
        self.add_virtio(EntropyDevice())
        for image in disks:
            from ringzero.machine.virtio.block import BlockDevice

            if image.bus not in (None, self.transport) or image.legacy:
                raise UsageError(
                    f"The disk {image.path} cannot be on another bus than the rest of this board, "
                    f"which is {self.transport}: leave out bus= and legacy."
                )
            disk = open_disk(image)
            self._closers.append(disk.close)
            self.add_virtio(BlockDevice(disk))
        for tag, path, readonly in mounts:
            from ringzero.machine.fuse.server import FuseServer
            from ringzero.machine.virtio.fs import VirtioFs

            self.add_virtio(VirtioFs(tag, FuseServer(path, read_only=readonly)))

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

    def __enter__(self) -> KvmMachine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the vCPUs and give everything back; the machine cannot be used any more."""
        self._halt()
        while self._closers:
            self._closers.pop()()

    def abandon(self) -> None:
        """Where the process ends at once: the vCPUs have to be stopped all the same."""
        self.close()

    def run(self, timeout: float | None = None) -> Outcome:
        """Run until the guest ends, `pause` is called, or the time (in seconds) is up."""
        board = self.board
        deadline = None if timeout is None else time.monotonic() + timeout
        self._start()
        try:
            while True:
                board.serve()
                if board.ended is not None:
                    return self._outcome()
                if board.pausing:
                    return Paused()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return TimedOut()
                board.bell.wait(left)
        finally:
            self._halt()
            board.pausing = False

    def _start(self) -> None:
        if self.board.ended is not None:
            return
        self._threads = [
            threading.Thread(target=Server(self.board, v).run, name=f"vcpu {v.number}", daemon=True)
            for v in self.vm.vcpus
        ]
        for thread in self._threads:
            thread.start()

    def _halt(self) -> None:
        """Bring all vCPUs out of the guest and wait for their threads."""
        threads, self._threads = self._threads, []
        if not threads:
            return
        self.board.pausing = True
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in threads:
            while thread.is_alive() and time.monotonic() < deadline:
                self.board.kick()
                thread.join(0.05)

    def _outcome(self) -> Outcome:
        ended = self.board.ended
        if isinstance(ended, Failure):
            if isinstance(ended.error, KvmStuck):
                return self._halted(ended.error)
            raise ended.error
        return PoweredOff(ended.code) if isinstance(ended, Exit) else Rebooted()

    def _halted(self, error: KvmStuck) -> Halted:
        where = error.where
        instruction = error.instruction.hex(" ")
        return Halted(
            str(error).rstrip("."), where.vcpu, where.rip, where.mode, None, instruction or "?"
        )

    def pause(self) -> None:
        """Make `run` return `Paused`, from any thread or from the console's `write`."""
        self.board.pausing = True
        self.board.bell.set()

    def snapshot(self) -> Snapshot:
        """The state of the whole machine; only while it does not run."""
        from ringzero.kvm.snapshot import take

        return take(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a machine that was built alike."""
        from ringzero.kvm.snapshot import put

        put(self, snapshot)

    # The console.

    def send(self, data: bytes) -> None:
        """Input for the guest's console, from any thread."""
        if getattr(self.virtio_console, "opened", False):
            self.virtio_console.feed(data)
        else:
            self.uart.feed(data)

    def expect(self, pattern: bytes, timeout: float = 60.0) -> bytes:
        """Run until the recorded output matches a regular expression; all of it up to the match.

        What was matched is taken out of the record. Raises `UsageError` with the last output if
        the guest ends, or the time is up, before that.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.recorder.data)
            if found:
                seen = bytes(self.recorder.data[: found.end()])
                del self.recorder.data[: found.end()]
                return seen
            left = deadline - time.monotonic()
            outcome = self.run(timeout=min(0.1, max(left, 0.0)))
            if not isinstance(outcome, TimedOut) or left <= 0:
                if re.search(pattern, self.recorder.data):
                    continue
                last = bytes(self.recorder.data[-300:]).decode("utf-8", "replace")
                raise UsageError(f"{pattern!r} did not come ({outcome}); the last output: {last}")

    # Looking in.

    def stats(self) -> ExitStats:
        """Exits of all vCPUs by reason, with counts and time."""
        return sum((vcpu.stats for vcpu in self.vm.vcpus), ExitStats())

    counters = stats
    """What `ringzero.Machine` calls it; instructions are not counted here."""

    def describe(self) -> str:
        """Where each vCPU stands; only while the machine does not run."""
        return "\n".join(vcpu.describe() for vcpu in self.vm.vcpus)


def prepare(vm: Vm) -> None:
    """What must be set before the first vCPU: reserved pages, controllers, MSRs."""
    vm.place_reserved_pages()
    vm.create_irqchip()
    vm.filter_msrs([(denied.first, denied.count) for denied in MSR_BASELINE])
