"""What option values mean: sizes, durations, disks and mounts; a bad one is a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ringzero.errors import UsageError
from ringzero.machine.disk import DiskImage
from ringzero.machines.storage import Mount
from ringzero.sizes import parse_size

SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def split_words(text: str, followed_by: Sequence[str] = ()) -> list[str]:
    """Text in pieces between commas; a comma that is written twice is one of the text, as in QEMU.

    With keys in `followed_by`, only a comma before a key and `=` divides.
    """
    words, place = [""], 0
    while place < len(text):
        if text.startswith(",,", place):
            place += 1
        elif text[place] == "," and (
            not followed_by or any(text.startswith(f"{key}=", place + 1) for key in followed_by)
        ):
            words.append("")
            place += 1
            continue
        words[-1] += text[place]
        place += 1
    return words


SIZE_HELP = "a number with B, K, M, G or T; without a unit, megabytes"


class Size(click.ParamType[int]):
    """`512M`, `2G`, `65536K` (`ringzero.sizes`). The value is in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value, self.name)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[float]):
    """`10`, `10s`, `1.5m`, `200ms`. The value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", str(value).strip())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is not a duration such as 30s or 5m.", param, ctx)
        return float(match[1]) * SECONDS[match[2]]


WORDS: dict[str, dict[str, Any]] = {
    "ro": {"readonly": True},
    "overlay": {"overlay": True},
    "share": {"share": True},
    "bus=pci": {"bus": "pci"},
    "bus=mmio": {"bus": "mmio"},
    "legacy": {"legacy": True, "bus": "mmio"},
}
"""What may follow a disk's file."""


class DiskType(click.ParamType[DiskImage]):
    """`FILE[,ro][,overlay][,share][,bus=pci|mmio][,legacy]`; the file's own commas are doubled."""

    name = "disk"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> DiskImage:
        if isinstance(value, DiskImage):
            return value
        path, *words = split_words(str(value))
        for word in words:
            if word not in WORDS:
                self.fail(
                    f"{word!r} says nothing about a disk: after the file may come `,ro` (it is not "
                    "written), `,overlay` (what is written is forgotten at the end), `,share` "
                    "(others write to it too), `,bus=pci` or `,bus=mmio`, and `,legacy` (for "
                    "drivers on virtio-mmio that are older than virtio 1.0); a comma in the file's "
                    "name is written twice.",
                    param,
                    ctx,
                )
        if {"legacy", "bus=pci"} <= set(words):
            self.fail("A `legacy` disk is on bus=mmio: leave out bus=pci.", param, ctx)
        settings: dict[str, Any] = {}
        for word in words:
            settings |= WORDS[word]
        return DiskImage(Path(path), **settings)


class MountType(click.ParamType[Mount]):
    """`TAG=FOLDER[:ro|:rw]`; only the last of these is not the folder's name."""

    name = "mount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mount:
        if isinstance(value, Mount):
            return value
        tag, equals, folder = str(value).partition("=")
        if not equals or not tag or not folder:
            self.fail(f"{value!r} is not of the form TAG=FOLDER or TAG=FOLDER:ro.", param, ctx)
        readonly = folder.endswith(":ro")
        try:
            return Mount(tag, folder.removesuffix(":ro" if readonly else ":rw"), readonly)
        except UsageError as error:
            self.fail(str(error), param, ctx)
