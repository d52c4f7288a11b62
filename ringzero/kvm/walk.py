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
from ringzero.kvm.assembler import Assembler
from ringzero.kvm.board import Board, Failure
from ringzero.kvm.errors import KvmStuck
from ringzero.kvm.exits import Server
from ringzero.kvm.stats import ExitStats
from ringzero.kvm.status import kind_of_host
from ringzero.kvm.vcpu import Vcpu
from ringzero.kvm.vm import Kvm
from ringzero.machine.device import Device
from ringzero.machine.memory import GuestMemory
from ringzero.machine.outcome import Exit

# Where things are in the guest's memory.
CODE, TASK, FAULTS, PML4, PDPT, LOW, HIGH, TABLE = (
    0x1000, 0x7000, 0x7800, 0x8000, 0x9000, 0xA000, 0xB000, 0xC000,
)  # fmt: skip
KERNEL_STACK, USER_STACK = 0x1F000, 0x2F000
MEMORY = 0x40_0000
FAULTING = 0x20_0000  # the page that the page-fault loop maps and unmaps, first of `TABLE`
MMIO = 0xD000_0000
MARK, VALUE, SCRATCH = 0xE0, 0xE4, 0xE8  # ports

# Selectors: `syscall` takes KERNEL and the one after it, `sysretq` USER_BASE + 16 and + 8.
KERNEL, KERNEL_DATA, KERNEL_32, USER_BASE, USER_DATA, USER, TASK_SELECTOR = range(8, 64, 8)
DESCRIPTORS = (
    0,
    0x00AF_9A00_0000_FFFF,  # 64-bit code, ring 0
    0x00CF_9200_0000_FFFF,  # data, ring 0
    0x00CF_9A00_0000_FFFF,  # 32-bit code, ring 0
    0x00CF_FA00_0000_FFFF,  # 32-bit code, ring 3
    0x00CF_F200_0000_FFFF,  # data, ring 3
    0x00AF_FA00_0000_FFFF,  # 64-bit code, ring 3
    0x0000_8900_0000_0067 | TASK << 16,  # 64-bit task state, its upper half is zero
    0,
)
EFER, STAR, LSTAR, FMASK = 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0084
PRESENT, WRITABLE, FOR_USER, LARGE = 1, 2, 4, 0x80
NULL_CALL, UNMAP, EXIT = 0, 1, 2  # the bundled kernel's system calls; higher numbers are marks
FIRST_MARK = 16


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
        """Remember it."""
        self.value = value


