"""The system and the virtual machine: KVM's first two kinds of file descriptor.

`Kvm` is the open /dev/kvm, `Vm` one guest: its memory slots, interrupt controllers, lines, events
and vCPUs. Closing them, or the end of the process, gives everything back.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from types import TracebackType

from ringzero.descriptors import above_standard
from ringzero.kvm import api
from ringzero.kvm.api import Capability
from ringzero.kvm.errors import KvmUnavailable
from ringzero.kvm.status import open_device
from ringzero.kvm.vcpu import Vcpu

PAGE = 4096
# Three pages that Intel processors without unrestricted guests need for real mode, and one for the
# identity map; in the hole below 4 GiB, where the board has neither RAM nor devices.
IDENTITY_MAP = 0xFEFF_C000
TSS = 0xFEFF_D000


class Descriptor:
    """A file descriptor that is closed once."""

    def __init__(self, fd: int) -> None:
        self.fd = above_standard(fd)

    def close(self) -> None:
        """Give it back; again is harmless."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def request(self, what: api.Request, argument: object = 0) -> int:
        """Issue one ioctl on it."""
        return api.request(self.fd, what, argument)


class Kvm(Descriptor):
    """The open /dev/kvm."""

    def __init__(self, path: str | None = None) -> None:
        super().__init__(open_device(path))
        self.run_size = self.request(api.GET_VCPU_MMAP_SIZE)

    def __enter__(self) -> Kvm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def capability(self, which: Capability) -> int:
        """0 where the host does not have it, else its extent."""
        return self.request(api.CHECK_EXTENSION, int(which))

    def require(self, needed: Iterable[Capability]) -> None:
        """All of these, or KvmUnavailable with the names of those that are missing."""
        missing = [which.name for which in needed if not self.capability(which)]
        if missing:
            raise KvmUnavailable(
                f"This host's KVM lacks {', '.join(missing)}: use a newer Linux kernel, or "
                "--cpu emulate."
            )

    def supported_cpuid(self) -> api.Cpuid:
        """Every CPUID leaf that host and KVM can give a guest."""
        cpuid = api.Cpuid(nent=api.MOST_CPUID)
        self.request(api.GET_SUPPORTED_CPUID, cpuid)
        return cpuid

    def msr_indices(self) -> list[int]:
        """The MSRs that make up a vCPU's state."""
        listed = api.MsrList(nmsrs=api.MOST_MSRS)
        self.request(api.GET_MSR_INDEX_LIST, listed)
        return list(listed.indices[: listed.nmsrs])

    def create_vm(self) -> Vm:
        """A virtual machine with nothing in it."""
        return Vm(self, self.request(api.CREATE_VM))


