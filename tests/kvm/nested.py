"""The full proof: this package's KVM board inside a virtual machine that has a complete SVM.

QEMU without acceleration emulates AMD's virtualization, so a Debian cloud kernel inside it has a
true /dev/kvm. There, from an initramfs made without root, runs Python with `proof.py`: the bundled
guest, and Debian's cloud kernel with two vCPUs and virtio devices. `python -m tests.kvm.nested`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ringzero.errors import RingzeroError
from ringzero.images import busybox, cpio, deb, tree
from ringzero.images.apt import AptSource
from ringzero.images.cache import silent
from ringzero.images.initramfs import initramfs
from ringzero.images.modules import KernelModules
from ringzero.kvm.board.layout import GUEST_MODULES

SUITE, GUEST_SUITE, ARCHITECTURE = "bookworm", "trixie", "amd64"
KERNEL, BUSYBOX = "linux-image-cloud-amd64", "busybox-static"
PYTHON = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libexpat1",
    "zlib1g", "libffi8", "libbz2-1.0", "liblzma5", "libcrypt1", "libgcc-s1",
)  # fmt: skip
OUTER_MODULES = ("kvm_amd",)
REPOSITORY = Path(__file__).resolve().parents[2]
ROOM = "usr/share/proof"
QEMU = "qemu-system-x86_64"
# Without cmpxchg16b: as QEMU 7.2 emulates it, it takes stale flags where a nested guest has just
# been entered, and Linux's slab allocator goes on with DF or NT set.
CPU = "qemu64,+svm,+npt,-cx16"
INIT = f"""#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
exec </dev/console >/dev/console 2>&1
while read -r module; do insmod "$module"; done </lib/ringzero-modules
cd /{ROOM}
read -r line </proc/cmdline
PYTHONDONTWRITEBYTECODE=1 python3.11 -X faulthandler -m tests.kvm.proof ${{line#*proof=}}
echo "PROOF-STATUS $?"
poweroff -f
"""


def debian(suite: str = SUITE, others: Sequence[str] = (*PYTHON, BUSYBOX)) -> list[Path]:
    """Packages: the suite's cloud kernel, then the others."""
    source = AptSource(ARCHITECTURE, suite)
    kernel = next(n for n in source.depends(KERNEL) if n.startswith("linux-image-"))
    files = source.fetch(source.exactly([kernel, *others]), silent)
    by_name = {deb.control(file)["Package"]: file for file in files}
    return [by_name[name] for name in (kernel, *others)]


def first(package: Path, start: str) -> bytes:
    """The first file whose path starts or ends like this."""
    found = deb.contents(package, lambda path: path.startswith(start) or path.endswith(start))
    return next(node.data for node in found)


def outer_root(folder: Path, guest_suite: str) -> tuple[Path, Path]:
    """Kernel and initramfs of the machine that QEMU runs, with the guest's own inside."""
    kernel, *python, busybox_package = debian()
    guest = debian(guest_suite, ())[0]
    program = first(busybox_package, "bin/busybox")
    image = first(kernel, "boot/vmlinuz")
    guest_image = first(guest, "boot/vmlinuz")
    inner = initramfs(program, KernelModules(guest).in_order(GUEST_MODULES))
    modules = KernelModules(kernel).in_order(OUTER_MODULES)
    listing = "".join(f"/{module.path}\n" for module in modules)

    def nodes() -> Iterator[tree.Node]:
        yield from busybox.skeleton()
        for node in busybox.user_space(program):
            if node.path != "usr/sbin/init":
                yield node
        yield tree.file("usr/sbin/init", INIT.encode(), 0o755)
        yield tree.symlink("init", "usr/sbin/init")
        yield from modules
        yield tree.file("usr/lib/ringzero-modules", listing.encode())
        for package in python:
            for node in deb.contents(package, lambda path: "/share/" not in path):
                yield merged(node)
        for path in sorted(REPOSITORY.glob("ringzero/**/*")):
            if path.is_file() and path.suffix in (".py", ".sh"):
                yield tree.file(f"{ROOM}/{path.relative_to(REPOSITORY)}", path.read_bytes())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            yield tree.file(f"{ROOM}/{path.relative_to(REPOSITORY)}", path.read_bytes())
        for path in sorted(Path(click.__file__).parent.glob("*.py")):  # of the command line
            yield tree.file(f"{ROOM}/click/{path.name}", path.read_bytes())
        yield tree.file(f"{ROOM}/vmlinuz", guest_image)
        yield tree.file(f"{ROOM}/initrd.gz", inner)

    (folder / "vmlinuz").write_bytes(image)
    (folder / "root.cpio").write_bytes(cpio.archive(nodes()))
    return folder / "vmlinuz", folder / "root.cpio"


def merged(node: tree.Node) -> tree.Node:
    """/lib, /bin and /sbin are links into /usr here; /lib64 is a folder of its own."""
    top = node.path.split("/", 1)[0]
    if top in busybox.MERGED:
        return tree.Node(f"usr/{node.path}", node.mode, node.data, node.uid, node.gid)
    return node


def command(kernel: Path, root: Path, words: str, processors: int) -> list[str]:
    """QEMU, emulating a processor with SVM and nested paging."""
    return [
        QEMU, "-accel", "tcg,thread=multi", "-cpu", CPU, "-m", "2G",
        "-smp", str(processors), "-nodefaults", "-no-user-config", "-display", "none",
        "-serial", "stdio", "-no-reboot", "-kernel", str(kernel), "-initrd", str(root),
        "-append", f"console=ttyS0 quiet panic=-1 mitigations=off proof={words}",
    ]  # fmt: skip


def run(
    words: str = "all", timeout: float = 900, processors: int = 2, guest_suite: str = GUEST_SUITE
) -> dict[str, object]:
    """Run the proof; its findings by name. Raises RuntimeError with the output if it failed."""
    with tempfile.TemporaryDirectory(prefix="ringzero-kvm-") as name:
        kernel, root = outer_root(Path(name), guest_suite)
        process = subprocess.Popen(
            command(kernel, root, words, processors),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        lines: list[str] = []
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                lines.append(line)
                print(line, flush=True)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
    findings: dict[str, object] = {}
    for line in lines:
        if line.startswith("PROOF {"):
            findings |= json.loads(line[6:])
    if "PROOF-STATUS 0" not in lines:
        raise RuntimeError("the proof failed:\n" + "\n".join(lines[-30:]))
    return findings


def main() -> int:
    """Build, run, tell."""
    parser = argparse.ArgumentParser(description="Prove the KVM board inside QEMU's SVM.")
    parser.add_argument(
        "what", nargs="?", default="all", help="walk, boot, pci, reboot, command, snapshot, or all"
    )
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument(
        "--guest-suite", default=GUEST_SUITE, help="the Debian whose kernel is the guest"
    )
    parser.add_argument("--processors", type=int, default=2)
    chosen = parser.parse_args()
    if shutil.which(QEMU) is None:
        print(f"{QEMU} is not here: apt-get install qemu-system-x86", file=sys.stderr)
        return 126
    started = time.monotonic()
    try:
        findings = run(chosen.what, chosen.timeout, chosen.processors, chosen.guest_suite)
    except RingzeroError as error:  # of the images: no mirror, no packages
        print(error, file=sys.stderr)
        return error.exit_code
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(findings, indent=1))
    print(f"proved in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
