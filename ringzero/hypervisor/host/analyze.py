"""Which sensitive instructions a kernel has, where, and what each technique does with them.

`analyze(data)` takes a Linux Image or a RISC-V ELF. An instruction is sensitive if it reads or
changes what the hypervisor must keep for itself (Popek and Goldberg, 1974); on RISC-V all of those
are privileged, they trap in U-mode, and that is why trap-and-emulate needs no translator.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from elftools.elf.sections import SymbolTableSection

from ringzero.errors import RingzeroError
from ringzero.hypervisor.host.kallsyms import Symbol, covering, symbols
from ringzero.hypervisor.techniques import TECHNIQUES
from ringzero.isa.csrs.registry import NUMBERS
from ringzero.isa.decode import lookup
from ringzero.isa.tools.disassembler import disassemble

SYSTEM, FENCES = 0x73, 0x0F  # opcodes that sensitive instructions have
IMAGE_MAGIC = (0x38, b"RSC\x05")
TEXT = "tTwW"
NAMES = {number: name for name, number in NUMBERS.items()}
QUICK = ("sscratch", "sepc", "scause", "stval")
UNPRIVILEGED = ("fflags", "frm", "fcsr")

# By class: what trap-and-emulate, binary translation, paravirtualization and hardware do with it.
TREATMENT: dict[str, tuple[str, str, str, str]] = {
    "interrupt toggle": (
        "traps; answered in the quick path", "a store to the shared page", "a store to the page",
        "native",
    ),
    "trap state": (
        "traps; answered in the quick path", "a load or store of the page", "a load of the page",
        "native",
    ),
    "timer": ("traps; the machine's timer is set", "a call of the monitor", "a hypercall",
              "native with Sstc"),
    "address space": ("traps; another shadow root", "a call of the monitor", "a hypercall",
                      "native, two stages"),
    "other csr": ("traps; emulated", "a call of the monitor", "a hypercall", "native"),
    "counter": ("native for time, else emulated", "the same", "the same", "native with an offset"),
    "translation fence": ("traps; shadow entries are dropped", "a call of the monitor",
                          "a hypercall, batched", "native"),
    "return": ("traps; the other shadow root", "a call of the monitor", "a hypercall", "native"),
    "wait": ("traps; another VM may run", "a call of the monitor", "a hypercall", "traps"),
    "system call": ("traps; an SBI call from the kernel", "the same", "the same", "traps"),
    "code fence": ("native", "native", "native", "native"),
    "machine": ("traps; illegal for the guest too", "the same", "the same", "the same"),
}  # fmt: skip


class NotAKernel(RingzeroError):
    """A file that is neither a RISC-V Linux Image nor a RISC-V ELF."""


@dataclass(frozen=True)
class Site:
    """One sensitive instruction."""

    address: int
    kind: str
    text: str
    function: str


@dataclass(frozen=True)
class Analysis:
    """All sites of a kernel."""

    format: str
    functions: int
    """How many functions were looked at."""
    sites: tuple[Site, ...]

    def by_kind(self) -> Counter[str]:
        """How many instructions of each class."""
        return Counter(site.kind for site in self.sites)

    def by_function(self) -> Counter[str]:
        """How many sensitive instructions each function has."""
        return Counter(site.function for site in self.sites)

    def data(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "format": self.format,
            "functions": self.functions,
            "classes": {
                kind: {"count": count, **dict(zip(TECHNIQUES, TREATMENT[kind], strict=True))}
                for kind, count in self.by_kind().most_common()
            },
            "sites": [asdict(site) for site in self.sites],
        }

    def text(self, functions: int = 20) -> str:
        """For people: classes with their treatment, and the functions with most sites."""
        lines = [f"{self.format}: {len(self.sites)} sensitive instructions"
                 f" in {self.functions} functions", ""]  # fmt: skip
        for kind, count in self.by_kind().most_common():
            lines.append(f"{count:7}  {kind}")
            lines += [
                f"           {name:10} {what}"
                for name, what in zip(TECHNIQUES, TREATMENT[kind], strict=True)
            ]
        lines += ["", "functions with most of them:"]
        lines += [f"{n:7}  {name}" for name, n in self.by_function().most_common(functions)]
        return "\n".join(lines)


def analyze(data: bytes) -> Analysis:
    """The sensitive instructions of a kernel."""
    if data[:4] == b"\x7fELF":
        kind, pieces, found = "ELF", *_elf(data)
    elif data[IMAGE_MAGIC[0] : IMAGE_MAGIC[0] + 4] == IMAGE_MAGIC[1]:
        kind, pieces, found = "Linux Image", *_image(data)
    else:
        raise NotAKernel("this is neither a RISC-V Linux Image nor an ELF: give a flat kernel")
    starts = sorted({one.offset for one in found if one.kind in TEXT})
    sites = [
        site
        for base, code in pieces
        for start, end in _functions(base, len(code), starts)
        for site in _scan(code[start - base : end - base], start, found)
    ]
    return Analysis(kind, len(starts), tuple(sites))


def _image(data: bytes) -> tuple[list[tuple[int, bytes]], list[Symbol]]:
    found = symbols(data)
    places = {one.name: one.offset for one in found}
    ranges = [("_sinittext", "_einittext"), ("_stext", "_etext")]
    pieces = [
        (places[a], data[places[a] : places[b]]) for a, b in ranges if a in places and b in places
    ]
    return pieces or [(0, data)], found


def _elf(data: bytes) -> tuple[list[tuple[int, bytes]], list[Symbol]]:
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(data))
    if file["e_machine"] != "EM_RISCV":
        raise NotAKernel("this ELF is not for RISC-V: give a riscv64 kernel")
    pieces = [
        (section["sh_addr"], section.data())
        for section in file.iter_sections()
        if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR
    ]
    table = file.get_section_by_name(".symtab")
    found = [
        Symbol(one["st_value"], "T" if one["st_info"]["type"] == "STT_FUNC" else "d", one.name)
        for one in (table.iter_symbols() if isinstance(table, SymbolTableSection) else ())
        if one.name and not one.name.startswith("$")
    ]
    return pieces, sorted(found, key=lambda one: one.offset)


def _functions(base: int, size: int, starts: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges that begin at an instruction."""
    inside = [start for start in starts if base <= start < base + size]
    yield from zip([base, *inside], [*inside, base + size], strict=True)


