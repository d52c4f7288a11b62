"""A machine whose native core is compiled starts without the instructions' definitions."""

from __future__ import annotations

import subprocess
import sys

from ringzero.bench.bare import program_file
from ringzero.bench.programs import START
from tests.limits import HUNG


def test_a_warm_start_reads_no_definitions() -> None:
    line = [sys.executable, "-X", "importtime", "-m", "ringzero", "run", "-q", "-m", "64M"]
    line += ["--bios", "none", "--kernel", str(program_file(START))]
    for _ in range(2):  # the first may have to compile
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=HUNG)
    imported = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
    assert "ringzero.engine.compiler.tier" in imported
    assert "ringzero.isa.registry" not in imported
