"""The devices that a guest finds outside its memory: UART, PLIC, test finisher; all are emulated.

None of them writes memory, so none can be made to write outside the guest's slice.
"""

from __future__ import annotations

from ringzero.hypervisor.devices import plic, uart
from ringzero.hypervisor.vm import life
from ringzero.hypervisor.vm.state import FINISHER, PLIC, UART, Vm, status
from ringzero.lang import native, u16, u64

SERIAL, CONTROLLER, POWER = range(3)
NAMES = ("uart", "plic", "finisher")
PASS, FAIL, RESTART = 0x5555, 0x3333, 0x7777


@native
def count(vm: Vm, device: int) -> None:
    """One more access."""
    status[vm.index].devices[device] += 1


@native(inline=False)
def read(vm: Vm, address: u64, size: u64) -> tuple[u64, bool]:
    """A load from a device; nothing answers at other addresses, or to other widths."""
    if address - UART < 8 and size == 1:
        count(vm, SERIAL)
        return uart.read(vm, address - UART), True
    if address - PLIC < plic.SIZE and size == 4:
        count(vm, CONTROLLER)
        return plic.read(vm, address - PLIC), True
    if address - FINISHER < 0x1000 and size <= 4:
        return u64(0), True
    return u64(0), False


@native(inline=False)
def write(vm: Vm, address: u64, size: u64, value: u64) -> bool:
    """A store to a device."""
    if address - UART < 8 and size == 1:
        count(vm, SERIAL)
        uart.write(vm, address - UART, value & 0xFF)
        return True
    if address - PLIC < plic.SIZE and size == 4:
        count(vm, CONTROLLER)
        plic.write(vm, address - PLIC, value & 0xFFFF_FFFF)
        return True
    if address - FINISHER < 0x1000 and size <= 4:
        count(vm, POWER)
        if address == FINISHER:
            finish(vm, value)
        return True
    return False


@native
def finish(vm: Vm, value: u64) -> None:
    """The guest ends itself: with success, with a code, or to begin again."""
    what = u16(value)
    if what == PASS:
        life.stop(vm, u64(0))
    elif what == FAIL:
        life.stop(vm, value >> 16 & 0xFFFF)
    elif what == RESTART:
        life.stop(vm, u64(life.RESTARTED))
