"""A machine's state as plain values: vCPUs, interrupt controllers, timer, clock, devices, memory.

A snapshot fits a machine that was built alike: same memory, vCPUs, devices and kind of host. Disks
keep their own content. The order in which KVM's pieces are read and set is the one that its
documentation and its other users keep, since some of them change others.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ringzero.errors import UsageError
from ringzero.kvm import api
from ringzero.kvm.api import Capability
from ringzero.kvm.board.wiring import Board
from ringzero.kvm.vcpu import Vcpu
from ringzero.kvm.vm import Kvm, Vm
from ringzero.lang.cache import write_whole
from ringzero.machine.memory import GuestMemory
from ringzero.machine.virtio.device import VirtioDevice

MAGIC = b"ringzero-kvm-snapshot-1\n"
CHIPS = 3  # two 8259 and the I/O APIC
PAGE = 4096
CHUNK = 1 << 20

# (name, request to read, request to set, layout), in the order of setting.
VCPU_PARTS: tuple[tuple[str, api.Request, api.Request, Any], ...] = (
    ("mp_state", api.GET_MP_STATE, api.SET_MP_STATE, api.MpState),
    ("regs", api.GET_REGS, api.SET_REGS, api.Regs),
    ("sregs", api.GET_SREGS, api.SET_SREGS, api.Sregs),
    ("xsave", api.GET_XSAVE, api.SET_XSAVE, api.Xsave),
    ("xcrs", api.GET_XCRS, api.SET_XCRS, api.Xcrs),
    ("debugregs", api.GET_DEBUGREGS, api.SET_DEBUGREGS, api.DebugRegs),
    ("lapic", api.GET_LAPIC, api.SET_LAPIC, api.Lapic),
)
OPTIONAL = {"xcrs": Capability.XCRS, "debugregs": Capability.DEBUGREGS}
EVENTS = ("events", api.GET_VCPU_EVENTS, api.SET_VCPU_EVENTS, api.VcpuEvents)


class Parts(Protocol):
    """What a machine is made of, as far as its state is in it."""

    kvm: Kvm
    vm: Vm
    memory: GuestMemory
    board: Board
    virtio: list[VirtioDevice]


@dataclass
class VcpuState:
    """One vCPU: KVM's structures as hexadecimal digits, and its MSRs."""

    parts: dict[str, str] = field(default_factory=dict)
    msrs: dict[int, int] = field(default_factory=dict)


