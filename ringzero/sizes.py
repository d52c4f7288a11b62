"""Sizes of memory and files: `512M`, `2G`, `64K`, `4096B`; text without a unit is megabytes.

The same text means the same on the command line, in the API and in the environment. A number,
which only a program can give, is bytes.
"""

from __future__ import annotations

import operator
import re

from ringzero.errors import UsageError

UNITS = {"": 1 << 20, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]+)\s*(?:([KMGT])(?:i?B)?|(B))?", re.IGNORECASE)
LARGEST = 1 << 62
"""More than any host addresses; what is larger is a slip of the pen."""


def parse_size(size: object, what: str = "memory", least: int = 1) -> int:
    """Bytes, of a number of bytes or of text such as 512M; `what` names it in the refusal."""
    if isinstance(size, str):
        found = _SIZE.fullmatch(size.strip())
        value = int(found[1]) * UNITS[(found[2] or found[3] or "").upper()] if found else -1
    else:
        value = _number(size, what)
    if not least <= value <= LARGEST:
        raise UsageError(f"{what}={size!r} is not a size such as 256M or 2G.")
    return value


def _number(size: object, what: str) -> int:
    """An integer of any kind; True is none, and a float may have lost its last bytes."""
    try:
        if not isinstance(size, bool):
            return operator.index(size)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise UsageError(
        f"{what}={size!r} is of type {type(size).__name__}: give an int of bytes, or text such as "
        '"512M".'
    )
