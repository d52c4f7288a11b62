"""The bundled guest: every stage is reached, every value is what the architecture says."""

from __future__ import annotations

import pytest

from ringzero.kvm.walk.guest import FAULTING, KERNEL, USER
from ringzero.kvm.walk.measure import Walk, walk
from tests.kvm.conftest import needs_hardware, needs_kvm

STAGES = [
    "real mode", "port read back", "cpuid leaves", "protected mode", "memory-mapped register",
    "long mode", "tables loaded", "leaving ring 0", "back in ring 0", "end",
]  # fmt: skip

pytestmark = needs_kvm


@pytest.fixture(scope="module")
def walked() -> Walk:
    return walk(iterations=200)


def test_walks_through_every_stage_in_order(walked: Walk) -> None:
    assert walked.stopped is None, walked.stopped
    assert [stage for stage in walked.reached if stage in STAGES] == STAGES
    assert walked.complete


def test_guest_sees_what_the_board_answers(walked: Walk) -> None:
    assert walked.values["port read back"] == 0x5A
    assert walked.values["memory-mapped register"] == 0x1234_5678
    assert walked.values["cpuid leaves"] >= 1


def test_system_call_comes_from_ring_3(walked: Walk) -> None:
    assert walked.values["back in ring 0"] == USER | 3


def test_costs_are_measured_for_every_operation(walked: Walk) -> None:
    # A busy host may interrupt the empty loop, which is subtracted, for longer than all the rest.
    walks = [walked, walk(iterations=200), walk(iterations=200)]
    for operation in ("in", "out", "mmio read", "mmio write", "cpuid", "hlt"):
        assert max(found.costs[operation] for found in walks) > 0


def test_exits_are_counted_by_reason(walked: Walk) -> None:
    counts = {row.reason: row.count for row in walked.stats.rows()}
    assert counts["MMIO"] == 2 * 200 + 2
    assert counts["HLT"] == 200
    assert walked.stats.where["cell"] == counts["MMIO"]


@needs_hardware
def test_hypercall_and_round_trips_on_real_assistance(walked: Walk) -> None:
    assert walked.values["hypercall"] == -1000 & 0xFFFF_FFFF
    assert walked.values["fault address"] == FAULTING
    assert walked.values["end"] == KERNEL
    for operation in ("syscall", "interrupt gate", "page fault"):
        assert walked.costs[operation] > 0
    assert not walked.left_out
