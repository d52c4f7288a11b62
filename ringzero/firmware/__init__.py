"""Built-in firmware: the Supervisor Binary Interface 2.0, in typed Python, for M-mode.

`build()` gives its image; `python -m ringzero.firmware -o fw.elf` writes it as a file that QEMU
takes for `-bios`. It needs the privileged architecture 1.12 and a board like QEMU's `virt`.
"""

from __future__ import annotations

from ringzero.lang.baremetal import cached_image
from ringzero.lang.image import Image


def build() -> Image:
    """The firmware, compiled at first use; it is loaded, and entered, at its base address."""
    return cached_image(["bare", "board", "firmware", "isa"], _make)


def _make() -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.bare.text import put_byte
    from ringzero.board.addresses import RAM_BASE
    from ringzero.firmware import uart
    from ringzero.firmware.entry import STUBS
    from ringzero.firmware.layout import boot, stacks
    from ringzero.firmware.main import ROOTS

    return build_program(
        ROOTS,
        STUBS,
        entry="start",
        base=RAM_BASE,
        exported={"boot": boot, "stacks": stacks},
        bind={put_byte: uart.write},
    )
