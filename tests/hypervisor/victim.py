"""A guest that checks its memory beside a neighbour, and what both came to, on each carrier."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from ringzero.hypervisor.host import report
from ringzero.hypervisor.host.build import Built
from tests.hypervisor.carriers import on_qemu, qemu
from tests.limits import HUNG

VICTIM = """
    la s2, pattern
    li s3, 0x5AA5F00D
    li t0, 4096
    mv t1, s2
1:  sd s3, 0(t1)
    addi t1, t1, 8
    addi t0, t0, -8
    bnez t0, 1b
    li s4, 300
2:  li t0, 4096
    mv t1, s2
3:  ld t2, 0(t1)
    bne t2, s3, 9f
    addi t1, t1, 8
    addi t0, t0, -8
    bnez t0, 3b
    csrr t0, sstatus
    addi s4, s4, -1
    bnez s4, 2b
    li a0, 0
    call finish
9:  li a0, 99
    call finish
.balign 4096
pattern: .zero 4096
"""


def beside_on_machine(built: Built, tmp_path: Path, *, hopeless: bool = False) -> None:
    """Of two VMs the second, which is VICTIM, ends well; the first goes on until it is killed, or
    is ended where it is hopeless.
    """
    from ringzero import Machine
    from ringzero.outcome import PoweredOff

    file = tmp_path / "hv.elf"
    file.write_bytes(built.image.elf)
    with Machine(bios=file, memory="96M", clock="instructions") as machine:
        machine.run(instructions=60_000_000)
        reports = report.read(built.image, machine.memory.read)
        first = ("crashed", 1) if hopeless else ("running", 0)
        assert [(one.state, one.exit_code) for one in reports] == [first, ("stopped", 0)]
        assert reports[0].exit_count > 0
        if hopeless:
            return
        machine.memory.write(*report.order(built.image, 0, "kill"))
        outcome = machine.run(timeout=HUNG)
    assert isinstance(outcome, PoweredOff)
    assert outcome.code == 137


def beside_on_qemu(built: Built, tmp_path: Path, *, hopeless: bool = False) -> None:
    """The same on QEMU, where the person at the console finds out and kills it."""
    if hopeless:
        ended = on_qemu(built, tmp_path)
        assert "vm0: its trap handler at" in ended.output
        assert ended.code == 1
        return
    process = subprocess.Popen(
        [*qemu(built, tmp_path), "-display", "none", "-serial", "stdio", "-monitor", "none"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    try:
        output, end = b"", time.monotonic() + HUNG
        while b"vm1 has the focus; it was stopped" not in output:  # ask until it has ended
            assert time.monotonic() < end, output[-500:]
            process.stdin.write(b"\x1d1")
            process.stdin.flush()
            time.sleep(0.2)
            output += process.stdout.read() or b""
        process.stdin.write(b"\x1d0\x1dk")
        process.stdin.flush()
        assert process.wait(HUNG) == 137
    finally:
        process.kill()
        process.wait()
