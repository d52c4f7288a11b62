"""ringzero: give any kernel its own ring zero.

`from ringzero import Machine, VirtualMachines` is the Python API. It is loaded when it is first
used, because the command line wants to answer `--help` without an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringzero.machine.disk import DiskImage as DiskImage
    from ringzero.machines.console import Recorder as Recorder
    from ringzero.machines.kvm import KvmMachine as KvmMachine
    from ringzero.machines.riscv import Machine as Machine
    from ringzero.machines.storage import Mount as Mount
    from ringzero.machines.virtual import VirtualMachines as VirtualMachines
    from ringzero.machines.virtual import Vm as Vm
    from ringzero.outcome import Halted as Halted
    from ringzero.outcome import Paused as Paused
    from ringzero.outcome import PoweredOff as PoweredOff
    from ringzero.outcome import Rebooted as Rebooted
    from ringzero.outcome import TimedOut as TimedOut

__version__ = "0.1.0"

HOMES = {
    "Machine": "machines.riscv",
    "VirtualMachines": "machines.virtual",
    "Vm": "machines.virtual",
    "KvmMachine": "machines.kvm",
    "DiskImage": "machine.disk",
    "Mount": "machines.storage",
    "Recorder": "machines.console",
    **dict.fromkeys(("Halted", "Paused", "PoweredOff", "Rebooted", "TimedOut"), "outcome"),
}
"""Where the API's names are defined."""

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'ringzero' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"ringzero.{HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *HOMES]