class Program(Assembler):
    """The guest's text."""

    def __init__(self, iterations: int, hypercall: str, round_trips: bool = True) -> None:
        super().__init__(CODE, bits=16)
        self.iterations = iterations
        self.hypercall = hypercall
        self.round_trips = round_trips
        self.names: list[str] = []
        self.real_mode()
        self.protected_mode()
        self.long_mode()
        self.measured()
        self.user_mode()
        self.handlers()
        self.tables()

    def number(self, name: str) -> int:
        """The number of a mark."""
        if name not in self.names:
            self.names.append(name)
        return FIRST_MARK + self.names.index(name)

    def mark(self, name: str, value: str = "") -> None:
        """Report a mark from ring 0, with a register's value if one is named. Changes eax."""
        if value:
            self.mov("ebx", value)
        self.mov("eax", self.number(name))
        self.port("out", MARK)
        if value:
            self.mov("eax", "ebx")
            self.port("out", VALUE)

    def user_mark(self, name: str) -> None:
        """Report a mark from ring 3, with edx as its value: only the kernel may use ports."""
        self.mov("eax", self.number(name))
        self.op("syscall")

    def port(self, direction: str, number: int) -> None:
        """in eax, number or out number, eax."""
        if self.bits == 16:
            self.emit("66")
        self.code += bytes([0xE5 if direction == "in" else 0xE7, number])

    def loop(self, name: str, user: bool = False) -> _Loop:
        """`with program.loop(name):` repeats what is assembled inside; esi counts."""
        return _Loop(self, name, user)

    def real_mode(self) -> None:
        self.mark("real mode")
        self.mov("eax", 0x5A)
        self.port("out", SCRATCH)
        self.port("in", SCRATCH)
        self.mark("port read back", "eax")
        self.mov("eax", 0)
        self.op("cpuid")
        self.mark("cpuid leaves", "eax")
        self.op("cli")
        self.table("gdt", "gdt register")
        self.read_control("eax", "cr0")
        self.arithmetic("or", "eax", 1)
        self.control("cr0", "eax")
        self.far_jump(KERNEL_32, "protected", bits=32)

    def protected_mode(self) -> None:
        self.label("protected")
        self.mov("eax", KERNEL_DATA)
        for segment in ("ds", "es", "ss"):
            self.segment(segment, "eax")
        self.mark("protected mode")
        self.mov("eax", 0x1234_5678)
        self.store(MMIO, "eax")
        self.load("ecx", MMIO)
        self.mark("memory-mapped register", "ecx")
        self.mov("eax", 1 << 5)  # CR4.PAE, SDM 4.1.1
        self.control("cr4", "eax")
        self.mov("eax", PML4)
        self.control("cr3", "eax")
        self.set_msr(EFER, 1 << 8 | 1)  # LME and SCE
        self.read_control("eax", "cr0")
        self.arithmetic("or", "eax", 1 << 31 | 1 << 16)  # PG and WP
        self.control("cr0", "eax")
        self.far_jump(KERNEL, "long", bits=64)

    def set_msr(self, number: int, low: int | str, high: int = 0) -> None:
        """wrmsr."""
        self.mov("ecx", number)
        self.mov("eax", low)
        self.mov("edx", high)
        self.op("wrmsr")

    def long_mode(self) -> None:
        self.label("long")
        self.mov("rsp", KERNEL_STACK)
        self.mark("long mode")
        self.table("idt", "idt register")
        self.mov("eax", TASK_SELECTOR)
        self.task("eax")
        self.set_msr(STAR, 0, USER_BASE << 16 | KERNEL)
        self.set_msr(LSTAR, "system call")
        self.set_msr(FMASK, 0x200)
        self.mark("tables loaded")

    def measured(self) -> None:
        """What ring 0 can measure."""
        self.mov("rdi", MMIO)
        with self.loop("loop"):
            pass
        with self.loop("in"):
            self.port("in", SCRATCH)
        with self.loop("out"):
            self.port("out", SCRATCH)
        with self.loop("mmio read"):
            self.load("eax", "rdi")
        with self.loop("mmio write"):
            self.store("rdi", "eax")
        with self.loop("cpuid"):
            self.mov("eax", 0)
            self.op("cpuid")
        with self.loop("hlt"):
            self.op("hlt")
        if self.hypercall:
            self.mov("eax", 0x7FFF)  # no such hypercall: KVM answers -1000 (KVM_ENOSYS)
            self.op(self.hypercall)
            self.mark("hypercall", "eax")
            with self.loop(self.hypercall):
                self.mov("eax", 0x7FFF)
                self.op(self.hypercall)

    def user_mode(self) -> None:
        self.mark("leaving ring 0")
        self.mov("rcx", "user")
        self.mov("r11", 2)
        self.op("sysretq")
        self.label("user")
        self.mov("rsp", USER_STACK)
        if self.round_trips:
            self.user_round_trips()
        self.read_segment("edx", "cs")
        self.mov("eax", EXIT)
        self.op("syscall")

    def user_round_trips(self) -> None:
        """Ways into ring 0 and back: by instruction, by gate, by fault."""
        self.read_segment("edx", "cs")
        self.user_mark("ring 3")
        with self.loop("syscall", user=True):
            self.mov("eax", NULL_CALL)
            self.op("syscall")
        with self.loop("interrupt gate", user=True):
            self.emit("cd 80")  # int 0x80
        self.mov("rdi", FAULTING)
        self.load("edx", "rdi")
        self.user_mark("page fault served")
        with self.loop("page fault", user=True):
            self.mov("eax", UNMAP)
            self.op("syscall")
            self.mov("rdi", FAULTING)
            self.load("edx", "rdi")

    def handlers(self) -> None:
        """Ring 0's entries: system calls, the interrupt gate, page faults."""
        self.label("system call")
        for number, label in ((NULL_CALL, "back"), (UNMAP, "unmap"), (EXIT, "exit")):
            self.arithmetic("cmp", "eax", number)
            self.jump_if("jz", label)
        self.port("out", MARK)
        self.mov("eax", "edx")
        self.port("out", VALUE)
        self.label("back")
        self.op("sysretq")
        self.label("unmap")
        self.mov("rdi", TABLE)
        self.mov("rax", 0)
        self.store("rdi", "rax")
        self.mov("rdi", FAULTING)
        self.invlpg("rdi")
        self.op("sysretq")
        self.label("exit")
        self.mark("back in ring 0", "edx")
        self.read_segment("ecx", "cs")
        self.mark("end", "ecx")
        self.label("interrupt")
        self.op("iretq")
        self.label("fault")
        for register in ("rax", "rdi"):
            self.push(register)
        self.read_control("rax", "cr2")
        self.mov("rdi", FAULTS)
        self.store("rdi", "rax")
        self.mov("rdi", TABLE)
        self.mov("rax", FAULTING | PRESENT | WRITABLE | FOR_USER)
        self.store("rdi", "rax")
        for register in ("rdi", "rax"):
            self.pop(register)
        self.arithmetic("add", "rsp", 8)  # the error code
        self.op("iretq")

    def tables(self) -> None:
        """GDT, IDT and the operands of lgdt and lidt."""
        self.align(16)
        self.label("gdt")
        for descriptor in DESCRIPTORS:
            self.value(descriptor, 8)
        self.label("gdt register")
        self.value(8 * len(DESCRIPTORS) - 1, 2)
        self.value("gdt", 4)
        self.align(16)
        self.label("idt register")
        self.value(16 * 0x81 - 1, 2)
        self.value("idt", 8)
        self.align(16)
        self.label("idt")
        for vector in range(0x81):
            self.gate({14: "fault", 0x80: "interrupt"}.get(vector), ring=3 if vector > 31 else 0)

    def gate(self, label: str | None, ring: int) -> None:
        """An interrupt gate (SDM 6.14.1); the whole program lies below 64 kB."""
        if label is None:
            self.code += bytes(16)
            return
        self.value(label, 2)
        self.value(KERNEL, 2)
        self.code += bytes([0, 0x8E | ring << 5])
        self.code += bytes(10)


