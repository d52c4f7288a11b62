"""Linux's KVM inside the machine: `python -m tests.nested.kvm`.

Debian's kernel runs with the hypervisor extension and its module kvm; Debian's own QEMU, started
inside with `-accel kvm` from a root on virtio-fs, boots the same kernel once more in VS-mode. The
nested guest reaches its init, runs a command and powers off. `--beside qemu-system-riscv64` does
the same in the host's QEMU with its h=true (the root by 9p, which it has built in).

Measured on two busy cores of an x86-64 server: 11 to 22 s here, 17 s in QEMU 7.2.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ringzero import Machine
from ringzero.images import DebianImage, clone, fetch_debian
from ringzero.machines.console import Recorder

MARK = b"nested guest"
MEMORY = "1G"
OPTIONS = "trans=virtio,version=9p2000.L,msize=262144"
HERE = "virtiofs"
BESIDE = f"9p -o {OPTIONS}"
NESTED = f"""\
set -e
mount --bind /g /mnt/mnt
for place in dev proc sys; do mount --bind /$place /mnt/$place; done
chroot /mnt qemu-system-riscv64 -M virt -accel kvm -cpu host -m 256M -nographic -no-reboot \\
    -kernel /mnt/kernel -initrd /mnt/initrd \\
    -append 'console=ttyS0 quiet ringzero.run="echo {MARK.decode()}: $(uname -m)"'
"""


@dataclass(frozen=True)
class Proof:
    """What came of it: the console's text, the seconds, and instructions retired by mode."""

    console: bytes
    seconds: float
    instructions: dict[str, int]

    @property
    def reached(self) -> bool:
        """Whether the nested guest's init ran its command."""
        return MARK + b": riscv64" in self.console


class Echo(Recorder):
    """A console that shows what it keeps."""

    def write(self, data: bytes) -> None:
        """From the guest."""
        super().write(data)
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def prepare(folder: Path, *modules: str) -> tuple[DebianImage, Path, Path]:
    """The host's image, with QEMU for riscv64 and KVM; its root; what it shares with its guest."""
    host = fetch_debian(packages=("qemu-system-riscv",), modules=("kvm", *modules))
    guest = fetch_debian(packages=None)
    assert host.root is not None
    root = clone(host.root, folder / "root")
    share = folder / "guest"
    share.mkdir()
    shutil.copy(guest.kernel, share / "kernel")
    shutil.copy(guest.initrd, share / "initrd")
    (share / "run").write_text(NESTED)
    return host, root / "tree", share


def command_line(kind: str) -> str:
    """The kernel's: mount both folders, and start the guest."""
    command = f"mkdir /g; mount -t {kind} guest /g && mount -t {kind} rootfs /mnt && sh /g/run"
    return f'console=ttyS0 quiet ringzero.run="{command}"'


def run(folder: Path, engine: str = "auto", timeout: float = 600.0) -> Proof:
    """Boot the machine, and the guest inside it; the proof tells how it went."""
    host, root, share = prepare(folder)
    console = Echo()
    began = time.monotonic()
    with Machine(
        kernel=host.kernel,
        initrd=host.initrd,
        append=command_line(HERE),
        console=console,
        memory=MEMORY,
        engine=engine,
        mounts=[("rootfs", root, False), ("guest", share, False)],
    ) as machine:
        machine.run(timeout=timeout)
        instructions = machine.counters().instructions
    return Proof(bytes(console.data), time.monotonic() - began, instructions)


def beside(folder: Path, qemu: str, timeout: float = 600.0) -> Proof:
    """The same in another machine."""
    host, root, share = prepare(folder, "9pnet_virtio", "9p")
    began = time.monotonic()
    seen = subprocess.run(
        [
            qemu, "-M", "virt", "-cpu", "rv64,h=true", "-m", MEMORY, "-nographic", "-no-reboot",
            "-kernel", host.kernel, "-initrd", host.initrd, "-append", command_line(BESIDE),
            "-virtfs", f"local,path={root},mount_tag=rootfs,security_model=none",
            "-virtfs", f"local,path={share},mount_tag=guest,security_model=none",
        ],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=timeout,
    )  # fmt: skip
    return Proof(seen.stdout, time.monotonic() - began, {})


def main() -> int:
    """0 if the nested guest reached its init."""
    parser = argparse.ArgumentParser(prog="python -m tests.nested.kvm", description=__doc__)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--beside", metavar="QEMU", help="run it there instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if options.beside:
            proof = beside(Path(place), options.beside)
        else:
            proof = run(Path(place), options.engine)
    told = ", ".join(f"{mode} {number}" for mode, number in proof.instructions.items())
    print(f"nested guest reached its init: {proof.reached}; {proof.seconds:.0f} s; {told}")
    return 0 if proof.reached else 1


if __name__ == "__main__":
    sys.exit(main())
