"""What callers of the API give, looked at at once: one sentence for what has the wrong type.

Only what would otherwise fail late, or mean something else, is looked at: text where bytes are
wanted, a float of bytes, one path where there should be a list of them.
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from ringzero.errors import UsageError

StrPath: TypeAlias = "str | os.PathLike[str]"
FOREVER = 1e9
"""Seconds beyond which a limit is none; the host's clocks count no further than some more."""


def wrong(what: str, given: object, wanted: str) -> UsageError:
    """The refusal of a value of the wrong type."""
    return UsageError(f"{what} is of type {type(given).__name__} ({given!r:.60}): give {wanted}.")


def file_path(what: str, given: object) -> Path:
    """A path, as str or as anything that has one."""
    if isinstance(given, (str, os.PathLike)):
        name = os.fspath(given)
        if isinstance(name, str) and name and "\0" not in name:
            return Path(name)
        if isinstance(name, str):
            raise UsageError(f"{what} is {name!r}, which names no file: give the path of one.")
    raise wrong(what, given, "a path, as str or as pathlib.Path")


def text(what: str, given: object) -> str:
    """A str that a C program can hold."""
    if not isinstance(given, str):
        raise wrong(what, given, "a str")
    if "\0" in given:
        raise UsageError(f"{what} holds a NUL character, where every reader of it stops.")
    return given


def data(what: str, given: object) -> bytes:
    """Bytes, of anything that holds some."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    hint = 'bytes, such as b"ls\\n" or text.encode()' if isinstance(given, str) else "bytes"
    raise wrong(what, given, hint)


def pattern(what: str, given: object) -> re.Pattern[bytes]:
    """A regular expression over bytes."""
    if isinstance(given, re.Pattern) and isinstance(given.pattern, bytes):
        return given
    if not isinstance(given, bytes):
        raise wrong(what, given, 'a regular expression over bytes, such as rb"\\$ "')
    try:
        return re.compile(given)
    except re.error as error:
        raise UsageError(f"{what} {given!r} is no regular expression: {error}.") from None


def whole(what: str, given: object, least: int, most: int | None = None) -> int:
    """An integer of any kind, in its range."""
    if isinstance(given, bool) or not hasattr(type(given), "__index__"):
        raise wrong(what, given, "an int")
    value = operator.index(given)  # type: ignore[arg-type]
    if value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"{least} to {most}"
        raise UsageError(f"{what} is {value}: give {span}.")
    return value


def seconds(what: str, given: object) -> float | None:
    """A time, or None for no limit."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise wrong(what, given, "a number of seconds, or None")
    if math.isnan(given) or given < 0:
        raise UsageError(f"{what} is {given}: give seconds from 0 on, or None for no limit.")
    return float(given) if given < FOREVER else None


def several(what: str, given: object, example: str) -> list[object]:
    """A list of things, which a lone str would be one of for each of its characters."""
    if isinstance(given, (str, bytes, os.PathLike)) or not isinstance(given, Iterable):
        raise wrong(what, given, f"a list, such as {example}")
    return list(given)
