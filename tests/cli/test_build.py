"""`ringzero build` writes programs that tools for RISC-V accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringzero.cli.main import main
from ringzero.machine.loading.kernel_file import read_kernel


@pytest.mark.parametrize("program", ["firmware", "guest"])
def test_programs_are_written_as_elf_and_flat(program: str, tmp_path: Path) -> None:
    elf, flat = tmp_path / "out.elf", tmp_path / "out.bin"
    assert main(["build", program, "-o", str(elf)]) == 0
    assert main(["build", program, "--flat", "-o", str(flat)]) == 0
    file = read_kernel(elf, 0x8000_0000)
    assert file.segments[0].data[:64] == flat.read_bytes()[:64]
    assert file.entry == file.segments[0].address


def test_a_place_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "firmware", "-o", str(tmp_path / "no" / "file")]) == 127
    assert str(tmp_path / "no" / "file") in capsys.readouterr().err
