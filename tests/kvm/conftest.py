"""Fixtures for tests against /dev/kvm; without it they are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringzero.kvm.status import KvmStatus, status
from ringzero.kvm.vm import Kvm, Vm
from ringzero.machine.memory import GuestMemory

HOST: KvmStatus = status()
needs_kvm = pytest.mark.skipif(not HOST.available, reason=HOST.sentence())
needs_hardware = pytest.mark.skipif(
    HOST.kind not in ("vmx", "svm"), reason=f"needs VMX or SVM. {HOST.sentence()}"
)


@pytest.fixture
def kvm() -> Iterator[Kvm]:
    if not HOST.available:
        pytest.skip(HOST.sentence())
    with Kvm() as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    memory = GuestMemory(1 << 20, base=0)
    yield memory
    memory.close()


@pytest.fixture
def vm(kvm: Kvm, memory: GuestMemory) -> Iterator[Vm]:
    vm = kvm.create_vm()
    vm.map(0, 0, memory.address_of_buffer, memory.size)
    yield vm
    vm.close()
