"""`ringzero run` from outside: small guests, their exit codes, their streams, and the terminal."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.on_terminal import OnTerminal
from tests.guest_files import RAM, elf, htif_exit, program
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "ringzero", "run", "-m", "16M", "--kernel"]

LOOP = elf(program(["jal zero, 0"]))
NOWHERE = elf(program(["jalr zero, 0(zero)"]))

# Prints `>`, and then does not leave native code any more.
BUSY = elf(program(["lui s0, 0x10000", "addi a0, zero, 62", "sb a0, 0(s0)", "jal zero, 0"]))

# Prints `>` once, then echoes what the serial port receives, and ends when that is a `q`.
ECHO = elf(
    program(
        [
            "lui s0, 0x10000",
            "addi a0, zero, 62",
            "sb a0, 0(s0)",
            "lbu a1, 5(s0)",
            "andi a1, a1, 1",
            "beq a1, zero, -8",
            "lbu a0, 0(s0)",
            "sb a0, 0(s0)",
            "addi a1, zero, 113",
            "bne a0, a1, -24",
            "lui a0, 0x100",
            "lui a1, 0x5",
            "addi a1, a1, 0x555",
            "sw a1, 0(a0)",
            "jal zero, 0",
        ]
    )
)


def guest(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "guest.elf"
    path.write_bytes(data)
    return str(path)


def run(
    tmp_path: Path, data: bytes, *options: str, typed: bytes = b"", seconds: float = HUNG
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, guest(tmp_path, data), *options],
        cwd=ROOT, input=typed, capture_output=True, timeout=seconds, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The engine is in the cache, so that nothing is said about compiling it."""
    assert run(tmp_path_factory.mktemp("warm"), htif_exit(0)).returncode == 0


@pytest.mark.parametrize("engine", ["regions", "interpreter", "reference"])
@pytest.mark.parametrize("code", [0, 3, 123])
def test_the_guests_exit_code_is_the_commands(code: int, engine: str, tmp_path: Path) -> None:
    done = run(tmp_path, htif_exit(code), "--engine", engine)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_an_exit_code_that_no_process_can_have_is_not_success(tmp_path: Path) -> None:
    assert run(tmp_path, htif_exit(256)).returncode == 255


def test_console_input_and_output_are_the_streams(tmp_path: Path) -> None:
    done = run(tmp_path, ECHO, typed=b"hello\x01xq")
    assert (done.returncode, done.stdout, done.stderr) == (0, b">hello\x01xq", b"")


def test_time_is_up(tmp_path: Path) -> None:
    started = time.monotonic()
    done = run(tmp_path, LOOP, "--timeout", "500ms")
    assert done.returncode == 124
    assert b"its time was up" in done.stderr
    assert time.monotonic() - started < 60


def test_quiet_says_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, LOOP, "--timeout", "200ms", "--quiet")
    assert (done.returncode, done.stderr) == (124, b"")


def test_a_guest_that_jumps_into_nothing_is_told_where(tmp_path: Path) -> None:
    done = run(tmp_path, NOWHERE, "--timeout", "30s")
    assert done.returncode == 255
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    assert b"pc" in done.stderr


def test_the_first_use_says_why_it_takes_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "cache"))
    done = run(tmp_path, htif_exit(0))
    assert done.returncode == 0
    assert b"Compiling the interpreter" in done.stderr
    assert run(tmp_path, htif_exit(0)).stderr == b""


def test_statistics_and_json_are_beside_the_guests_output(tmp_path: Path) -> None:
    done = run(tmp_path, ECHO, "--json", typed=b"q")
    assert done.stdout == b">q"
    told = json.loads(done.stderr.splitlines()[-1])
    assert (told["outcome"], told["exit_code"]) == ("PoweredOff", 0)
    assert sum(told["counters"]["instructions"].values()) >= 15
    done = run(tmp_path, htif_exit(4), "--stats")
    assert done.returncode == 4
    assert b"instructions in" in done.stderr
    assert b"regions" not in done.stderr
    done = run(tmp_path, htif_exit(4), "--stats", "-v")
    assert b"slices ended in compiled regions" in done.stderr


