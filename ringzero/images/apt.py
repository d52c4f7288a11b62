"""The host's own apt, in a root of its own.

Lists, cache, sources and preferences are this program's, below its cache folder, and the
architecture is the guest's: nothing of the host's package state is read or changed, and no root is
needed. The host's apt.conf.d still counts, since that is where its proxies are. Mirror and keyring
are the host's, found through `apt-get indextargets`; no host name is written here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from ringzero.images import deb
from ringzero.images.cache import (
    Progress,
    cache_root,
    digest_of,
    digest_of_file,
    locked,
    scratch,
)
from ringzero.images.errors import ImageError
from ringzero.images.packages import Package, dependency_names

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN_SUITES = (
    *("bullseye", "bookworm", "trixie", "forky", "sid"),
    *("unstable", "testing", "stable", "oldstable", "oldoldstable"),
)
PRINTED_URI = re.compile(r"^'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})", re.MULTILINE)
INSTALLS = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", re.MULTILINE)

LISTS_LAST = 24 * 60 * 60
"""Seconds after which the lists are read again, if the mirror can be reached."""

CONFIGURATION = """\
// Written by ringzero; read after the host's own configuration.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear APT::Default-Release;
Dir::State "{root}/state";
Dir::State::lists "lists/";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
"""


def host_mirror() -> str:
    """Where this host gets Debian from."""
    answer = _run(["apt-get", "indextargets", "--no-release-info"], environment())
    urls: list[str] = []
    for paragraph in answer.split("\n\n"):
        target = deb.fields(paragraph)
        release = target.get("Release", "").partition("-")[0]
        if (
            target.get("Created-By") == "Packages"
            and target.get("Component") == "main"
            and release in DEBIAN_SUITES
            and not target.get("Release", "").endswith("-security")
        ):
            urls.append(target["Repo-URI"])
    if not urls:
        raise ImageError(
            "This host's apt has no Debian mirror among its sources; "
            "name one with --mirror URL or RINGZERO_MIRROR, or a directory of .deb files."
        )
    return urls[0]


def environment() -> dict[str, str]:
    """The environment for apt: its messages are read, so they are in English."""
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


def _run(command: Sequence[str], env: dict[str, str], cwd: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise ImageError(
            f"This host has no {command[0]}, through which Debian packages are fetched; "
            "give a directory of .deb files, or a kernel with --kernel and --initrd."
        )
    done = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode:
        raise ImageError(explain(done.stderr, " ".join(command[:1])))
    return done.stdout


def explain(stderr: str, command: str) -> str:
    """One sentence for what apt said in many lines."""
    lines = [line.strip() for line in stderr.splitlines() if line.startswith(("E:", "Err:"))]
    said = "; ".join(dict.fromkeys(line.partition(":")[2].strip() for line in lines)) or stderr
    said = said.strip().rstrip(".")
    if "Unable to locate package" in said or "No packages found" in said:
        return f"{command}: {said}; check the package's name, the suite and the architecture."
    if any(hint in said for hint in ("resolv", "connect", "Connection", "timed out", "Network")):
        return (
            f"The Debian mirror cannot be reached ({said}); check the network, "
            "or name another mirror or a directory of .deb files."
        )
    if "Hash Sum mismatch" in said or "unexpected size" in said:
        return f"What the mirror sent is not what it announced ({said}); try again later."
    if "not signed" in said or "NO_PUBKEY" in said or "invalid signature" in said:
        return f"The mirror's lists carry no signature this host trusts ({said})."
    return f"{command} failed: {said or 'no reason given'}."


class AptSource:
    """Debian packages of one architecture and suite from one mirror."""

    def __init__(self, architecture: str, suite: str, mirror: str | None = None) -> None:
        self.architecture, self.suite = architecture, suite
        self.mirror = mirror or os.environ.get("RINGZERO_MIRROR") or host_mirror()
        key = digest_of(self.mirror)[:8]
        self.root = cache_root() / "apt" / f"{suite}-{architecture}-{key}"
        self.store = cache_root() / "debs"
        self._updated = False

    def identity(self) -> tuple[str, ...]:
        return ("apt", self.mirror, self.suite, self.architecture)

    def depends(self, name: str) -> list[str]:
        record = deb.fields(self._ask("apt-cache", "show", "--no-all-versions", name))
        return [choices[0] for choices in dependency_names(record.get("Depends", ""))]

    def closure(self, names: Sequence[str]) -> list[Package]:
        plan = self._ask("apt-get", "install", "--simulate", "--yes", *names)
        return self.exactly([f"{name}={version}" for name, version in INSTALLS.findall(plan)])

    def exactly(self, names: Sequence[str]) -> list[Package]:
        if not names:
            return []
        uris = self._ask("apt-get", "download", "--print-uris", *names)
        found = [
            _package(filename, int(size), sha256)
            for filename, size, sha256 in PRINTED_URI.findall(uris)
        ]
        if len(found) < len(names):
            raise ImageError(
                f"The mirror does not say where all of {', '.join(names)} are; "
                "try again later, or name another mirror."
            )
        return found

    def fetch(self, packages: Sequence[Package], progress: Progress) -> list[Path]:
        places = [self.store / f"{package.sha256}.deb" for package in packages]
        with locked(self.root / "lock"):
            missing = [p for p, place in zip(packages, places, strict=True) if not place.exists()]
            if missing:
                self._download(missing, progress)
        return places

    def refresh(self) -> None:
        """Read the mirror's lists again, whatever their age."""
        with locked(self.root / "lock"):
            self._update()
            self._updated = True

    def _download(self, packages: Sequence[Package], progress: Progress) -> None:
        total = sum(package.size for package in packages)
        names = [f"{package.name}={package.version}" for package in packages]
        with scratch(self.store) as folder:
            command = ["apt-get", "-q", "-c", str(self.root / "apt.conf"), "download", *names]
            errors = folder / ".errors"
            with (
                errors.open("wb") as stderr,
                subprocess.Popen(
                    command, env=environment(), cwd=folder, stdout=subprocess.DEVNULL, stderr=stderr
                ) as process,
            ):
                try:
                    while process.poll() is None:
                        time.sleep(0.1)
                        progress("download", _bytes_in(folder), total)
                except BaseException:
                    process.terminate()
                    raise
            if process.returncode:
                raise ImageError(explain(errors.read_text(errors="replace"), "apt-get"))
            progress("download", total, total)
            for package in packages:
                self._keep(package, folder / package.filename)

    def _keep(self, package: Package, file: Path) -> None:
        if not file.exists() or digest_of_file(file) != package.sha256:
            raise ImageError(
                f"{package.filename} is not what the mirror announced (SHA-256 mismatch); "
                "try again later, or name another mirror."
            )
        os.rename(file, self.store / f"{package.sha256}.deb")

    def _ask(self, program: str, *arguments: str) -> str:
        """The answer of an apt program, from lists that are read once where there are none."""
        with locked(self.root / "lock"):
            self._configure()
            self._update_when_old()
            command = [program, "-q", "-c", str(self.root / "apt.conf"), *arguments]
            return _run(command, environment(), cwd=self.root)

    def _update_when_old(self) -> None:
        """Packages that a list names go away from mirrors when newer ones come."""
        complete = self.root / "state" / "complete"
        if not complete.exists():
            self._update()
        elif not self._updated and time.time() - complete.stat().st_mtime > LISTS_LAST:
            with contextlib.suppress(ImageError):
                self._update()
        self._updated = True

    def _configure(self) -> None:
        """apt's files name this folder, which may be a copy or have been moved."""
        signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
        sources = f"deb [arch={self.architecture}{signed}] {self.mirror} {self.suite} main\n"
        settings = CONFIGURATION.format(root=self.root, architecture=self.architecture)
        for name, text in (("sources.list", sources), ("apt.conf", settings)):
            file = self.root / name
            if not file.exists() or file.read_text() != text:
                file.write_text(text)

    def _update(self) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "state/status").touch()
        self._configure()
        command = ["apt-get", "-q", "-c", str(self.root / "apt.conf"), "update"]
        # apt-get update calls a mirror that it could not reach a warning, so ask it to fail.
        _run([*command, "-o", "APT::Update::Error-Mode=any"], environment(), cwd=self.root)
        (self.root / "state" / "complete").touch()


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _package(filename: str, size: int, sha256: str) -> Package:
    name, version, _ = urllib.parse.unquote(filename).split("_", 2)
    return Package(name, version, filename, size, sha256)
