"""Files to boot from, read whole; what cannot be read is refused in a sentence."""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path

from ringzero.descriptors import map_file
from ringzero.errors import NotFound, UsageError

LARGE = 1 << 20  # bytes from which a file is mapped
Content = bytes | mmap.mmap


def read_file(path: Path, what: str) -> bytes:
    """A file's content; `what` names it in the sentence where that is not possible."""
    return bytes(file_content(path, what))


def file_content(path: Path, what: str) -> Content:
    """The same; a large file is mapped, and so copied once only, to where the guest has it."""
    try:
        data = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"There is no {what} {path}: check the path.") from None
    except IsADirectoryError:
        raise UsageError(f"The {what} {path} is a directory: name a file in it.") from None
    except OSError as error:
        raise UsageError(f"The {what} {path} cannot be read ({error.strerror}).") from None
    if not len(data):
        raise UsageError(f"The {what} {path} is empty: fetch or build it again.")
    return data


def _content(path: Path) -> Content:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size >= LARGE:
            with contextlib.suppress(ValueError, OSError):  # a file system may not map
                return map_file(file.fileno(), 0, access=mmap.ACCESS_READ)
        return file.read()


def cut_off(path: Path, length: int, needed: int) -> str:
    """The sentence for a kernel that ends too early."""
    return (
        f"The kernel {path} is cut off: it has {length} bytes and should have at least {needed}; "
        "fetch or build it again."
    )
