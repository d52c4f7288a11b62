"""An assembler for the few x86 instructions that the bundled guest needs, in all three code sizes.

Encodings are the Intel SDM's, volume 2. `bits` is the code size that the following instructions
will run in, so one program can walk from 16-bit to 64-bit code. Labels may be used before they are
defined; `link` fills them in and names those that never were.
"""

from __future__ import annotations

from typing import NamedTuple

from ringzero.errors import UsageError

NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
REGISTERS: dict[str, tuple[int, int]] = {
    **{name: (number, 16) for number, name in enumerate(NAMES)},
    **{f"e{name}": (number, 32) for number, name in enumerate(NAMES)},
    **{f"r{name}": (number, 64) for number, name in enumerate(NAMES)},
    **{f"r{number}": (number, 64) for number in range(8, 16)},
    "al": (0, 8), "cl": (1, 8), "dl": (2, 8), "bl": (3, 8),
}  # fmt: skip
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")

# Instructions without operands.
PLAIN: dict[str, str] = {
    "cpuid": "0f a2",
    "rdtsc": "0f 31",
    "rdmsr": "0f 32",
    "wrmsr": "0f 30",
    "hlt": "f4",
    "nop": "90",
    "cli": "fa",
    "sti": "fb",
    "ret": "c3",
    "vmcall": "0f 01 c1",
    "vmmcall": "0f 01 d9",
    "syscall": "0f 05",
    "sysretq": "48 0f 07",
    "iretq": "48 cf",
    "in eax, dx": "ed",
    "out dx, eax": "ef",
    "in al, dx": "ec",
    "out dx, al": "ee",
    "pushfq": "9c",
    "ud2": "0f 0b",
}
ARITHMETIC = {"add": 0, "or": 1, "and": 4, "sub": 5, "xor": 6, "cmp": 7}
JUMPS = {"jz": 4, "jnz": 5, "jc": 2, "jnc": 3}


class Fixup(NamedTuple):
    """A place that a label's address goes to."""

    position: int
    size: int
    label: str
    relative: bool


