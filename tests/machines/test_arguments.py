"""What has the wrong type is refused at once, in one sentence that says what is wanted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from ringzero import DiskImage, KvmMachine, Machine, Mount, Paused, VirtualMachines, Vm
from ringzero.errors import UsageError
from ringzero.machines.storage import as_disk, as_mount
from ringzero.sizes import parse_size
from tests.machines.guests import KINDS, start, start_bare


class Where:
    """Something that has a path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [("512", 512 << 20), ("512M", 512 << 20), ("1g", 1 << 30), ("64 KiB", 1 << 16),
     ("1TB", 1 << 40), ("4096B", 4096), (4096, 4096)],
)  # fmt: skip
def test_the_same_text_is_the_same_size_everywhere(size: int | str, bytes_: int) -> None:
    from ringzero.cli.guest.values import Size

    assert parse_size(size) == bytes_
    assert Size().convert(size, None, None) == bytes_


def test_the_machines_memory_is_what_its_text_means_on_the_command_line(tmp_path: Path) -> None:
    with start_bare(tmp_path, "spin", memory="16") as machine:
        assert machine.memory.size == 16 << 20


@pytest.mark.parametrize(
    "size", ["", "M", "-1", "1.5G", "12Q", "0", "0x10", "512iB", "٣M", 0, -4096, 1 << 70]
)
def test_what_is_no_size_is_refused(size: int | str) -> None:
    with pytest.raises(UsageError, match=rf"memory={re.escape(repr(size))} is not a size such as"):
        parse_size(size)


@pytest.mark.parametrize("size", [1.5 * 2**30, None, True, b"512M", [512]])
def test_a_size_of_another_type_is_refused_with_the_types_name(size: object) -> None:
    with pytest.raises(UsageError, match=rf"is of type {type(size).__name__}: give an int"):
        parse_size(size)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"memory": 1.5 * 2**30}, "memory=1610612736.0 is of type float"),
    ({"cpus": 2.0}, "cpus is of type float"),
    ({"cpus": True}, "cpus is of type bool"),
    ({"cpus": -1}, "cpus is -1|-1 CPUs"),
    ({"kernel": b"\x7fELF"}, r"kernel is of type bytes.*give a path"),
    ({"kernel": 5}, "kernel is of type int"),
    ({"kernel": ""}, "kernel is '', which names no file"),
    ({"kernel": "a\0b"}, "which names no file"),
    ({"initrd": b"x"}, "initrd is of type bytes"),
    ({"append": b"quiet"}, "append is of type bytes"),
    ({"append": "a\0b"}, "append holds a NUL"),
    ({"disks": "x.img"}, r'disks is of type str.*give a list, such as \["x.img"\]'),
    ({"disks": [b"x.img"]}, "a disk is of type bytes"),
    ({"disks": [DiskImage(b"x")]}, "a disk's path is of type bytes"),  # type: ignore[arg-type]
    ({"mounts": ("tag", "folder")}, "a mount is of type str"),
    ({"mounts": [("tag", 5)]}, "a mount's folder is of type int"),
    ({"console": print}, "console is of type builtin_function_or_method"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG)
@pytest.mark.parametrize("kind", [Machine, pytest.param(KvmMachine, marks=pytest.mark.needs_kvm)])
def test_wrong_types_are_refused_by_the_constructor(
    kind: Any, options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "kernel").write_bytes(b"unread")
    with pytest.raises(UsageError, match=sentence) as refused:
        kind(**{"kernel": tmp_path / "kernel", **options})
    assert "\n" not in str(refused.value)


def test_orders_and_lists_of_the_hypervisor_name_a_vm_that_there_is(tmp_path: Path) -> None:
    with start("virtual", tmp_path) as machine:
        assert isinstance(machine, VirtualMachines)
        for index in (-1, 1, "0"):
            with pytest.raises(UsageError, match=r"index|VM 1"):
                machine.sites(index)  # type: ignore[arg-type]
            with pytest.raises(UsageError, match=r"index|VM 1"):
                machine.order(index, "kill")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="no order 'stop'"):
            machine.order(0, "stop")


@pytest.mark.needs_kvm
def test_only_a_snapshot_is_restored(tmp_path: Path) -> None:
    with start("kvm", tmp_path) as machine:
        assert isinstance(machine, KvmMachine)
        with pytest.raises(UsageError, match="restore is of type dict"):
            machine.restore({})  # type: ignore[arg-type]


