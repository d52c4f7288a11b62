"""Addresses of the x86-64 board: what lies where in guest memory, at which port, on which line."""

from __future__ import annotations

# Boot-time structures in the first megabyte, all in RAM that the kernel may reuse.
GDT = 0x500
BOOT_PARAMS = 0x7000
BOOT_STACK = 0x8FF0
PAGE_TABLES = 0x9000  # PML4, PDPT and four page directories
START_INFO = 0x6000  # PVH
MEMORY_MAP = 0x6100
COMMAND_LINE = 0x2_0000
COMMAND_LINE_ROOM = 0x1_0000
EBDA = 0x9_FC00  # RAM below 1 MiB ends here
ACPI_TABLES = 0xE_0000  # where firmware's RSDP is looked for
ACPI_ROOM = 0x2_0000
HIGH_MEMORY = 0x10_0000

# Ports.
I8042_DATA, I8042_COMMAND = 0x60, 0x64
CMOS = 0x70
EXIT = 0xF4  # a byte written here ends the machine with that exit code
SERIAL = 0x3F8
PM_EVENTS, PM_CONTROL, PM_TIMER = 0x600, 0x604, 0x608
PCI_ADDRESS, PCI_DATA = 0xCF8, 0xCFC
RESET = 0xCF9

# Physical addresses between the end of low RAM and 4 GiB.
VIRTIO = 0xD000_0000
VIRTIO_STEP = 0x1000
FINISHER = 0xD010_0000
ECAM, ECAM_BUS = 0xE000_0000, 0x10_0000  # configuration space; the guest is told of bus 0 only
PCI_WINDOW, PCI_WINDOW_SIZE = 0xF000_0000, 0x0800_0000  # where BARs may be
IO_APIC, LOCAL_APIC = 0xFEC0_0000, 0xFEE0_0000

# Interrupt lines of the I/O APIC.
SERIAL_LINE = 4
SCI = 9
# Announced by ACPI, any pin will do; on the command line only those below 16 are known to Linux.
ACPI_LINES = (16, 17, 18, 19, 20, 21, 22, 23, 10, 11, 5, 6, 7)
PCI_LINE = 16  # INTA; INTB to INTD follow
LEGACY_LINES = (5, 6, 7, 10, 11, 12, 14, 15)
SLEEP_TYPE = 5  # what \_S5 says must be written to PM_CONTROL to power off

# What an initramfs loads for this board's devices where the kernel has not built it in; Debian's
# cloud kernel of trixie has only virtio_mmio, virtio_blk and virtio_rng as modules.
GUEST_MODULES = (
    "virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console", "virtiofs", "virtio_rng",
)  # fmt: skip
