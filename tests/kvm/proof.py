"""What runs inside QEMU's SVM (see `nested.py`), with the standard library and click only.

Each finding is printed as a line `PROOF {json}`; the first thing that is not as it must be ends the
process with an exception, and so with a status other than zero.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from ringzero.kvm.status import status
from ringzero.kvm.walk.guest import FAULTING, KERNEL, USER
from ringzero.kvm.walk.measure import walk
from ringzero.machine.disk import DiskImage
from ringzero.machines.kvm import KvmMachine
from ringzero.outcome import PoweredOff, Rebooted
from tests.limits import HUNG

SECTOR = 512


def tell(**facts: object) -> None:
    """Print findings."""
    print("PROOF " + json.dumps(facts), flush=True)


def check(condition: bool, sentence: str) -> None:
    """A condition that the proof rests on."""
    if not condition:
        raise AssertionError(sentence)


def prove_walk() -> None:
    """Every stage and every way between the rings, on true hardware assistance."""
    found = walk(iterations=300, timeout=HUNG)
    check(found.stopped is None, str(found.stopped))
    check(found.complete, f"the walk ended after {found.reached}: {found.state}")
    check(not found.left_out, f"left out: {found.left_out}")
    check(found.values["hypercall"] == -1000 & 0xFFFF_FFFF, f"hypercall: {found.values}")
    check(found.values["fault address"] == FAULTING, f"page fault: {found.values}")
    check(found.values["ring 3"] == USER | 3, f"ring 3: {found.values}")
    check(found.values["end"] == KERNEL, f"ring 0: {found.values}")
    tell(walk_ns={name: round(cost) for name, cost in found.costs.items()})


class Console:
    """Keeps the output and the time of its first byte."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.first = 0.0

    def write(self, data: bytes) -> None:
        """From the guest."""
        if not self.data:
            self.first = time.monotonic()
        self.data += data
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


COMMANDS = """
set -e
echo cpus=$(nproc)
echo disk=$(head -c 16 /dev/vda)
printf 'written by the guest' | dd of=/dev/vda bs=512 seek=1 conv=notrunc 2>/dev/null
echo shared=$(cat /mnt/question)
echo 'from the guest' >/mnt/answer
echo rng=$(cat /sys/class/misc/hw_random/rng_current)
echo random=$(head -c 8 /dev/hwrng | wc -c)
sleep 1
echo 'over virtio-console' >/dev/hvc0
sleep 1
grep -E 'virtio|ttyS0|timer' /proc/interrupts
sync
"""


def prove_boot(transport: str = "mmio") -> None:
    """Debian's cloud kernel to busybox: two vCPUs, block, console, fs, rng, power-off."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk, share = folder / "disk", folder / "share"
        disk.write_bytes(b"sixteen bytes ok".ljust(1 << 20, b"\0"))
        share.mkdir()
        (share / "question").write_text("is it you?\n")
        (share / "commands").write_text(COMMANDS)
        outcome, console = boot(disk, share, transport)
        check(outcome == PoweredOff(7), f"the guest ended with {outcome}")
        text = console.data.decode("utf-8", "replace")
        for expected in (
            "cpus=2", "disk=sixteen bytes ok", "shared=is it you?", "rng=virtio_rng", "random=8",
            "over virtio-console",
        ):  # fmt: skip
            check(expected in text, f"{expected!r} is missing in the guest's output")
        with disk.open("rb") as file:
            file.seek(SECTOR)
            check(file.read(20) == b"written by the guest", "the disk was not written")
        check((share / "answer").read_text() == "from the guest\n", "the share was not written")


def boot(disk: Path, share: Path, transport: str) -> tuple[object, Console]:
    """One boot with measurements."""
    console = Console()
    # The image's first program hands a command's exit code to the board's test finisher.
    run = "mount -t virtiofs host /mnt && sh /mnt/commands && exit 7"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    machine = KvmMachine(
        memory="512M", cpus=2, kernel="vmlinuz", initrd="initrd.gz", console=console,
        append=f'console=ttyS0 quiet panic=-1 ringzero.run="{run}"',
        disks=[DiskImage(disk)], mounts=[("host", share, False)],
        transport=transport,
    )  # fmt: skip
    with machine:
        built = time.monotonic()
        outcome = machine.run(timeout=HUNG)
        ended = time.monotonic()
        stats = machine.stats()
    check(bool(console.data), "the guest said nothing")
    tell(**{
        f"boot_{transport}": {
            "built": round(built - started, 3), "first byte": round(console.first - started, 3),
            "ended": round(ended - started, 3),
        },
        "rss_kb_before": before,
        f"exits_{transport}": {r.reason: [r.count, round(r.each, 1)] for r in stats.rows()},
    })  # fmt: skip
    return outcome, console


def prove_reboot() -> None:
    """The guest's reboot is an outcome of its own."""
    console = Console()
    with KvmMachine(
        memory="256M", kernel="vmlinuz", initrd="initrd.gz", console=console,
        append='console=ttyS0 quiet panic=-1 ringzero.run="reboot -f"',
    ) as machine:  # fmt: skip
        outcome = machine.run(timeout=HUNG)
    check(outcome == Rebooted(), f"reboot ended with {outcome}")
    tell(reboot=True)


def prove_command() -> None:
    """The same from the command line: a command in the guest, its exit code, the statistics."""
    from ringzero.cli.main import main as ringzero

    options = ["--cpu", "kvm", "--cpus", "2", "-m", "256M", "--timeout", "5m", "--stats"]
    kernel = ["--kernel", "vmlinuz", "--initrd", "initrd.gz", "-a", "console=ttyS0 quiet"]
    code = ringzero(["run", *options, *kernel, "--", "sh", "-c", "nproc; exit 5"])
    check(code == 5, f"the command line ended with {code}")
    tell(command_exit_code=code)


def prove_pci() -> None:
    """The same devices on PCI."""
    prove_boot("pci")


def prove_snapshot() -> None:
    """Linux goes on in another machine, with its clocks, interrupts and both vCPUs."""

    def machine() -> KvmMachine:
        loop = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 1; done"
        return KvmMachine(
            memory="256M", cpus=2, kernel="vmlinuz", initrd="initrd.gz",
            append=f'console=ttyS0 quiet panic=-1 ringzero.run="{loop}"',
        )  # fmt: skip

    with machine() as first:
        first.expect(rb"tick 3\r?\n", timeout=HUNG)
        started = time.monotonic()
        state = first.snapshot()
        taken = time.monotonic()
    with machine() as second:
        built = time.monotonic()
        second.restore(state)
        restored = time.monotonic()
        seen = second.expect(rb"(?s)tick (\d+)\r?\n.*tick (\d+)\r?\n", timeout=HUNG)
        check(b"tick 1\r" not in seen, f"the guest started anew: {seen!r}")
        check(b"tick 5" in seen, f"the guest did not go on: {seen!r}")
    tell(
        snapshot_seconds={
            "take": round(taken - started, 3), "restore": round(restored - built, 3),
            "pages": len(state.pages),
        }
    )  # fmt: skip


PARTS = {
    "walk": prove_walk, "boot": prove_boot, "pci": prove_pci, "reboot": prove_reboot,
    "command": prove_command, "snapshot": prove_snapshot,
}  # fmt: skip


def main() -> None:
    """The parts named, or all."""
    told = status()
    print(told.sentence())
    check(told.available, told.sentence())
    tell(kind=told.kind, processors=os.cpu_count())
    names = sys.argv[1:] or ["all"]
    for name in PARTS if "all" in names else names:
        PARTS[name]()


if __name__ == "__main__":
    main()
