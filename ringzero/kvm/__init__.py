"""Hardware assistance of the host: x86-64 guests on Linux's /dev/kvm.

`KvmMachine` boots and runs a guest, `status` says what this host offers. Both are imported when
they are used, so that asking for one costs nothing of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringzero.kvm.errors import KvmError, KvmStuck, KvmUnavailable
    from ringzero.kvm.status import KvmStatus, status
    from ringzero.machines.kvm import KvmMachine

__all__ = ["KvmError", "KvmMachine", "KvmStatus", "KvmStuck", "KvmUnavailable", "status"]

HOMES = {
    "KvmMachine": "ringzero.machines.kvm",
    "KvmStatus": "ringzero.kvm.status",
    "status": "ringzero.kvm.status",
    "KvmError": "ringzero.kvm.errors",
    "KvmStuck": "ringzero.kvm.errors",
    "KvmUnavailable": "ringzero.kvm.errors",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(HOMES[name]), name)
    globals()[name] = value
    return value
