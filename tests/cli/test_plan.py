"""From names and options to what is booted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringzero.cli.guest.plan import Plan, with_image
from ringzero.errors import NotFound, UsageError
from ringzero.images import DebianImage, ImageError

PLAN = Plan(
    title="", kernel=None, initrd=None, append="", bios=None, memory=512 << 20, cpus=1,
    cpu="emulate", engine="auto", clock="host",
)  # fmt: skip


def test_unknown_image_is_not_found() -> None:
    with pytest.raises(NotFound, match="no image 'nosuch'") as caught:
        with_image(PLAN, "nosuch")
    assert caught.value.exit_code == 127


def test_a_file_may_stand_for_an_image(tmp_path: Path) -> None:
    kernel = tmp_path / "prog.elf"
    kernel.touch()
    assert with_image(PLAN, str(kernel)).kernel == kernel


def test_two_kernels_are_refused() -> None:
    with pytest.raises(UsageError, match="leave one out"):
        with_image(replace(PLAN, kernel=Path("Image")), "debian")


def test_bundled_guest_needs_nothing() -> None:
    assert with_image(PLAN, "guest").bundled == "kernel"


def test_without_debian_the_bundled_guest_is_booted_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise ImageError("The Debian mirror cannot be reached.")

    monkeypatch.setattr("ringzero.images.fetch_debian", fail)
    assert with_image(PLAN, None).bundled
    assert "Booting the bundled guest kernel instead" in capsys.readouterr().err
    with pytest.raises(ImageError):
        with_image(PLAN, "debian")


def test_options_go_beside_the_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = DebianImage(Path("kernel"), Path("initrd"), None, "6.12")
    monkeypatch.setattr("ringzero.images.fetch_debian", lambda **_: image)
    plan = with_image(replace(PLAN, initrd=tmp_path, append="single"), "debian")
    assert (plan.kernel, plan.initrd) == (Path("kernel"), tmp_path)
    assert plan.append.endswith(" single")


def test_without_fetching_an_image_is_only_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path))
    plan = with_image(PLAN, "debian", fetch=False)
    assert plan.kernel is None
    assert "fetched first" in plan.title
