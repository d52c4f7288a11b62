"""The hypervisor's program, compiled for bare riscv64 at first use and kept in the cache."""

from __future__ import annotations

from ringzero.lang.baremetal import cached_image
from ringzero.lang.image import Image


def program() -> Image:
    """The image without configuration; it is loaded, and entered, at its base address."""
    return cached_image(["bare", "board", "hypervisor", "isa"], _make)


def _make() -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.bare.text import put_byte
    from ringzero.hypervisor.devices import console
    from ringzero.hypervisor.techniques import table
    from ringzero.hypervisor.vm.entry import STUBS
    from ringzero.hypervisor.vm.main import ROOTS
    from ringzero.hypervisor.vm.state import BASE, config, stack, status, vms
    from ringzero.hypervisor.vm.world import BINDINGS

    return build_program(
        ROOTS,
        STUBS,
        entry="start",
        base=BASE,
        exported={"hv_config": config, "hv_status": status, "hv_vms": vms, "stack": stack},
        bind={put_byte: console.write, **table.BINDINGS, **BINDINGS},
    )
