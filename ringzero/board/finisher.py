"""The codes of SiFive's test finisher, by which a guest ends or restarts the machine.

The low half of the one register is the code; with FAIL the high half is the exit code.
"""

from __future__ import annotations

SIZE = 0x1000
FAIL, PASS, RESET = 0x3333, 0x5555, 0x7777
