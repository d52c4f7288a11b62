"""The bundled kernel and the built-in firmware on this project's machine."""

from __future__ import annotations

import pytest

from ringzero import Machine, guests
from ringzero.outcome import PoweredOff
from tests.firmware import payload
from tests.limits import HUNG


def lines(machine: Machine) -> list[str]:
    return machine.recorder.data.decode().splitlines()


def test_kernel_passes_its_tests() -> None:
    with Machine(kernel=guests.build("kernel"), memory="128M") as machine:
        outcome = machine.run(timeout=HUNG)
        results = [line for line in lines(machine) if line.startswith("test ")]
        assert not [line for line in results if not line.endswith(" ok")]
        assert f"kernel: {len(results)} tests ok, 0 failed" in lines(machine)
        assert len(results) > 70
    assert isinstance(outcome, PoweredOff)
    assert outcome.code == 0


@pytest.mark.parametrize("harts", [1, 2, 4])
def test_firmware_answers_every_call(harts: int) -> None:
    with Machine(kernel=payload.build(), memory="128M", cpus=harts) as machine:
        outcome = machine.run(timeout=HUNG)
        output = machine.recorder.data.decode()
    assert "FAIL" not in output
    assert output.count("ok ") == (66 if harts == 4 else 28)
    assert isinstance(outcome, PoweredOff)
    assert outcome.code == 42


def benches() -> list[str]:
    with Machine(kernel=guests.build("kernel"), memory="128M", clock="instructions",
                 append="mode=bench iterations=100") as machine:  # fmt: skip
        machine.run(timeout=HUNG)
        return [line for line in lines(machine) if line.startswith("bench ")]


def test_nanobenchmarks_are_exact() -> None:
    first = benches()
    assert len(first) == 15
    assert benches() == first
