"""Owners, modes and device nodes that the guest sees, where the host cannot hold them.

The host user's own files are root's in the guest. What chown, chmod and mknod make different from
that is recorded here, by inode while serving and by path in the manifest (`images/tree.py` writes
the first one): nothing the guest does makes a set-uid file or a device node on the host.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringzero.lang.cache import write_whole

Key = tuple[int, int]
"""A host file: its device and inode number."""

Rights = tuple[int, int, int]
"""Mode, owner and group of a host file: what chmod and chown change there."""

SPECIAL = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
"""Kinds that stand as empty regular files on the host."""


@dataclass(frozen=True)
class Seen:
    """A file's attributes as the guest sees them."""

    mode: int
    uid: int
    gid: int
    rdev: tuple[int, int] = (0, 0)


@dataclass
class Record:
    """What is different, and where in the tree the file is."""

    seen: Seen
    host: Rights
    """The host's file when this was recorded: what the host has changed since counts."""
    paths: set[bytes] = field(default_factory=set)


def key_of(status: os.stat_result) -> Key:
    """Which file a status is of."""
    return status.st_dev, status.st_ino


class Owners:
    """The records of one served folder."""

    def __init__(self, root: Path, manifest: Path | None, *, save: bool) -> None:
        self._manifest = manifest
        self._save = save
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._records: dict[Key, Record] = {}
        self._attributes: dict[Key, dict[bytes, bytes]] = {}
        self.dirty = False
        self.labelled = manifest is None
        """Do files carry their labels themselves?"""
        if manifest is not None and manifest.exists():
            self._load(root, json.loads(manifest.read_text()))

    def _load(self, root: Path, saved: dict[str, Any]) -> None:
        for path, entry in saved["entries"].items():
            try:
                status = os.lstat(root / path)
            except OSError:
                continue  # removed since, or never there
            major, minor = entry.get("rdev", (0, 0))
            seen = Seen(entry["mode"], entry["uid"], entry["gid"], (major, minor))
            self._put(status, os.fsencode(path), seen)
        self.dirty = False

    def seen(self, status: os.stat_result) -> Seen:
        """How a host file looks to the guest."""
        record = self._records.get(key_of(status))
        if record is None or not _compatible(record.seen.mode, status.st_mode):
            return self._plain(status)
        if record.host == _rights(status):
            return record.seen
        return self._changed(record, status)

    def _changed(self, record: Record, status: os.stat_result) -> Seen:
        """The host did chmod or chown since the record was made."""
        plain, seen, (mode, uid, gid) = self._plain(status), record.seen, record.host
        kind = stat.S_IFMT(seen.mode)
        return Seen(
            seen.mode if stat.S_IMODE(status.st_mode) == mode else kind | stat.S_IMODE(plain.mode),
            seen.uid if status.st_uid == uid else plain.uid,
            seen.gid if status.st_gid == gid else plain.gid,
            seen.rdev,
        )

    def _plain(self, status: os.stat_result) -> Seen:
        uid = 0 if status.st_uid == self._uid else status.st_uid
        gid = 0 if status.st_gid == self._gid else status.st_gid
        rdev = (os.major(status.st_rdev), os.minor(status.st_rdev))
        return Seen(status.st_mode, uid, gid, rdev)

    def set(self, status: os.stat_result, path: bytes, seen: Seen) -> None:
        """A host file is to look like this from now on."""
        self._put(status, path, seen)
        self.dirty = True

    def _put(self, status: os.stat_result, path: bytes, seen: Seen) -> None:
        key = key_of(status)
        if seen == self._plain(status):
            self._records.pop(key, None)
            return
        known = self._records.get(key)
        paths = known.paths if known else set()
        self._records[key] = Record(seen, _rights(status), paths | {path})

    def label(self, key: Key) -> tuple[Seen, Rights] | None:
        """What is recorded of a file, to be kept with it."""
        record = self._records.get(key)
        return (record.seen, record.host) if record else None

    def recall(self, key: Key, path: bytes, label: tuple[Seen, Rights]) -> None:
        """A file that the guest meets brings its label."""
        self._records.setdefault(key, Record(*label, {path}))

    def linked(self, status: os.stat_result, path: bytes) -> None:
        """A file has one more name."""
        if record := self._records.get(key_of(status)):
            record.paths.add(path)
            self.dirty = True

    def unlinked(self, key: Key, path: bytes) -> None:
        """A file has lost a name."""
        if record := self._records.get(key):
            record.paths.discard(path)
            self.dirty = True

    def kind(self, key: Key) -> int:
        """The kind of file that the guest sees, where the host's kind is another; otherwise 0."""
        record = self._records.get(key)
        kind = stat.S_IFMT(record.seen.mode) if record else 0
        return kind if kind in SPECIAL else 0

    def attributes(self, key: Key) -> Mapping[bytes, bytes]:
        """Extended attributes that the host's file cannot hold."""
        return self._attributes.get(key, {})

    def set_attribute(self, key: Key, name: bytes, value: bytes) -> None:
        """Keep one of them while the folder is served."""
        self._attributes.setdefault(key, {})[name] = value

    def remove_attribute(self, key: Key, name: bytes) -> bool:
        """Drop one of them, if it is there."""
        return self._attributes.get(key, {}).pop(name, None) is not None

    def forget(self, key: Key) -> None:
        """A file is gone, or its inode number belongs to a new one."""
        self._attributes.pop(key, None)
        if self._records.pop(key, None):
            self.dirty = True

    def moved(self, old: bytes, new: bytes) -> None:
        """A name has changed, and with it those below it."""
        below = old + b"/"
        for record in self._records.values():
            for path in list(record.paths):
                if path == old or path.startswith(below):
                    record.paths.remove(path)
                    record.paths.add(new + path[len(old) :])
                    self.dirty = True

    def exchanged(self, first: bytes, second: bytes) -> None:
        """Two names have changed places."""
        between = b"\0exchanged"  # no path holds a NUL
        self.moved(first, between)
        self.moved(second, first)
        self.moved(between, second)

    def save(self) -> None:
        """Write the manifest, if there is one that may be written."""
        if not self.dirty or self._manifest is None or not self._save:
            return
        entries = {
            os.fsdecode(path): _entry(record.seen)
            for record in self._records.values()
            for path in record.paths
        }
        text = json.dumps({"version": 1, "entries": entries}, indent=0, sort_keys=True)
        write_whole(self._manifest, text.encode())
        self.dirty = False


def _rights(status: os.stat_result) -> Rights:
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _entry(seen: Seen) -> dict[str, object]:
    entry: dict[str, object] = {"mode": seen.mode, "uid": seen.uid, "gid": seen.gid}
    if seen.rdev != (0, 0):
        entry["rdev"] = list(seen.rdev)
    return entry


def _compatible(recorded: int, actual: int) -> bool:
    """Is a recorded mode about this kind of host file?"""
    kind = stat.S_IFMT(recorded)
    return stat.S_IFMT(actual) == (stat.S_IFREG if kind in SPECIAL else kind)
