"""Every error a user can meet, with the exit code it ends the process with.

A message is one sentence: what went wrong, where, and what to try. What a guest does to itself is
never one of these: traps are the architecture's, and devices answer bad requests in their own
terms.
"""

from __future__ import annotations

from typing import ClassVar


class RingzeroError(Exception):
    """Base of all errors that end in a sentence instead of a traceback."""

    exit_code: ClassVar[int] = 125


class UsageError(RingzeroError):
    """The command line or a call of the API asks for something that makes no sense."""

    exit_code: ClassVar[int] = 125


class NotFound(RingzeroError):
    """A kernel, image or file that is not there."""

    exit_code: ClassVar[int] = 127
