"""apt in its own root: what it is asked and told, and what it says when things go wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ringzero.images import ImageError, apt, fetch_debian
from ringzero.images.apt import AptSource, explain
from ringzero.images.packages import Package, dependency_names

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="this host has no apt")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RINGZERO_MIRROR", raising=False)
    return tmp_path / "cache"


def test_a_host_without_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=r"no apt-get.*--kernel"):
        fetch_debian()


@needs_apt
def test_a_mirror_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        fetch_debian(mirror=f"file:{tmp_path}/nowhere")
    assert "\n" not in str(refusal.value)
    assert "nowhere" in str(refusal.value)


@needs_apt
def test_a_mirror_without_a_signature_is_not_believed(tmp_path: Path) -> None:
    suite = tmp_path / "mirror/dists/trixie"
    suite.mkdir(parents=True)
    (suite / "Release").write_text("Suite: trixie\nCodename: trixie\nDate: Mon, 01 Jan 2024\n")
    with pytest.raises(ImageError, match=r"trust|failed"):
        fetch_debian(mirror=f"file:{tmp_path}/mirror")


@needs_apt
def test_the_hosts_own_state_is_not_touched(tmp_path: Path, cache: Path) -> None:
    source = AptSource("riscv64", "trixie", f"file:{tmp_path}")
    with pytest.raises(ImageError):
        source.refresh()
    said = subprocess.run(
        ["apt-config", "-c", str(source.root / "apt.conf"), "dump"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    places = [
        line.split('"')[1]
        for line in said.splitlines()
        if line.startswith(("Dir::State ", "Dir::Cache ", "Dir::Etc::sourcelist "))
    ]
    assert len(places) == 3
    assert all(place.startswith(str(cache)) for place in places)
    assert 'APT::Architectures:: "riscv64"' in said or 'APT::Architectures "riscv64"' in said
    assert "Post-Invoke-Success:: " not in said.replace("DPkg::", "")


@needs_apt
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_no_root_is_needed(tmp_path: Path) -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    source = AptSource("riscv64", "trixie", f"file:{tmp_path}/nowhere")
    with pytest.raises(ImageError):
        source.refresh()
    for path in [*source.root.rglob("*"), source.root]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    for parent in source.root.parents:
        if parent.stat().st_mode & 0o5 != 0o5:  # pytest's folders are for their owner alone
            parent.chmod(0o755)
    done = subprocess.run(
        ["apt-cache", "-c", str(source.root / "apt.conf"), "policy"],
        user=nobody.pw_uid, group=nobody.pw_gid, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Package files" in done.stdout


@needs_apt
def test_a_cache_that_was_moved_asks_apt_at_its_new_place(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImageError):
        AptSource("riscv64", "trixie", f"file:{tmp_path}/nowhere").refresh()
    cache.rename(tmp_path / "moved")
    monkeypatch.setenv("RINGZERO_CACHE", str(tmp_path / "moved"))
    source = AptSource("riscv64", "trixie", f"file:{tmp_path}/nowhere")
    (source.root / "state" / "complete").touch()
    with pytest.raises(ImageError):
        source.exactly(["busybox-static"])
    assert f'"{source.root}/state"' in (source.root / "apt.conf").read_text()
    assert not cache.exists()


TARGETS = """\
Component: contrib
Release: bookworm
Created-By: Packages
Repo-URI: file:/contrib/

Component: main
Release: cloud-tools
Created-By: Packages
Repo-URI: file:/vendor/

Component: main
Release: bookworm-security
Created-By: Packages
Repo-URI: file:/security/

Component: main
Release: bookworm
Created-By: Packages
Repo-URI: file:/mirror/debian/
"""


def test_the_hosts_mirror_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "_run", lambda *ignored: TARGETS)
    assert apt.host_mirror() == "file:/mirror/debian/"
    assert AptSource("riscv64", "trixie").mirror == "file:/mirror/debian/"
    monkeypatch.setenv("RINGZERO_MIRROR", "file:/named/")
    assert AptSource("riscv64", "trixie").mirror == "file:/named/"
    assert AptSource("riscv64", "trixie", "file:/given/").mirror.endswith("given/")
    monkeypatch.setattr(apt, "_run", lambda *ignored: "")
    with pytest.raises(ImageError, match="--mirror"):
        apt.host_mirror()


def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    source = AptSource("riscv64", "trixie", "file:/nowhere")
    source.store.mkdir(parents=True)
    package = Package("x", "1", "x_1_riscv64.deb", 3, "0" * 64)
    (tmp_path / package.filename).write_bytes(b"bad")
    with pytest.raises(ImageError, match="SHA-256 mismatch"):
        source._keep(package, tmp_path / package.filename)
    assert not list(source.store.iterdir())


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("E: Unable to locate package foo", "check the package's name"),
        ("E: Failed to fetch x  Temporary failure resolving 'm'", "cannot be reached"),
        ("W: noise\nE: Failed to fetch x  Hash Sum mismatch\n Hashes", "not what it announced"),
        ("E: The repository 'x' is not signed.", "no signature"),
        ("", "no reason given"),
    ],
)
def test_what_apt_says_becomes_a_sentence(said: str, sentence: str) -> None:
    message = explain(said, "apt-get")
    assert sentence in message
    assert "\n" not in message
    assert message.endswith(".")


def test_what_apt_prints_is_read() -> None:
    line = (
        "'file:/m/pool/b/busybox-static_1.37.0-6%2bb9_riscv64.deb' "
        f"busybox-static_1%3a1.37.0-6+b9_riscv64.deb 941532 SHA256:{'ab' * 32}\n"
    )
    ((filename, size, digest),) = apt.PRINTED_URI.findall("Reading...\n" + line)
    package = apt._package(filename, int(size), digest)
    assert (package.name, package.version) == ("busybox-static", "1:1.37.0-6+b9")
    plan = "Inst libc6 (2.41-12 Debian:13 [riscv64])\nInst a [1] (2 Debian [riscv64]) []\nConf a\n"
    assert apt.INSTALLS.findall(plan) == [("libc6", "2.41-12"), ("a", "2")]


def test_dependencies_are_read() -> None:
    text = "libc6 (>= 2.38), foo:any | bar [riscv64],\n baz"
    assert dependency_names(text) == [["libc6"], ["foo", "bar"], ["baz"]]
    assert dependency_names("") == []