class Assembler:
    """Assembles for `origin`, the linear address of the first byte."""

    def __init__(self, origin: int, bits: int = 16) -> None:
        self.origin = origin
        self.bits = bits
        self.code = bytearray()
        self.labels: dict[str, int] = {}
        self.fixups: list[Fixup] = []

    @property
    def here(self) -> int:
        """The address of the next byte."""
        return self.origin + len(self.code)

    def label(self, name: str) -> None:
        """Name the address of the next byte."""
        if name in self.labels:
            raise UsageError(f"Label {name} is defined twice: give the second one another name.")
        self.labels[name] = self.here

    def align(self, size: int) -> None:
        """Fill with zeros up to a multiple of `size`."""
        self.code += bytes(-len(self.code) % size)

    def emit(self, text: str) -> None:
        """Bytes as hexadecimal digits."""
        self.code += bytes.fromhex(text)

    def value(self, value: int | str, size: int) -> None:
        """An immediate of `size` bytes: a number, or a label's address."""
        if isinstance(value, str):
            self.fixups.append(Fixup(len(self.code), size, value, relative=False))
            value = 0
        self.code += (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def link(self) -> bytes:
        """The code with every label filled in."""
        for position, size, label, relative in self.fixups:
            if label not in self.labels:
                raise UsageError(f"Label {label} is used and never defined: define it.")
            value = self.labels[label]
            if relative:
                value -= self.origin + position + size
            field = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            self.code[position : position + size] = field
        return bytes(self.code)

    # Instructions.

    def op(self, name: str) -> None:
        """An instruction of `PLAIN`."""
        self.emit(PLAIN[name])

    def _prefix(self, width: int, reg: int = 0, rm: int = 0) -> None:
        """Operand size and REX (SDM 2.2.1) for a register of `width` bits in this code size."""
        if (width == 16) != (self.bits == 16) and width in (16, 32):
            self.code.append(0x66)
        rex = (8 if width == 64 else 0) | (4 if reg > 7 else 0) | (1 if rm > 7 else 0)
        if rex:
            self.code.append(0x40 | rex)

    def _memory(self, opcode: int, register: str, base: int | str) -> None:
        """`opcode` with a register and [base register] or [address]."""
        reg, width = REGISTERS[register]
        if isinstance(base, str) and base in REGISTERS:
            rm, _ = REGISTERS[base]
            if rm & 7 in (4, 5):
                raise UsageError(f"[{base}] needs an encoding of its own: use another register.")
            self._prefix(width, reg, rm)
            self.code += bytes([opcode, (reg & 7) << 3 | rm & 7])
            return
        self._prefix(width, reg)
        self.code += bytes([opcode])
        self._absolute(reg & 7, base)

    def _absolute(self, reg: int, address: int | str) -> None:
        """ModRM for a 16-bit or 32-bit address without registers (SDM tables 2-1, 2-2, 2-3)."""
        if self.bits == 16:
            self.code.append(reg << 3 | 6)
            self.value(address, 2)
            return
        self.code += bytes([reg << 3 | 5] if self.bits == 32 else [reg << 3 | 4, 0x25])
        self.value(address, 4)

    def mov(self, register: str, source: int | str) -> None:
        """mov register, register | number | label."""
        number, width = REGISTERS[register]
        if isinstance(source, str) and source in REGISTERS:
            self._prefix(width, REGISTERS[source][0], number)
            self.code += bytes([0x89, 0xC0 | (REGISTERS[source][0] & 7) << 3 | number & 7])
            return
        self._prefix(width, 0, number)
        self.code.append((0xB0 if width == 8 else 0xB8) + (number & 7))
        self.value(source, width // 8)

    def load(self, register: str, base: int | str) -> None:
        """mov register, [base]; al loads a byte."""
        self._memory(0x8A if REGISTERS[register][1] == 8 else 0x8B, register, base)

    def store(self, base: int | str, register: str) -> None:
        """mov [base], register; al stores a byte."""
        self._memory(0x88 if REGISTERS[register][1] == 8 else 0x89, register, base)

    def arithmetic(self, operation: str, register: str, value: int) -> None:
        """add, or, and, sub, xor, cmp register, number."""
        number, width = REGISTERS[register]
        self._prefix(width, 0, number)
        self.code += bytes([0x81, 0xC0 | ARITHMETIC[operation] << 3 | number & 7])
        self.value(value, 2 if width == 16 else 4)

    def push(self, source: int | str) -> None:
        """push register | number | label (32-bit immediate)."""
        if isinstance(source, str) and source in REGISTERS:
            number = REGISTERS[source][0]
            self.code += bytes([0x41] if number > 7 else []) + bytes([0x50 + (number & 7)])
            return
        self.code.append(0x68)
        self.value(source, 2 if self.bits == 16 else 4)

    def pop(self, register: str) -> None:
        """pop register."""
        number = REGISTERS[register][0]
        self.code += bytes([0x41] if number > 7 else []) + bytes([0x58 + (number & 7)])

    def segment(self, name: str, register: str) -> None:
        """mov segment, register."""
        number = REGISTERS[register][0]
        self.code += bytes([0x8E, 0xC0 | SEGMENTS.index(name) << 3 | number])

    def read_segment(self, register: str, name: str) -> None:
        """mov register, segment."""
        number, width = REGISTERS[register]
        self._prefix(width, 0, number)
        self.code += bytes([0x8C, 0xC0 | SEGMENTS.index(name) << 3 | number])

    def control(self, name: str, register: str) -> None:
        """mov crN, register."""
        self.code += bytes([0x0F, 0x22, 0xC0 | int(name[2:]) << 3 | REGISTERS[register][0]])

    def read_control(self, register: str, name: str) -> None:
        """mov register, crN."""
        self.code += bytes([0x0F, 0x20, 0xC0 | int(name[2:]) << 3 | REGISTERS[register][0]])

    def table(self, register: str, address: int | str) -> None:
        """lgdt or lidt [address]."""
        self.code += bytes([0x0F, 0x01])
        self._absolute({"gdt": 2, "idt": 3}[register], address)

    def task(self, register: str) -> None:
        """ltr register."""
        self.code += bytes([0x0F, 0x00, 0xD8 | REGISTERS[register][0]])

    def invlpg(self, register: str) -> None:
        """invlpg [register]."""
        self.code += bytes([0x0F, 0x01, 0x38 | REGISTERS[register][0]])

    def jump(self, label: str) -> None:
        """jmp label."""
        self.code.append(0xE9)
        self._displacement(label)

    def jump_if(self, condition: str, label: str) -> None:
        """jz, jnz, jc, jnc label."""
        self.code += bytes([0x0F, 0x80 | JUMPS[condition]])
        self._displacement(label)

    def _displacement(self, label: str) -> None:
        size = 2 if self.bits == 16 else 4
        self.fixups.append(Fixup(len(self.code), size, label, relative=True))
        self.code += bytes(size)

    def far_jump(self, selector: int, label: str, bits: int) -> None:
        """jmp selector:label into code of `bits`; from 16-bit code with a 32-bit offset."""
        if self.bits == 16:
            self.code.append(0x66)
        self.code.append(0xEA)
        self.value(label, 4)
        self.value(selector, 2)
        self.bits = bits
