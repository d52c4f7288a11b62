"""Small kernel files made by hand: what tests of loading and of the command line boot or refuse."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

RAM = 0x8000_0000


def elf(
    code: bytes,
    *,
    address: int = RAM,
    symbols: Mapping[str, int] | None = None,
    machine: int = 243,
    bits: int = 2,
    kind: int = 2,
    memory: int | None = None,
    linked: int | None = None,
    flags: int = 7,
) -> bytes:
    """A static executable of one segment, with a symbol table; `linked` is its virtual address."""
    linked = address if linked is None else linked
    symbols = symbols or {}
    names, table = b"\0", bytes(24)
    for name, value in symbols.items():
        table += struct.pack("<IBBHQQ", len(names), 0x10, 0, 1, value, 0)
        names += name.encode() + b"\0"
    start = 64 + 56
    sections = start + len(code) + len(table) + len(names)
    header = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, linked, 64, sections, 0, 64, 56, 1, 64, 3, 2
    )
    size = len(code) if memory is None else memory
    segment = struct.pack("<IIQQQQQQ", 1, flags, start, linked, address, len(code), size, 4096)
    at = start + len(code)
    rows = bytes(64)
    rows += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, at, len(table), 2, 0, 8, 24)
    rows += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at + len(table), len(names), 0, 0, 1, 0)
    return header + segment + code + table + names + rows


def program(lines: Sequence[str]) -> bytes:
    """Assembly lines as code bytes."""
    from ringzero.isa.tools.program import assemble

    return b"".join(assemble(line).to_bytes(4, "little") for line in lines)


def htif_exit(code: int) -> bytes:
    """A bare-metal ELF that ends with an exit code through `tohost`."""
    text = program(
        [
            f"addi a0, zero, {code}",
            "slli a0, a0, 1",
            "ori a0, a0, 1",
            "auipc t0, 1",  # tohost is a page behind the program
            "sd a0, -12(t0)",
            "jal zero, 0",
        ]
    )
    return elf(text + bytes(4096 + 8 - len(text)), symbols={"tohost": RAM + 4096})


def image(
    size: int = 8192, *, text_offset: int = 0x20_0000, image_size: int | None = None
) -> bytes:
    """A RISC-V Linux Image: its header, and nothing that runs."""
    header = struct.pack("<IIQQQIIQ", 0x6F, 0, text_offset, image_size or size, 0, 2, 0, 0)
    return header + b"RISCV\0\0\0" + b"RSC\x05" + bytes(4 + size - 64)
