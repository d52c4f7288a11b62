"""The KVM interface of Linux for x86-64, as written in the kernel's Documentation/virt/kvm/api.rst.

Requests, capabilities, exit reasons and structures by their own names, and `request`, the one
function through which every ioctl goes and every failure becomes a sentence. Nothing here is
compiled or linked: fcntl issues the requests, ctypes lays out the structures.
"""

from __future__ import annotations

import ctypes
import enum
import fcntl
from ctypes import c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from typing import Any, ClassVar, NamedTuple

from ringzero.kvm.errors import request_failed

API_VERSION = 12
KVMIO = 0xAE
WRITE, READ = 1, 2  # directions of _IOC as asm-generic/ioctl.h has them


class Segment(ctypes.Structure):
    """struct kvm_segment: a segment register with its hidden part."""

    _fields_: ClassVar = [
        ("base", c_uint64), ("limit", c_uint32), ("selector", c_uint16), ("type", c_uint8),
        ("present", c_uint8), ("dpl", c_uint8), ("db", c_uint8), ("s", c_uint8), ("l", c_uint8),
        ("g", c_uint8), ("avl", c_uint8), ("unusable", c_uint8), ("padding", c_uint8),
    ]  # fmt: skip


class Dtable(ctypes.Structure):
    """struct kvm_dtable: GDTR or IDTR."""

    _fields_: ClassVar = [("base", c_uint64), ("limit", c_uint16), ("padding", c_uint16 * 3)]


REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags",
)  # fmt: skip
SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")


class Regs(ctypes.Structure):
    """struct kvm_regs."""

    _fields_: ClassVar = [(name, c_uint64) for name in REGISTERS]


class Sregs(ctypes.Structure):
    """struct kvm_sregs."""

    _fields_: ClassVar = [
        *((name, Segment) for name in SEGMENTS),
        ("gdt", Dtable), ("idt", Dtable), ("cr0", c_uint64), ("cr2", c_uint64), ("cr3", c_uint64),
        ("cr4", c_uint64), ("cr8", c_uint64), ("efer", c_uint64), ("apic_base", c_uint64),
        ("interrupt_bitmap", c_uint64 * 4),
    ]  # fmt: skip


class MemoryRegion(ctypes.Structure):
    """struct kvm_userspace_memory_region."""

    _fields_: ClassVar = [
        ("slot", c_uint32), ("flags", c_uint32), ("guest_phys_addr", c_uint64),
        ("memory_size", c_uint64), ("userspace_addr", c_uint64),
    ]  # fmt: skip


class DirtyLog(ctypes.Structure):
    """struct kvm_dirty_log."""

    _fields_: ClassVar = [
        ("slot", c_uint32), ("padding", c_uint32), ("dirty_bitmap", c_uint64),
    ]  # fmt: skip


class EnableCap(ctypes.Structure):
    """struct kvm_enable_cap."""

    _fields_: ClassVar = [
        ("cap", c_uint32), ("flags", c_uint32), ("args", c_uint64 * 4), ("pad", c_uint8 * 64),
    ]  # fmt: skip


class IrqLevel(ctypes.Structure):
    """struct kvm_irq_level."""

    _fields_: ClassVar = [("irq", c_uint32), ("level", c_uint32)]


class Irqfd(ctypes.Structure):
    """struct kvm_irqfd."""

    _fields_: ClassVar = [
        ("fd", c_uint32), ("gsi", c_uint32), ("flags", c_uint32), ("resamplefd", c_uint32),
        ("pad", c_uint8 * 16),
    ]  # fmt: skip


class Ioeventfd(ctypes.Structure):
    """struct kvm_ioeventfd."""

    _fields_: ClassVar = [
        ("datamatch", c_uint64), ("addr", c_uint64), ("len", c_uint32), ("fd", c_int32),
        ("flags", c_uint32), ("pad", c_uint8 * 36),
    ]  # fmt: skip


class PitConfig(ctypes.Structure):
    """struct kvm_pit_config."""

    _fields_: ClassVar = [("flags", c_uint32), ("pad", c_uint32 * 15)]


class CpuidEntry(ctypes.Structure):
    """struct kvm_cpuid_entry2."""

    _fields_: ClassVar = [
        ("function", c_uint32), ("index", c_uint32), ("flags", c_uint32), ("eax", c_uint32),
        ("ebx", c_uint32), ("ecx", c_uint32), ("edx", c_uint32), ("padding", c_uint32 * 3),
    ]  # fmt: skip


