"""ringzero: give any kernel its own ring zero.

`from ringzero import Machine, VirtualMachines` is the Python API. It is loaded when it is first
used, because the command line wants to answer `--help` without an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringzero.machines.riscv import Machine as Machine
    from ringzero.machines.virtual import VirtualMachines as VirtualMachines
    from ringzero.machines.virtual import Vm as Vm

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Machine":
        from ringzero.machines.riscv import Machine

        return Machine
    if name in ("VirtualMachines", "Vm"):
        from ringzero.machines import virtual

        return getattr(virtual, name)
    raise AttributeError(f"module 'ringzero' has no attribute {name!r}")
