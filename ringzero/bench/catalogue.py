"""Everything that can be measured, in the order in which it is."""

from __future__ import annotations

from ringzero.bench.bare import bare_benchmarks, smp_benchmarks, start_benchmark
from ringzero.bench.benchmark import Benchmark
from ringzero.bench.linux import boot_benchmarks, linux_benchmarks, linux_smp_benchmarks


def catalogue() -> list[Benchmark]:
    """All benchmarks; nothing is built or fetched before one of them is asked for its guest."""
    return [
        start_benchmark(), *bare_benchmarks(), *boot_benchmarks(), *linux_benchmarks(),
        *smp_benchmarks(), *linux_smp_benchmarks(),
    ]  # fmt: skip