def test_extensions_are_a_list(tmp_path: Path) -> None:
    for extensions in ("imafd", ["i", 5]):
        with pytest.raises(UsageError, match="extension"):
            start_bare(tmp_path, "spin", extensions=extensions)


def test_guests_of_the_hypervisor_are_vms(tmp_path: Path) -> None:
    for wrong, sentence in (
        ("Image", "vms is of type str"), (["Image"], "a VM is of type str"),
        ([Vm(b"x")], "kernel is of type bytes"),  # type: ignore[arg-type]
        ([Vm(tmp_path, memory=1.5)], "memory=1.5 is of type float|is a folder|directory"),  # type: ignore[arg-type]
    ):  # fmt: skip
        with pytest.raises(UsageError, match=sentence):
            VirtualMachines(wrong)  # type: ignore[arg-type]


def test_paths_of_any_kind_work(tmp_path: Path) -> None:
    image = tmp_path / "x.img"
    image.write_bytes(bytes(512))
    for named in (str(image), image, Where(image), DiskImage(image), DiskImage(str(image))):  # type: ignore[arg-type]
        assert as_disk(named) == DiskImage(image)
    assert as_mount(("tag", Where(tmp_path))) == Mount("tag", tmp_path)
    with start_bare(tmp_path, "spin") as machine:
        kernel = tmp_path / "bare-spin.elf"
        assert machine.run(timeout=0) is not None
    for path in (os.fspath(kernel), Where(kernel)):
        Machine(kernel=path, bios="none", memory="16M", disks=[Where(image)]).close()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_types_are_refused_by_methods(kind: str, tmp_path: Path) -> None:
    with start(kind, tmp_path, "spin") as machine:
        wrong: list[tuple[str, tuple[Any, ...], str]] = [
            ("send", ("text",), r'send is of type str.*text.encode\(\)'),
            ("send", (5,), "send is of type int"),
            ("expect", ("text",), "expect is of type str"),
            ("expect", (b"(",), "is no regular expression"),
            ("expect", (b"x", "long"), "timeout is of type str"),
            ("run", ("1s",), "timeout is of type str"),
            ("run", (-1,), "timeout is -1"),
            ("run", (float("nan"),), "timeout is nan"),
            ("read_memory", (1.0, 4), "address is of type float"),
            ("read_memory", (machine.memory.base, -4), "size is -4"),
            ("write_memory", (machine.memory.base, "x"), "write_memory is of type str"),
            ("read_register", ("pc", "0"), "hart is of type str"),
            ("read_register", ("pc", -1), "hart is -1: give 0 to 0"),
            ("read_register", (5,), "There is no register 5"),
            ("read_register", ([],), r"There is no register \[\]"),
            ("write_register", ("pc", 1.0), "pc is of type float"),
            ("write_register", ("pc", 1 << 64), "pc is 18446744073709551616"),
        ]  # fmt: skip
        for name, arguments, sentence in wrong:
            with pytest.raises(UsageError, match=sentence):
                getattr(machine, name)(*arguments)
        machine.pause()
        assert machine.run(timeout=float("inf")) == Paused()


def test_wrong_types_are_refused_by_methods_of_the_emulated_machine(tmp_path: Path) -> None:
    with start_bare(tmp_path, "spin") as machine:
        for name, arguments, sentence in (
            ("step", (1.0,), "count is of type float"), ("step", (-1,), "count is -1"),
            ("step", (1, 7), "hart is 7: give 0 to 0"), ("run", (None, 1.0), "instructions is of"),
            ("read_csr", ("nothing",), "There is no CSR"), ("read_csr", (768,), "There is no CSR"),
            ("read_csr", ([],), "There is no CSR"),
            ("write_csr", ("mscratch", "1"), "mscratch is of type str"),
            ("write_register", ("pc", 0x8000_0001), "pc=0x80000001 is odd"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=sentence):
                getattr(machine, name)(*arguments)
        for index in (-1, 32, "a0", 1.0):
            with pytest.raises(UsageError, match="number"):
                machine.x[index]  # type: ignore[index]
        with pytest.raises(UsageError, match="odd"):
            machine.pc = 0x8000_0003
        machine.x[0] = 5
        assert machine.x[0] == 0
        assert len(machine.x) == 32
