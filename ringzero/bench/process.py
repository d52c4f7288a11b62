"""One run of a command that is measured: wall time, output with its moments, memory, exit code.

Time counts from before the process is made to after it has ended. Memory is looked at while the
process runs: a guest's RAM of ours is shared memory, so what is not shared is overhead.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK = 0.02  # seconds between two looks at a process's memory


@dataclass(frozen=True)
class Run:
    """What one run of a command showed."""

    seconds: float
    code: int
    lines: tuple[tuple[float, str], ...]  # when each line of output was complete
    first: float  # when the first byte of output came; `seconds` if none did
    errors: str
    cpu: float  # seconds of processors, user and system, of all threads
    peak: int  # bytes resident at most
    overhead: int  # bytes resident at most that are not shared memory

    @property
    def output(self) -> str:
        """The whole output."""
        return "\n".join(line for _, line in self.lines)

    def moment(self, text: str) -> float | None:
        """When a line with `text` was complete."""
        return next((at for at, line in self.lines if text in line), None)


class _Memory(threading.Thread):
    """Follows the resident memory of a process that is not shared memory."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{process}/status")
        self.most = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(LOOK):
            try:
                fields = dict(
                    line.split(":", 1) for line in self.status.read_text().splitlines() if line
                )
                parts = (fields["RssAnon"], fields["RssFile"])
            except (OSError, KeyError, ValueError):
                return
            self.most = max(self.most, sum(int(part.split()[0]) for part in parts) << 10)


def run(command: Sequence[str], timeout: float, environment: Mapping[str, str] = {}) -> Run:
    """Run a command to its end, or end it after `timeout` seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    memory = _Memory(process.pid)
    memory.start()
    limit = threading.Timer(timeout, process.kill)
    limit.start()
    errors: list[bytes] = []
    listener = threading.Thread(target=lambda: errors.append(_all(process)), daemon=True)
    listener.start()
    chunks = _chunks(process.stdout.fileno(), began)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    limit.cancel()
    memory.ended.set()
    listener.join()
    memory.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    return Run(
        seconds=seconds,
        code=process.returncode,
        lines=_lines(chunks),
        first=chunks[0][0] if chunks else seconds,
        errors=b"".join(errors).decode("utf-8", "replace"),
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss << 10,
        overhead=memory.most,
    )


def _all(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stderr is not None
    return process.stderr.read()


def _chunks(descriptor: int, began: float) -> list[tuple[float, bytes]]:
    """The output as it comes, each piece with its moment."""
    found = []
    while data := os.read(descriptor, 65536):
        found.append((time.perf_counter() - began, data))
    return found


def _lines(chunks: Sequence[tuple[float, bytes]]) -> tuple[tuple[float, str], ...]:
    lines, rest = [], b""
    for at, data in chunks:
        *whole, rest = (rest + data).split(b"\n")
        lines += [(at, line.decode("utf-8", "replace").rstrip("\r")) for line in whole]
    if rest:
        lines.append((chunks[-1][0], rest.decode("utf-8", "replace").rstrip("\r")))
    return tuple(lines)