class Vm(Descriptor):
    """A virtual machine of KVM: its memory, interrupt controllers and vCPUs."""

    def __init__(self, kvm: Kvm, fd: int) -> None:
        super().__init__(fd)
        self.kvm = kvm
        self.vcpus: list[Vcpu] = []
        self.slots: dict[int, api.MemoryRegion] = {}

    def close(self) -> None:
        """Give the vCPUs and the machine back."""
        for vcpu in self.vcpus:
            vcpu.close()
        super().close()

    def map(self, slot: int, guest: int, host: int, size: int, flags: int = 0) -> None:
        """Show `size` bytes at a host address to the guest; size 0 takes the slot away."""
        region = api.MemoryRegion(slot, flags, guest, size, host)
        self.request(api.SET_USER_MEMORY_REGION, region)
        if size:
            self.slots[slot] = region
        else:
            self.slots.pop(slot, None)

    def log_dirty_pages(self, slot: int, on: bool = True) -> None:
        """Record from now on which pages of a slot the guest writes."""
        region = self.slots[slot]
        region.flags = region.flags & ~api.MEM_LOG_DIRTY_PAGES | (
            api.MEM_LOG_DIRTY_PAGES if on else 0
        )
        self.request(api.SET_USER_MEMORY_REGION, region)

    def dirty_pages(self, slot: int) -> list[int]:
        """Guest addresses of the pages written since the last call."""
        region = self.slots[slot]
        pages = region.memory_size // PAGE
        bitmap = (ctypes.c_uint64 * ((pages + 63) // 64))()
        self.request(api.GET_DIRTY_LOG, api.DirtyLog(slot, 0, ctypes.addressof(bitmap)))
        return [
            region.guest_phys_addr + (index * 64 + bit) * PAGE
            for index, word in enumerate(bitmap)
            if word
            for bit in range(64)
            if word >> bit & 1
        ]

    def enable(self, which: Capability, *arguments: int) -> None:
        """Switch a capability of the machine on."""
        request = api.EnableCap(int(which))
        for index, argument in enumerate(arguments):
            request.args[index] = argument
        self.request(api.ENABLE_CAP, request)

    def place_reserved_pages(self) -> None:
        """Give KVM the four pages that some Intel processors need for real mode."""
        self.request(api.SET_IDENTITY_MAP_ADDR, ctypes.c_uint64(IDENTITY_MAP))
        api.request_long(self.fd, api.SET_TSS_ADDR, TSS)

    def create_irqchip(self, timer: bool = True) -> None:
        """PIC, I/O APIC and local APICs in the kernel, and with `timer` the 8254 too."""
        self.request(api.CREATE_IRQCHIP)
        if timer:
            self.request(api.CREATE_PIT2, api.PitConfig())

    def irq_line(self, gsi: int, level: bool) -> None:
        """Set an interrupt line of the in-kernel controllers."""
        self.request(api.IRQ_LINE, api.IrqLevel(gsi, int(level)))

    def irqfd(self, event: int, gsi: int, assign: bool = True) -> None:
        """Let a write to an eventfd pulse an interrupt line, or stop doing so."""
        flags = 0 if assign else api.IRQFD_DEASSIGN
        self.request(api.IRQFD, api.Irqfd(event, gsi, flags))

    def ioeventfd(
        self,
        event: int,
        address: int,
        size: int,
        *,
        match: int | None = None,
        port: bool = False,
        assign: bool = True,
    ) -> None:
        """Let a guest write signal an eventfd without leaving the kernel, or stop doing so."""
        flags = (
            (api.IOEVENTFD_DATAMATCH if match is not None else 0)
            | (api.IOEVENTFD_PIO if port else 0)
            | (0 if assign else api.IOEVENTFD_DEASSIGN)
        )
        self.request(api.IOEVENTFD, api.Ioeventfd(match or 0, address, size, event, flags))

    def filter_msrs(self, denied: Sequence[tuple[int, int]]) -> None:
        """Let accesses to (first, count) ranges of MSRs, and to unknown ones, leave to the board.

        Where the host has no filter, KVM's own answer stands, which is general protection too.
        """
        if not self.kvm.capability(Capability.X86_USER_SPACE_MSR):
            return
        reasons = api.MSR_EXIT_FILTER | api.MSR_EXIT_UNKNOWN | api.MSR_EXIT_INVALID
        self.enable(Capability.X86_USER_SPACE_MSR, reasons)
        if not denied or not self.kvm.capability(Capability.X86_MSR_FILTER):
            return
        longest = max(count for _, count in denied)
        bitmap = (ctypes.c_uint64 * ((longest + 63) // 64))()  # a bit of 0 denies
        request = api.MsrFilter(0)
        for index, (first, count) in enumerate(denied):
            address = ctypes.addressof(bitmap)
            request.ranges[index] = api.MsrFilterRange(3, count, first, address)
        self.request(api.X86_SET_MSR_FILTER, request)

    def create_vcpu(self, number: int) -> Vcpu:
        """A virtual CPU; `number` is its APIC identifier."""
        fd = self.request(api.CREATE_VCPU, number)
        vcpu = Vcpu(fd, number, self.kvm.run_size)
        self.vcpus.append(vcpu)
        return vcpu
