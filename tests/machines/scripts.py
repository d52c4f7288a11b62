"""Python programs of their own that use a machine, and a console that calls it back.

What could end the process by a signal runs so, and its end is looked at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringzero.machines.base import BaseMachine
from tests.limits import HUNG
from tests.machines.guests import KINDS

ENGINES = ("reference", "interpreter", "compiler", "regions", "auto")
ROOT = Path(__file__).parents[2]
kinds = pytest.mark.parametrize("kind", KINDS)


def script(text: str, folder: Path, kind: str = "machine", *arguments: str) -> str:
    """What a Python program prints that has `start`, `kind` and `folder`; it must end with 0."""
    preamble = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from tests.machines.guests import start, start_bare\n"
        "kind, folder, arguments = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]\n"
    )
    command = [sys.executable, "-X", "faulthandler", "-c", preamble + text]
    done = subprocess.run(
        [*command, kind, str(folder), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=HUNG, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


class Calls:
    """A console that does something once the guest is up; that it failed is noted."""

    def __init__(self, what: str) -> None:
        self.what, self.machine, self.data = what, None, b""
        self.error: BaseException | None = None

    machine: BaseMachine | None

    def write(self, data: bytes) -> None:
        """From the guest."""
        self.data += data
        if self.machine is not None and self.data.endswith(b"up\n"):
            getattr(self.machine, self.what)()
