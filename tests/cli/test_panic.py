"""A guest whose kernel panics is told of, also before it has a console of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ringzero.cli.console.panic import Panicked, PanicWatch
from tests.cli.on_terminal import OnTerminal

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "ringzero", "run"]

PANIC = (
    b"[    0.000000] Kernel panic - not syncing: memblocks_present: Failed to allocate\r\n"
    b"[    0.000000] CPU: 0 UID: 0 PID: 0 Comm: swapper\r\n"
    b"[    0.000000] Call Trace:\r\n"
)
END = b"[    0.000000] ---[ end Kernel panic - not syncing: memblocks_present: Failed ]---\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_panic_is_seen_in_whatever_pieces_it_comes(size: int) -> None:
    watch = PanicWatch()
    text = b"booting\r\n" + PANIC + END
    told = sum(watch.feed(text[place : place + size]) for place in range(0, len(text), size))
    assert told == 1
    assert watch.stopped() == Panicked("memblocks_present: Failed to allocate")


def test_the_log_of_an_old_panic_is_none() -> None:
    watch = PanicWatch()
    watch.feed(PANIC + END + b"[    1.000000] and more\r\n~ # ")
    assert watch.stopped() is None
    watch.feed(PANIC)
    assert watch.stopped() is None, "it reboots"
    assert watch.last() is not None


def test_more_memory_is_advised_where_it_was_little() -> None:
    assert "It had 48 MB of memory: try more" in Panicked("oom").text(48 << 20)
    assert "memory" not in Panicked("Attempted to kill init!").text(512 << 20)


@pytest.mark.slow
@pytest.mark.needs_debian
@pytest.mark.parametrize("options", [["-m", "48M"], ["-m", "64M"], ["-m", "64M", "--cpu", "trap"]])
def test_debian_in_too_little_memory_says_that_it_panicked(options: list[str]) -> None:
    done = subprocess.run(
        [*COMMAND, "--timeout", "300", *options, "debian"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 255, done.stderr
    assert b"The guest's kernel panicked: memblocks_present: Failed to allocate" in done.stderr
    assert b"MB of memory: try more" in done.stderr


@pytest.mark.slow
@pytest.mark.needs_debian
def test_somebody_at_a_terminal_is_told_and_may_look_at_the_guest() -> None:
    command = OnTerminal(*COMMAND, "-m", "48M", "debian")
    command.expect(b"Ctrl-A x ends the machine", 300)
    command.type(b"\x01d")
    command.expect(b"mstatus")
    command.type(b"\x01x")
    assert command.end() == 0


@pytest.mark.slow
@pytest.mark.needs_debian
def test_a_kernel_that_reboots_after_a_panic_is_not_booted_again_where_nobody_looks() -> None:
    done = subprocess.run(
        [*COMMAND, "--timeout", "300", "-a", "panic=-1 rdinit=/nosuch", "debian"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 255, done.stderr
    assert b"The guest's kernel panicked: " in done.stderr
