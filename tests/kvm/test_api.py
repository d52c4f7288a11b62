"""The ioctl interface: layouts, requests, failures as sentences, kicks, events, dirty pages."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from ringzero.kvm import api
from ringzero.kvm.errors import KvmError, KvmUnavailable
from ringzero.kvm.status import kind_of_host, open_device, status
from ringzero.kvm.vcpu import INTERRUPTED, Vcpu
from ringzero.kvm.vm import Kvm, Vm
from ringzero.kvm.walk.measure import start_in_real_mode
from ringzero.machine.memory import GuestMemory

CODE = 0x1000


def start(vm: Vm, memory: GuestMemory, code: str) -> Vcpu:
    """A vCPU in real mode before these bytes."""
    memory.write(CODE, bytes.fromhex(code))
    vcpu = vm.create_vcpu(0)
    start_in_real_mode(vcpu, CODE)
    vcpu.adopt()
    return vcpu


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        (api.Regs, 144), (api.Sregs, 312), (api.MemoryRegion, 32), (api.CpuidEntry, 40),
        (api.EnableCap, 104), (api.Irqfd, 32), (api.Ioeventfd, 64),
        (api.PitConfig, 64), (api.MsrEntry, 16), (api.MsrFilter, 392), (api.Fpu, 416),
        (api.ClockData, 48), (api.GuestDebug, 72), (api.Irqchip, 520), (api.Translation, 24),
        (api.DirtyLog, 16), (api.SignalMask, 12),
    ],
)  # fmt: skip
def test_structures_have_the_kernels_sizes(layout: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(layout) == size


def test_request_numbers_are_the_kernels() -> None:
    assert api.RUN.code == 0xAE80
    assert api.SET_USER_MEMORY_REGION.code == 0x4020AE46
    assert api.GET_SREGS.code == 0x8138AE83
    assert api.SET_CPUID2.code == 0x4008AE90
    assert api.X86_SET_MSR_FILTER.code == 0x4188AEC6
    assert api.SET_SIGNAL_MASK.code == 0x4004AE8B


def test_missing_device_is_a_sentence_with_exit_code_126(tmp_path: Path) -> None:
    with pytest.raises(KvmUnavailable, match="is not there") as caught:
        open_device(str(tmp_path / "kvm"))
    assert caught.value.exit_code == 126
    told = status(str(tmp_path / "kvm"))
    assert not told.available
    assert told.kind == "none"
    assert told.advice


def test_a_device_that_is_not_kvm_is_refused() -> None:
    with pytest.raises(KvmUnavailable, match="not the KVM device"):
        open_device("/dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_no_permission_is_a_sentence(tmp_path: Path) -> None:
    locked = tmp_path / "kvm"
    locked.touch(mode=0)
    with pytest.raises(KvmUnavailable, match="permission"):
        open_device(str(locked))


def test_kind_follows_the_loaded_module(tmp_path: Path) -> None:
    for module, kind in (("kvm_pvm", "pvm"), ("kvm_intel", "vmx"), ("kvm_amd", "svm")):
        place = tmp_path / kind
        (place / module).mkdir(parents=True)
        assert kind_of_host(place) == kind


def test_failure_names_the_request(vm: Vm, memory: GuestMemory) -> None:
    with pytest.raises(KvmError, match=r"KVM_SET_USER_MEMORY_REGION .* EEXIST") as caught:
        vm.map(1, 0, memory.address_of_buffer, 4096)
    assert caught.value.exit_code == 125
    with pytest.raises(KvmError, match=r"KVM_SET_USER_MEMORY_REGION .* EINVAL"):
        vm.map(1, 0x123, memory.address_of_buffer, 4096)
    vm.create_vcpu(0)
    with pytest.raises(KvmError, match=r"KVM_CREATE_VCPU .* EEXIST"):
        vm.create_vcpu(0)


def test_port_exits_carry_direction_size_and_data(vm: Vm, memory: GuestMemory) -> None:
    vcpu = start(vm, memory, "b0 41 e6 e9 66 e5 10 f4")  # mov al,'A'; out 0xe9; in eax,0x10; hlt
    assert vcpu.enter() == api.ExitReason.IO
    access = vcpu.port_access()
    assert (access.write, access.size, access.port, access.repeats) == (True, 1, 0xE9, 1)
    assert vcpu.bytes[access.offset] == 0x41
    assert vcpu.enter() == api.ExitReason.IO
    access = vcpu.port_access()
    assert (access.write, access.size, access.port) == (False, 4, 0x10)
    vcpu.bytes[access.offset : access.offset + 4] = b"\x78\x56\x34\x12"
    assert vcpu.enter() == api.ExitReason.HLT
    assert vcpu.regs().rax == 0x12345678


def test_kick_before_and_during_a_run(vm: Vm, memory: GuestMemory) -> None:
    vcpu = start(vm, memory, "eb fe")  # for ever
    vcpu.kick()
    assert vcpu.enter() == INTERRUPTED
    timer = threading.Timer(0.05, vcpu.kick)
    timer.start()
    assert vcpu.enter() == INTERRUPTED  # without the kick it would not come back
    vcpu.abandon()
    vcpu.kick()  # harmless for a vCPU that nobody runs


def test_registers_round_trip(vm: Vm, memory: GuestMemory) -> None:
    vcpu = start(vm, memory, "f4")
    regs = vcpu.regs()
    regs.r15 = 0x1122_3344_5566_7788
    vcpu.set_regs(regs)
    assert vcpu.regs().r15 == 0x1122_3344_5566_7788
    refused = vcpu.write_msrs({0x174: 8, 0xDEAD_BEEF: 1, 0x175: 0x1000})
    assert refused == [0xDEAD_BEEF]
    assert vcpu.read_msrs([0x174, 0xDEAD_BEEF, 0x175]) == {0x174: 8, 0x175: 0x1000}
    assert "real mode" in vcpu.describe()
    assert vcpu.translate(0x1234) == 0x1234


def test_dirty_pages_are_those_the_guest_wrote(vm: Vm, memory: GuestMemory) -> None:
    vm.log_dirty_pages(0)
    vcpu = start(vm, memory, "a3 00 50 a3 04 80 f4")  # mov [0x5000],ax; mov [0x8004],ax; hlt
    assert vcpu.enter() == api.ExitReason.HLT
    assert {0x5000, 0x8000} <= set(vm.dirty_pages(0))
    assert 0x5000 not in vm.dirty_pages(0)


def test_ioeventfd_takes_a_write_without_an_exit(vm: Vm, memory: GuestMemory) -> None:
    if not vm.kvm.capability(api.Capability.IOEVENTFD):
        pytest.skip("this KVM lacks IOEVENTFD")
    event = os.eventfd(0, os.EFD_NONBLOCK)
    vm.ioeventfd(event, 0x20, 1, port=True)
    vcpu = start(vm, memory, "e6 20 e6 20 f4")
    assert vcpu.enter() == api.ExitReason.HLT
    assert os.eventfd_read(event) == 2
    vm.ioeventfd(event, 0x20, 1, port=True, assign=False)
    os.close(event)


def test_irqfd_and_lines_need_controllers(vm: Vm) -> None:
    event = os.eventfd(0)
    with pytest.raises(KvmError, match="KVM_IRQ_LINE"):
        vm.irq_line(4, True)
    vm.create_irqchip()
    vm.irq_line(4, True)
    vm.irq_line(4, False)
    vm.irqfd(event, 4)
    os.eventfd_write(event, 1)
    vm.irqfd(event, 4, assign=False)
    os.close(event)


def test_supported_cpuid_has_a_vendor(kvm: Kvm) -> None:
    cpuid = kvm.supported_cpuid()
    assert 0 < cpuid.nent <= api.MOST_CPUID
    assert kvm.capability(api.Capability.NR_VCPUS) >= 1
    kvm.require([api.Capability.USER_MEMORY, api.Capability.IMMEDIATE_EXIT])
