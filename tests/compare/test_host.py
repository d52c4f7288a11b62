"""The host's own column of `ringzero compare`."""

from __future__ import annotations

import pytest

from ringzero.compare.host import HostColumn, measure
from ringzero.kvm.errors import KvmUnavailable


def test_costs_are_told_or_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    column = measure()
    if column.unavailable:
        assert column.data() == {"unavailable": column.unavailable}
        pytest.skip(f"needs KVM: {column.unavailable}")
    assert column.costs
    assert all(cost >= 0 for cost in column.costs.values())
    assert all(name in column.text() for name in column.costs)


def test_a_host_without_kvm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise KvmUnavailable("There is no /dev/kvm here.")

    monkeypatch.setattr("ringzero.kvm.walk.measure.walk", absent)
    assert measure() == HostColumn(unavailable="There is no /dev/kvm here.")
    assert "There is no /dev/kvm" in measure().text()
