"""`ringzero doctor --cache`: what is kept on disk, how much, its limit, and how to clear it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from itertools import groupby

from ringzero.cli.views.inventory import disk_usage
from ringzero.lang import cache
from ringzero.lang.cache_limit import OTHERS, VARIABLE, kept, limit

MEANINGS = {
    "interpreter": "the native engine's core",
    "compiler": "how the compiler lowers instructions",
    "region-library": "instructions, to make regions of",
    "region-helpers": "what regions call",
    "regions": "hot code of guests, by the content of its pages",
    "objects": "other native functions",
}


@dataclass(frozen=True)
class Kind:
    """Everything of one kind."""

    name: str
    entries: int
    bytes: int
    used: float  # when one of them was last used, in seconds since 1970


def kinds() -> list[Kind]:
    """What there is of compiled code, by kind."""
    by_kind = sorted(kept(), key=lambda one: one.kind)
    found = []
    for name, group in groupby(by_kind, key=lambda one: one.kind):
        members = list(group)
        size, used = sum(one.size for one in members), max(one.used for one in members)
        found.append(Kind(name, len(members), size, used))
    return found


def as_json() -> str:
    """For programs."""
    found = kinds()
    return json.dumps(
        {
            "folder": str(cache.folder()),
            "kinds": [asdict(kind) for kind in found],
            "bytes": sum(kind.bytes for kind in found),
            "limit": limit(),
            "images_bytes": disk_usage(cache.folder() / OTHERS),
        },
        indent=1,
    )


def as_text() -> str:
    """For people."""
    folder, found = cache.folder(), kinds()
    lines = [f"{folder}", f"{'':2}{'kind':16}{'entries':>8}{'MB':>9}  last used"]
    for kind in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kind.used))
        meaning = MEANINGS.get(kind.name, "")
        lines.append(f"  {kind.name:16}{kind.entries:8}{_mb(kind.bytes):>9}  {when}  {meaning}")
    total = sum(kind.bytes for kind in found)
    images = disk_usage(folder / OTHERS)
    lines += [
        f"Compiled code takes {_mb(total)} MB of {_mb(limit())} ({VARIABLE}, such as 256M or 2G).",
        "What was not used for longest goes first, at the end of a run.",
        f"Images take {_mb(images)} MB beside it: `ringzero image list` shows them.",
        f"All of it can be made again. To clear the compiled code, remove {_folders(found)}.",
    ]
    return "\n".join(lines)


def _folders(found: list[Kind]) -> str:
    names = [str(cache.folder() / kind.name) for kind in found]
    return ", ".join(names) if names else "nothing: there is none"


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
