"""How the life of a VM ends: by itself, by order, or because nothing can go on."""

from __future__ import annotations

from ringzero.bare.text import put, put_decimal, put_hex
from ringzero.hypervisor.vm.state import CRASHED, STOPPED, Vm, status
from ringzero.lang import native, u64

RESTARTED, KILLED, FAILED = 129, 137, 1  # exit codes


@native
def stop(vm: Vm, code: u64) -> None:
    """The guest is at its end; the machine is when all guests are."""
    status[vm.index].state = STOPPED
    status[vm.index].exit_code = code


@native
def crash(vm: Vm) -> None:
    """The guest has given itself up."""
    status[vm.index].state = CRASHED
    status[vm.index].exit_code = FAILED


@native(inline=False)
def give_up(vm: Vm, cause: u64) -> None:
    """The guest can never go on: the first instruction of its trap handler traps."""
    put("\r\n[ringzero] vm")
    put_decimal(vm.index)
    put(": its trap handler at ")
    put_hex(vm.hart.pc)
    put(" cannot be fetched (scause ")
    put_decimal(cause)
    put("): it has set no handler, or is a kernel for M-mode, which needs --cpu emulate\r\n")
    crash(vm)
