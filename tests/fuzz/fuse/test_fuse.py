"""A bounded sample of the sequences that `python -m tests.fuzz.fuse` goes on with."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.fuzz.fuse.machine import Folders

TestFolders = Folders.TestCase
TestFolders.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
