"""A machine that is dropped, or that could not be built, leaves nothing behind."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from ringzero.errors import NotFound, RingzeroError, UsageError
from tests.machines.guests import KINDS, start
from tests.machines.scripts import kinds, script


def left() -> tuple[set[str], set[str]]:
    """Descriptors of this process, by what they are, and threads."""
    gc.collect()
    files = {f"{fd}: {os.readlink(f'/proc/self/fd/{fd}')}" for fd in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{fd}")}  # fmt: skip
    return files, {thread.name for thread in threading.enumerate()}


@kinds
def test_a_machine_dropped_without_close_leaves_nothing_and_warns(
    kind: str, tmp_path: Path
) -> None:
    start(kind, tmp_path).close()
    before = left()
    for used in (False, True):
        machine = start(kind, tmp_path)
        if used:
            machine.expect(b"up")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            del machine
            gc.collect()
        assert [one.category for one in seen] == [ResourceWarning]
        assert left() == before


def test_harts_in_threads_and_their_files_end_with_a_dropped_machine(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    (tmp_path / "folder").mkdir()
    options: dict[str, Any] = {
        "disks": [tmp_path / "disk"],
        "mounts": [("t", tmp_path / "folder", False)],
    }
    start("machine", tmp_path).close()
    before = left()
    machine = start("machine", tmp_path, cpus=3, **options)
    machine.expect(b"up")
    assert {"hart 0", "hart 1", "hart 2"} <= left()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del machine
        gc.collect()
    assert left() == before


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]])  # the third is built by the first's text
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"disks": ["here.img", "nothing.img"]}, NotFound),
        ({"mounts": [("a", ".", True), ("b", "nowhere", True)]}, NotFound),
        ({"initrd": "nothing"}, NotFound),
        ({"memory": "64K"}, RingzeroError),
        ({"memory": 1 << 61}, UsageError),
        ({"cpus": 100_000}, UsageError),
        ({"console": "a str"}, UsageError),
    ],
)
def test_a_constructor_that_fails_leaves_nothing(
    kind: str, options: dict[str, Any], error: type[Exception], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.img").write_bytes(bytes(512))
    start(kind, tmp_path).close()
    before = left()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            start(kind, tmp_path, **options)
        assert left() == before


@kinds
def test_the_interpreter_ends_while_a_daemon_thread_runs_the_machine(
    kind: str, tmp_path: Path
) -> None:
    script(
        "machine = start(kind, folder, 'spin')\n"
        "machine.expect(b'up')\n"
        "threading.Thread(target=machine.run, daemon=True).start()\n"
        "while not machine.running:\n"
        "    time.sleep(0.001)\n",
        tmp_path, kind,
    )  # fmt: skip
