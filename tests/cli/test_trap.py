"""`ringzero run --cpu trap`, `build hypervisor`, `compare` and `analyze` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ringzero.cli.guest.choices import VmChoice, parse_vm, read_toml
from ringzero.cli.main import main
from ringzero.errors import UsageError
from tests.limits import HUNG

ROOT = Path(__file__).parent.parent.parent
MEGABYTE = 1 << 20


def ringzero(*arguments: str, seconds: float = HUNG) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ringzero", *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
        check=False,
    )  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return ringzero("run", "--cpu", "trap", "--engine", "interpreter", "-q", *arguments)


def test_bundled_guest_passes_its_tests_and_exits_are_told() -> None:
    done = run("guest", "-m", "64M", "--stats")
    assert done.returncode == 0, done.stderr
    assert "tests ok, 0 failed" in done.stdout
    assert "vm0: stopped, exit code 0" in done.stderr
    assert "sstatus" in done.stderr


def test_two_guests_with_names_as_json() -> None:
    options = ["--vm", "one:image=guest", "--vm", "two:image=guest,append=mode=bench,memory=32M"]
    done = run(*options, "-m", "64M", "--json", "--clock", "instructions")
    assert done.returncode == 0, done.stderr
    assert "[vm0] " in done.stdout
    assert "[vm1] bench csr_read" in done.stdout
    told = json.loads(done.stderr)
    assert [vm["name"] for vm in told["vms"]] == ["one", "two"]
    assert all(vm["state"] == "stopped" and vm["exit_count"] > 1000 for vm in told["vms"])


def test_guests_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "vms.toml"
    file.write_text(
        '[[vm]]\nname = "a"\nkernel = "k"\nmemory = "128M"\n[[vm]]\nname = "b"\nimage = "guest"\n'
    )
    assert read_toml(file) == (
        VmChoice("a", kernel=tmp_path / "k", memory=128 * MEGABYTE),
        VmChoice("b", image="guest"),
    )
    for bad, said in (
        ("vm = 1", "no list of VMs"),
        ("", "names no VM"),
        ("[[vm]]\nname='a'\ncolour=1", "unknown key 'colour'"),
        ("[[vm]]\nimage='guest'", "has no name"),
        ("[[vm", "is no TOML"),
    ):
        file.write_text(bad)
        with pytest.raises(UsageError, match=said):
            read_toml(file)


def test_a_vm_in_words() -> None:
    assert parse_vm("a") == {"name": "a"}
    assert parse_vm("a:append=console=ttyS0,115200 quiet,memory=1G") == {
        "name": "a", "append": "console=ttyS0,115200 quiet", "memory": "1G",
    }  # fmt: skip
    for bad in ("", "kernel=x", "a:size=1", "a:memory=1G,memory=2G"):
        with pytest.raises(UsageError):
            parse_vm(bad)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cpus", "2"], "--cpus has no meaning with --cpu trap"),
        (["--mount", "a=/tmp"], "--mount has no meaning"),
        (["--vm", "a", "--vm", "a"], "Two VMs have the same name"),
        (["-m", "3M"], "multiple of 2 MiB"),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--cpu", "trap", "guest", *options]) == 125
    assert said in capsys.readouterr().err


def test_programs_for_machine_mode_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cpu", "trap", "guest-hello"]) == 125
    assert "is a program for M-mode" in capsys.readouterr().err


def test_vms_without_a_technique_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--vm", "a", "guest"]) == 125
    assert "add --cpu trap" in capsys.readouterr().err


def test_hypervisor_as_a_file_runs_as_firmware(tmp_path: Path) -> None:
    file = tmp_path / "hv.elf"
    assert main(["build", "hypervisor", "-o", str(file), "-m", "32M"]) == 0
    done = ringzero("run", "--bios", str(file), "-m", "128M", "--engine", "interpreter")
    assert done.returncode == 0, done.stderr
    assert "tests ok, 0 failed" in done.stdout


def test_sensitive_instructions_of_the_bundled_guest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "guest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["classes"]["translation fence"]["count"] >= 1
    assert {site["text"] for site in told["sites"]} & {"sret", "wfi"}


def test_what_is_no_kernel_is_not_analyzed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "text"
    file.write_text("hello, world\n")
    assert main(["analyze", str(file)]) == 125
    assert "cannot be analyzed" in capsys.readouterr().err
    assert main(["analyze", str(tmp_path / "nosuch")]) == 127


def test_unknown_columns_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--techniques", "native,magic"]) == 125
    assert "no technique 'magic'" in capsys.readouterr().err


def test_compare_takes_a_kernel_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = tmp_path / "kernel.elf"
    assert main(["build", "guest", "-o", str(kernel)]) == 0
    assert main(["compare", "guest", "--kernel", str(kernel)]) == 125
    assert "leave one out" in capsys.readouterr().err
    options = ["--kernel", str(kernel), "-a", "mode=test", "-m", "64M", "--techniques", "native"]
    assert main(["compare", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert str(kernel) in json.dumps(told)


@pytest.mark.slow
@pytest.mark.needs_debian
def test_debian_runs_a_command_under_trap() -> None:
    command = ["--", "sh", "-c", "uname -m; exit 7"]
    done = ringzero("run", "--cpu", "trap", "debian", *command, seconds=HUNG)
    assert done.returncode == 7, done.stderr
    assert "riscv64" in done.stdout
