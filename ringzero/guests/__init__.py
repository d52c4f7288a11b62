"""Bundled guests, in typed Python: a small kernel, and programs that run alone in M-mode.

`build("kernel")` gives its image: an ELF file, and flat with Linux's header, for 0x80200000. The
others (`hello`, `workloads`, `machine-tests`) are ELF files with `tohost`, for 0x80000000.
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
    return cached_image(["bare", "board", "guests", "isa"], GUESTS[name], name)


def _kernel(flavour: str = "") -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.bare.text import put_byte
    from ringzero.board.addresses import KERNEL_BASE
    from ringzero.guests import entry, sbi
    from ringzero.guests.kernel import paravirt
    from ringzero.guests.kernel.layout import embed, user_image
    from ringzero.guests.kernel.main import main
    from ringzero.guests.kernel.selftests import handle_kernel_trap, word

    embed(_user())
    return build_program(
        [main, handle_kernel_trap],
        [*entry.STUBS, *(paravirt.STUBS if flavour else ()), user_image],
        entry="start",
        base=KERNEL_BASE,
        exported={"stack": entry.stack, "word": word},
        bind={put_byte: sbi.put_byte, **(paravirt.BINDINGS if flavour else {})},
    )


def _user() -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.guests.kernel.layout import USER_BASE
    from ringzero.guests.kernel.user import start, user_main

    return build_program([user_main], [start], entry="start", base=USER_BASE, exported={}, bind={})


def _machine_program(name: str) -> Image:
    from ringzero.bare.build import build as build_program
    from ringzero.bare.text import put_byte
    from ringzero.board.addresses import RAM_BASE
    from ringzero.guests import entry
    from ringzero.guests.machine import entry as machine_entry
    from ringzero.guests.machine import programs as machine_programs
    from ringzero.guests.machine import tests as machine_tests
    from ringzero.lang import Native

    main: Native = getattr(machine_tests, name, None) or getattr(machine_programs, name)
    testing = name == "machine_tests"
    handler = machine_tests.handle_kernel_trap if testing else machine_programs.crash
    return build_program(
        [main, handler, machine_entry.finish],
        [*machine_entry.STUBS, *(machine_tests.STUBS if testing else ())],
        entry="start",
        base=RAM_BASE,
        exported={"stack": entry.stack, "guarded": machine_tests.guarded, **machine_entry.EXPORTED},
        bind={put_byte: machine_entry.put_byte},
        names={main: "main", handler: "handle_kernel_trap"},
    )


GUESTS: dict[str, Callable[[], Image]] = {
    "kernel": _kernel,
    "kernel-paravirt": lambda: _kernel("paravirt"),
    "hello": lambda: _machine_program("hello"),
    "workloads": lambda: _machine_program("workloads"),
    "machine-tests": lambda: _machine_program("machine_tests"),
}
