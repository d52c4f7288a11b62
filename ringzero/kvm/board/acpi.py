"""The ACPI tables of the board: processors, interrupt lines, power-off and reset, virtio devices.

Linux needs them for more than one processor (its cloud kernels read no MP table) and to find
virtio-mmio devices without words on the command line. Layouts are those of ACPI 6.5; the AML is a
handful of its encodings (§20.2).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ringzero.kvm.board import layout

OEM, TABLE_ID = b"RZERO ", b"RINGZERO"
FADT_FLAGS = 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10
# WBINVD, C1 works, no fixed power button, no fixed sleep button, no RTC wake-up in fixed registers,
# 32-bit timer, and a reset register.
BOOT_FLAGS = 1 << 0 | 1 << 2  # legacy devices, no VGA; no 8042 to be probed
IO_SPACE = 1
HIGH_LEVEL = 0b1101  # interrupt source flags: active high, level-triggered


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A table with its header and checksum."""
    header = struct.pack(
        "<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, OEM, TABLE_ID, 1, b"RZ  ", 1
    )
    return with_checksum(header + body, 9)


def with_checksum(data: bytes, place: int, length: int | None = None) -> bytes:
    """`data` with the byte at `place` such that the first `length` bytes sum to zero."""
    content = bytearray(data)
    content[place] = 0
    content[place] = -sum(content[:length]) & 0xFF
    return bytes(content)


# AML.


def aml_package_length(content: bytes) -> bytes:
    """PkgLength, which counts itself."""
    if len(content) + 1 < 0x40:
        return bytes([len(content) + 1]) + content
    size = len(content) + 2
    if size < 0x1000:
        return bytes([0x40 | size & 0xF, size >> 4]) + content
    size += 1
    return bytes([0x80 | size & 0xF, size >> 4 & 0xFF, size >> 12]) + content


def aml_integer(value: int) -> bytes:
    """The shortest constant."""
    if value in (0, 1):
        return bytes([value])
    for prefix, size in ((0x0A, 1), (0x0B, 2), (0x0C, 4), (0x0E, 8)):
        if value < 1 << 8 * size:
            return bytes([prefix]) + value.to_bytes(size, "little")
    raise ValueError(f"{value:#x} does not fit an AML integer")


def aml_name(name: bytes, value: bytes) -> bytes:
    """Name (name, value)."""
    return b"\x08" + name + value


def aml_string(text: str) -> bytes:
    """A string."""
    return b"\x0d" + text.encode("ascii") + b"\0"


def aml_buffer(content: bytes) -> bytes:
    """A buffer."""
    return b"\x11" + aml_package_length(aml_integer(len(content)) + content)


def aml_package(elements: Sequence[bytes]) -> bytes:
    """A package of up to 255 elements."""
    return b"\x12" + aml_package_length(bytes([len(elements)]) + b"".join(elements))


def aml_numbers(values: Sequence[int]) -> bytes:
    """A package of integers."""
    return aml_package([aml_integer(value) for value in values])


def aml_identifier(text: str) -> bytes:
    """EISAID(text): three letters in five bits each, and four hexadecimal digits (§19.3.4)."""
    letters = 0
    for letter in text[:3]:
        letters = letters << 5 | ord(letter) - 0x40
    return b"\x0c" + struct.pack(">HH", letters, int(text[3:], 16))


def aml_scope(name: bytes, content: bytes) -> bytes:
    """Scope (name) { content }."""
    return b"\x10" + aml_package_length(name + content)


def aml_device(name: bytes, content: bytes) -> bytes:
    """Device (name) { content }."""
    return b"\x5b\x82" + aml_package_length(name + content)


def resources(address: int, size: int, line: int) -> bytes:
    """A memory window and a level-triggered, active-high interrupt (§6.4.3.4, §6.4.3.6)."""
    return (
        struct.pack("<BHBII", 0x86, 9, 1, address, size)
        + struct.pack("<BHBBI", 0x89, 6, 0b0001, 1, line)
        + b"\x79\x00"
    )


def virtio_device(number: int, address: int, line: int) -> bytes:
    """What Linux's virtio_mmio driver binds to: the identifier LNRO0005."""
    return aml_device(
        b"VR%02X" % number,
        aml_name(b"_HID", aml_string("LNRO0005"))
        + aml_name(b"_UID", aml_integer(number))
        + aml_name(b"_CCA", aml_integer(1))
        + aml_name(b"_CRS", aml_buffer(resources(address, layout.VIRTIO_STEP, line))),
    )


