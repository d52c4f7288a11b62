"""SiFive's test finisher: the register through which a guest ends or restarts the machine."""

from __future__ import annotations

from collections.abc import Callable

from ringzero.board.finisher import FAIL, PASS, RESET, SIZE
from ringzero.machine.device import Device
from ringzero.outcome import Ending, PoweredOff, Rebooted


class TestFinisher(Device):
    """One register: the low half says how the run ends, the high half is the exit code."""

    name = "test"
    size = SIZE
    __test__ = False  # not a test of ours, whatever pytest reads into the name

    def __init__(self, stop: Callable[[Ending], None]) -> None:
        super().__init__()
        self.stop = stop

    def write(self, offset: int, size: int, value: int) -> None:
        """End the run if the value asks for it."""
        if offset or size not in (2, 4):
            return
        action, code = value & 0xFFFF, value >> 16 & 0xFFFF
        if action == PASS:
            self.stop(PoweredOff(0))
        elif action == FAIL:
            self.stop(PoweredOff(code or 1))
        elif action == RESET:
            self.stop(Rebooted())
