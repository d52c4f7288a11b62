"""Every option has help, and every environment variable stands on the page of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ringzero.cli.main import COMMANDS, cli
from ringzero.sizes import UNITS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"[\"'](RINGZERO_[A-Z_]+)[\"']")


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield f"{name} {inner.name}", inner


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda value: str(value))
def test_every_option_has_help(name: str, command: click.Command) -> None:
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [option.opts for option in options if not option.help] == []
    assert command.help


def test_every_environment_variable_is_documented() -> None:
    used = set()
    for path in (ROOT / "ringzero").rglob("*.py"):
        used |= set(VARIABLE.findall(path.read_text(encoding="utf-8")))
    assert {"RINGZERO_MIRROR", "RINGZERO_DEBUG", "RINGZERO_CACHE_LIMIT"} <= used
    assert [name for name in sorted(used) if f"| {name}" not in PAGE] == []


def test_every_documented_variable_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ringzero").rglob("*.py"))
    documented = re.findall(r"^\| (RINGZERO_[A-Z_]+) ", PAGE, re.MULTILINE)
    assert [name for name in documented if name not in text] == []


def test_the_units_of_sizes_are_said() -> None:
    listed = ", ".join(unit for unit in UNITS if unit)
    first, _, last = listed.rpartition(", ")
    assert f"a number with {first} or {last}" in PAGE


def test_no_folder_of_the_command_line_shows_more_than_sixteen_files() -> None:
    for folder in [ROOT / "ringzero" / "cli", *(ROOT / "ringzero" / "cli").iterdir()]:
        if folder.is_dir():
            assert len(list(folder.glob("*.py"))) <= 16, folder