def test_instruction_clock_repeats_a_run_exactly(tmp_path: Path) -> None:
    told = [
        json.loads(
            run(tmp_path, htif_exit(0), "--json", "--clock", "instructions").stderr.splitlines()[-1]
        )
        for _ in range(2)
    ]
    assert told[0]["counters"]["instructions"] == told[1]["counters"]["instructions"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.parametrize("busy", [False, True], ids=["at devices", "in native code"])
def test_a_signal_ends_it_with_its_number(
    number: signal.Signals, busy: bool, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*COMMAND, guest(tmp_path, BUSY if busy else ECHO)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # Where the tests run in a shell's background, SIGINT would be inherited as ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.read(1) == b">"  # it runs
        process.send_signal(number)
        _, errors = process.communicate(timeout=HUNG)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert errors == b""


def test_a_reader_that_went_away_ends_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, guest(tmp_path, ECHO)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.read(1) == b">"
    process.stdout.close()
    process.stdin.write(b"x")
    process.stdin.flush()
    assert process.wait(timeout=HUNG) == 128 + signal.SIGPIPE
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


def test_on_a_terminal(tmp_path: Path) -> None:
    """Keys go to the guest raw, Ctrl-A asks ringzero, and the terminal is given back."""
    command = OnTerminal(*COMMAND, guest(tmp_path, ECHO))
    command.expect(b">")
    assert command.raw
    command.type(b"a\x03b")
    command.expect(b"a\x03b")
    command.type(b"\x01h")
    command.expect(b"end the machine")
    command.type(b"\x01s")
    command.expect(b"MIPS")
    command.type(b"\x01d")
    command.expect(b"mstatus")
    command.expect(f"{RAM >> 4:x}".encode())
    command.type(b"c\x01\x01d")
    command.expect(b"c\x01d")
    command.type(b"\x01x")
    assert command.end() == 0


def test_terminal_is_restored_when_the_guest_ends_or_time_is_up(tmp_path: Path) -> None:
    command = OnTerminal(*COMMAND, guest(tmp_path, ECHO))
    command.expect(b">")
    command.type(b"q")
    assert command.end() == 0
    command = OnTerminal(*COMMAND, guest(tmp_path, ECHO), "--timeout", "1s")
    command.expect(b">")
    assert command.raw
    assert command.end() == 124


def test_a_bare_program_starts_at_once(tmp_path: Path) -> None:
    """Half a second from start to exit with a warm cache.

    Processor time is looked at, and the least of some tries, since other tests run beside this one.
    """
    assert run(tmp_path, htif_exit(0)).returncode == 0
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(tmp_path, htif_exit(0), "-m", "128M")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.5


@pytest.mark.slow
@pytest.mark.needs_debian
def test_debian_runs_a_command_and_gives_its_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringzero", "run", "--timeout", "120", "debian", "--",
         "sh", "-c", "uname -m; exit 3"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert b"riscv64" in done.stdout
    assert done.returncode == 3


def test_standard_input_that_does_not_block_is_read(tmp_path: Path) -> None:
    """Whoever shares the other end of it may have made it so."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = subprocess.Popen(
        [*COMMAND, guest(tmp_path, ECHO)],
        cwd=ROOT, stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for typed in (b"ab", b"c"):
            assert process.stdout.read(1) == (b">" if typed == b"ab" else b"b")
            os.write(writer, typed)
            assert process.stdout.read(1) == typed[:1]
        os.write(writer, b"q")
        assert process.communicate(timeout=HUNG) == (b"q", b"")
    finally:
        process.kill()
        os.close(reader)
        os.close(writer)
    assert process.returncode == 0


def test_the_terminals_size_and_its_changes_reach_the_machine(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"""
import sys
from ringzero.machines.base import BaseMachine
from ringzero.cli.main import main
def resize(self, columns, rows):
    with open({str(told)!r}, "a") as file:
        file.write(f"{{columns}}x{{rows}} ")
BaseMachine.resize = resize
sys.exit(main(sys.argv[1:]))
"""
    arguments = [*COMMAND[3:], guest(tmp_path, ECHO)]
    command = OnTerminal(sys.executable, "-c", script, *arguments, size=(101, 33))
    command.expect(b">")
    assert told.read_text() == "101x33 "
    command.resize(120, 40)
    end = time.monotonic() + 60
    while told.read_text() != "101x33 120x40 ":
        assert time.monotonic() < end, told.read_text()
        time.sleep(0.01)
    command.type(b"q")
    assert command.end() == 0
