"""Debian's shell on this command's streams: early input, exit status, size of the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.on_terminal import OnTerminal
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "ringzero", "run", "--timeout", "120"]

pytestmark = [pytest.mark.slow, pytest.mark.needs_debian]


@pytest.mark.parametrize(("cpu", "count"), [("emulate", 100), ("trap", 30), ("hardware", 30)])
def test_input_from_before_the_shell_is_run_and_its_exit_status_is_ours(
    cpu: str, count: int
) -> None:
    lines = "".join(f"echo $((1000 + {number}))\n" for number in range(count))
    done = subprocess.run(
        [*COMMAND, "--cpu", cpu, "debian"],
        cwd=ROOT, input=f"{lines}exit 5\n".encode(), capture_output=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    came = [line for line in done.stdout.decode().splitlines() if line.isdigit()]
    assert came == [str(1000 + number) for number in range(count)]


def test_the_guests_terminal_has_the_size_of_ours_and_follows_it() -> None:
    command = OnTerminal(*COMMAND, "debian", size=(101, 33))
    command.expect(b"~ # ", 300)
    for columns, rows in ((101, 33), (120, 40)):
        command.resize(columns, rows)
        command.type(b"until stty size | grep '%d %d'; do sleep 0.1; done\n" % (rows, columns))
        command.expect(b"\n%d %d\r" % (rows, columns), 120)
    command.type(b"exit 5\n")
    assert command.end() == 5


def test_without_a_console_device_the_guest_learns_the_size_at_its_start() -> None:
    command = OnTerminal(*COMMAND, "--cpu", "trap", "debian", size=(101, 33))
    command.expect(b"~ # ", 300)
    command.type(b"stty size; exit 5\n")
    command.expect(b"\n33 101\r", 120)
    assert command.end() == 5
