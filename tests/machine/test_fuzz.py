"""Short samples of the device fuzzer; `python -m tests.machine.fuzz` runs it for long."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringzero.machine.virtio.queue import Virtqueue
from tests.machine.fuzz import WINDOWS, Subject, access, check, one_round, queue_round

QUIET = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


ACCESSES = st.tuples(
    st.sampled_from(WINDOWS).flatmap(
        lambda window: st.integers(window[0], window[0] + window[1] - 1)
    ),
    st.sampled_from([1, 2, 4, 8]),
    st.none() | st.integers(0, (1 << 64) - 1),
)


@QUIET
@given(st.lists(ACCESSES, max_size=50))
def test_any_register_access(folder: Path, accesses: list[tuple[int, int, int | None]]) -> None:
    subject = Subject(folder)
    for address, size, value in accesses:
        access(subject, address, size, value)
    subject.bench.board.tick()
    check(subject)
    subject.close()


@QUIET
@given(st.integers(0, 1 << 32))
def test_random_rings_and_registers(folder: Path, seed: int) -> None:
    subject = Subject(folder)
    one_round(subject, seed)
    subject.close()


@pytest.mark.parametrize("index", range(11))
def test_every_device_survives_its_queues(folder: Path, index: int) -> None:
    answered = 0
    for seed in range(12):
        subject = Subject(folder)
        queue_round(subject, random.Random(seed), index)
        answered += sum(queue.next_used for queue in subject.devices[index].queues)
        subject.close()
    assert answered, "some of the random requests were well-formed"


def test_fuzzer_notices_a_device_that_writes_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Virtqueue.push

    def careless(queue: Virtqueue, chain: object, written: int) -> bool:
        assert queue.memory
        queue.memory.write(queue.memory.base + 0x20, b"oops")
        return push(queue, chain, written)  # type: ignore[arg-type]

    monkeypatch.setattr(Virtqueue, "push", careless)
    subject = Subject(folder)

    def rounds() -> None:
        for seed in range(40):
            queue_round(subject, random.Random(seed), 2)

    with pytest.raises(AssertionError, match="not the device's to write"):
        rounds()
