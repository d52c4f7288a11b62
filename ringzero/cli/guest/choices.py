"""The guests of `--vm` and `--vms`, as they are asked for.

`--vm NAME:kernel=FILE,initrd=FILE,append=TEXT,memory=128M` may be repeated; `--vms FILE.toml` holds
the same as `[[vm]]` tables. What a VM leaves out comes from the command's other options.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ringzero.cli.guest.values import Size, split_words
from ringzero.errors import UsageError

KEYS = ("image", "kernel", "initrd", "append", "memory", "cpu")


@dataclass(frozen=True)
class VmChoice:
    """One VM as it was asked for; None is what the run's other options say."""

    name: str
    image: str | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    append: str | None = None
    memory: int | None = None
    cpu: str | None = None


class VmType(click.ParamType[VmChoice]):
    """`NAME[:key=value,…]`."""

    name = "vm"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> VmChoice:
        if isinstance(value, VmChoice):
            return value
        return choice(parse_vm(str(value)))


def parse_vm(text: str) -> dict[str, str]:
    """What `NAME:kernel=…,append=…,memory=…` or `NAME` says.

    A comma needs no escape unless a key and `=` follow it, since only those begin the next value.
    """
    name, _, rest = text.partition(":")
    found = {"name": name}
    if not name or "=" in name:
        raise UsageError(f"{text!r} names no VM: write NAME, or NAME:kernel=FILE,memory=128M.")
    for piece in split_words(rest, followed_by=KEYS) if rest else ():
        key, equals, value = piece.partition("=")
        if not equals or key not in KEYS or key in found:
            raise UsageError(
                f"{piece!r} says nothing about the VM {name}: write each of "
                f"{', '.join(KEYS)} at most once, as in kernel=FILE."
            )
        found[key] = value
    return found


def choice(said: dict[str, Any], folder: Path = Path()) -> VmChoice:
    """What keys and values say; files are relative to `folder`."""
    name = str(said.get("name", ""))
    unknown = set(said) - {"name", *KEYS}
    if not name or unknown:
        what = f"has the unknown key {min(unknown)!r}" if unknown else "has no name"
        raise UsageError(f"A VM {what}: `name` and {', '.join(KEYS)} are known.")
    files = {key: folder / said[key] for key in ("kernel", "initrd") if key in said}
    memory = said.get("memory")
    return VmChoice(
        name,
        said.get("image"),
        append=said.get("append"),
        cpu=said.get("cpu"),
        memory=None if memory is None else Size().convert(memory, None, None),
        **files,
    )


def read_toml(path: Path) -> tuple[VmChoice, ...]:
    """The VMs of a TOML file."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("vm", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is no TOML ({error}): write a [[vm]] table for each VM."
        ) from None
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path} has no list of VMs: write a [[vm]] table for each.")
    if not tables:
        raise UsageError(f"{path} names no VM: write a [[vm]] table for each.")
    return tuple(choice(table, path.parent) for table in tables)
