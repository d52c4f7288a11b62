"""Every mistake is a sentence and a code; help is quick; nothing shows a traceback unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringzero.cli.main import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: ringzero {command}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--nosuch"], "No such option '--nosuch'"),
        (["nosuch"], "No such command 'nosuch'"),
        (["run", "-m", "much"], "'much' is not a size"),
        (["run", "--engine", "steam"], "'steam' is not one of"),
        (["run", "--cpu", "magic"], "'magic' is not"),
        (["run", "--cpus", "0"], "0 is not in the range"),
        (["run", "--timeout", "soon"], "'soon' is not a duration"),
        (["run", "--kernel"], "requires an argument"),
        (["run", "debian", "again"], "unexpected extra argument"),
        (["image", "fetch", "minix"], "'minix' is not one of"),
    ],
)
def test_wrong_usage_is_one_line_and_125(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 125
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert "--help` " not in said.err


def test_nothing_at_all_shows_the_help_and_is_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 125
    assert "Usage: ringzero" in capsys.readouterr().err


def test_our_own_mistakes_are_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr("ringzero.cli.commands.doctor.gather", broken)
    monkeypatch.delenv("RINGZERO_DEBUG", raising=False)
    assert main(["doctor"]) == 125
    assert "a mistake in ringzero (ZeroDivisionError: by hand)" in capsys.readouterr().err
    monkeypatch.setenv("RINGZERO_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_dry_run_tells_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--dry-run", "--json", "--kernel", "Image", "-m", "256M", "-a", "quiet"]
    assert main(arguments) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["kernel"] == "Image"
    assert plan["memory"] == 256 << 20
    assert plan["append"] == "quiet"


def test_words_after_two_dashes_are_no_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--dry-run", "--json", "--kernel", "Image", "--", "uname", "-a"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "uname -a"


def test_help_needs_no_engine_and_is_quick() -> None:
    """What it costs beyond Python's own start is the modules that it reads, whatever the host."""
    code = (
        "import sys; before = set(sys.modules);"
        "from ringzero.cli.main import main; main(['run', '--help']);"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    read = set(done.stderr.split())
    heavy = {"llvmlite", "rich", "ringzero.lang", "ringzero.isa", "ringzero.machine.virt"}
    assert not read & heavy
    assert "click" in read
    assert len(read) < 200
    assert len([name for name in read if name.startswith("ringzero.")]) < 45


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringzero", "--version"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.startswith("ringzero ")
