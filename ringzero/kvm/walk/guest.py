"""The text and the tables of the bundled x86-64 guest (see `walk.py`, which runs it).

Assembled for every run, since how often its loops go round is in it. It tells by writing the
number of a name to one port, and a value that belongs to the name to another.
"""

from __future__ import annotations

import struct

from ringzero.kvm.walk.assembler import Assembler
from ringzero.machine.memory import GuestMemory

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
WITHIN = 20


class Program(Assembler):
    """The guest's text."""

    def __init__(self, iterations: int, hypercall: str, round_trips: bool = True) -> None:
        super().__init__(CODE, bits=16)
        self.iterations = iterations
        self.hypercall = hypercall
        self.round_trips = round_trips
        self.names: list[str] = []
        self.counts: dict[str, int] = {}  # how often each loop goes round
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
        # What never leaves the guest takes so little time that it must be repeated more often.
        self.count = program.iterations * (WITHIN if user or name == "loop" else 1)
        program.counts[name] = self.count

    def __enter__(self) -> None:
        self.mark(f"{self.name} begin")
        self.program.mov("esi", self.count)
        self.program.label(f"loop {self.name}")

    def __exit__(self, *error: object) -> None:
        self.program.arithmetic("sub", "esi", 1)
        self.program.jump_if("jnz", f"loop {self.name}")
        self.mark(f"{self.name} end")


def load(memory: GuestMemory, program: Program) -> None:
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
