"""`--cpu kvm` from the command line: what it refuses, what a host without KVM is told, guests."""

from __future__ import annotations

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ringzero.cli.commands.doctor import gather
from ringzero.cli.guest.kvm import kvm_plan
from ringzero.cli.guest.plan import Plan
from ringzero.cli.main import main
from ringzero.images import cache_root, cpio
from ringzero.kvm import api
from ringzero.kvm.board.layout import GUEST_MODULES
from tests.images import debs
from tests.images.debs import BUSYBOX, module
from tests.kvm.conftest import needs_kvm
from tests.kvm.kernels import BASE, Kernel, elf64, written

RUN = ["run", "--cpu", "kvm", "-m", "16M"]


@pytest.fixture
def hello(tmp_path: Path) -> str:
    kernel = Kernel(BASE, 64)
    kernel.say("hello")
    kernel.exit(3)
    return str(written(tmp_path / "hello.elf", elf64(kernel.link())))


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (["--bios", "fw.bin"], "--bios"),
        (["--engine", "interpreter"], "--engine"),
        (["--clock", "instructions"], "--clock instructions"),
    ],
)
def test_what_the_hosts_processor_lacks_is_refused_in_a_sentence(
    options: list[str], option: str, hello: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, *options, hello]) == 125
    said = capsys.readouterr().err
    assert said.startswith(f"ringzero: {option} has no meaning with --cpu kvm")
    assert said.count("\n") == 1


def test_guests_of_the_other_architecture_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--dry-run", "guest"]) == 127
    assert "'guest' is for RISC-V" in capsys.readouterr().err
    assert main([*RUN, "--dry-run", "nosuch"]) == 127


def absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ringzero.kvm.status.DEVICE", str(tmp_path / "kvm"))


def forbidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _failing_open(monkeypatch, tmp_path, errno.EACCES)


def taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _failing_open(monkeypatch, tmp_path, errno.EBUSY)


def _failing_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    """Root may open everything, so the system's answer is put in its place."""
    device = str(tmp_path / "kvm")
    monkeypatch.setattr("ringzero.kvm.status.DEVICE", device)
    real = os.open

    def failing(path: Any, *arguments: Any, **named: Any) -> int:
        if path == device:
            raise OSError(number, os.strerror(number), path)
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", failing)


def busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """/dev/kvm opens, and another hypervisor holds the processor."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr("ringzero.kvm.status.DEVICE", str(device))

    def answer(fd: int, code: int, *_: object) -> int:
        if code == api.GET_API_VERSION.code:
            return api.API_VERSION
        assert code == api.CREATE_VM.code
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr("ringzero.kvm.api.fcntl.ioctl", answer)


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        (absent, "is not there"),
        (forbidden, "usermod -aG kvm"),
        (taken, "in use by another hypervisor"),
        (busy, "another hypervisor holds the processor"),
    ],
)
def test_a_host_without_kvm_says_so_at_once(
    host: Any, sentence: str, tmp_path: Path, hello: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("ringzero.kvm.image.fetch_debian", None)  # nothing is fetched before
    host(monkeypatch, tmp_path)
    for what in (hello, "debian"):
        assert main([*RUN, what]) == 126
        said = capsys.readouterr()
        assert sentence in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""  # nothing was run in another way
    fact = next(fact for fact in gather() if fact.name == "/dev/kvm")
    assert fact.state == "note"
    assert sentence.lower() in f"{fact.value}. {fact.advice}".lower()


@needs_kvm
def test_a_guests_code_output_and_statistics(hello: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--cpus", "2", "--stats", hello]) == 3
    said = capfd.readouterr()
    assert said.out == "hello"
    assert "in the guest" in said.err
    assert main([*RUN, "--json", hello]) == 3
    told = json.loads(capfd.readouterr().err)
    assert told["exit_code"] == 3
    assert told["counters"]["where"]["serial"] == 5


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages of a cloud kernel that has some drivers built in."""
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "debs"
    place.mkdir()
    debs.make(place, "busybox-static", {"usr/bin/busybox": BUSYBOX}, architecture="amd64")
    loaded, built_in = GUEST_MODULES[:2], GUEST_MODULES[2:]
    modules = "usr/lib/modules/6.12.1-cloud-amd64"
    listing = "".join(f"kernel/drivers/virtio/{name}.ko\n" for name in built_in)
    debs.make(
        place,
        "linux-image-6.12.1-cloud-amd64",
        {
            "boot/vmlinuz-6.12.1-cloud-amd64": b"the kernel",
            f"{modules}/modules.builtin": listing.encode(),
            **{f"{modules}/{name}.ko": module(name, "") for name in loaded},
        },
        architecture="amd64",
    )
    return place


def test_the_cloud_kernel_is_fetched_listed_planned_and_removed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch = ["image", "fetch", "debian", "--arch", "amd64", "--debs", str(repository)]
    assert main(fetch) == 0
    assert main(["image", "list", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["name"], entry["version"]) == ("debian-amd64", "6.12.1")
    initrd = next(Path(path) for path in entry["paths"] if path.endswith(".cpio.gz"))
    nodes = {node.path: node for node in cpio.entries(gzip.decompress(initrd.read_bytes()))}
    listing = nodes["usr/lib/ringzero-modules"].data.decode().split()
    assert [Path(path).stem for path in listing] == list(GUEST_MODULES[:2])
    assert main(["image", "remove", "debian"]) == 127  # that is the RISC-V one
    assert main(["image", "remove", "debian-amd64"]) == 0
    assert not list((cache_root() / "kernels").iterdir())


def test_the_installer_is_for_risc_v_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "fetch", "debian-installer", "--arch", "amd64"]) == 125
    assert "for riscv64 only" in capsys.readouterr().err


def test_an_image_that_is_not_here_is_only_named_without_fetching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    plan = Plan(
        title="", kernel=None, initrd=None, append="", bios=None, memory=512 << 20, cpus=1,
        cpu="kvm", engine="auto", clock="host",
    )  # fmt: skip
    assert "has to be fetched" in kvm_plan(plan, None, fetch=False).title
