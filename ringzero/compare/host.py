"""The host's own column: what an x86-64 guest under KVM pays for each operation, by the clock.

Instructions of the hypervisor cannot be counted there, so this column is in nanoseconds of host
time, and stands beside the others instead of in their table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HostColumn:
    """Nanoseconds by operation; what could not be measured, and why."""

    costs: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unavailable: str = ""

    def data(self) -> dict[str, Any]:
        """In terms of JSON."""
        if self.unavailable:
            return {"unavailable": self.unavailable}
        return {"nanoseconds": self.costs, "left_out": self.left_out}

    def text(self) -> str:
        """Lines for people."""
        if self.unavailable:
            return f"kvm: left out. {self.unavailable}"
        lines = ["kvm: an x86-64 guest on this host, nanoseconds for each operation"]
        lines += [f"  {name:<16}{cost:>10,.0f}" for name, cost in self.costs.items()]
        lines += [f"  {name:<16}{'-':>10}  {why}" for name, why in self.left_out.items()]
        return "\n".join(lines)


def measure() -> HostColumn:
    """Run the bundled x86-64 guest on `/dev/kvm`, if this host has one."""
    from ringzero.kvm.errors import KvmError
    from ringzero.kvm.walk.measure import walk

    try:
        walked = walk()
    except KvmError as error:
        return HostColumn(unavailable=str(error))
    return HostColumn(dict(walked.costs), dict(walked.left_out))
