"""The interrupt controller on the board: `board.plic`, asked for the lines of each hart."""

from __future__ import annotations

from typing import Any, ClassVar

from ringzero.board import plic
from ringzero.isa.privileged.trap import MEI, SEI
from ringzero.machine.device import Device
from ringzero.machine.devices import registers

MEIP, SEIP = 1 << MEI, 1 << SEI
_text = registers.plain_text(plic)
_interrupts, _read, _write, _set_level = _text.interrupts, _text.read, _text.write, _text.set_level


class Plic(Device):
    """Context 2h is hart h's machine mode, 2h+1 its supervisor mode."""

    name = "plic"
    size = plic.SIZE
    stored: ClassVar[tuple[str, ...]] = ("registers",)

    def __init__(self, harts: int) -> None:
        super().__init__()
        self.contexts = 2 * harts
        self.reset()

    @property
    def registers(self) -> dict[str, Any]:
        """The state that a guest can observe."""
        return registers.saved(plic.Plic, self._plic)

    @registers.setter
    def registers(self, values: dict[str, Any]) -> None:
        registers.restore(self._plic, values)

    def reset(self) -> None:
        """Nothing enabled."""
        self._plic = registers.plain_state(plic.Plic)
        self._plic.contexts = self.contexts

    def set_level(self, source: int, level: bool) -> bool:
        """A device's line; True if a source has become pending by that."""
        return bool(_set_level(self._plic, source, level))

    def lines(self, hart: int) -> int:
        """MEIP and SEIP of a hart."""
        state = self._plic
        if not (state.pending[0] or state.pending[1]):
            return 0
        machine = MEIP if _interrupts(state, 2 * hart + plic.MACHINE) else 0
        return machine | (SEIP if _interrupts(state, 2 * hart + plic.SUPERVISOR) else 0)

    def read(self, offset: int, size: int) -> int:
        """All registers are 32 bits wide."""
        return 0 if size != 4 or offset & 3 else int(_read(self._plic, offset))

    def write(self, offset: int, size: int, value: int) -> None:
        """Pending bits are read-only; fields without storage ignore what is written."""
        if size == 4 and not offset & 3:
            _write(self._plic, offset, value)
