"""The built-in firmware on QEMU: every SBI call, and Debian above it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ringzero import firmware
from tests.firmware import payload
from tests.guests.qemu import run
from tests.limits import HUNG


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("firmware") / "fw.elf"
    file.write_bytes(firmware.build().elf)
    return file


@pytest.mark.needs_qemu
@pytest.mark.parametrize("harts", [1, 4])
@pytest.mark.parametrize("cpu", ["rv64", "rv64,sstc=off"])
def test_every_call(built: Path, tmp_path: Path, harts: int, cpu: str) -> None:
    kernel = tmp_path / "payload.elf"
    kernel.write_bytes(payload.build().elf)
    ended = run(kernel, "-smp", str(harts), "-cpu", cpu, bios=str(built))
    assert "FAIL" not in ended.output, ended.output
    assert ended.lines[-1] == "done", ended.output
    assert "Hi" in ended.lines
    assert ended.output.count("ok ") == (28 if harts == 1 else 66)
    assert ended.code == 42


@pytest.mark.needs_qemu
@pytest.mark.needs_debian
@pytest.mark.slow
@pytest.mark.parametrize(("harts", "cpu"), [(1, "rv64"), (4, "rv64"), (4, "rv64,sstc=off,h=off")])
def test_debian_boots(built: Path, harts: int, cpu: str) -> None:
    from ringzero.images import fetch_debian

    image = fetch_debian()
    script = 'ringzero.run="nproc; exit 3"'
    ended = run(Path(image.kernel), "-m", "512", "-smp", str(harts), "-cpu", cpu, "-initrd",
                str(image.initrd), "-append", f"console=ttyS0 earlycon=sbi {script}",
                bios=str(built), timeout=HUNG)  # fmt: skip
    assert "SBI implementation ID=0x727a" in ended.output
    assert str(harts) in ended.lines
    assert ended.code == 3


def test_fits_the_memory_it_claims() -> None:
    image = firmware.build()
    assert image.base == image.entry == 0x8000_0000
    assert image.memory_size < 0x8_0000


def test_a_second_build_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = firmware.build()
    monkeypatch.setattr(firmware, "_make", lambda: pytest.fail("it was compiled again"))
    assert firmware.build() == first


def test_cached_build_imports_neither_llvm_nor_the_architecture() -> None:
    firmware.build()
    text = (
        "import sys; from ringzero import firmware; firmware.build();"
        "print([m for m in sys.modules if 'llvmlite' in m or m.startswith('ringzero.isa')])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_command_writes_both_forms(tmp_path: Path) -> None:
    for option, wanted in ((), firmware.build().elf), (("--flat",), firmware.build().flat):
        file = tmp_path / "fw"
        command = [sys.executable, "-m", "ringzero.firmware", "-o", str(file), *option]
        subprocess.run(command, check=True)
        assert file.read_bytes() == wanted