MOST_CPUID = 256
MOST_MSRS = 512


class Cpuid(ctypes.Structure):
    """struct kvm_cpuid2 with room for every leaf that a host may report."""

    _fields_: ClassVar = [
        ("nent", c_uint32), ("padding", c_uint32), ("entries", CpuidEntry * MOST_CPUID),
    ]  # fmt: skip


class MsrEntry(ctypes.Structure):
    """struct kvm_msr_entry."""

    _fields_: ClassVar = [("index", c_uint32), ("reserved", c_uint32), ("data", c_uint64)]


class Msrs(ctypes.Structure):
    """struct kvm_msrs with room for every register that a host may list."""

    _fields_: ClassVar = [
        ("nmsrs", c_uint32), ("pad", c_uint32), ("entries", MsrEntry * MOST_MSRS),
    ]  # fmt: skip


class MsrList(ctypes.Structure):
    """struct kvm_msr_list."""

    _fields_: ClassVar = [("nmsrs", c_uint32), ("indices", c_uint32 * MOST_MSRS)]


class MsrFilterRange(ctypes.Structure):
    """struct kvm_msr_filter_range."""

    _fields_: ClassVar = [
        ("flags", c_uint32), ("nmsrs", c_uint32), ("base", c_uint32), ("bitmap", c_uint64),
    ]  # fmt: skip


class MsrFilter(ctypes.Structure):
    """struct kvm_msr_filter."""

    _fields_: ClassVar = [("flags", c_uint32), ("ranges", MsrFilterRange * 16)]


class SignalMask(ctypes.Structure):
    """struct kvm_signal_mask with the kernel's own 64-bit set."""

    _fields_: ClassVar = [("len", c_uint32), ("sigset", c_uint8 * 8)]


class Fpu(ctypes.Structure):
    """struct kvm_fpu."""

    _fields_: ClassVar = [
        ("fpr", c_uint8 * 128), ("fcw", c_uint16), ("fsw", c_uint16), ("ftwx", c_uint8),
        ("pad1", c_uint8), ("last_opcode", c_uint16), ("last_ip", c_uint64), ("last_dp", c_uint64),
        ("xmm", c_uint8 * 256), ("mxcsr", c_uint32), ("pad2", c_uint32),
    ]  # fmt: skip


class MpState(ctypes.Structure):
    """struct kvm_mp_state."""

    _fields_: ClassVar = [("mp_state", c_uint32)]


class ClockData(ctypes.Structure):
    """struct kvm_clock_data."""

    _fields_: ClassVar = [
        ("clock", c_uint64), ("flags", c_uint32), ("pad0", c_uint32), ("realtime", c_uint64),
        ("host_tsc", c_uint64), ("pad", c_uint32 * 4),
    ]  # fmt: skip


class GuestDebug(ctypes.Structure):
    """struct kvm_guest_debug with its x86 debug registers."""

    _fields_: ClassVar = [("control", c_uint32), ("pad", c_uint32), ("debugreg", c_uint64 * 8)]


class Irqchip(ctypes.Structure):
    """struct kvm_irqchip; the chip's own layout stays opaque."""

    _fields_: ClassVar = [("chip_id", c_uint32), ("pad", c_uint32), ("chip", c_uint8 * 512)]


class Translation(ctypes.Structure):
    """struct kvm_translation."""

    _fields_: ClassVar = [
        ("linear_address", c_uint64), ("physical_address", c_uint64), ("valid", c_uint8),
        ("writeable", c_uint8), ("usermode", c_uint8), ("pad", c_uint8 * 5),
    ]  # fmt: skip


def opaque(size: int) -> type[ctypes.Array[c_uint8]]:
    """A structure that is saved and restored without being looked into."""
    return c_uint8 * size


Lapic = opaque(1024)
Pit2 = opaque(112)
Xsave = opaque(4096)
Xcrs = opaque(392)
VcpuEvents = opaque(64)
DebugRegs = opaque(128)


class Request(NamedTuple):
    """One ioctl: its name, its number, and what it is for."""

    name: str
    code: int
    purpose: str


def _request(name: str, number: int, purpose: str, direction: int = 0, size: int = 0) -> Request:
    return Request(f"KVM_{name}", direction << 30 | size << 16 | KVMIO << 8 | number, purpose)


def _structure(name: str, number: int, purpose: str, direction: int, layout: Any) -> Request:
    return _request(name, number, purpose, direction, ctypes.sizeof(layout))


