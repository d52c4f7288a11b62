"""What the tests of instructions share: the GNU tools as the independent opinion on encodings."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

AS, OBJDUMP = "riscv64-linux-gnu-as", "riscv64-linux-gnu-objdump"
ARCH = "rv64gch_zba_zbb_zbs_zicbom_zicboz_zicbop_zawrs_zfh_svinval_zihintpause"
_LINE = re.compile(r"\s*[0-9a-f]+:\t[0-9a-f ]+\t(.*)")


def _tools() -> None:
    for tool in (AS, OBJDUMP):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: binutils-riscv64-linux-gnu)")


@pytest.fixture(scope="session")
def gnu_words(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Iterable[str]], list[int]]:
    """Assemble lines with the GNU assembler; one word each."""
    _tools()

    def assemble(lines: Iterable[str]) -> list[int]:
        folder = tmp_path_factory.mktemp("gnu")
        code = _assembled(folder, "\n".join(lines))
        return [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]

    return assemble


def _assembled(folder: Path, source: str) -> bytes:
    (folder / "a.s").write_text(f".option norvc\n.option norelax\n{source}\n")
    subprocess.run([AS, f"-march={ARCH}", "a.s", "-o", "a.o"], cwd=folder, check=True)
    copy = ["riscv64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", "a.o", "a.bin"]
    subprocess.run(copy, cwd=folder, check=True)
    return (folder / "a.bin").read_bytes()


@pytest.fixture(scope="session")
def gnu_texts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Disassemble words (or compressed parcels) with objdump; one text each, at address 4 * i."""
    _tools()

    def disassemble(words: Iterable[int], *options: str) -> list[str]:
        folder = tmp_path_factory.mktemp("gnu")
        lines = []
        for word in words:
            compressed = word & 3 != 3
            lines.append(f".insn {word:#x}\n.insn 1" if compressed else f".insn {word:#x}")
        (folder / "a.s").write_text("\n".join(lines) + "\n")
        subprocess.run([AS, f"-march={ARCH}", "a.s", "-o", "a.o"], cwd=folder, check=True)
        command = [OBJDUMP, "-d", *options, "a.o"]
        out = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        found = {}
        for line in out.splitlines():
            if (match := _LINE.match(line)) is not None:
                address = int(line.partition(":")[0], 16)
                found[address] = re.sub(r"\s*(<.*>|#.*)", "", match[1]).replace("\t", " ").strip()
        return [found[4 * i] for i in range(len(lines))]

    return disassemble
