"""Instructions and CSR fields that the hypervisor knows by sight, and how an exit is answered."""

from __future__ import annotations

from ringzero.isa.csrs.supervisor import sstatus
from ringzero.isa.instructions.rv_priv import sfence_vma, sret
from ringzero.isa.privileged.trap import STATUS_SIE, STATUS_SPIE, STATUS_SPP

SSTATUS = sstatus.first
UXL, SD = sstatus.constant, sstatus.SD.bits  # what sstatus shows beside bits of mstatus
HARMLESS = STATUS_SIE | STATUS_SPIE | STATUS_SPP  # no translation and no unit depends on these
SYSTEM, FENCE, FENCE_MASK = 0x73, sfence_vma.match, sfence_vma.mask
SRET = sret.match
RETURN, FENCES = 1, 2  # emulate.RETURN, emulate.FENCE
# Answers of quick_exit: done, go on after the instruction; for handle_exit; done, execute the
# instruction again; other answers are 8 times the number of the register that was written.
DONE, SLOW, AGAIN = 0, -1, -2