def _registers(
    number: int, names: tuple[str, str], what: str, layout: Any
) -> tuple[Request, Request]:
    """The usual pair: GET at `number` reads a structure, SET right after writes it."""
    return (
        _structure(names[0], number, f"read {what}", READ, layout),
        _structure(names[1], number + 1, f"set {what}", WRITE, layout),
    )


GET_API_VERSION = _request("GET_API_VERSION", 0x00, "ask for the interface's version")
CREATE_VM = _request("CREATE_VM", 0x01, "create a virtual machine")
GET_MSR_INDEX_LIST = _request("GET_MSR_INDEX_LIST", 0x02, "list the MSRs to save", 3, 4)
CHECK_EXTENSION = _request("CHECK_EXTENSION", 0x03, "ask for a capability")
GET_VCPU_MMAP_SIZE = _request("GET_VCPU_MMAP_SIZE", 0x04, "ask for the size of kvm_run")
GET_SUPPORTED_CPUID = _request("GET_SUPPORTED_CPUID", 0x05, "ask for the host's CPUID", 3, 8)
CREATE_VCPU = _request("CREATE_VCPU", 0x41, "create a virtual CPU")
GET_DIRTY_LOG = _structure("GET_DIRTY_LOG", 0x42, "read the dirty pages", WRITE, DirtyLog)
SET_USER_MEMORY_REGION = _structure(
    "SET_USER_MEMORY_REGION", 0x46, "map guest memory", WRITE, MemoryRegion
)
SET_TSS_ADDR = _request("SET_TSS_ADDR", 0x47, "place the real-mode task segment")
SET_IDENTITY_MAP_ADDR = _request("SET_IDENTITY_MAP_ADDR", 0x48, "place the identity map", WRITE, 8)
CREATE_IRQCHIP = _request("CREATE_IRQCHIP", 0x60, "create the interrupt controllers")
IRQ_LINE = _structure("IRQ_LINE", 0x61, "set an interrupt line", WRITE, IrqLevel)
GET_IRQCHIP = _structure("GET_IRQCHIP", 0x62, "read an interrupt controller", 3, Irqchip)
SET_IRQCHIP = _structure("SET_IRQCHIP", 0x63, "set an interrupt controller", READ, Irqchip)
IRQFD = _structure("IRQFD", 0x76, "tie an event to an interrupt", WRITE, Irqfd)
CREATE_PIT2 = _structure("CREATE_PIT2", 0x77, "create the interval timer", WRITE, PitConfig)
IOEVENTFD = _structure("IOEVENTFD", 0x79, "tie a guest write to an event", WRITE, Ioeventfd)
SET_CLOCK = _structure("SET_CLOCK", 0x7B, "set the guest's clock", WRITE, ClockData)
GET_CLOCK = _structure("GET_CLOCK", 0x7C, "read the guest's clock", READ, ClockData)
RUN = _request("RUN", 0x80, "run the guest")
GET_REGS, SET_REGS = _registers(0x81, ("GET_REGS", "SET_REGS"), "the registers", Regs)
GET_SREGS, SET_SREGS = _registers(0x83, ("GET_SREGS", "SET_SREGS"), "the system registers", Sregs)
TRANSLATE = _structure("TRANSLATE", 0x85, "translate a guest address", 3, Translation)
GET_MSRS = _request("GET_MSRS", 0x88, "read model-specific registers", 3, 8)
SET_MSRS = _request("SET_MSRS", 0x89, "set model-specific registers", WRITE, 8)
SET_SIGNAL_MASK = _request("SET_SIGNAL_MASK", 0x8B, "choose the signals that stop it", WRITE, 4)
GET_FPU, SET_FPU = _registers(0x8C, ("GET_FPU", "SET_FPU"), "the floating-point state", Fpu)
GET_LAPIC, SET_LAPIC = _registers(0x8E, ("GET_LAPIC", "SET_LAPIC"), "the local APIC", Lapic)
SET_CPUID2 = _request("SET_CPUID2", 0x90, "set what CPUID answers", WRITE, 8)
GET_MP_STATE, SET_MP_STATE = _registers(
    0x98, ("GET_MP_STATE", "SET_MP_STATE"), "whether the vCPU waits", MpState
)
SET_GUEST_DEBUG = _structure("SET_GUEST_DEBUG", 0x9B, "set debugging", WRITE, GuestDebug)
GET_PIT2 = _structure("GET_PIT2", 0x9F, "read the interval timer", READ, Pit2)
SET_PIT2 = _structure("SET_PIT2", 0xA0, "set the interval timer", WRITE, Pit2)
GET_VCPU_EVENTS, SET_VCPU_EVENTS = _registers(
    0x9F, ("GET_VCPU_EVENTS", "SET_VCPU_EVENTS"), "the pending events", VcpuEvents
)
GET_DEBUGREGS, SET_DEBUGREGS = _registers(
    0xA1, ("GET_DEBUGREGS", "SET_DEBUGREGS"), "the debug registers", DebugRegs
)
GET_TSC_KHZ = _request("GET_TSC_KHZ", 0xA3, "ask for the time-stamp counter's rate")
ENABLE_CAP = _structure("ENABLE_CAP", 0xA3, "switch a capability on", WRITE, EnableCap)
KVMCLOCK_CTRL = _request("KVMCLOCK_CTRL", 0xAD, "tell the guest that it stood still")
GET_XSAVE, SET_XSAVE = _registers(0xA4, ("GET_XSAVE", "SET_XSAVE"), "the extended state", Xsave)
GET_XCRS, SET_XCRS = _registers(0xA6, ("GET_XCRS", "SET_XCRS"), "the extended controls", Xcrs)
X86_SET_MSR_FILTER = _structure(
    "X86_SET_MSR_FILTER", 0xC6, "choose the MSRs that reach the board", WRITE, MsrFilter
)


