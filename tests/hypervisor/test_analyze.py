"""The scanner of sensitive instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringzero import guests
from ringzero.hypervisor.host.analyze import TREATMENT, NotAKernel, analyze, classify
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.isa.tools.program import assemble

CLASSES = {
    "csrrci t0, sstatus, 2": "interrupt toggle",
    "csrr t0, scause": "trap state",
    "csrw stimecmp, t0": "timer",
    "csrw satp, t0": "address space",
    "csrw stvec, t0": "other csr",
    "csrr t0, time": "counter",
    "csrr t0, mstatus": "machine",
    "csrr t0, fcsr": None,
    "sfence.vma": "translation fence",
    "sret": "return",
    "mret": "machine",
    "wfi": "wait",
    "ecall": "system call",
    "fence.i": "code fence",
    "fence rw, rw": None,
    "addi a0, a0, 1": None,
}


@pytest.mark.parametrize("text", CLASSES)
def test_classes(text: str) -> None:
    kind = classify(assemble(text))
    assert kind == CLASSES[text]
    assert kind is None or len(TREATMENT[kind]) == len(TECHNIQUES)


def test_elf_of_the_bundled_kernel() -> None:
    found = analyze(guests.build("kernel").elf)
    assert found.by_kind()["return"] >= 1
    assert found.by_function()["trap"] > 3
    assert all(site.function != "?" for site in found.sites)
    assert "trap" in found.text()
    assert found.data()["classes"]["return"]["count"] == found.by_kind()["return"]


def test_other_files_are_refused() -> None:
    with pytest.raises(NotAKernel, match="neither"):
        analyze(bytes(4096))


@pytest.mark.needs_debian
def test_symbols_in_debians_kernel(debian_image: Any) -> None:
    found = analyze(Path(debian_image.kernel).read_bytes())
    assert found.functions > 30_000
    assert found.by_kind()["interrupt toggle"] > 3000
    returns = {site.function for site in found.sites if site.kind == "return"}
    assert "ret_from_exception" in returns
    fences = {site.function for site in found.sites if site.kind == "translation fence"}
    assert "local_flush_tlb_all" in fences or any("flush_tlb" in name for name in fences)
