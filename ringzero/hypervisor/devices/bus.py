"""What a guest finds outside its memory: UART, PLIC, finisher, and empty slots for virtio devices.

They are the board's own texts (`ringzero/board/`), each VM with its own state. None of them writes
memory, so none can be made to write outside the guest's slice.
"""

from __future__ import annotations

from ringzero.board import finisher, plic, uart, virtio_mmio
from ringzero.board.addresses import (
    FINISHER_BASE,
    PLIC_BASE,
    UART_BASE,
    VIRTIO_BASE,
    VIRTIO_SIZE,
    VIRTIO_SLOTS,
)
from ringzero.hypervisor.devices import console_input, interrupts, serial
from ringzero.hypervisor.vm import life
from ringzero.hypervisor.vm.state import Vm, machine, status
from ringzero.lang import native, u16, u64

SERIAL, CONTROLLER, POWER, SLOTS = range(4)
NAMES = ("uart", "plic", "finisher", "virtio slots")


@native
def count(vm: Vm, device: int) -> None:
    """One more access."""
    status[vm.index].devices[device] += 1


@native
def covers(base: int, size: int, address: u64, width: u64) -> bool:
    """Whether an access lies in a device's window as a whole."""
    return address - base < size and width <= size - (address - base)


@native(inline=False)
def read(vm: Vm, address: u64, width: u64) -> tuple[u64, bool]:
    """A load from a device; False where nothing answers."""
    if covers(UART_BASE, uart.SIZE, address, width):
        count(vm, SERIAL)
        value = serial.read(vm, address - UART_BASE)
        if machine.claimed != 0:  # input waits outside, and there may be room now
            console_input.take()
        return value, True
    if covers(PLIC_BASE, plic.SIZE, address, width):
        count(vm, CONTROLLER)
        return interrupts.read(vm, address - PLIC_BASE, width), True
    if covers(FINISHER_BASE, finisher.SIZE, address, width):
        return u64(0), True
    if covers(VIRTIO_BASE, VIRTIO_SIZE * VIRTIO_SLOTS, address, width):
        count(vm, SLOTS)
        return virtio_mmio.read_empty(address & (VIRTIO_SIZE - 1), width), True
    return u64(0), False


@native(inline=False)
def write(vm: Vm, address: u64, width: u64, value: u64) -> bool:
    """A store to a device; False where nothing answers."""
    if covers(UART_BASE, uart.SIZE, address, width):
        count(vm, SERIAL)
        serial.write(vm, address - UART_BASE, value & 0xFF)
        return True
    if covers(PLIC_BASE, plic.SIZE, address, width):
        count(vm, CONTROLLER)
        interrupts.write(vm, address - PLIC_BASE, width, value)
        return True
    if covers(FINISHER_BASE, finisher.SIZE, address, width):
        count(vm, POWER)
        if address == FINISHER_BASE and (width == 2 or width == 4):
            finish(vm, value)
        return True
    if covers(VIRTIO_BASE, VIRTIO_SIZE * VIRTIO_SLOTS, address, width):
        count(vm, SLOTS)
        return True
    return False


@native
def finish(vm: Vm, value: u64) -> None:
    """The guest ends itself: with success, with a code, or to begin again."""
    action, code = u16(value), value >> 16 & 0xFFFF
    if action == finisher.PASS:
        life.stop(vm, u64(0))
    elif action == finisher.FAIL:
        life.stop(vm, code if code != 0 else u64(1))
    elif action == finisher.RESET:
        life.stop(vm, u64(life.RESTARTED))
