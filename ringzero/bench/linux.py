"""Programs from Debian's packages that nobody here wrote, run inside Linux; they time themselves.

Both machines get the same initramfs: busybox, the programs, and the libraries that they are linked
with. Each benchmark is a shell script in it; a run boots, runs one script, and powers off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from ringzero.bench.benchmark import Benchmark, found
from ringzero.bench.initramfs import linux_initramfs
from ringzero.bench.process import Run
from ringzero.bench.subjects import Guest

PACKAGES = ("openssl", "7zip", "sysbench", "python3", "stress-ng")
PROGRAMS = ("openssl", "7za", "sysbench", "python3", "stress-ng")
KIND, BOOT = "linux", "boot"
READY = "the first line of init"


@dataclass(frozen=True)
class Script:
    """A command, and where its output says how fast it was."""

    name: str
    title: str
    command: str
    pattern: str  # its first group is the figure
    unit: str
    rate: bool = True


def _openssl(name: str, title: str, words: str, pattern: str, unit: str) -> Script:
    return Script(f"openssl-{name}", title, f"openssl speed -seconds 2 {words}", pattern, unit)


def _stress(method: str, title: str) -> Script:
    return Script(
        f"stress-{method}",
        title,
        f"stress-ng --cpu 1 --cpu-method {method} --timeout 3 --metrics-brief 2>&1",
        r"\bcpu\s+\d+\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+([\d.]+)",
        "ops/s",
    )


def _python(name: str, title: str, setup: str, statement: str) -> Script:
    return Script(
        f"python-{name}",
        title,
        f"python3 -m timeit -r 3 -u usec -s '{setup}' '{statement}'",
        r"best of 3: ([\d.e+]+) usec per loop",
        "µs",
        rate=False,
    )


SCRIPTS = (
    _openssl("sha256", "SHA-256", "-bytes 8192 -evp sha256", r"^sha256\s+([\d.]+)k", "kB/s"),
    _openssl("aes", "AES-128-CBC", "-bytes 8192 -evp aes-128-cbc", r"^AES-128-CBC\s+([\d.]+)k",
             "kB/s"),
    _openssl("ecdsa", "ECDSA P-256 signatures", "ecdsap256",
             r"ecdsa \(nistp256\)\s+[\d.]+s\s+[\d.]+s\s+([\d.]+)", "1/s"),
    Script("7zip", "LZMA, both ways", "7za b -mm=LZMA -mmt1 -md18 -mtime=0",
           r"^Tot:.*?(\d+)\s*$", "MIPS"),
    Script("sysbench", "primes by division", "sysbench cpu --time=3 run",
           r"events per second:\s+([\d.]+)", "1/s"),
    _python("loop", "Python: integers in a loop", "pass",
            "x = 0\nfor i in range(1000): x = x * 31 + i & 0xffff"),
    _python("json", "Python: JSON written and read",
            "import json; d = [{str(i): [i, i / 7, None]} for i in range(50)]",
            "json.loads(json.dumps(d))"),
    _stress("crc16", "CRC-16"),
    _stress("queens", "n queens"),
    _stress("matrixprod", "matrices of long doubles"),
    _stress("fft", "FFT in doubles"),
)  # fmt: skip


SMP = "smp"
SMP_SCRIPTS = tuple(
    Script(f"openssl-multi-{number}", f"SHA-256 in processes: {number}",
           f"openssl speed -seconds 3 -bytes 8192 -multi {number} -evp sha256",
           r"^(?:evp|sha256)\s+([\d.]+)k", "kB/s")
    for number in (1, 2)
)  # fmt: skip


@cache
def _files() -> tuple[Path, Path]:
    """Kernel, and an initramfs with all programs and scripts."""
    from ringzero.images import fetch_debian

    image = fetch_debian(packages=PACKAGES)
    assert image.root is not None
    scripts = {script.name: script.command for script in (*SCRIPTS, *SMP_SCRIPTS)}
    return image.kernel, linux_initramfs(image.root, PROGRAMS, scripts)


def _guest(script: Script, cpus: int = 1) -> Guest:
    kernel, initrd = _files()
    append = f"console=ttyS0 quiet panic=-1 ringzero.run=/bench/{script.name}"
    return Guest(kernel, initrd, append, "1G", cpus)


def _figure(script: Script, run: Run) -> float:
    match = re.search(script.pattern, run.output, re.MULTILINE)
    found(match, script.name, run.output)
    assert match is not None
    return float(match[1])


def _benchmark(script: Script, kind: str, cpus: int) -> Benchmark:
    return Benchmark(
        name=script.name,
        kind=kind,
        title=script.title,
        unit=script.unit,
        guest=partial(_guest, script, cpus),
        read=partial(_figure, script),
        rate=script.rate,
    )


def linux_benchmarks() -> list[Benchmark]:
    """The programs inside Linux."""
    return [_benchmark(script, KIND, 1) for script in SCRIPTS]


def linux_smp_benchmarks() -> list[Benchmark]:
    """One process and two, on a machine of two harts."""
    return [_benchmark(script, SMP, 2) for script in SMP_SCRIPTS]


def _boot_guest() -> Guest:
    from ringzero.images import fetch_debian

    image = fetch_debian()
    append = f'console=ttyS0 panic=-1 ringzero.run="echo {READY}"'
    return Guest(image.kernel, image.initrd, append, "512M")


def _to_init(run: Run) -> float:
    # The kernel shows its command line, which names the text too, at its start.
    at = next((at for at, line in run.lines if line.strip() == READY), None)
    found(at, "the boot", run.output)
    assert at is not None
    return at


def boot_benchmarks() -> list[Benchmark]:
    """Debian's kernel with all its messages on the serial line, to init and to power-off."""
    return [
        Benchmark("boot-init", BOOT, "to init's first line", "s", _boot_guest, _to_init),
        Benchmark("boot", BOOT, "to power-off", "s", _boot_guest, lambda run: run.seconds),
        Benchmark(
            "boot-first", BOOT, "to power-off, nothing known of the guest", "s", _boot_guest,
            lambda run: run.seconds, fresh=True,
        ),
    ]  # fmt: skip
