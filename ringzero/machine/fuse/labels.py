"""What the guest sees of a file, kept with the file itself in an extended attribute of the host.

Of a folder that anybody may change there is no manifest: owners, set-uid bits, device nodes and
whiteouts stay with each file, through renames by the host and until the next machine.
"""

from __future__ import annotations

import contextlib
import os

from ringzero.machine.fuse.owners import Rights, Seen

LABEL = b"user.ringzero.owner"


def read(place: str, *, follow: bool = True) -> tuple[Seen, Rights] | None:
    """A file's label: how it looks, and what the host's file was like then."""
    try:
        numbers = [int(word) for word in os.getxattr(place, LABEL, follow_symlinks=follow).split()]
        if not all(0 <= number < 1 << 32 for number in numbers):
            return None
        mode, uid, gid, major, minor, *host = numbers
        host_mode, host_uid, host_gid = host
    except (OSError, ValueError):  # there is none, or it is not ours
        return None
    return Seen(mode, uid, gid, (major, minor)), (host_mode, host_uid, host_gid)


def write(place: str, label: tuple[Seen, Rights] | None) -> None:
    """Label a file, or take its label away. Where the host has none, the session remembers."""
    with contextlib.suppress(OSError):
        if label is None:
            os.removexattr(place, LABEL)
        else:
            seen, host = label
            numbers = (seen.mode, seen.uid, seen.gid, *seen.rdev, *host)
            os.setxattr(place, LABEL, b" ".join(b"%d" % number for number in numbers))
