"""Walks of guests under our hypervisor, held against what the guest itself finds at the address."""

from __future__ import annotations

import pytest

from ringzero import guests
from ringzero.board.addresses import UART_BASE
from ringzero.errors import UsageError
from ringzero.guests.kernel.pages import DEVICES
from ringzero.isa.hart import M
from ringzero.isa.privileged.trap import LOAD_PAGE
from ringzero.machines.virtual import VirtualMachines, Vm
from ringzero.outcome import Paused
from ringzero.trace.guest_walk import GuestWalk, running, walk_now, walk_of_guest
from tests.limits import HUNG

TECHNIQUES = ["trap", "hardware"]
KERNEL = 0x8020_0000


class Stopper:
    """A console that pauses its machine in the midst of the bundled kernel's tests."""

    machine: VirtualMachines

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data
        if self.data.endswith(b"test user reads"):
            self.machine.pause()


def paused(technique: str, count: int = 1) -> VirtualMachines:
    """With a guest on the hart."""
    vm, console = Vm(guests.build("kernel"), memory="128M"), Stopper()
    machine = VirtualMachines(
        [vm] * count, technique=technique, clock="instructions", console=console
    )
    console.machine = machine
    assert machine.run(timeout=HUNG) == Paused()
    for _ in range(10_000):
        if machine.harts.hart(0).mode != M:
            break
        machine.step()
    return machine


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_both_ways_lead_to_the_same_byte(technique: str) -> None:
    with paused(technique) as machine:
        vector = guests.build("kernel").symbols["trap"]
        told = walk_of_guest(machine, vector, "fetch", "S")
        assert isinstance(told, GuestWalk)
        assert (told.vm, told.technique) == (running(machine), technique) == (0, technique)
        assert told.real is not None
        assert told.real.physical == told.expected == (told.guest.physical or 0) + told.offset
        assert told.guest.physical == vector  # the kernel maps itself where it is
        code = walk_of_guest(machine, KERNEL, "fetch", "S")
        assert code.expected is not None
        assert machine.read_memory(code.expected, 64) == guests.build("kernel").flat[:64]
        shown = str(told)
    if technique == "trap":
        assert "the shadow, which the hart walks" in shown
        assert shown.count("level 0: ") == 2
    else:
        assert [e.stage for e in told.real.entries] == ["G", "G", "VS"] * 3 + ["G", "G"]
        assert "Sv39 over Sv39x4" in shown
    assert f"Guest physical {vector:#x} is machine {told.expected:#x}." in shown


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_fault_is_the_guests_own(technique: str) -> None:
    with paused(technique) as machine:
        told = walk_now(machine, 0x40, mode="S")
    assert isinstance(told, GuestWalk)
    assert told.guest.fault is not None
    assert told.guest.fault.cause == LOAD_PAGE
    assert told.expected is None
    assert "The guest gets this fault from its own tables." in str(told)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_device_is_no_memory(technique: str) -> None:
    with paused(technique) as machine:
        told = walk_of_guest(machine, DEVICES + 5, "load", "S")
    assert told.guest.physical == UART_BASE + 5
    assert told.expected is None
    assert told.real is None or told.real.fault is not None
    assert "a device, or an access fault" in str(told)


def test_another_vm_than_the_running_one() -> None:
    with paused("hardware", 2) as machine:
        other = 1 - running(machine)
        told = walk_of_guest(machine, KERNEL, "fetch", "S", other)
        assert told.vm == other
        assert told.expected is not None
        assert machine.read_memory(told.expected, 64) == guests.build("kernel").flat[:64]
        with pytest.raises(UsageError, match="There is no VM 2"):
            walk_of_guest(machine, KERNEL, vm=2)
        with pytest.raises(UsageError, match="A guest has no mode 'VS'"):
            walk_of_guest(machine, KERNEL, mode="VS")