class Capability(enum.IntEnum):
    """The KVM_CAP_ numbers this package asks for."""

    IRQCHIP = 0
    USER_MEMORY = 3
    SET_TSS_ADDR = 4
    EXT_CPUID = 7
    NR_VCPUS = 9
    NR_MEMSLOTS = 10
    MP_STATE = 14
    USER_NMI = 22
    SET_GUEST_DEBUG = 23
    IRQFD = 32
    PIT2 = 33
    IOEVENTFD = 36
    SET_IDENTITY_MAP_ADDR = 37
    ADJUST_CLOCK = 39
    VCPU_EVENTS = 41
    DEBUGREGS = 50
    XSAVE = 55
    XCRS = 56
    GET_TSC_KHZ = 61
    MAX_VCPUS = 66
    TSC_DEADLINE_TIMER = 72
    SIGNAL_MSI = 77
    SPLIT_IRQCHIP = 121
    MAX_VCPU_ID = 128
    IMMEDIATE_EXIT = 136
    X86_USER_SPACE_MSR = 188
    X86_MSR_FILTER = 189


class ExitReason(enum.IntEnum):
    """Why KVM_RUN returned."""

    UNKNOWN = 0
    EXCEPTION = 1
    IO = 2
    HYPERCALL = 3
    DEBUG = 4
    HLT = 5
    MMIO = 6
    IRQ_WINDOW_OPEN = 7
    SHUTDOWN = 8
    FAIL_ENTRY = 9
    INTR = 10
    SET_TPR = 11
    TPR_ACCESS = 12
    NMI = 16
    INTERNAL_ERROR = 17
    SYSTEM_EVENT = 24
    IOAPIC_EOI = 26
    HYPERV = 27
    X86_RDMSR = 29
    X86_WRMSR = 30
    DIRTY_RING_FULL = 31
    X86_BUS_LOCK = 33
    XEN = 34
    NOTIFY = 37


MEM_LOG_DIRTY_PAGES = 1
MEM_READONLY = 2
MSR_EXIT_INVALID, MSR_EXIT_UNKNOWN, MSR_EXIT_FILTER = 1, 2, 4
IOEVENTFD_DATAMATCH, IOEVENTFD_PIO, IOEVENTFD_DEASSIGN = 1, 2, 4
IRQFD_DEASSIGN = 1


def request(fd: int, what: Request, argument: Any = 0) -> int:
    """Issue one ioctl. A structure is passed by reference, a number by value."""
    try:
        if isinstance(argument, int):
            return fcntl.ioctl(fd, what.code, argument)
        return int(fcntl.ioctl(fd, what.code, argument, True))
    except OSError as error:
        raise request_failed(what.name, what.purpose, error.errno or 0) from None


def request_long(fd: int, what: Request, argument: int) -> int:
    """Issue an ioctl whose number needs more than the C int that fcntl takes."""
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.ioctl(fd, ctypes.c_ulong(what.code), ctypes.c_ulong(argument)))
    if result < 0:
        raise request_failed(what.name, what.purpose, ctypes.get_errno())
    return result
