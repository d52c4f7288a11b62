"""The bundled kernel on QEMU, above OpenSBI and above the built-in firmware."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ringzero import firmware, guests
from ringzero.errors import NotFound
from tests.guests.qemu import run

pytestmark = pytest.mark.needs_qemu

# QEMU's clock counts instructions: a busy host delays the run, and nothing within it.
VIRTUAL_TIME = ("-icount", "shift=0,sleep=off")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    kernel = guests.build("kernel")
    made = {"fw": firmware.build().elf, "elf": kernel.elf, "flat": kernel.flat}
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in made}


@pytest.mark.parametrize(
    "bios", ["built-in", pytest.param("default", marks=pytest.mark.needs_opensbi)]
)
@pytest.mark.parametrize("form", ["elf", "flat"])
@pytest.mark.parametrize("cpu", ["rv64", "rv64,sstc=off"])
def test_self_tests_pass(files: dict[str, Path], bios: str, form: str, cpu: str) -> None:
    used = str(files["fw"]) if bios == "built-in" else bios
    ended = run(files[form], "-cpu", cpu, *VIRTUAL_TIME, bios=used)
    results = [line for line in ended.lines if line.startswith("test ")]
    assert not [line for line in results if not line.endswith(" ok")], ended.output
    assert len(results) > 70
    assert f"kernel: {len(results)} tests ok, 0 failed" in ended.lines
    assert "hello from user mode" in ended.lines
    assert ended.code == 0


BENCHES = {
    "loop", "csr_read", "interrupt_toggle", "hypercall", "timer_set", "device_read",
    "page_table_update", "space_switch", "tlb_miss", "interrupt", "system_call", "call",
    "exception", "page_fault", "context_switch",
}  # fmt: skip


def test_nanobenchmarks(files: dict[str, Path]) -> None:
    ended = run(files["elf"], *VIRTUAL_TIME, "-append", "mode=bench iterations=200",
                bios=str(files["fw"]))  # fmt: skip
    assert ended.code == 0
    found = [line.split() for line in ended.lines if line.startswith("bench ")]
    costs = {name: int(instructions) / int(count) for _, name, count, instructions, _ in found}
    assert set(costs) == BENCHES
    assert {int(count) for _, name, count, _, _ in found if name != "context_switch"} == {200}
    # a CSR is read by one instruction in a loop of at most four; a system call takes a trap
    assert costs["csr_read"] <= 5
    assert 40 < costs["system_call"] < 400
    assert costs["page_fault"] > costs["system_call"]
    assert costs["call"] < costs["hypercall"]


def test_flat_image_has_the_header_of_linux() -> None:
    image = guests.build("kernel")
    offset, size, _ = struct.unpack_from("<QQQ", image.flat, 8)
    assert image.flat[0x30:0x3C] == b"RISCV\0\0\0RSC\5"
    assert image.base == 0x8000_0000 + offset == image.entry
    assert image.memory_size < size


def test_unknown_guest_is_refused() -> None:
    with pytest.raises(NotFound, match="no bundled guest 'windows': choose one of kernel"):
        guests.build("windows")
