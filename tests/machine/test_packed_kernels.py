"""Kernels as distributions and builds leave them: packed, in an EFI zboot file, or `vmlinux`."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ringzero import Machine
from ringzero.errors import UsageError
from ringzero.machine.loading.initrd_file import read_initrd
from ringzero.machine.loading.kernel_file import read_kernel
from ringzero.outcome import PoweredOff
from tests.guest_files import RAM, elf, htif_exit, image, program
from tests.limits import HUNG

VIRTUAL = 0xFFFF_FFFF_8000_0000


def tool(*command: str) -> Callable[[bytes], bytes]:
    """A compressor of the host."""

    def packed(data: bytes) -> bytes:
        if shutil.which(command[0]) is None:
            pytest.skip(f"this host has no {command[0]} (apt-get install {command[0]})")
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": tool("zstd", "-qc"),
    "lz4": tool("lz4", "-lc"),
    "lz4 frame": tool("lz4", "-c"),
    "lzo": tool("lzop", "-c"),
}


def kernel(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    return path


def zboot(payload: bytes, how: bytes) -> bytes:
    """The start of drivers/firmware/efi/libstub/zboot-header.S, and the payload."""
    header = b"MZ\0\0zimg" + struct.pack("<IIII", 64, len(payload), 0, 0)
    header = (header + how + b"\0").ljust(56, b"\0") + struct.pack("<II", 0x818223CD, 0)
    return header + payload + bytes(200)


@pytest.mark.parametrize("how", PACKERS)
def test_a_packed_kernel_is_what_was_packed(how: str, tmp_path: Path) -> None:
    for number, data in enumerate((image(8192, image_size=20000), elf(b"code" * 300))):
        (tmp_path / str(number)).mkdir()
        plain = read_kernel(kernel(tmp_path, data), RAM)
        packed = read_kernel(kernel(tmp_path / str(number), PACKERS[how](data)), RAM)
        assert [(s.address, bytes(s.data), s.size) for s in packed.segments] == [
            (s.address, bytes(s.data), s.size) for s in plain.segments
        ]
        assert (packed.entry, packed.linux) == (plain.entry, plain.linux)


@pytest.mark.parametrize(
    ("how", "named"), [("gzip", b"gzip"), ("xz", b"xzkern"), ("zstd", b"zstd"), ("lzma", b"lzma")]
)
def test_an_efi_zboot_kernel_is_unpacked(how: str, named: bytes, tmp_path: Path) -> None:
    data = image(8192, image_size=20000)
    for behind in (b"", struct.pack("<I", len(data))):  # which the build adds to all but gzip
        packed = zboot(PACKERS[how](data) + behind, named)
        file = read_kernel(kernel(tmp_path, packed), RAM)
        assert file.linux
        assert bytes(file.segments[0].data) == data
    for bad, said in (
        (zboot(PACKERS[how](data), b"middle-out"), "compressed by 'middle-out'"),
        (zboot(PACKERS[how](data), named)[:100], "cut off"),
        (zboot(PACKERS[how](data)[:30], named), "cut off or damaged"),
    ):
        with pytest.raises(UsageError, match=said):
            read_kernel(kernel(tmp_path, bad), RAM)


@pytest.mark.parametrize("how", PACKERS)
def test_a_damaged_packed_kernel_is_a_sentence(how: str, tmp_path: Path) -> None:
    packed = PACKERS[how](image(8192) + os.urandom(4096))
    with pytest.raises(UsageError, match=r"data in the kernel .* is cut off or damaged"):
        read_kernel(kernel(tmp_path, packed[: len(packed) // 2]), RAM)


def test_a_packer_that_the_host_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"no `zstd` .*apt-get install zstd"):
        read_kernel(kernel(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(100)), RAM)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"MZ" + bytes(200), "an EFI program .*section .linux"),
        (b"\x27\x05\x19\x56" + bytes(100), "a U-Boot image"),
        (b"\xd0\x0d\xfe\xed" + bytes(100), "FIT"),
        (b"!<arch>\n" + bytes(100), "such as a .deb package"),
    ],
)
def test_other_kernels_are_told_what_to_do_with(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_kernel(kernel(tmp_path, data), RAM)


def test_an_entry_in_virtual_memory_is_where_its_segment_is_loaded(tmp_path: Path) -> None:
    """QEMU's include/hw/elf_ops.h: "the entry pointer in the ELF header is a virtual address"."""
    data = elf(
        b"code" * 4, address=RAM + 0x20_0000, linked=VIRTUAL, symbols={"tohost": VIRTUAL + 8}
    )
    file = read_kernel(kernel(tmp_path, data), RAM)
    assert file.entry == file.segments[0].address == RAM + 0x20_0000
    assert file.symbols == {"tohost": RAM + 0x20_0008}
    # QEMU looks for the entry in executable segments only.
    data = elf(b"code" * 4, address=RAM, linked=VIRTUAL, flags=6)
    assert read_kernel(kernel(tmp_path, data), RAM).entry == VIRTUAL


