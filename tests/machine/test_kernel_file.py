"""Kernel files and initial RAM disks: what loads, and the sentence for what does not."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringzero.errors import NotFound, RingzeroError, UsageError
from ringzero.machine.loading.initrd_file import read_initrd
from ringzero.machine.loading.kernel_file import read_kernel
from ringzero.machine.memory import GuestMemory
from tests.guest_files import RAM, elf, image

CPIO = b"070701" + b"0" * 104 + b"TRAILER!!!\0\0\0\0"


@pytest.fixture
def memory() -> GuestMemory:
    return GuestMemory(16 << 20)


def kernel(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    return path


def test_elf_is_loaded_where_it_says(tmp_path: Path, memory: GuestMemory) -> None:
    data = elf(b"code" * 4, address=RAM + 0x1000, symbols={"tohost": RAM + 8}, memory=64)
    memory.write(RAM + 0x1000, b"\xff" * 64)
    file = read_kernel(kernel(tmp_path, data), RAM)
    file.load(memory)
    assert file.entry == RAM + 0x1000
    assert file.symbols == {"tohost": RAM + 8}
    assert file.end == RAM + 0x1040
    assert memory.read(RAM + 0x1000, 64) == b"code" * 4 + bytes(48)


def test_image_goes_to_its_offset(tmp_path: Path, memory: GuestMemory) -> None:
    file = read_kernel(kernel(tmp_path, image(8192, image_size=20000)), RAM)
    file.load(memory)
    assert file.linux
    assert file.entry == RAM + 0x20_0000
    assert file.end == RAM + 0x20_0000 + 20000
    assert memory.read(file.entry, 4) == bytes([0x6F, 0, 0, 0])


def test_gzip_is_unpacked_on_the_way(tmp_path: Path, memory: GuestMemory) -> None:
    data = image(8192, image_size=20000)
    packed = read_kernel(kernel(tmp_path, gzip.compress(data, mtime=0)), RAM)
    assert packed.segments == read_kernel(kernel(tmp_path, data), RAM).segments


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\0" * 5000, "of an unknown kind"),
        (b"#!/bin/sh\n", "only 10 bytes long"),
        (b"\x7fELF", "is cut off"),
        (elf(b"code" * 4)[:100], "is cut off"),
        (elf(b"code" * 4)[:130], "is cut off"),
        (elf(b"code", machine=62), "ELF file for x86-64"),
        (elf(b"code", bits=1), "32-bit RISC-V"),
        (elf(b"code", kind=1), "no executable"),
        (elf(b"code" * 4, memory=8), "damaged"),
        (elf(b"code", address=RAM + 1), "an odd address"),
        (gzip.compress(b"x" * 5000, mtime=0), "of an unknown kind"),
        (gzip.compress(image(), mtime=0)[:-9], "gzip data .* is cut off"),
        (gzip.compress(image(), mtime=0)[:40] + bytes(50), "gzip data"),
        (bytes(56) + b"ARM\x64" + bytes(100), "AArch64"),
        (bytes(514) + b"HdrS" + bytes(100), "bzImage"),
        (image()[:60], "is cut off"),
        (image(text_offset=1 << 60), "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_kernel_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = kernel(tmp_path, data)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_kernel(path, RAM)
    assert str(path) in str(caught.value)


def test_the_hosts_own_programs_are_refused() -> None:
    with pytest.raises(UsageError, match="and the guest is RISC-V"):
        read_kernel(Path(sys.executable), RAM)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for read in (lambda path: read_kernel(path, RAM), read_initrd):
        with pytest.raises(NotFound) as caught:
            read(tmp_path / "nothing")
        assert caught.value.exit_code == 127
        with pytest.raises(UsageError, match="is a directory") as refused:
            read(tmp_path)
        assert refused.value.exit_code == 125


def test_truncated_image_is_known_by_its_sections(tmp_path: Path) -> None:
    section = b".text\0\0\0" + struct.pack("<IIII", 4096, 4096, 4096, 4096) + bytes(16)
    data = bytearray(image(8192))
    data[:2] = b"MZ"
    data[60:64] = struct.pack("<I", 64)
    data[64:88] = b"PE\0\0" + struct.pack("<HH12xHH", 0x5064, 1, 0, 0)
    data[88:128] = section
    assert read_kernel(kernel(tmp_path, bytes(data)), RAM).linux
    for length in (8191, 4096, 100):
        with pytest.raises(UsageError, match="is cut off"):
            read_kernel(kernel(tmp_path, bytes(data[:length])), RAM)


@pytest.mark.needs_debian
def test_debians_kernel_cut_off_anywhere_is_refused(debian_image: object, tmp_path: Path) -> None:
    path: Path = debian_image.kernel  # type: ignore[attr-defined]
    data = path.read_bytes()
    assert read_kernel(path, RAM).linux
    for length in (1, 63, 64, 300, 4096, len(data) // 2, len(data) - 1):
        with pytest.raises(UsageError, match=r"cut off|only"):
            read_kernel(kernel(tmp_path, data[:length]), RAM)


def test_kernel_that_does_not_fit_says_what_would(tmp_path: Path, memory: GuestMemory) -> None:
    file = read_kernel(kernel(tmp_path, image(8192, image_size=30 << 20)), RAM)
    with pytest.raises(UsageError, match="such as -m 32M"):
        file.load(memory)
    file = read_kernel(kernel(tmp_path, elf(b"code", address=0x1000)), RAM)
    with pytest.raises(UsageError, match="link it for an address in RAM"):
        file.load(memory)


@given(st.data())
def test_damaged_files_are_never_worse_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = data.draw(st.sampled_from([elf(b"code" * 9, symbols={"tohost": RAM}), image()]))
    bytes_ = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if bytes_:
            place = data.draw(st.integers(0, min(len(bytes_), 400) - 1))
            bytes_[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "kernel"
    path.write_bytes(bytes_)
    try:
        read_kernel(path, RAM).load(GuestMemory(4 << 20))
    except RingzeroError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("data", [CPIO, gzip.compress(CPIO, mtime=0), b"\xfd7zXZ\0" + bytes(9)])
def test_initial_ram_disks(tmp_path: Path, data: bytes) -> None:
    assert read_initrd(kernel(tmp_path, data)) == data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"hello", "neither a cpio archive"),
        (bytes(512), "neither a cpio archive"),
        (CPIO[:60], "cut off"),
        (gzip.compress(CPIO * 100, mtime=0)[:-20], "cut off"),
        (b"\x1f\x8b" + b"\xff" * 90, "cut off or damaged"),
    ],
)
def test_bad_initial_ram_disks(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_initrd(kernel(tmp_path, data))
