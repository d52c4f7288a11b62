"""The edits that make Linux paravirtual: they fit, or say what does not. Nothing is compiled here.

Where `ringzero image build paravirt-linux` has left Debian's files, they are tried on these; and
everywhere on a tree that holds their anchors only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ringzero.board import hypercalls
from ringzero.images import ImageError
from ringzero.images.kernel_edits import edits, files, make_paravirtual, version_of
from ringzero.images.paravirt_linux import (
    TOOLS,
    check_configuration,
    find_paravirt_linux,
    require_tools,
)

MAKEFILE = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION =\nNAME = anything\n"
ASSEMBLER = "riscv64-linux-gnu-gcc"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As much of a kernel as the edits look for."""
    texts: dict[str, str] = {"Makefile": MAKEFILE}
    for edit in edits()[1]:
        if edit.find not in texts.get(edit.file, ""):
            texts[edit.file] = texts.get(edit.file, "") + edit.find * edit.times
    for place in (*texts, *files()):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    for place, text in texts.items():
        (tmp_path / place).write_text(text)
    return tmp_path


def test_edits_fit_once(tree: Path) -> None:
    before = {edit.file: (tree / edit.file).read_text() for edit in edits()[1]}
    written = make_paravirtual(tree)
    assert {str(path.relative_to(tree)) for path in written} == {*before, *files()}
    for file, text in before.items():
        assert (tree / file).read_text() != text
        assert "ringzero" in (tree / file).read_text() or "256" in (tree / file).read_text()
    with pytest.raises(ImageError, match="is not as the paravirtual edits know it"):
        make_paravirtual(tree)  # what is edited is no longer what they are for


def test_an_anchor_that_is_gone_is_named_and_nothing_is_written(tree: Path) -> None:
    edit = edits()[1][-1]
    path = tree / edit.file
    path.write_text(path.read_text().replace(edit.find, "something else\n"))
    before = {path: path.read_text() for path in tree.rglob("*") if path.is_file()}
    with pytest.raises(ImageError, match=f"{re.escape(edit.file)}.* is there 0 times instead of"):
        make_paravirtual(tree)
    assert {path: path.read_text() for path in tree.rglob("*") if path.is_file()} == before


def test_an_unknown_version_is_refused(tree: Path) -> None:
    (tree / "Makefile").write_text(MAKEFILE.replace("12", "19"))
    assert version_of(tree) == "6.19.9"
    with pytest.raises(ImageError, match=r"are for Linux 6\.12, and this is 6\.19\.9"):
        make_paravirtual(tree)


def test_a_missing_file_is_named(tree: Path) -> None:
    (tree / "arch/riscv/kernel/entry.S").unlink()
    with pytest.raises(ImageError, match=r"has no entry\.S"):
        make_paravirtual(tree)


def test_the_header_has_the_interfaces_numbers(tmp_path: Path) -> None:
    header = files()["arch/riscv/include/asm/ringzero.h"]
    found = dict(re.findall(r"#define RINGZERO_(\w+) (0x[0-9a-f]+|\d+)$", header, re.MULTILINE))
    assert int(found["EXTENSION"], 0) == hypercalls.EXTENSION
    assert int(found["FLUSH"], 0) == hypercalls.FLUSH
    for name, offset in hypercalls.OFFSETS.items():
        assert int(found[name.upper()], 0) == offset
    used = set(re.findall(r"RINGZERO_([A-Z_]+)", "".join(files().values())))
    assert used - set(found) <= {"EVERY_SPACE", "WORDS", "OWN", "H", ""}


def test_debians_source_takes_the_edits(tmp_path: Path) -> None:
    """All of them, on the real files; the assembler takes our macros."""
    source = _debians_source(tmp_path)
    assert len(make_paravirtual(source)) > 15
    entry = (source / "arch/riscv/kernel/entry.S").read_text()
    assert entry.count("ringzero_write CSR_") == 3
    assert "csrw CSR_STATUS" not in entry
    if shutil.which(ASSEMBLER) is None:
        pytest.skip(f"needs the command {ASSEMBLER}")
    code = "#define CSR_STATUS 0x100\n#define SR_FS 0x6000\n#define __ASSEMBLY__\n"
    code += '#include "ringzero.h"\nringzero_floats 1\nringzero_floats 0\n'
    code += "ringzero_write CSR_STATUS, RINGZERO_EPC, a0, t0, t1\n"
    (tmp_path / "try.S").write_text(code)
    folder = source / "arch/riscv/include/asm"
    subprocess.run(
        [
            ASSEMBLER,
            "-c",
            "-I",
            str(folder),
            "-o",
            str(tmp_path / "try.o"),
            str(tmp_path / "try.S"),
        ],
        check=True,
    )


def _debians_source(folder: Path) -> Path:
    """The files that are edited, as the last build kept them."""
    built = find_paravirt_linux()
    if built is None:
        pytest.skip("needs what `ringzero image build paravirt-linux` leaves in the image cache")
    shutil.copytree(built.kernel.parent / "before", folder / "source")
    for place in files():
        (folder / "source" / place).parent.mkdir(parents=True, exist_ok=True)
    return folder / "source"


def test_missing_tools_are_told_in_a_sentence() -> None:
    have = {name: name for name in TOOLS if name not in ("flex", "bison")}
    with pytest.raises(
        ImageError, match=r"takes flex, bison, which .*: apt-get install flex bison"
    ):
        require_tools(have.get)
    require_tools(dict.fromkeys(TOOLS, "there").get)


def test_lost_options_are_told() -> None:
    check_configuration("CONFIG_A=y\n", "# comment\nCONFIG_A=y\nCONFIG_B=y\n")
    with pytest.raises(ImageError, match="does not take CONFIG_C=y"):
        check_configuration("CONFIG_A=y\nCONFIG_C=y\n", "CONFIG_A=y\n")
