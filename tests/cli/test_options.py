"""Sizes, durations, disks and mounts as users write them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringzero.cli.guest.values import DiskType, Duration, MountType, Size, split_words
from ringzero.cli.main import main
from ringzero.machine.disk import DiskImage
from ringzero.machines.storage import Mount


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512 << 20), ("2G", 2 << 30), ("65536K", 64 << 20), ("128", 128 << 20),
     ("4096B", 4096), ("1g", 1 << 30), ("1GiB", 1 << 30), ("1T", 1 << 40), ("256MB", 256 << 20)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "-1M", "1.5G", "12Q", "M", "0x10M"])
def test_bad_sizes_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        Size().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("1.5s", 1.5), ("2m", 120), ("200ms", 0.2), ("1h", 3600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "-3", "1d", "s", "1 s"])
def test_bad_durations_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration"):
        Duration().convert(text, None, None)


def test_disks() -> None:
    convert = DiskType().convert
    assert convert("a.img", None, None) == DiskImage(Path("a.img"))
    assert convert("a.img,ro", None, None) == DiskImage(Path("a.img"), readonly=True)
    assert convert("a.img,overlay", None, None) == DiskImage(Path("a.img"), overlay=True)
    assert convert("a.img,bus=mmio,share", None, None) == DiskImage(
        Path("a.img"), share=True, bus="mmio"
    )
    assert convert("a.img,legacy", None, None) == DiskImage(Path("a.img"), bus="mmio", legacy=True)
    with pytest.raises(click.BadParameter, match="leave out bus=pci"):
        convert("a.img,legacy,bus=pci", None, None)
    with pytest.raises(click.BadParameter, match="'rw' says nothing about a disk"):
        convert("a.img,rw", None, None)


def test_mounts() -> None:
    convert = MountType().convert
    assert convert("home=/home/user", None, None) == Mount("home", Path("/home/user"))
    assert convert("src=.:ro", None, None) == Mount("src", Path("."), readonly=True)
    for text in ("nothing", "=x", "tag="):
        with pytest.raises(click.BadParameter, match="TAG=FOLDER"):
            convert(text, None, None)
    with pytest.raises(click.BadParameter, match="36 bytes"):
        convert(f"{'t' * 37}=x", None, None)


def test_a_comma_in_a_disks_path_is_written_twice() -> None:
    convert = DiskType().convert
    assert convert("a,,b.img,ro", None, None) == DiskImage(Path("a,b.img"), readonly=True)
    assert convert("a,,ro", None, None) == DiskImage(Path("a,ro"))
    assert convert(",,,,", None, None) == DiskImage(Path(",,"))
    with pytest.raises(click.BadParameter, match="comma in the file's name is written twice"):
        convert("a,b.img", None, None)


def test_a_colon_at_the_end_of_a_mounts_path_can_be_said() -> None:
    convert = MountType().convert
    assert convert("a=/x:ro:rw", None, None) == Mount("a", Path("/x:ro"))
    assert convert("a=/x:rw:ro", None, None) == Mount("a", Path("/x:rw"), readonly=True)
    assert convert("a=/b:c=d", None, None) == Mount("a", Path("/b:c=d"))


@given(st.text("a,=:"), st.lists(st.text("a,=:").filter(lambda word: word[:1] not in ("", ","))))
def test_doubled_commas_are_undone(path: str, settings: list[str]) -> None:
    words = [path, *settings]
    assert split_words(",".join(word.replace(",", ",,") for word in words)) == words


def test_commas_that_begin_no_key_need_no_doubling() -> None:
    keys = ("kernel", "append")
    assert split_words("append=a,b,kernel=x", keys) == ["append=a,b", "kernel=x"]
    assert split_words("append=a,,kernel=x,kernel=y,,append=", keys) == [
        "append=a,kernel=x", "kernel=y,append=",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "build", "compare", "translate-address"])
def test_sizes_say_what_a_number_without_a_unit_is(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a number with B, K, M, G or T; without a unit, megabytes" in said
