"""A process that was started without standard input, output or error: nothing lands in the guest.

What a process opens gets the lowest free descriptor, and console text goes to descriptor 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain, combinations
from pathlib import Path

import pytest

from tests.guest_files import RAM, elf, program
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent

# Prints `A` sixty-four times; ends with 5, or with 6 if the first word of RAM has changed.
PRINTER = elf(
    program(
        [
            "addi s2, zero, 1",  # the word that must stay
            "auipc s3, 0",  # RAM + 4
            "lw s4, -4(s3)",
            "lui s0, 0x10000",
            "addi s1, zero, 64",
            "addi a0, zero, 65",
            "sb a0, 0(s0)",
            "addi s1, s1, -1",
            "bne s1, zero, -8",
            "lui s5, 0x80",  # let the output's thread write what it has
            "addi s5, s5, -1",
            "bne s5, zero, -4",
            "lw s6, -4(s3)",
            "lui a1, 0x50",
            "beq s4, s6, 8",
            "lui a1, 0x60",
            "lui a2, 0x3",
            "addi a2, a2, 0x333",
            "add a1, a1, a2",
            "lui a0, 0x100",
            "sw a1, 0(a0)",
            "jal zero, 0",
        ]
    ),
    address=RAM,
)
CLOSED = list(chain.from_iterable(combinations((0, 1, 2), count) for count in range(1, 4)))

OPENS_EVERYTHING = """
import os, sys
from ringzero import Machine
closed, kernel, disk, folder = [int(n) for n in sys.argv[1]], *sys.argv[2:]
from ringzero.machine.disk import DiskImage
from pathlib import Path
for number in closed:
    os.close(number)
machine = Machine(
    kernel=kernel, memory="16M", bios="none", mounts=[("tag", folder, False)],
    disks=[DiskImage(Path(disk), readonly=True), DiskImage(Path(disk), overlay=True)],
)
taken = [n for n in closed if os.path.exists(f"/proc/self/fd/{n}")]
machine.run(timeout=0.1)
taken += [n for n in closed if os.path.exists(f"/proc/self/fd/{n}")]
machine.close()
os._exit(len(taken))
"""


def launched(arguments: list[str], closed: tuple[int, ...]) -> subprocess.CompletedProcess[bytes]:
    def close() -> None:
        for number in closed:
            os.close(number)

    return subprocess.run(
        arguments, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=HUNG,
        check=False, preexec_fn=close,
    )  # fmt: skip


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_guest_memory_is_not_on_a_closed_standard_stream(
    closed: tuple[int, ...], tmp_path: Path
) -> None:
    kernel = tmp_path / "printer.elf"
    kernel.write_bytes(PRINTER)
    command = [sys.executable, "-m", "ringzero", "run", "-m", "16M", "--bios", "none"]
    done = launched([*command, "--timeout", "60s", "--stats", "--kernel", str(kernel)], closed)
    assert done.returncode == 5, done.stderr
    assert done.stdout == (b"" if 1 in closed else b"A" * 64)
    assert (b"instructions in" in done.stderr) == (2 not in closed)


@pytest.mark.parametrize("command", [["--version"], ["doctor"], ["run", "--dry-run", "guest"]])
def test_commands_do_without_standard_streams(command: list[str]) -> None:
    assert launched([sys.executable, "-m", "ringzero", *command], (0, 1, 2)).returncode == 0


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_no_file_of_a_machine_is_on_a_closed_standard_stream(
    closed: tuple[int, ...], tmp_path: Path
) -> None:
    """The same for programs that embed a machine, with disks and a folder."""
    kernel, disk = tmp_path / "printer.elf", tmp_path / "disk"
    kernel.write_bytes(PRINTER)
    disk.write_bytes(bytes(4096))
    numbers = "".join(map(str, closed))
    script = [sys.executable, "-c", OPENS_EVERYTHING, numbers, kernel, disk, tmp_path]
    assert launched([str(word) for word in script], ()).returncode == 0
