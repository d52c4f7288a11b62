"""Hardware assistance of the host: x86-64 guests on Linux's /dev/kvm.

This is what machines are made of: the interface, a virtual machine and its vCPUs, the board, boot
protocols. `status` says what this host offers. Names are imported when they are used, so that
asking for one costs nothing of the others; the machine itself is `ringzero.KvmMachine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringzero.kvm.errors import KvmError, KvmStuck, KvmUnavailable
    from ringzero.kvm.status import KvmStatus, status

__all__ = ["KvmError", "KvmStatus", "KvmStuck", "KvmUnavailable", "status"]

HOMES = {
    "KvmMachine": "ringzero.machines.kvm",  # as it was called before it moved there
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
