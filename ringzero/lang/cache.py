"""Compiled objects on disk, keyed by everything that they depend on.

An entry is written under a temporary name and renamed, and carries its own digest: a torn or
foreign file is ignored and made anew, and several processes may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
TEMPORARY = "tmp"
"""How the names of files begin that are being written."""


def folder() -> Path:
    """Where ringzero keeps what it can make again: `RINGZERO_CACHE`, or the user's cache."""
    given = os.environ.get("RINGZERO_CACHE")
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("ringzero"))


def digest(*parts: str | bytes) -> str:
    """A name for the content of `parts`."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:40]


def llvm_identity() -> str:
    """The version of LLVM's binding, without importing it: that alone takes longer than a hit."""
    found = importlib.util.find_spec("llvmlite")
    if found is None or not found.submodule_search_locations:
        return "absent"
    return (Path(found.submodule_search_locations[0]) / "_version.py").read_text()


def sources(*parts: str) -> list[Path]:
    """The source files of the given packages of ringzero (`"lang"`), or single files of them."""
    found: list[Path] = []
    for part in parts:
        path = PACKAGE / part
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def source_digest(*parts: str, options: Sequence[str] = ()) -> str:
    """A key for what is made from source files alone, with everything in `options`."""
    texts = [part for file in sources(*parts) for part in (file.name.encode(), file.read_bytes())]
    return digest(llvm_identity(), *options, *texts)


written = 0
"""Bytes that this process has added."""


def read(kind: str, key: str) -> bytes | None:
    """What is kept under `key`; None where nothing is, or it is damaged."""
    path = folder() / kind / key
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) < 32 or hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # `cache_limit` removes what was not used for longest
    return data[32:]


def write(kind: str, key: str, data: bytes) -> None:
    """Keep `data` under `key`, in one step."""
    global written
    path = folder() / kind / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(data).digest() + data)
        written += len(data)
    except OSError:
        return  # a cache that cannot be written costs time, not correctness


def write_whole(path: Path, data: bytes) -> None:
    """Give a file this content, all of it or none: a host that is full keeps what was there.

    Others may read it as far as the user's umask allows, so that a cache can be copied.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


announce: Callable[[str], None] | None = None
"""Told the kind of an object that is about to be made, which may take seconds."""


def cached(kind: str, key: str, make: Callable[[], bytes]) -> bytes:
    """The object of `kind` under `key`, made and kept if it is not there."""
    data = read(kind, key)
    if data is None:
        if announce is not None:
            announce(kind)
        making.append(kind)
        try:
            data = make()
            write(kind, key, data)
        finally:
            making.remove(kind)
    return data


making: list[str] = []
"""Kinds of objects that threads of this process are making just now."""


def settle() -> None:
    """Wait until what is being made is kept: who ends the process before that loses it."""
    while making:
        time.sleep(0.01)
