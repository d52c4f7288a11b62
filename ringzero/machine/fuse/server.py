"""The FUSE server: bytes in, bytes out, whatever carries them.

It serves one host folder and never leaves it, and no message makes it raise: what is malformed is
answered with an errno, and what cannot be answered is dropped.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from pathlib import Path

from ringzero.errors import NotFound
from ringzero.machine.fuse import (  # noqa: F401  (they register)
    attributes,
    files,
    folders,
    names,
    xattrs,
)
from ringzero.machine.fuse.protocol import (
    MAX_WRITE,
    OUT_HEADER,
    FuseError,
    Op,
    Request,
    parse,
    reply,
)
from ringzero.machine.fuse.session import OPERATIONS, Session

UNANSWERED = (Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT)
REFUSALS = (FuseError, OSError, struct.error, ValueError, OverflowError)


class FuseServer:
    """Serves `root`, with owners from `manifest` and new ones written back to it.

    `exclusive` says that nobody else changes the folder, so the guest may cache without limit.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        manifest: Path | None = None,
        read_only: bool = False,
        exclusive: bool = False,
    ) -> None:
        folder = Path(root)
        if not folder.is_dir():
            raise NotFound(f"{folder} is not a folder that can be shared with the guest.")
        try:
            self.session = Session(folder, manifest, read_only=read_only, exclusive=exclusive)
        except OSError as error:
            raise NotFound(
                f"{folder} cannot be shared with the guest ({error.strerror}); check its owner."
            ) from error

    def handle(self, message: bytes, capacity: int = MAX_WRITE + OUT_HEADER.size) -> bytes:
        """The answer to one message, at most `capacity` bytes; empty where none is given."""
        request = parse(message)
        if request is None:
            return b""
        try:
            answer = reply(request.unique, self._body(request))
            if len(answer) > capacity:
                raise FuseError(errno.ERANGE)
        except REFUSALS as error:
            answer = reply(request.unique, error=code_of(error))
        silent = request.opcode in UNANSWERED or len(answer) > capacity
        return b"" if silent else answer

    def serve(self, message: bytes, writable: Sequence[memoryview]) -> int:
        """Answer into the guest's memory; the number of bytes written. File contents go there
        without a copy."""
        request = parse(message)
        capacity = sum(map(len, writable))
        if request is None or request.opcode != Op.READ or capacity < OUT_HEADER.size:
            return _scatter(self.handle(message, capacity), writable)
        try:
            self._check(request)
            body = _after(writable, OUT_HEADER.size)
            count = files.read_into(self.session, request, body)
        except REFUSALS as error:
            return _scatter(reply(request.unique, error=code_of(error)), writable)
        length = OUT_HEADER.size + count
        _scatter(OUT_HEADER.pack(length, 0, request.unique), writable)
        return length

    def reset(self) -> None:
        """The guest rebooted: forget its inodes and close its files."""
        self.session.reset()

    def close(self) -> None:
        """Save what was recorded and give back all descriptors."""
        self.session.reset()
        self.session.inodes.close()

    def _check(self, request: Request) -> None:
        if not self.session.minor and request.opcode != Op.INIT:
            raise FuseError(errno.ENOTCONN)
        if not request.whole:
            raise FuseError(errno.EINVAL)

    def _body(self, request: Request) -> bytes:
        self._check(request)
        operation = OPERATIONS.get(request.opcode)
        if operation is None:
            # ENOSYS makes the guest's kernel stop asking: locks, ioctls.
            raise FuseError(errno.ENOSYS)
        return operation(self.session, request)


def code_of(error: Exception) -> int:
    """The errno of a refusal."""
    if isinstance(error, FuseError):
        return error.code
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    return errno.EINVAL


def _scatter(data: bytes, buffers: Sequence[memoryview]) -> int:
    at = 0
    for buffer in buffers:
        part = data[at : at + len(buffer)]
        buffer[: len(part)] = part
        at += len(part)
    return at


def _after(buffers: Sequence[memoryview], skip: int) -> list[memoryview]:
    """The buffers behind the first `skip` bytes."""
    result = []
    for buffer in buffers:
        if skip >= len(buffer):
            skip -= len(buffer)
        else:
            result.append(buffer[skip:])
            skip = 0
    return result