def test_an_elf_that_is_linked_for_virtual_memory_runs(tmp_path: Path) -> None:
    code = ["lui a0, 0x100", "lui a1, 0x5", "addi a1, a1, 0x555", "sw a1, 0(a0)", "jal zero, 0"]
    data = elf(program(code), address=RAM + 0x20_0000, linked=VIRTUAL)
    with Machine(kernel=kernel(tmp_path, data), memory="16M") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)


def test_vmlinux_goes_to_where_its_image_would(tmp_path: Path) -> None:
    """Its physical addresses count from its own start (arch/riscv/kernel/vmlinux.lds.S)."""
    plain = image(8192, image_size=20000)
    file = read_kernel(kernel(tmp_path, elf(plain, address=0, linked=VIRTUAL, memory=20000)), RAM)
    assert file.linux
    assert file.entry == file.segments[0].address == RAM + 0x20_0000
    assert file.end == RAM + 0x20_0000 + 20000


@pytest.mark.slow
@pytest.mark.needs_debian
def test_debian_boots_from_a_vmlinux_packed_in_a_zboot_file(
    debian_image: object, tmp_path: Path
) -> None:
    plain = debian_image.kernel.read_bytes()  # type: ignore[attr-defined]
    (size,) = struct.unpack_from("<Q", plain, 16)
    vmlinux = elf(plain, address=0, linked=VIRTUAL, memory=size)
    packed = kernel(tmp_path, zboot(zlib.compress(vmlinux, 1, wbits=31), b"gzip"))
    with Machine(
        kernel=packed,
        initrd=debian_image.initrd,  # type: ignore[attr-defined]
        append="console=ttyS0 quiet ringzero.run=true",
    ) as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(0)


def test_any_file_is_an_initial_ram_disk_of_a_kernel_that_is_not_linux(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"anything at all")
    with pytest.raises(UsageError, match="neither a cpio archive"):
        read_initrd(path)
    assert read_initrd(path, linux=False) == b"anything at all"
    with Machine(kernel=kernel(tmp_path, htif_exit(0)), initrd=path, memory="16M") as machine:
        assert b"anything at all" in machine.memory.read(RAM, 16 << 20)
    (tmp_path / "Image").write_bytes(image())
    with pytest.raises(UsageError, match="neither a cpio archive"):
        Machine(kernel=tmp_path / "Image", initrd=path)


@pytest.mark.parametrize("bios", [None, "none"])
def test_tohost_ends_the_machine_with_bios_none_too(bios: str | None, tmp_path: Path) -> None:
    with Machine(kernel=kernel(tmp_path, htif_exit(7)), bios=bios, memory="16M") as machine:
        assert machine.run(timeout=HUNG) == PoweredOff(7)


def test_a_command_line_that_linux_would_cut_is_refused(tmp_path: Path) -> None:
    path = kernel(tmp_path, image())
    Machine(kernel=path, append="x" * 1023).close()
    with pytest.raises(UsageError, match="1024 bytes long, more than the 1023 that Linux keeps"):
        Machine(kernel=path, append="x" * 1024)
    with pytest.raises(UsageError, match="1023"):
        Machine(kernel=path, append="ü" * 512)
    Machine(kernel=kernel(tmp_path, htif_exit(0)), append="x" * 2000, memory="16M").close()


def test_bytes_that_are_no_utf8_reach_the_command_line(tmp_path: Path) -> None:
    with Machine(kernel=kernel(tmp_path, image()), append=os.fsdecode(b"a\xff\xfeb")) as machine:
        assert b"a\xff\xfeb\0" in machine.memory.read(RAM, machine.memory.size)
