"""A virtual CPU: its state, and the shared page `kvm_run` through which KVM tells why it stopped.

A vCPU is stopped from outside by `kick`: it sets `immediate_exit` and sends the vCPU's thread a
signal that the thread blocks except inside KVM_RUN. KVM_RUN then returns and the signal is taken
from the queue, so no handler is installed, no system call is lost, and any thread can run a vCPU.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import threading
from collections.abc import Iterable
from time import perf_counter_ns
from typing import NamedTuple

from ringzero.descriptors import map_file
from ringzero.kvm import api
from ringzero.kvm.errors import KvmError, Where, request_failed
from ringzero.kvm.stats import ExitStats

# Real-time, so nothing else means it; glibc keeps the first two for itself.
KICK = signal.SIGRTMIN + 3 if hasattr(signal, "SIGRTMIN") else 0
RUN_CODE = api.RUN.code
INTERRUPTED = int(api.ExitReason.INTR)


class PortAccess(NamedTuple):
    """KVM_EXIT_IO: `repeats` accesses of `size` bytes, whose data lies in the run page."""

    write: bool
    size: int
    port: int
    repeats: int
    offset: int


class Vcpu:
    """One virtual CPU of a `Vm`."""

    def __init__(self, fd: int, number: int, run_size: int) -> None:
        self.fd = fd
        self.number = number
        self.stats = ExitStats()
        self.page = map_file(fd, run_size)
        self.bytes = memoryview(self.page)
        self.words = self.bytes.cast("I")
        self.quads = self.bytes.cast("Q")
        self.halves = self.bytes.cast("H")
        self._thread = 0
        self._lock = threading.Lock()
        self.left = perf_counter_ns()

    def close(self) -> None:
        """Unmap the run page and give the vCPU back."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        for view in (self.words, self.quads, self.halves, self.bytes):
            view.release()
        self.page.close()
        os.close(fd)

    # Running.

    def adopt(self) -> None:
        """Let the calling thread run this vCPU: block the kick except inside KVM_RUN."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {KICK})
        mask = sum(1 << number - 1 for number in blocked if number != KICK)
        argument = api.SignalMask(8)
        argument.sigset[:] = mask.to_bytes(8, "little")
        api.request(self.fd, api.SET_SIGNAL_MASK, argument)
        with self._lock:
            self._thread = threading.get_ident()

    def abandon(self) -> None:
        """The calling thread stops running this vCPU."""
        with self._lock:
            self._thread = 0
        while signal.sigtimedwait({KICK}, 0) is not None:
            pass

    def kick(self) -> None:
        """Make KVM_RUN return soon, from any thread; the next KVM_RUN returns at once."""
        with self._lock:
            if self.fd < 0:
                return
            self.bytes[1] = 1  # immediate_exit
            if self._thread:
                signal.pthread_kill(self._thread, KICK)

    def enter(self) -> int:
        """Run the guest until KVM_RUN returns; the reason, INTR after a kick."""
        entered = perf_counter_ns()
        try:
            fcntl.ioctl(self.fd, RUN_CODE, 0)
        except OSError as error:
            if error.errno not in (errno.EINTR, errno.EAGAIN):
                raise request_failed("KVM_RUN", api.RUN.purpose, error.errno or 0) from None
            while signal.sigtimedwait({KICK}, 0) is not None:
                pass
            self.bytes[1] = 0
            reason = INTERRUPTED
        else:
            reason = self.words[2]
        self.left = left = perf_counter_ns()
        stats = self.stats
        stats.inside += left - entered
        stats.count[reason & 63] += 1
        return reason

    def answered(self, reason: int) -> None:
        """The board has dealt with the exit: add the time it took to the statistics."""
        self.stats.handled[reason & 63] += perf_counter_ns() - self.left

    # What kvm_run says about the last exit.

    def port_access(self) -> PortAccess:
        """KVM_EXIT_IO."""
        data = self.bytes
        return PortAccess(data[32] == 1, data[33], self.halves[17], self.words[9], self.quads[5])

    def internal_error(self) -> tuple[int, bytes]:
        """KVM_EXIT_INTERNAL_ERROR: the suberror, and for a failed emulation the instruction."""
        suberror = self.words[8]
        if suberror == 1 and self.words[9] >= 3 and self.quads[5] & 1:
            size = min(self.bytes[48], 15)
            return suberror, bytes(self.bytes[49 : 49 + size])
        return suberror, b""

    # State.

    def regs(self) -> api.Regs:
        """The general registers."""
        regs = api.Regs()
        api.request(self.fd, api.GET_REGS, regs)
        return regs

    def set_regs(self, regs: api.Regs) -> None:
        """Set the general registers."""
        api.request(self.fd, api.SET_REGS, regs)

    def sregs(self) -> api.Sregs:
        """Segments, control registers, EFER."""
        sregs = api.Sregs()
        api.request(self.fd, api.GET_SREGS, sregs)
        return sregs

    def set_sregs(self, sregs: api.Sregs) -> None:
        """Set segments, control registers, EFER."""
        api.request(self.fd, api.SET_SREGS, sregs)

    def set_cpuid(self, cpuid: api.Cpuid) -> None:
        """What CPUID answers."""
        api.request(self.fd, api.SET_CPUID2, cpuid)

    def read_msrs(self, indices: Iterable[int]) -> dict[int, int]:
        """The MSRs among `indices` that this vCPU has."""
        values: dict[int, int] = {}
        todo = list(indices)
        while todo:
            msrs = api.Msrs(nmsrs=len(todo))
            for entry, index in zip(msrs.entries, todo, strict=False):
                entry.index = index
            done = api.request(self.fd, api.GET_MSRS, msrs)
            values |= {entry.index: entry.data for entry in msrs.entries[:done]}
            todo = todo[done + 1 :]  # KVM stops at the first one that it does not know
        return values

    def write_msrs(self, values: dict[int, int]) -> list[int]:
        """Set MSRs; those that KVM refused."""
        refused: list[int] = []
        todo = list(values.items())
        while todo:
            msrs = api.Msrs(nmsrs=len(todo))
            for entry, (index, data) in zip(msrs.entries, todo, strict=False):
                entry.index, entry.data = index, data
            done = api.request(self.fd, api.SET_MSRS, msrs)
            refused += [index for index, _ in todo[done : done + 1]]
            todo = todo[done + 1 :]
        return refused

    def stood_still(self) -> None:
        """Tell a guest that reads kvmclock not to take the time before for a lockup; others have
        nothing to be told, which KVM answers with EINVAL."""
        with contextlib.suppress(KvmError):
            api.request(self.fd, api.KVMCLOCK_CTRL)

    def translate(self, address: int) -> int | None:
        """The guest-physical address of a linear one, None where nothing is mapped."""
        request = api.Translation(address)
        api.request(self.fd, api.TRANSLATE, request)
        return int(request.physical_address) if request.valid else None

    def where(self) -> Where:
        """Instruction pointer and mode."""
        sregs = self.sregs()
        mode = "long" if sregs.efer & 1 << 10 else "protected" if sregs.cr0 & 1 else "real"
        return Where(self.number, self.regs().rip, mode)

    def describe(self) -> str:
        """Where the vCPU stands, in a line, for messages about a guest that stopped."""
        regs, sregs, mode = self.regs(), self.sregs(), self.where().mode
        bits = 64 if sregs.cs.l and mode == "long" else 32 if sregs.cs.db else 16
        return (
            f"vCPU {self.number} in {mode} mode ({bits}-bit code, ring {sregs.ss.dpl}) at "
            f"cs:rip {sregs.cs.selector:#x}:{regs.rip:#x}, rsp {regs.rsp:#x}, rax {regs.rax:#x}, "
            f"cr0 {sregs.cr0:#x}, cr2 {sregs.cr2:#x}, cr3 {sregs.cr3:#x}, cr4 {sregs.cr4:#x}, "
            f"efer {sregs.efer:#x}"
        )
