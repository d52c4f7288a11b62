"""Bundled guests, in typed Python: a small kernel with its self-tests and nanobenchmarks.

`build("kernel")` gives the image: an ELF file, and flat with Linux's header, for 0x80200000.
"""

from __future__ import annotations

from collections.abc import Callable

from ringzero.errors import NotFound
from ringzero.lang.baremetal import cached_image
from ringzero.lang.image import Image


def build(name: str) -> Image:
    """The guest of that name, compiled at first use."""
    if name not in GUESTS:
        raise NotFound(f"there is no bundled guest {name!r}: choose one of {', '.join(GUESTS)}")
    return cached_image(["bare", "guests", "isa"], GUESTS[name], name)


def _kernel() -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.bare.text import put_byte
    from ringzero.guests import entry, sbi
    from ringzero.guests.kernel import main
    from ringzero.guests.layout import embed, user_image
    from ringzero.guests.pages import KERNEL_BASE
    from ringzero.guests.selftests import handle_kernel_trap, word

    embed(_user())
    return build_program(
        [main, handle_kernel_trap],
        [*entry.STUBS, user_image],
        entry="start",
        base=KERNEL_BASE,
        exported={"stack": entry.stack, "word": word},
        bind={put_byte: sbi.put_byte},
    )


def _user() -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.guests.layout import USER_BASE
    from ringzero.guests.user import start, user_main

    return build_program([user_main], [start], entry="start", base=USER_BASE, exported={}, bind={})


GUESTS: dict[str, Callable[[], Image]] = {"kernel": _kernel}