@dataclass
class Snapshot:
    """Everything that a guest could tell apart."""

    memory_size: int
    vcpus: list[VcpuState]
    chips: list[str]
    timer: str
    clock: int
    devices: dict[str, Any]
    pages: dict[int, bytes]  # what is not zero, by offset

    def write(self, path: Path) -> None:
        """Into a file: a line of JSON, then the pages, compressed."""
        header = {
            "memory_size": self.memory_size, "vcpus": [asdict(vcpu) for vcpu in self.vcpus],
            "chips": self.chips, "timer": self.timer, "clock": self.clock,
            "devices": _to_json(self.devices), "offsets": list(self.pages),
        }  # fmt: skip
        text = json.dumps(header).encode()
        content = zlib.compress(b"".join(self.pages.values()), 1)
        write_whole(path, MAGIC + len(text).to_bytes(8, "little") + text + content)

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot from the file that `write` made."""
        data = path.read_bytes()
        start = len(MAGIC) + 8
        try:
            if not data.startswith(MAGIC):
                raise ValueError("another kind of file")
            size = int.from_bytes(data[len(MAGIC) : start], "little")
            header = json.loads(data[start : start + size])
            content = zlib.decompress(data[start + size :])
            vcpus = [
                VcpuState(vcpu["parts"], {int(k): v for k, v in vcpu["msrs"].items()})
                for vcpu in header["vcpus"]
            ]
        except (ValueError, KeyError, zlib.error) as error:
            raise UsageError(
                f"{path} is not a snapshot of a KVM machine ({error}): name a file that "
                "`Snapshot.write` made."
            ) from None
        pages = {
            offset: content[PAGE * index : PAGE * (index + 1)]
            for index, offset in enumerate(header["offsets"])
        }
        return cls(
            header["memory_size"], vcpus, header["chips"], header["timer"], header["clock"],
            _from_json(header["devices"]), pages,
        )  # fmt: skip


def take(machine: Parts) -> Snapshot:
    """The state of a machine that does not run."""
    for device in machine.virtio:
        if device.name == "virtio-fs" and device.running:
            raise UsageError(
                "A guest that uses a shared folder cannot be saved, for the files it has open are "
                "the host's: unmount it in the guest, or use a disk."
            )
    vm = machine.vm
    for vcpu in vm.vcpus:
        _finish_exit(vcpu)
    indices = machine.kvm.msr_indices()
    skipped = {name for name, needed in OPTIONAL.items() if not machine.kvm.capability(needed)}
    clock = api.ClockData()
    vm.request(api.GET_CLOCK, clock)
    return Snapshot(
        memory_size=machine.memory.size,
        vcpus=[_take_vcpu(vcpu, indices, skipped) for vcpu in vm.vcpus],
        chips=[_take_chip(vm, number) for number in range(CHIPS)],
        timer=_read(vm.fd, api.GET_PIT2, api.Pit2()),
        clock=clock.clock,
        devices=machine.board.state(),
        pages=_pages(machine.memory),
    )


def _finish_exit(vcpu: Vcpu) -> None:
    """Let KVM complete an access that the board has answered, without running the guest on."""
    vcpu.bytes[1] = 1
    vcpu.enter()
    vcpu.bytes[1] = 0


def _take_vcpu(vcpu: Vcpu, indices: list[int], skipped: set[str]) -> VcpuState:
    state = VcpuState()
    for name, get, _, layout in VCPU_PARTS:
        if name not in skipped:
            state.parts[name] = _read(vcpu.fd, get, layout())
    state.msrs = vcpu.read_msrs(indices)
    state.parts[EVENTS[0]] = _read(vcpu.fd, EVENTS[1], EVENTS[3]())
    return state


def _take_chip(vm: Vm, number: int) -> str:
    return _read(vm.fd, api.GET_IRQCHIP, api.Irqchip(number))


def _read(fd: int, what: api.Request, structure: Any) -> str:
    api.request(fd, what, structure)
    return bytes(structure).hex()


def put(machine: Parts, snapshot: Snapshot) -> None:
    """Let a machine that was built alike go on from a snapshot."""
    vm = machine.vm
    if (machine.memory.size, len(vm.vcpus)) != (snapshot.memory_size, len(snapshot.vcpus)):
        raise UsageError(
            f"The snapshot is of a machine with {snapshot.memory_size >> 20} MiB and "
            f"{len(snapshot.vcpus)} vCPUs: build one like it."
        )
    _put_pages(machine.memory, snapshot.pages)
    for text in snapshot.chips:
        vm.request(api.SET_IRQCHIP, api.Irqchip.from_buffer_copy(bytes.fromhex(text)))
    _write(vm.fd, api.SET_PIT2, api.Pit2, snapshot.timer)
    vm.request(api.SET_CLOCK, api.ClockData(snapshot.clock))
    for vcpu, state in zip(vm.vcpus, snapshot.vcpus, strict=True):
        for name, _, put_request, layout in VCPU_PARTS:
            if name in state.parts:
                _write(vcpu.fd, put_request, layout, state.parts[name])
        vcpu.write_msrs(state.msrs)
        _write(vcpu.fd, EVENTS[2], EVENTS[3], state.parts[EVENTS[0]])
    machine.board.restore(snapshot.devices)


def _write(fd: int, what: api.Request, layout: Any, text: str) -> None:
    api.request(fd, what, layout.from_buffer_copy(bytes.fromhex(text)))


def _pages(memory: GuestMemory) -> dict[int, bytes]:
    """The pages that are not zero. Memory that was never touched is skipped unread."""
    zeroes = bytes(PAGE)
    found: dict[int, bytes] = {}
    resident = _resident(memory)
    for chunk in range(0, memory.size, CHUNK):
        first = chunk // PAGE
        if not any(resident[first : first + CHUNK // PAGE]):
            continue
        for offset in range(chunk, min(chunk + CHUNK, memory.size), PAGE):
            page = memory.buffer[offset : offset + PAGE]
            if page != zeroes:
                found[offset] = page
    return found


def _resident(memory: GuestMemory) -> bytes:
    """Which pages the host holds at all (mincore(2)); all of them where it does not say."""
    pages = memory.size // PAGE
    vector = (ctypes.c_uint8 * pages)()
    address = ctypes.c_void_p(memory.address_of_buffer)
    library = ctypes.CDLL(None, use_errno=True)
    if mmap.PAGESIZE != PAGE or library.mincore(address, ctypes.c_size_t(memory.size), vector):
        return b"\1" * pages
    return bytes(vector)


def _put_pages(memory: GuestMemory, pages: dict[int, bytes]) -> None:
    """Everything that the snapshot does not mention is zero."""
    for offset in _pages(memory):
        if offset not in pages:
            memory.write(memory.base + offset, bytes(PAGE))
    for offset, page in pages.items():
        memory.write(memory.base + offset, page)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"items": [[key, _to_json(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if "bytes" in value:
            return bytes.fromhex(value["bytes"])
        return {key: _from_json(item) for key, item in value["items"]}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value
