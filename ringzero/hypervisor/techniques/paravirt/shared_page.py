"""The page that a paravirtual kernel shares with us: its supervisor CSRs, as memory.

While such a kernel runs, the page is what its CSRs are. At an exit that needs the whole state
`pull` makes the virtual hart say so too, by the isa's own writes of those CSRs, and `push` gives
the page back. The guest may write anything there: each word is read once, and legalised.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringzero.board.hypercalls import OFFSETS as AT
from ringzero.board.hypercalls import VERSION
from ringzero.hypervisor.vm.state import ENVIRONMENT, Vm, machine
from ringzero.isa.csr import Csr, read_csr, write_csr
from ringzero.isa.csrs import supervisor as csrs_supervisor
from ringzero.isa.csrs.supervisor import VISIBLE
from ringzero.isa.hart import S, U
from ringzero.isa.privileged.counters import TIME
from ringzero.isa.privileged.trap import STATUS_FS, STATUS_SIE
from ringzero.lang import load, native, store, u64

T6 = 31
APART = VISIBLE & ~(STATUS_SIE | STATUS_FS)


@dataclass(frozen=True)
class Field:
    """A CSR, and the word of the page that it is."""

    csr: type[Csr]
    number: int
    at: int


FIELDS = tuple(
    Field(csr, csr.first, AT[name])
    for csr, name in (
        (csrs_supervisor.sepc, "epc"),
        (csrs_supervisor.scause, "cause"),
        (csrs_supervisor.stval, "value"),
        (csrs_supervisor.sscratch, "scratch"),
        (csrs_supervisor.sie, "enables"),
        (csrs_supervisor.stimecmp, "deadline"),
    )
)


@native
def status_of(vm: Vm, told: u64, on: u64, floats: u64) -> u64:
    """mstatus with what the page says. `floats` is the real hart's FS, under which it ran.

    In virtual S the real FS may be more than the page's: it is what it was when the trap came.
    """
    state = vm.hart.mstatus & ~u64(VISIBLE) | told & APART | on & STATUS_SIE | vm.forced
    if vm.hart.mode == S and (told & STATUS_FS == 0 or floats != STATUS_FS):
        floats = told & STATUS_FS
    return state | floats


@native(inline=False)
def pull(vm: Vm) -> None:
    """What the guest has stored in its page is what its CSRs are. `mstatus.FS` is the real one."""
    hart, page = vm.hart, vm.page
    told, on = load(u64, page + AT["status"]), load(u64, page + AT["enabled"])
    hart.mstatus = status_of(vm, told, on, hart.mstatus & STATUS_FS)
    for one in FIELDS:
        write_csr(hart, one.csr, u64(one.number), load(u64, page + one.at))


@native(inline=False)
def push(vm: Vm) -> None:
    """The page shows what the virtual hart's CSRs are."""
    hart, page = vm.hart, vm.page
    push_status(vm)
    for one in FIELDS:
        store(u64, page + one.at, read_csr(hart, one.csr, u64(one.number)))
    vm.raised = read_csr(hart, csrs_supervisor.sip, u64(csrs_supervisor.sip.first))
    store(u64, page + AT["pending"], vm.raised)
    store(u64, page + AT["armed"], machine.deadline)
    store(u64, page + AT["version"], VERSION)
    counters, environment = hart.mcounteren & TIME, hart.menvcfg & ENVIRONMENT
    vm.counters[S], vm.environment[S] = counters, environment
    vm.counters[U] = counters & hart.scounteren
    vm.environment[U] = environment & hart.senvcfg
    vm.plain = 0


@native
def push_status(vm: Vm) -> None:
    """sstatus, in its two words."""
    status = read_csr(vm.hart, csrs_supervisor.sstatus, u64(csrs_supervisor.sstatus.first))
    store(u64, vm.page + AT["status"], status & ~u64(STATUS_SIE))
    store(u64, vm.page + AT["enabled"], status & STATUS_SIE)


@native
def lend(vm: Vm) -> None:
    """A trap is delivered: the handler finds the page in t6, and t6 in the page."""
    store(u64, vm.page + AT["lent"], vm.hart.x[T6])
    vm.hart.x[T6] = vm.seen
