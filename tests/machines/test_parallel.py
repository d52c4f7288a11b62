"""When harts have threads of their own, and when they take turns on one."""

from __future__ import annotations

import os

import pytest

from ringzero.errors import UsageError
from ringzero.machines.assemble import runs_parallel


@pytest.mark.parametrize(
    ("asked", "cpus", "processors", "parallel"),
    [
        (None, 1, 2, False),
        (None, 2, 1, True),
        (None, 16, 2, True),
        (None, 17, 2, False),
        (None, 64, 2, False),
        (None, 64, 8, True),
        (True, 64, 2, True),
        (False, 4, 4, False),
    ],
)
def test_harts_share_a_thread_where_the_host_has_far_fewer_processors(
    asked: bool | None,
    cpus: int,
    processors: int,
    parallel: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(processors)))
    assert runs_parallel(asked, cpus, "auto", "host") == parallel


def test_parallel_harts_need_the_hosts_clock() -> None:
    assert not runs_parallel(None, 4, "auto", "instructions")
    with pytest.raises(UsageError, match="leave out --clock instructions"):
        runs_parallel(True, 4, "auto", "instructions")
