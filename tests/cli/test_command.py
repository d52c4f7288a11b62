"""The words after `--` arrive in the guest as they were given."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringzero.cli.guest.command import printf_format, quoted, with_command
from ringzero.cli.guest.plan import Plan
from ringzero.errors import UsageError

ROOT = Path(__file__).parent.parent.parent
PLAN = Plan(
    title="", kernel=None, initrd=None, append="", bios=None, memory=512 << 20, cpus=1,
    cpu="emulate", engine="auto", clock="host",
)  # fmt: skip
ANY_WORDS = st.lists(st.binary().filter(lambda word: b"\0" not in word).map(os.fsdecode))


def test_command_reaches_the_first_program() -> None:
    plan = with_command(replace(PLAN, append="quiet"), ("sh", "-c", "exit 3"))
    assert plan.append == """quiet panic=-1 ringzero.words="sh -c 'exit 3'\""""


def test_command_needs_a_guest_that_runs_one() -> None:
    for plan in (replace(PLAN, bundled="kernel"), replace(PLAN, append="ringzero.run=true")):
        with pytest.raises(UsageError, match="needs the image `debian`"):
            with_command(plan, ("true",))


def test_command_that_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(UsageError, match="1023"):
        with_command(PLAN, ("echo", "x" * 1024))


@given(ANY_WORDS)
def test_quoting_is_undone_by_a_shell(words: list[str]) -> None:
    assert shlex.split(quoted(tuple(words))) == words


@pytest.mark.parametrize("shell", ["sh", "bash", "busybox"])
def test_any_words_survive_the_kernels_command_line_and_printf(shell: str) -> None:
    """The lines of `images/init.sh` that read them, in shells that nobody here wrote."""
    try:
        subprocess.run([shell, "--help"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"this host has no {shell}")
    script = """command=$(printf "$1."); command=${command%.}; eval "set -- $command"
        for word in "$@"; do printf '%s\\0' "$word"; done"""
    run = [shell, "sh"] if shell == "busybox" else [shell]
    every = bytes(range(1, 256))
    for words in (
        ["a\nb\n", "", '"', "-n", "\\n%s%%", "'", "$HOME `id`", " ", "\t"],
        ["-e", "--", ""],
        [os.fsdecode(every), os.fsdecode(every[::-1])],
    ):
        said = printf_format(quoted(tuple(words)))
        assert said.isprintable()
        assert said.isascii()
        assert '"' not in said
        done = subprocess.run([*run, "-c", script, "sh", said], capture_output=True, check=True)
        assert done.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


@pytest.mark.slow
@pytest.mark.needs_debian
@pytest.mark.parametrize("cpu", ["emulate", "trap"])
def test_words_arrive_in_debian_as_they_were_given(cpu: str) -> None:
    odd = bytes([*range(1, 32), *b"\"'\\%$`", *range(127, 161), 255])
    words = [b"-n", b"", b"a\nb\n", b'"', odd, b"$HOME"]
    script = 'stty -opost; for word in "$@"; do printf "%s:" "$word" | od -An -v -tx1; done; exit 9'
    command = [sys.executable, "-m", "ringzero", "run", "--cpu", cpu, "--timeout", "300", "debian"]
    done = subprocess.run(
        [*command, "--", "sh", "-c", script, "sh", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    came = bytes.fromhex("".join(done.stdout.decode().partition("[")[0].split()))
    assert came == b"".join(word + b":" for word in words)
