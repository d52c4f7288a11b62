"""The device tree: the format against `dtc`, the content against QEMU's own tree."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from ringzero.board.fdt import Node, encode, flatten, wide
from ringzero.isa.extensions import isa_string
from ringzero.machine.tree import device_tree
from tests.device_trees import Tree, parse
from tests.machine.driver import RAM, Bench


def resolved(tree: Tree) -> Tree:
    """Phandles replaced by numbers in the order of paths, so that two trees compare."""
    handles = {value["phandle"]: path for path, value in tree.items() if "phandle" in value}
    order = {
        handle: struct.pack(">I", 0xF000 + sorted(handles.values()).index(path))
        for handle, path in handles.items()
    }
    pointers = {"interrupt-parent", "regmap", "cpu", "phandle"}
    result: Tree = {}
    for path, properties in tree.items():
        result[path] = dict(properties)
        for name, value in properties.items():
            cells = [value[i : i + 4] for i in range(0, len(value), 4)]
            if name in pointers:
                result[path][name] = order[value]
            elif name == "interrupts-extended":
                cells[::2] = [order[cell] for cell in cells[::2]]
                result[path][name] = b"".join(cells)
            elif name == "interrupt-map":
                cells[4::6] = [order[cell] for cell in cells[4::6]]
                result[path][name] = b"".join(cells)
    return result


def test_property_values() -> None:
    assert encode(True) == b""
    assert encode(7) == b"\0\0\0\7"
    assert encode("ab") == b"ab\0"
    assert encode(["ab", "c"]) == b"ab\0c\0"
    assert encode([1, 2]) == b"\0\0\0\1\0\0\0\2"
    assert encode(b"raw") == b"raw"
    assert wide(0x1_8000_0000, 2) == [1, 0x8000_0000, 0, 2]


def test_flattened_tree_reads_back() -> None:
    root = Node()
    child = root.add("child@1", compatible=["a", "b"], reg=1)
    child.set("flag", True)
    child.set("absent", False)
    root.set("points", child.reference())
    assert child.reference() == child.reference() == 1
    root.add("other").reference()
    assert parse(flatten(root)) == {
        "/": {"points": b"\0\0\0\1"},
        "/child@1": {
            "compatible": b"a\0b\0", "reg": b"\0\0\0\1", "flag": b"", "phandle": b"\0\0\0\1",
        },
        "/other": {"phandle": b"\0\0\0\2"},
    }  # fmt: skip


def test_isa_string_is_in_the_manuals_order() -> None:
    assert isa_string(["zicsr", "c", "d", "f", "a", "m", "i", "sstc"]) == "rv64imafdc_zicsr_sstc"


def test_chosen_tells_what_to_boot() -> None:
    bench = Bench()
    bench.board.rng_seed = bytes(range(32))
    blob = device_tree(
        bench.board, "console=hvc0 quiet", (RAM + 0x10_0000, 0x1234), [(RAM, 0x8000)]
    )
    tree = parse(blob)
    chosen = tree["/chosen"]
    assert chosen["bootargs"] == b"console=hvc0 quiet\0"
    assert chosen["linux,initrd-start"] == struct.pack(">Q", RAM + 0x10_0000)
    assert chosen["linux,initrd-end"] == struct.pack(">Q", RAM + 0x10_1234)
    assert chosen["rng-seed"] == bytes(range(32))
    assert tree["/reserved-memory/firmware@80000000"]["reg"] == struct.pack(">QQ", RAM, 0x8000)
    plain = parse(device_tree(Bench().board))
    assert "bootargs" not in plain["/chosen"]
    assert "/reserved-memory" not in plain


@pytest.mark.needs_dtc
def test_dtc_has_nothing_to_say() -> None:
    blob = device_tree(Bench(cpus=3).board, "quiet", (RAM + 0x10_0000, 1), [(RAM, 0x1000)])
    quiet = ["-W", "no-interrupt_provider"]  # wants #address-cells in CPUs; the binding has none
    run = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", *quiet], input=blob, capture_output=True, check=True
    )
    assert run.stderr == b""
    assert b"pci-host-ecam-generic" in run.stdout


ABSENT = re.compile(r"/(pmu|fw-cfg@|flash@|platform-bus@).*")
OURS = {"riscv,isa-base", "riscv,isa-extensions"}
DIFFERENT = {"riscv,isa", "mmu-type", "rng-seed", "model", "riscv,ndev", "bootargs"}


@pytest.mark.needs_qemu
@pytest.mark.parametrize("cpus", [1, 3])
def test_tree_equals_qemus_but_for_devices_of_its_own(tmp_path: Path, cpus: int) -> None:
    path = tmp_path / "qemu.dtb"
    command = ["qemu-system-riscv64", "-M", f"virt,dumpdtb={path}", "-smp", str(cpus), "-m", "64M"]
    subprocess.run([*command, "-display", "none"], check=True, capture_output=True)
    blob = path.read_bytes()
    theirs = resolved(parse(blob[: struct.unpack_from(">I", blob, 4)[0]]))
    ours = resolved(parse(device_tree(Bench(megabytes=64, cpus=cpus).board)))
    theirs = {name: value for name, value in theirs.items() if not ABSENT.fullmatch(name)}
    assert sorted(ours) == sorted(theirs)
    for name, properties in theirs.items():
        for key in sorted(set(properties) | set(ours[name]) - OURS):
            if key in DIFFERENT or (key == "phandle" and key not in ours[name]):
                continue
            assert ours[name].get(key) == properties.get(key), f"{name}: {key}"
