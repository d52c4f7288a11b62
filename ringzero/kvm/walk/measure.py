"""The bundled x86-64 guest: from real mode to ring 3 and back, measuring every way between.

Real mode, protected mode, long mode, ring 3, system call, ring 0; on the way `in`, `out`, MMIO,
`cpuid`, `vmcall`, `hlt`, an interrupt gate and page faults, each in a loop between two marks. A
mark is a write to a port, and its time is when KVM_RUN returned; what a host's KVM cannot run ends
the walk there, with the reason.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns

from ringzero.kvm import api
from ringzero.kvm.board.exits import Server
from ringzero.kvm.board.wiring import Board, Failure
from ringzero.kvm.errors import KvmStuck
from ringzero.kvm.stats import ExitStats
from ringzero.kvm.status import kind_of_host
from ringzero.kvm.vcpu import Vcpu
from ringzero.kvm.vm import Kvm
from ringzero.kvm.walk.guest import (
    CODE,
    FAULTS,
    FIRST_MARK,
    MARK,
    MEMORY,
    MMIO,
    SCRATCH,
    VALUE,
    Program,
    load,
)
from ringzero.machine.device import Device
from ringzero.machine.memory import GuestMemory
from ringzero.outcome import PoweredOff


@dataclass(frozen=True)
class Mark:
    """The guest came by here."""

    name: str
    arrived: int
    left: int


@dataclass
class Walk:
    """What a walk found: marks in order, values that the guest saw, nanoseconds per operation."""

    marks: list[Mark] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    stats: ExitStats = field(default_factory=ExitStats)
    left_out: dict[str, str] = field(default_factory=dict)
    stopped: BaseException | None = None
    state: str = ""

    @property
    def reached(self) -> list[str]:
        """The stages, without the loops' marks."""
        return [mark.name for mark in self.marks if not mark.name.endswith((" begin", " end"))]

    @property
    def complete(self) -> bool:
        """Did the guest come to its end?"""
        return "end" in self.reached

    def table(self) -> str:
        """Costs for people."""
        lines = [f"{'operation':<16}{'ns each':>12}"]
        lines += [f"{name:<16}{cost:>12.0f}" for name, cost in self.costs.items()]
        lines += [f"{name:<16}{'-':>12}  {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines)


class Recorder(Device):
    """The ports that the guest reports to."""

    name = "walk"
    size = 16

    def __init__(self, names: list[str], vcpu: Vcpu, walk: Walk, end: Callable[[], None]) -> None:
        super().__init__()
        self.names = names
        self.end = end
        self.vcpu = vcpu
        self.walk = walk
        self.scratch = 0

    def read(self, offset: int, size: int) -> int:
        """The scratch port remembers."""
        return self.scratch if offset == SCRATCH - MARK else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """A mark, a value under the last mark's name, or the scratch port."""
        if offset == 0 and FIRST_MARK <= value < FIRST_MARK + len(self.names):
            name = self.names[value - FIRST_MARK]
            self.walk.marks.append(Mark(name, self.vcpu.left, perf_counter_ns()))
        elif offset == VALUE - MARK and self.walk.marks:
            self.walk.values[self.walk.marks[-1].name] = value
            if self.walk.complete:
                self.end()
        elif offset == SCRATCH - MARK:
            self.scratch = value


class Cell(Device):
    """One register that is reached by memory accesses."""

    name = "cell"
    size = 0x1000

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    def read(self, offset: int, size: int) -> int:
        """What was written."""
        return self.value

    def write(self, offset: int, size: int, value: int) -> None:
        """Keep what is written, for the next read."""
        self.value = value


class Walker(Server):
    """A server for which `hlt` is one of the exits to measure."""

    def halt(self) -> None:
        """Nothing to do: the guest goes on behind it."""


EMULATED = {
    "hypercall": "KVM in software rewrites the instruction for ever instead of serving it",
    "syscall": "KVM in software enters ring 0 in its own way, from which sysretq does not return",
    "interrupt gate": "KVM in software delivers no interrupts through gates in long mode",
    "page fault": "KVM in software delivers no exceptions to guests that do not know it",
}


def walk(iterations: int = 1000, timeout: float = 30.0) -> Walk:
    """Run the bundled guest and measure it; what does not end within `timeout` is stopped."""
    memory = GuestMemory(MEMORY, base=0)
    with Kvm() as kvm:
        vm = kvm.create_vm()
        try:
            board = Board(vm, memory)
            watchdog = threading.Timer(timeout, board.fail, [_too_slow(timeout)])
            watchdog.daemon = True
            watchdog.start()
            try:
                return _walk(kvm, board, iterations)
            finally:
                watchdog.cancel()
        finally:
            vm.close()
            memory.close()


def _too_slow(timeout: float) -> KvmStuck:
    return KvmStuck(
        f"The bundled guest did not end within {timeout:g} s: this host's KVM repeats something "
        "for ever; try fewer iterations."
    )


def _walk(kvm: Kvm, board: Board, iterations: int) -> Walk:
    board.vm.place_reserved_pages()
    cpuid = kvm.supported_cpuid()
    emulated = kind_of_host() == "pvm"
    hypercall = "" if emulated else "vmmcall" if _is_amd(cpuid) else "vmcall"
    program = Program(iterations, hypercall, round_trips=not emulated)
    load(board.memory, program)
    vcpu = board.vm.create_vcpu(0)
    vcpu.set_cpuid(cpuid)
    start_in_real_mode(vcpu, CODE)
    result = Walk(left_out=dict(EMULATED) if emulated else {})

    def end() -> None:
        board.stop(PoweredOff(0))

    board.attach_ports(MARK, Recorder(program.names, vcpu, result, end), 16)
    board.attach(MMIO, Cell())
    Walker(board, vcpu).run()
    result.stats = vcpu.stats
    result.state = vcpu.describe()
    result.values["fault address"] = int.from_bytes(board.memory.read(FAULTS, 8), "little")
    if isinstance(board.ended, Failure):
        result.stopped = board.ended.error
    result.costs = _costs(result.marks, program.counts)
    return result


def _is_amd(cpuid: api.Cpuid) -> bool:
    """KVM rewrites the other vendor's hypercall instruction; so as not to depend on it, ask."""
    leaf = next(entry for entry in cpuid.entries[: cpuid.nent] if entry.function == 0)
    vendor = struct.pack("<III", leaf.ebx, leaf.edx, leaf.ecx)
    return vendor in (b"AuthenticAMD", b"HygonGenuine")


def start_in_real_mode(vcpu: Vcpu, address: int) -> None:
    """A flat real mode: all segments at 0, and the instruction pointer where the code is."""
    sregs = vcpu.sregs()
    sregs.cs.base = sregs.cs.selector = 0
    vcpu.set_sregs(sregs)
    vcpu.set_regs(api.Regs(rip=address, rsp=0x1000, rflags=2))


def _costs(marks: list[Mark], counts: dict[str, int]) -> dict[str, float]:
    """Nanoseconds per operation without the loop around it, and without a page fault's syscall."""
    begins = {mark.name[:-6]: mark.left for mark in marks if mark.name.endswith(" begin")}
    raw = {
        mark.name[:-4]: (mark.arrived - begins[mark.name[:-4]]) / counts[mark.name[:-4]]
        for mark in marks
        if mark.name.endswith(" end")
    }
    empty = raw.pop("loop", 0.0)
    costs = {name: max(cost - empty, 0.0) for name, cost in raw.items()}
    if "page fault" in costs and "syscall" in costs:
        costs["page fault"] = max(costs["page fault"] - costs["syscall"], 0.0)
    return costs
