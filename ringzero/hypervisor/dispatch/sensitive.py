"""Instructions and CSR fields that the hypervisor knows by sight, and how an exit is answered."""

from __future__ import annotations

from ringzero.isa.privileged.trap import STATUS_SIE, STATUS_SPIE, STATUS_SPP

SSTATUS = 0x100
VISIBLE = 0xC_6122
UXL, SD = 2 << 32, 1 << 63
HARMLESS = STATUS_SIE | STATUS_SPIE | STATUS_SPP  # no translation and no unit depends on these
SYSTEM, FENCE, FENCE_MASK = 0x73, 0x1200_0073, 0xFE00_7FFF
SRET = 0x1020_0073
RETURN, FENCES = 1, 2  # emulate.RETURN, emulate.FENCE
# Answers of quick_exit: done, go on after the instruction; for handle_exit; done, execute the
# instruction again; other answers are 8 times the number of the register that was written.
DONE, SLOW, AGAIN = 0, -1, -2
