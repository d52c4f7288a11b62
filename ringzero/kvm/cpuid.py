"""What CPUID tells the guest: the host's and KVM's common ground, less what this board leaves out.

The baseline is two tables: features with their bit and why it is hidden, and the MSRs that would
belong to them, whose accesses raise general protection. What is shown beyond it is exactly what
KVM says it can give on this host.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringzero.kvm import api


@dataclass(frozen=True)
class Hidden:
    """A feature bit that the guest does not see."""

    name: str
    leaf: int
    register: str
    bit: int
    why: str
    subleaf: int = 0


BASELINE = (
    Hidden("MONITOR", 1, "ecx", 3, "waiting must leave the guest, or idle vCPUs burn a core"),
    Hidden("VMX", 1, "ecx", 5, "nested virtualization is not offered"),
    Hidden("SMX", 1, "ecx", 6, "measured launch needs hardware that the board lacks"),
    Hidden("EIST", 1, "ecx", 7, "the guest does not control the host's frequency"),
    Hidden("PDCM", 1, "ecx", 15, "there are no performance counters"),
    Hidden("DTES64", 1, "ecx", 2, "there is no debug store"),
    Hidden("DS", 1, "edx", 21, "there is no debug store"),
    Hidden("ACPI", 1, "edx", 22, "there is no thermal control"),
    Hidden("TM", 1, "edx", 29, "there is no thermal monitor"),
    Hidden("SGX", 7, "ebx", 2, "there is no enclave memory"),
    Hidden("SVM", 0x8000_0001, "ecx", 2, "nested virtualization is not offered"),
    Hidden("PerfCtrExtCore", 0x8000_0001, "ecx", 23, "there are no performance counters"),
)
EMPTY_LEAVES = {
    0x0A: "there are no performance counters",
    0x8000_000A: "nested virtualization is not offered",
    0x8000_0022: "there are no performance counters",
}


@dataclass(frozen=True)
class DeniedMsrs:
    """A range of MSRs that the guest does not have."""

    name: str
    first: int
    count: int
    why: str


MSR_BASELINE = (
    DeniedMsrs("IA32_PMC0..7", 0xC1, 8, "there are no performance counters"),
    DeniedMsrs("IA32_PERFEVTSEL0..7", 0x186, 8, "there are no performance counters"),
    DeniedMsrs("IA32_FIXED_CTR0..2", 0x309, 3, "there are no performance counters"),
    DeniedMsrs("IA32_FIXED_CTR_CTRL..OVF_CTRL", 0x38D, 4, "there are no performance counters"),
    DeniedMsrs("IA32_VMX_*", 0x480, 18, "nested virtualization is not offered"),
    DeniedMsrs("AMD PERF_CTL and PERF_CTR", 0xC001_0000, 8, "there are no performance counters"),
    DeniedMsrs("AMD extended counters", 0xC001_0200, 12, "there are no performance counters"),
    DeniedMsrs("VM_CR to VM_HSAVE_PA", 0xC001_0114, 4, "nested virtualization is not offered"),
)
TSC_DEADLINE, HYPERVISOR, HTT = 24, 31, 28  # bits of leaf 1


def guest_cpuid(
    supported: api.Cpuid, number: int, cpus: int, tsc_deadline: bool = False
) -> api.Cpuid:
    """The leaves for vCPU `number` of `cpus`."""
    result = api.Cpuid()
    for entry in supported.entries[: supported.nent]:
        copy = api.CpuidEntry.from_buffer_copy(entry)
        _hide(copy)
        _place(copy, number, cpus)
        if copy.function == 1:
            copy.ecx |= 1 << HYPERVISOR | (1 << TSC_DEADLINE if tsc_deadline else 0)
        result.entries[result.nent] = copy
        result.nent += 1
    return result


def _hide(entry: api.CpuidEntry) -> None:
    if entry.function in EMPTY_LEAVES:
        entry.eax = entry.ebx = entry.ecx = entry.edx = 0
    for hidden in BASELINE:
        if (entry.function, entry.index) == (hidden.leaf, hidden.subleaf):
            value = getattr(entry, hidden.register)
            setattr(entry, hidden.register, value & ~(1 << hidden.bit))


def _place(entry: api.CpuidEntry, number: int, cpus: int) -> None:
    """Topology: one package, `cpus` cores without hyper-threads; APIC identifiers count up."""
    width = max(cpus - 1, 0).bit_length()
    if entry.function == 1:
        entry.ebx = entry.ebx & 0xFFFF | cpus << 16 | number << 24
        entry.edx = entry.edx & ~(1 << HTT) | (1 << HTT if cpus > 1 else 0)
    elif entry.function == 4 and entry.eax & 0x1F:
        # Cores of the package; a level-3 cache is shared by all of them, the others by none.
        shared = cpus - 1 if entry.eax >> 5 & 7 == 3 else 0
        entry.eax = entry.eax & 0x3FFF | (cpus - 1) << 26 | shared << 14
    elif entry.function in (0x0B, 0x1F):
        _level(entry, number, cpus, width)
    elif entry.function == 0x8000_0008:
        entry.ecx = entry.ecx & ~0xF0FF | width << 12 | (cpus - 1)
    elif entry.function == 0x8000_001D:
        shared = cpus - 1 if entry.eax >> 5 & 7 == 3 else 0
        entry.eax = entry.eax & ~0x03FF_C000 | shared << 14
    elif entry.function == 0x8000_001E:
        entry.eax, entry.ebx, entry.ecx = number, number, 0


def _level(entry: api.CpuidEntry, number: int, cpus: int, width: int) -> None:
    """Extended topology: level 0 is a core's one thread, level 1 the package's cores."""
    entry.edx = number
    if entry.index == 0:
        entry.eax, entry.ebx, entry.ecx = 0, 1, 1 << 8
    elif entry.index == 1:
        entry.eax, entry.ebx, entry.ecx = width, cpus, 2 << 8 | 1
    else:
        entry.eax, entry.ebx, entry.ecx = 0, 0, entry.index
