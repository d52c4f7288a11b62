"""Where things are on the board: QEMU's `virt` machine, so that its guests run unchanged.

`..._BASE` is the address of a window, and `..._SOURCE` the number by which a device interrupts the
PLIC. A device's own module has the size of its window.
"""

from __future__ import annotations

ROM_BASE, ROM_SIZE = 0x1000, 0xF000
FINISHER_BASE, RTC_BASE, CLINT_BASE = 0x10_0000, 0x10_1000, 0x200_0000
PIO_BASE, PIO_SIZE = 0x300_0000, 0x1_0000
PLIC_BASE, UART_BASE = 0xC00_0000, 0x1000_0000
VIRTIO_BASE, VIRTIO_SIZE, VIRTIO_SLOTS = 0x1000_1000, 0x1000, 8
ECAM_BASE = 0x3000_0000
MMIO32_BASE, MMIO32_SIZE = 0x4000_0000, 0x4000_0000
MMIO64_BASE, MMIO64_SIZE = 0x4_0000_0000, 0x4_0000_0000
RAM_BASE = 0x8000_0000

VIRTIO_SOURCE, UART_SOURCE, RTC_SOURCE, PCI_SOURCE = 1, 10, 11, 0x20
LAST_SOURCE = 127

TIMEBASE = 10_000_000  # ticks of mtime in a second
UART_CLOCK = 3_686_400

FIRMWARE_SIZE = 0x8_0000  # the first bytes of RAM, which the built-in firmware keeps for itself
KERNEL_BASE = RAM_BASE + 0x20_0000  # where firmware goes on if nobody says