class _Loop:
    """A measured loop around what is assembled inside."""

    def __init__(self, program: Program, name: str, user: bool) -> None:
        self.program = program
        self.name = name
        self.mark = program.user_mark if user else program.mark

    def __enter__(self) -> None:
        self.mark(f"{self.name} begin")
        self.program.mov("esi", self.program.iterations)
        self.program.label(f"loop {self.name}")

    def __exit__(self, *error: object) -> None:
        self.program.arithmetic("sub", "esi", 1)
        self.program.jump_if("jnz", f"loop {self.name}")
        self.mark(f"{self.name} end")


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
    _load(board.memory, program)
    vcpu = board.vm.create_vcpu(0)
    vcpu.set_cpuid(cpuid)
    start_in_real_mode(vcpu, CODE)
    result = Walk(left_out=dict(EMULATED) if emulated else {})

    def end() -> None:
        board.stop(Exit(0))

    board.attach_ports(MARK, Recorder(program.names, vcpu, result, end), 16)
    board.attach(MMIO, Cell())
    Walker(board, vcpu).run()
    result.stats = vcpu.stats
    result.state = vcpu.describe()
    result.values["fault address"] = int.from_bytes(board.memory.read(FAULTS, 8), "little")
    if isinstance(board.ended, Failure):
        result.stopped = board.ended.error
    result.costs = _costs(result.marks, iterations)
    return result


def _is_amd(cpuid: api.Cpuid) -> bool:
    """KVM rewrites the other vendor's hypercall instruction; so as not to depend on it, ask."""
    leaf = next(entry for entry in cpuid.entries[: cpuid.nent] if entry.function == 0)
    vendor = struct.pack("<III", leaf.ebx, leaf.edx, leaf.ecx)
    return vendor in (b"AuthenticAMD", b"HygonGenuine")


def _load(memory: GuestMemory, program: Program) -> None:
    """Text, page tables (the low 2 MiB, the faulting page, the register) and the task state."""
    memory.write(CODE, program.link())
    both = PRESENT | WRITABLE | FOR_USER
    for address, entry in (
        (PML4, PDPT | both),
        (PDPT, LOW | both),
        (PDPT + 8 * (MMIO >> 30), HIGH | both),
        (LOW, both | LARGE),
        (LOW + 8, TABLE | both),
        (HIGH + 8 * (MMIO >> 21 & 511), MMIO | both | LARGE),
        (TASK + 4, KERNEL_STACK),  # RSP0
    ):
        memory.write(address, struct.pack("<Q", entry))


def start_in_real_mode(vcpu: Vcpu, address: int) -> None:
    """A flat real mode: all segments at 0, and the instruction pointer where the code is."""
    sregs = vcpu.sregs()
    sregs.cs.base = sregs.cs.selector = 0
    vcpu.set_sregs(sregs)
    vcpu.set_regs(api.Regs(rip=address, rsp=0x1000, rflags=2))


def _costs(marks: list[Mark], iterations: int) -> dict[str, float]:
    """Nanoseconds per operation, without the loop around it; a page fault without its system call.
    """
    begins = {mark.name[:-6]: mark.left for mark in marks if mark.name.endswith(" begin")}
    raw = {
        mark.name[:-4]: (mark.arrived - begins[mark.name[:-4]]) / iterations
        for mark in marks
        if mark.name.endswith(" end")
    }
    empty = raw.pop("loop", 0.0)
    costs = {name: max(cost - empty, 0.0) for name, cost in raw.items()}
    if "page fault" in costs and "syscall" in costs:
        costs["page fault"] = max(costs["page fault"] - costs["syscall"], 0.0)
    return costs
