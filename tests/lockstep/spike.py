"""Spike as the golden model: one simulated hart that is stepped and looked into.

The PyPI package `spike` steps a processor and reads its CSRs; registers and memory are read where
the C++ objects keep them, because a million comparisons should take minutes.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ringzero.isa.extensions import isa_string, names
from ringzero.isa.hart import VIRTUAL

RAM = 0x8000_0000
PAGE = 4096
PMPCFG0, PMPADDR0 = 0x3A0, 0x3B0


COMPARE = ctypes.CDLL(None).memcmp
COMPARE.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class SpikeMissing(Exception):
    """The package is not installed, or is laid out in a way that this driver does not know."""


def spike_isa(hypervisor: bool) -> str:
    """Our extensions in Spike's spelling: it wants a, b and c spelled as this list does."""
    return isa_string(names(hypervisor=hypervisor))


def _modules() -> tuple[Any, Any, Any]:
    try:
        cfg, processor, sim = (
            import_module(f"riscv.{name}") for name in ("cfg", "processor", "sim")
        )
    except ImportError as error:
        raise SpikeMissing("the Python package spike is not installed (make setup-dev)") from error
    return cfg, processor, sim


def _library() -> ctypes.CDLL:
    import riscv

    path = Path(riscv.__file__).parent / "data/lib/libriscv.so"
    library = ctypes.CDLL(str(path))
    try:
        library._ZN5sim_t11addr_to_memEm.restype = ctypes.c_void_p
        library._ZN5sim_t11addr_to_memEm.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    except AttributeError as error:
        raise SpikeMissing(f"{path} does not export addr_to_mem: another version?") from error
    return library


def _object(wrapper: Any) -> int:
    """The C++ object behind a pybind11 instance: the first word of its table of values."""
    table = ctypes.c_void_p.from_address(id(wrapper) + 16).value
    assert table is not None
    return int(ctypes.c_void_p.from_address(table).value or 0)


class Spike:
    """One hart with `size` bytes of RAM at 0x80000000, out of reset at its start."""

    def __init__(self, size: int, hypervisor: bool = False) -> None:
        self.hypervisor = hypervisor
        self.cfg, self.processor, self.sim = _modules()
        self.library = _library()
        self.size = size
        self._keep: list[Any] = []

    def load(self, image: bytes) -> None:
        """A fresh hart with `image` at the start of RAM."""
        memory = [self.cfg.mem_cfg_t(RAM, self.size)]
        isa = spike_isa(self.hypervisor)
        config = self.cfg.cfg_t(isa=isa, priv="MSU", mem_layout=memory, start_pc=RAM)
        sim = self.sim.sim_t(cfg=config, halted=False, plugin_device_factories=[], args=["none"])
        self._keep = [config, sim]
        self.core = sim.get_core(0)
        self.state = self.core.state
        self.state.pc = RAM
        self._map_registers()
        self._map_memory(_object(sim))
        for start in range(0, len(image), PAGE):
            page = image[start : start + PAGE]
            ctypes.memmove(self.pages[start // PAGE], page, len(page))
        for number in (PMPCFG0, PMPADDR0):  # Spike's own start opens all memory to all modes
            self.core.put_csr(number, 0)

    def _map_registers(self) -> None:
        # struct state_t begins: reg_t pc; reg_t x[32]; freg_t f[32], each of two words; after the
        # map of CSRs comes prv, which the binding reads.
        base = _object(self.state)
        self.words = (ctypes.c_uint64 * 97).from_address(base)
        self.core.state.XPR.write(31, 0x0123_4567_89AB_CDEF)
        if self.words[0] != RAM or self.words[32] != 0x0123_4567_89AB_CDEF:
            raise SpikeMissing("Spike's state_t is not laid out as this driver knows it")
        self.core.state.XPR.write(31, 0)

    def _map_memory(self, sim: int) -> None:
        find = self.library._ZN5sim_t11addr_to_memEm
        self.pages = [int(find(sim, RAM + offset)) for offset in range(0, self.size, PAGE)]

    def step(self) -> None:
        """One instruction, or one trap."""
        self.core.step(1)

    def registers(self) -> list[int]:
        """pc, x0–x31, f0–f31, mode."""
        words = self.words[:]
        return [*words[:33], *words[33::2], self.state.prv + VIRTUAL * self.state.v]

    def csr(self, number: int) -> int:
        """A CSR's value, without permission checks or side effects."""
        return int(self.core.get_csr(number))

    def differs(self, address: int, pages: Sequence[int]) -> int | None:
        """The first of `pages` (numbers from the start of RAM) unlike that at host `address`."""
        for page in pages:
            if COMPARE(self.pages[page], address + page * PAGE, PAGE):
                return page
        return None

    def read(self, address: int, size: int) -> bytes:
        """RAM, within one page."""
        page, offset = divmod(address - RAM, PAGE)
        return ctypes.string_at(self.pages[page] + offset, size)


def pack(words: Sequence[int]) -> bytes:
    """Little-endian 64-bit words."""
    return struct.pack(f"<{len(words)}Q", *(word & 0xFFFF_FFFF_FFFF_FFFF for word in words))
