"""Linux's KVM inside the machine: `python -m tests.nested.kvm`.

Debian's kernel runs with the hypervisor extension and its module kvm; Debian's own QEMU, started
inside with `-accel kvm` from a root on virtio-fs, boots the same kernel once more in VS-mode. The
nested guest reaches its init, runs a command and powers off.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ringzero import Machine
from ringzero.api import Recorder
from ringzero.images import DebianImage, clone, fetch_debian

MARK = b"nested guest"
MEMORY = "1G"
NESTED = f"""\
set -e
mount -t virtiofs rootfs /mnt
mount -t virtiofs guest /mnt/mnt
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


def images() -> tuple[DebianImage, DebianImage]:
    """The host's image, with QEMU for riscv64 and the module kvm; and the nested guest's."""
    host = fetch_debian(packages=("qemu-system-riscv",), modules=("kvm",))
    return host, fetch_debian(packages=None)


def run(folder: Path, engine: str = "auto", timeout: float = 600.0) -> Proof:
    """Boot the machine, and the guest inside it; raises nothing, the proof tells."""
    host, guest = images()
    assert host.root is not None
    root = clone(host.root, folder / "root")
    share = folder / "guest"
    share.mkdir()
    shutil.copy(guest.kernel, share / "kernel")
    shutil.copy(guest.initrd, share / "initrd")
    (share / "run").write_text(NESTED)
    command = "mkdir /g; mount -t virtiofs guest /g && sh /g/run"
    console = Echo()
    began = time.monotonic()
    with Machine(
        kernel=host.kernel,
        initrd=host.initrd,
        append=f'console=ttyS0 quiet ringzero.run="{command}"',
        console=console,
        memory=MEMORY,
        engine=engine,
        mounts=[("rootfs", root / "tree", False), ("guest", share, False)],
    ) as machine:
        machine.run(timeout=timeout)
        instructions = machine.counters().instructions
    return Proof(bytes(console.data), time.monotonic() - began, instructions)


def main() -> int:
    """0 if the nested guest reached its init."""
    parser = argparse.ArgumentParser(prog="python -m tests.nested.kvm", description=__doc__)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        proof = run(Path(place), options.engine)
    told = ", ".join(f"{mode} {number}" for mode, number in proof.instructions.items())
    print(f"nested guest reached its init: {proof.reached}; {proof.seconds:.0f} s; {told}")
    return 0 if proof.reached else 1


if __name__ == "__main__":
    sys.exit(main())
