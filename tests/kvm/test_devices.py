"""The board's own devices, tables and CPUID; and accesses that no honest guest makes."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from ringzero.kvm.api import Cpuid, CpuidEntry
from ringzero.kvm.board import acpi, layout
from ringzero.kvm.board.legacy import Cmos, KeyboardController, PowerManagement
from ringzero.kvm.cpuid import BASELINE, guest_cpuid
from ringzero.machine.disk import DiskImage
from ringzero.machines.kvm import KvmMachine
from ringzero.outcome import Ending, PoweredOff, Rebooted, TimedOut
from tests.kvm.conftest import needs_kvm
from tests.kvm.kernels import BASE, Kernel, elf64, written
from tests.limits import HUNG

LEAVES = (0, 1, 4, 7, 0xB, 0x8000_0001, 0x8000_0008, 0x8000_001E)


def test_keyboard_controller_resets_and_passes_its_self_test() -> None:
    outcomes: list[Ending] = []
    keyboard = KeyboardController(outcomes.append)
    keyboard.write(4, 1, 0xAA)
    assert keyboard.read(4, 1) & 1
    assert keyboard.read(0, 1) == 0x55
    assert not keyboard.read(4, 1) & 1
    keyboard.write(4, 1, 0xD1)
    keyboard.write(0, 1, 0xFE)
    assert outcomes == [Rebooted()]


def test_clock_reads_as_bcd() -> None:
    clock = Cmos(lambda: 1_700_000_000.0)  # 2023-11-14 22:13:20, a Tuesday
    found = []
    for register in (0x32, 9, 8, 7, 6, 4, 2, 0):
        clock.write(0, 1, register)
        found.append(clock.read(1, 1))
    assert found == [0x20, 0x23, 0x11, 0x14, 3, 0x22, 0x13, 0x20]


def test_power_off_needs_type_and_enable() -> None:
    outcomes: list[Ending] = []
    power = PowerManagement(outcomes.append)
    power.write(4, 2, layout.SLEEP_TYPE << 10)
    power.write(4, 2, 1 << 13 | 1 << 10)
    assert outcomes == []
    power.write(4, 2, 1 << 13 | layout.SLEEP_TYPE << 10)
    assert outcomes == [PoweredOff(0)]
    assert power.read(4, 2) & 1
    first, second = power.read(8, 4), power.read(8, 4)
    assert second >= first


def test_acpi_tables_are_linked_and_sum_to_zero() -> None:
    content = acpi.build(2, [(layout.VIRTIO, 16), (layout.VIRTIO + 0x1000, 17)], [5])

    def at(address: int) -> bytes:
        place = address - layout.ACPI_TABLES
        size = struct.unpack_from("<I", content, place + 4)[0]
        found = content[place : place + size]
        assert found[:4] == b"FACS" or sum(found) & 0xFF == 0, found[:4]
        return found

    assert content[:8] == b"RSD PTR "
    assert sum(content[:20]) & 0xFF == 0
    assert sum(content[:36]) & 0xFF == 0
    xsdt = at(struct.unpack_from("<Q", content, 24)[0])
    tables = {t[:4]: t for t in map(at, struct.unpack_from("<2Q", xsdt, 36))}
    assert set(tables) == {b"FACP", b"APIC"}
    assert at(struct.unpack_from("<I", tables[b"FACP"], 36)[0])[:4] == b"FACS"
    dsdt = at(struct.unpack_from("<Q", tables[b"FACP"], 140)[0])
    assert dsdt.count(b"LNRO0005") == 2
    assert tables[b"APIC"].count(bytes([0, 8])) >= 2


def test_aml_package_lengths_count_themselves() -> None:
    assert acpi.aml_package_length(bytes(10))[0] == 11
    long = acpi.aml_package_length(bytes(100))
    assert (long[0] & 0xF) | long[1] << 4 == 102
    assert long[0] >> 6 == 1


def supported() -> Cpuid:
    cpuid = Cpuid()
    for leaf in LEAVES:
        ones = (1 << 32) - 1
        cpuid.entries[cpuid.nent] = CpuidEntry(leaf, 0, 0, ones, ones, ones, ones)
        cpuid.nent += 1
    return cpuid


def test_cpuid_hides_the_baseline_and_numbers_the_cpus() -> None:
    shown = guest_cpuid(supported(), number=1, cpus=2, tsc_deadline=True)
    entries = {entry.function: entry for entry in shown.entries[: shown.nent]}
    for hidden in BASELINE:
        value = getattr(entries[hidden.leaf], hidden.register)
        assert not value >> hidden.bit & 1, hidden.name
        assert hidden.why
    assert entries[1].ebx >> 24 == 1
    assert entries[1].ebx >> 16 & 0xFF == 2
    assert entries[1].ecx >> 31 & 1
    assert entries[0xB].edx == 1
    assert entries[0x8000_0008].ecx & 0xFF == 1


# Hostile guests.


@needs_kvm
def test_random_accesses_to_every_device(tmp_path: Path) -> None:
    """Whatever a guest writes where, the board answers, and the process lives on."""
    disk = written(tmp_path / "disk", bytes(1 << 16))
    kernel = written(tmp_path / "kernel", elf64(b"\xeb\xfe"))
    chance = random.Random(7)
    with KvmMachine(
        memory="16M",
        kernel=kernel,
        disks=[DiskImage(disk, overlay=True)],
        mounts=[("t", tmp_path, True)],
    ) as machine:
        board = machine.board
        for _ in range(20_000):
            wire = chance.choice(board.wires)
            size = chance.choice((1, 2, 4, 8))
            offset = chance.randrange(min(wire.device.size, 0x120))
            value = chance.choice((0, 1, chance.getrandbits(8 * size), chance.getrandbits(20)))
            if chance.random() < 0.5:
                wire.device.write(offset, size, value & (1 << 8 * size) - 1)
            else:
                assert wire.device.read(offset, size) >= 0
            wire.update()
        board.serve()


@needs_kvm
def test_a_guest_that_pokes_at_random(tmp_path: Path) -> None:
    """The same from inside: a guest writes pseudo-random values to ports and device memory."""
    kernel = Kernel(BASE, 64)
    kernel.mov("rsi", 88172645463325252)
    kernel.mov("r8", 3000)
    kernel.label("again")
    for shift, left in ((13, True), (7, False), (17, True)):  # xorshift64
        kernel.mov("rax", "rsi")
        kernel.emit(f"48 c1 {'e0' if left else 'e8'} {shift:02x}")
        kernel.emit("48 31 c6")  # xor rsi, rax
    kernel.mov("rdx", "rsi")
    kernel.arithmetic("and", "edx", 0x3FF)
    kernel.mov("eax", "esi")
    kernel.emit("c1 e8 0b")  # shr eax, 11
    kernel.op("out dx, al")
    kernel.op("in al, dx")
    kernel.mov("rdi", "rsi")
    kernel.arithmetic("and", "edi", 0x7FFC)
    kernel.emit("81 c7 00 00 00 d0")  # add edi, 0xd0000000: the virtio windows
    kernel.mov("eax", "esi")
    kernel.store("rdi", "eax")
    kernel.load("eax", "rdi")
    kernel.emit("49 ff c8")  # dec r8
    kernel.jump_if("jnz", "again")
    kernel.exit(9)
    path = written(tmp_path / "kernel", elf64(kernel.link()))
    with KvmMachine(memory="16M", kernel=path) as machine:
        outcome = machine.run(timeout=HUNG)
    # It may hit a register that ends the machine, and that is an ending like any other.
    assert outcome != TimedOut()
    assert not isinstance(outcome, PoweredOff) or 0 <= outcome.code <= 0xFFFF