def pci_bridge(slots: int) -> bytes:
    """The host bridge: bus 0, a window for BARs, and the lines of its slots' INTA."""
    first, size = layout.PCI_WINDOW, layout.PCI_WINDOW_SIZE
    windows = (
        struct.pack("<BHBBBHHHHH", 0x88, 13, 2, 0x0C, 0, 0, 0, 0, 0, 1)  # §6.4.3.5.3: bus 0
        + struct.pack("<BHBBBIIIII", 0x87, 23, 0, 0x0C, 1, 0, first, first + size - 1, 0, size)
        + b"\x79\x00"
    )
    routes = [
        aml_numbers([slot << 16 | 0xFFFF, 0, 0, layout.PCI_LINE + slot % 4])
        for slot in range(slots)
    ]
    # Linux trusts MCFG only where the window is a motherboard resource too.
    space = struct.pack("<BHBII", 0x86, 9, 1, layout.ECAM, layout.ECAM_BUS) + b"\x79\x00"
    motherboard = aml_device(
        b"ECAM",
        aml_name(b"_HID", aml_identifier("PNP0C02"))
        + aml_name(b"_UID", aml_integer(1))
        + aml_name(b"_CRS", aml_buffer(space)),
    )
    return motherboard + aml_device(
        b"PCI0",
        aml_name(b"_HID", aml_identifier("PNP0A08"))
        + aml_name(b"_CID", aml_identifier("PNP0A03"))
        + aml_name(b"_UID", aml_integer(0))
        + aml_name(b"_SEG", aml_integer(0))
        + aml_name(b"_BBN", aml_integer(0))
        + aml_name(b"_CCA", aml_integer(1))
        + aml_name(b"_CRS", aml_buffer(windows))
        + aml_name(b"_PRT", aml_package(routes)),
    )


def mcfg() -> bytes:
    """Where PCI's configuration space is in memory (PCI Firmware Specification 4.1.2)."""
    return table(b"MCFG", 1, struct.pack("<8xQHBB4x", layout.ECAM, 0, 0, 0))


def dsdt(virtio: Sequence[tuple[int, int]], pci_slots: int) -> bytes:
    """Power-off's sleep type, the virtio-mmio devices as (address, line), and the PCI bridge."""
    devices = b"".join(virtio_device(i, address, line) for i, (address, line) in enumerate(virtio))
    devices += pci_bridge(pci_slots) if pci_slots else b""
    sleep = aml_name(b"_S5_", aml_numbers([layout.SLEEP_TYPE] * 2 + [0, 0]))
    return table(b"DSDT", 2, sleep + aml_scope(b"_SB_", devices))


# The other tables.


def madt(cpus: int, level_lines: Sequence[int]) -> bytes:
    """Local APICs, one I/O APIC, and the ISA lines that are not edge-triggered."""
    body = struct.pack("<II", layout.LOCAL_APIC, 1)  # the PC's two 8259 are there as well
    for number in range(cpus):
        body += struct.pack("<BBBBI", 0, 8, number, number, 1)
    body += struct.pack("<BBBBII", 1, 12, cpus, 0, layout.IO_APIC, 0)
    for line in sorted({layout.SCI, *level_lines}):
        body += struct.pack("<BBBBIH", 2, 10, 0, line, line, HIGH_LEVEL)
    return table(b"APIC", 4, body)


def fadt(facs: int, dsdt_address: int) -> bytes:
    """Where the fixed registers are (§5.2.9)."""

    def register(port: int, bits: int) -> bytes:
        return struct.pack("<BBBBQ", IO_SPACE, bits, 0, {8: 1, 16: 2, 32: 3}[bits], port)

    none = bytes(12)
    body = bytearray(276 - 36)

    def put(offset: int, pattern: str, *values: object) -> None:
        struct.pack_into("<" + pattern, body, offset - 36, *values)

    put(36, "II", facs, dsdt_address)
    put(46, "H", layout.SCI)
    put(56, "I", layout.PM_EVENTS)
    put(64, "I", layout.PM_CONTROL)
    put(76, "I", layout.PM_TIMER)
    put(88, "BBBB", 4, 2, 0, 4)
    put(96, "HH", 0xFFFF, 0xFFFF)  # no C2, no C3
    put(108, "B", 0x32)  # century in the clock's memory
    put(109, "H", BOOT_FLAGS)
    put(112, "I", FADT_FLAGS)
    put(116, "12sB", register(layout.RESET, 8), 6)
    put(131, "B", 5)
    put(140, "Q", dsdt_address)
    put(148, "12s12s", register(layout.PM_EVENTS, 32), none)
    put(172, "12s12s12s", register(layout.PM_CONTROL, 16), none, none)
    put(208, "12s", register(layout.PM_TIMER, 32))
    return table(b"FACP", 6, bytes(body))


def build(
    cpus: int,
    virtio: Sequence[tuple[int, int]],
    level_lines: Sequence[int] = (),
    pci_slots: int = 0,
) -> bytes:
    """All tables for `layout.ACPI_TABLES`, the root pointer first; no PCI where it has no slots."""
    start = layout.ACPI_TABLES
    content = bytearray(64)

    def place(data: bytes) -> int:
        content.extend(bytes(-len(content) % 64))
        content.extend(data)
        return start + len(content) - len(data)

    facs = place(struct.pack("<4sI", b"FACS", 64).ljust(32, b"\0") + b"\2" + bytes(31))
    described = place(dsdt(virtio, pci_slots))
    tables = [place(fadt(facs, described)), place(madt(cpus, level_lines))]
    if pci_slots:
        tables.append(place(mcfg()))
    xsdt = place(table(b"XSDT", 1, struct.pack(f"<{len(tables)}Q", *tables)))
    pointer = struct.pack("<8sB6sBIIQB3x", b"RSD PTR ", 0, OEM, 2, 0, 36, xsdt, 0)
    content[:36] = with_checksum(with_checksum(pointer, 8, 20), 32)
    return bytes(content)