def _scan(code: bytes, start: int, found: list[Symbol]) -> Iterator[Site]:
    """The sensitive instructions of one function, from its first instruction on."""
    if not any(byte & 0x7F in (SYSTEM, FENCES) for byte in code[::2]):
        return
    at = 0
    while at + 2 <= len(code):
        if code[at] & 3 != 3:
            at += 2
            continue
        if code[at] & 0x7F in (SYSTEM, FENCES) and at + 4 <= len(code):
            word = int.from_bytes(code[at : at + 4], "little")
            kind = classify(word)
            if kind is not None:
                where = covering(found, start + at)
                text = disassemble(word, start + at)
                yield Site(start + at, kind, text, where.name if where else "?")
        at += 4


def classify(word: int) -> str | None:
    """The class of a sensitive instruction; None for all others."""
    one = lookup(word)
    if one is None:
        return None
    if one.name.startswith("csrr"):
        return _csr_class(word >> 20, one.name)
    return {
        "sret": "return", "wfi": "wait", "ecall": "system call", "fence.i": "code fence",
        "mret": "machine", "sfence.vma": "translation fence", "sinval.vma": "translation fence",
        "sfence.w.inval": "translation fence", "sfence.inval.ir": "translation fence",
    }.get(one.name)  # fmt: skip


def _csr_class(number: int, operation: str) -> str | None:
    name = NAMES.get(number, "")
    if name in UNPRIVILEGED:
        return None
    if number >> 8 & 3 == 3:
        return "machine"
    if name == "sstatus":
        return "interrupt toggle"
    if name in QUICK:
        return "trap state"
    if number >> 8 & 3 == 0:
        return "counter"
    return {"stimecmp": "timer", "satp": "address space"}.get(name, "other csr")
